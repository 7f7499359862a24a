//! The window against a set of all numbers ever seen, and each way to abuse it.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::ReplayError::{Duplicate, Exhausted, TooOld, Zero};
use super::*;

const LAST32: u64 = u32::MAX as u64;

fn low(seq: u64) -> u32 {
    (seq & LAST32) as u32
}

fn window(size: u32, esn: bool) -> ReplayWindow {
    ReplayWindow::new(size, esn).unwrap()
}

/// A window that has just accepted `seq`.
fn window_at(size: u32, esn: bool, seq: u64) -> ReplayWindow {
    let mut window = window(size, esn);
    window.advance(seq).unwrap();
    window
}

/// What happens to an authentic packet; a forged one stops before `advance`. What is near is marked
/// as by the long way, or left alone.
fn receive(window: &mut ReplayWindow, seq_lo: u32) -> Result<u64, ReplayError> {
    let seq = window.check(seq_lo)?;
    let mut by_long_way = window.clone();
    let mut by_short_way = window.clone();
    let advanced = by_long_way.advance(seq);
    if by_short_way.advance_near(seq) {
        assert_eq!((advanced, &by_short_way), (Ok(()), &by_long_way));
    } else {
        assert_eq!(&by_short_way, window);
    }
    *window = by_long_way;
    advanced.map(|()| seq)
}

/// One after the other, as nearly all traffic is, takes the short way, over the edges of blocks and
/// halves as well.
#[test]
fn what_comes_in_order_is_near() {
    for start in [0, 40, u64::from(u32::MAX) - 100] {
        let mut window = window(64, true);
        window.advance(start + 1).unwrap();
        for seq in start + 2..start + 300 {
            assert_eq!(window.check(low(seq)), Ok(seq));
            assert!(window.advance_near(seq), "{seq}");
        }
        assert!(!window.advance_near(start + 299), "seen before");
    }
}

/// Every number ever accepted.
struct Model {
    seen: BTreeSet<u64>,
    size: u64,
    esn: bool,
}

impl Model {
    fn highest(&self) -> u64 {
        self.seen.last().copied().unwrap_or(0)
    }

    /// RFC 4303, Appendix A2.2, in the words of the RFC.
    fn extend(&self, seql: u32) -> Result<u64, ReplayError> {
        if !self.esn {
            return Ok(seql.into());
        }
        let (th, tl) = (i128::from(self.highest() >> 32), low(self.highest()));
        let w = u32::try_from(self.size).unwrap();
        let edge = tl.wrapping_sub(w).wrapping_add(1);
        let seqh = if tl >= w - 1 {
            // Case A: the window is within one subspace.
            if seql >= edge { th } else { th + 1 }
        } else {
            // Case B: the window spans two.
            if seql >= edge { th - 1 } else { th }
        };
        match u32::try_from(seqh) {
            Ok(seqh) => Ok(u64::from(seqh) << 32 | u64::from(seql)),
            Err(_) if seqh < 0 => Err(TooOld),
            Err(_) => Err(Exhausted),
        }
    }

    fn verdict(&self, seq: u64) -> Result<(), ReplayError> {
        if seq == 0 {
            Err(Zero)
        } else if !self.esn && seq > LAST32 {
            Err(Exhausted)
        } else if u128::from(seq) + u128::from(self.size) <= u128::from(self.highest()) {
            Err(TooOld)
        } else if self.seen.contains(&seq) {
            Err(Duplicate)
        } else {
            Ok(())
        }
    }
}

#[test]
fn only_powers_of_two_from_64_to_65536() {
    for size in (6..=16).map(|n| 1 << n) {
        for esn in [false, true] {
            assert_eq!(window(size, esn).highest(), 0);
        }
    }
    for size in [0, 1, 32, 63, 65, 96, 4095, 65_537, 131_072, 1 << 31, u32::MAX] {
        assert_eq!(ReplayWindow::new(size, true).unwrap_err(), WindowSizeError(size));
    }
    assert_eq!(
        WindowSizeError(96).to_string(),
        "replay window of 96: not a power of two from 64 to 65536"
    );
}

