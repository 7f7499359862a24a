//! Whom packets are from: known by what the packets before were, or looked up.

use wire::gre::{self, Protocol};
use wire::ip4;

use super::check_protection;
use crate::addr::Addr;
use crate::engine::stage::Context;
use crate::packet::{Flags, Layer, NONE, Packet};
use crate::tables::sa::FEW_SAS;
use crate::tables::tunnel::{Remote, Tunnel};
use crate::tables::{Peer, Tables};

/// Whose the packets of an SA are that have this key, as [`Origin`] has it. They came as they must.
#[derive(Clone, Copy)]
struct Sender {
    key: u64,
    /// The number of the peer.
    peer: u32,
}

impl Sender {
    /// Has a key that no packet has.
    const UNKNOWN: Sender = Sender { key: u64::MAX, peer: NONE };
}

/// What earlier packets belonged to, and what those of a burst do.
#[derive(Default)]
pub(super) struct Known {
    /// By the slot of an SA, whom its last packet was from.
    by_sa: Vec<Sender>,
    /// Of the packets of a burst, the numbers of their peers; [`NONE`] of those that did not come
    /// as they must.
    numbers: Vec<u32>,
}

impl Known {
    /// Whether so few SAs and peers are known that to find them all [at once](Self::find_all) costs
    /// more than it saves: they stay in the second-level cache.
    pub(super) fn is_small(&self, tables: &Tables) -> bool {
        self.by_sa.len() <= FEW_SAS && tables.tunnels.is_small()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.by_sa.clear();
    }

    /// Finds the peers of a burst, and fetches their counters: each step for all packets, so that
    /// cache misses overlap.
    pub(super) fn find_all(&mut self, context: &Context<'_>, packets: &[Packet]) {
        let tunnels = &context.tables.tunnels;
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.clear();
        numbers.extend(packets.iter().map(|packet| {
            let number = self.likely(context.tables, packet).unwrap_or(NONE);
            tunnels.prefetch(number);
            number
        }));
        for (packet, number) in packets.iter().zip(&mut numbers) {
            *number = Origin::of(packet)
                .and_then(|(origin, _)| self.number(context.tables, packet, origin))
                .unwrap_or(NONE);
            if let Some((_, peer)) = tunnels.peer(*number) {
                dpdk::prefetch(&peer.received[context.core]);
            }
        }
        self.numbers = numbers;
    }

    /// What was [found](Self::find_all).
    pub(super) fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// The number of the peer that a packet is from, without a look at the peer.
    fn likely(&self, tables: &Tables, packet: &Packet) -> Option<u32> {
        if packet.meta.layer == Layer::Gre {
            return self.by_sa.get(packet.meta.sa as usize).map(|sender| sender.peer);
        }
        let (origin, _) = Origin::of(packet)?;
        let (local, remote) = origin.ends(tables, packet)?;
        tables.tunnels.likely(local, remote, origin.key())
    }

    /// The number of the peer that a packet is from, if it came as that peer's packets must.
    #[inline(always)]
    fn number(&mut self, tables: &Tables, packet: &Packet, origin: Origin) -> Option<u32> {
        match self.by_sa.get(origin.sa as usize) {
            Some(sender) if origin.ends == 0 && sender.key == origin.key => Some(sender.peer),
            _ => self.look_up(tables, packet, origin.ends, origin.key, origin.sa),
        }
    }

    /// Of an [`Origin`] in pieces: whole, it would be written to memory for each packet, in case
    /// that this is called.
    #[cold]
    #[inline(never)]
    fn look_up(
        &mut self,
        tables: &Tables,
        packet: &Packet,
        ends: u64,
        key: u64,
        sa: u32,
    ) -> Option<u32> {
        let origin = Origin { ends, key, sa };
        let (local, remote) = origin.ends(tables, packet)?;
        let number = tables.tunnels.number(local, remote, origin.key())?;
        let (_, peer) = tables.tunnels.peer(number)?;
        check_protection(tables, packet, peer.protection).ok()?;
        if origin.ends == 0 {
            let slot = origin.sa as usize;
            if self.by_sa.len() <= slot {
                self.by_sa.resize(slot + 1, Sender::UNKNOWN);
            }
            self.by_sa[slot] = Sender { key: origin.key, peer: number };
        }
        Some(number)
    }
}

