//! NHRP (RFC 2332) of one tunnel interface, as a machine without sockets, clock or threads: what
//! happens is told to [`Nhrp`] together with the time, and it answers with [`Action`]s.
//!
//! ```text
//! spoke (client)                                        hub (server)
//!   Registration Request  ------------------------------> cache: protocol > NBMA address
//!                         <------------------------------ Registration Reply
//! ```
//!
//! - [`server`](mod@server) answers registrations, [`client`](mod@client) makes them, and
//!   [`purge`](mod@purge) takes them back;
//! - `cache` holds who is reached how, in order of deadlines;
//! - `limits` says how many and how long, and why; [`counters`](mod@counters) what happened.
//!
//! The NBMA address of a peer is the outer source address of its packets, whatever they claim: a
//! peer behind a NAT claims an address that nobody reaches.

mod cache;
pub mod client;
pub mod config;
pub mod counters;
mod limits;
mod machine;
mod message;
pub mod purge;
mod random;
pub mod server;

pub use cache::{Binding, Origin};
pub use client::ServerState;
pub use config::{Config, ConfigError, NhsConfig, Secret, StaticMap};
pub use counters::{Counters, DropReason};
pub use machine::{Action, Event, Nhrp, Policy, ServerEntry};

#[cfg(test)]
mod tests;
