//! A key within a device.

use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use dpdk_sys as sys;

use super::device::Device;

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Encrypts, and writes ICVs.
    Encrypt,
    /// Verifies, and decrypts.
    Decrypt,
}

/// An AES-GCM key of a device, for one direction, and for AAD of one length. Made by
/// [`CryptoDevice::session`](super::CryptoDevice::session).
///
/// A clone is another handle of the same session, for any thread and any queue of the device. A
/// queue holds one as long as ops need it. When the last is gone, the device's memory of the key is
/// wiped and freed, and that is done on the thread that drops it.
#[derive(Clone)]
pub struct Session(Arc<Key>);

struct Key {
    raw: NonNull<c_void>,
    direction: Direction,
    key_len: usize,
    aad_len: usize,
    device: Arc<Device>,
}

// SAFETY: the driver's session is read by queues of any thread, and freed by whoever is last.
unsafe impl Send for Key {}
// SAFETY: as above; what a driver keeps in it for a queue is that queue's alone.
unsafe impl Sync for Key {}

impl Session {
    /// What it does.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.0.direction
    }

    /// How many octets of AAD each op has.
    #[inline]
    #[must_use]
    pub fn aad_len(&self) -> usize {
        self.0.aad_len
    }

    /// # Safety
    /// `raw` is a session of the device, and nobody else frees it.
    pub(super) unsafe fn new(
        raw: NonNull<c_void>,
        device: &Arc<Device>,
        direction: Direction,
        key_len: usize,
        aad_len: usize,
    ) -> Self {
        Self(Arc::new(Key { raw, direction, key_len, aad_len, device: Arc::clone(device) }))
    }

    /// Whether queues of `device` may use it.
    #[inline]
    pub(super) fn belongs_to(&self, device: &Arc<Device>) -> bool {
        Arc::ptr_eq(&self.0.device, device)
    }

    #[inline]
    pub(super) fn raw(&self) -> *mut c_void {
        self.0.raw.as_ptr()
    }

    /// Whether both are handles of one session.
    #[inline]
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Nothing of the key.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("device", &self.0.device.name())
            .field("direction", &self.0.direction)
            .field("key_len", &self.0.key_len)
            .field("aad_len", &self.0.aad_len)
            .finish()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // The driver frees what it has elsewhere, and DPDK fills the session with zeros.
        // SAFETY: a session of a device that is alive, and no op refers to it.
        unsafe { sys::rte_cryptodev_sym_session_free(self.device.id(), self.raw.as_ptr()) };
    }
}
