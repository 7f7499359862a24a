//! What the owner of an inbound SA keeps of it.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use aead::Key;

use crate::counters::SaCounters;
use crate::drops::DropReason;
use crate::engine::message::Event;
use crate::ip::IpFacts;
use crate::packet::{Flags, Meta, Packet};
use crate::replay::{ReplayError, ReplayWindow};
use crate::stages::underlay::PLAIN_LEN;
use crate::tables::InboundSa;
use crate::tables::encap::ESP_IV;
use crate::tables::sa::Lifetime;

/// Run-time state of an inbound SA, apart from what its counters hold: packets and octets. What
/// each packet needs of the SA itself is here, too: with very many SAs each line is a cache miss,
/// but for the second of a pair, which the CPU fetches unasked.
#[repr(align(128))]
pub(super) struct Inbound {
    pub(super) sa: Arc<InboundSa>,
    /// The SA's. Gone before the SA is given back, so that the control thread wipes it.
    pub(super) key: Key,
    /// The SA's.
    pub(super) counters: Arc<SaCounters>,
    pub(super) window: ReplayWindow,
    /// It ends when its packets, its octets or the clock reach these.
    end: Lifetime,
    /// Source and destination as the headers of its packets have them, if it is of IPv4; otherwise
    /// zero, which no packet has.
    ends: [u8; 8],
    /// The SA's.
    pub(super) spi: u32,
    /// The SA's.
    pub(super) esn: bool,
    /// The SA's.
    pub(super) udp: bool,
    pub(super) expired: Cell<bool>,
    /// The stage's count of changes when it was installed.
    pub(super) since: u64,
    /// Where the peer of a UDP-encapsulated SA was last seen.
    endpoint: Option<Box<(IpAddr, u16)>>,
}

const _: () = assert!(size_of::<Option<Inbound>>() == 128);

impl Inbound {
    pub(super) fn new(sa: Arc<InboundSa>, since: u64) -> Self {
        let mut ends = [0; 8];
        if sa.local.is_v4() {
            ends[..4].copy_from_slice(&sa.remote.v4_bits().to_be_bytes());
            ends[4..].copy_from_slice(&sa.local.v4_bits().to_be_bytes());
        }
        Inbound {
            window: sa.window.clone(),
            end: sa.lifetime.or_never(),
            ends,
            key: sa.key.clone(),
            counters: sa.counters.clone(),
            spi: sa.spi,
            esn: sa.esn,
            udp: sa.udp,
            sa,
            expired: Cell::new(false),
            since,
            endpoint: None,
        }
    }

    #[inline(always)]
    pub(super) fn over(&self, now: u64) -> bool {
        let traffic = &self.counters.traffic;
        traffic.packets.value() >= self.end.packets
            || traffic.octets.value() >= self.end.octets
            || now >= self.end.tsc
    }

    /// Fetches all that a packet with so many octets of text needs of what the state leads to.
    pub(super) fn fetch(&self, text_len: usize) {
        dpdk::prefetch(&*self.counters);
        self.window.newest().into_iter().for_each(dpdk::prefetch);
        self.key.prefetch(text_len);
    }

    /// Whether a packet came between the addresses of the SA, in UDP where that was agreed. Behind
    /// a NAT the source may change; once the packet is authentic, its SA follows (RFC 3948).
    pub(super) fn is_met_by(&self, meta: &Meta, data: &[u8]) -> bool {
        if meta.l4 == PLAIN_LEN && self.is_met_in_plain(data) {
            return true;
        }
        if meta.flags.has(Flags::UDP_ENCAPSULATED) != self.udp {
            return false;
        }
        let Ok(facts) = IpFacts::parse(data, true) else { return false };
        self.sa.local == facts.dst && (self.udp || self.sa.remote == facts.src)
    }

    /// The same, if it can be told, of a packet right behind a plain IPv4 header, so not in UDP.
    #[inline(always)]
    fn is_met_in_plain(&self, data: &[u8]) -> bool {
        !self.udp && data.get(12..20) == Some(&self.ends)
    }

    /// The number of a packet as nearly all are, if nothing is wrong with it before it is
    /// decrypted: over plain IPv4, not in UDP, in order. Calls nothing, so that what a loop needs
    /// stays in registers.
    #[inline(always)]
    pub(super) fn check_usual(&self, now: u64, meta: &Meta, data: &[u8]) -> Option<u64> {
        let headers = data.first_chunk::<{ PLAIN_LEN as usize + ESP_IV }>()?;
        let [.., a, b, c, d, e, f, g, h, _, _, _, _, _, _, _, _] = *headers;
        let (spi, low) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        let is_met = meta.l4 == PLAIN_LEN && self.is_met_in_plain(headers);
        if !is_met || spi != self.spi || self.expired.get() || self.over(now) {
            return None;
        }
        self.window.check_near(low)
    }

    /// What a job needs: key, SPI, and whether there is ESN.
    #[inline(always)]
    pub(super) fn as_job(&self) -> (&Key, u32, bool) {
        (&self.key, self.spi, self.esn)
    }

    /// Tells the control thread when the peer's address or port changed (RFC 7296 section 2.23).
    pub(super) fn note_endpoint(&mut self, packet: &Packet, events: &mut Vec<Event>) {
        let data = packet.mbuf.data();
        let udp = data.get(usize::from(packet.meta.l4).wrapping_sub(8)..);
        let port = udp.and_then(|udp| udp.first_chunk());
        let (Ok(facts), Some(port)) = (IpFacts::parse(data, true), port) else { return };
        let seen = (facts.src.into(), u16::from_be_bytes(*port));
        if self.endpoint.as_deref() != Some(&seen) {
            self.endpoint = Some(Box::new(seen));
            let (address, port) = seen;
            events.push(Event::PeerMoved { slot: self.sa.slot, address, port });
        }
    }

    /// Counts a replay, and says why the packet is refused.
    #[inline(never)]
    pub(super) fn replayed(&self, error: ReplayError) -> DropReason {
        self.counters.replays.add(1);
        match error {
            ReplayError::TooOld => DropReason::ReplayTooOld,
            ReplayError::Duplicate => DropReason::ReplayDuplicate,
            _ => DropReason::ReplaySequence,
        }
    }
}
