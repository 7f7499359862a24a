//! Packet formats: views and builders for the headers that Greyhound reads and writes.
//!
//! One header, one module, one habit:
//!
//! - a *view* (`Packet`, `Frame`, `Tag`) borrows bytes. `new_checked` validates once, and after
//!   it no read accessor can panic, whatever the bytes are. Setters exist where the buffer is
//!   mutable.
//! - a *repr* (`Repr`, `Message`) is the header as a value, with `parse` and `emit`, for control
//!   code and for templates.
//! - an `Error` of its own, with one variant per hostile case, so that it can feed a drop counter.
//!
//! Everything is stateless, allocates nothing and is generic over who owns the bytes.
//!
//! - link: [`mac`] [`eth`] [`vlan`] [`arp`]
//! - network: [`ip4`] [`ip6`] [`icmp`] [`icmp6`]
//! - transport and tunnel: [`udp`] [`tcp`] [`gre`] [`esp`] [`nhrp`]
//! - helpers: [`plain`] [`prefix`] [`ipproto`] [`checksum`] [`ecn`] [`flow`] [`frag`]

#![no_std]

#[cfg(test)]
extern crate std;

pub mod arp;
pub mod checksum;
pub mod ecn;
pub mod esp;
pub mod eth;
pub mod flow;
pub mod frag;
pub mod gre;
pub mod icmp;
pub mod icmp6;
pub mod ip4;
pub mod ip6;
pub mod ipproto;
pub mod mac;
pub mod nhrp;
pub mod plain;
pub mod prefix;
pub mod tcp;
pub mod udp;
pub mod vlan;

mod bytes;
mod emit;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

pub use emit::EmitError;
pub use ipproto::IpProto;
pub use mac::MacAddr;
pub use prefix::{IfAddr, IpPrefix, Ipv4Prefix, Ipv6Prefix};
