//! Path MTU of the underlay towards each peer (RFC 1191, RFC 8201), learnt from ICMP errors that
//! quote a live tunnel.
//!
//! Anyone can send an ICMP error, so one is believed only if it quotes something that an attacker
//! off the path does not know, says something new, and comes seldom. Unreachable messages are never
//! a reason to change anything: they are advice (RFC 1122 3.2.2.1), and forging one must not take a
//! tunnel down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use thiserror::Error;
use wire::ip6::{self, ext};
use wire::{IpProto, icmp, icmp6, ip4};

use super::{Quoted, Rate};

/// After so long without a too-big message the link's own MTU is tried again (RFC 1191 6.3).
const AGEING: Duration = Duration::from_secs(600);
/// The least IPv4 path MTU believed: each host takes 576 octets (RFC 1122 3.3.2), no link in use
/// has less, and below it the overhead of ESP would eat the packet.
const FLOOR_V4: u16 = 576;
/// RFC 8201 4: a message that reports less must be discarded.
#[expect(clippy::cast_possible_truncation, reason = "1280")]
const FLOOR_V6: u16 = ip6::MIN_MTU as u16;
/// What a router that names no MTU is taken to mean: the plateaus of RFC 1191 7.1 in the range of
/// Ethernet, without those below the floor.
const PLATEAUS: [u16; 6] = [8166, 4352, 2002, 1492, 1006, FLOOR_V4];
/// Changes per second, each of which rebuilds adjacencies; a route change in the underlay may touch
/// all peers of a hub, which then adapt within seconds.
const CHANGE_INTERVAL: Duration = Duration::from_millis(10);
/// Changes at once.
const CHANGE_BURST: u32 = 500;
/// Peers with a learnt path MTU: more than any hub has spokes, and some 2 MB.
const PEERS_MAX: usize = 16_384;
/// Entries that one poll raises, so that it never holds up the control thread.
const POLL_MAX: usize = 1024;

/// The path MTU of a peer is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathMtuChange {
    /// The peer.
    pub peer: IpAddr,
    /// Octets of the largest outer IP packet; `None`: that of the link again.
    pub mtu: Option<u16>,
}

/// Why an ICMP message changes no path MTU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum PmtuDrop {
    /// No whole, sound IP packet with a sound ICMP message.
    #[error("malformed ICMP message")]
    Malformed,
    /// An error that is only advice: unreachable, time exceeded, parameter problem.
    #[error("advisory ICMP error")]
    Advisory,
    /// No ICMP error.
    #[error("no ICMP error")]
    NotError,
    /// The quoted packet is no IP packet, or a later fragment.
    #[error("ICMP error with an unreadable quote")]
    Quote,
    /// The quote ends before SPI or key.
    #[error("ICMP error that quotes too little")]
    QuoteShort,
    /// The quoted packet belongs to no kind of tunnel.
    #[error("ICMP error about something else than a tunnel")]
    NotTunnel,
    /// The error was not sent to the source of the packet that it quotes.
    #[error("ICMP error to another than the source it quotes")]
    Address,
    /// No such SA or tunnel.
    #[error("ICMP error about no live tunnel")]
    NotLive,
    /// The MTU is below 576 octets, or 1280 for IPv6.
    #[error("path MTU below the floor")]
    BelowFloor,
    /// The quoted packet would have fitted (RFC 8899 4.6.1).
    #[error("path MTU that is not below the quoted packet")]
    NotSmaller,
    /// More than what is known: only time raises a path MTU.
    #[error("path MTU that is no decrease")]
    NotDecrease,
    /// Too many changes.
    #[error("too many path MTU changes")]
    Rate,
    /// The table is full.
    #[error("path MTU table is full")]
    Full,
}

/// What became of the messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PmtuCounters {
    /// Path MTUs lowered.
    pub lowered: u64,
    /// Messages that confirmed what was known.
    pub confirmed: u64,
    /// Path MTUs that aged back up.
    pub aged: u64,
    /// Errors that are only advice.
    pub advisory: u64,
    /// Other messages that were refused.
    pub refused: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    mtu: u16,
    expires: Instant,
}

