//! lookup: routes overlay packets.
//!
//! ```text
//! group > replicate;  FIB > adjacency: tunnel peer > [too big > fragment] > gre_encap
//!                                      neighbour   > [too big > fragment] > tx
//!                                      us, unresolved, TTL out, no route  > punt
//! ```

use dpdk::Mbuf;
use wire::{IpProto, tcp};

use crate::drops::DropReason;
use crate::engine::stage::{Context, Outputs, Stage};
use crate::engine::topology::output::lookup;
use crate::ip::IpFacts;
use crate::packet::{Flags, Layer, NONE, Packet, PuntReason};
use crate::stages::rewrite::{age, rewrite_l2};
use crate::tables::fib::Next;
use crate::tables::policy::Action;
use crate::tables::{Adjacency, Encap, L2Rewrite, Tables};

/// Adjacencies that may lead to each other: a policy to a group to a peer.
const DEPTH_MAX: usize = 4;
/// Difference between the TCP MSS of IPv4 and IPv6 on the same MTU.
const MSS_V6_LESS: u16 = 20;

/// Routes.
#[derive(Default)]
pub struct Lookup {
    v4: Vec<u32>,
    v4_next: Vec<Option<Next>>,
}

impl Stage for Lookup {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        self.look_up_v4(context.tables, input);
        let mut v4_next = self.v4_next.iter();
        for packet in input.drain(..) {
            let next = if v4_destination(&packet).is_some() {
                v4_next.next().copied().flatten()
            } else {
                None
            };
            route(context, packet, next, out);
        }
    }
}

impl Lookup {
    /// Looks all IPv4 destinations of the burst up together, so that cache misses overlap.
    fn look_up_v4(&mut self, tables: &Tables, packets: &[Packet]) {
        self.v4.clear();
        self.v4.extend(packets.iter().filter_map(v4_destination));
        self.v4_next.clear();
        self.v4_next.resize(self.v4.len(), None);
        tables.overlay.v4.lookup_burst(&self.v4, &mut self.v4_next);
    }
}

fn v4_destination(packet: &Packet) -> Option<u32> {
    match packet.mbuf.data() {
        [0x40..=0x4f, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, a, b, c, d, ..] => {
            Some(u32::from_be_bytes([*a, *b, *c, *d]))
        }
        _ => None,
    }
}

fn route(context: &Context<'_>, mut packet: Packet, next: Option<Next>, out: &mut Outputs) {
    if packet.meta.flags.has(Flags::FRAME) {
        return out.push(lookup::TX, packet);
    }
    if packet.meta.flags.has(Flags::RESOLVED) && !is_ip(&packet) {
        // What the control thread sends to a tunnel peer itself: NHRP, keepalives.
        return send(context, packet, None, out);
    }
    let facts = match IpFacts::parse(packet.mbuf.data(), true) {
        Ok(facts) => facts,
        Err(reason) => return out.drop(packet, reason),
    };
    packet.meta.layer = Layer::Ip;
    if !packet.meta.flags.has(Flags::RESOLVED) {
        if facts.is_group() {
            packet.meta.adjacency = NONE;
            return out.push(lookup::REPLICATE, packet);
        }
        let underlay = packet.meta.flags.has(Flags::UNDERLAY);
        let index = match facts.src {
            _ if underlay => context.tables.underlay.lookup(facts.dst),
            std::net::IpAddr::V4(_) => next.map(|next| next.0),
            std::net::IpAddr::V6(_) => context.tables.overlay.lookup(facts.dst),
        };
        match index {
            Some(index) => packet.meta.adjacency = index,
            None => return punt(packet, PuntReason::NoRoute, out),
        }
    }
    send(context, packet, Some(&facts), out);
}

fn is_ip(packet: &Packet) -> bool {
    packet.meta.ether_type == 0x0800 || packet.meta.ether_type == 0x86dd
}

fn punt(mut packet: Packet, reason: PuntReason, out: &mut Outputs) {
    packet.meta.punt = reason;
    out.push(lookup::PUNT, packet);
}

