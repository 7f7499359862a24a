//! Anti-replay (RFC 4303 section 3.4.3), with extended sequence numbers by its Appendix A2.
//!
//! ```text
//! ESP header -> check(low half) -> decrypt and verify with the full number -> advance(full number)
//!               reads only          a forged packet ends here                  checks again, marks
//! ```
//!
//! The bitmap is a ring of blocks, as in RFC 6479: sliding the window clears whole blocks and
//! shifts nothing. The ring has twice the blocks of the window, so that the window is exact at its
//! left edge while blocks are cleared at its right one.

use std::fmt;

#[cfg(test)]
mod tests;

/// The window of one inbound SA, owned by one core.
///
/// Numbers are full 64-bit ones; without ESN their high half is 0.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub struct ReplayWindow {
    highest: u64,
    /// In packets; 0 is off.
    size: u32,
    esn: bool,
    /// Bit `n % 64` of block `n / 64 % blocks`: number `n` was seen.
    blocks: Box<[u64]>,
}

/// Why a packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// Sequence number 0 is never sent (RFC 4303 section 2.2).
    Zero,
    /// Left of the window.
    TooOld,
    /// In the window, and seen before.
    Duplicate,
    /// Beyond the last number of the SA: 2^32 - 1, or 2^64 - 1 with ESN.
    Exhausted,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zero => "sequence number 0",
            Self::TooOld => "sequence number left of the replay window",
            Self::Duplicate => "sequence number seen before",
            Self::Exhausted => "sequence number beyond the last one of the SA",
        })
    }
}

impl std::error::Error for ReplayError {}

/// A window size that is not a power of two from [`WINDOW_MIN`] to [`WINDOW_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSizeError(pub u32);

impl fmt::Display for WindowSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(size) = self;
        write!(f, "replay window of {size}: not a power of two from {WINDOW_MIN} to {WINDOW_MAX}")
    }
}

impl std::error::Error for WindowSizeError {}

/// The smallest window in packets, one block: what RFC 4303 section 3.4.3 recommends.
pub const WINDOW_MIN: u32 = 64;
/// The largest window in packets. Its bitmap takes 16 KB, half of a first-level cache.
pub const WINDOW_MAX: u32 = 65_536;

impl ReplayWindow {
    /// An empty window of `size` packets; the first number expected is 1.
    ///
    /// # Errors
    /// [`WindowSizeError`] unless the size is a power of two from [`WINDOW_MIN`] to [`WINDOW_MAX`].
    pub fn new(size: u32, esn: bool) -> Result<Self, WindowSizeError> {
        if !size.is_power_of_two() || !(WINDOW_MIN..=WINDOW_MAX).contains(&size) {
            return Err(WindowSizeError(size));
        }
        let blocks = vec![0; 2 * (size / u64::BITS) as usize].into_boxed_slice();
        Ok(Self { highest: 0, size, esn, blocks })
    }

    /// No anti-replay, and so no ESN (RFC 4303 section 2.2.1): every number is taken, also 0 and
    /// one seen before, as the sender may let its counter cycle.
    #[must_use]
    pub fn off() -> Self {
        Self { highest: 0, size: 0, esn: false, blocks: Box::default() }
    }

    /// Whether a packet with this low half may be worth decrypting, and its full number, whose
    /// high half goes into the AAD. Changes nothing.
    ///
    /// With ESN the high half is the one that puts the number into the window or, failing that,
    /// less than 2^32 to the right of its left edge (Appendix A2.2). A packet with another high
    /// half then fails its integrity check.
    ///
    /// # Errors
    /// [`ReplayError`]; nothing has been authenticated, so it says nothing about the peer.
    #[inline]
    pub fn check(&self, seq_lo: u32) -> Result<u64, ReplayError> {
        self.check_near(seq_lo).map_or_else(|| self.check_any(seq_lo), Ok)
    }

    /// [`check`](Self::check) of what nearly always comes: a number a little ahead of the highest,
    /// in the same half or at the start of the next. None for others, and whatever is wrong.
    #[inline(always)]
    pub fn check_near(&self, seq_lo: u32) -> Option<u64> {
        #[expect(clippy::cast_possible_truncation, reason = "distances are modulo 2^32")]
        let ahead = seq_lo.wrapping_sub(self.highest as u32);
        let is_near = self.esn && (1..AHEAD_END).contains(&ahead);
        self.highest.checked_add(ahead.into()).filter(|_| is_near)
    }

