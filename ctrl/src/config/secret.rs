//! Key material: zeroed when dropped, never shown.

use std::fmt;

use aead::{Algorithm, SALT_LEN};
use thiserror::Error;
use zeroize::Zeroizing;

/// Key and salt of an SA, as RFC 4106, section 8.1 puts them together: 16 or 32 octets of key,
/// then 4 of salt. Zeroed when dropped; its `Debug` output shows nothing of it.
#[derive(Clone)]
pub struct KeyMaterial {
    octets: Zeroizing<Box<[u8]>>,
}

impl KeyMaterial {
    /// Key material for `algorithm` from the contents of a key file: the octets themselves, or
    /// their hexadecimal digits, with white space anywhere between octets and `0x` before them.
    ///
    /// # Errors
    /// [`KeyError`], which shows nothing of the contents.
    pub fn from_file_contents(contents: &[u8], algorithm: Algorithm) -> Result<Self, KeyError> {
        let expected = algorithm.material_len();
        let digits = hex_digits(contents);
        let octets = match &digits {
            Some(digits) => unhex(digits).ok_or(KeyError::OddDigits)?,
            None => Zeroizing::new(contents.into()),
        };
        if octets.len() != expected {
            let found = octets.len();
            return Err(KeyError::Length { algorithm, expected, found, hex: digits.is_some() });
        }
        if octets.iter().all(|&octet| octet == 0) {
            return Err(KeyError::Zero);
        }
        Ok(Self { octets })
    }

    /// Key, then salt.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The key without its salt.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.octets[..self.octets.len() - SALT_LEN]
    }

    /// The salt: the first octets of every nonce.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.octets[self.octets.len() - SALT_LEN..]
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMaterial(…)")
    }
}

/// Compares without an early exit.
impl PartialEq for KeyMaterial {
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.octets.iter().zip(other.octets.iter());
        self.octets.len() == other.octets.len() && pairs.fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
    }
}

impl Eq for KeyMaterial {}

/// Contents of a key file that are no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// A digit is missing or too many.
    #[error("the key has an odd number of hexadecimal digits")]
    OddDigits,
    /// Not as long as the algorithm asks for.
    #[error(
        "the key has {found} octets{}, but {algorithm} takes {expected}: {} of key, then 4 of salt",
        if *.hex { " in hexadecimal" } else { "" },
        .expected - SALT_LEN
    )]
    Length {
        /// The algorithm.
        algorithm: Algorithm,
        /// Octets that it takes.
        expected: usize,
        /// Octets in the file.
        found: usize,
        /// Whether the file has digits, not octets.
        hex: bool,
    },
    /// Every octet is zero.
    #[error("the key is all zeros")]
    Zero,
}

/// The digits of `contents` without white space and prefix; `None` if it is not hexadecimal.
/// Raw material of only hexadecimal digits is taken for text: random octets never look like it.
fn hex_digits(contents: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = contents.trim_ascii();
    let text = text.strip_prefix(b"0x").unwrap_or(text);
    // Room for everything at once: a vector that grows leaves copies behind.
    let mut digits = Zeroizing::new(Vec::with_capacity(text.len()));
    digits.extend(text.iter().filter(|octet| !octet.is_ascii_whitespace()));
    let is_hex = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    is_hex.then_some(digits)
}

/// The octets that `digits` stand for; `None` if there is half an octet.
fn unhex(digits: &[u8]) -> Option<Zeroizing<Box<[u8]>>> {
    let (pairs, rest) = digits.as_chunks::<2>();
    let mut octets = Zeroizing::new(vec![0; pairs.len()].into_boxed_slice());
    for (octet, pair) in octets.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *octet = u8::try_from(high? << 4 | low?).ok()?;
    }
    rest.is_empty().then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Algorithm::{Aes128Gcm16, Aes256Gcm16};

    const TEXT: &str = "000102030405060708090a0b0c0d0e0f deadBEEF\n";

    fn octets() -> Vec<u8> {
        (0..16).chain([0xde, 0xad, 0xbe, 0xef]).collect()
    }

    #[test]
    fn reads_text_and_octets_alike() {
        let from_text = KeyMaterial::from_file_contents(TEXT.as_bytes(), Aes128Gcm16).unwrap();
        let from_octets = KeyMaterial::from_file_contents(&octets(), Aes128Gcm16).unwrap();
        let prefixed = format!("0x{TEXT}");
        let from_prefixed =
            KeyMaterial::from_file_contents(prefixed.as_bytes(), Aes128Gcm16).unwrap();
        assert_eq!(from_text.octets(), octets());
        assert_eq!(from_text, from_octets);
        assert_eq!(from_text, from_prefixed);
        assert_eq!(from_text.key(), &octets()[..16]);
        assert_eq!(from_text.salt(), [0xde, 0xad, 0xbe, 0xef]);
    }

    #[test]
    fn refuses_what_is_no_key() {
        let refused = |contents: &[u8], algorithm| {
            KeyMaterial::from_file_contents(contents, algorithm).unwrap_err()
        };
        assert_eq!(refused(b"abc", Aes128Gcm16), KeyError::OddDigits);
        assert_eq!(refused(&[0; 20], Aes128Gcm16), KeyError::Zero);
        assert_eq!(
            refused(TEXT.as_bytes(), Aes256Gcm16).to_string(),
            "the key has 20 octets in hexadecimal, but aes256gcm16 takes 36: 32 of key, then 4 \
             of salt"
        );
        assert_eq!(
            refused(&octets()[1..], Aes128Gcm16).to_string(),
            "the key has 19 octets, but aes128gcm16 takes 20: 16 of key, then 4 of salt"
        );
        // 36 digits are 18 octets, not a raw key of 36 octets.
        let length = |error| matches!(error, KeyError::Length { found: 18, hex: true, .. });
        assert!(length(refused(&[b'a'; 36], Aes256Gcm16)));
        let empty = |error| matches!(error, KeyError::Length { found: 0, hex: false, .. });
        assert!(empty(refused(b"", Aes128Gcm16)));
    }

    #[test]
    fn shows_nothing() {
        let key = KeyMaterial::from_file_contents(TEXT.as_bytes(), Aes128Gcm16).unwrap();
        assert_eq!(format!("{key:?}"), "KeyMaterial(…)");
        assert_eq!(format!("{key:#?}"), "KeyMaterial(…)");
    }
}