#[test]
fn exact_replay() {
    for esn in [false, true] {
        let mut window = window(64, esn);
        for seq in [1, 2, 5, 3] {
            assert_eq!(receive(&mut window, seq), Ok(seq.into()));
        }
        for seq in [1, 2, 3, 5] {
            assert_eq!(window.check(seq), Err(Duplicate));
        }
        assert_eq!(receive(&mut window, 4), Ok(4));
        assert_eq!(window.highest(), 5);
    }
}

#[test]
fn sequence_0() {
    for esn in [false, true] {
        assert_eq!(window(64, esn).check(0), Err(Zero));
        assert_eq!(window(64, esn).advance(0), Err(Zero));
        let low = window_at(64, esn, 10);
        assert_eq!(low.check(0), Err(Zero));
    }
    // Without ESN a low half of 0 stays 0; with it, it comes once in each subspace.
    assert_eq!(window_at(64, false, LAST32).check(0), Err(Zero));
    assert_eq!(window_at(64, true, LAST32).check(0), Ok(1 << 32));
}

#[test]
fn left_of_the_window_and_its_edge_plus_and_minus_1() {
    for size in [64, 128, 4096, 65_536] {
        for top in [u64::from(size), 100_000, 1_000_000_007, LAST32] {
            let left = top - u64::from(size) + 1;
            let mut window = window_at(size, false, top);
            let outside = if left == 1 { Zero } else { TooOld };
            assert_eq!(window.check(low(left - 1)), Err(outside), "{size} {top}");
            assert_eq!(window.advance(left - 1), Err(outside));
            assert_eq!(receive(&mut window, low(left)), Ok(left));
            assert_eq!(window.check(low(left)), Err(Duplicate));
            assert_eq!(receive(&mut window, low(left + 1)), Ok(left + 1));
            assert_eq!(window.check(low(top)), Err(Duplicate));
            assert_eq!(window.highest(), top);
        }
    }
}

#[test]
fn one_step_right_pushes_the_left_edge_out() {
    let mut window = window(64, false);
    for seq in 2..=64 {
        receive(&mut window, seq).unwrap();
    }
    assert_eq!(window.check(1), Ok(1));
    receive(&mut window, 65).unwrap();
    assert_eq!(window.check(1), Err(TooOld));
    assert_eq!(window.check(2), Err(Duplicate));
}

#[test]
fn a_jump_leaves_no_trace_of_the_past() {
    for jump in [63, 64, 65, 127, 128, 129, 191, 192, 4096, 1 << 31] {
        let mut window = window(64, false);
        for seq in 1..=128 {
            receive(&mut window, seq).unwrap();
        }
        let top = 128 + jump;
        receive(&mut window, top).unwrap();
        for seq in top - 63..top {
            let expected = if seq <= 128 { Err(Duplicate) } else { Ok(u64::from(seq)) };
            assert_eq!(window.check(seq), expected, "{seq} after a jump of {jump}");
        }
    }
}

#[test]
fn duplicates_in_one_burst() {
    // All are checked before any is decrypted.
    for esn in [false, true] {
        let mut window = window_at(64, esn, 100);
        let burst = [101, 103, 103, 99, 101, 99, 102];
        let checked: Vec<_> = burst.iter().map(|&seq| window.check(seq).unwrap()).collect();
        let verdicts: Vec<_> = checked.into_iter().map(|seq| window.advance(seq)).collect();
        let duplicate = Err(Duplicate);
        assert_eq!(verdicts, [Ok(()), Ok(()), duplicate, Ok(()), duplicate, duplicate, Ok(())]);
    }
}

#[test]
fn a_burst_that_moves_the_window_past_one_of_its_own() {
    let mut window = window_at(64, true, 100);
    let late = window.check(50).unwrap();
    let early = window.check(500).unwrap();
    window.advance(early).unwrap();
    assert_eq!(window.advance(late), Err(TooOld));
    assert_eq!(window.highest(), 500);
}

