//! ICMP and ICMPv6 of the gateway: what it answers, what it reports, what it believes.
//!
//! ```text
//! punt: to one of our addresses > respond_local > echo reply · port or protocol unreachable
//! punt: cannot be forwarded     > error         > time exceeded · too big · unreachable
//! underlay: ICMP error to us    > PathMtu       > a smaller path MTU of a peer, for a while
//! ```
//!
//! Bytes in, bytes out. What is returned is an IP packet for the packet path to route; every one of
//! them has to pass a [`Limiter`] first. Nothing here reads a clock.

mod error;
mod path_mtu;
mod quoted;
mod rate;
mod respond;

pub use error::{ErrorKind, Silence, error};
pub use path_mtu::{PathMtu, PathMtuChange, PmtuCounters, PmtuDrop};
pub use quoted::{Quoted, QuotedTunnel};
pub use rate::{Limiter, Limits, Rate};
pub use respond::{Unanswered, respond_local};

#[cfg(test)]
mod samples;
