//! What a stage is: a burst in, and each packet in exactly one of an output, a drop or a punt.

use std::sync::Arc;

use dpdk::Mbuf;

use crate::counters::StageCounters;
use crate::drops::DropReason;
use crate::packet::Packet;
use crate::tables::{InboundSa, OutboundSa, Tables};

use super::message::Event;

/// Most outputs that a stage may have.
pub const OUTPUTS_MAX: usize = 5;

/// Packets whose lines are fetched together, ahead of their turn. Half as many, or twice, is not
/// faster.
pub const AHEAD: usize = 16;

/// A step of the packet path, placed on one core. It may keep state; nobody else sees it.
pub trait Stage: Send {
    /// Takes every packet of `input` and puts each in exactly one place of `out`. Stages that
    /// poll (`rx`) or flush (`tx`) are called in every turn, others only with packets.
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs);

    /// Work that is due without packets, such as time-outs; called about once a millisecond.
    fn tick(&mut self, _context: &mut Context<'_>, _out: &mut Outputs) {}

    /// Takes over an SA, or gives it up; only the stages that own SA state are asked.
    fn apply(&mut self, _command: SaCommand, _context: &mut Context<'_>) {}

    /// Gives up packets that the stage holds back, as drops.
    fn clear(&mut self, _out: &mut Outputs) {}

    /// Called in every turn, even without packets.
    fn polls(&self) -> bool {
        false
    }
}

/// Changes to the SAs that a stage owns.
#[derive(Debug)]
pub enum SaCommand {
    /// Start to accept packets of this SA.
    InstallInbound(Arc<InboundSa>),
    /// Start to number packets of this SA: from 1, or on from where its last owner stopped.
    InstallOutbound(Arc<OutboundSa>),
    /// Forget the inbound SA in this slot.
    RetireInbound(u32),
    /// Forget the outbound SA in this slot.
    RetireOutbound(u32),
}

/// What a stage may look at while it runs.
#[derive(Debug)]
pub struct Context<'a> {
    /// The current snapshot.
    pub tables: &'a Tables,
    /// TSC at the start of the turn.
    pub now: u64,
    /// TSC ticks per second.
    pub ticks_per_second: u64,
    /// Index of this core among the worker cores: selects the shard of a counter.
    pub core: usize,
    /// Whether packets change cores: then lanes decide who gets them.
    pub spread: bool,
    /// To the control thread; never lost, so only for what is rare.
    pub events: &'a mut Vec<Event>,
}

/// Where a stage puts its packets.
#[derive(Debug)]
pub struct Outputs {
    pub(super) ports: [Vec<Packet>; OUTPUTS_MAX],
    pub(super) dropped: Vec<Mbuf>,
    /// What was decided of each packet of a burst, while it is sorted.
    verdicts: Vec<Verdict>,
    pub(super) counters: Arc<StageCounters>,
    /// Packets that the stage made (received, copied, cut) less those that it keeps or sent.
    pub(super) made: i64,
    /// Packets that the stage worked on for another core.
    pub(super) worked: usize,
}

impl Outputs {
    /// Empty outputs with room for bursts of `burst` packets.
    pub fn new(burst: usize, counters: Arc<StageCounters>) -> Self {
        Outputs {
            ports: std::array::from_fn(|_| Vec::with_capacity(burst * 4)),
            dropped: Vec::with_capacity(burst * 4),
            verdicts: Vec::with_capacity(burst * 4),
            counters,
            made: 0,
            worked: 0,
        }
    }

    /// Asks `decide` of each packet by which output it goes on, or why it is dropped, and puts it
    /// there, in order. A burst that stays together, as most do, is handed on as it is: its
    /// packets are not moved.
    #[inline]
    pub fn sort<V: Into<Verdict>>(
        &mut self,
        burst: &mut Vec<Packet>,
        mut decide: impl FnMut(&mut Packet) -> V,
    ) {
        self.verdicts.resize(burst.len(), Verdict(0));
        for (packet, verdict) in burst.iter_mut().zip(&mut self.verdicts) {
            *verdict = decide(packet).into();
        }
        self.hand_on(burst);
    }

    /// The same where `decide` puts down what becomes of all packets.
    #[inline]
    pub fn sort_all(
        &mut self,
        burst: &mut Vec<Packet>,
        decide: impl FnOnce(&mut [Packet], &mut [Verdict]),
    ) {
        self.verdicts.clear();
        self.verdicts.resize(burst.len(), Verdict::UNDECIDED);
        decide(burst, &mut self.verdicts);
        self.hand_on(burst);
    }

