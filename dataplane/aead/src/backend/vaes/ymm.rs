//! Vectors of 256 bits: AVX2, VAES, VPCLMULQDQ, for CPUs without AVX-512.

#![expect(unsafe_code, reason = "instructions that not every CPU has; partial loads and stores")]

use std::arch::asm;
use std::arch::x86_64::*;
use std::array;

use super::gcm::BLOCK;
use super::vector::{Block, Kernel, Vector};

/// Proof that this CPU has each instruction that this module uses: only [`Ymm::detect`] makes one.
#[derive(Clone, Copy)]
pub(crate) struct Vaes256(());

/// Exists only where [`Vaes256`] does.
#[derive(Clone, Copy)]
pub(crate) struct Ymm(__m256i);

impl Vector for Ymm {
    type Token = Vaes256;

    const LANES: usize = 2;
    const KEEPS_KEYS: bool = false;

    fn detect() -> Option<Vaes256> {
        let all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq");
        all.then_some(Vaes256(()))
    }

    fn run<K: Kernel<Self>>(token: Vaes256, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,vaes,vpclmulqdq")]
        fn run<K: Kernel<Ymm>>(token: Vaes256, kernel: K) -> K::Output {
            kernel.work(token)
        }
        // SAFETY: the token proves the features that the function enables.
        unsafe { run(token, kernel) }
    }

    #[inline(always)]
    fn pin(self) -> Self {
        #[target_feature(enable = "avx2")]
        #[inline]
        fn pin(mut vector: __m256i) -> __m256i {
            // SAFETY: no instruction, and nothing changed.
            unsafe {
                asm!("/* {0} */", inout(ymm_reg) vector, options(nomem, nostack, preserves_flags))
            };
            vector
        }
        // SAFETY: AVX2, as there is a vector.
        Self(unsafe { pin(self.0) })
    }

    #[inline(always)]
    fn zero(_: Vaes256) -> Self {
        // SAFETY: AVX, by the token.
        Self(unsafe { _mm256_setzero_si256() })
    }

    #[inline(always)]
    fn broadcast(_: Vaes256, block: &Block) -> Self {
        // SAFETY: 16 octets may be read where a block is.
        let block = unsafe { _mm_loadu_si128(block.as_ptr().cast()) };
        // SAFETY: AVX2, by the token.
        Self(unsafe { _mm256_broadcastsi128_si256(block) })
    }

    #[inline(always)]
    fn low(_: Vaes256, block: &Block) -> Self {
        // SAFETY: 16 octets may be read where a block is.
        let block = unsafe { _mm_loadu_si128(block.as_ptr().cast()) };
        // SAFETY: AVX, by the token.
        Self(unsafe { _mm256_zextsi128_si256(block) })
    }

    #[inline(always)]
    fn pair(_: Vaes256, low: u64, high: u64) -> Self {
        // SAFETY: SSE2, which every x86-64 CPU has.
        let pair = unsafe { _mm_set_epi64x(high.cast_signed(), low.cast_signed()) };
        // SAFETY: AVX2, by the token.
        Self(unsafe { _mm256_broadcastsi128_si256(pair) })
    }

    #[inline(always)]
    fn blocks(_: Vaes256, blocks: &[Block]) -> Self {
        let blocks = &blocks[..Self::LANES];
        // SAFETY: the slice is of 32 octets; AVX, by the token.
        Self(unsafe { load(blocks.as_ptr().cast()) })
    }

    /// Whole vectors and lanes at once; else words of four octets by a mask, and the rest singly:
    /// the text of ESP has none, as it is aligned to four octets (RFC 4303, section 2.4).
    #[inline(always)]
    fn load<const SKIP: usize>(token: Vaes256, octets: &[u8]) -> Self {
        assert!(octets.len() <= 32 - SKIP);
        let start = octets.as_ptr().wrapping_sub(SKIP);
        if SKIP == 0 && octets.len() == 32 {
            // SAFETY: the slice is of 32 octets; AVX, by the token.
            return Self(unsafe { load(start.cast()) });
        }
        if let (BLOCK, BLOCK, Some(block)) = (SKIP, octets.len(), octets.first_chunk()) {
            return Self::zero(token).with_lane(1, Self::broadcast(token, block));
        }
        let mask = words::<SKIP>(token, octets.len());
        // SAFETY: the mask is of words of the slice, no others are read; AVX2, by the token.
        let whole = Self(unsafe { _mm256_maskload_epi32(start.cast(), mask.0) });
        let rest = octets.chunks_exact(4).remainder();
        if rest.is_empty() {
            return whole;
        }
        let word = array::from_fn(|at| rest.get(at).copied().unwrap_or(0));
        let word = Self::words(token, u32::from_le_bytes(word));
        whole.xor(word.and(one_word(token, (SKIP + octets.len()) / 4)))
    }