    #[inline(never)]
    fn check_any(&self, seq_lo: u32) -> Result<u64, ReplayError> {
        if self.size == 0 {
            return Ok(seq_lo.into());
        }
        let seq = if self.esn { self.extend(seq_lo)? } else { seq_lo.into() };
        self.admit(seq)?;
        Ok(seq)
    }

    /// Marks the number of an authentic packet, as [`check`](Self::check) gave it, and moves the
    /// window.
    ///
    /// # Errors
    /// [`ReplayError`] if it was marked, or the window has moved past it, since its check: then
    /// the packet is to be dropped. The window is as before.
    pub fn advance(&mut self, seq: u64) -> Result<(), ReplayError> {
        if self.size == 0 {
            self.highest = self.highest.max(seq);
            return Ok(());
        }
        self.admit(seq)?;
        if seq > self.highest {
            self.slide(seq);
        }
        let (block, bit) = self.locate(seq);
        self.blocks[block] |= bit;
        Ok(())
    }

    /// [`advance`](Self::advance) for what nearly always comes: a number ahead of all others, but
    /// not far. `false`, and nothing changed, for others and whatever is wrong.
    #[inline(always)]
    #[must_use]
    pub fn advance_near(&mut self, seq: u64) -> bool {
        let entered = (seq / BLOCK).wrapping_sub(self.highest / BLOCK);
        if !self.esn || seq <= self.highest || entered > 1 {
            return false;
        }
        let (block, bit) = self.locate(seq);
        self.blocks[block] = bit | if entered == 0 { self.blocks[block] } else { 0 };
        self.highest = seq;
        true
    }

    /// Where in the bitmap the next packets will be marked, most likely; none without a window.
    #[inline]
    #[must_use]
    pub fn newest(&self) -> Option<&u64> {
        if self.blocks.is_empty() { None } else { self.blocks.get(self.ring(self.highest / BLOCK)) }
    }

    /// The highest number marked so far; 0 before the first.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// The full number of Appendix A2.2: the smallest one with this low half that is not left of
    /// the window. The RFC compares halves in two cases; the distance from the left edge, modulo
    /// 2^32, says the same.
    #[inline(always)]
    fn extend(&self, seq_lo: u32) -> Result<u64, ReplayError> {
        let (left, left_below_0) = self.highest.overflowing_sub(u64::from(self.size) - 1);
        #[expect(clippy::cast_possible_truncation, reason = "distances are modulo 2^32")]
        let distance = seq_lo.wrapping_sub(left as u32);
        let (seq, crossed_0) = left.overflowing_add(distance.into());
        match (left_below_0, crossed_0) {
            (true, false) => Err(ReplayError::TooOld), // before the first number there ever was
            (false, true) => Err(ReplayError::Exhausted),
            _ => Ok(seq),
        }
    }

    #[inline(always)]
    fn admit(&self, seq: u64) -> Result<(), ReplayError> {
        if seq == 0 {
            return Err(ReplayError::Zero);
        }
        if !self.esn && seq > u32::MAX.into() {
            return Err(ReplayError::Exhausted);
        }
        if seq > self.highest {
            return Ok(());
        }
        if self.highest - seq >= self.size.into() {
            return Err(ReplayError::TooOld);
        }
        let (block, bit) = self.locate(seq);
        if self.blocks[block] & bit != 0 {
            return Err(ReplayError::Duplicate);
        }
        Ok(())
    }

    /// Moves the right edge to `seq`, beyond the present one: the blocks that it enters are empty.
    fn slide(&mut self, seq: u64) {
        let (from, to) = (self.highest / BLOCK, seq / BLOCK);
        if to - from >= self.blocks.len() as u64 {
            self.blocks.fill(0);
        } else {
            for block in from + 1..=to {
                let index = self.ring(block);
                self.blocks[index] = 0;
            }
        }
        self.highest = seq;
    }

    /// The index of the block of `seq`, and its bit there.
    #[inline]
    fn locate(&self, seq: u64) -> (usize, u64) {
        (self.ring(seq / BLOCK), 1 << (seq % BLOCK))
    }

    #[expect(clippy::cast_possible_truncation, reason = "a remainder of a length")]
    #[inline]
    fn ring(&self, block: u64) -> usize {
        (block & (self.blocks.len() as u64 - 1)) as usize
    }
}

/// Numbers less than this ahead of the highest are beyond any window, and in no earlier half.
const AHEAD_END: u32 = 1 << 31;
/// Packets per block of the bitmap.
const BLOCK: u64 = u64::BITS as u64;
