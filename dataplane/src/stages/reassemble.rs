//! reassemble: fragments of outer packets that are addressed to us, put together again.
//!
//! Peers fragment after encryption, and NATs and tunnels on the way do, so this is always there;
//! and anyone can send fragments, so everything about it has a limit. Overlaps end a datagram
//! (RFC 5722 section 4, applied to IPv4, too); what is incomplete after a while is dropped. A
//! congestion mark on any fragment is one on the datagram (RFC 3168 section 5.3).
//!
//! Most datagrams come in two fragments, one behind the other. These are put together at once, in
//! the buffer of the first, and no limit is of their concern: nothing of them is held.

use std::collections::VecDeque;
use std::net::IpAddr;

use dpdk::{Mbuf, Mempool};
use wire::ecn::{self, Ecn};
use wire::{IpProto, frag, ip4, ip6};

use crate::drops::DropReason;
use crate::engine::stage::{Context, Outputs, Stage};
use crate::engine::topology::output::reassemble;
use crate::ip::IpFacts;
use crate::packet::{Flags, Meta, Packet};
use crate::stages::fragment::put;
use crate::stages::underlay::{self, Verdict};
use crate::tables::FastMap;

/// Limits of one instance.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Incomplete datagrams, in all.
    pub datagrams: usize,
    /// Incomplete datagrams of one source address: one host cannot use up all.
    pub datagrams_of_source: usize,
    /// Fragments of one datagram: 64 KiB in pieces of 1 280 octets are 52.
    pub fragments: usize,
    /// Buffers held, in all: the rest of the pool stays for traffic.
    pub buffers: usize,
    /// Milliseconds from the first fragment to the last: an order of magnitude over what paths
    /// reorder by, and short enough that identifications do not come around.
    pub timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            datagrams: 1024,
            datagrams_of_source: 64,
            fragments: 64,
            buffers: 4096,
            timeout_ms: 2_000,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    src: IpAddr,
    dst: IpAddr,
    protocol: IpProto,
    ident: u32,
    /// Fragments from inside an SA are never mixed with those in clear.
    sa: u32,
}

struct Piece {
    start: usize,
    end: usize,
    ecn: Ecn,
    /// Where the fragment's data begins in the buffer.
    at: usize,
    mbuf: Mbuf,
}

struct Datagram {
    pieces: Vec<Piece>,
    /// Octets of the whole payload, known from the last fragment.
    total: Option<usize>,
    /// Highest end of any piece.
    end: usize,
    meta: Meta,
    deadline: u64,
}

impl Datagram {
    fn is_complete(&self) -> bool {
        let octets: usize = self.pieces.iter().map(|piece| piece.end - piece.start).sum();
        self.total == Some(octets)
    }
}

/// Where a fragment lies.
struct Place {
    key: Key,
    start: usize,
    at: usize,
    more: bool,
    ecn: Ecn,
}

/// Puts datagrams together.
pub struct Reassemble {
    /// Buffers of 64 KiB for whole datagrams.
    pool: Mempool,
    limits: Limits,
    datagrams: FastMap<Key, Datagram>,
    by_source: FastMap<IpAddr, usize>,
    /// Keys by deadline; may name datagrams that are gone.
    deadlines: VecDeque<(u64, Key)>,
    buffers: usize,
}

impl Reassemble {
    /// Whole datagrams go into buffers of `pool`.
    pub fn new(pool: Mempool, limits: Limits) -> Self {
        Reassemble {
            pool,
            limits,
            datagrams: FastMap::default(),
            by_source: FastMap::default(),
            deadlines: VecDeque::new(),
            buffers: 0,
        }
    }

