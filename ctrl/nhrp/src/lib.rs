//! NHRP (RFC 2332) of one tunnel interface, as a machine without sockets, clock or threads: what
//! happens is told to [`Nhrp`] together with the time, and it answers with [`Action`]s.
//!
//! ```text
//! spoke (client)                                        hub (server)
//!   Registration Request  ------------------------------> cache: protocol > NBMA address
//!                         <------------------------------ Registration Reply
//!   a packet to another spoke --------------------------> comes and goes by the same tunnel
//!                         <------------------------------ Traffic Indication
//!   Resolution Request    ------------------------------> passed on to the other spoke
//!                         <------------------------------ Resolution Reply, its NBMA address
//!   the shortcut is installed when the way to the other spoke works
//! ```
//!
//! - [`server`](mod@server) answers registrations, [`client`](mod@client) makes them,
//!   [`names`](mod@names) finds servers that have a name, and [`purge`](mod@purge) takes
//!   registrations back;
//! - [`redirect`](mod@redirect) tells of shorter ways and is told of them,
//!   [`resolution`](mod@resolution) asks for one, [`transit`](mod@transit) passes the question on,
//!   [`egress`](mod@egress) answers it and [`recall`](mod@recall) takes the answer back, and
//!   [`shortcut`](mod@shortcut) keeps it;
//! - `cache` holds who is reached how, in order of deadlines;
//! - `limits` says how many and how long, and why; [`counters`](mod@counters) what happened.
//!
//! The NBMA address of a peer is the outer source address of its packets, whatever they claim: a
//! peer behind a NAT claims an address that nobody reaches.

mod action;
mod cache;
pub mod client;
pub mod config;
pub mod counters;
pub mod egress;
mod limits;
mod machine;
mod message;
pub mod names;
mod path;
pub mod purge;
mod random;
pub mod recall;
pub mod redirect;
pub mod resolution;
pub mod server;
pub mod shortcut;
mod timers;
pub mod transit;

pub use action::{Action, Event, Overlay, Route, ServerEntry};
pub use cache::{Binding, Origin};
pub use client::ServerState;
pub use config::{Config, ConfigError, Host, NhsConfig, Secret, StaticMap};
pub use counters::{Counters, DropReason};
pub use machine::Nhrp;
pub use path::Path;
pub use shortcut::Shortcut;

#[cfg(test)]
mod tests;
