//! Batch AEAD over packets: AES-GCM for ESP (RFC 4106), a whole burst in one call.
//!
//! [`seal`] and [`open`] take a burst of jobs. The jobs may be of many SAs, algorithms and back
//! ends in any mixture; nothing is allocated, and the result is that of doing the jobs one by one
//! in any order. Who calls with the largest burst at hand gets the most from back ends that work
//! across packets.
//!
//! ```
//! use aead::{Aad, Algorithm, Backend, ICV_LEN, Key, OpenJob, SealJob};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let material = [7; 20]; // 16 octets of key, 4 of salt
//! let key = Key::new(Algorithm::Aes128Gcm16, Backend::default(), &material)?;
//! let (iv, aad) = (1_u64.to_be_bytes(), Aad::esp(0x1001, 1));
//!
//! let mut buffer = *b"payload\x01\x01\x02\x02\x04................";
//! aead::seal(&mut [SealJob::new(&key, iv, aad, &mut buffer)?]);
//! assert_ne!(&buffer[..7], b"payload");
//!
//! let mut jobs = [OpenJob::new(&key, iv, aad, &mut buffer)];
//! aead::open(&mut jobs);
//! assert!(jobs[0].verified());
//! assert_eq!(&buffer[..buffer.len() - ICV_LEN], b"payload\x01\x01\x02\x02\x04");
//! # Ok(())
//! # }
//! ```
//!
//! Unique nonces are the caller's matter: under one key an IV seals one packet, ever.

mod aad;
mod algorithm;
mod backend;
mod job;
mod key;
#[cfg(test)]
pub(crate) mod tests;

pub use aad::Aad;
pub use algorithm::{Algorithm, ICV_LEN, IV_LEN, SALT_LEN, UnknownName};
pub use backend::Backend;
pub use job::{BUFFER_LEN_MAX, BufferError, OpenJob, SealJob, open, seal};
pub use key::{Key, KeyError};
