//! GRE keepalives of point-to-point tunnels, as Cisco sends them.
//!
//! ```text
//! us > peer   outer IP + GRE (IP)  | IP (peer > us) + GRE (0)     the peer forwards what is inside
//! peer > us                          IP (peer > us) + GRE (0)     and that is the answer
//! ```
//!
//! So a peer answers without knowing about keepalives. The other way round, a peer's keepalive is
//! never forwarded as it came, since that would let a forged one bounce packets off us: we send an
//! empty GRE packet of protocol 0 of our own to the configured peer, which it cannot tell from its
//! own come back.
//!
//! ```text
//!          `retries` keepalives unanswered when the next is due
//!  [ Up ] -----------------------------------------------------> [ Down ]
//!         <-----------------------------------------------------
//!                               an answer
//! ```

use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use thiserror::Error;
use wire::gre::Protocol;
use wire::{EmitError, IpProto, gre, ip4, ip6};

use crate::icmp::Rate;

/// TTL of the packet inside: it is still to be forwarded by the peer, and to cross the underlay.
const TTL: u8 = 255;
/// Precedence 6, internetwork control, as routing protocols have.
const TRAFFIC_CLASS: u8 = 0xC0;
/// Answers that we give: Cisco sends at most one keepalive a second; a few more, so that a burst
/// after a stall passes.
const ANSWER_INTERVAL: Duration = Duration::from_millis(500);
/// Answers at once.
const ANSWER_BURST: u32 = 5;

/// Whether the far end answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It answers; or it is not known yet, as no reason to hold packets back.
    Up,
    /// It has left `retries` keepalives in a row unanswered.
    Down,
}

/// A keepalive is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The tunnel went down just now.
    pub went_down: bool,
}

/// The keepalives of one tunnel.
#[derive(Debug, Clone)]
pub struct Keepalive {
    period: Duration,
    retries: NonZeroU8,
    state: State,
    unanswered: u32,
    next: Instant,
}

impl Keepalive {
    /// Keepalives every `period`, the first at once; the tunnel is up until `retries` of them stay
    /// unanswered, so that a restart of the gateway does not take a working tunnel away.
    #[must_use]
    pub const fn new(period: Duration, retries: NonZeroU8, now: Instant) -> Self {
        Self { period, retries, state: State::Up, unanswered: 0, next: now }
    }

    /// Whether a keepalive is due; call it when [`Self::poll_timeout`] says. A call that comes late
    /// yields one keepalive, not the missed ones, and only what was sent counts as unanswered: a
    /// stall of ours is no fault of the peer.
    pub fn poll(&mut self, now: Instant) -> Option<Due> {
        if now < self.next {
            return None;
        }
        let went_down = self.state == State::Up && self.unanswered >= self.retries.get().into();
        if went_down {
            self.state = State::Down;
        }
        self.unanswered = self.unanswered.saturating_add(1);
        self.next = now + self.period;
        Some(Due { went_down })
    }

    /// When [`Self::poll`] has something to do.
    #[must_use]
    pub const fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// Takes an answer: an empty GRE packet of protocol 0 from the peer. True if the tunnel came up
    /// by it. One that was not asked for says nothing and is ignored.
    pub fn answered(&mut self) -> bool {
        if self.unanswered == 0 {
            return false;
        }
        self.unanswered = 0;
        let came_up = self.state == State::Down;
        self.state = State::Up;
        came_up
    }

    /// Whether the far end answers.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Keepalives sent since the last answer.
    #[must_use]
    pub const fn unanswered(&self) -> u32 {
        self.unanswered
    }
}

/// The two ends of a tunnel, and its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoints {
    /// Our address in the underlay.
    pub local: IpAddr,
    /// The peer's address in the underlay, of the same family.
    pub peer: IpAddr,
    /// Key of the tunnel (RFC 2890).
    pub key: Option<u32>,
}

impl Endpoints {
    /// The payload of a keepalive of ours and the GRE protocol to send it with: the packet that the
    /// peer is to send back to us.
    ///
    /// # Errors
    /// [`EmitError`] if the addresses are of two families.
    pub fn keepalive(&self) -> Result<(Protocol, Vec<u8>), EmitError> {
        Self { local: self.peer, peer: self.local, key: self.key }.bounced()
    }

