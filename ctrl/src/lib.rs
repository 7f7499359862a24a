//! The gateway: configuration, control socket, control thread.
//!
//! ```text
//! cli > api (control socket) > daemon > policy > tables of the cores
//!       config ----------------^   ^-- neighbor, icmp, keepalives: protocols without sockets
//! ```

pub mod api;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod icmp;
pub mod keepalive;
pub mod nat_keepalive;
pub mod neighbor;
pub mod policy;
pub mod sas;
