//! What has happened: for `greyhound events` and, in the same words, for the log.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Direction, Sa};

/// Events in the order in which they happened.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Events {
    /// All that are newer than what was asked for, and still kept.
    pub events: Vec<Entry>,
    /// Serial number of the latest event that there has been: what to ask for next is newer.
    pub last: u64,
    /// Events between that were not kept until they were asked for.
    pub lost: u64,
}

/// An event and its place among the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Entry {
    /// 1 for the first one since the start, and so on: what is missing was not kept.
    pub serial: u64,
    /// When, in UTC: RFC 3339, with milliseconds.
    pub time: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// Something that operators want to know. Its text says it in words; `kind` names it.
///
/// A `protocol` address is one inside the tunnel, an `nbma` address one outside; `remote` is the
/// outer address of a peer as it is configured. SPIs are numbers, prefixes `10.2.0.0/16`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(tag = "kind", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "a field means the same in each event: see above")]
pub enum Event {
    /// A peer has registered with us, or is elsewhere now.
    NhrpRegistered { tunnel: String, protocol: IpAddr, nbma: IpAddr },
    /// A registration was not renewed.
    NhrpExpired { tunnel: String, protocol: IpAddr },
    /// A peer has taken its registration back.
    NhrpWithdrawn { tunnel: String, protocol: IpAddr },
    /// We have refused a registration.
    NhrpRefused { tunnel: String, protocol: IpAddr, nbma: IpAddr, reason: String },
    /// A server has our registration; `outside` is our address before a NAT.
    NhrpServerUp { tunnel: String, nbma: IpAddr, protocol: IpAddr, outside: Option<IpAddr> },
    /// A server does not answer.
    NhrpServerDown { tunnel: String, nbma: IpAddr },
    /// A server has refused our registration.
    NhrpServerRefused { tunnel: String, nbma: IpAddr, reason: String },
    /// A server's name has no address.
    NhrpServerUnresolved { tunnel: String, name: String, reason: String },
    /// A server's name has an address that is ours, or in a tunnel.
    NhrpServerMisplaced { tunnel: String, nbma: IpAddr },
    /// There is no shorter way; no `reason`: nobody has answered.
    NhrpUnresolved { tunnel: String, destination: IpAddr, reason: Option<String> },
    /// A peer was told that there is a shorter way.
    NhrpRedirected { tunnel: String, peer: IpAddr, destination: IpAddr },
    /// Somebody complains about a packet of ours.
    NhrpError { tunnel: String, nbma: IpAddr, reason: String },
    /// Destinations are reached past the next hop that routing says.
    NhrpShortcutAdded { tunnel: String, prefix: String, via: IpAddr, nbma: IpAddr },
    /// They go where routing says again, not to this peer.
    NhrpShortcutRemoved { tunnel: String, prefix: String, nbma: IpAddr },
    /// The link of a port works.
    LinkUp { port: String },
    /// It does not.
    LinkDown { port: String },
    /// Keepalives are answered again.
    TunnelUp { tunnel: String, remote: IpAddr },
    /// Keepalives are not answered: the routes into the tunnel are gone.
    TunnelDown { tunnel: String, remote: IpAddr },
    /// Octets of the largest packet to a peer's outer address; `null`: as the link has it.
    PathMtu { peer: IpAddr, mtu: Option<u16> },
    /// An SA was added over the control socket.
    SaAdded(EventSa),
    /// An SA was deleted over the control socket.
    SaDeleted(EventSa),
    /// The lifetime of an SA is over.
    SaExpired(EventSa),
    /// The peer of an inbound SA is behind a NAT, and is seen elsewhere now.
    SaMoved { spi: u32, remote: IpAddr, address: IpAddr, port: u16 },
    /// Another configuration is in force; so many objects differ.
    Reloaded { config: String, added: usize, removed: usize, changed: usize },
    /// It is not, and nothing has changed.
    ReloadFailed { config: String, reason: String },
    /// Too many events at once to keep and to log them all.
    Suppressed { about: EventClass, count: u64 },
}

/// The SA that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct EventSa {
    /// Inbound or outbound.
    pub direction: Direction,
    /// Security parameter index.
    pub spi: u32,
    /// The peer's outer address, as configured.
    pub remote: IpAddr,
}

