//! Security associations as the cores see them: immutable keys and identities. What changes per
//! packet, sequence counters and replay windows, lives in the stage that owns the SA.

use std::sync::Arc;

use aead::Key;

use super::device_key::DeviceKey;
use super::index::HashIndex;
use super::policy::Policy;
use super::tunnel::Remote;
use crate::addr::Addr;
use crate::counters::SaCounters;
use crate::packet::Packet;
use crate::replay::ReplayWindow;

/// How an SA wraps its packets (RFC 4301 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaMode {
    /// The outer IP header is the GRE packet's own.
    Transport,
    /// A whole IP packet is wrapped into a new one.
    Tunnel,
}

/// When an SA ends by itself; zero means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifetime {
    /// Packets.
    pub packets: u64,
    /// Octets of ciphertext and plaintext alike, counted as IP payload.
    pub octets: u64,
    /// TSC value at which it ends.
    pub tsc: u64,
}

impl Lifetime {
    /// The same with limits that are never reached in place of none: each is one comparison then.
    pub(crate) fn or_never(self) -> Self {
        let limit = |limit: u64| if limit == 0 { u64::MAX } else { limit };
        Lifetime { packets: limit(self.packets), octets: limit(self.octets), tsc: limit(self.tsc) }
    }
}

/// An SA on which we receive. What each packet needs is in the first two cache lines.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct InboundSa {
    /// Its key.
    pub key: Key,
    /// When it ends.
    pub lifetime: Lifetime,
    /// What it has done.
    pub counters: Arc<SaCounters>,
    /// SPI that we chose.
    pub spi: u32,
    /// Index of the SA, the same in tables and run-time state.
    pub slot: u32,
    /// Our outer address.
    pub local: Addr,
    /// The peer's outer address, behind a NAT the one that it was first known by.
    pub remote: Addr,
    /// The UDP port that tells the peer from others with its address, behind the same NAT; 0: none.
    pub peer_port: u16,
    /// The profile it was made by: tunnels accept only SAs of their own profile.
    pub profile: u16,
    /// Whether ESP comes in UDP 4500.
    pub udp: bool,
    /// Transport or tunnel.
    pub mode: SaMode,
    /// Extended sequence numbers.
    pub esn: bool,
    /// Whether GRE may be inside.
    pub allows_gre: bool,
    /// The same key in a crypto device, if one has it: `key` does what the device cannot.
    pub device_key: Option<DeviceKey>,
    /// An empty anti-replay window, of the size and kind that this SA starts with.
    pub window: ReplayWindow,
    /// Selectors that a decrypted packet of an IPsec policy must match one of.
    pub selectors: Policy,
}

impl InboundSa {
    /// The peer, as tunnels know it.
    #[inline(always)]
    #[must_use]
    pub fn peer(&self) -> Remote {
        Remote { address: self.remote, port: self.peer_port }
    }

    /// Whether GRE comes right behind its ESP header.
    #[inline(always)]
    #[must_use]
    pub fn takes_gre(&self) -> bool {
        self.allows_gre && self.mode == SaMode::Transport
    }

    /// Whether the packet's ESP header, at `meta.l4`, has this SA's SPI.
    #[inline]
    pub fn is_named_in(&self, packet: &Packet) -> bool {
        let header = packet.mbuf.data().get(usize::from(packet.meta.l4)..);
        header.and_then(|header| header.first_chunk()) == Some(&self.spi.to_be_bytes())
    }
}

/// An SA on which we send.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct OutboundSa {
    /// Its key.
    pub key: Key,
    /// SPI that the peer chose.
    pub spi: u32,
    /// Index of the SA, the same in tables and run-time state.
    pub slot: u32,
    /// Extended sequence numbers.
    pub esn: bool,
    /// Added to the 64-bit sequence number to make the IV. Zero for keys that are fresh by
    /// construction; random for manual keys, which outlive a restart of the counter.
    pub iv_offset: u64,
    /// When it ends.
    pub lifetime: Lifetime,
    /// What it has done. Belongs to this key alone: the sequence number in it is where the next
    /// core that owns the SA goes on.
    pub counters: Arc<SaCounters>,
    /// The same key in a crypto device, if one has it: `key` does what the device cannot.
    pub device_key: Option<DeviceKey>,
}

