//! The batch interface.

use std::error::Error;
use std::fmt;
use std::mem;

use crate::aad::Aad;
use crate::algorithm::{ICV_LEN, IV_LEN, SALT_LEN};
#[cfg(target_arch = "x86_64")]
use crate::backend::vaes;
use crate::key::{Key, Schedule};

/// Longest buffer of a job, ICV included: no IP packet is longer.
pub const BUFFER_LEN_MAX: usize = 65_535;

/// Salt and IV together (RFC 4106, section 4).
const NONCE_LEN: usize = SALT_LEN + IV_LEN;

/// Seals each job's packet in place: its plaintext becomes ciphertext, and the [`ICV_LEN`] octets
/// behind it the ICV.
///
/// Cannot fail: what could is refused by [`SealJob::new`]. A job gives up its buffer when it is
/// sealed, so that sealing the same jobs again does nothing; it would otherwise apply the same key
/// stream a second time and bring the plaintext back.
pub fn seal(jobs: &mut [SealJob<'_>]) {
    #[cfg(target_arch = "x86_64")]
    if vaes::run(jobs) == jobs.len() {
        return;
    }
    jobs.iter_mut().for_each(SealJob::seal_singly);
}

/// Verifies and decrypts each job's packet in place, and sets what [`OpenJob::verified`] tells.
///
/// A verified buffer holds plaintext where the ciphertext was, and still the ICV behind it. Of a
/// packet that is not verified nothing remains: its whole buffer is zero. Too short for an ICV, or
/// longer than [`BUFFER_LEN_MAX`], is not verified.
pub fn open(jobs: &mut [OpenJob<'_>]) {
    #[cfg(target_arch = "x86_64")]
    let done = vaes::run(jobs);
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    if done < jobs.len() {
        jobs.iter_mut().for_each(OpenJob::open_singly);
    }
    // Not in the kernels: a call there costs what they have in registers.
    jobs.iter_mut().for_each(OpenJob::wipe);
}

/// A packet to seal.
pub struct SealJob<'a> {
    pub(crate) key: &'a Key,
    /// Salt and IV, and zeros.
    pub(crate) nonce: [u8; 16],
    pub(crate) aad: Aad,
    /// Empty: sealed.
    pub(crate) buffer: &'a mut [u8],
}

impl<'a> SealJob<'a> {
    /// `buffer` is the plaintext, ESP trailer included, followed by [`ICV_LEN`] octets of room for
    /// the ICV, whose content does not matter. `iv` must be new under `key`.
    ///
    /// # Errors
    /// The buffer is shorter than an ICV or longer than [`BUFFER_LEN_MAX`].
    #[inline]
    pub fn new(
        key: &'a Key,
        iv: [u8; IV_LEN],
        aad: Aad,
        buffer: &'a mut [u8],
    ) -> Result<Self, BufferError> {
        match buffer.len() {
            ICV_LEN..=BUFFER_LEN_MAX => Ok(Self { key, nonce: key.nonce(iv), aad, buffer }),
            len => Err(BufferError { len }),
        }
    }

    /// Seals it if its back end takes one at a time.
    fn seal_singly(&mut self) {
        match &self.key.schedule {
            Schedule::Ring(key) => self.seal_by(|nonce, aad, text| key.seal(nonce, aad, text)),
            Schedule::Portable(key) => self.seal_by(|nonce, aad, text| key.seal(nonce, aad, text)),
            #[cfg(target_arch = "x86_64")]
            Schedule::Vaes512(_) | Schedule::Vaes256(_) => self.wipe(),
        }
    }

    /// Leaves nothing of what was not sealed. Back ends refuse nothing up to [`BUFFER_LEN_MAX`];
    /// should one, then the peer discards zeros: better than plaintext on the wire, or a gateway
    /// that stops. What was sealed has given up its buffer.
    fn wipe(&mut self) {
        mem::take(&mut self.buffer).fill(0);
    }

    /// Seals by what encrypts a text with nonce and AAD, and gives the ICV.
    fn seal_by(
        &mut self,
        seal: impl FnOnce([u8; NONCE_LEN], &[u8], &mut [u8]) -> Option<[u8; ICV_LEN]>,
    ) {
        let buffer = mem::take(&mut self.buffer);
        let Some((text, icv)) = buffer.split_last_chunk_mut() else { return };
        match seal(nonce(self.nonce), self.aad.as_slice(), text) {
            Some(computed) => *icv = computed,
            // See `wipe`.
            None => buffer.fill(0),
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
    pub(crate) key: &'a Key,
    /// Salt and IV, and zeros.
    pub(crate) nonce: [u8; 16],
    pub(crate) aad: Aad,
    pub(crate) buffer: &'a mut [u8],
    verified: bool,
}

impl<'a> OpenJob<'a> {
    /// `buffer` is the ciphertext followed by the ICV, as the packet carries them behind its IV, of
    /// any length: what cannot be a packet is not verified.
    #[inline]
    pub fn new(key: &'a Key, iv: [u8; IV_LEN], aad: Aad, buffer: &'a mut [u8]) -> Self {
        Self { key, nonce: key.nonce(iv), aad, buffer, verified: false }
    }

    /// Whether [`open`] found the packet genuine. False before.
    #[must_use]
    pub fn verified(&self) -> bool {
        self.verified
    }

    /// Opens it if its back end takes one at a time.
    fn open_singly(&mut self) {
        match &self.key.schedule {
            Schedule::Ring(key) => {
                self.open_by(|nonce, aad, text, icv| key.open(nonce, aad, text, icv));
            }
            Schedule::Portable(key) => {
                self.open_by(|nonce, aad, text, icv| key.open(nonce, aad, text, icv));
            }
            #[cfg(target_arch = "x86_64")]
            Schedule::Vaes512(_) | Schedule::Vaes256(_) => {}
        }
    }

    /// Opens by what decrypts a text with nonce, AAD and ICV, and says whether the ICV is right.
    fn open_by(
        &mut self,
        open: impl FnOnce([u8; NONCE_LEN], &[u8], &mut [u8], [u8; ICV_LEN]) -> bool,
    ) {
        let genuine = self.buffer.len() <= BUFFER_LEN_MAX
            && self.buffer.split_last_chunk_mut().is_some_and(|(text, icv)| {
                open(nonce(self.nonce), self.aad.as_slice(), text, *icv)
            });
        self.conclude(genuine);
    }

    /// Takes note of the result. What is not genuine is [wiped](Self::wipe) before anybody sees it.
    #[inline(always)]
    pub(crate) fn conclude(&mut self, genuine: bool) {
        self.verified = genuine;
    }

    /// Leaves nothing of what is not genuine.
    #[inline]
    fn wipe(&mut self) {
        if !self.verified {
            self.buffer.fill(0);
        }
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

/// The nonce of a block that it begins.
fn nonce(block: [u8; 16]) -> [u8; NONCE_LEN] {
    let [nonce @ .., _, _, _, _] = block;
    nonce
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
