//! esp_open: authenticates and decrypts, a whole burst in one call.
//!
//! ```text
//! SA state > cheap replay check > decrypt, verify ICV > replay check again, advance the window
//!          > lifetime > padding, next header > GRE | inner IP that matches the selectors
//! ```
//!
//! The window moves only for packets whose ICV verified (RFC 4303 section 3.4.3). Owns the replay
//! windows of the SAs whose lane leads here; where other cores decrypt and verify ([`cipher`]), the
//! steps before and after that are done here all the same, packet by packet in order.
//!
//! [`cipher`]: crate::stages::cipher

mod inbound;
mod jobs;
mod payload;

use std::sync::Arc;

use aead::OpenJob;
use arrayvec::ArrayVec;
use wire::IpProto;
use wire::esp::{self, EspTrailerError};

use crate::drops::DropReason;
use crate::engine::message::Event;
use crate::engine::stage::{Context, Outputs, SaCommand, Stage, Verdict, decide_ahead};
use crate::packet::{Flags, Meta, Packet};
use crate::stages::cipher::{BATCH, Batch, Cipher, Opened, Work, text_len};
use crate::stages::underlay::PLAIN_LEN;
use crate::tables::InboundSa;
use crate::tables::encap::ESP_IV;
use crate::tables::sa::FEW_SAS;

use self::inbound::Inbound;
use self::jobs::{device_op, job};
use self::payload::{dispatch, gre, plaintext, unwrap};

pub(super) use self::jobs::open;

/// Steps in which what belongs to an SA is fetched.
const FETCHES: usize = 2;

/// Opens.
#[derive(Default)]
pub struct EspOpen {
    inbound: Vec<Option<Inbound>>,
    /// Counts SAs installed.
    changes: u64,
    cipher: Cipher,
}

impl Stage for EspOpen {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        if !self.cipher.is_inline() {
            return self.deal(context, input, out);
        }
        out.sort_all(input, |packets, verdicts| self.open_burst(context, packets, verdicts));
    }

    fn polls(&self) -> bool {
        self.cipher.waiting() > 0
    }

    fn apply(&mut self, command: SaCommand, context: &mut Context<'_>) {
        match command {
            SaCommand::InstallInbound(sa) => self.install(sa, context),
            SaCommand::RetireInbound(slot) => {
                if let Some(state) = self.inbound.get_mut(slot as usize).and_then(Option::take) {
                    context.events.push(Event::RetiredInbound(state.sa));
                }
            }
            SaCommand::InstallOutbound(_) | SaCommand::RetireOutbound(_) => {}
        }
    }
}

impl EspOpen {
    /// Has bursts opened by `cipher`.
    #[must_use]
    pub fn new(cipher: Cipher) -> Self {
        EspOpen { cipher, ..Self::default() }
    }

    /// Deals the burst, and takes in what has come back.
    fn deal(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        out.made(-(input.len() as i64));
        self.collect(context, out);
        while let Some(mut batch) = self.cipher.batch(Work::Open, input) {
            batch.changes = self.changes;
            self.check_all(context, &batch.packets, &mut batch.opened);
            let inbound = &self.inbound;
            let dealt = self
                .cipher
                .deal(batch, |packet, opened| device_op(packet, opened, sa_of(inbound, packet)?));
            if let Err(mut batch) = dealt {
                self.open(&mut batch.packets, &mut batch.opened);
                self.cipher.done(batch);
            }
            self.collect(context, out);
        }
        out.made(input.len() as i64);
        for packet in input.drain(..) {
            out.drop(packet, DropReason::RingFull);
        }
        out.held(self.cipher.waiting());
    }

    fn collect(&mut self, context: &mut Context<'_>, out: &mut Outputs) {
        while let Some(mut batch) = self.cipher.collect() {
            let Batch { packets, opened, changes, .. } = &mut *batch;
            if *changes != self.changes {
                self.refuse_gone(packets, opened, *changes);
            }
            // What the helper had no SA for; nothing, usually.
            self.open(packets, opened);
            out.made(packets.len() as i64);
            self.sort(context, packets, opened, out);
            self.cipher.recycle(batch);
        }
    }

    /// Refuses packets whose SA was retired or replaced since they were checked: the window of
    /// another one has nothing to say about their numbers.
    fn refuse_gone(&self, packets: &[Packet], opened: &mut [Opened], checked: u64) {
        for (packet, opened) in packets.iter().zip(opened) {
            let is_gone = self.state(packet.meta.sa).is_none_or(|state| state.since > checked);
            if is_gone && !matches!(opened, Opened::Refused(_)) {
                *opened = Opened::Refused(DropReason::SaGone);
            }
        }
    }

