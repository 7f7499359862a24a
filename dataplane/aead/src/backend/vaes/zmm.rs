//! Vectors of 512 bits: AVX-512, VAES, VPCLMULQDQ.

#![expect(unsafe_code, reason = "instructions that not every CPU has; partial loads and stores")]

use std::arch::asm;
use std::arch::x86_64::*;
use std::hint::black_box;

use super::vector::{Block, Kernel, Vector};

/// Proof that this CPU has each instruction that this module uses: only [`Zmm::detect`] makes one.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// Exists only where [`Avx512`] does.
#[derive(Clone, Copy)]
pub(crate) struct Zmm(__m512i);

/// What makes a frame begin at a cache line. Compilers spill vectors to where a frame happens to
/// begin: half of them would lie in two lines.
#[repr(align(64))]
struct Aligned(#[expect(dead_code, reason = "only its place counts")] u8);

/// One bit for each of `len` octets behind those that are skipped.
///
/// # Panics
/// There are no such octets in a vector.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "64 at most")]
fn mask<const SKIP: usize>(_: Avx512, len: usize) -> __mmask64 {
    assert!(len <= 64 - SKIP);
    let end = (SKIP + len) as u32;
    // SAFETY: BMI2, by the token.
    let up_to_end = unsafe { _bzhi_u64(!0, end) };
    up_to_end & (!0 << SKIP)
}

/// Asks the CPU to fetch a cache line as far as the second level: all lines of a burst's keys are
/// more than the first can wait for.
#[inline(always)]
pub(super) fn prefetch(line: &[Block; 4]) {
    // SAFETY: a hint, of SSE, which each x86-64 has.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) }
}

impl Vector for Zmm {
    type Token = Avx512;

    const LANES: usize = 4;
    const KEEPS_KEYS: bool = true;

    fn detect() -> Option<Avx512> {
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq");
        all.then_some(Avx512(()))
    }

    fn run<K: Kernel<Self>>(token: Avx512, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi2,vaes,vpclmulqdq")]
        fn run<K: Kernel<Zmm>>(token: Avx512, kernel: K) -> K::Output {
            let frame = Aligned(0);
            black_box(&frame);
            kernel.work(token)
        }
        // SAFETY: the token proves the features that the function enables.
        unsafe { run(token, kernel) }
    }

    #[inline(always)]
    fn pin(self) -> Self {
        #[target_feature(enable = "avx512f")]
        #[inline]
        fn pin(mut vector: __m512i) -> __m512i {
            // SAFETY: no instruction, and nothing changed.
            unsafe {
                asm!("/* {0} */", inout(zmm_reg) vector, options(nomem, nostack, preserves_flags))
            };
            vector
        }
        // SAFETY: AVX-512 F, as there is a vector.
        Self(unsafe { pin(self.0) })
    }

    #[inline(always)]
    fn zero(_: Avx512) -> Self {
        // SAFETY: AVX-512 F, by the token.
        Self(unsafe { _mm512_setzero_si512() })
    }

    #[inline(always)]
    fn broadcast(_: Avx512, block: &Block) -> Self {
        // SAFETY: 16 octets may be read where a block is.
        let block = unsafe { _mm_loadu_si128(block.as_ptr().cast()) };
        // SAFETY: AVX-512 F, by the token.
        Self(unsafe { _mm512_broadcast_i32x4(block) })
    }

    #[inline(always)]
    fn low(_: Avx512, block: &Block) -> Self {
        // SAFETY: 16 octets may be read where a block is.
        let block = unsafe { _mm_loadu_si128(block.as_ptr().cast()) };
        // SAFETY: AVX-512 F, by the token.
        Self(unsafe { _mm512_zextsi128_si512(block) })
    }

    #[inline(always)]
    fn pair(_: Avx512, low: u64, high: u64) -> Self {
        // SAFETY: SSE2, which every x86-64 CPU has.
        let pair = unsafe { _mm_set_epi64x(high.cast_signed(), low.cast_signed()) };
        // SAFETY: AVX-512 F, by the token.
        Self(unsafe { _mm512_broadcast_i32x4(pair) })
    }

    #[inline(always)]
    fn blocks(_: Avx512, blocks: &[Block]) -> Self {
        let blocks = &blocks[..Self::LANES];
        // SAFETY: the slice is of 64 octets; AVX-512 F, by the token.
        Self(unsafe { _mm512_loadu_si512(blocks.as_ptr().cast()) })
    }

    #[inline(always)]
    fn load<const SKIP: usize>(token: Avx512, octets: &[u8]) -> Self {
        let start = octets.as_ptr().wrapping_sub(SKIP).cast();
        // SAFETY: the mask is of the slice's octets, no others are read; AVX-512 BW, by the token.
        Self(unsafe { _mm512_maskz_loadu_epi8(mask::<SKIP>(token, octets.len()), start) })
    }

    #[inline(always)]
    fn store<const SKIP: usize>(self, octets: &mut [u8]) {
        let start = octets.as_mut_ptr().wrapping_sub(SKIP).cast();
        // SAFETY: the mask is of the slice's octets, no others are written; AVX-512 BW.
        unsafe { _mm512_mask_storeu_epi8(start, mask::<SKIP>(Avx512(()), octets.len()), self.0) }
    }

    #[inline(always)]
    fn keep<const SKIP: usize>(self, len: usize) -> Self {
        // SAFETY: AVX-512 BW, as there is a vector.
        Self(unsafe { _mm512_maskz_mov_epi8(mask::<SKIP>(Avx512(()), len), self.0) })
    }

    #[inline(always)]
    fn store_low(self, block: &mut Block) {
        // SAFETY: 16 octets may be written where a block is.
        unsafe { _mm_storeu_si128(block.as_mut_ptr().cast(), self.xmm()) }
    }

    #[inline(always)]
    fn with_low(self, block: &Block) -> Self {
        // SAFETY: 16 octets may be read where a block is.
        let block = unsafe { _mm_loadu_si128(block.as_ptr().cast()) };
        // SAFETY: AVX-512 F, as there is a vector.
        Self(unsafe { _mm512_inserti32x4::<0>(self.0, block) })
    }

    #[inline(always)]
    fn with_lane(self, lane: usize, other: Self) -> Self {
        // SAFETY: AVX-512 F, as there is a vector.
        Self(unsafe { _mm512_mask_mov_epi64(self.0, 0b11 << (2 * lane), other.0) })
    }

    #[inline(always)]
    fn low_is_zero(self) -> bool {
        // SAFETY: SSE4.1, which comes with AVX-512.
        unsafe { _mm_testz_si128(self.xmm(), self.xmm()) == 1 }
    }

    #[inline(always)]
    fn sum_lanes(self) -> Self {
        // SAFETY: AVX-512 F, as there is a vector.
        let high = unsafe { _mm512_extracti64x4_epi64::<1>(self.0) };
        // SAFETY: as above.
        let low = unsafe { _mm512_castsi512_si256(self.0) };
        // SAFETY: AVX2, which comes with AVX-512.
        let two = unsafe { _mm256_xor_si256(low, high) };
        // SAFETY: as above.
        let high = unsafe { _mm256_extracti128_si256::<1>(two) };
        // SAFETY: as above.
        let low = unsafe { _mm256_castsi256_si128(two) };
        // SAFETY: SSE2, which every x86-64 CPU has.
        let one = unsafe { _mm_xor_si128(low, high) };
        // SAFETY: AVX-512 F, as there is a vector.
        Self(unsafe { _mm512_zextsi128_si512(one) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: AVX-512 F, as there is a vector.
        Self(unsafe { _mm512_xor_si512(self.0, other.0) })
    }

    #[inline(always)]
    fn xor3(self, second: Self, third: Self) -> Self {
        // SAFETY: AVX-512 F, as there is a vector.
        Self(unsafe { _mm512_ternarylogic_epi64::<0b1001_0110>(self.0, second.0, third.0) })
    }

    #[inline(always)]
    fn aes_round(self, key: Self) -> Self {
        // SAFETY: VAES and AVX-512 F, as there is a vector.
        Self(unsafe { _mm512_aesenc_epi128(self.0, key.0) })
    }

    #[inline(always)]
    fn aes_last_round(self, key: Self) -> Self {
        // SAFETY: VAES and AVX-512 F, as there is a vector.
        Self(unsafe { _mm512_aesenclast_epi128(self.0, key.0) })
    }

    #[inline(always)]
    fn reverse_octets(self) -> Self {
        let order = Self::pair(Avx512(()), 0x0809_0a0b_0c0d_0e0f, 0x0001_0203_0405_0607);
        // SAFETY: AVX-512 BW, as there is a vector.
        Self(unsafe { _mm512_shuffle_epi8(self.0, order.0) })
    }

    #[inline(always)]
    fn reverse_last_word(self) -> Self {
        let order = Self::pair(Avx512(()), 0x0706_0504_0302_0100, 0x0c0d_0e0f_0b0a_0908);
        // SAFETY: AVX-512 BW, as there is a vector.
        Self(unsafe { _mm512_shuffle_epi8(self.0, order.0) })
    }

    #[inline(always)]
    fn add_to_last_word(self, addend: u64) -> Self {
        let addend = Self::pair(Avx512(()), 0, addend << 32);
        // SAFETY: AVX-512 F, as there is a vector.
        Self(unsafe { _mm512_add_epi32(self.0, addend.0) })
    }

    #[inline(always)]
    fn swap_halves(self) -> Self {
        // SAFETY: AVX-512 F, as there is a vector.
        Self(unsafe { _mm512_shuffle_epi32::<0b01_00_11_10>(self.0) })
    }

    #[inline(always)]
    fn multiply<const HALVES: i32>(self, other: Self) -> Self {
        // SAFETY: VPCLMULQDQ and AVX-512 F, as there is a vector.
        Self(unsafe { _mm512_clmulepi64_epi128::<HALVES>(self.0, other.0) })
    }
}

/// What a [pair](super::pair) of packets needs.
impl Zmm {
    /// The upper half of the lanes of `other`, the others as they are.
    #[inline(always)]
    pub(super) fn with_high_half(self, other: Self) -> Self {
        // SAFETY: AVX-512 F, as there is a vector.
        Self(unsafe { _mm512_mask_mov_epi64(self.0, 0xF0, other.0) })
    }

    /// The lower half of the lanes, and behind it that of `other`.
    #[inline(always)]
    pub(super) fn lower_halves(self, other: Self) -> Self {
        // SAFETY: AVX-512 F, as there is a vector.
        Self(unsafe { _mm512_shuffle_i64x2::<0b01_00_01_00>(self.0, other.0) })
    }

    /// The sum of both halves of the lanes, and behind it that of `other`.
    #[inline(always)]
    pub(super) fn sum_halves(self, other: Self) -> Self {
        // SAFETY: AVX-512 F, as there is a vector.
        let inner = unsafe { _mm512_shuffle_i64x2::<0b01_00_11_10>(self.0, other.0) };
        self.with_high_half(other).xor(Self(inner))
    }

    /// Zero but for the lower half of the lanes.
    #[inline(always)]
    pub(super) fn low_half(self) -> Self {
        // SAFETY: AVX-512 F, as there is a vector.
        let low = unsafe { _mm512_castsi512_si256(self.0) };
        // SAFETY: as above.
        Self(unsafe { _mm512_zextsi256_si512(low) })
    }

    /// Lanes 0 and 1 exchanged, and lanes 2 and 3.
    #[inline(always)]
    pub(super) fn swap_lanes(self) -> Self {
        // SAFETY: AVX-512 F, as there is a vector.
        Self(unsafe { _mm512_shuffle_i64x2::<0b10_11_00_01>(self.0, self.0) })
    }

    /// Zero but for lanes 0 and 2.
    #[inline(always)]
    pub(super) fn low_lanes(self) -> Self {
        // SAFETY: AVX-512 F, as there is a vector.
        Self(unsafe { _mm512_maskz_mov_epi64(0b0011_0011, self.0) })
    }

    /// The first two of some blocks, and behind them two of others.
    #[inline(always)]
    pub(super) fn halves(_: Avx512, lower: &[Block], upper: &[Block]) -> Self {
        let (lower, upper) = (&lower[..2], &upper[..2]);
        // SAFETY: the slice is of 32 octets; AVX, which comes with AVX-512.
        let lower = unsafe { _mm256_loadu_si256(lower.as_ptr().cast()) };
        // SAFETY: as above.
        let upper = unsafe { _mm256_loadu_si256(upper.as_ptr().cast()) };
        // SAFETY: AVX-512 F, by the token.
        let lower = unsafe { _mm512_castsi256_si512(lower) };
        // SAFETY: as above.
        Self(unsafe { _mm512_inserti64x4::<1>(lower, upper) })
    }

    /// Zero but for some octets at the beginning of each half.
    #[inline(always)]
    pub(super) fn keep_halves(self, lower: usize, upper: usize) -> Self {
        let token = Avx512(());
        assert!(lower <= 32);
        let mask = mask::<0>(token, lower) | mask::<32>(token, upper);
        // SAFETY: AVX-512 BW, as there is a vector.
        Self(unsafe { _mm512_maskz_mov_epi8(mask, self.0) })
    }

    /// The upper half of the lanes as the lower one, zero in the others.
    #[inline(always)]
    pub(super) fn high_half(self) -> Self {
        // SAFETY: AVX-512 F, as there is a vector.
        let high = unsafe { _mm512_extracti64x4_epi64::<1>(self.0) };
        // SAFETY: as above.
        Self(unsafe { _mm512_zextsi256_si512(high) })
    }

    #[inline(always)]
    fn xmm(self) -> __m128i {
        // SAFETY: AVX-512 F, as there is a vector.
        unsafe { _mm512_castsi512_si128(self.0) }
    }
}
