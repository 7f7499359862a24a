//! The ring between two cores: bounded, lock-free, one producer, one consumer, in batches.
//!
//! Medians in ns per item, bursts of 32 items of 40 octets, 1024 slots, `benches/ring.rs` on two
//! Zen 4 vCPUs of a shared machine (four runs; the bracket spans their medians):
//!
//! | | one core | across two cores |
//! |---|---|---|
//! | `spsc`, our own | 1.6 (1.5–1.7) | 41 (15–170) |
//! | rtrb 0.4, chunks | 7.1 (6.3–9.1) | 88 (35–294) |
//! | crossbeam `ArrayQueue` | 15 (11–17) | 271 (108–746) |
//!
//! Within each run our own is 1.7 to 2.5 times as fast as rtrb across cores, and more than four
//! times on one: it moves a batch by `memcpy` where chunks move item by item.

pub use spsc::{Consumer, Producer, channel};
