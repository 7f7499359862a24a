//! A key of one SA and direction.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::algorithm::{Algorithm, ICV_LEN, IV_LEN, SALT_LEN};
use crate::backend::{Backend, portable, ring};

/// Salt and IV together (RFC 4106, section 4).
const NONCE_LEN: usize = SALT_LEN + IV_LEN;

/// An immutable key, expanded for one back end. Any number of cores may seal and open with it.
///
/// This is a handle of 24 octets: a clone shares the schedule, which lies once on the heap and is
/// wiped when the last clone goes. Hold it by value, in the SA: an `Arc` around it only adds a
/// cache miss to each packet.
///
/// # What is wiped
///
/// - `Portable`: AES and GHASH keys are zeroed on drop by their crates.
/// - `Ring`: the crate wipes nothing; on drop the schedule is overwritten in place with that of the
///   all-zero key, behind a compiler barrier.
/// - The salt is not wiped: it is no secret by itself (RFC 4106, section 4).
/// - Not wiped: temporaries of the expansion on the stack of the thread that calls [`Key::new`],
///   what registers and their saved copies still hold, and the keying material itself, which is
///   its owner's to wipe.
#[derive(Clone)]
pub struct Key {
    algorithm: Algorithm,
    salt: [u8; SALT_LEN],
    schedule: Schedule,
}

/// One arm for each back end, with what it computes ahead for its jobs.
#[derive(Clone)]
enum Schedule {
    Ring(Arc<ring::Key>),
    Portable(Arc<portable::Key>),
}

impl Key {
    /// Expands keying material: key and salt, as an IKE key block or a key file has them
    /// (RFC 4106, section 8.1).
    ///
    /// # Errors
    /// The material is not [`Algorithm::material_len`] octets long.
    pub fn new(algorithm: Algorithm, backend: Backend, material: &[u8]) -> Result<Self, KeyError> {
        let wrong_length = KeyError { algorithm, found_len: material.len() };
        let (key, &salt) = material.split_last_chunk().ok_or(wrong_length)?;
        let schedule = match backend {
            Backend::Ring => {
                ring::Key::new(algorithm, key).map(|key| Schedule::Ring(Arc::new(key)))
            }
            Backend::Portable => {
                portable::Key::new(algorithm, key).map(|key| Schedule::Portable(Arc::new(key)))
            }
        };
        Ok(Self { algorithm, salt, schedule: schedule.ok_or(wrong_length)? })
    }

    /// The algorithm that the key is for.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The back end that the key was expanded for.
    #[must_use]
    pub fn backend(&self) -> Backend {
        match self.schedule {
            Schedule::Ring(_) => Backend::Ring,
            Schedule::Portable(_) => Backend::Portable,
        }
    }

    pub(crate) fn seal(
        &self,
        iv: [u8; IV_LEN],
        aad: &[u8],
        text: &mut [u8],
    ) -> Option<[u8; ICV_LEN]> {
        match &self.schedule {
            Schedule::Ring(key) => key.seal(self.nonce(iv), aad, text),
            Schedule::Portable(key) => key.seal(self.nonce(iv), aad, text),
        }
    }

    pub(crate) fn open(
        &self,
        iv: [u8; IV_LEN],
        aad: &[u8],
        text: &mut [u8],
        icv: [u8; ICV_LEN],
    ) -> bool {
        match &self.schedule {
            Schedule::Ring(key) => key.open(self.nonce(iv), aad, text, icv),
            Schedule::Portable(key) => key.open(self.nonce(iv), aad, text, icv),
        }
    }

    fn nonce(&self, iv: [u8; IV_LEN]) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        nonce[..SALT_LEN].copy_from_slice(&self.salt);
        nonce[SALT_LEN..].copy_from_slice(&iv);
        nonce
    }
}

/// The algorithm, nothing of the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.algorithm).finish()
    }
}

/// Keying material of the wrong length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyError {
    /// What the material was meant for.
    pub algorithm: Algorithm,
    /// Octets of material given.
    pub found_len: usize,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (algorithm, found) = (self.algorithm, self.found_len);
        let (all, key) = (algorithm.material_len(), algorithm.key_len());
        write!(f, "{algorithm} takes {all} octets ({key} of key, {SALT_LEN} of salt), not {found}")
    }
}

impl Error for KeyError {}
