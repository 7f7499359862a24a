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

use std::sync::Arc;

use aead::{Aad, Key, OpenJob};
use arrayvec::ArrayVec;
use wire::IpProto;
use wire::esp::{self, EspTrailerError};

use crate::drops::DropReason;
use crate::engine::message::Event;
use crate::engine::stage::{Context, Outputs, SaCommand, Stage, work_ahead};
use crate::engine::topology::output::esp_open;
use crate::ip::IpFacts;
use crate::packet::{Flags, Layer, Packet};
use crate::stages::cipher::{BATCH, Batch, Cipher, Op, Opened, Work};
use crate::stages::rewrite::halves;
use crate::stages::underlay;
use crate::tables::InboundSa;
use crate::tables::encap::{ESP_IV, ICV};
use crate::tables::sa::SaMode;

use self::inbound::Inbound;

/// As [`FEW_SAS`](crate::tables::sa::FEW_SAS), but a window belongs to an inbound SA as well.
const FEW: usize = 512;
/// Steps in which what belongs to an SA is fetched.
const FETCHES: usize = 2;

/// Opens.
#[derive(Default)]
pub struct EspOpen {
    inbound: Vec<Option<Inbound>>,
    /// What is known of each packet of a burst.
    opened: Vec<Opened>,
    /// Counts SAs installed.
    changes: u64,
    cipher: Cipher,
}

impl Stage for EspOpen {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        if !self.cipher.is_inline() {
            return self.deal(context, input, out);
        }
        let mut opened = std::mem::take(&mut self.opened);
        self.check_and_open(context, input, &mut opened);
        self.sort(context, input, &opened, out);
        self.opened = opened;
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
        opened.extend(packets.iter().map(|packet| match self.check(context, packet) {
            Ok((sequence, _)) => Opened::Checked(sequence),
            Err(reason) => Opened::Refused(reason),
        }));
    }

    /// [`check_all`](Self::check_all) and [`open`](Self::open) in one pass over the packets.
    fn check_and_open(
        &self,
        context: &mut Context<'_>,
        packets: &mut [Packet],
        opened: &mut Vec<Opened>,
    ) {
        opened.clear();
        let mut work = |group: &mut [Packet]| {
            let first = opened.len();
            let mut jobs = ArrayVec::<OpenJob<'_>, BATCH>::new();
            for packet in group {
                opened.push(match self.check(context, packet) {
                    Ok((sequence, state)) => match state.job(packet, sequence) {
                        Some(job) => {
                            jobs.push(job);
                            Opened::Checked(sequence)
                        }
                        None => Opened::Forged,
                    },
                    Err(reason) => Opened::Refused(reason),
                });
            }
            aead::open(&mut jobs);
            conclude(&jobs, opened[first..].iter_mut().filter(|opened| opened.is_checked()));
        };
        if self.is_small() {
            return packets.chunks_mut(BATCH).for_each(work);
        }
        let fetch = |this: &&Self, step, group: &[_]| this.fetch(step, group);
        work_ahead(packets, &mut &*self, (FETCHES, fetch), |_, group| work(group));
    }

    /// Whether all SAs stay in the second-level cache with what belongs to them: to fetch costs
    /// more there than it saves.
    fn is_small(&self) -> bool {
        self.inbound.len() <= FEW
    }

    /// Fetches the states of these packets, then what those lead to.
    fn fetch(&self, step: usize, packets: &[Packet]) {
        for packet in packets {
            if step == 0 {
                self.inbound.get(packet.meta.sa as usize).into_iter().for_each(dpdk::prefetch);
            } else if let Some(state) = self.state(packet.meta.sa) {
                state.fetch();
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

    /// What can be refused before any cryptography. Of others the number, and the SA.
    #[inline(always)]
    fn check(
        &self,
        context: &mut Context<'_>,
        packet: &Packet,
    ) -> Result<(u64, &Inbound), DropReason> {
        if !packet.mbuf.is_head_exclusive() {
            // Somebody else reads this buffer: it is not decrypted under their eyes.
            return Err(DropReason::NoRoom);
        }
        let state = self.state(packet.meta.sa).ok_or(DropReason::SaGone)?;
        if state.expired.get() || state.over(context.now) {
            if !state.expired.replace(true) {
                context.events.push(Event::Expired { slot: packet.meta.sa, inbound: true });
            }
            return Err(DropReason::SaExpired);
        }
        let header = packet.mbuf.data().get(usize::from(packet.meta.l4)..);
        let header = header.and_then(|h| h.first_chunk()).ok_or(DropReason::EspTruncated)?;
        let [a, b, c, d, sequence @ ..]: [u8; 8] = *header;
        if u32::from_be_bytes([a, b, c, d]) != state.spi {
            // Its slot has another SA since.
            return Err(DropReason::SaGone);
        }
        if !state.is_met_by(packet) {
            return Err(DropReason::SaAddress);
        }
        match state.window.check(u32::from_be_bytes(sequence)) {
            Ok(sequence) => Ok((sequence, state)),
            Err(error) => Err(state.replayed(error)),
        }
    }

    fn forged(&self, packet: &Packet) -> DropReason {
        let Some(state) = self.state(packet.meta.sa) else { return DropReason::SaGone };
        state.counters.forgeries.add(1);
        DropReason::IcvMismatch
    }

    /// What is done with an authentic packet.
    #[inline]
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
        let next_header = unwrap(packet)?;
        state.counters.traffic.count(packet.mbuf.len());
        packet.meta.flags.set(Flags::PROTECTED);
        // The published SA, not the one installed: its selectors follow the configuration.
        let sa = context.tables.sas.inbound(packet.meta.sa).ok_or(DropReason::SaGone)?;
        dispatch(context, packet, next_header, sa)
    }
}

/// The SA that a packet came by.
#[inline]
fn sa_of<'a>(inbound: &'a [Option<Inbound>], packet: &Packet) -> Option<&'a InboundSa> {
    inbound.get(packet.meta.sa as usize)?.as_ref().map(|state| &*state.sa)
}