/// The path MTUs that are below those of the links.
#[derive(Debug)]
pub struct PathMtu {
    entries: BTreeMap<IpAddr, Entry>,
    expiry: BTreeSet<(Instant, IpAddr)>,
    changes: Rate,
    counters: PmtuCounters,
}

impl Default for PathMtu {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            expiry: BTreeSet::new(),
            changes: Rate::new(CHANGE_INTERVAL, CHANGE_BURST),
            counters: PmtuCounters::default(),
        }
    }
}

impl PathMtu {
    /// Takes an ICMP or ICMPv6 message that came to us on the underlay, from the IP header on.
    /// `is_live` tells whether the packet that it quotes can be ours: addresses, and SPI or key, of
    /// a tunnel or SA in use.
    ///
    /// `Ok(None)` confirms what is known.
    ///
    /// # Errors
    /// Why nothing changes.
    pub fn handle_icmp(
        &mut self,
        now: Instant,
        packet: &[u8],
        is_live: impl Fn(&Quoted) -> bool,
    ) -> Result<Option<PathMtuChange>, PmtuDrop> {
        let change = TooBig::parse(packet).and_then(|message| {
            if !is_live(&message.quoted) {
                return Err(PmtuDrop::NotLive);
            }
            self.lower(now, message.quoted.peer, message.path_mtu()?)
        });
        match change {
            Ok(Some(_)) => self.counters.lowered += 1,
            Ok(None) => self.counters.confirmed += 1,
            Err(PmtuDrop::Advisory) => self.counters.advisory += 1,
            Err(_) => self.counters.refused += 1,
        }
        change
    }

    /// Raises what has aged. Call it when [`Self::poll_timeout`] says.
    pub fn poll(&mut self, now: Instant) -> Vec<PathMtuChange> {
        let mut raised = Vec::new();
        while let Some(&(expires, peer)) = self.expiry.first() {
            if expires > now || raised.len() == POLL_MAX {
                break;
            }
            self.forget(peer);
            self.counters.aged += 1;
            raised.push(PathMtuChange { peer, mtu: None });
        }
        raised
    }

    /// When [`Self::poll`] has something to do; may have passed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.expiry.first().map(|&(expires, _)| expires)
    }

    /// The path MTU learnt for a peer, in octets of the outer IP packet.
    #[must_use]
    pub fn mtu(&self, peer: IpAddr) -> Option<u16> {
        self.entries.get(&peer).map(|entry| entry.mtu)
    }

    /// All peers with a learnt path MTU, in octets, and when it ages, in order of address.
    pub fn entries(&self) -> impl Iterator<Item = (IpAddr, u16, Instant)> + '_ {
        self.entries.iter().map(|(&peer, entry)| (peer, entry.mtu, entry.expires))
    }

    /// What became of the messages so far.
    #[must_use]
    pub fn counters(&self) -> PmtuCounters {
        self.counters
    }

    /// Forgets what was learnt for a peer that is gone; whether there was something.
    pub fn forget(&mut self, peer: IpAddr) -> bool {
        let Some(entry) = self.entries.remove(&peer) else { return false };
        self.expiry.remove(&(entry.expires, peer));
        true
    }

    fn lower(
        &mut self,
        now: Instant,
        peer: IpAddr,
        mtu: u16,
    ) -> Result<Option<PathMtuChange>, PmtuDrop> {
        let known = self.entries.get(&peer).copied();
        match known {
            Some(entry) if mtu > entry.mtu => return Err(PmtuDrop::NotDecrease),
            None if self.entries.len() >= PEERS_MAX => return Err(PmtuDrop::Full),
            _ => {}
        }
        let same = known.is_some_and(|entry| entry.mtu == mtu);
        if !same && !self.changes.allow(now) {
            return Err(PmtuDrop::Rate);
        }
        self.forget(peer);
        let expires = now + AGEING;
        self.entries.insert(peer, Entry { mtu, expires });
        self.expiry.insert((expires, peer));
        Ok((!same).then_some(PathMtuChange { peer, mtu: Some(mtu) }))
    }
}

