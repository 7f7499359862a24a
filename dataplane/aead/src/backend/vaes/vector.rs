//! What the algorithm needs of a vector register, whatever its width.

/// A block of AES and GHASH.
pub(crate) type Block = [u8; 16];

/// A register of [`Vector::LANES`] blocks; lane 0 is the first in memory.
///
/// Whoever has a vector, or the token that makes one, is on a CPU with its instructions: that is
/// why the methods are safe. They are all inlined, for speed, into a [`Kernel`], which
/// [`Vector::run`] compiles for these instructions.
pub(crate) trait Vector: Copy + 'static {
    /// Proof that this CPU has the instructions.
    type Token: Copy;

    /// Blocks in a vector.
    const LANES: usize;

    /// Whether there are registers to [keep round keys](super::keys::Kept) in.
    const KEEPS_KEYS: bool;

    /// The token, if this CPU has the instructions.
    fn detect() -> Option<Self::Token>;

    /// Runs `kernel`, compiled for the instructions of these vectors.
    fn run<K: Kernel<Self>>(token: Self::Token, kernel: K) -> K::Output;

    fn zero(token: Self::Token) -> Self;

    /// The same, from here on: compilers neither move what made it behind the next pin, nor what is
    /// made of it before this one.
    fn pin(self) -> Self;

    /// `block` in each lane.
    fn broadcast(token: Self::Token, block: &Block) -> Self;

    /// `block` in lane 0, zero in the others.
    fn low(token: Self::Token, block: &Block) -> Self;

    /// In each lane `low`, least significant octet first, and behind it `high`.
    fn pair(token: Self::Token, low: u64, high: u64) -> Self;

    /// The first [`Vector::LANES`] of `blocks`. Panics if there are fewer.
    fn blocks(token: Self::Token, blocks: &[Block]) -> Self;

    /// `octets` from octet `SKIP` on, 0 or 16, and zero elsewhere. Panics if they do not fit.
    fn load<const SKIP: usize>(token: Self::Token, octets: &[u8]) -> Self;

    /// Writes to `octets` what [`Vector::load`] would read.
    fn store<const SKIP: usize>(self, octets: &mut [u8]);

    /// Zero but for `len` octets from octet `SKIP` on.
    fn keep<const SKIP: usize>(self, len: usize) -> Self;

    /// Writes lane 0.
    fn store_low(self, block: &mut Block);

    /// `block` in lane 0, the other lanes as they are.
    fn with_low(self, block: &Block) -> Self;

    /// Lane `lane` of `other`, the other lanes as they are.
    fn with_lane(self, lane: usize, other: Self) -> Self;

    /// Whether lane 0 is zero, in constant time.
    fn low_is_zero(self) -> bool;

    /// The sum of all lanes in lane 0, zero in the others.
    fn sum_lanes(self) -> Self;

    fn xor(self, other: Self) -> Self;

    /// The sum of three.
    fn xor3(self, second: Self, third: Self) -> Self;

    /// A round of AES encryption in each lane.
    fn aes_round(self, key: Self) -> Self;

    /// The last round of AES encryption in each lane.
    fn aes_last_round(self, key: Self) -> Self;

    /// Each lane's octets in reverse order.
    fn reverse_octets(self) -> Self;

    /// Each lane's last four octets in reverse order.
    fn reverse_last_word(self) -> Self;

    /// Adds `addend`, of 32 bits, to each lane's last four octets, the least significant first.
    fn add_to_last_word(self, addend: u64) -> Self;

    /// Each lane's halves exchanged.
    fn swap_halves(self) -> Self;

    /// In each lane the carry-less product of two halves: bit 0 of `HALVES` chooses the one of
    /// `self`, bit 4 that of `other`; 0 is the low half.
    fn multiply<const HALVES: i32>(self, other: Self) -> Self;
}

/// Work on vectors, to be run by [`Vector::run`]. `work` is `#[inline(always)]`, and so is
/// whatever it calls with vectors.
pub(crate) trait Kernel<V: Vector> {
    type Output;

    fn work(self, token: V::Token) -> Self::Output;
}
