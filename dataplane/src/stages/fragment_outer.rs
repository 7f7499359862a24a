//! fragment_outer: outer packets that are too big for the underlay path, where the configuration
//! says `fragment = "after"`. The gateway is their source, so DF is no obstacle.

use dpdk::{Mbuf, Mempool};
use wire::{frag, ip4, ip6};

use crate::drops::DropReason;
use crate::engine::stage::{Context, Outputs, Stage};
use crate::engine::topology::output::fragment_outer;
use crate::packet::Packet;
use crate::stages::fragment::put;
use crate::stages::rewrite::l3_offset;

/// Cuts outer packets.
pub struct FragmentOuter {
    pool: Mempool,
    ident: u32,
    /// Distance of identifications: the number of instances, so that no two of them meet.
    stride: u32,
}

impl FragmentOuter {
    /// Takes buffers from `pool` and IPv6 identifications from `ident` on, `stride` apart.
    pub fn new(pool: Mempool, ident: u32, stride: u32) -> Self {
        FragmentOuter { pool, ident, stride }
    }

    fn split(&mut self, packet: &mut Packet) -> Result<Vec<Mbuf>, DropReason> {
        let at = l3_offset(&packet.mbuf);
        let mtu = usize::from(packet.meta.mtu);
        let data = packet.mbuf.data_mut().ok_or(DropReason::NoBuffer)?;
        let (link, outer) = data.split_at_mut_checked(at).ok_or(DropReason::FrameTruncated)?;
        match ip4::Packet::new_checked(&mut *outer) {
            Ok(mut packet) => {
                packet.update_dont_fragment(false);
                self.split_v4(link, outer, mtu)
            }
            Err(_) => self.split_v6(link, outer, mtu),
        }
    }

    fn split_v4(&self, link: &[u8], outer: &[u8], mtu: usize) -> Result<Vec<Mbuf>, DropReason> {
        let packet = ip4::Packet::new_checked(outer).map_err(|_| DropReason::IpLength)?;
        frag::Fragments::ip4(&packet, mtu)
            .map_err(|_| DropReason::FragmentMalformed)?
            .map(|fragment| {
                let mut out = [0; ip4::HEADER_LEN_MAX];
                let len = frag::write_ip4_header(&packet, &fragment, &mut out)
                    .map_err(|_| DropReason::FragmentMalformed)?;
                self.piece(&[link, &out[..len], &packet.payload()[fragment.payload]])
            })
            .collect()
    }

    fn split_v6(&mut self, link: &[u8], outer: &[u8], mtu: usize) -> Result<Vec<Mbuf>, DropReason> {
        let packet = ip6::Packet::new_checked(outer).map_err(|_| DropReason::IpLength)?;
        let payload = packet.payload();
        self.ident = self.ident.wrapping_add(self.stride);
        frag::Fragments::ip6(payload.len(), mtu)
            .map_err(|_| DropReason::FragmentMalformed)?
            .map(|fragment| {
                let mut out = [0; frag::IP6_HEADERS_LEN];
                frag::write_ip6_headers(&packet, &fragment, self.ident, &mut out)
                    .map_err(|_| DropReason::FragmentMalformed)?;
                self.piece(&[link, &out, &payload[fragment.payload]])
            })
            .collect()
    }

    fn piece(&self, parts: &[&[u8]]) -> Result<Mbuf, DropReason> {
        let mut mbuf = self.pool.alloc().ok_or(DropReason::NoBuffer)?;
        put(&mut mbuf, parts)?;
        Ok(mbuf)
    }
}

impl Stage for FragmentOuter {
    fn run(&mut self, _: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        for mut packet in input.drain(..) {
            match self.split(&mut packet) {
                Ok(pieces) => {
                    let meta = packet.meta;
                    out.consume(packet);
                    for mbuf in pieces {
                        out.made(1);
                        out.push(fragment_outer::TX, Packet { mbuf, meta });
                    }
                }
                Err(reason) => out.drop(packet, reason),
            }
        }
    }
}
