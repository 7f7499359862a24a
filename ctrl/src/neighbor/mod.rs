//! Link-layer addresses of next hops: ARP (RFC 826, RFC 5227) and IPv6 neighbour discovery (RFC
//! 4861), one table and one state machine ([`state`]) for both.
//!
//! ```text
//! packet without an adjacency > resolve      > Send (request), later Resolved or Failed
//! ARP, NS, NA from a port     > handle_frame > Send (answer), Resolved, Changed
//! time                        > poll         > Send (request, probe, announcement), Lost, Failed
//! ```
//!
//! The data path forwards by adjacencies, and does not say which it uses. So entries that a route
//! or a tunnel needs are pinned ([`Neighbors::keep`]) and probed for as long as they are; others
//! are probed while somebody asked for them lately, and expire then: the next packet asks again.
//!
//! What strangers say is believed as little as the protocols allow: an entry is made only by our
//! own question or by a question to us, and the table is bounded in each way in which a neighbour
//! could fill it.

mod actions;
mod frame;
mod interface;
mod limits;
mod own;
mod receive;
pub mod state;
mod store;
mod table;

pub use actions::{Action, Counters, Refusal, Unqueued};
pub use interface::InterfaceConfig;
pub use store::Origin;
pub use table::{Entry, Neighbors};

#[cfg(test)]
mod tests;
