//! esp_seal: seals in place what `gre_encap` laid out, a whole burst in one call.

use aead::{Aad, SealJob};
use arrayvec::ArrayVec;

use crate::drops::DropReason;
use crate::engine::stage::{Context, Outputs, Stage};
use crate::engine::topology::output::esp_seal;
use crate::packet::{NONE, Packet};
use crate::stages::rewrite::l3_offset;
use crate::tables::{SaTable, encap::ESP_IV};

/// Packets sealed in one call: enough for a kernel that works across packets.
pub(super) const BATCH: usize = 64;

/// Seals.
#[derive(Default)]
pub struct EspSeal;

impl Stage for EspSeal {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        for batch in input.chunks_mut(BATCH) {
            let mut jobs = ArrayVec::<SealJob<'_>, BATCH>::new();
            for packet in batch {
                // Marks the packet as not sealed; set back when its job exists.
                let slot = std::mem::replace(&mut packet.meta.sa, NONE);
                if let Some(job) = job(packet, slot, &context.tables.sas) {
                    jobs.push(job);
                }
            }
            aead::seal(&mut jobs);
        }
        out.sort(input, |packet| {
            if packet.meta.sa == NONE {
                Err(DropReason::SaGone)
            } else if packet.mbuf.len() > l3_offset(&packet.mbuf) + usize::from(packet.meta.mtu) {
                Ok(esp_seal::FRAGMENT)
            } else {
                Ok(esp_seal::TX)
            }
        });
    }
}

/// The job of one packet, and its SA noted in the metadata; none if the SA is gone or the buffer
/// cannot be written, so that nothing is sent unsealed.
fn job<'a>(packet: &'a mut Packet, slot: u32, sas: &'a SaTable) -> Option<SealJob<'a>> {
    let sa = sas.outbound(slot).filter(|_| packet.mbuf.is_contiguous())?;
    let esp = usize::from(packet.meta.l4);
    let (header, buffer) = packet.mbuf.data_mut()?.get_mut(esp..)?.split_at_mut_checked(ESP_IV)?;
    let spi = u32::from_be_bytes(*header.first_chunk()?);
    let sequence = u32::from_be_bytes(*header[4..].first_chunk()?);
    let iv = *header[8..].first_chunk()?;
    let aad = if sa.esn {
        Aad::esn(spi, packet.meta.sequence_high, sequence)
    } else {
        Aad::esp(spi, sequence)
    };
    let job = SealJob::new(&sa.key, iv, aad, buffer).ok()?;
    packet.meta.sa = slot;
    Some(job)
}