#[test]
fn a_forged_far_future_sequence_moves_nothing() {
    for esn in [false, true] {
        let mut window = window_at(4096, esn, 1_000_000);
        // Passes the check, as it might be genuine; fails its ICV; never reaches `advance`.
        assert_eq!(window.check(3_000_000_000), Ok(3_000_000_000));
        assert_eq!(window.highest(), 1_000_000);
        assert_eq!(receive(&mut window, 1_000_001), Ok(1_000_001));
        assert_eq!(receive(&mut window, 999_000), Ok(999_000));
    }
}

#[test]
fn a_forged_high_half_is_never_taken_for_the_true_one() {
    // An old number, replayed after its window: it is read as one of the next subspace, so the
    // ICV, which was made over the old high half, does not verify.
    let window = window_at(64, true, 7 << 32 | 5000);
    assert_eq!(window.check(4936), Ok(8 << 32 | 4936));
    assert_eq!(window.check(4937), Ok(7 << 32 | 4937));
    // A number of the previous subspace is only reached while the window reaches there.
    let window = window_at(64, true, 7 << 32 | 10);
    assert_eq!(window.check(u32::MAX), Ok((7 << 32) - 1));
    assert_eq!(window.check(low(10_u64.wrapping_sub(63))), Ok((7 << 32) + 10 - 63));
    assert_eq!(window.check(low(10_u64.wrapping_sub(64))), Ok((8 << 32) + 10 - 64));
}

#[test]
fn esn_before_the_first_number_there_is_nothing() {
    // Case B with a high half of 0: the RFC's subtraction would give a high half of -1.
    let window = window_at(64, true, 10);
    assert_eq!(window.check(u32::MAX), Err(TooOld));
    assert_eq!(window.check(low(10_u64.wrapping_sub(63))), Err(TooOld));
    assert_eq!(window.check(low(10_u64.wrapping_sub(64))), Ok((1 << 32) + 10 - 64));
    assert_eq!(window.check(1), Ok(1));
}

#[test]
fn esn_wrap_at_2_32_with_reordering() {
    for high in [1, 2, 0x8000_0000, LAST32] {
        let wrap = high << 32;
        let mut window = window_at(64, true, wrap - 3);
        for seq in [wrap + 1, wrap - 1, wrap, wrap - 2, wrap + 30, wrap - 33, wrap + 2] {
            assert_eq!(receive(&mut window, low(seq)), Ok(seq), "{seq:#x}");
            assert_eq!(window.check(low(seq)), Err(Duplicate), "{seq:#x}");
        }
        assert_eq!(window.highest(), wrap + 30);
        assert_eq!(window.advance(wrap - 34), Err(TooOld));
    }
}

#[test]
fn without_esn_2_32_minus_1_is_the_last() {
    let mut window = window_at(64, false, LAST32 - 1);
    assert_eq!(receive(&mut window, u32::MAX), Ok(LAST32));
    assert_eq!(window.check(u32::MAX), Err(Duplicate));
    assert_eq!(window.check(0), Err(Zero));
    assert_eq!(window.check(1), Err(TooOld));
    assert_eq!(window.advance(1 << 32), Err(Exhausted));
    assert_eq!(window.highest(), LAST32);
    assert_eq!(receive(&mut window, u32::MAX - 63), Ok(LAST32 - 63));
}

#[test]
fn with_esn_2_64_minus_1_is_the_last() {
    let mut window = window_at(64, true, u64::MAX - 1);
    assert_eq!(receive(&mut window, u32::MAX), Ok(u64::MAX));
    assert_eq!(window.check(u32::MAX), Err(Duplicate));
    assert_eq!(window.check(0), Err(Exhausted));
    assert_eq!(window.check(u32::MAX - 64), Err(Exhausted));
    assert_eq!(receive(&mut window, u32::MAX - 63), Ok(u64::MAX - 63));
}