/// A too-big message of either family.
struct TooBig {
    mtu: u32,
    quoted: Quoted,
}

impl TooBig {
    fn parse(packet: &[u8]) -> Result<Self, PmtuDrop> {
        let (to, mtu, quote) = match packet.first().map(|first| first >> 4) {
            Some(4) => Self::parse_v4(packet)?,
            Some(6) => Self::parse_v6(packet)?,
            _ => return Err(PmtuDrop::Malformed),
        };
        let quoted = Quoted::parse(quote)?;
        // Also refuses a quote of the other family.
        if quoted.local != to {
            return Err(PmtuDrop::Address);
        }
        Ok(Self { mtu, quoted })
    }

    fn parse_v4(packet: &[u8]) -> Result<(IpAddr, u32, &[u8]), PmtuDrop> {
        let packet = ip4::Packet::new_checked(packet).map_err(|_| PmtuDrop::Malformed)?;
        if !packet.verify_checksum() || packet.is_fragment() {
            return Err(PmtuDrop::Malformed);
        }
        if packet.protocol() != IpProto::ICMP {
            return Err(PmtuDrop::NotError);
        }
        match icmp::Message::parse(packet.payload()).map_err(|_| PmtuDrop::Malformed)? {
            icmp::Message::FragmentationNeeded { mtu, quoted } => {
                Ok((packet.dst().into(), mtu.into(), quoted))
            }
            icmp::Message::Unreachable { .. } | icmp::Message::TimeExceeded { .. } => {
                Err(PmtuDrop::Advisory)
            }
            // Parameter problem has no reading of its own.
            icmp::Message::Other { kind: 12, .. } => Err(PmtuDrop::Advisory),
            _ => Err(PmtuDrop::NotError),
        }
    }

    fn parse_v6(packet: &[u8]) -> Result<(IpAddr, u32, &[u8]), PmtuDrop> {
        let packet = ip6::Packet::new_checked(packet).map_err(|_| PmtuDrop::Malformed)?;
        let (src, dst, payload) = (packet.src(), packet.dst(), packet.payload());
        let upper = ext::upper(packet.next_header(), payload).map_err(|_| PmtuDrop::Malformed)?;
        if upper.fragment.is_some_and(|(_, fragment)| fragment.is_partial()) {
            return Err(PmtuDrop::Malformed);
        }
        if upper.protocol != IpProto::ICMPV6 {
            return Err(PmtuDrop::NotError);
        }
        let message = icmp6::Message::parse(src, dst, &payload[upper.offset..]);
        match message.map_err(|_| PmtuDrop::Malformed)? {
            icmp6::Message::PacketTooBig { mtu, quoted } => Ok((dst.into(), mtu, quoted)),
            icmp6::Message::Unreachable { .. }
            | icmp6::Message::TimeExceeded { .. }
            | icmp6::Message::ParameterProblem { .. } => Err(PmtuDrop::Advisory),
            _ => Err(PmtuDrop::NotError),
        }
    }

    /// The path MTU that the message stands for, if that is plausible.
    fn path_mtu(&self) -> Result<u16, PmtuDrop> {
        let (floor, len) = match self.quoted.peer {
            IpAddr::V4(_) => (FLOOR_V4, self.quoted.packet_len),
            IpAddr::V6(_) => (FLOOR_V6, self.quoted.packet_len),
        };
        let mtu = match self.mtu {
            0 if self.quoted.peer.is_ipv4() => {
                let below = PLATEAUS.into_iter().find(|&plateau| usize::from(plateau) < len);
                below.ok_or(PmtuDrop::BelowFloor)?
            }
            mtu => u16::try_from(mtu).map_err(|_| PmtuDrop::NotSmaller)?,
        };
        if mtu < floor {
            return Err(PmtuDrop::BelowFloor);
        }
        if usize::from(mtu) >= len {
            return Err(PmtuDrop::NotSmaller);
        }
        Ok(mtu)
    }
}

#[cfg(test)]
mod tests;