/// Who brings an event about, and so how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EventClass {
    /// The gateway, its operator and its links.
    Gateway,
    /// Peers: where they are, and whether they are there.
    Peers,
    /// Packets, of whomever: refusals, complaints, redirects, shortcuts.
    Traffic,
}

impl Event {
    /// Its name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NhrpRegistered { tunnel, protocol, nbma } => {
                write!(f, "{tunnel}: {protocol} is at {nbma}")
            }
            Self::NhrpExpired { tunnel, protocol } => {
                write!(f, "{tunnel}: the registration of {protocol} has ended")
            }
            Self::NhrpWithdrawn { tunnel, protocol } => write!(f, "{tunnel}: {protocol} has left"),
            Self::NhrpRefused { tunnel, protocol, nbma, reason } => {
                write!(f, "{tunnel}: {nbma} may not register {protocol}: {reason}")
            }
            Self::NhrpServerUp { tunnel, nbma, protocol, outside } => {
                write!(f, "{tunnel}: registered with {protocol} at {nbma}")?;
                outside.map_or(Ok(()), |outside| write!(f, ", behind a NAT at {outside}"))
            }
            Self::NhrpServerDown { tunnel, nbma } => {
                write!(f, "{tunnel}: the next hop server at {nbma} is silent")
            }
            Self::NhrpServerRefused { tunnel, nbma, reason } => {
                write!(f, "{tunnel}: the next hop server at {nbma} refuses us: {reason}")
            }
            Self::NhrpServerUnresolved { tunnel, name, reason } => {
                write!(f, "{tunnel}: the next hop server {name} has no address: {reason}")
            }
            Self::NhrpServerMisplaced { tunnel, nbma } => {
                write!(
                    f,
                    "{tunnel}: {nbma} cannot be a next hop server: it is ours, or in a tunnel"
                )
            }
            Self::NhrpUnresolved { tunnel, destination, reason } => {
                let reason = reason.as_deref().unwrap_or("no answer");
                write!(f, "{tunnel}: no shorter way to {destination}: {reason}")
            }
            Self::NhrpRedirected { tunnel, peer, destination } => {
                write!(f, "{tunnel}: {peer} was told of a shorter way to {destination}")
            }
            Self::NhrpError { tunnel, nbma, reason } => {
                write!(f, "{tunnel}: {nbma} complains: {reason}")
            }
            Self::NhrpShortcutAdded { tunnel, prefix, nbma, .. } => {
                write!(f, "{tunnel}: {prefix} goes to {nbma} now")
            }
            Self::NhrpShortcutRemoved { tunnel, prefix, nbma } => {
                write!(f, "{tunnel}: {prefix} does not go to {nbma} any more")
            }
            Self::LinkUp { port } => write!(f, "link of {port} is up"),
            Self::LinkDown { port } => write!(f, "link of {port} is down"),
            Self::TunnelUp { tunnel, .. } => write!(f, "{tunnel} is up again"),
            Self::TunnelDown { tunnel, remote } => {
                write!(f, "{tunnel} is down: {remote} does not answer keepalives")
            }
            Self::PathMtu { peer, mtu: Some(mtu) } => write!(f, "path MTU of {peer} is {mtu} now"),
            Self::PathMtu { peer, mtu: None } => {
                write!(f, "path MTU of {peer} is its link's again")
            }
            Self::SaAdded(sa) => write!(f, "{sa} was added"),
            Self::SaDeleted(sa) => write!(f, "{sa} was deleted"),
            Self::SaExpired(sa) => write!(f, "{sa} has expired"),
            Self::SaMoved { spi, remote, address, port } => {
                write!(f, "peer {remote} of SA {spi:#x} is at {address} port {port} now")
            }
            Self::Reloaded { config, added, removed, changed } => {
                write!(f, "reloaded {config}: {added} added, {removed} removed, {changed} changed")
            }
            Self::ReloadFailed { config, reason } => write!(f, "not reloaded: {config}: {reason}"),
            Self::Suppressed { about, count } => {
                write!(f, "{count} more about {about}, too many at once to tell of each")
            }
        }
    }
}

impl From<&Sa> for EventSa {
    fn from(sa: &Sa) -> Self {
        Self { direction: sa.direction, spi: sa.spi, remote: sa.remote }
    }
}

impl fmt::Display for EventSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::In => "inbound",
            Direction::Out => "outbound",
        };
        write!(f, "{direction} SA {:#x} of {}", self.spi, self.remote)
    }
}
