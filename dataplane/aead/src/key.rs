//! A key of one SA and direction.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::algorithm::{Algorithm, IV_LEN, SALT_LEN};
#[cfg(target_arch = "x86_64")]
use crate::backend::vaes;
use crate::backend::{Backend, portable, ring};

/// An immutable key, expanded for one back end. Any number of cores may seal and open with it.
///
/// This is a handle of 24 octets: a clone shares the schedule, which lies once on the heap and is
/// wiped when the last clone goes. Hold it by value, in the SA: an `Arc` around it only adds a
/// cache miss to each packet.
///
/// # What is wiped
///
/// - `Vaes512`, `Vaes256`: round keys and powers of the GHASH key are zeroed on drop. They are
///   expanded where they stay, and what passes through the stack on the way is zeroed, too.
/// - `Portable`: AES and GHASH keys are zeroed on drop by their crates.
/// - `Ring`: the crate wipes nothing; on drop the schedule is overwritten in place with that of the
///   all-zero key, behind a compiler barrier.
/// - The salt is not wiped: it is no secret by itself (RFC 4106, section 4).
/// - Not wiped: for `Ring` and `Portable`, temporaries of the expansion on the stack of the thread
///   that calls [`Key::new`]; what registers and their saved copies still hold; and the keying
///   material itself, which is its owner's to wipe.
#[derive(Clone)]
pub struct Key {
    algorithm: Algorithm,
    salt: [u8; SALT_LEN],
    pub(crate) schedule: Schedule,
}

/// One arm for each back end, with what it computes ahead for its jobs.
#[derive(Clone)]
pub(crate) enum Schedule {
    #[cfg(target_arch = "x86_64")]
    Vaes512(Arc<vaes::Key<vaes::Zmm>>),
    #[cfg(target_arch = "x86_64")]
    Vaes256(Arc<vaes::Key<vaes::Ymm>>),
    Ring(Arc<ring::Key>),
    Portable(Arc<portable::Key>),
}

impl Key {
    /// Expands keying material: key and salt, as an IKE key block or a key file has them
    /// (RFC 4106, section 8.1).
    ///
    /// # Errors
    /// The material is not [`Algorithm::material_len`] octets long, or this machine cannot run the
    /// back end ([`Backend::is_available`]).
    pub fn new(algorithm: Algorithm, backend: Backend, material: &[u8]) -> Result<Self, KeyError> {
        let wrong_length = KeyError::Length { algorithm, found_len: material.len() };
        let (key, &salt) = material.split_last_chunk().ok_or(wrong_length)?;
        if key.len() != algorithm.key_len() {
            return Err(wrong_length);
        }
        let schedule = match backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Vaes512 => vaes::Key::new(algorithm, key).map(Schedule::Vaes512),
            #[cfg(target_arch = "x86_64")]
            Backend::Vaes256 => vaes::Key::new(algorithm, key).map(Schedule::Vaes256),
            #[cfg(not(target_arch = "x86_64"))]
            Backend::Vaes512 | Backend::Vaes256 => None,
            Backend::Ring => {
                ring::Key::new(algorithm, key).map(|key| Schedule::Ring(Arc::new(key)))
            }
            Backend::Portable => {
                portable::Key::new(algorithm, key).map(|key| Schedule::Portable(Arc::new(key)))
            }
        };
        Ok(Self { algorithm, salt, schedule: schedule.ok_or(KeyError::Unavailable { backend })? })
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
            #[cfg(target_arch = "x86_64")]
            Schedule::Vaes512(_) => Backend::Vaes512,
            #[cfg(target_arch = "x86_64")]
            Schedule::Vaes256(_) => Backend::Vaes256,
            Schedule::Ring(_) => Backend::Ring,
            Schedule::Portable(_) => Backend::Portable,
        }
    }

    /// Asks the CPU to fetch what the kernels need of the key for so many octets of text: worth
    /// it, some packets ahead, where there are so many keys that they do not stay in a cache.
    #[inline]
    pub fn prefetch(&self, text_len: usize) {
        match &self.schedule {
            #[cfg(target_arch = "x86_64")]
            Schedule::Vaes512(key) => key.prefetch(text_len),
            #[cfg(target_arch = "x86_64")]
            Schedule::Vaes256(key) => key.prefetch(text_len),
            Schedule::Ring(_) | Schedule::Portable(_) => {}
        }
    }

    /// Salt and IV (RFC 4106, section 4), and zeros up to a whole block.
    #[inline]
    pub(crate) fn nonce(&self, iv: [u8; IV_LEN]) -> [u8; 16] {
        let mut nonce = [0; 16];
        nonce[..SALT_LEN].copy_from_slice(&self.salt);
        nonce[SALT_LEN..][..IV_LEN].copy_from_slice(&iv);
        nonce
    }
}

/// The algorithm, nothing of the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.algorithm).finish()
    }
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Keying material of the wrong length.
    Length {
        /// What the material was meant for.
        algorithm: Algorithm,
        /// Octets of material given.
        found_len: usize,
    },
    /// A back end that needs instructions that this machine's CPU does not have.
    Unavailable {
        /// The back end.
        backend: Backend,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Length { algorithm, found_len } => {
                let (all, key) = (algorithm.material_len(), algorithm.key_len());
                write!(
                    f,
                    "{algorithm} takes {all} octets ({key} of key, {SALT_LEN} of salt), \
                     not {found_len}"
                )
            }
            Self::Unavailable { backend } => write!(f, "this CPU cannot run the {backend} kernels"),
        }
    }
}

impl Error for KeyError {}
