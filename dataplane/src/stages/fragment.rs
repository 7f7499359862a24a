//! fragment: inner packets that are too big for their tunnel or link.
//!
//! ESP in transport mode covers whole datagrams, so the inner packet is cut before encapsulation
//! when it allows that; when it does not (DF set, or IPv6, where only the source fragments), the
//! control thread answers with the MTU (RFC 1191, RFC 8201).

use dpdk::{Mbuf, Mempool};
use wire::{frag, ip4};

use crate::drops::DropReason;
use crate::engine::stage::{Context, Outputs, Stage};
use crate::engine::topology::output::fragment;
use crate::packet::{Packet, PuntReason};
use crate::stages::rewrite::rewrite_l2;
use crate::tables::Adjacency;

/// Cuts inner packets.
pub struct Fragment {
    pool: Mempool,
}

impl Fragment {
    /// Takes buffers for fragments from `pool`.
    pub fn new(pool: Mempool) -> Self {
        Fragment { pool }
    }

    fn cut(&self, context: &Context<'_>, mut packet: Packet, out: &mut Outputs) {
        let mtu = usize::from(packet.meta.mtu);
        let pieces = match split(&packet.mbuf, mtu, &self.pool) {
            Ok(pieces) => pieces,
            Err(DropReason::TooBig) => {
                packet.meta.punt = PuntReason::TooBig;
                return out.push(fragment::PUNT, packet);
            }
            Err(reason) => return out.drop(packet, reason),
        };
        let meta = packet.meta;
        out.consume(packet);
        let adjacency = context.tables.adjacencies.get(meta.adjacency as usize);
        for mbuf in pieces {
            out.made(1);
            let mut piece = Packet { mbuf, meta };
            match adjacency {
                Some(Adjacency::Tunnel(_)) => out.push(fragment::ENCAP, piece),
                Some(Adjacency::Neighbor(l2)) => match rewrite_l2(&mut piece, l2) {
                    Ok(()) => out.push(fragment::TX, piece),
                    Err(reason) => out.drop(piece, reason),
                },
                _ => out.drop(piece, DropReason::Unresolved),
            }
        }
    }
}

impl Stage for Fragment {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        for packet in input.drain(..) {
            self.cut(context, packet, out);
        }
    }
}

/// The fragments of an IPv4 packet, all or none.
fn split(mbuf: &Mbuf, mtu: usize, pool: &Mempool) -> Result<Vec<Mbuf>, DropReason> {
    let packet = ip4::Packet::new_checked(mbuf.data()).map_err(|_| DropReason::TooBig)?;
    let fragments = frag::Fragments::ip4(&packet, mtu).map_err(|error| match error {
        frag::Error::DontFragment => DropReason::TooBig,
        _ => DropReason::FragmentMalformed,
    })?;
    fragments
        .map(|fragment| {
            let mut piece = pool.alloc().ok_or(DropReason::NoBuffer)?;
            let payload = &packet.payload()[fragment.payload.clone()];
            let mut header = [0; ip4::HEADER_LEN_MAX];
            let len = frag::write_ip4_header(&packet, &fragment, &mut header)
                .map_err(|_| DropReason::FragmentMalformed)?;
            put(&mut piece, &[&header[..len], payload])?;
            Ok(piece)
        })
        .collect()
}

/// Appends `parts` one after the other.
pub(super) fn put(mbuf: &mut Mbuf, parts: &[&[u8]]) -> Result<(), DropReason> {
    for part in parts {
        mbuf.append(part.len()).ok_or(DropReason::NoRoom)?.copy_from_slice(part);
    }
    Ok(())
}