    #[inline(always)]
    fn store<const SKIP: usize>(self, octets: &mut [u8]) {
        assert!(octets.len() <= 32 - SKIP);
        let start = octets.as_mut_ptr().wrapping_sub(SKIP);
        if SKIP == 0 && octets.len() == 32 {
            // SAFETY: the slice is of 32 octets; AVX, as there is a vector.
            return unsafe { _mm256_storeu_si256(start.cast(), self.0) };
        }
        if let (BLOCK, BLOCK, Some(block)) = (SKIP, octets.len(), octets.first_chunk_mut()) {
            return self.high().store_low(block);
        }
        // Not by a mask: that takes tens of cycles on CPUs by AMD.
        let mut all = [0; 32];
        // SAFETY: the array is of 32 octets; AVX, as there is a vector.
        unsafe { _mm256_storeu_si256(all.as_mut_ptr().cast(), self.0) };
        copy_by_powers(octets, &all[SKIP..SKIP + octets.len()]);
    }

    #[inline(always)]
    fn keep<const SKIP: usize>(self, len: usize) -> Self {
        assert!(len <= 32 - SKIP);
        let ones = &ONES_THEN_ZEROS[32 - SKIP - len..][..32];
        // SAFETY: the slice is of 32 octets; AVX, as there is a vector.
        let up_to_end = Self(unsafe { _mm256_loadu_si256(ones.as_ptr().cast()) });
        self.and(up_to_end).without_first::<SKIP>()
    }

    #[inline(always)]
    fn store_low(self, block: &mut Block) {
        // SAFETY: 16 octets may be written where a block is.
        unsafe { _mm_storeu_si128(block.as_mut_ptr().cast(), self.xmm()) }
    }

    #[inline(always)]
    fn with_low(self, block: &Block) -> Self {
        let low = Self::low(Vaes256(()), block);
        // SAFETY: AVX2, as there is a vector.
        Self(unsafe { _mm256_blend_epi32::<0b0000_1111>(self.0, low.0) })
    }

    #[inline(always)]
    fn with_lane(self, lane: usize, other: Self) -> Self {
        if lane == 0 {
            // SAFETY: AVX2, as there is a vector.
            return Self(unsafe { _mm256_blend_epi32::<0b0000_1111>(self.0, other.0) });
        }
        // SAFETY: AVX2, as there is a vector.
        Self(unsafe { _mm256_blend_epi32::<0b1111_0000>(self.0, other.0) })
    }

    #[inline(always)]
    fn low_is_zero(self) -> bool {
        // SAFETY: SSE4.1, which comes with AVX2.
        unsafe { _mm_testz_si128(self.xmm(), self.xmm()) == 1 }
    }