/// Verifies and decrypts those that passed the first check, and whose SA `sa_of` knows; the others
/// stay as they are. A packet that no job can be made for counts as forged.
pub(super) fn open<'a>(
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
            match job(packet, sequence, &sa.key, (sa.spi, sa.esn)) {
                Some(job) => {
                    jobs.push(job);
                    waiting.push(opened);
                }
                None => *opened = Opened::Forged,
            }
        }
        aead::open(&mut jobs);
        conclude(&jobs, waiting.into_iter());
    }
}

/// Notes what came of the jobs with the packets that they were made for.
#[inline(always)]
fn conclude<'a>(jobs: &[OpenJob<'_>], checked: impl Iterator<Item = &'a mut Opened>) {
    for (job, opened) in jobs.iter().zip(checked) {
        opened.conclude(job.verified());
    }
}

/// The job of one packet under the key of an SA, which has this SPI and may have ESN.
#[inline(always)]
fn job<'a>(
    packet: &'a mut Packet,
    sequence: u64,
    key: &'a Key,
    (spi, esn): (u32, bool),
) -> Option<OpenJob<'a>> {
    let esp = usize::from(packet.meta.l4);
    let (header, buffer) = packet.mbuf.data_mut()?.get_mut(esp..)?.split_at_mut_checked(ESP_IV)?;
    let iv = *header[8..].first_chunk()?;
    let (high, low) = halves(sequence);
    let aad = Aad::new(spi, esn.then_some(high), low);
    Some(OpenJob::new(key, iv, aad, buffer))
}

/// The same for a crypto device, if the packet passed the first check, and its SA has a session.
fn device_op<'a>(packet: &Packet, opened: Option<&Opened>, sa: &'a InboundSa) -> Option<Op<'a>> {
    let Some(&Opened::Checked(sequence)) = opened else { return None };
    let high = sa.esn.then_some(halves(sequence).0);
    Op::new(sa.device_key.as_ref()?, packet, sa.spi, high)
}

