//! The stages, one file each, in the order in which a packet may meet them.

pub mod cipher;
pub mod classify;
pub mod esp_open;
pub mod esp_seal;
pub mod fragment;
pub mod fragment_outer;
pub mod gre_decap;
pub mod gre_encap;
pub mod lookup;
pub mod punt;
pub mod reassemble;
pub mod replicate;
pub mod rx;
pub mod tx;

mod fill;
mod rewrite;
#[cfg(test)]
mod tests;
mod underlay;

use dpdk::{Mempool, RxQueue, TxQueue};

use crate::engine::ring::Producer;
use crate::engine::stage::Stage;
use crate::engine::topology::StageKind;
use crate::packet::Packet;

/// What stages are made from.
pub struct Parts {
    /// Buffers for copies and fragments.
    pub pool: Mempool,
    /// Buffers of 64 KiB, for reassembled datagrams.
    pub large_pool: Mempool,
    /// Most packets of a burst.
    pub burst: usize,
    /// TSC ticks per second.
    pub ticks_per_second: u64,
    /// Where IPv6 fragment identifications begin; unpredictable (RFC 7739).
    pub fragment_ident: u32,
}

/// What one instance of a stage needs beside the common parts.
pub enum Attachment {
    /// `rx`: the queue and its port.
    Rx(RxQueue, u16),
    /// `tx`: the queue.
    Tx(TxQueue),
    /// `punt`: the way to the control thread.
    Punt(Producer<Packet>),
    /// `esp_seal` and `esp_open`: who does their cryptography.
    Cipher(Box<cipher::Cipher>),
    /// `cipher`: for whom it works.
    Clients(Vec<cipher::Client>),
    /// All others. Those that draw identifications do so by their number among the instances.
    Instance {
        /// Number of the instance.
        number: u16,
        /// How many there are.
        of: u16,
    },
}

/// Makes one instance of a stage; none if the attachment is not what the kind needs.
pub fn build(kind: StageKind, attachment: Attachment, parts: &Parts) -> Option<Box<dyn Stage>> {
    let pool = || parts.pool.clone();
    Some(match (kind, attachment) {
        (StageKind::Rx, Attachment::Rx(queue, port)) => {
            Box::new(rx::Rx::new(queue, port, parts.burst))
        }
        (StageKind::Tx, Attachment::Tx(queue)) => Box::new(tx::Tx::new(queue, parts.burst)),
        (StageKind::Punt, Attachment::Punt(ring)) => {
            Box::new(punt::Punt::new(ring, parts.ticks_per_second))
        }
        (StageKind::Classify, _) => Box::new(classify::Classify),
        (StageKind::Reassemble, _) => Box::new(reassemble::Reassemble::new(
            parts.large_pool.clone(),
            reassemble::Limits::default(),
        )),
        (StageKind::EspOpen, Attachment::Cipher(cipher)) => {
            Box::new(esp_open::EspOpen::new(*cipher))
        }
        (StageKind::GreDecap, _) => Box::new(gre_decap::GreDecap::default()),
        (StageKind::Lookup, _) => Box::<lookup::Lookup>::default(),
        (StageKind::Replicate, _) => Box::new(replicate::Replicate::new(pool())),
        (StageKind::Fragment, _) => Box::new(fragment::Fragment::new(pool())),
        (StageKind::GreEncap, Attachment::Instance { number, of }) => {
            Box::new(gre_encap::GreEncap::new(number, of))
        }
        (StageKind::EspSeal, Attachment::Cipher(cipher)) => {
            Box::new(esp_seal::EspSeal::new(*cipher))
        }
        (StageKind::Cipher, Attachment::Clients(clients)) => Box::new(cipher::Helper::new(clients)),
        (StageKind::FragmentOuter, Attachment::Instance { number, of }) => {
            let ident = parts.fragment_ident.wrapping_add(number.into());
            Box::new(fragment_outer::FragmentOuter::new(pool(), ident, of.into()))
        }
        _ => return None,
    })
}