#[test]
fn off_takes_everything_and_knows_the_highest() {
    let mut window = ReplayWindow::off();
    for (seq, highest) in [(5, 5), (5, 5), (0, 5), (u32::MAX, LAST32), (0, LAST32), (1, LAST32)] {
        assert_eq!(receive(&mut window, seq), Ok(seq.into()));
        assert_eq!(window.highest(), highest);
    }
}

/// Numbers near a start, so that they reorder and collide; now and then one from anywhere.
fn number() -> impl Strategy<Value = i64> {
    prop_oneof![8 => -90..90_i64, 2 => -5000..5000_i64, 1 => -(1 << 33)..1_i64 << 33]
}

fn starts() -> impl Strategy<Value = u64> {
    select(vec![
        0,
        1,
        64,
        4096,
        1 << 31,
        LAST32 - 20,
        1 << 32,
        (1 << 32) + 70,
        1 << 33,
        (5 << 32) - 1,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Packets come by their low halves, authentic or not, from around a start that moves along
    /// with the highest; each answer is the model's.
    #[test]
    fn any_traffic_agrees_with_the_model(
        size in select(vec![64_u32, 128, 256, 4096, 65_536]),
        esn: bool,
        start in starts(),
        packets in vec((number(), any::<bool>(), 0..4_u8), 1..250),
    ) {
        let mut window = window(size, esn);
        let mut model = Model { seen: BTreeSet::new(), size: size.into(), esn };
        let mut base = if esn { start } else { start.min(LAST32 - 100) };
        if base > 0 {
            window.advance(base).unwrap();
            model.seen.insert(base);
        }
        for (offset, from_highest, forged) in packets {
            if from_highest {
                base = model.highest();
            }
            let sent = low(base.saturating_add_signed(offset));
            let expected = model.extend(sent).and_then(|seq| model.verdict(seq).map(|()| seq));
            prop_assert_eq!(window.check(sent), expected);
            // A fourth is forged: the check has passed, and it goes no further.
            if let (Ok(seq), 1..) = (expected, forged) {
                prop_assert_eq!(window.advance(seq), Ok(()));
                model.seen.insert(seq);
            }
            prop_assert_eq!(window.highest(), model.highest());
        }
    }

    /// A genuine number that lies in the window or less than 2^32 to the right of its left edge
    /// is always understood, whatever the boundary.
    #[test]
    fn a_genuine_number_is_read_as_it_was_sent(
        size in select(vec![64_u32, 1024, 65_536]),
        top in 1..u64::MAX >> 1,
        near in starts(),
        use_near: bool,
        distance in prop_oneof![0..70_000_u64, 0..1_u64 << 32],
    ) {
        let top = if use_near { near.max(1) } else { top };
        let window = window_at(size, true, top);
        let left = i128::from(top) - i128::from(size) + 1;
        if let Ok(seq @ 1..) = u64::try_from(left + i128::from(distance)) {
            let expected = if seq == top { Err(Duplicate) } else { Ok(seq) };
            prop_assert_eq!(window.check(low(seq)), expected);
        }
    }

    /// Bursts: everything is checked first, then advanced in order; no number passes twice.
    #[test]
    fn no_number_passes_twice_in_bursts(
        start in starts(),
        bursts in vec(vec(-80..200_i64, 1..32), 1..12),
    ) {
        let mut window = window(128, true);
        let mut model = Model { seen: BTreeSet::new(), size: 128, esn: true };
        for burst in bursts {
            let base = model.highest().max(start);
            let checked: Vec<_> = burst
                .iter()
                .filter_map(|&offset| window.check(low(base.saturating_add_signed(offset))).ok())
                .collect();
            for seq in checked {
                let expected = model.verdict(seq);
                prop_assert_eq!(window.advance(seq), expected);
                if expected.is_ok() {
                    prop_assert!(model.seen.insert(seq));
                }
            }
        }
    }
}
