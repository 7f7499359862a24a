//! Keying material on its way to the gateway.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use thiserror::Error;
use zeroize::Zeroizing;

/// Key and salt of an SA (RFC 4106, section 8.1) as hexadecimal digits. Zeroed when dropped; its
/// `Debug` output shows nothing of it, nor do errors about it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyHex(Zeroizing<String>);

impl KeyHex {
    /// The digits of `octets`.
    #[must_use]
    pub fn from_octets(octets: &[u8]) -> Self {
        // Room for everything at once: a string that grows leaves copies behind.
        let mut digits = Zeroizing::new(String::with_capacity(octets.len() * 2));
        let halves = octets.iter().flat_map(|octet| [octet >> 4, octet & 0xf]);
        digits.extend(halves.filter_map(|half| char::from_digit(half.into(), 16)));
        Self(digits)
    }

    /// Takes digits as they are.
    ///
    /// # Errors
    /// [`NotHex`]: nothing but pairs of hexadecimal digits is taken, and at least one pair.
    pub fn from_digits(digits: &str) -> Result<Self, NotHex> {
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !is_hex || digits.is_empty() || !digits.len().is_multiple_of(2) {
            return Err(NotHex);
        }
        Ok(Self(Zeroizing::new(digits.to_owned())))
    }

    /// The digits: an even number of them, at least two.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHex(…)")
    }
}

impl Serialize for KeyHex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for KeyHex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;

        impl Visitor<'_> for Digits {
            type Value = KeyHex;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, digits: &str) -> Result<KeyHex, E> {
                KeyHex::from_digits(digits).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Digits)
    }
}

/// Something else than pairs of hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a key is given as pairs of hexadecimal digits")]
pub struct NotHex;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_takes_digits() {
        let key = KeyHex::from_octets(&[0x00, 0x1f, 0xa0, 0xff]);
        assert_eq!(key.digits(), "001fa0ff");
        assert_eq!(KeyHex::from_digits("001fa0ff"), Ok(key));
    }

    #[test]
    fn refuses_what_is_not_hex() {
        for digits in ["", "0", "0g", "0x11", "00 11", "ää"] {
            assert_eq!(KeyHex::from_digits(digits), Err(NotHex), "{digits:?}");
        }
    }

    #[test]
    fn shows_nothing() {
        assert_eq!(format!("{:?}", KeyHex::from_octets(&[0xab; 20])), "KeyHex(…)");
        let error = serde_json::from_str::<KeyHex>("\"5ec4e7!\"").unwrap_err();
        assert!(!error.to_string().contains("5ec4e7"), "{error}");
    }
}
