//! replicate: multicast and broadcast, a copy for each receiver, in the packet path.
//!
//! ```text
//! rule of the group, or the peers of a tunnel > reverse path > TTL > copy for each > gre_encap
//!                                                                                  > tx
//! ```
//!
//! A copy never goes back to the port or the peer that the packet came from; a packet of a peer
//! does go out of the same tunnel again, to the other peers.

use std::net::IpAddr;

use dpdk::Mempool;
use wire::MacAddr;

use crate::addr::Addr;
use crate::drops::DropReason;
use crate::engine::stage::{Context, Outputs, Stage};
use crate::engine::topology::output::replicate;
use crate::ip::IpFacts;
use crate::packet::{Flags, NONE, Packet};
use crate::stages::rewrite::{age, rewrite_l2};
use crate::tables::{Adjacency, L2Rewrite, Replica, Tables};

/// Replicates.
pub struct Replicate {
    pool: Mempool,
}

impl Replicate {
    /// Takes buffers for copies from `pool`.
    pub fn new(pool: Mempool) -> Self {
        Replicate { pool }
    }

    fn replicate(&self, context: &Context<'_>, mut packet: Packet, out: &mut Outputs) {
        let Ok(facts) = IpFacts::parse(packet.mbuf.data(), true) else {
            return out.drop(packet, DropReason::IpLength);
        };
        let receivers = match receivers(context.tables, &packet, &facts) {
            Ok(receivers) => receivers,
            Err(reason) => return out.drop(packet, reason),
        };
        if !age(&mut packet) {
            return out.drop(packet, DropReason::TtlExceeded);
        }
        let from = (packet.meta.interface, packet.meta.in_peer);
        let mut others = receivers.iter().filter(|r| !is_sender(r, from)).peekable();
        if others.peek().is_none() {
            return out.drop(packet, DropReason::NoReplicas);
        }
        while let Some(receiver) = others.next() {
            if others.peek().is_none() {
                return deliver(context.tables, packet, &facts, *receiver, out);
            }
            match packet.mbuf.copy(&self.pool) {
                // Later stages take a packet for one piece.
                Some(copy) if !copy.is_contiguous() => out.count_drop(DropReason::NoRoom),
                Some(mbuf) => {
                    out.made(1);
                    let copy = Packet { mbuf, meta: packet.meta };
                    deliver(context.tables, copy, &facts, *receiver, out);
                }
                None => out.count_drop(DropReason::NoBuffer),
            }
        }
    }
}

impl Stage for Replicate {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        for packet in input.drain(..) {
            self.replicate(context, packet, out);
        }
    }
}

fn is_sender(receiver: &Replica, (interface, peer): (u16, u32)) -> bool {
    receiver.interface == interface && (receiver.adjacency == NONE || receiver.adjacency == peer)
}

fn receivers<'a>(
    tables: &'a Tables,
    packet: &Packet,
    facts: &IpFacts,
) -> Result<&'a [Replica], DropReason> {
    let meta = &packet.meta;
    if meta.adjacency != NONE {
        return match tables.adjacencies.get(meta.adjacency as usize) {
            Some(Adjacency::Replicate(list)) => Ok(&list.replicas),
            _ => Err(DropReason::NoMulticastRule),
        };
    }
    if is_link_local(facts.dst) {
        return Err(DropReason::NoMulticastRule);
    }
    let rule = tables.multicast.iter().find(|rule| rule.matches(facts.dst.into(), meta.interface));
    let rule = rule.ok_or(DropReason::NoMulticastRule)?;
    if !meta.flags.has(Flags::ORIGINATED) && !arrives_from(tables, facts.src, meta.interface) {
        return Err(DropReason::ReversePath);
    }
    Ok(&rule.receivers.replicas)
}

/// Groups that no router forwards (RFC 5771 section 4, RFC 4291 section 2.7).
fn is_link_local(group: Addr) -> bool {
    if group.is_v4() {
        group.v4_bits() >> 8 == 0xe0_0000
    } else {
        (group.bits() >> 112) & 0x0f <= 2
    }
}

/// Reverse path check: the route back to `source` leads out of `interface`.
fn arrives_from(tables: &Tables, source: Addr, interface: u16) -> bool {
    let adjacency = |index: u32| tables.adjacencies.get(index as usize);
    match tables.overlay.lookup(source).and_then(adjacency) {
        Some(Adjacency::Group(members)) => members
            .iter()
            .any(|member| adjacency(*member).and_then(Adjacency::interface) == Some(interface)),
        Some(route) => route.interface() == Some(interface),
        None => false,
    }
}

fn deliver(
    tables: &Tables,
    mut packet: Packet,
    facts: &IpFacts,
    receiver: Replica,
    out: &mut Outputs,
) {
    if receiver.adjacency == NONE {
        return to_port(tables, packet, facts, receiver.interface, out);
    }
    packet.meta.adjacency = receiver.adjacency;
    match tables.adjacencies.get(receiver.adjacency as usize) {
        Some(Adjacency::Tunnel(encap)) => {
            packet.meta.lane = if encap.lane == NONE { packet.flow() } else { encap.lane };
            if packet.mbuf.len() > usize::from(encap.mtu) {
                packet.meta.mtu = encap.mtu;
                out.push(replicate::FRAGMENT, packet);
            } else {
                out.push(replicate::ENCAP, packet);
            }
        }
        Some(Adjacency::Drop(reason)) => out.drop(packet, *reason),
        _ => out.drop(packet, DropReason::Unresolved),
    }
}

fn to_port(
    tables: &Tables,
    mut packet: Packet,
    facts: &IpFacts,
    interface: u16,
    out: &mut Outputs,
) {
    let Some(interface) = tables.interfaces.get(interface) else {
        return out.drop(packet, DropReason::InterfaceDown);
    };
    if packet.mbuf.len() > usize::from(interface.mtu) {
        // Nobody answers for a group, and its copies do not fit the link.
        return out.drop(packet, DropReason::TooBig);
    }
    let destination = match IpAddr::from(facts.dst) {
        IpAddr::V4(a) if a.is_multicast() => MacAddr::multicast_v4(a),
        IpAddr::V4(_) => MacAddr::BROADCAST,
        IpAddr::V6(a) => MacAddr::multicast_v6(a),
    };
    match rewrite_l2(&mut packet, &L2Rewrite::new(interface, destination)) {
        Ok(()) => out.push(replicate::TX, packet),
        Err(reason) => out.drop(packet, reason),
    }
}