    /// Has `usual` decide about what it can of a burst, and `other` about each packet that is left,
    /// as it came. The loop over the usual packets shares nothing with the rest, so that it keeps
    /// what it needs in registers.
    #[inline]
    pub fn sort_usual<S>(
        &mut self,
        burst: &mut Vec<Packet>,
        state: &mut S,
        usual: impl FnOnce(&mut S, &mut [Packet], &mut [Verdict]),
        mut other: impl FnMut(&mut S, &mut Packet) -> Result<usize, DropReason>,
    ) {
        self.sort_all(burst, |packets, verdicts| {
            usual(state, packets, verdicts);
            if any_undecided(verdicts) {
                for (packet, verdict) in packets.iter_mut().zip(verdicts) {
                    if *verdict == Verdict::UNDECIDED {
                        *verdict = other(state, packet).into();
                    }
                }
            }
        });
    }

    /// Puts a burst where its verdicts say.
    #[inline]
    fn hand_on(&mut self, burst: &mut Vec<Packet>) {
        let Some(first) = self.verdicts.first().copied() else { return };
        // Compared without a branch for each, so that many are compared at once.
        let together = self.verdicts.iter().fold(0, |unlike, v| unlike | (v.0 ^ first.0)) == 0;
        match first.decode() {
            Ok(output) if together => {
                let port = &mut self.ports[output];
                if port.is_empty() {
                    std::mem::swap(port, burst);
                } else {
                    port.append(burst);
                }
            }
            _ => self.scatter(burst),
        }
    }

    /// Puts each packet where its verdict says.
    fn scatter(&mut self, burst: &mut Vec<Packet>) {
        let verdicts = std::mem::take(&mut self.verdicts);
        for (packet, verdict) in burst.drain(..).zip(&verdicts) {
            match verdict.decode() {
                Ok(output) => self.push(output, packet),
                Err(reason) => self.drop(packet, reason),
            }
        }
        self.verdicts = verdicts;
    }

    /// Passes the packet on by an output, an index from `topology`.
    #[inline]
    pub fn push(&mut self, output: usize, packet: Packet) {
        self.ports[output].push(packet);
    }

    /// Passes packets on by an output.
    #[inline]
    pub fn extend(&mut self, output: usize, packets: impl Iterator<Item = Packet>) {
        self.ports[output].extend(packets);
    }

    /// Drops the packet for this one reason.
    #[inline]
    pub fn drop(&mut self, packet: Packet, reason: DropReason) {
        self.drop_mbuf(packet.mbuf, reason);
    }

    /// Drops a buffer that is no packet any more.
    #[inline]
    pub fn drop_mbuf(&mut self, mbuf: Mbuf, reason: DropReason) {
        self.counters.drops[reason as usize].add(1);
        self.dropped.push(mbuf);
    }

    /// Counts a drop for which there is no buffer, such as a copy that could not be made.
    #[inline]
    pub fn count_drop(&mut self, reason: DropReason) {
        self.counters.drops[reason as usize].add(1);
    }

    /// Frees a buffer that has served its purpose; not a drop.
    #[inline]
    pub fn consume(&mut self, packet: Packet) {
        self.dropped.push(packet.mbuf);
    }

    /// Says that the stage made (or, negative, keeps or sent) packets, for the debug balance.
    #[inline]
    pub fn made(&mut self, packets: i64) {
        self.made += packets;
    }

    /// Says that the stage worked on packets that are not this core's, for the counters.
    #[inline]
    pub fn worked(&mut self, packets: usize) {
        self.worked += packets;
    }

    /// Says how many packets the stage holds back now.
    #[inline]
    pub fn held(&mut self, packets: usize) {
        self.counters.held.set(packets as u64);
    }

    /// Packets waiting at an output; for tests of single stages.
    pub fn output(&mut self, output: usize) -> &mut Vec<Packet> {
        &mut self.ports[output]
    }

    /// Packets in all outputs and drops.
    pub(super) fn total(&self) -> usize {
        self.ports.iter().map(Vec::len).sum::<usize>() + self.dropped.len()
    }
}

/// Whether anything is left to be decided.
#[inline]
pub fn any_undecided(verdicts: &[Verdict]) -> bool {
    // Without a branch for each, so that many are looked at at once.
    verdicts.iter().fold(false, |any, verdict| any | (*verdict == Verdict::UNDECIDED))
}

