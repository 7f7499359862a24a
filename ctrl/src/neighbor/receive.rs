//! What comes from the links: ARP and neighbour discovery, and what of it is believed.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use wire::arp::{self, Operation};
use wire::eth::{self, EtherType};
use wire::icmp6::nd;
use wire::ip6::ext;
use wire::{IpProto, MacAddr, ip6, vlan};

use super::limits::{CHANGE_INTERVAL, LEARNING_MAX, LEARNT_MAX, STALE};
use super::state::{self, Event, Seen, State, Step};
use super::store::{Key, Neighbor};
use super::{Action, InterfaceConfig, Neighbors, Origin, Refusal};

/// Solicitation and advertisement; all else of ICMPv6 is not for this table. Router advertisements
/// and redirects are not heeded: the routes of a gateway are configured.
const ND_TYPES: [u8; 2] = [135, 136];

impl<P> Neighbors<P> {
    /// Takes a frame with ARP or neighbour discovery, from the Ethernet header on; with its VLAN
    /// tag, or without it if the device took it off.
    pub fn handle_frame(&mut self, now: Instant, interface: u16, frame: &[u8]) -> Vec<Action<P>> {
        let mut out = Vec::new();
        if let Err(reason) = self.receive(now, interface, frame, &mut out) {
            self.counters.refuse(reason);
        }
        out
    }

    fn receive(
        &mut self,
        now: Instant,
        interface: u16,
        frame: &[u8],
        out: &mut Vec<Action<P>>,
    ) -> Result<(), Refusal> {
        let config = self.interfaces.get(&interface).cloned().ok_or(Refusal::Interface)?;
        let frame = eth::Frame::new_checked(frame).map_err(|_| Refusal::Frame)?;
        if !frame.src().is_unicast() || frame.src() == config.mac {
            return Err(Refusal::Frame);
        }
        if !frame.dst().is_group() && frame.dst() != config.mac {
            return Err(Refusal::NotForUs);
        }
        let (ethertype, payload) = untag(&frame, config.vlan)?;
        match ethertype {
            EtherType::ARP => self.receive_arp(now, &config, payload, out),
            EtherType::IPV6 => {
                let link = eth::Repr::parse(&frame);
                self.receive_nd(now, &config, &link, payload, out)
            }
            _ => Err(Refusal::Ignored),
        }
    }

    fn receive_arp(
        &mut self,
        now: Instant,
        config: &Arc<InterfaceConfig>,
        payload: &[u8],
        out: &mut Vec<Action<P>>,
    ) -> Result<(), Refusal> {
        let packet = arp::Repr::parse(payload).map_err(|_| Refusal::Arp)?;
        let (sender, target) = (IpAddr::V4(packet.sender_ip), IpAddr::V4(packet.target_ip));
        if packet.sender_mac == config.mac {
            return Err(Refusal::Frame);
        }
        if config.is_own(sender) {
            return self.conflict(now, config.index, sender, out);
        }
        let to_us = config.is_own(target);
        let is_request = packet.operation == Operation::Request;
        // A probe: somebody wants to know whether the address is free (RFC 5227 2.1.1).
        if sender.is_unspecified() && is_request {
            return if to_us {
                self.answer_arp(config, &packet, out)
            } else {
                Err(Refusal::Others)
            };
        }
        if !config.can_be_neighbor(sender) {
            return Err(Refusal::OffLink);
        }
        let key = (config.index, sender);
        let mac = Some(packet.sender_mac);
        if sender == target {
            // Gratuitous: refreshes an entry, as after a failover, and makes none.
            return self.told(now, key, mac, false, true, out);
        }
        if !to_us {
            return Err(Refusal::Others);
        }
        if is_request {
            self.answer_arp(config, &packet, out)?;
            return self.asked_by(now, key, packet.sender_mac, out);
        }
        match self.store.find(key) {
            Some(neighbor) if neighbor.state.is_asked() => {
                self.told(now, key, mac, true, true, out)
            }
            Some(_) => Err(Refusal::Unsolicited),
            None => Err(Refusal::Others),
        }
    }

    fn answer_arp(
        &mut self,
        config: &InterfaceConfig,
        request: &arp::Repr,
        out: &mut Vec<Action<P>>,
    ) -> Result<(), Refusal> {
        self.counters.answered += 1;
        out.push(Action::Send { interface: config.index, frame: config.arp_reply(request) });
        Ok(())
    }

    fn receive_nd(
        &mut self,
        now: Instant,
        config: &Arc<InterfaceConfig>,
        link: &eth::Repr,
        payload: &[u8],
        out: &mut Vec<Action<P>>,
    ) -> Result<(), Refusal> {
        let packet = ip6::Packet::new_checked(payload).map_err(|_| Refusal::Nd)?;
        let upper = ext::upper(packet.next_header(), packet.payload()).map_err(|_| Refusal::Nd)?;
        let body = &packet.payload()[upper.offset..];
        let is_nd = upper.protocol == IpProto::ICMPV6
            && body.first().is_some_and(|kind| ND_TYPES.contains(kind));
        if !is_nd {
            return Err(Refusal::Ignored);
        }
        // RFC 6980 5: never fragmented. And what a link sends to all is not for one address.
        if upper.fragment.is_some() || (link.dst.is_group() && !packet.dst().is_multicast()) {
            return Err(Refusal::Nd);
        }
        let message = nd::Message::parse(&packet, body).map_err(|_| Refusal::Nd)?;
        let ends = (packet.src(), packet.dst());
        // Nobody else has our Ethernet address: to learn it would send packets in a circle.
        if told_mac(&message) == Some(config.mac) {
            return Err(Refusal::Nd);
        }
        match message {
            nd::Message::NeighborSolicitation { target, source_mac } => {
                self.solicited(now, config, ends, target, source_mac, link.src, out)
            }
            nd::Message::NeighborAdvertisement {
                target,
                target_mac,
                solicited,
                override_entry,
                ..
            } => {
                let target = IpAddr::V6(target);
                if config.is_own(target) {
                    return self.conflict(now, config.index, target, out);
                }
                if !config.can_be_neighbor(target) {
                    return Err(Refusal::OffLink);
                }
                if solicited && !config.is_own(ends.1.into()) {
                    return Err(Refusal::Others);
                }
                let key = (config.index, target);
                self.told(now, key, target_mac, solicited, override_entry, out)
            }
            nd::Message::RouterSolicitation { .. } => Err(Refusal::Ignored),
        }
    }

