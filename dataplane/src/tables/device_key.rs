//! An SA's key within a crypto device.

use std::fmt;

use aead::{IV_LEN, SALT_LEN};
use dpdk::crypto::{CryptoDevice, Direction, NONCE_LEN, Session};

/// A session of a crypto device, and the salt that its nonces begin with. A clone is another
/// handle of the same session.
///
/// The device wipes its memory of the key when the last handle goes, on the thread that drops it:
/// who makes SAs keeps a handle beyond those that cores have. The salt is not wiped: it is no
/// secret by itself (RFC 4106, section 4).
#[derive(Clone)]
pub struct DeviceKey {
    session: Session,
    salt: [u8; SALT_LEN],
}

impl DeviceKey {
    /// A session for keying material as [`aead::Key::new`] takes it: 16 or 32 octets of key, and 4
    /// of salt. With extended sequence numbers, `esn`, the AAD has 12 octets, else 8 (RFC 4106,
    /// section 5). Takes a lock, so not for packet threads.
    ///
    /// # Errors
    /// The device's: [`dpdk::Error::NoSession`] when all are in use; [`dpdk::Error::NoAesGcm`] for
    /// keys of other lengths.
    pub fn new(
        device: &CryptoDevice,
        direction: Direction,
        material: &[u8],
        esn: bool,
    ) -> Result<Self, dpdk::Error> {
        let (key, &salt) = material.split_last_chunk().unwrap_or((&[], &[0; SALT_LEN]));
        let session = device.session(direction, key, if esn { 12 } else { 8 })?;
        Ok(DeviceKey { session, salt })
    }

    /// The session.
    #[inline]
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// The nonce of a packet with this IV (RFC 4106, section 4).
    #[inline]
    pub(crate) fn nonce(&self, iv: [u8; IV_LEN]) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        nonce[..SALT_LEN].copy_from_slice(&self.salt);
        nonce[SALT_LEN..].copy_from_slice(&iv);
        nonce
    }
}

/// Nothing of the key.
impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceKey").finish_non_exhaustive()
    }
}
