//! The frames that we send.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::arp::{self, Operation};
use wire::eth::EtherType;
use wire::icmp6::nd;
use wire::{IpProto, MacAddr, eth, ip6, vlan};

use super::InterfaceConfig;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 1);

impl InterfaceConfig {
    /// A question for the link-layer address of `target` from `source`, an address of ours of the
    /// same family: to all, or only `to` a station that is thought to have it (RFC 1122 2.3.2.1,
    /// RFC 4861 7.2.2).
    pub(super) fn request(&self, source: IpAddr, target: IpAddr, to: Option<MacAddr>) -> Vec<u8> {
        match (source, target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                let request = arp::Repr {
                    operation: Operation::Request,
                    sender_mac: self.mac,
                    sender_ip: source,
                    target_mac: MacAddr::ZERO,
                    target_ip: target,
                };
                self.arp(to.unwrap_or(MacAddr::BROADCAST), &request)
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                let message =
                    nd::Message::NeighborSolicitation { target, source_mac: Some(self.mac) };
                let group = ip6::solicited_node(target);
                let (mac, dst) = match to {
                    Some(mac) => (mac, target),
                    None => (MacAddr::multicast_v6(group), group),
                };
                self.nd(mac, source, dst, &message)
            }
            // Both come from one prefix.
            _ => Vec::new(),
        }
    }

    /// The answer to an ARP request for an address of ours.
    pub(super) fn arp_reply(&self, request: &arp::Repr) -> Vec<u8> {
        self.arp(request.sender_mac, &request.reply_from(self.mac))
    }

    /// The answer to a solicitation for `own`: to its sender, or to all if it was a probe for
    /// duplicates, which has no sender (RFC 4861 7.2.4).
    pub(super) fn advertisement(&self, own: Ipv6Addr, to: Option<(Ipv6Addr, MacAddr)>) -> Vec<u8> {
        let message = nd::Message::NeighborAdvertisement {
            target: own,
            target_mac: Some(self.mac),
            // A gateway forwards; whoever uses it as a router must not drop it for a host.
            router: true,
            solicited: to.is_some(),
            override_entry: true,
        };
        let (dst, mac) = to.unwrap_or((ALL_NODES, MacAddr::multicast_v6(ALL_NODES)));
        self.nd(mac, own, dst, &message)
    }

    /// A gratuitous ARP request, or an unsolicited advertisement, for an address of ours (RFC 5227
    /// 2.3, RFC 4861 7.2.6).
    pub(super) fn announcement(&self, own: IpAddr) -> Vec<u8> {
        match own {
            IpAddr::V4(own) => self.arp(MacAddr::BROADCAST, &gratuitous(self.mac, own)),
            IpAddr::V6(own) => self.advertisement(own, None),
        }
    }

    fn arp(&self, to: MacAddr, packet: &arp::Repr) -> Vec<u8> {
        let mut frame = self.frame(to, EtherType::ARP, arp::PACKET_LEN);
        let at = frame.len() - arp::PACKET_LEN;
        let emitted = packet.emit(&mut frame[at..]);
        debug_assert!(emitted.is_ok());
        frame
    }

    fn nd(&self, to: MacAddr, src: Ipv6Addr, dst: Ipv6Addr, message: &nd::Message) -> Vec<u8> {
        let len = message.wire_len();
        let mut frame = self.frame(to, EtherType::IPV6, ip6::HEADER_LEN + len);
        let at = frame.len() - len;
        #[expect(clippy::cast_possible_truncation, reason = "at most 32 octets")]
        let header = ip6::Repr {
            hop_limit: nd::HOP_LIMIT,
            ..ip6::Repr::new(src, dst, IpProto::ICMPV6, len as u16)
        };
        let emitted = header
            .emit(&mut frame[at - ip6::HEADER_LEN..])
            .and_then(|_| message.emit(src, dst, &mut frame[at..]));
        debug_assert!(emitted.is_ok());
        frame
    }

    /// Ethernet header, VLAN tag if there is one, and room for the payload.
    fn frame(&self, dst: MacAddr, ethertype: EtherType, payload_len: usize) -> Vec<u8> {
        let tag_len = if self.vlan.is_some() { vlan::TAG_LEN } else { 0 };
        let mut frame = vec![0; eth::HEADER_LEN + tag_len + payload_len];
        let outer = if self.vlan.is_some() { EtherType::VLAN } else { ethertype };
        let header = eth::Repr { dst, src: self.mac, ethertype: outer };
        let mut emitted = header.emit(&mut frame);
        if let Some(vid) = self.vlan {
            let tag = vlan::Repr { vid, pcp: 0, dei: false, ethertype };
            emitted = emitted.and_then(|at| tag.emit(&mut frame[at..]));
        }
        debug_assert!(emitted.is_ok());
        frame
    }
}

fn gratuitous(mac: MacAddr, own: Ipv4Addr) -> arp::Repr {
    arp::Repr {
        operation: Operation::Request,
        sender_mac: mac,
        sender_ip: own,
        target_mac: MacAddr::ZERO,
        target_ip: own,
    }
}
