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
    /// The fragments of a packet behind the first.
    later: Vec<Mbuf>,
}

impl Fragment {
    /// Takes buffers for fragments from `pool`.
    pub fn new(pool: Mempool) -> Self {
        Fragment { pool, later: Vec::new() }
    }

    fn cut(&mut self, context: &Context<'_>, mut packet: Packet, out: &mut Outputs) {
        let mtu = usize::from(packet.meta.mtu);
        match split(&mut packet.mbuf, mtu, &self.pool, &mut self.later) {
            Ok(()) => {}
            Err(DropReason::TooBig) => {
                packet.meta.punt = PuntReason::TooBig;
                return out.push(fragment::PUNT, packet);
            }
            Err(reason) => {
                self.later.clear();
                return out.drop(packet, reason);
            }
        }
        let meta = packet.meta;
        out.made(self.later.len() as i64);
        let later = self.later.drain(..).map(|mbuf| Packet { mbuf, meta });
        let adjacency = context.tables.adjacencies.get(meta.adjacency as usize);
        for mut piece in std::iter::once(packet).chain(later) {
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

/// Cuts an IPv4 packet: the first fragment stays where it is, and only what does not fit there is
/// copied, to `later`. If there is an error, the packet is as it was.
fn split(
    mbuf: &mut Mbuf,
    mtu: usize,
    pool: &Mempool,
    later: &mut Vec<Mbuf>,
) -> Result<(), DropReason> {
    let packet = ip4::Packet::new_checked(mbuf.data()).map_err(|_| DropReason::TooBig)?;
    let fragments = frag::Fragments::ip4(&packet, mtu).map_err(|error| match error {
        frag::Error::DontFragment => DropReason::TooBig,
        _ => DropReason::FragmentMalformed,
    })?;
    let mut first = ([0; ip4::HEADER_LEN_MAX], 0, 0);
    for fragment in fragments {
        let mut header = [0; ip4::HEADER_LEN_MAX];
        let len = frag::write_ip4_header(&packet, &fragment, &mut header)
            .map_err(|_| DropReason::FragmentMalformed)?;
        if fragment.payload.start == 0 {
            first = (header, len, len + fragment.payload.end);
            continue;
        }
        let mut piece = pool.alloc().ok_or(DropReason::NoBuffer)?;
        put(&mut piece, &[&header[..len], &packet.payload()[fragment.payload]])?;
        later.push(piece);
    }
    // It has all the options of the whole, so that its payload lies where it lay.
    let (header, len, end) = first;
    if !mbuf.is_head_exclusive() {
        *mbuf = mbuf.copy(pool).ok_or(DropReason::NoBuffer)?;
    }
    mbuf.data_mut().ok_or(DropReason::NoRoom)?[..len].copy_from_slice(&header[..len]);
    // What the port hashed were the ports of the whole, which the other fragments lack.
    mbuf.clear_offloads();
    if mbuf.narrow(0, end) { Ok(()) } else { Err(DropReason::FragmentMalformed) }
}

/// Appends `parts` one after the other.
pub(super) fn put(mbuf: &mut Mbuf, parts: &[&[u8]]) -> Result<(), DropReason> {
    for part in parts {
        mbuf.append(part.len()).ok_or(DropReason::NoRoom)?.copy_from_slice(part);
    }
    Ok(())
}