/// Takes off everything but the payload; says what that is.
fn unwrap(packet: &mut Packet) -> Result<IpProto, DropReason> {
    let start = usize::from(packet.meta.l4) + ESP_IV;
    let data = packet.mbuf.data();
    let end = data.len().checked_sub(ICV).ok_or(DropReason::EspTruncated)?;
    let plaintext = data.get(start..end).ok_or(DropReason::EspTruncated)?;
    let trailer = esp::check_trailer(plaintext).map_err(|error| match error {
        EspTrailerError::Truncated => DropReason::EspTruncated,
        EspTrailerError::PadLength(_) | EspTrailerError::PadBytes => DropReason::EspPadding,
    })?;
    if packet.mbuf.narrow(start, trailer.payload_len) {
        Ok(trailer.next_header)
    } else {
        Err(DropReason::EspTruncated)
    }
}

/// Where the decrypted payload goes, if the SA allows it.
fn dispatch(
    context: &Context<'_>,
    packet: &mut Packet,
    next_header: IpProto,
    sa: &InboundSa,
) -> Result<usize, DropReason> {
    match (next_header, sa.mode) {
        (IpProto::NO_NEXT_HEADER, _) => Err(DropReason::EspDummy),
        (IpProto::GRE, SaMode::Transport) if sa.allows_gre => {
            packet.meta.layer = Layer::Gre;
            packet.meta.l4 = 0;
            Ok(esp_open::GRE)
        }
        (IpProto::IPV4 | IpProto::IPV6, SaMode::Tunnel) => {
            inner_ip(context, packet, next_header, sa)
        }
        _ => Err(DropReason::EspNextHeader),
    }
}

fn inner_ip(
    context: &Context<'_>,
    packet: &mut Packet,
    next_header: IpProto,
    sa: &InboundSa,
) -> Result<usize, DropReason> {
    let facts = IpFacts::parse_inner(packet.mbuf.data())?;
    if facts.src.is_v4() != (next_header == IpProto::IPV4) {
        return Err(DropReason::EspNextHeader);
    }
    // TFC padding (RFC 4303 section 2.7).
    let padding = packet.mbuf.len() - facts.total_len;
    if !packet.mbuf.trim(padding) {
        return Err(DropReason::InnerLength);
    }
    packet.meta.layer = Layer::Ip;
    packet.meta.ether_type = if facts.src.is_v4() { 0x0800 } else { 0x86dd };
    let key = facts.flow_key(packet.mbuf.data());
    let selected = sa.selectors.classify(&key).is_some();
    if facts.protocol == IpProto::GRE && context.tables.interfaces.is_underlay_local(facts.dst) {
        let own_ends = sa.allows_gre && facts.dst == sa.local && facts.src == sa.remote;
        return if own_ends || selected {
            tunnelled_gre(packet, &facts)
        } else {
            Err(DropReason::SelectorMismatch)
        };
    }
    if !selected {
        return Err(DropReason::SelectorMismatch);
    }
    if let Some(reason) = facts.martian() {
        return Err(reason);
    }
    let ours = |address| context.tables.interfaces.is_underlay_local(address);
    if ours(facts.src) || ours(facts.dst) {
        return Err(DropReason::InnerLoop);
    }
    let outer = packet.meta.outer_tos;
    super::gre_decap::ecn_from(&mut packet.mbuf, facts.traffic_class, outer)?;
    packet.meta.flags.clear(Flags::UNDERLAY);
    packet.meta.flags.set(Flags::TUNNELLED);
    packet.meta.destination = facts.dst.v4_bits();
    Ok(esp_open::IP)
}

/// GRE to us, wrapped in tunnel mode.
fn tunnelled_gre(packet: &mut Packet, facts: &IpFacts) -> Result<usize, DropReason> {
    if facts.fragment {
        packet.meta.lane = underlay::fragment_lane(facts);
        return Ok(esp_open::FRAGMENT);
    }
    packet.meta.l4 = u16::try_from(facts.upper).map_err(|_| DropReason::IpHeaderLength)?;
    Ok(esp_open::GRE)
}
