//! What an operator says about NHRP on a tunnel.

use std::fmt;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use wire::IfAddr;
use wire::nhrp::PASSWORD_MAX;
use zeroize::Zeroizing;

/// A password of 1 to 8 octets. `Debug` shows nothing of it; it is wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A password.
    ///
    /// # Errors
    /// [`ConfigError::Password`] if it is empty or has more than 8 octets.
    pub fn new(password: &[u8]) -> Result<Self, ConfigError> {
        if !(1..=PASSWORD_MAX).contains(&password.len()) {
            return Err(ConfigError::Password);
        }
        Ok(Self(Zeroizing::new(password.to_vec())))
    }

    /// Compares in a time that depends on neither of the two. Both are padded to the longest
    /// password, and the lengths are compared as well.
    #[must_use]
    pub fn matches(&self, other: &[u8]) -> bool {
        let differs = (0..PASSWORD_MAX).fold(self.0.len() ^ other.len(), |differs, at| {
            let ours = self.0.get(at).copied().unwrap_or(0);
            let theirs = other.get(at).copied().unwrap_or(0);
            black_box(differs | usize::from(ours ^ theirs))
        });
        differs == 0
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Where a server is in the underlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// At this NBMA address.
    Address(IpAddr),
    /// Where this name of the DNS, or of a hosts file, says.
    Name(Arc<str>),
}

impl Host {
    /// The address, if it is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(nbma) => Some(*nbma),
            Self::Name(_) => None,
        }
    }

    /// Whether it is this name.
    pub(crate) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Name(own) if **own == *name)
    }
}

impl From<IpAddr> for Host {
    fn from(nbma: IpAddr) -> Self {
        Self::Address(nbma)
    }
}

/// A next hop server of a spoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NhsConfig {
    /// Its NBMA address, or a name for it.
    pub host: Host,
    /// Its protocol address; `None` is learnt from its reply.
    pub protocol: Option<IpAddr>,
    /// The lowest is preferred among those of a cluster.
    pub priority: u8,
    /// Servers that stand in for each other.
    pub cluster: u8,
}

/// A binding by configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaticMap {
    /// Protocol address of the peer.
    pub protocol: IpAddr,
    /// Its NBMA address.
    pub nbma: IpAddr,
}

/// NHRP on a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Our addresses in the tunnel, with its networks. Servers are registered with by the first of
    /// their family.
    pub addresses: Vec<IfAddr>,
    /// Our NBMA address: the tunnel's source.
    pub nbma: IpAddr,
    /// How long others may keep what we tell them; whole seconds, 3 to 65 535.
    pub holding_time: Duration,
    /// When to register again; `None`: after a third of the holding time.
    pub registration_interval: Option<Duration>,
    /// Password of the tunnel.
    pub authentication: Option<Secret>,
    /// Whether nobody else may register our address while our registration lives.
    pub unique: bool,
    /// Servers to register with.
    pub servers: Vec<NhsConfig>,
    /// Of each cluster, how many servers are to be registered with at a time; a cluster that is not
    /// here uses all.
    pub clusters: Vec<(u8, usize)>,
    /// Bindings by configuration.
    pub maps: Vec<StaticMap>,
    /// Whether peers are told of shorter ways: a hub.
    pub redirect: bool,
    /// Whether shorter ways are asked for and used: a spoke.
    pub shortcut: bool,
    /// Whether the tunnel is protected: peers can be used while [`crate::Nhrp::peer_state`] says
    /// so. Without protection they always can.
    pub protected: bool,
}

/// Why a configuration is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The tunnel has no address.
    #[error("NHRP needs an address on the tunnel")]
    NoAddress,
    /// The password is empty or too long.
    #[error("an NHRP password has 1 to {PASSWORD_MAX} octets")]
    Password,
    /// The holding time does not fit its field, or is too short to be renewed.
    #[error("the holding time is 3 to 65535 seconds")]
    HoldingTime,
    /// Registrations would run out before they are renewed.
    #[error("the registration interval is 1 second to the holding time")]
    RegistrationInterval,
    /// A server or map is of another address family than the tunnel's source.
    #[error("NBMA address {0} is of another family than the tunnel's source")]
    NbmaFamily(IpAddr),
    /// A server or map whose protocol address is ours, or of no family that the tunnel has.
    #[error("{0} cannot be a peer's protocol address on this tunnel")]
    Protocol(IpAddr),
    /// Two servers or maps with the same protocol address, or two servers with the same NBMA one
    /// for one address family of ours.
    #[error("{0} is there twice")]
    Twice(IpAddr),
}