    #[inline(always)]
    fn sum_lanes(self) -> Self {
        // SAFETY: SSE2, which every x86-64 CPU has.
        let sum = unsafe { _mm_xor_si128(self.xmm(), self.high().xmm()) };
        // SAFETY: AVX, as there is a vector.
        Self(unsafe { _mm256_zextsi128_si256(sum) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: AVX2, as there is a vector.
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn xor3(self, second: Self, third: Self) -> Self {
        self.xor(second).xor(third)
    }

    #[inline(always)]
    fn aes_round(self, key: Self) -> Self {
        // SAFETY: VAES, as there is a vector.
        Self(unsafe { _mm256_aesenc_epi128(self.0, key.0) })
    }

    #[inline(always)]
    fn aes_last_round(self, key: Self) -> Self {
        // SAFETY: VAES, as there is a vector.
        Self(unsafe { _mm256_aesenclast_epi128(self.0, key.0) })
    }

    #[inline(always)]
    fn reverse_octets(self) -> Self {
        let order = Self::pair(Vaes256(()), 0x0809_0a0b_0c0d_0e0f, 0x0001_0203_0405_0607);
        // SAFETY: AVX2, as there is a vector.
        Self(unsafe { _mm256_shuffle_epi8(self.0, order.0) })
    }

    #[inline(always)]
    fn reverse_last_word(self) -> Self {
        let order = Self::pair(Vaes256(()), 0x0706_0504_0302_0100, 0x0c0d_0e0f_0b0a_0908);
        // SAFETY: AVX2, as there is a vector.
        Self(unsafe { _mm256_shuffle_epi8(self.0, order.0) })
    }

    #[inline(always)]
    fn add_to_last_word(self, addend: u64) -> Self {
        let addend = Self::pair(Vaes256(()), 0, addend << 32);
        // SAFETY: AVX2, as there is a vector.
        Self(unsafe { _mm256_add_epi32(self.0, addend.0) })
    }

    #[inline(always)]
    fn swap_halves(self) -> Self {
        // SAFETY: AVX2, as there is a vector.
        Self(unsafe { _mm256_shuffle_epi32::<0b01_00_11_10>(self.0) })
    }

    #[inline(always)]
    fn multiply<const HALVES: i32>(self, other: Self) -> Self {
        // SAFETY: VPCLMULQDQ, as there is a vector.
        Self(unsafe { _mm256_clmulepi64_epi128::<HALVES>(self.0, other.0) })
    }
}

/// 32 octets from anywhere. Of the usual load compilers make two of 16, for CPUs of 2011.
///
/// # Safety
/// They may be read, and the CPU has AVX.
#[inline(always)]
unsafe fn load(start: *const __m256i) -> __m256i {
    // SAFETY: by the contract.
    unsafe { _mm256_lddqu_si256(start) }
}

/// Copies fewer than 32 octets, with a branch for each size and no call.
#[inline(always)]
fn copy_by_powers(to: &mut [u8], from: &[u8]) {
    let (to, from) = copy_chunk::<16>(to, from);
    let (to, from) = copy_chunk::<8>(to, from);
    let (to, from) = copy_chunk::<4>(to, from);
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// Copies `N` octets if there are so many; gives what is left.
#[inline(always)]
fn copy_chunk<'a, 'b, const N: usize>(
    to: &'a mut [u8],
    from: &'b [u8],
) -> (&'a mut [u8], &'b [u8]) {
    match from.split_first_chunk::<N>() {
        Some((chunk, from)) => {
            let (head, to) = to.split_at_mut(N);
            head.copy_from_slice(chunk);
            (to, from)
        }
        None => (to, from),
    }
}

/// Masks are windows on this.
static ONES_THEN_ZEROS: [u8; 64] = {
    let mut octets = [0; 64];
    let mut at = 0;
    while at < 32 {
        octets[at] = 0xff;
        at += 1;
    }
    octets
};

/// A mask of the words that lie wholly in `len` octets behind those that are skipped.
#[inline(always)]
fn words<const SKIP: usize>(_: Vaes256, len: usize) -> Ymm {
    let whole = len - len % 4;
    let ones = &ONES_THEN_ZEROS[32 - SKIP - whole..][..32];
    // SAFETY: the slice is of 32 octets; AVX, by the token.
    let up_to_end = Ymm(unsafe { _mm256_loadu_si256(ones.as_ptr().cast()) });
    up_to_end.without_first::<SKIP>()
}

/// A mask of word number `at`.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "7 at most")]
fn one_word(token: Vaes256, at: usize) -> Ymm {
    // SAFETY: AVX, by the token.
    let numbers = unsafe { _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7) };
    let at = Ymm::words(token, at as u32);
    // SAFETY: AVX2, by the token.
    Ymm(unsafe { _mm256_cmpeq_epi32(numbers, at.0) })
}

impl Ymm {
    /// `word` eight times.
    #[inline(always)]
    fn words(_: Vaes256, word: u32) -> Self {
        // SAFETY: AVX, by the token.
        Self(unsafe { _mm256_set1_epi32(word.cast_signed()) })
    }

    /// Lane 1 in lane 0.
    #[inline(always)]
    fn high(self) -> Self {
        // SAFETY: AVX2, as there is a vector.
        let high = unsafe { _mm256_extracti128_si256::<1>(self.0) };
        // SAFETY: AVX, as there is a vector.
        Self(unsafe { _mm256_castsi128_si256(high) })
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: AVX2, as there is a vector.
        Self(unsafe { _mm256_and_si256(self.0, other.0) })
    }

    /// Zero in lane 0 if `SKIP` is not 0.
    #[inline(always)]
    fn without_first<const SKIP: usize>(self) -> Self {
        if SKIP == 0 { self } else { self.with_lane(0, Self::zero(Vaes256(()))) }
    }

    #[inline(always)]
    fn xmm(self) -> __m128i {
        // SAFETY: AVX, as there is a vector.
        unsafe { _mm256_castsi256_si128(self.0) }
    }
}
