//! Vectors against arrays, schedules against the standards, and wiping, for each width that this
//! CPU has.

#![expect(unsafe_code, reason = "what a drop leaves is looked at")]

use std::mem::{ManuallyDrop, needs_drop};

use super::gcm::Shape;
use super::schedule::{Expand, Schedule};
use super::vector::{Block, Vector};
use super::{Key, Ymm, Zmm};
use crate::Algorithm;
use crate::tests::back_ends;

/// Runs `$check::<V>(token)` for each width; [`back_ends`] says what is left out.
macro_rules! for_each_width {
    ($check:ident) => {
        back_ends();
        if let Some(token) = Zmm::detect() {
            $check::<Zmm>(token);
        }
        if let Some(token) = Ymm::detect() {
            $check::<Ymm>(token);
        }
    };
}

#[test]
fn partial_loads_and_stores_are_of_their_octets_only() {
    fn check<V: Vector>(token: V::Token) {
        check_partial::<V, 0>(token);
        check_partial::<V, 16>(token);
    }
    for_each_width!(check);
}

fn check_partial<V: Vector, const SKIP: usize>(token: V::Token) {
    let width = V::LANES * 16;
    let memory: Vec<u8> = (1..=100).collect();
    for len in 0..=width - SKIP {
        let octets = &memory[30..][..len];
        let mut expected = vec![0; width];
        expected[SKIP..][..len].copy_from_slice(octets);
        assert_eq!(octets_of(V::load::<SKIP>(token, octets)), expected);

        let full = V::load::<0>(token, &memory[..width]);
        let mut written = vec![0xaa; 100];
        full.store::<SKIP>(&mut written[30..][..len]);
        let mut expected = vec![0xaa; 100];
        expected[30..][..len].copy_from_slice(&memory[SKIP..][..len]);
        assert_eq!(written, expected);

        let mut expected = vec![0; width];
        expected[SKIP..][..len].copy_from_slice(&memory[SKIP..][..len]);
        assert_eq!(octets_of(full.keep::<SKIP>(len)), expected);
    }
}

#[test]
fn what_does_not_fit_a_vector_is_refused() {
    fn check<V: Vector>(token: V::Token) {
        let refused = |work: &dyn Fn()| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_err();
        };
        let (octets, width) = ([0; 65], V::LANES * 16);
        refused(&|| _ = V::load::<0>(token, &octets[..=width]));
        refused(&|| _ = V::load::<16>(token, &octets[..=width - 16]));
        refused(&|| V::zero(token).store::<0>(&mut [0; 65][..=width]));
        refused(&|| _ = V::zero(token).keep::<16>(width - 15));
        refused(&|| _ = V::blocks(token, &[[0; 16]; 4][1..V::LANES]));
    }
    for_each_width!(check);
}

#[test]
fn lanes_are_as_said() {
    fn check<V: Vector>(token: V::Token) {
        let octets: Vec<u8> = (0..).take(16 * V::LANES).collect();
        let (blocks, _) = octets.as_chunks::<16>();
        let vector = V::blocks(token, blocks);
        let lanes = |vector: V| octets_of(vector).as_chunks().0.to_vec();
        let each = |change: &dyn Fn(Block) -> Block| {
            blocks.iter().copied().map(change).collect::<Vec<Block>>()
        };

        let reversed = |block: Block| std::array::from_fn(|at| block[15 - at]);
        assert_eq!(lanes(vector.reverse_octets()), each(&reversed));
        let last_word = |b: Block| std::array::from_fn(|at| b[if at < 12 { at } else { 27 - at }]);
        assert_eq!(lanes(vector.reverse_last_word()), each(&last_word));
        let swapped = |block: Block| std::array::from_fn(|at| block[at ^ 8]);
        assert_eq!(lanes(vector.swap_halves()), each(&swapped));
        let added = |mut block: Block| {
            block[13] += 1;
            block
        };
        assert_eq!(lanes(vector.add_to_last_word(256)), each(&added));

        let word = |octet: u8| u64::from_le_bytes([octet; 8]);
        let pair = V::pair(token, word(1), word(2));
        assert_eq!(lanes(pair), vec![[1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]; V::LANES]);
        assert_eq!(lanes(V::broadcast(token, &blocks[1])), vec![blocks[1]; V::LANES]);
        for lane in 0..V::LANES {
            let mut expected = blocks.to_vec();
            expected[lane] = [9; 16];
            let other = V::broadcast(token, &[9; 16]);
            assert_eq!(lanes(vector.with_lane(lane, other)), expected);
            if lane == 0 {
                assert_eq!(lanes(vector.with_low(&[9; 16])), expected);
            }
        }
        let sum = std::array::from_fn(|at| blocks.iter().fold(0, |sum, block| sum ^ block[at]));
        assert_eq!(lanes(vector.sum_lanes()), lanes(V::low(token, &sum)));
        let low = V::low(token, &blocks[0]);
        assert!(vector.xor(low).low_is_zero());
        for bit in 0..128 {
            let mut other = blocks[0];
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!vector.xor(V::low(token, &other)).low_is_zero());
        }
        assert_eq!(lanes(vector.xor3(pair, vector)), lanes(pair));
    }
    for_each_width!(check);
}