    /// A solicitation for `target` (RFC 4861 7.2.3).
    #[expect(clippy::too_many_arguments, reason = "the parts of one message")]
    fn solicited(
        &mut self,
        now: Instant,
        config: &Arc<InterfaceConfig>,
        (src, dst): (Ipv6Addr, Ipv6Addr),
        target: Ipv6Addr,
        source_mac: Option<MacAddr>,
        link_src: MacAddr,
        out: &mut Vec<Action<P>>,
    ) -> Result<(), Refusal> {
        let for_us = config.is_own(dst.into()) || dst == ip6::solicited_node(target);
        if !config.is_own(target.into()) || !for_us {
            return Err(Refusal::Others);
        }
        let interface = config.index;
        if src.is_unspecified() {
            // Somebody is about to take our address: all nodes are told that it is taken.
            if !self.own.may_answer_probe(now, interface) {
                return Err(Refusal::Rate);
            }
            self.counters.answered += 1;
            out.push(Action::Send { interface, frame: config.advertisement(target, None) });
            return Ok(());
        }
        if config.is_own(src.into()) {
            return self.conflict(now, interface, src.into(), out);
        }
        if !config.can_be_neighbor(src.into()) {
            return Err(Refusal::OffLink);
        }
        let to = (src, source_mac.unwrap_or(link_src));
        self.counters.answered += 1;
        out.push(Action::Send { interface, frame: config.advertisement(target, Some(to)) });
        source_mac.map_or(Ok(()), |mac| self.asked_by(now, (interface, src.into()), mac, out))
    }

    /// Another station claims an address of ours (RFC 5227 2.4): we keep it, and say so.
    fn conflict(
        &mut self,
        now: Instant,
        interface: u16,
        own: IpAddr,
        out: &mut Vec<Action<P>>,
    ) -> Result<(), Refusal> {
        if self.own.may_defend(now, (interface, own)) {
            self.announce_one(interface, own, out);
        }
        Err(Refusal::Conflict)
    }

    /// A neighbour asked for an address of ours, and will be sent packets soon.
    fn asked_by(
        &mut self,
        now: Instant,
        key: Key,
        mac: MacAddr,
        out: &mut Vec<Action<P>>,
    ) -> Result<(), Refusal> {
        if self.store.find(key).is_some() {
            return self.told(now, key, Some(mac), false, true, out);
        }
        if self.store.len() >= LEARNING_MAX || self.store.learnt(key.0) >= LEARNT_MAX {
            return Err(Refusal::LearntFull);
        }
        let mut neighbor = Neighbor::new(State::Stale, Some(mac), Origin::Learnt);
        neighbor.deadline = Some(now + STALE);
        neighbor.learnt_at = Some(now);
        self.store.insert(key, neighbor);
        self.counters.resolved += 1;
        let (interface, address) = key;
        out.push(Action::Resolved { interface, address, mac, packets: Vec::new() });
        Ok(())
    }

    /// A neighbour said where it is.
    fn told(
        &mut self,
        now: Instant,
        key: Key,
        mac: Option<MacAddr>,
        solicited: bool,
        overrides: bool,
        out: &mut Vec<Action<P>>,
    ) -> Result<(), Refusal> {
        let neighbor = self.store.find(key).ok_or(Refusal::Others)?;
        let seen = match mac {
            None => Seen::Absent,
            Some(_) if mac == neighbor.mac => Seen::Same,
            Some(_) => Seen::Different,
        };
        if neighbor.origin == Origin::Static {
            return if seen == Seen::Different { Err(Refusal::Static) } else { Ok(()) };
        }
        let event = Event::Told { mac: seen, solicited, overrides };
        let step = state::step(neighbor.state, event);
        let changes = matches!(step, Step::Adopt(_)) && neighbor.mac.is_some();
        if changes && neighbor.learnt_at.is_some_and(|at| now < at + CHANGE_INTERVAL) {
            return Err(Refusal::TooSoon);
        }
        self.apply(now, key, step, mac, out);
        Ok(())
    }
}

fn told_mac(message: &nd::Message) -> Option<MacAddr> {
    match *message {
        nd::Message::RouterSolicitation { source_mac }
        | nd::Message::NeighborSolicitation { source_mac, .. } => source_mac,
        nd::Message::NeighborAdvertisement { target_mac, .. } => target_mac,
    }
}

/// Type and payload of a frame that belongs to the interface's VLAN.
fn untag<'a>(
    frame: &eth::Frame<&'a [u8]>,
    vid: Option<u16>,
) -> Result<(EtherType, &'a [u8]), Refusal> {
    if frame.ethertype() != EtherType::VLAN {
        return Ok((frame.ethertype(), frame.payload()));
    }
    let tag = vlan::Tag::new_checked(frame.payload()).map_err(|_| Refusal::Frame)?;
    // VLAN 0 is a priority without a VLAN.
    if tag.vid() != vid.unwrap_or(0) {
        return Err(Refusal::NotForUs);
    }
    Ok((tag.ethertype(), tag.payload()))
}
