//! cipher: who does the AEAD of a burst, and gives bursts back in the order in which they came.
//!
//! ```text
//! core 0: esp_seal or esp_open                     core 1, 2 …: cipher
//!   burst > batches ═══ lane: dealt in turn ═════> seal, open with the keys of its own tables
//!                `─ no helper has room: here       ║
//!   order: [lane 1][here][lane 2][lane 1] …        ║
//!   <═══ the front batch, once it is back ═════════╝
//! ```
//!
//! The stage keeps the state of the SAs (sequence numbers are in the packets already, replay
//! windows stay), and deals only the arithmetic. Batches go out and come back by a pair of rings
//! per owner and helper, keep their boundaries, and are taken in the order in which they were
//! dealt: so the packets of an SA stay in order however many cores seal them, without a reorder
//! buffer. A stage has few batches for each lane; the rings hold all of them, so coming back never
//! fails. When every lane has its batches out, the stage does the next one itself, and keeps it in
//! its turn: the load balances by itself, and nobody waits for anybody.
//!
//! A helper that stalls holds up what was dealt after its batch, up to a limit of packets; what
//! comes beyond is dropped (`ring_full`), and when the helper goes on, so does the traffic.
//!
//! A queue of a crypto device (`device.rs`) is one more kind of lane. It takes small batches too:
//! whoever configures a device wants it to do the work.

mod device;

use std::collections::VecDeque;

use dpdk::crypto::CryptoQueue;

use crate::drops::DropReason;
use crate::engine::ring::{Consumer, Producer, channel};
use crate::engine::stage::{Context, Outputs, Stage};
use crate::packet::Packet;
use crate::stages::{esp_open, esp_seal};
use crate::tables::SaTable;
use crate::tables::encap::{ESP_IV, ICV};

use self::device::{DEVICE_BATCHES, Device, Place};

pub(super) use self::device::Op;

/// Octets that the AEAD seals or opens of an ESP packet: what is between its IV and its ICV.
#[inline(always)]
pub(super) fn text_len(packet: &Packet) -> usize {
    packet.mbuf.len().saturating_sub(usize::from(packet.meta.l4) + ESP_IV + ICV)
}

/// Packets of one call of the AEAD: enough for a kernel that works across packets.
pub(super) const BATCH: usize = 64;

/// Batches that a lane has out: one that is worked on, and one that waits behind it, so that a
/// helper goes on while the owner is busy with a batch of its own.
const LANE_BATCHES: usize = 2;

/// Smallest batch that is dealt, if a burst is larger. Fewer packets mean that the owner is not
/// behind, and done here they leave sooner than they would come back.
const DEALT_MIN: usize = 32;

/// What is known of an inbound packet on its way through the AEAD.
#[derive(Debug, Clone, Copy)]
pub(super) enum Opened {
    /// Refused before any cryptography.
    Refused(DropReason),
    /// Passed the first check, with this inferred sequence number; not opened yet.
    Checked(u64),
    /// Its ICV is right, and so is the number.
    Verified(u64),
    /// Its ICV is wrong.
    Forged,
}

impl Opened {
    /// Takes note of the AEAD's answer about a packet that was checked.
    #[inline(always)]
    pub(super) fn conclude(&mut self, genuine: bool) {
        if let Opened::Checked(sequence) = *self {
            *self = if genuine { Opened::Verified(sequence) } else { Opened::Forged };
        }
    }
}

/// What a batch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Work {
    /// `esp_seal`'s.
    #[default]
    Seal,
    /// `esp_open`'s.
    Open,
}

/// Packets that are sealed or opened together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// At most [`BATCH`], or more of those that the owner did itself.
    pub(super) packets: Vec<Packet>,
    /// What is known of each packet, if it is to be opened.
    pub(super) opened: Vec<Opened>,
    /// Packets that a helper could not seal, with their SA's slot: its tables do not have it yet,
    /// or not any more.
    pub(super) unsealed: Vec<(usize, u32)>,
    /// The owner's count of changes to its SAs when it checked these packets.
    pub(super) changes: u64,
    /// Packets that a device spoilt instead of sealing them.
    pub(super) failed: Vec<Packet>,
    work: Work,
    /// The packets while a device has the batch.
    places: Vec<Place>,
    /// How many of them the device has.
    away: usize,
}