    /// Makes `first`, which lies at `one`, a whole IPv4 datagram if `rest` is all that it lacks.
    /// `false`, and nothing changed, if it is not, if something of the datagram came before, or if
    /// there is no room.
    fn join_two(&self, one: &Place, first: &mut Packet, rest: &Packet) -> bool {
        if one.start != 0 || !one.more {
            return false;
        }
        let Ok(other) = place(rest) else { return false };
        let ends = !other.more && one.key == other.key;
        let follows = other.start == first.mbuf.len() - one.at;
        let data = rest.mbuf.data().get(other.at..).unwrap_or_default();
        let fits = [first, rest].iter().all(|packet| packet.mbuf.is_contiguous())
            && first.mbuf.is_head_exclusive()
            && first.mbuf.tailroom() >= data.len();
        let alike = one.key.src.is_ipv4() && one.ecn == other.ecn;
        if !ends || !follows || !fits || !alike || self.has(&one.key) {
            return false;
        }
        // What the port found out is of a fragment.
        first.mbuf.clear_offloads();
        put(&mut first.mbuf, &[data]).and_then(|()| make_whole_v4(&mut first.mbuf, one.ecn)).is_ok()
    }

    /// Whether fragments of this datagram are held.
    fn has(&self, key: &Key) -> bool {
        !self.datagrams.is_empty() && self.datagrams.contains_key(key)
    }

    /// Holds a fragment, or completes its datagram.
    fn fragment(
        &mut self,
        context: &Context<'_>,
        (place, packet): (Place, Packet),
        out: &mut Outputs,
    ) {
        if let Err(reason) = self.admit(context, &place.key, packet.meta) {
            return out.drop(packet, reason);
        }
        let key = place.key;
        match self.insert(place, packet, out) {
            Ok(true) => self.complete(context, &key, out),
            Ok(false) => {}
            Err(reason) => self.discard(&key, reason, out),
        }
    }

    /// Makes room for a datagram that is new, within the limits.
    fn admit(&mut self, context: &Context<'_>, key: &Key, meta: Meta) -> Result<(), DropReason> {
        if self.buffers >= self.limits.buffers {
            return Err(DropReason::FragmentMemory);
        }
        if self.datagrams.contains_key(key) {
            return Ok(());
        }
        if self.datagrams.len() >= self.limits.datagrams {
            return Err(DropReason::FragmentMemory);
        }
        let of_source = self.by_source.entry(key.src).or_insert(0);
        if *of_source >= self.limits.datagrams_of_source {
            return Err(DropReason::FragmentQuota);
        }
        *of_source += 1;
        let deadline = context.now + context.ticks_per_second / 1000 * self.limits.timeout_ms;
        let datagram = Datagram { pieces: Vec::new(), total: None, end: 0, meta, deadline };
        self.datagrams.insert(*key, datagram);
        if self.deadlines.len() >= 2 * self.limits.datagrams {
            // Those of complete datagrams stay until they are due; a flood must not pile up.
            let datagrams = &self.datagrams;
            let live = |(due, key): &(u64, Key)| {
                datagrams.get(key).is_some_and(|datagram| datagram.deadline == *due)
            };
            self.deadlines.retain(live);
        }
        self.deadlines.push_back((deadline, *key));
        Ok(())
    }

    /// Adds a piece; says whether the datagram is complete. On an error the datagram is to be
    /// discarded, this piece included.
    fn insert(
        &mut self,
        place: Place,
        packet: Packet,
        out: &mut Outputs,
    ) -> Result<bool, DropReason> {
        let Some(datagram) = self.datagrams.get_mut(&place.key) else { return Ok(false) };
        let end = place.start + packet.mbuf.len() - place.at;
        let overlap = datagram.pieces.iter().find(|p| place.start < p.end && p.start < end);
        if let Some(piece) = overlap
            && (piece.start, piece.end) == (place.start, end)
        {
            out.drop(packet, DropReason::FragmentDuplicate);
            return Ok(false);
        }
        let overlaps = overlap.is_some();
        let beyond =
            datagram.total.is_some_and(|total| end > total || (!place.more && end != total))
                || (!place.more && datagram.end > end);
        let too_many = datagram.pieces.len() >= self.limits.fragments;
        if place.start == 0 {
            datagram.meta = packet.meta;
        }
        if !place.more {
            datagram.total = Some(end);
        }
        datagram.end = datagram.end.max(end);
        let Place { start, at, ecn, .. } = place;
        let piece = Piece { start, end, ecn, at, mbuf: packet.mbuf };
        datagram.pieces.push(piece);
        self.buffers += 1;
        out.made(-1);
        if overlaps || beyond {
            return Err(DropReason::FragmentOverlap);
        }
        if too_many {
            return Err(DropReason::FragmentQuota);
        }
        Ok(datagram.is_complete())
    }

