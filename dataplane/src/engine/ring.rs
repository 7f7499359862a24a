//! The ring between two cores: bounded, lock-free, one producer, one consumer, in batches.
//!
//! It is our own because that is the fastest of four, on one core and across two: the figures, of
//! rtrb, `rte_ring` and crossbeam's `ArrayQueue` as well, are in ARCHITECTURE.md, and
//! `benches/ring.rs` measures them. It moves a batch by `memcpy`, and publishes it by one store.

pub use spsc::{Consumer, Producer, channel};