/// Puts down what `decide` says of each packet.
#[inline(always)]
pub fn decide_each(
    packets: &mut [Packet],
    verdicts: &mut [Verdict],
    mut decide: impl FnMut(&mut Packet) -> Option<Verdict>,
) {
    for (packet, verdict) in packets.iter_mut().zip(verdicts) {
        if let Some(decided) = decide(packet) {
            *verdict = decided;
        }
    }
}

/// [`work_ahead`] that puts down verdicts: `decide` gets each group with its own.
#[inline]
pub fn decide_ahead<S>(
    packets: &mut [Packet],
    verdicts: &mut [Verdict],
    state: &mut S,
    fetch: (usize, impl FnMut(&S, usize, &[Packet])),
    mut decide: impl FnMut(&mut S, &mut [Packet], &mut [Verdict]),
) {
    let mut of_groups = verdicts.chunks_mut(AHEAD);
    work_ahead(packets, state, fetch, |state, group| {
        decide(state, group, of_groups.next().unwrap_or_default());
    });
}

/// Works on a burst by groups of [`AHEAD`] packets, and has `fetch` ask for what they need ahead of
/// their turn. That takes some steps where one thing leads to the next: each step may look at what
/// the one before asked for, which has had the time of a group to come.
///
/// ```text
/// fetch step 0 of group 2 | fetch step 1 of group 1 | work on group 0
/// ```
#[inline]
pub fn work_ahead<T, S>(
    burst: &mut [T],
    state: &mut S,
    (steps, mut fetch): (usize, impl FnMut(&S, usize, &[T])),
    mut work: impl FnMut(&mut S, &mut [T]),
) {
    let len = burst.len();
    let group = |number: usize| (number * AHEAD).min(len)..((number + 1) * AHEAD).min(len);
    for now in 0..len.div_ceil(AHEAD) + steps {
        for step in 0..steps.min(now + 1) {
            fetch(state, step, &burst[group(now - step)]);
        }
        if let Some(number) = now.checked_sub(steps) {
            work(state, &mut burst[group(number)]);
        }
    }
}

/// What becomes of a packet: an output or the reason of a drop, in one octet, so that a burst's are
/// compared at once. Most code has a `Result` for that; where each packet passes, a verdict is what
/// needs no conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict(u8);

impl Verdict {
    /// Verdicts from here on are drops.
    #[expect(clippy::cast_possible_truncation, reason = "asserted below")]
    const DROPS: u8 = OUTPUTS_MAX as u8;

    /// Nothing is said of it yet. No reason has this number.
    pub const UNDECIDED: Verdict = Verdict(u8::MAX);

    /// It goes on by this output.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "outputs are below OUTPUTS_MAX")]
    pub fn output(output: usize) -> Self {
        debug_assert!(output < OUTPUTS_MAX);
        Verdict(output as u8)
    }

    #[inline(always)]
    fn decode(self) -> Result<usize, DropReason> {
        match self.0.checked_sub(Self::DROPS) {
            None => Ok(self.0.into()),
            Some(reason) => Err(DropReason::from_repr(reason).unwrap_or(DropReason::Unhandled)),
        }
    }
}

impl From<Result<usize, DropReason>> for Verdict {
    #[inline(always)]
    fn from(decided: Result<usize, DropReason>) -> Self {
        match decided {
            Ok(output) => Verdict::output(output),
            Err(reason) => Verdict(Self::DROPS + reason as u8),
        }
    }
}

// The largest number is that of what is undecided.
const _: () = assert!(OUTPUTS_MAX + DropReason::COUNT <= u8::MAX as usize);

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Each item has its turn once, in order, and each step of fetching before, in order.
    #[test]
    fn what_is_worked_on_was_fetched_step_by_step() {
        for len in [0, 1, AHEAD, AHEAD + 1, 5 * AHEAD - 1] {
            for steps in 0..4 {
                let mut items: Vec<usize> = (0..len).collect();
                let fetched = RefCell::new(vec![0; len]);
                let fetch = |_: &Vec<usize>, step, group: &[usize]| {
                    for &item in group {
                        assert_eq!(fetched.borrow()[item], step, "item {item} of {len}");
                        fetched.borrow_mut()[item] += 1;
                    }
                };
                let mut worked = Vec::new();
                work_ahead(&mut items, &mut worked, (steps, fetch), |worked, group| {
                    assert!(group.iter().all(|item| fetched.borrow()[*item] == steps));
                    worked.extend_from_slice(group);
                });
                assert_eq!(worked, items);
            }
        }
    }
}
