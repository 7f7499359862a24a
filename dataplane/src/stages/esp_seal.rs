//! esp_seal: seals in place what `gre_encap` laid out, a whole burst in one call.

use aead::{Aad, SealJob};
use arrayvec::ArrayVec;

use crate::drops::DropReason;
use crate::engine::stage::{Context, Outputs, Stage, work_ahead};
use crate::engine::topology::output::esp_seal;
use crate::packet::{Flags, NONE, Packet};
use crate::stages::cipher::{BATCH, Cipher, Op, Work, text_len};
use crate::tables::{SaTable, encap::ESP_IV, sa::FEW_SAS};

/// Packets of one call of the AEAD here, where no other core waits for a part of a burst: what a
/// kernel begins and ends with is then for more of them.
const JOBS: usize = 2 * BATCH;

/// Seals.
#[derive(Default)]
pub struct EspSeal {
    cipher: Cipher,
}

impl EspSeal {
    /// Has bursts sealed by `cipher`.
    #[must_use]
    pub fn new(cipher: Cipher) -> Self {
        EspSeal { cipher }
    }

    /// Deals the burst, and sends on what has come back.
    fn deal(&mut self, sas: &SaTable, input: &mut Vec<Packet>, out: &mut Outputs) {
        out.made(-(input.len() as i64));
        self.collect(sas, out);
        while let Some(batch) = self.cipher.batch(Work::Seal, input) {
            let dealt = self.cipher.deal(batch, |packet, _| device_op(packet, sas));
            if let Err(mut batch) = dealt {
                seal(&mut batch.packets, sas, |_, _| {});
                self.cipher.done(batch);
            }
            self.collect(sas, out);
        }
        out.made(input.len() as i64);
        for packet in input.drain(..) {
            out.drop(packet, DropReason::RingFull);
        }
        out.held(self.cipher.waiting());
    }

    fn collect(&mut self, sas: &SaTable, out: &mut Outputs) {
        while let Some(mut batch) = self.cipher.collect() {
            for (at, slot) in batch.unsealed.drain(..) {
                batch.packets[at].meta.sa = slot;
                seal(&mut batch.packets[at..=at], sas, |_, _| {});
            }
            out.made((batch.packets.len() + batch.failed.len()) as i64);
            for packet in batch.failed.drain(..) {
                out.drop(packet, DropReason::CryptoDevice);
            }
            sort(&mut batch.packets, out);
            self.cipher.recycle(batch);
        }
    }
}

impl Stage for EspSeal {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        if self.cipher.is_inline() {
            seal(input, &context.tables.sas, |_, _| {});
            sort(input, out);
        } else {
            self.deal(&context.tables.sas, input, out);
        }
    }

    fn polls(&self) -> bool {
        self.cipher.waiting() > 0
    }
}

/// Seals packets in place. One that cannot be is left as it is but for its SA, which it has no
/// more: `unsealed` is told its index and the SA's slot.
pub(super) fn seal(packets: &mut [Packet], sas: &SaTable, mut unsealed: impl FnMut(usize, u32)) {
    let mut from = 0;
    let mut work = |batch: &mut [Packet]| {
        let mut jobs = ArrayVec::<SealJob<'_>, JOBS>::new();
        let len = batch.len();
        for (index, packet) in batch.iter_mut().enumerate() {
            // Marks the packet as not sealed; set back when its job exists.
            let slot = std::mem::replace(&mut packet.meta.sa, NONE);
            match job(packet, slot, sas) {
                Some(job) => jobs.push(job),
                None => unsealed(from + index, slot),
            }
        }
        aead::seal(&mut jobs);
        from += len;
    };
    if sas.outbound_slots() <= FEW_SAS {
        return packets.chunks_mut(JOBS).for_each(work);
    }
    work_ahead(packets, &mut &*sas, (2, fetch), |_, group| work(group));
}

/// Fetches the SAs of these packets, then their keys.
fn fetch(sas: &&SaTable, step: usize, packets: &[Packet]) {
    for packet in packets {
        let Some(sa) = sas.outbound(packet.meta.sa) else { continue };
        if step == 0 { dpdk::prefetch(sa) } else { sa.key.prefetch(text_len(packet)) }
    }
}

/// To the underlay, in fragments if need be; dropped if not sealed.
fn sort(packets: &mut Vec<Packet>, out: &mut Outputs) {
    out.sort(packets, |packet| {
        if packet.meta.sa == NONE {
            Err(DropReason::SaGone)
        } else if packet.meta.flags.has(Flags::OVERSIZE) {
            Ok(esp_seal::FRAGMENT)
        } else {
            Ok(esp_seal::TX)
        }
    });
}

/// The job of one packet, and its SA noted in the metadata; none if the SA is gone, its slot has
/// another one now, or the buffer cannot be written, so that nothing is sent unsealed, and no IV
/// used that another SA's counter did not give.
fn job<'a>(packet: &'a mut Packet, slot: u32, sas: &'a SaTable) -> Option<SealJob<'a>> {
    let sa = sas.outbound(slot).filter(|_| packet.mbuf.is_contiguous())?;
    let esp = usize::from(packet.meta.l4);
    let (header, buffer) = packet.mbuf.data_mut()?.get_mut(esp..)?.split_at_mut_checked(ESP_IV)?;
    let spi = u32::from_be_bytes(*header.first_chunk()?);
    let sequence = u32::from_be_bytes(*header[4..].first_chunk()?);
    let iv = *header[8..].first_chunk()?;
    if spi != sa.spi {
        return None;
    }
    let aad = Aad::new(spi, sa.esn.then_some(packet.meta.sequence_high), sequence);
    let job = SealJob::new(&sa.key, iv, aad, buffer).ok()?;
    packet.meta.sa = slot;
    Some(job)
}

/// The same for a crypto device, if the SA has a session there.
fn device_op<'a>(packet: &Packet, sas: &'a SaTable) -> Option<Op<'a>> {
    let sa = sas.outbound(packet.meta.sa)?;
    let high = sa.esn.then_some(packet.meta.sequence_high);
    Op::new(sa.device_key.as_ref()?, packet, sa.spi, high)
}
