//! Safe, owning wrappers over DPDK: EAL, mempools, mbufs, ports, queues, rings, core threads,
//! crypto devices.
//!
//! Ownership follows the packet. An [`Mbuf`] is moved from pool to queue to ring and freed when
//! dropped; a [`Port`], its queues and its [`Mempool`] keep each other alive; everything keeps the
//! [`Eal`] alive. What DPDK leaves to discipline is made a type here:
//!
//! - Only a packet whose buffer nobody else refers to can be written ([`Mbuf::data_mut`]).
//! - A queue has one handle, so one thread polls it; handles exist only while the port runs, and
//!   the port cannot stop before they are gone.
//! - Memory of a pool is given back only when every packet of it has come home.

mod burst;
pub mod crypto;
mod eal;
mod error;
mod heap;
mod lcore;
mod mbuf;
mod mempool;
mod port;
mod prefetch;
mod queue;
mod ring;

pub use eal::{Eal, EalConfig, Hugepages, LogLevel};
pub use error::{Errno, Error};
pub use heap::heap_on_huge_pages;
pub use lcore::{Lcore, pin_current_thread, tsc};
pub use mbuf::{Checksum, LinearizeError, Mbuf, Segments, TxRequest};
pub use mempool::{Mempool, MempoolConfig, RX_HEADROOM};
pub use port::{
    Granted, Link, Port, PortConfig, PortInfo, PortStats, Queues, RxOffloads, TxOffloads,
};
pub use prefetch::{prefetch, prefetch_whole};
pub use queue::{RxQueue, TxQueue};
pub use ring::{RingReceiver, RingSender, mbuf_ring};