    fn check_all(&self, context: &mut Context<'_>, packets: &[Packet], opened: &mut Vec<Opened>) {
        if !self.is_small() {
            (0..FETCHES).for_each(|step| self.fetch(step, packets));
        }
        opened.clear();
        opened.extend(packets.iter().map(|packet| {
            if !packet.mbuf.is_head_exclusive() {
                return Opened::Refused(SHARED);
            }
            let (meta, data) = (&packet.meta, packet.mbuf.data());
            let usual = self.check_usual(context.now, meta, data).map(Ok);
            match usual.unwrap_or_else(|| self.check_any(context, meta, data)) {
                Ok((sequence, _)) => Opened::Checked(sequence),
                Err(reason) => Opened::Refused(reason),
            }
        }));
    }

    /// Decides about all packets of a burst.
    fn open_burst(
        &mut self,
        context: &mut Context<'_>,
        packets: &mut [Packet],
        verdicts: &mut [Verdict],
    ) {
        if self.is_small() {
            let batches = packets.chunks_mut(BATCH).zip(verdicts.chunks_mut(BATCH));
            return batches.for_each(|(packets, verdicts)| {
                self.open_batch(context, packets, verdicts);
            });
        }
        let fetch = |(this, _): &(&mut Self, &mut _), step, group: &[_]| this.fetch(step, group);
        let mut state = (self, context);
        let open = |(this, context): &mut (&mut Self, &mut _), group: &mut _, verdicts: &mut _| {
            this.open_batch(context, group, verdicts);
        };
        decide_ahead(packets, verdicts, &mut state, (FETCHES, fetch), open);
    }

    /// Decides about a batch: all that there is to do with each packet, while it is at hand.
    fn open_batch(
        &mut self,
        context: &mut Context<'_>,
        packets: &mut [Packet],
        verdicts: &mut [Verdict],
    ) {
        let mut numbers = [0; BATCH];
        let Verified { pending, genuine } = self.verify(context, packets, verdicts, &mut numbers);
        let mut at = 0;
        while at < packets.len() {
            let (run, of_run) = (&mut packets[at..], &mut verdicts[at..]);
            // No further than the first that is not authentic.
            let end = (!(genuine >> at)).trailing_zeros() as usize;
            at += self.accept_run(context, run, of_run, &numbers[at..at + end]);
            let Some(packet) = packets.get_mut(at) else { break };
            // In its turn: what comes behind it may push it out of the window.
            if pending >> at & 1 != 0 {
                let decided = if genuine >> at & 1 != 0 {
                    self.accept(context, packet, numbers[at])
                } else {
                    Err(self.forged(packet))
                };
                verdicts[at] = decided.into();
            }
            at += 1;
        }
    }

    /// Accepts authentic packets, as many as there are numbers, as long as they are usual; says how
    /// many.
    #[inline(never)]
    fn accept_run(
        &mut self,
        context: &Context<'_>,
        packets: &mut [Packet],
        verdicts: &mut [Verdict],
        numbers: &[u64],
    ) -> usize {
        let take_gre = context.tables.sas.take_gre();
        let mut accepted = 0;
        for ((packet, verdict), number) in packets.iter_mut().zip(verdicts).zip(numbers) {
            let Some(usual) = self.accept_usual(take_gre, packet, *number) else { break };
            *verdict = usual;
            accepted += 1;
        }
        accepted
    }

    /// Decides about those that the first check refuses, and decrypts the others; puts their
    /// numbers down.
    #[inline(always)]
    fn verify(
        &self,
        context: &mut Context<'_>,
        packets: &mut [Packet],
        verdicts: &mut [Verdict],
        numbers: &mut [u64; BATCH],
    ) -> Verified {
        let mut jobs = ArrayVec::<OpenJob<'_>, BATCH>::new();
        let mut refused = 0_u64;
        let of_all = u64::MAX >> (BATCH - packets.len().clamp(1, BATCH));
        for (index, (packet, verdict)) in packets.iter_mut().zip(verdicts).enumerate() {
            match self.check_and_prepare(context, packet) {
                Ok((number, job)) => {
                    numbers[index % BATCH] = number;
                    jobs.push(job);
                }
                Err(reason) => {
                    *verdict = Err(reason).into();
                    refused |= 1 << index;
                }
            }
        }
        let pending = of_all & !refused;
        aead::open(&mut jobs);
        let (mut rest, mut genuine) = (pending, 0);
        for job in &jobs {
            let without = rest & rest.wrapping_sub(1);
            genuine |= if job.verified() { rest ^ without } else { 0 };
            rest = without;
        }
        Verified { pending, genuine }
    }

