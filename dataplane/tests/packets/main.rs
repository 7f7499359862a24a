//! The packet path as a whole, in one process, without root and without hugepages: frames in,
//! frames out, over real mbufs, ports, rings and workers.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod support;

mod device;
mod elephant;
mod forwarding;
mod fuzz;
mod gre;
mod groups;
mod hostile;
mod ipsec;
mod limits;
mod load;
mod parsers;
mod placement;
mod redirect;
mod sizes;