    fn forget(&mut self, key: &Key) -> Option<Datagram> {
        let datagram = self.datagrams.remove(key)?;
        self.buffers -= datagram.pieces.len();
        if let Some(count) = self.by_source.get_mut(&key.src) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&key.src);
            }
        }
        Some(datagram)
    }

    fn discard(&mut self, key: &Key, reason: DropReason, out: &mut Outputs) {
        for piece in self.forget(key).into_iter().flat_map(|datagram| datagram.pieces) {
            out.made(1);
            out.drop_mbuf(piece.mbuf, reason);
        }
    }

    fn complete(&mut self, context: &Context<'_>, key: &Key, out: &mut Outputs) {
        let Some(mut datagram) = self.forget(key) else { return };
        datagram.pieces.sort_unstable_by_key(|piece| piece.start);
        let whole = self.pool.alloc().ok_or(DropReason::NoBuffer);
        let whole = whole.and_then(|mbuf| join(mbuf, &datagram.pieces));
        let packet = match whole {
            Ok(mbuf) => Packet { mbuf, meta: datagram.meta },
            Err(reason) => {
                for piece in datagram.pieces {
                    out.made(1);
                    out.drop_mbuf(piece.mbuf, reason);
                }
                return;
            }
        };
        out.made(1);
        send(context, packet, out);
    }
}

impl Stage for Reassemble {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        let mut packets = input.drain(..).peekable();
        while let Some(mut packet) = packets.next() {
            let place = match place(&packet) {
                Ok(place) => place,
                Err(reason) => {
                    out.drop(packet, reason);
                    continue;
                }
            };
            match packets.next_if(|rest| self.join_two(&place, &mut packet, rest)) {
                Some(rest) => {
                    out.consume(rest);
                    send(context, packet, out);
                }
                None => self.fragment(context, (place, packet), out),
            }
        }
        out.held(self.buffers);
    }

    fn clear(&mut self, out: &mut Outputs) {
        let keys: Vec<Key> = self.datagrams.keys().copied().collect();
        for key in keys {
            self.discard(&key, DropReason::FragmentTimeout, out);
        }
        out.held(self.buffers);
    }

    fn tick(&mut self, context: &mut Context<'_>, out: &mut Outputs) {
        while let Some((deadline, key)) = self.deadlines.front().copied()
            && deadline <= context.now
        {
            self.deadlines.pop_front();
            if self.datagrams.get(&key).is_some_and(|datagram| datagram.deadline == deadline) {
                self.discard(&key, DropReason::FragmentTimeout, out);
            }
        }
        out.held(self.buffers);
    }
}

fn refused(refused: frag::Refused) -> DropReason {
    match refused {
        frag::Refused::Empty | frag::Refused::Unaligned => DropReason::FragmentMalformed,
        frag::Refused::BeyondEnd => DropReason::FragmentTooLong,
        frag::Refused::Tiny => DropReason::FragmentTiny,
    }
}

fn place(packet: &Packet) -> Result<Place, DropReason> {
    let data = packet.mbuf.data();
    let sa = packet.meta.sa;
    if let Ok(ip) = ip4::Packet::new_checked(data) {
        frag::check_ip4(&ip).map_err(refused)?;
        let (src, dst) = (IpAddr::V4(ip.src()), IpAddr::V4(ip.dst()));
        let key = Key { src, dst, protocol: ip.protocol(), ident: ip.ident().into(), sa };
        let (start, at) = (usize::from(ip.fragment_offset()), ip.header_len());
        return Ok(Place { key, start, at, more: ip.more_fragments(), ecn: ip.ecn() });
    }
    let ip = ip6::Packet::new_checked(data).map_err(|_| DropReason::IpLength)?;
    let upper = ip6::ext::upper(ip.next_header(), ip.payload())
        .map_err(|_| DropReason::IpExtensionHeader)?;
    // Other headers in front of the fragment header belong to routing we do not do.
    let Some((0, fragment)) = upper.fragment else { return Err(DropReason::FragmentMalformed) };
    let at = ip6::HEADER_LEN + ip6::ext::FRAGMENT_LEN;
    frag::check_ip6(&fragment, data.len() - at).map_err(refused)?;
    let (src, dst) = (IpAddr::V6(ip.src()), IpAddr::V6(ip.dst()));
    let key = Key { src, dst, protocol: fragment.next_header, ident: fragment.ident, sa };
    let start = usize::from(fragment.offset);
    Ok(Place { key, start, at, more: fragment.more, ecn: ip.ecn() })
}