/// Finds peers one by one.
pub(super) struct Finder<'a, 'b> {
    known: &'b mut Known,
    /// Where the packet before was from, of those that came as their peers must.
    origin: Origin,
    /// Whose that is.
    found: Option<(&'a Tunnel, &'a Peer)>,
}

impl<'a, 'b> Finder<'a, 'b> {
    pub(super) fn new(known: &'b mut Known) -> Self {
        Finder { known, origin: Origin::NOWHERE, found: None }
    }

    /// The peer that a packet is from, if it came as that peer's packets must.
    #[inline(always)]
    pub(super) fn find(
        &mut self,
        tables: &'a Tables,
        packet: &Packet,
        origin: Origin,
    ) -> Option<(&'a Tunnel, &'a Peer)> {
        if self.origin != origin {
            let number = self.known.number(tables, packet, origin)?;
            self.found = tables.tunnels.peer(number);
            self.origin = origin;
        }
        self.found
    }
}

/// What tells a packet's peer, and whether it came as it must, as the packet has it. Of two packets
/// of one origin, in one burst, both are the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// The addresses of the outer IPv4 header, as they are there. Zero behind ESP in transport
    /// mode, whose SA tells.
    ends: u64,
    /// A key, and above it whether there is one.
    key: u64,
    /// The slot of the SA; [`NONE`] in clear.
    sa: u32,
}

impl Origin {
    /// Of no packet: each has addresses, or an SA.
    const NOWHERE: Origin = Origin { ends: 0, key: 0, sa: NONE };
    const HAS_KEY: u64 = 1 << 32;

    /// Where the packet is from, and where its payload begins, if that is IPv4 behind a header with
    /// no field but the key.
    #[inline(always)]
    pub(super) fn of(packet: &Packet) -> Option<(Self, usize)> {
        let data = packet.mbuf.data();
        let start = usize::from(packet.meta.l4);
        let (ends, sa, header) = if packet.meta.layer == Layer::Gre {
            (0, packet.meta.sa, *data.get(start..)?.first_chunk()?)
        } else {
            // One look whether all is there. With IPv6, GRE begins further behind.
            let all = data.first_chunk::<{ ip4::HEADER_LEN + HEADER_MAX }>()?;
            let (outer, header) = all.split_last_chunk()?;
            if start != ip4::HEADER_LEN {
                return None;
            }
            let protected = packet.meta.flags.has(Flags::PROTECTED);
            let sa = if protected { packet.meta.sa } else { NONE };
            (u64::from_le_bytes(*outer.last_chunk()?), sa, *header)
        };
        let [a, b, c, d, key @ ..]: [u8; HEADER_MAX] = header;
        match u32::from_be_bytes([a, b, c, d]) {
            IPV4_PLAIN => Some((Origin { ends, key: 0, sa }, start + gre::HEADER_LEN)),
            IPV4_KEY => {
                let key = Self::HAS_KEY | u64::from(u32::from_be_bytes(key));
                Some((Origin { ends, key, sa }, start + HEADER_MAX))
            }
            _ => None,
        }
    }

    fn key(self) -> Option<u32> {
        let [_, _, _, has, key @ ..] = self.key.to_be_bytes();
        (has != 0).then(|| u32::from_be_bytes(key))
    }

    /// Our address and the peer.
    #[inline(always)]
    fn ends(self, tables: &Tables, packet: &Packet) -> Option<(Addr, Remote)> {
        if packet.meta.layer == Layer::Gre {
            let sa = tables.sas.inbound(packet.meta.sa)?;
            return Some((sa.local, sa.peer()));
        }
        let [a, b, c, d, local @ ..] = self.ends.to_le_bytes();
        let address = |octets| Addr::v4(u32::from_be_bytes(octets));
        Some((address(local), address([a, b, c, d]).into()))
    }
}

/// A GRE header with a key; behind one without, there is an IP header.
const HEADER_MAX: usize = gre::HEADER_LEN + 4;
/// Flags, version and protocol of IPv4 in GRE without any field.
const IPV4_PLAIN: u32 = Protocol::IPV4.0 as u32;
/// The same with a key.
const IPV4_KEY: u32 = 0x2000_0000 | IPV4_PLAIN;