impl Batch {
    fn with_room() -> Box<Self> {
        // As the ports of a stage, with which the vectors are exchanged.
        let packets = Vec::with_capacity(BATCH * 4);
        let (opened, places) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        Box::new(Self { packets, opened, places, ..Self::default() })
    }

    /// The work, with the keys of a helper's tables.
    fn run(&mut self, sas: &SaTable) {
        match self.work {
            Work::Seal => {
                let unsealed = &mut self.unsealed;
                esp_seal::seal(&mut self.packets, sas, |at, slot| unsealed.push((at, slot)));
            }
            Work::Open => {
                // Not one that took the slot since: its key would only spoil the packet.
                let sa_of = |p: &Packet| sas.inbound(p.meta.sa).filter(|sa| sa.is_named_in(p));
                esp_open::open(&mut self.packets, &mut self.opened, sa_of);
            }
        }
    }

    /// Packets in it, wherever they are.
    fn len(&self) -> usize {
        self.packets.len() + self.places.len() + self.failed.len()
    }

    fn clear(&mut self) {
        self.packets.clear();
        self.failed.clear();
        self.opened.clear();
        self.unsealed.clear();
    }
}

/// The owner's end of the rings between it and one helper.
pub struct Lane {
    to: Producer<Box<Batch>>,
    back: Consumer<Box<Batch>>,
    /// Batches that have not come back.
    out: usize,
}

/// The helper's end of a lane.
pub struct Client {
    work: Consumer<Box<Batch>>,
    done: Producer<Box<Batch>>,
}

/// The rings between an owner and a helper, as their two ends.
#[must_use]
pub fn lane() -> (Lane, Client) {
    let (to, work) = channel(LANE_BATCHES);
    let (done, back) = channel(LANE_BATCHES);
    (Lane { to, back, out: 0 }, Client { work, done })
}

/// Where a batch is whose turn has not come.
enum Turn {
    /// With the helper of this lane.
    Lane(usize),
    /// With the device.
    Device,
    /// Done here.
    Here(Box<Batch>),
}

/// The lanes of a stage and the order of what they have. Without lanes the stage does all itself.
#[derive(Default)]
pub struct Cipher {
    lanes: Vec<Lane>,
    device: Option<Device>,
    /// The lane that is asked first.
    next: usize,
    order: VecDeque<Turn>,
    #[expect(
        clippy::vec_box,
        reason = "the boxes travel: what goes through the rings is a pointer"
    )]
    free: Vec<Box<Batch>>,
    /// Packets in `order`.
    waiting: usize,
    waiting_max: usize,
    dealt_min: usize,
}

impl Cipher {
    /// Deals to `lanes` and to the crypto device of a queue. At most `waiting_max` packets are on
    /// their way or wait for their turn; bursts have at most `burst` packets.
    #[must_use]
    pub fn new(
        lanes: Vec<Lane>,
        device: Option<CryptoQueue>,
        waiting_max: usize,
        burst: usize,
    ) -> Self {
        // Between two batches that are out there is at most one that was done here, one is being
        // filled, and one taken.
        let out = LANE_BATCHES * lanes.len() + device.as_ref().map_or(0, |_| DEVICE_BATCHES);
        let batches = if out == 0 { 0 } else { 2 * out + 2 };
        Self {
            free: (0..batches).map(|_| Batch::with_room()).collect(),
            order: VecDeque::with_capacity(batches),
            lanes,
            device: device.map(Device::new),
            next: 0,
            waiting: 0,
            waiting_max,
            dealt_min: DEALT_MIN.min(burst.div_ceil(2)),
        }
    }

    /// Whether there is nobody to deal to.
    #[inline]
    pub(super) fn is_inline(&self) -> bool {
        self.lanes.is_empty() && self.device.is_none()
    }