impl Config {
    /// Checks what single values cannot show.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.addresses.is_empty() {
            return Err(ConfigError::NoAddress);
        }
        if !(3..=u64::from(u16::MAX)).contains(&self.holding_time.as_secs()) {
            return Err(ConfigError::HoldingTime);
        }
        let within = Duration::from_secs(1)..=self.holding_time;
        if self.registration_interval.is_some_and(|interval| !within.contains(&interval)) {
            return Err(ConfigError::RegistrationInterval);
        }
        let servers = self.servers.iter().map(|server| (server.host.address(), server.protocol));
        let maps = self.maps.iter().map(|map| (Some(map.nbma), Some(map.protocol)));
        let mut seen = Vec::new();
        for (nbma, protocol) in servers.chain(maps) {
            if let Some(nbma) = nbma
                && (nbma.is_ipv4() != self.nbma.is_ipv4() || nbma == self.nbma)
            {
                return Err(ConfigError::NbmaFamily(nbma));
            }
            let Some(protocol) = protocol else { continue };
            if self.is_own(protocol) || self.source_for(protocol).is_none() {
                return Err(ConfigError::Protocol(protocol));
            }
            seen.push(protocol);
        }
        // One address of ours is registered once with a server.
        let registration = |server: &NhsConfig| {
            let own = self.own_for(server.protocol);
            server.host.address().map(|nbma| (nbma, own))
        };
        let registrations = self.servers.iter().filter_map(registration).collect();
        let twice = twice(seen).or_else(|| twice(registrations).map(|(nbma, _)| nbma));
        twice.map_or(Ok(()), |address| Err(ConfigError::Twice(address)))
    }

    /// Whether a protocol address is ours.
    #[must_use]
    pub fn is_own(&self, protocol: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.address() == protocol)
    }

    /// Our first address of the family of a protocol address.
    #[must_use]
    pub fn source_for(&self, protocol: IpAddr) -> Option<IpAddr> {
        let mut addresses = self.addresses.iter().map(|own| own.address());
        addresses.find(|own| own.is_ipv4() == protocol.is_ipv4())
    }

    /// Our address to register with a server: the first of the family of its protocol address, or
    /// the first of all if that is not known.
    pub(crate) fn own_for(&self, protocol: Option<IpAddr>) -> Option<IpAddr> {
        match protocol {
            Some(protocol) => self.source_for(protocol),
            None => self.addresses.first().map(|own| own.address()),
        }
    }

    /// The holding time in the unit of its field, seconds.
    pub(crate) fn holding_seconds(&self) -> u16 {
        u16::try_from(self.holding_time.as_secs()).unwrap_or(u16::MAX)
    }

    pub(crate) fn cluster_max(&self, cluster: u8) -> usize {
        let mut limits = self.clusters.iter();
        limits.find(|(of, _)| *of == cluster).map_or(usize::MAX, |&(_, max)| max)
    }

    /// Whether an address is one host's: nothing else is a peer.
    pub(crate) fn is_host(&self, address: IpAddr) -> bool {
        let of_nobody = match address {
            IpAddr::V4(v4) => v4.octets()[0] == 0 || v4.is_loopback() || v4.octets()[0] >= 224,
            IpAddr::V6(v6) => {
                v6.is_unspecified()
                    || v6.is_loopback()
                    || v6.is_multicast()
                    || v6.to_ipv4_mapped().is_some()
            }
        };
        let of_network = |own: &IfAddr| {
            let prefix = own.prefix();
            // A /31, a /32 and IPv6 networks have no broadcast address (RFC 3021).
            prefix.network().is_ipv4()
                && prefix.len() < 31
                && (address == prefix.network() || address == prefix.last())
        };
        !of_nobody && !self.addresses.iter().any(of_network)
    }
}

/// What is in a list more than once.
fn twice<T: Ord + Copy>(mut list: Vec<T>) -> Option<T> {
    list.sort_unstable();
    list.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