    /// Whether `inner`, an IP packet out of this tunnel, is the peer's keepalive: from us to it, an
    /// empty GRE packet of protocol 0 with the same key.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check_keepalive(&self, inner: &[u8]) -> Result<(), NotKeepalive> {
        let (src, dst, protocol, payload) = match (inner.first().map(|b| b >> 4), self.local) {
            (Some(4), IpAddr::V4(_)) => {
                let packet =
                    ip4::Packet::new_checked(inner).map_err(|_| NotKeepalive::Malformed)?;
                if !packet.verify_checksum() || packet.is_fragment() {
                    return Err(NotKeepalive::Malformed);
                }
                let (src, dst) = (packet.src().into(), packet.dst().into());
                (src, dst, packet.protocol(), packet.payload())
            }
            (Some(6), IpAddr::V6(_)) => {
                let packet =
                    ip6::Packet::new_checked(inner).map_err(|_| NotKeepalive::Malformed)?;
                let (src, dst) = (IpAddr::V6(packet.src()), IpAddr::V6(packet.dst()));
                (src, dst, packet.next_header(), packet.payload())
            }
            _ => return Err(NotKeepalive::Malformed),
        };
        if (src, dst) != (self.local, self.peer) {
            return Err(NotKeepalive::Address);
        }
        if protocol != IpProto::GRE {
            return Err(NotKeepalive::Protocol);
        }
        let packet = gre::Packet::new_checked(payload).map_err(|_| NotKeepalive::Malformed)?;
        if packet.protocol() != Protocol::KEEPALIVE {
            return Err(NotKeepalive::Protocol);
        }
        if packet.key() != self.key {
            return Err(NotKeepalive::Key);
        }
        if packet.payload().is_empty() { Ok(()) } else { Err(NotKeepalive::NotEmpty) }
    }

    /// IP from `local` to `peer` with an empty GRE packet of protocol 0.
    fn bounced(&self) -> Result<(Protocol, Vec<u8>), EmitError> {
        let header = gre::Repr {
            protocol: Protocol::KEEPALIVE,
            checksum: false,
            key: self.key,
            sequence: None,
        };
        let payload_len = u16::try_from(header.header_len()).map_err(|_| EmitError::TooLong)?;
        let (protocol, ip_len) = match self.local {
            IpAddr::V4(_) => (Protocol::IPV4, ip4::HEADER_LEN),
            IpAddr::V6(_) => (Protocol::IPV6, ip6::HEADER_LEN),
        };
        let mut packet = vec![0; ip_len + header.header_len()];
        match (self.local, self.peer) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => ip4::Repr {
                ttl: TTL,
                traffic_class: TRAFFIC_CLASS,
                ..ip4::Repr::new(src, dst, IpProto::GRE, payload_len)
            }
            .emit(&mut packet)?,
            (IpAddr::V6(src), IpAddr::V6(dst)) => ip6::Repr {
                hop_limit: TTL,
                traffic_class: TRAFFIC_CLASS,
                ..ip6::Repr::new(src, dst, IpProto::GRE, payload_len)
            }
            .emit(&mut packet)?,
            _ => return Err(EmitError::TooLong),
        };
        header.emit(&mut packet[ip_len..])?;
        Ok((protocol, packet))
    }
}

/// Why an inner packet is no keepalive of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum NotKeepalive {
    /// No whole, sound IP and GRE packet of the underlay's family.
    #[error("malformed keepalive")]
    Malformed,
    /// It would not go from us to the peer.
    #[error("keepalive between other addresses than the tunnel's")]
    Address,
    /// It is no GRE of protocol 0.
    #[error("no keepalive")]
    Protocol,
    /// It has another key than the tunnel.
    #[error("keepalive with a wrong key")]
    Key,
    /// It carries something.
    #[error("keepalive with a payload")]
    NotEmpty,
    /// They come too often.
    #[error("too many keepalives")]
    Rate,
}

/// Answers to the keepalives of one tunnel's peer.
#[derive(Debug, Clone)]
pub struct Responder {
    rate: Rate,
}

impl Default for Responder {
    fn default() -> Self {
        Self { rate: Rate::new(ANSWER_INTERVAL, ANSWER_BURST) }
    }
}

impl Responder {
    /// Takes an IP packet out of a tunnel that may be the peer's keepalive. If it is one, send the
    /// answer: an empty GRE packet of protocol 0, through the tunnel's own adjacency.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn handle(
        &mut self,
        now: Instant,
        tunnel: &Endpoints,
        inner: &[u8],
    ) -> Result<(), NotKeepalive> {
        tunnel.check_keepalive(inner)?;
        if self.rate.allow(now) { Ok(()) } else { Err(NotKeepalive::Rate) }
    }
}

#[cfg(test)]
mod tests;