    /// Packets that were dealt, or wait for those.
    #[inline]
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The next batch of a burst; none when the burst is empty, or no more packets may wait.
    pub(super) fn batch(&mut self, work: Work, burst: &mut Vec<Packet>) -> Option<Box<Batch>> {
        let count = burst.len().min(BATCH);
        let full = self.waiting > 0 && self.waiting + count > self.waiting_max;
        if count == 0 || full {
            return None;
        }
        let mut batch = self.free.pop().unwrap_or_else(Batch::with_room);
        batch.work = work;
        if count == burst.len() {
            std::mem::swap(&mut batch.packets, burst);
        } else {
            batch.packets.extend(burst.drain(..count));
        }
        Some(batch)
    }

    /// Gives a batch to the device or to the next lane that has room for it. `op_of` is asked what
    /// a device is to do with a packet.
    ///
    /// # Errors
    /// The batch is to be done here: no lane has room, or it is not worth the way.
    pub(super) fn deal<'a>(
        &mut self,
        mut batch: Box<Batch>,
        op_of: impl FnMut(&Packet, Option<&Opened>) -> Option<Op<'a>>,
    ) -> Result<(), Box<Batch>> {
        let packets = batch.packets.len();
        if let Some(device) = &mut self.device {
            match device.deal(batch, op_of) {
                Ok(()) => {
                    self.order.push_back(Turn::Device);
                    self.waiting += packets;
                    return Ok(());
                }
                Err(refused) => batch = refused,
            }
        }
        if packets < self.dealt_min {
            return Err(batch);
        }
        for _ in 0..self.lanes.len() {
            let number = self.next;
            self.next = if number + 1 == self.lanes.len() { 0 } else { number + 1 };
            let lane = &mut self.lanes[number];
            if lane.out == LANE_BATCHES {
                continue;
            }
            match lane.to.push(batch) {
                Ok(()) => {
                    lane.out += 1;
                    self.order.push_back(Turn::Lane(number));
                    self.waiting += packets;
                    return Ok(());
                }
                Err(refused) => batch = refused,
            }
        }
        Err(batch)
    }

    /// Takes a batch that was done here, to give it back in its turn.
    pub(super) fn done(&mut self, mut batch: Box<Batch>) {
        self.waiting += batch.packets.len();
        match self.order.back_mut() {
            // So that small ones do not make a long queue.
            Some(Turn::Here(last)) if last.changes == batch.changes => {
                last.packets.append(&mut batch.packets);
                last.opened.append(&mut batch.opened);
                self.free.push(batch);
            }
            _ => self.order.push_back(Turn::Here(batch)),
        }
    }

    /// The batch whose turn it is, if it is done. A helper may have left packets of it undone.
    pub(super) fn collect(&mut self) -> Option<Box<Batch>> {
        let batch = match self.order.pop_front()? {
            Turn::Here(batch) => batch,
            Turn::Lane(number) => {
                let lane = &mut self.lanes[number];
                let Some(batch) = lane.back.pop() else {
                    self.order.push_front(Turn::Lane(number));
                    return None;
                };
                lane.out -= 1;
                batch
            }
            Turn::Device => {
                let Some(batch) = self.device.as_mut().and_then(Device::collect) else {
                    self.order.push_front(Turn::Device);
                    return None;
                };
                batch
            }
        };
        self.waiting -= batch.len();
        Some(batch)
    }

    /// Takes back an empty batch.
    pub(super) fn recycle(&mut self, mut batch: Box<Batch>) {
        batch.clear();
        self.free.push(batch);
    }
}

/// The stage of a helper: seals and opens for others.
pub struct Helper {
    clients: Vec<Client>,
}

impl Helper {
    /// Works for `clients`.
    #[must_use]
    pub fn new(clients: Vec<Client>) -> Self {
        Self { clients }
    }
}

impl Stage for Helper {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        for client in &mut self.clients {
            let Some(mut batch) = client.work.pop() else { continue };
            batch.run(&context.tables.sas);
            out.worked(batch.packets.len());
            let returned = client.done.push(batch);
            debug_assert!(returned.is_ok(), "the ring holds all batches of its lane");
        }
        // No edge leads here.
        for packet in input.drain(..) {
            out.drop(packet, DropReason::NoStage);
        }
    }

    fn polls(&self) -> bool {
        true
    }
}
