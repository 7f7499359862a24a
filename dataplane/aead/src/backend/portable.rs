//! AES-GCM by the `aes-gcm` crate, Rust only.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, Aes256Gcm, KeyInit};

use crate::algorithm::{Algorithm, ICV_LEN};

/// A key schedule, which its crate zeroes on drop.
#[expect(clippy::large_enum_variant, reason = "few keys of this back end are ever alive")]
pub(crate) enum Key {
    Aes128(Aes128Gcm),
    Aes256(Aes256Gcm),
}

impl Key {
    /// `None`: the key has a wrong length.
    pub(crate) fn new(algorithm: Algorithm, key: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Aes128Gcm16 => Aes128Gcm::new_from_slice(key).ok().map(Self::Aes128),
            Algorithm::Aes256Gcm16 => Aes256Gcm::new_from_slice(key).ok().map(Self::Aes256),
        }
    }

    /// Encrypts in place and gives the ICV. `None`: the length was refused, beyond 64 GiB.
    pub(crate) fn seal(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        text: &mut [u8],
    ) -> Option<[u8; ICV_LEN]> {
        let (nonce, text) = (nonce.into(), text.into());
        let tag = match self {
            Self::Aes128(key) => key.encrypt_inout_detached(&nonce, aad, text),
            Self::Aes256(key) => key.encrypt_inout_detached(&nonce, aad, text),
        };
        tag.ok().map(Into::into)
    }

    /// Decrypts in place if the ICV is right, and says so; if not, `text` stays as it is.
    pub(crate) fn open(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        text: &mut [u8],
        icv: [u8; ICV_LEN],
    ) -> bool {
        let (nonce, text, icv) = (nonce.into(), text.into(), icv.into());
        match self {
            Self::Aes128(key) => key.decrypt_inout_detached(&nonce, aad, text, &icv),
            Self::Aes256(key) => key.decrypt_inout_detached(&nonce, aad, text, &icv),
        }
        .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles only while the dependency is built with its zeroising feature.
    #[test]
    fn schedules_are_zeroed_on_drop() {
        fn zeroed<T: zeroize::ZeroizeOnDrop>() {}
        zeroed::<Aes128Gcm>();
        zeroed::<Aes256Gcm>();
    }
}
