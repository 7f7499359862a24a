//! How a peer is reached.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

/// Where packets of a peer come from, and ours to it go. An NBMA address alone, but where a NAT
/// hides several peers behind one address: these are told apart by their UDP ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The NBMA address.
    pub nbma: IpAddr,
    /// The UDP port, of all but one peer of an address.
    pub port: Option<NonZeroU16>,
}

impl From<IpAddr> for Path {
    fn from(nbma: IpAddr) -> Self {
        Self { nbma, port: None }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}", SocketAddr::new(self.nbma, port.get())),
            None => write!(f, "{}", self.nbma),
        }
    }
}
