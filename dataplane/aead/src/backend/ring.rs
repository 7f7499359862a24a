//! AES-GCM by the `ring` crate.

use std::hint::black_box;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};

use crate::algorithm::{Algorithm, ICV_LEN};

/// A key schedule of `ring`, which has no wiping of its own.
pub(crate) struct Key {
    algorithm: Algorithm,
    schedule: LessSafeKey,
}

impl Key {
    /// `None`: the key has a wrong length.
    pub(crate) fn new(algorithm: Algorithm, key: &[u8]) -> Option<Self> {
        Some(Self { algorithm, schedule: expand(algorithm, key)? })
    }

    /// Encrypts in place and gives the ICV. `None`: `ring` refused the length, beyond 64 GiB.
    pub(crate) fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
    ) -> Option<[u8; ICV_LEN]> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.schedule.seal_in_place_separate_tag(nonce, Aad::from(aad), text).ok()?;
        tag.as_ref().try_into().ok()
    }

    /// Decrypts in place and says whether the ICV was right; if not, `text` holds anything.
    pub(crate) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        icv: [u8; ICV_LEN],
    ) -> bool {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let (aad, icv) = (Aad::from(aad), Tag::from(icv));
        self.schedule.open_in_place_separate_tag(nonce, aad, icv, text, 0..).is_ok()
    }

    /// Writes the schedule of the all-zero key over this one, in place. Of the same algorithm, so
    /// that each word of the secret schedule has its successor.
    fn wipe(&mut self) {
        let zeros = [0; 32];
        if let Some(blank) = expand(self.algorithm, &zeros[..self.algorithm.key_len()]) {
            self.schedule = blank;
        }
        // Nobody reads the blank: without this the compiler may leave out the store.
        black_box(&mut self.schedule);
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.wipe();
    }
}

fn expand(algorithm: Algorithm, key: &[u8]) -> Option<LessSafeKey> {
    let algorithm = match algorithm {
        Algorithm::Aes128Gcm16 => &AES_128_GCM,
        Algorithm::Aes256Gcm16 => &AES_256_GCM,
    };
    UnboundKey::new(algorithm, key).ok().map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use std::mem::needs_drop;

    use super::*;

    #[test]
    fn wipe_leaves_the_schedule_of_the_zero_key() {
        for algorithm in Algorithm::ALL {
            let secret = vec![0x5a; algorithm.key_len()];
            let blank = Key::new(algorithm, &vec![0; algorithm.key_len()]).unwrap();
            let icv = |key: &Key| key.seal([9; NONCE_LEN], b"aad", &mut [1; 40]).unwrap();

            let mut key = Key::new(algorithm, &secret).unwrap();
            assert_ne!(icv(&key), icv(&blank));
            key.wipe();
            assert_eq!(icv(&key), icv(&blank));
        }
        // The schedule itself needs no drop: it is the wiping one that this sees.
        assert!(!needs_drop::<LessSafeKey>() && needs_drop::<Key>());
    }
}
