//! A crypto device as a lane: batches become ops of its queue, and come back as batches.
//!
//! ```text
//! batch > a packet with a session > op > queue ~ device ~ queue > the packet, in its old place
//!       `> any other: stays in its place, and the owner does it when the batch is back
//! ```
//!
//! The queue is the stage's own, so it is used without locks; it gives ops back in the order in
//! which they went in, so what comes back belongs to the oldest batch. A device works on what it
//! has been given, or does so when it is asked for it; so the owner asks in every turn.

use std::collections::VecDeque;
use std::ops::Range;

use aead::{Aad, ICV_LEN};
use dpdk::crypto::{CryptoDone, CryptoOp, CryptoQueue, CryptoStatus};

use super::{Batch, Opened, Work};
use crate::drops::DropReason;
use crate::packet::{Meta, NONE, Packet};
use crate::tables::DeviceKey;
use crate::tables::encap::ESP_IV;

/// Batches that a device has at once. A card takes tens of microseconds for what it is given, in
/// which a core has several more batches ready.
pub(super) const DEVICE_BATCHES: usize = 8;

/// What a device is asked to do with a packet.
pub(in crate::stages) struct Op<'a> {
    key: &'a DeviceKey,
    nonce: [u8; dpdk::crypto::NONCE_LEN],
    aad: Aad,
    text: Range<usize>,
}

impl<'a> Op<'a> {
    /// The op of an ESP packet whose header, at `meta.l4`, names the SA with this SPI. `high` is
    /// the upper half of its sequence number, if the SA has extended ones.
    #[inline]
    pub(in crate::stages) fn new(
        key: &'a DeviceKey,
        packet: &Packet,
        spi: u32,
        high: Option<u32>,
    ) -> Option<Self> {
        let esp = usize::from(packet.meta.l4);
        let data = packet.mbuf.data();
        let header = data.get(esp..)?.first_chunk::<ESP_IV>()?;
        if header.first_chunk() != Some(&spi.to_be_bytes()) {
            return None;
        }
        let low = u32::from_be_bytes(*header[4..].first_chunk()?);
        let aad = Aad::new(spi, high, low);
        let text = esp + ESP_IV..data.len().checked_sub(ICV_LEN)?;
        Some(Op { key, nonce: key.nonce(*header[8..].first_chunk()?), aad, text })
    }
}

/// A packet of a batch that a device has.
#[derive(Debug)]
pub(super) enum Place {
    /// The device has the buffer.
    Away(Meta),
    /// The device did what it was asked to.
    Back(Packet),
    /// For the owner to do.
    Undone(Packet),
    /// Is among the failed ones.
    Failed,
}

/// A queue of a crypto device, and the batches that are there.
pub(super) struct Device {
    queue: CryptoQueue,
    batches: VecDeque<Box<Batch>>,
    done: Vec<CryptoDone>,
}

impl Device {
    pub(super) fn new(queue: CryptoQueue) -> Self {
        let done = Vec::with_capacity(super::BATCH);
        Device { queue, batches: VecDeque::with_capacity(DEVICE_BATCHES), done }
    }

    /// Gives a batch to the device. `op_of` says what is to be done with a packet; none: nothing
    /// that this device could do.
    ///
    /// # Errors
    /// The batch as it was: there is no room for all of it, or nothing in it for the device.
    pub(super) fn deal<'a>(
        &mut self,
        mut batch: Box<Batch>,
        mut op_of: impl FnMut(&Packet, Option<&Opened>) -> Option<Op<'a>>,
    ) -> Result<(), Box<Batch>> {
        let full = self.batches.len() == DEVICE_BATCHES;
        if full || self.queue.room() < batch.packets.len() {
            return Err(batch);
        }
        let Batch { packets, opened, places, away, .. } = &mut *batch;
        for (index, packet) in packets.drain(..).enumerate() {
            let place = match op_of(&packet, opened.get(index)) {
                Some(op) => self.push(packet, &op, index),
                None => Place::Undone(packet),
            };
            *away += usize::from(matches!(place, Place::Away(_)));
            places.push(place);
        }
        if batch.away == 0 {
            batch.packets.extend(batch.places.drain(..).filter_map(Place::into_packet));
            return Err(batch);
        }
        self.queue.flush();
        self.batches.push_back(batch);
        Ok(())
    }

    fn push(&mut self, packet: Packet, op: &Op<'_>, index: usize) -> Place {
        let Packet { mbuf, meta } = packet;
        let pushed = self.queue.push(CryptoOp {
            session: op.key.session(),
            mbuf,
            text: op.text.clone(),
            nonce: op.nonce,
            aad: op.aad.as_slice(),
            user: index as u64,
        });
        match pushed {
            Ok(()) => Place::Away(meta),
            // Chained or shared; software knows what to do, or that nothing can be done.
            Err(refused) => Place::Undone(Packet { mbuf: refused.mbuf, meta }),
        }
    }

    /// The oldest batch, if all of it is back.
    pub(super) fn collect(&mut self) -> Option<Box<Batch>> {
        let front = self.batches.front_mut()?;
        self.queue.dequeue(&mut self.done, front.away);
        for done in self.done.drain(..) {
            front.take_back(done);
        }
        if front.away > 0 {
            return None;
        }
        let mut batch = self.batches.pop_front()?;
        batch.put_together();
        Some(batch)
    }
}

impl Place {
    fn into_packet(self) -> Option<Packet> {
        match self {
            Place::Back(packet) | Place::Undone(packet) => Some(packet),
            Place::Away(_) | Place::Failed => None,
        }
    }
}

impl Batch {
    /// Notes what became of one packet.
    fn take_back(&mut self, done: CryptoDone) {
        self.away -= 1;
        let index = usize::try_from(done.user).unwrap_or(usize::MAX);
        let Some(place) = self.places.get_mut(index) else { return };
        let Place::Away(meta) = *place else { return };
        let packet = Packet { mbuf: done.mbuf, meta };
        *place = match self.work {
            Work::Open => {
                if let Some(opened) = self.opened.get_mut(index) {
                    opened.tell(done.status);
                }
                Place::Back(packet)
            }
            Work::Seal if done.status == CryptoStatus::Ok => Place::Back(packet),
            // What was to be sent is not there any more.
            Work::Seal => {
                self.failed.push(packet);
                Place::Failed
            }
        };
    }

    /// All packets, in their order. Those to be sealed by the owner are noted.
    fn put_together(&mut self) {
        for place in self.places.drain(..) {
            if let (Work::Seal, Place::Undone(packet)) = (self.work, &place) {
                self.unsealed.push((self.packets.len(), packet.meta.sa));
            }
            self.packets.extend(place.into_packet());
        }
        for (at, _) in &self.unsealed {
            self.packets[*at].meta.sa = NONE;
        }
    }
}

impl Opened {
    fn tell(&mut self, status: CryptoStatus) {
        let Opened::Checked(sequence) = *self else { return };
        *self = match status {
            CryptoStatus::Ok => Opened::Verified(sequence),
            CryptoStatus::AuthenticationFailed => Opened::Forged,
            CryptoStatus::Error => Opened::Refused(DropReason::CryptoDevice),
        };
    }
}

#[cfg(test)]
mod tests;