/// Follows the packet's adjacency to where it ends.
fn send(context: &Context<'_>, mut packet: Packet, facts: Option<&IpFacts>, out: &mut Outputs) {
    for _ in 0..DEPTH_MAX {
        let index = packet.meta.adjacency;
        let Some(adjacency) = context.tables.adjacencies.get(index as usize) else { break };
        match adjacency {
            Adjacency::Drop(reason) => return out.drop(packet, *reason),
            Adjacency::Local => return punt(packet, PuntReason::Local, out),
            Adjacency::Unresolved { .. } => return punt(packet, PuntReason::Unresolved, out),
            Adjacency::Tunnel(encap) => return into_tunnel(packet, facts, encap, out),
            Adjacency::Neighbor(l2) => return to_neighbor(packet, facts, l2, out),
            Adjacency::Replicate(_) => return out.push(lookup::REPLICATE, packet),
            Adjacency::Group(members) => {
                let member = (packet.meta.flow as usize).checked_rem(members.len());
                let Some(member) = member else { break };
                packet.meta.adjacency = members[member];
            }
            Adjacency::Connected { interface } => {
                let neighbor =
                    facts.and_then(|f| context.tables.neighbors.get(&(*interface, f.dst)));
                match neighbor {
                    Some(neighbor) => packet.meta.adjacency = *neighbor,
                    None => return punt(packet, PuntReason::Unresolved, out),
                }
            }
            Adjacency::Policy(policy) => match by_policy(context.tables, &packet, facts, *policy) {
                Ok(adjacency) => packet.meta.adjacency = adjacency,
                Err(reason) => return out.drop(packet, reason),
            },
        }
    }
    out.drop(packet, DropReason::NoRoute);
}

fn by_policy(
    tables: &Tables,
    packet: &Packet,
    facts: Option<&IpFacts>,
    policy: u32,
) -> Result<u32, DropReason> {
    let Some((policy, facts)) = tables.policies.get(policy as usize).zip(facts) else {
        return Err(DropReason::NoRoute);
    };
    match policy.classify(&facts.flow_key(packet.mbuf.data())) {
        None => Err(DropReason::NoRoute),
        Some((_, Action::Discard)) => Err(DropReason::PolicyDiscard),
        Some((_, Action::Bypass)) => tables.underlay.lookup(facts.dst).ok_or(DropReason::NoRoute),
        Some((_, Action::Protect { adjacency })) => Ok(adjacency),
    }
}

fn into_tunnel(mut packet: Packet, facts: Option<&IpFacts>, encap: &Encap, out: &mut Outputs) {
    packet.meta.lane = if encap.lane == NONE { packet.meta.flow } else { encap.lane };
    let Some(facts) = facts else {
        return out.push(lookup::ENCAP, packet);
    };
    if !age(&mut packet, facts) {
        return punt(packet, PuntReason::TtlExceeded, out);
    }
    let mss = match (encap.mss, packet.meta.mss) {
        (0, mss) | (mss, 0) => mss,
        (a, b) => a.min(b),
    };
    clamp_mss(&mut packet.mbuf, facts, mss);
    if packet.mbuf.len() > usize::from(encap.mtu) {
        packet.meta.mtu = encap.mtu;
        out.push(lookup::FRAGMENT, packet);
    } else {
        out.push(lookup::ENCAP, packet);
    }
}

fn to_neighbor(mut packet: Packet, facts: Option<&IpFacts>, l2: &L2Rewrite, out: &mut Outputs) {
    if let Some(facts) = facts {
        if l2.is_broadcast() && l2.interface == packet.meta.interface {
            // A broadcast to the subnet it came from: its hosts have it already.
            return out.drop(packet, DropReason::NoMulticastRule);
        }
        if !age(&mut packet, facts) {
            return punt(packet, PuntReason::TtlExceeded, out);
        }
        let mss = packet.meta.mss;
        clamp_mss(&mut packet.mbuf, facts, mss);
    }
    if packet.mbuf.len() > usize::from(l2.mtu) {
        packet.meta.mtu = l2.mtu;
        return out.push(lookup::FRAGMENT, packet);
    }
    match rewrite_l2(&mut packet, l2) {
        Ok(()) => out.push(lookup::TX, packet),
        Err(reason) => out.drop(packet, reason),
    }
}

/// Lowers the MSS option of a TCP SYN to what the tunnels on its way carry in one piece.
fn clamp_mss(mbuf: &mut Mbuf, facts: &IpFacts, mss: u16) {
    if mss == 0 || facts.protocol != IpProto::TCP || facts.later_fragment {
        return;
    }
    let mss = if facts.src.is_ipv6() { mss.saturating_sub(MSS_V6_LESS) } else { mss };
    let is_syn = tcp::Packet::new_checked(&mbuf.data()[facts.upper..]).is_ok_and(|t| t.is_syn());
    if is_syn && let Some(data) = mbuf.data_mut() {
        tcp::clamp_mss(&mut data[facts.upper..], mss);
    }
}