    /// The first check of a packet, and the job that tells whether it is authentic.
    #[inline(always)]
    fn check_and_prepare<'a>(
        &'a self,
        context: &mut Context<'_>,
        packet: &'a mut Packet,
    ) -> Result<(u64, OpenJob<'a>), DropReason> {
        let data = packet.mbuf.data_mut().ok_or(SHARED)?;
        // Apart from `check_any`, so that the compiler knows where the header of the usual is.
        if let Some((sequence, state)) = self.check_usual(context.now, &packet.meta, data) {
            let job = job(data, PLAIN_LEN.into(), sequence, state.as_job());
            return Ok((sequence, job.ok_or(DropReason::EspTruncated)?));
        }
        let (sequence, state) = self.check_any(context, &packet.meta, data)?;
        let job = job(data, packet.meta.l4.into(), sequence, state.as_job());
        Ok((sequence, job.ok_or(DropReason::EspTruncated)?))
    }

    /// Whether all SAs stay in the second-level cache with what belongs to them: to fetch costs
    /// more there than it saves.
    fn is_small(&self) -> bool {
        self.inbound.len() <= FEW_SAS
    }

    /// Fetches the states of these packets, then what those lead to.
    fn fetch(&self, step: usize, packets: &[Packet]) {
        for packet in packets {
            if step == 0 {
                let state = self.inbound.get(packet.meta.sa as usize);
                state.into_iter().for_each(dpdk::prefetch_whole);
            } else if let Some(state) = self.state(packet.meta.sa) {
                state.fetch(text_len(packet));
            }
        }
    }

    /// Verifies and decrypts those that passed the first check and are not opened yet.
    fn open(&self, packets: &mut [Packet], opened: &mut [Opened]) {
        open(packets, opened, |packet| sa_of(&self.inbound, packet));
    }

    fn sort(
        &mut self,
        context: &mut Context<'_>,
        packets: &mut Vec<Packet>,
        opened: &[Opened],
        out: &mut Outputs,
    ) {
        let mut each = opened.iter();
        out.sort(packets, |packet| match each.next() {
            Some(Opened::Verified(sequence)) => self.accept(context, packet, *sequence),
            Some(Opened::Refused(reason)) => Err(*reason),
            _ => Err(self.forged(packet)),
        });
    }

    /// An SA that is here already keeps its window: an empty one would take replays.
    fn install(&mut self, sa: Arc<InboundSa>, context: &mut Context<'_>) {
        let slot = sa.slot as usize;
        if self.inbound.len() <= slot {
            self.inbound.resize_with(slot + 1, || None);
        }
        let state = &mut self.inbound[slot];
        if state.as_ref().is_some_and(|state| Arc::ptr_eq(&state.sa, &sa)) {
            return;
        }
        self.changes += 1;
        if let Some(old) = state.replace(Inbound::new(sa, self.changes)) {
            context.events.push(Event::RetiredInbound(old.sa));
        }
    }

    #[inline(always)]
    fn state(&self, slot: u32) -> Option<&Inbound> {
        self.inbound.get(slot as usize)?.as_ref()
    }

    /// [`check_any`](Self::check_any) of what nearly always comes, see [`Inbound::check_usual`];
    /// none of others.
    #[inline(always)]
    fn check_usual(&self, now: u64, meta: &Meta, data: &[u8]) -> Option<(u64, &Inbound)> {
        let state = self.state(meta.sa)?;
        Some((state.check_usual(now, meta, data)?, state))
    }

    /// What can be refused before any cryptography. Of others the number, and the SA.
    #[cold]
    #[inline(never)]
    fn check_any(
        &self,
        context: &mut Context<'_>,
        meta: &Meta,
        data: &[u8],
    ) -> Result<(u64, &Inbound), DropReason> {
        let state = self.state(meta.sa).ok_or(DropReason::SaGone)?;
        if state.expired.get() || state.over(context.now) {
            return Err(expired(state, context));
        }
        let header = data.get(usize::from(meta.l4)..).and_then(|esp| esp.first_chunk());
        let header: &[u8; ESP_IV] = header.ok_or(DropReason::EspTruncated)?;
        let [a, b, c, d, e, f, g, h, ..] = *header;
        if u32::from_be_bytes([a, b, c, d]) != state.spi {
            // Its slot has another SA since.
            return Err(DropReason::SaGone);
        }
        if !state.is_met_by(meta, data) {
            return Err(DropReason::SaAddress);
        }
        match state.window.check(u32::from_be_bytes([e, f, g, h])) {
            Ok(sequence) => Ok((sequence, state)),
            Err(error) => Err(state.replayed(error)),
        }
    }

    fn forged(&self, packet: &Packet) -> DropReason {
        let Some(state) = self.state(packet.meta.sa) else { return DropReason::SaGone };
        state.counters.forgeries.add(1);
        DropReason::IcvMismatch
    }

    /// What is done with an authentic packet as nearly all are: GRE in transport mode, in order,
    /// not in UDP. None, and nothing changed, for others and whatever is wrong; of these,
    /// [`accept`](Self::accept) would say the same.
    #[inline(always)]
    fn accept_usual(
        &mut self,
        take_gre: &[bool],
        packet: &mut Packet,
        sequence: u64,
    ) -> Option<Verdict> {
        let state = self.inbound.get_mut(packet.meta.sa as usize)?.as_mut()?;
        let trailer = esp::short_trailer(plaintext(packet).ok()?)?;
        let takes_gre = take_gre.get(packet.meta.sa as usize) == Some(&true);
        let is_usual = trailer.next_header == IpProto::GRE && takes_gre && !state.udp;
        if !is_usual || !packet.mbuf.is_contiguous() || !state.window.advance_near(sequence) {
            return None;
        }
        unwrap(packet, trailer).ok()?;
        state.counters.sequence.set(sequence);
        state.counters.traffic.count(packet.mbuf.len());
        packet.meta.flags.set(Flags::PROTECTED);
        Some(Verdict::output(gre(packet)))
    }

    /// What is done with an authentic packet.
    #[inline(never)]
    fn accept(
        &mut self,
        context: &mut Context<'_>,
        packet: &mut Packet,
        sequence: u64,
    ) -> Result<usize, DropReason> {
        let state = self.inbound.get_mut(packet.meta.sa as usize).and_then(Option::as_mut);
        let state = state.ok_or(DropReason::SaGone)?;
        let newest = sequence > state.window.highest();
        state.window.advance(sequence).map_err(|error| state.replayed(error))?;
        state.counters.sequence.set(state.window.highest());
        if state.udp && newest {
            state.note_endpoint(packet, context.events);
        }
        let trailer = esp::check_trailer(plaintext(packet)?).map_err(|error| match error {
            EspTrailerError::Truncated => DropReason::EspTruncated,
            EspTrailerError::PadLength(_) | EspTrailerError::PadBytes => DropReason::EspPadding,
        })?;
        unwrap(packet, trailer)?;
        state.counters.traffic.count(packet.mbuf.len());
        packet.meta.flags.set(Flags::PROTECTED);
        // The published SA, not the one installed: its selectors follow the configuration.
        let sa = context.tables.sas.inbound(packet.meta.sa).ok_or(DropReason::SaGone)?;
        dispatch(context, packet, trailer.next_header, sa)
    }
}

/// Of a batch, a bit a packet.
struct Verified {
    /// Those that passed the first check.
    pending: u64,
    /// Those of them that are authentic.
    genuine: u64,
}

const _: () = assert!(BATCH <= u64::BITS as usize);

/// Why a buffer that somebody else reads is not decrypted under their eyes.
const SHARED: DropReason = DropReason::NoRoom;

/// Tells the control thread of an SA that has ended, once.
#[cold]
fn expired(state: &Inbound, context: &mut Context<'_>) -> DropReason {
    if !state.expired.replace(true) {
        context.events.push(Event::Expired { slot: state.sa.slot, inbound: true });
    }
    DropReason::SaExpired
}

/// The SA that a packet came by.
#[inline]
fn sa_of<'a>(inbound: &'a [Option<Inbound>], packet: &Packet) -> Option<&'a InboundSa> {
    inbound.get(packet.meta.sa as usize)?.as_ref().map(|state| &*state.sa)
}

#[cfg(test)]
mod tests;