#[test]
fn shapes_follow_from_the_length() {
    use Shape::{Jumbo, Paired, Streamed};

    let ends = |shape: &dyn Fn(usize) -> Shape| {
        (0..9000).filter(|&len| shape(len) != shape(len + 1)).collect::<Vec<_>>()
    };
    assert_eq!(ends(&Shape::of::<Zmm>), [48, 112, 4064]);
    assert_eq!(ends(&Shape::of::<Ymm>), [16, 48, 4064]);
    let shapes = [0, 112, 113, 4065].map(Shape::of::<Zmm>);
    assert_eq!(shapes, [Paired(1), Paired(2), Streamed, Jumbo]);
    let bits = shapes.map(Shape::bit);
    assert_eq!(bits.iter().fold(0, |all, bit| all | bit).count_ones(), 4, "{bits:?}");
}

/// FIPS 197, appendices A.1 and A.3: the last round key.
#[test]
fn round_keys_are_those_of_the_standard() {
    fn check<V: Vector>(token: V::Token) {
        let key: [u8; 16] = 0x2b7e1516_28aed2a6_abf71588_09cf4f3c_u128.to_be_bytes();
        let schedule = expanded::<V>(token, &key);
        assert_eq!(schedule.round_key(0), &key);
        let last = 0xd014f9a8_c9ee2589_e13f0cc8_b6630ca6_u128;
        assert_eq!(schedule.round_key(10), &last.to_be_bytes());

        let halves = [
            0x603deb10_15ca71be_2b73aef0_857d7781_u128,
            0x1f352c07_3b6108d7_2d9810a3_0914dff4_u128,
        ];
        let schedule = expanded::<V>(token, halves.map(u128::to_be_bytes).as_flattened());
        assert_eq!([0, 1].map(|r| *schedule.round_key(r)), halves.map(u128::to_be_bytes));
        let last = 0xfe4890d1_e6188d0b_046df344_706c631e_u128;
        assert_eq!(schedule.round_key(14), &last.to_be_bytes());
    }
    for_each_width!(check);
}

/// Against multiplication bit by bit (NIST SP 800-38D, section 6.3).
#[test]
fn powers_are_those_of_h() {
    fn times(x: u128, y: u128) -> u128 {
        let mut shifted = y;
        (0..128).fold(0, |sum, bit| {
            let term = if x << bit >> 127 == 1 { shifted } else { 0 };
            shifted = (shifted >> 1) ^ if shifted & 1 == 1 { 0xe1 << 120 } else { 0 };
            sum ^ term
        })
    }
    /// A power as it is: schedules have it divided by x.
    fn unshifted(power: &Block) -> u128 {
        times(u128::from_le_bytes(*power), 1 << 126)
    }
    fn check<V: Vector>(token: V::Token) {
        // The zero block, encrypted under the zero key: test case 1 of the GCM specification.
        let h = 0x66e94bd4_ef8a2c3b_884cfa59_ca342b2e_u128;
        let schedule = expanded::<V>(token, &[0; 16]);
        let mut power = h;
        assert_eq!(unshifted(schedule.h()), h);
        for exponent in 1..=17 {
            assert_eq!(unshifted(&schedule.powers(exponent)[0]), power, "H^{exponent}");
            power = times(power, h);
        }
    }
    for_each_width!(check);
}

#[test]
fn a_dropped_schedule_leaves_zeros() {
    fn check<V: Vector>(token: V::Token) {
        let mut schedule = ManuallyDrop::new(expanded::<V>(token, &[0x5a; 32]));
        assert!(schedule.powers(17)[..32].iter().all(|block| block != &[0; 16]));
        // SAFETY: dropped once, here; what is left are octets of any value.
        unsafe { ManuallyDrop::drop(&mut schedule) };
        assert_eq!(schedule.powers(17), [[0; 16]; 32]);

        assert!(needs_drop::<Key<V>>());
        assert!(Key::<V>::new(Algorithm::Aes256Gcm16, &[0; 16]).is_none());
    }
    for_each_width!(check);
}

fn expanded<V: Vector>(token: V::Token, key: &[u8]) -> Schedule {
    let mut schedule = Schedule::blank();
    V::run(token, Expand { key, schedule: &mut schedule });
    schedule
}

fn octets_of<V: Vector>(vector: V) -> Vec<u8> {
    let mut octets = vec![0; V::LANES * 16];
    vector.store::<0>(&mut octets);
    octets
}
