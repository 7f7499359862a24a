//! What the AEAD is asked about packets that passed the first check.

use aead::{Aad, Key, OpenJob};
use arrayvec::ArrayVec;

use crate::packet::Packet;
use crate::stages::cipher::{BATCH, Op, Opened};
use crate::stages::rewrite::halves;
use crate::tables::InboundSa;
use crate::tables::encap::ESP_IV;

/// Verifies and decrypts those that passed the first check, and whose SA `sa_of` knows; the others
/// stay as they are. A packet that no job can be made for counts as forged.
pub(in crate::stages) fn open<'a>(
    packets: &mut [Packet],
    opened: &mut [Opened],
    sa_of: impl Fn(&Packet) -> Option<&'a InboundSa>,
) {
    for (packets, opened) in packets.chunks_mut(BATCH).zip(opened.chunks_mut(BATCH)) {
        let mut jobs = ArrayVec::<OpenJob<'_>, BATCH>::new();
        let mut waiting = ArrayVec::<&mut Opened, BATCH>::new();
        for (packet, opened) in packets.iter_mut().zip(opened) {
            let Opened::Checked(sequence) = *opened else { continue };
            let Some(sa) = sa_of(packet) else { continue };
            let esp = packet.meta.l4.into();
            let data = packet.mbuf.data_mut();
            match data.and_then(|data| job(data, esp, sequence, (&sa.key, sa.spi, sa.esn))) {
                Some(job) => {
                    jobs.push(job);
                    waiting.push(opened);
                }
                None => *opened = Opened::Forged,
            }
        }
        aead::open(&mut jobs);
        for (job, opened) in jobs.iter().zip(waiting) {
            opened.conclude(job.verified());
        }
    }
}

/// The job of a packet whose ESP header begins at `esp`, under the key of an SA, which has this SPI
/// and may have ESN.
#[inline(always)]
pub(super) fn job<'a>(
    data: &'a mut [u8],
    esp: usize,
    sequence: u64,
    (key, spi, esn): (&'a Key, u32, bool),
) -> Option<OpenJob<'a>> {
    let (header, buffer) = data.get_mut(esp..)?.split_first_chunk_mut::<ESP_IV>()?;
    let iv = *header[8..].first_chunk()?;
    let (high, low) = halves(sequence);
    let aad = Aad::new(spi, esn.then_some(high), low);
    Some(OpenJob::new(key, iv, aad, buffer))
}

/// The same for a crypto device, if the packet passed the first check, and its SA has a session.
pub(super) fn device_op<'a>(
    packet: &Packet,
    opened: Option<&Opened>,
    sa: &'a InboundSa,
) -> Option<Op<'a>> {
    let Some(&Opened::Checked(sequence)) = opened else { return None };
    let high = sa.esn.then_some(halves(sequence).0);
    Op::new(sa.device_key.as_ref()?, packet, sa.spi, high)
}
