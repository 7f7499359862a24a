//! IEEE 802.1Q tags, as they follow an Ethernet header of type 0x8100 or 0x88A8.

use core::fmt;

use crate::bytes::{Field, be16, put};
use crate::emit::{EmitError, room};
use crate::eth::EtherType;

/// Octets of a tag: tag control information and the next type.
pub const TAG_LEN: usize = 4;

mod field {
    use super::Field;

    pub(super) const TCI: Field = 0..2;
    pub(super) const ETHERTYPE: Field = 2..4;
}

/// Why a buffer is no usable tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Shorter than [`TAG_LEN`].
    Truncated,
    /// VLAN 4095, which must not appear on the wire (802.1Q 9.6).
    ReservedVid,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "VLAN tag truncated",
            Self::ReservedVid => "VLAN 4095 is reserved",
        })
    }
}

impl core::error::Error for Error {}

/// A view of a tag and what follows it; starts at the tag control information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Tag<T> {
    /// Wraps the payload of a tagged frame.
    ///
    /// # Errors
    /// See [`Error`].
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        if buffer.as_ref().len() < TAG_LEN {
            return Err(Error::Truncated);
        }
        let tag = Self { buffer };
        if tag.vid() == 0xFFF {
            return Err(Error::ReservedVid);
        }
        Ok(tag)
    }

    /// The VLAN, 0–4094; 0 is a priority tag without a VLAN.
    #[inline]
    pub fn vid(&self) -> u16 {
        self.tci() & 0x0FFF
    }

    /// The priority code point, 0–7.
    #[inline]
    pub fn pcp(&self) -> u8 {
        self.buffer.as_ref()[0] >> 5
    }

    /// The drop eligible indicator.
    #[inline]
    pub fn dei(&self) -> bool {
        self.tci() & 0x1000 != 0
    }

    /// What follows the tag; may be another tag.
    #[inline]
    pub fn ethertype(&self) -> EtherType {
        EtherType(be16(self.buffer.as_ref(), field::ETHERTYPE))
    }

    #[inline]
    fn tci(&self) -> u16 {
        be16(self.buffer.as_ref(), field::TCI)
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> Tag<&'a T> {
    /// Everything after the tag.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer.as_ref()[TAG_LEN..]
    }
}

/// A tag as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// The VLAN, 0–4094.
    pub vid: u16,
    /// The priority code point, 0–7.
    pub pcp: u8,
    /// The drop eligible indicator.
    pub dei: bool,
    /// Type of what follows.
    pub ethertype: EtherType,
}

impl Repr {
    /// The value of a tag.
    #[inline]
    pub fn parse<T: AsRef<[u8]>>(tag: &Tag<T>) -> Self {
        Self { vid: tag.vid(), pcp: tag.pcp(), dei: tag.dei(), ethertype: tag.ethertype() }
    }

    /// Writes the tag at the start of `out`; returns its length, [`TAG_LEN`].
    ///
    /// # Errors
    /// [`EmitError::TooLong`] if `vid` is over 4094 or `pcp` over 7; [`EmitError::NoRoom`].
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        if self.vid >= 0xFFF || self.pcp > 7 {
            return Err(EmitError::TooLong);
        }
        let out = room(out, TAG_LEN)?;
        let tci = u16::from(self.pcp) << 13 | u16::from(self.dei) << 12 | self.vid;
        put(out, field::TCI, &tci.to_be_bytes());
        put(out, field::ETHERTYPE, &self.ethertype.0.to_be_bytes());
        Ok(TAG_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Priority 5, drop eligible, VLAN 42, IPv4: IEEE 802.1Q 9.6 by hand.
    const TAG: [u8; 6] = [0xB0, 0x2A, 0x08, 0x00, 0x45, 0x00];
    const REPR: Repr = Repr { vid: 42, pcp: 5, dei: true, ethertype: EtherType::IPV4 };

    #[test]
    fn parse_and_emit() {
        let tag = Tag::new_checked(&TAG).unwrap();
        assert_eq!(Repr::parse(&tag), REPR);
        assert_eq!(tag.payload(), [0x45, 0x00]);
        let mut bytes = [0; 4];
        assert_eq!(REPR.emit(&mut bytes), Ok(4));
        assert_eq!(bytes, TAG[..4]);
    }

    #[test]
    fn refused() {
        for len in 0..TAG_LEN {
            assert_eq!(Tag::new_checked(&TAG[..len]), Err(Error::Truncated));
            assert_eq!(REPR.emit(&mut [0; 4][..len]), Err(EmitError::NoRoom));
        }
        assert_eq!(Tag::new_checked([0x0F, 0xFF, 8, 0]), Err(Error::ReservedVid));
        assert_eq!(Repr { vid: 4095, ..REPR }.emit(&mut [0; 4]), Err(EmitError::TooLong));
        assert_eq!(Repr { pcp: 8, ..REPR }.emit(&mut [0; 4]), Err(EmitError::TooLong));
    }

    proptest! {
        #[test]
        fn emit_then_parse(vid in 0u16..4095, pcp in 0u8..8, dei: bool, kind: u16) {
            let repr = Repr { vid, pcp, dei, ethertype: EtherType(kind) };
            let mut bytes = [0; TAG_LEN];
            repr.emit(&mut bytes).unwrap();
            prop_assert_eq!(Repr::parse(&Tag::new_checked(bytes).unwrap()), repr);
        }
    }
}