/// The whole datagram: the first fragment's header, made that of an unfragmented packet, and all
/// the data.
fn join(mut whole: Mbuf, pieces: &[Piece]) -> Result<Mbuf, DropReason> {
    let first = pieces.first().ok_or(DropReason::FragmentMalformed)?;
    let ecn = ecn::reassemble(pieces.iter().map(|piece| piece.ecn));
    let ecn = ecn.ok_or(DropReason::EcnInvalid)?;
    let is_v4 = first.mbuf.data()[0] >> 4 == 4;
    let header_len = if is_v4 { first.at } else { ip6::HEADER_LEN };
    put(&mut whole, &[&first.mbuf.data()[..header_len]])
        .map_err(|_| DropReason::FragmentOversize)?;
    for piece in pieces {
        put(&mut whole, &[&piece.mbuf.data()[piece.at..]])
            .map_err(|_| DropReason::FragmentOversize)?;
    }
    if is_v4 {
        make_whole_v4(&mut whole, ecn)?;
    } else {
        let len = whole.len();
        let data = whole.data_mut().ok_or(DropReason::NoBuffer)?;
        let payload = u16::try_from(len - ip6::HEADER_LEN);
        let payload = payload.map_err(|_| DropReason::FragmentTooLong)?;
        // The first octet of the fragment header says what follows it.
        let next_header = first.mbuf.data()[ip6::HEADER_LEN];
        data[4..6].copy_from_slice(&payload.to_be_bytes());
        data[6] = next_header;
        let mut ip = ip6::Packet::new_checked(data).map_err(|_| DropReason::IpLength)?;
        let class = ecn.in_class(ip.traffic_class());
        ip.set_traffic_class(class);
    }
    Ok(whole)
}

/// Makes the IPv4 header that of an unfragmented packet with all that is behind it.
fn make_whole_v4(whole: &mut Mbuf, ecn: Ecn) -> Result<(), DropReason> {
    let len = u16::try_from(whole.len()).map_err(|_| DropReason::FragmentTooLong)?;
    let data = whole.data_mut().ok_or(DropReason::NoBuffer)?;
    data[1] = ecn.in_class(data[1]);
    data[2..4].copy_from_slice(&len.to_be_bytes());
    let mut ip = ip4::Packet::new_checked(data).map_err(|_| DropReason::IpLength)?;
    ip.set_fragment(false, false, 0);
    ip.fill_checksum();
    Ok(())
}

/// Sends a whole datagram on.
fn send(context: &Context<'_>, mut packet: Packet, out: &mut Outputs) {
    match dispatch(context, &mut packet) {
        Ok(output) => out.push(output, packet),
        Err(reason) => out.drop(packet, reason),
    }
}

fn dispatch(context: &Context<'_>, packet: &mut Packet) -> Result<usize, DropReason> {
    let facts = IpFacts::parse(packet.mbuf.data(), true)?;
    if packet.meta.flags.has(Flags::PROTECTED) {
        // GRE between the addresses of its SA: `esp_open` saw to that.
        packet.meta.l4 = u16::try_from(facts.upper).map_err(|_| DropReason::IpHeaderLength)?;
        packet.meta.lane = packet.meta.sa;
        return Ok(reassemble::GRE);
    }
    match underlay::dispatch(context.tables, packet, &facts)? {
        Verdict::Esp => Ok(reassemble::ESP),
        Verdict::Gre => Ok(reassemble::GRE),
        Verdict::Punt => Ok(reassemble::PUNT),
    }
}
