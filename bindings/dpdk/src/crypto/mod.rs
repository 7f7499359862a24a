//! AES-GCM by a crypto device: a processor's instructions behind DPDK's interface
//! (`crypto_aesni_gcm0`, `crypto_aesni_mb0`, `crypto_openssl0`), or a card with a PCI address.
//!
//! ```text
//! control thread   CryptoDevice::attach > CryptoDevice::session > Session
//! each core        CryptoQueue::push … flush ~ device ~ CryptoQueue::dequeue > CryptoDone
//! ```
//!
//! A device works while the core does something else, so whatever it reads or writes belongs to
//! the queue meanwhile: packet, session, and nonce and AAD in memory of DPDK. Packets come back
//! from it in the order in which they went in.
//!
//! What drivers want is seen to here: packets of one segment that nobody else refers to; nonce and
//! AAD in blocks of 16 octets; the ICV behind the text; never more ops than a queue has room for,
//! since some drivers (openssl) would work on those and then refuse them.
//!
//! | driver (DPDK 22.11) | works | order |
//! |---|---|---|
//! | aesni_gcm | in `dequeue` | one by one, out of a ring |
//! | aesni_mb | in `dequeue` | its job manager gives jobs back as they were submitted |
//! | openssl | in `flush` | one by one, into a ring |
//! | cards | by themselves | nothing that DPDK promises |
//!
//! [`CryptoQueue`] counts turns, so that it does not have to believe the last column. The two aesni
//! drivers compare ICVs by `memcmp`, which is not constant in time.

mod device;
mod op;
mod queue;
mod session;
#[cfg(test)]
mod tests;

use dpdk_sys as sys;

pub use self::device::{CryptoConfig, CryptoDevice, CryptoInfo};
pub use self::op::{CryptoDone, CryptoOp, CryptoStatus, OpError, RefusedOp};
pub use self::queue::CryptoQueue;
pub use self::session::{Direction, Session};

/// Octets of a nonce: in ESP the salt, and behind it the IV (RFC 4106, section 4).
pub const NONCE_LEN: usize = sys::SHIM_GCM_NONCE_LEN as usize;

/// Octets of an ICV, which stands right behind the text.
pub const ICV_LEN: usize = sys::SHIM_GCM_ICV_LEN as usize;

/// Most octets of AAD. In ESP they are 8, or 12 with extended sequence numbers (RFC 4106,
/// section 5).
pub const AAD_LEN_MAX: usize = sys::SHIM_GCM_BLOCK_LEN as usize;
