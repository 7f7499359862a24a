//! What goes into a queue, and what comes out.

use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;

use dpdk_sys as sys;

use super::{AAD_LEN_MAX, ICV_LEN, NONCE_LEN, Session};
use crate::Mbuf;

/// A packet to encrypt or decrypt in place, with all that this takes.
pub struct CryptoOp<'a> {
    /// The key, and whether to encrypt or to decrypt. The queue holds it as long as it must.
    pub session: &'a Session,
    /// The packet: one segment, which nobody else refers to.
    pub mbuf: Mbuf,
    /// Which octets of the packet are text. [`ICV_LEN`] octets of ICV follow it: written when
    /// encrypting, whatever they hold, and verified when decrypting.
    pub text: Range<usize>,
    /// To encrypt, it must be new under the session's key.
    pub nonce: [u8; NONCE_LEN],
    /// As many octets as the session says.
    pub aad: &'a [u8],
    /// Comes back with the packet.
    pub user: u64,
}

/// A packet that came back.
#[derive(Debug)]
pub struct CryptoDone {
    /// The packet. After [`CryptoStatus::Ok`], its text is encrypted and the ICV behind it
    /// written, or its text is decrypted and the ICV as it was. Otherwise both are zero.
    pub mbuf: Mbuf,
    /// The value that came with the op.
    pub user: u64,
    /// What became of it.
    pub status: CryptoStatus,
}

/// What became of an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CryptoStatus {
    /// Encrypted, or found genuine and decrypted.
    Ok,
    /// Not genuine.
    AuthenticationFailed,
    /// The device failed, or refused the op.
    Error,
}

/// Why a queue does not take an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// The queue has no room; there will be some after [`super::CryptoQueue::dequeue`].
    #[error("the queue is full")]
    Full,
    /// The session is another device's.
    #[error("the session is of another device")]
    Session,
    /// The packet has several segments, or somebody else refers to its octets.
    #[error("the packet is not one segment that nobody else refers to")]
    Shared,
    /// Text and ICV do not lie within the packet.
    #[error("text and ICV do not lie within the packet")]
    Range,
    /// The AAD is not as long as the session says.
    #[error("the AAD is not as long as the session says")]
    AadLength,
}

/// A packet that a queue did not take.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct RefusedOp {
    /// The packet, unchanged.
    pub mbuf: Mbuf,
    /// Why.
    pub reason: OpError,
}

/// Nothing of nonce, AAD and text.
impl fmt::Debug for CryptoOp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CryptoOp")
            .field("session", self.session)
            .field("mbuf", &self.mbuf)
            .field("text", &self.text)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl CryptoOp<'_> {
    /// Offset and length of the text, if a device can be given this op.
    #[inline]
    pub(super) fn check(&self) -> Result<(u16, u16), OpError> {
        let Self { session, mbuf, text, aad, .. } = self;
        if !mbuf.is_contiguous() || !mbuf.is_head_exclusive() {
            return Err(OpError::Shared);
        }
        if text.start > text.end || mbuf.len() < ICV_LEN || text.end > mbuf.len() - ICV_LEN {
            return Err(OpError::Range);
        }
        if aad.len() != session.aad_len() {
            return Err(OpError::AadLength);
        }
        match (u16::try_from(text.start), u16::try_from(text.len())) {
            (Ok(offset), Ok(length)) => Ok((offset, length)),
            _ => Err(OpError::Range),
        }
    }

    /// Writes down what to do, but for the place of the text. The packet is the slot's then.
    #[inline]
    pub(super) fn write_to(self, slot: &mut sys::shim_crypto_op) {
        slot.nonce[..NONCE_LEN].copy_from_slice(&self.nonce);
        // Devices that read whole blocks want zeros behind the AAD. The lengths of ESP are known
        // at compile time, so that they take no call.
        slot.aad = [0; AAD_LEN_MAX];
        match self.aad {
            aad @ [_, _, _, _, _, _, _, _] => slot.aad[..8].copy_from_slice(aad),
            aad @ [_, _, _, _, _, _, _, _, _, _, _, _] => slot.aad[..12].copy_from_slice(aad),
            aad => slot.aad[..aad.len()].copy_from_slice(aad),
        }
        slot.session = self.session.raw();
        slot.user = self.user;
        slot.packet = self.mbuf.into_raw();
    }
}

impl CryptoDone {
    /// Takes the packet out of a slot.
    ///
    /// # Safety
    /// [`CryptoOp::write_to`] wrote to the slot, whose packet is taken only here, and no device
    /// refers to it.
    #[inline]
    pub(super) unsafe fn from_slot(slot: &sys::shim_crypto_op) -> Self {
        // SAFETY: `write_to` put a packet there.
        let raw = unsafe { NonNull::new_unchecked(slot.packet) };
        // SAFETY: it is owned here.
        let mbuf = unsafe { Mbuf::from_raw(raw) };
        let status = match slot.status {
            sys::SHIM_CRYPTO_SUCCESS => CryptoStatus::Ok,
            sys::SHIM_CRYPTO_AUTH_FAILED => CryptoStatus::AuthenticationFailed,
            _ => CryptoStatus::Error,
        };
        let mut done = Self { mbuf, user: slot.user, status };
        if status != CryptoStatus::Ok {
            done.wipe(usize::from(slot.offset), usize::from(slot.length));
        }
        done
    }

    /// A device decrypts before it knows whether a packet is genuine. What it has made of one that
    /// is not must not be seen, nor what it leaves when it fails.
    #[cold]
    fn wipe(&mut self, offset: usize, length: usize) {
        let octets = self.mbuf.data_mut();
        match octets.and_then(|octets| octets.get_mut(offset..offset + length + ICV_LEN)) {
            Some(octets) => octets.fill(0),
            // `CryptoOp::check` has seen to it that this cannot be.
            None => self.mbuf.clear(),
        }
    }
}
