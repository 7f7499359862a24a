//! The batch interface.

use std::error::Error;
use std::fmt;
use std::mem;

use crate::aad::Aad;
use crate::algorithm::{ICV_LEN, IV_LEN};
use crate::key::Key;

/// Longest buffer of a job, ICV included: no IP packet is longer.
pub const BUFFER_LEN_MAX: usize = 65_535;

/// Seals each job's packet in place: its plaintext becomes ciphertext, and the [`ICV_LEN`] octets
/// behind it the ICV.
///
/// Cannot fail: what could is refused by [`SealJob::new`]. A job gives up its buffer when it is
/// sealed, so that sealing the same jobs again does nothing; it would otherwise apply the same key
/// stream a second time and bring the plaintext back.
pub fn seal(jobs: &mut [SealJob<'_>]) {
    for job in jobs {
        let buffer = mem::take(&mut job.buffer);
        let Some((text, icv)) = buffer.split_last_chunk_mut() else { continue };
        match job.key.seal(job.iv, job.aad.as_slice(), text) {
            Some(computed) => *icv = computed,
            // Back ends refuse nothing up to BUFFER_LEN_MAX. Should one, then the peer discards
            // zeros: better than plaintext on the wire, or a gateway that stops.
            None => buffer.fill(0),
        }
    }
}

/// Verifies and decrypts each job's packet in place, and sets what [`OpenJob::verified`] tells.
///
/// A verified buffer holds plaintext where the ciphertext was, and still the ICV behind it. Of a
/// packet that is not verified nothing remains: its whole buffer is zero. Too short for an ICV, or
/// longer than [`BUFFER_LEN_MAX`], is not verified.
pub fn open(jobs: &mut [OpenJob<'_>]) {
    for job in jobs {
        job.verified = job.buffer.len() <= BUFFER_LEN_MAX
            && job
                .buffer
                .split_last_chunk_mut()
                .is_some_and(|(text, icv)| job.key.open(job.iv, job.aad.as_slice(), text, *icv));
        if !job.verified {
            job.buffer.fill(0);
        }
    }
}

/// A packet to seal.
pub struct SealJob<'a> {
    key: &'a Key,
    iv: [u8; IV_LEN],
    aad: Aad,
    /// Empty: sealed.
    buffer: &'a mut [u8],
}

impl<'a> SealJob<'a> {
    /// `buffer` is the plaintext, ESP trailer included, followed by [`ICV_LEN`] octets of room for
    /// the ICV, whose content does not matter. `iv` must be new under `key`.
    ///
    /// # Errors
    /// The buffer is shorter than an ICV or longer than [`BUFFER_LEN_MAX`].
    pub fn new(
        key: &'a Key,
        iv: [u8; IV_LEN],
        aad: Aad,
        buffer: &'a mut [u8],
    ) -> Result<Self, BufferError> {
        match buffer.len() {
            ICV_LEN..=BUFFER_LEN_MAX => Ok(Self { key, iv, aad, buffer }),
            len => Err(BufferError { len }),
        }
    }
}

/// Key and length, nothing of the packet.
impl fmt::Debug for SealJob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut job = f.debug_struct("SealJob");
        job.field("key", self.key).field("len", &self.buffer.len()).finish_non_exhaustive()
    }
}

/// A packet to verify and decrypt.
pub struct OpenJob<'a> {
    key: &'a Key,
    iv: [u8; IV_LEN],
    aad: Aad,
    buffer: &'a mut [u8],
    verified: bool,
}

impl<'a> OpenJob<'a> {
    /// `buffer` is the ciphertext followed by the ICV, as the packet carries them behind its IV, of
    /// any length: what cannot be a packet is not verified.
    pub fn new(key: &'a Key, iv: [u8; IV_LEN], aad: Aad, buffer: &'a mut [u8]) -> Self {
        Self { key, iv, aad, buffer, verified: false }
    }

    /// Whether [`open`] found the packet genuine. False before.
    #[must_use]
    pub fn verified(&self) -> bool {
        self.verified
    }
}

/// Key, length and result, nothing of the packet.
impl fmt::Debug for OpenJob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut job = f.debug_struct("OpenJob");
        job.field("key", self.key).field("len", &self.buffer.len());
        job.field("verified", &self.verified).finish_non_exhaustive()
    }
}

/// A buffer that no sealed packet fits: shorter than an ICV or longer than [`BUFFER_LEN_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferError {
    /// Octets of the buffer.
    pub len: usize,
}

impl fmt::Display for BufferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.len;
        write!(
            f,
            "cannot seal a buffer of {len} octets: {ICV_LEN} to {BUFFER_LEN_MAX} are possible"
        )
    }
}

impl Error for BufferError {}