/// SAs that stay in the second-level cache with what belongs to them: to fetch costs more there
/// than it saves.
pub const FEW_SAS: usize = 2048;

/// All SAs.
#[derive(Debug, Default, Clone)]
pub struct SaTable {
    /// Slots by SPI.
    by_spi: HashIndex,
    inbound: Vec<Option<Arc<InboundSa>>>,
    /// Whether they take GRE, by slot.
    take_gre: Vec<bool>,
    outbound: Vec<Option<Arc<OutboundSa>>>,
}

impl SaTable {
    /// Builds the look-ups from all SAs that are alive. SPIs of inbound SAs are distinct.
    pub fn new(
        inbound: impl IntoIterator<Item = Arc<InboundSa>>,
        outbound: impl IntoIterator<Item = Arc<OutboundSa>>,
    ) -> Self {
        let mut table = SaTable::default();
        let mut spis = Vec::new();
        for sa in inbound {
            spis.push((hash(sa.spi), sa.slot));
            let slot = sa.slot;
            put(&mut table.inbound, slot, sa);
        }
        let takes_gre = |sa: &Option<Arc<InboundSa>>| sa.as_ref().is_some_and(|sa| sa.takes_gre());
        table.take_gre = table.inbound.iter().map(takes_gre).collect();
        table.by_spi = HashIndex::new(&spis);
        for sa in outbound {
            let slot = sa.slot;
            put(&mut table.outbound, slot, sa);
        }
        table
    }

    /// The slot of the inbound SA of this SPI.
    #[inline(always)]
    pub fn slot_of(&self, spi: u32) -> Option<u32> {
        // Different SPIs have different hashes and tags.
        self.by_spi.find(hash(spi), |_| true)
    }

    /// Fetches where [`slot_of`](Self::slot_of) looks first.
    #[inline(always)]
    pub fn prefetch(&self, spi: u32) {
        self.by_spi.prefetch(hash(spi));
    }

    /// Slots for inbound SAs, whether in use or not.
    pub fn inbound_slots(&self) -> usize {
        self.inbound.len()
    }

    /// Slots for outbound SAs, whether in use or not.
    pub fn outbound_slots(&self) -> usize {
        self.outbound.len()
    }

    /// The inbound SA in this slot, to be shared with another table.
    pub fn shared_inbound(&self, slot: u32) -> Option<&Arc<InboundSa>> {
        self.inbound.get(slot as usize)?.as_ref()
    }

    /// The outbound SA in this slot, to be shared with another table.
    pub fn shared_outbound(&self, slot: u32) -> Option<&Arc<OutboundSa>> {
        self.outbound.get(slot as usize)?.as_ref()
    }

    /// The inbound SA in this slot.
    #[inline]
    pub fn inbound(&self, slot: u32) -> Option<&InboundSa> {
        self.inbound.get(slot as usize)?.as_deref()
    }

    /// By slot, whether there is an inbound SA that [takes GRE](InboundSa::takes_gre), without a
    /// look at it.
    #[inline(always)]
    pub fn take_gre(&self) -> &[bool] {
        &self.take_gre
    }

    /// The outbound SA in this slot.
    #[inline]
    pub fn outbound(&self, slot: u32) -> Option<&OutboundSa> {
        self.outbound.get(slot as usize)?.as_deref()
    }
}

/// The SPI itself for a tag, and mixed bits above it for a slot.
#[inline(always)]
fn hash(spi: u32) -> u64 {
    u64::from(spi.wrapping_mul(0x9e37_79b1)) << 32 | u64::from(spi)
}

fn put<T>(slots: &mut Vec<Option<Arc<T>>>, slot: u32, sa: Arc<T>) {
    let slot = slot as usize;
    if slots.len() <= slot {
        slots.resize_with(slot + 1, || None);
    }
    slots[slot] = Some(sa);
}
