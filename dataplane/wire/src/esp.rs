//! ESP (RFC 4303): header, trailer, and what shares UDP port 4500 with it (RFC 3948).

use core::fmt;

use crate::bytes::{Field, be32, put};
use crate::emit::{EmitError, room};
use crate::ipproto::IpProto;

/// Octets of SPI and sequence number.
pub const HEADER_LEN: usize = 8;
/// Octets of the explicit IV of AES-GCM (RFC 4106 3.1).
pub const GCM_IV_LEN: usize = 8;
/// Octets of the salt, the implicit part of the nonce of AES-GCM (RFC 4106 4).
pub const GCM_SALT_LEN: usize = 4;
/// Octets of the full ICV of AES-GCM.
pub const GCM_ICV_LEN: usize = 16;
/// Octets of the short ICV of AES-GCM (RFC 4106 6).
pub const GCM_ICV8_LEN: usize = 8;
/// Octets of pad length and next header.
pub const TRAILER_LEN: usize = 2;
/// Ciphertext ends on such a boundary (RFC 4303 2.4); the block size of AES-GCM is no larger.
pub const ALIGN: usize = 4;
/// SPIs below are reserved (RFC 4303 2.1).
pub const SPI_MIN: u32 = 256;

mod field {
    use super::Field;

    pub(super) const SPI: Field = 0..4;
    pub(super) const SEQUENCE: Field = 4..8;
}

/// What padding looks like: 1, 2, 3 … (RFC 4303 2.4).
const PADDING: [u8; 255] = {
    let mut bytes = [0; 255];
    let mut value = 1u8;
    while value < 255 {
        bytes[value as usize - 1] = value;
        value += 1;
    }
    bytes[254] = 255;
    bytes
};

/// A security parameter index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spi(pub u32);

impl Spi {
    /// Whether an SA may have it: neither zero nor reserved.
    #[inline]
    pub const fn is_usable(self) -> bool {
        self.0 >= SPI_MIN
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}", self.0)
    }
}

impl fmt::Debug for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a packet is refused before its SA is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Shorter than [`HEADER_LEN`].
    Truncated,
    /// SPI 0, which is local and never on the wire.
    SpiZero,
    /// SPI 1–255, reserved.
    SpiReserved,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "ESP header truncated",
            Self::SpiZero => "ESP SPI is zero",
            Self::SpiReserved => "ESP SPI is reserved",
        })
    }
}

impl core::error::Error for Error {}

/// A view of an ESP packet, still sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Wraps the payload of an IP packet of protocol 50, or of a UDP datagram with ESP. Whether
    /// there is room for IV and ICV depends on the SA.
    ///
    /// # Errors
    /// See [`Error`].
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        if buffer.as_ref().len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        let packet = Self { buffer };
        match packet.spi().0 {
            0 => Err(Error::SpiZero),
            1..SPI_MIN => Err(Error::SpiReserved),
            _ => Ok(packet),
        }
    }

    /// The SPI.
    #[inline]
    pub fn spi(&self) -> Spi {
        Spi(be32(self.buffer.as_ref(), field::SPI))
    }

    /// The sequence number, or its low half with ESN.
    #[inline]
    pub fn sequence(&self) -> u32 {
        be32(self.buffer.as_ref(), field::SEQUENCE)
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> Packet<&'a T> {
    /// IV, ciphertext and ICV.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer.as_ref()[HEADER_LEN..]
    }
}

/// An ESP header as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// The SPI.
    pub spi: Spi,
    /// The sequence number, or its low half with ESN.
    pub sequence: u32,
}

impl Repr {
    /// The header of a packet.
    #[inline]
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Self {
        Self { spi: packet.spi(), sequence: packet.sequence() }
    }

    /// Writes the header at the start of `out`; returns its length, [`HEADER_LEN`].
    ///
    /// # Errors
    /// [`EmitError::NoRoom`].
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let out = room(out, HEADER_LEN)?;
        put(out, field::SPI, &self.spi.0.to_be_bytes());
        put(out, field::SEQUENCE, &self.sequence.to_be_bytes());
        Ok(HEADER_LEN)
    }
}

/// The least padding that makes payload, padding and trailer a multiple of `align`, a power of two
/// from 4 to 256: [`ALIGN`] for AES-GCM.
#[inline]
pub const fn padding_for(payload_len: usize, align: usize) -> usize {
    debug_assert!(align.is_power_of_two() && align >= ALIGN && align <= 256);
    payload_len.wrapping_add(TRAILER_LEN).wrapping_neg() & (align - 1)
}

/// Writes padding, pad length and next header behind `payload_len` octets of payload; returns the
/// length of the plaintext, all included.
///
/// # Errors
/// [`EmitError::TooLong`] if `pad_len` is over 255; [`EmitError::NoRoom`].
#[inline]
pub fn write_trailer(
    buffer: &mut [u8],
    payload_len: usize,
    pad_len: usize,
    next_header: IpProto,
) -> Result<usize, EmitError> {
    let pad_octet = u8::try_from(pad_len).map_err(|_| EmitError::TooLong)?;
    let trailer = buffer.get_mut(payload_len..).ok_or(EmitError::NoRoom)?;
    let trailer = room(trailer, pad_len + TRAILER_LEN)?;
    put(trailer, 0..pad_len, &PADDING[..pad_len]);
    put(trailer, pad_len..pad_len + TRAILER_LEN, &[pad_octet, next_header.0]);
    Ok(payload_len + pad_len + TRAILER_LEN)
}

/// What a plaintext's trailer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Octets of padding, pad length and next header. The payload in front of them may still end
    /// with TFC padding (RFC 4303 2.7).
    pub len: u16,
    /// What the payload is.
    pub next_header: IpProto,
}

/// Why a trailer is refused: the peer is broken, since the packet was authentic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EspTrailerError {
    /// Shorter than [`TRAILER_LEN`].
    Truncated,
    /// The padding is longer than what there is.
    PadLength(u8),
    /// The padding is not 1, 2, 3 …
    PadBytes,
}

impl fmt::Display for EspTrailerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("ESP trailer truncated"),
            Self::PadLength(len) => write!(f, "ESP pad length {len} exceeds the payload"),
            Self::PadBytes => f.write_str("ESP padding is not 1, 2, 3"),
        }
    }
}

impl core::error::Error for EspTrailerError {}

/// Checks padding and trailer of a decrypted, authentic plaintext: IV and ICV not included.
///
/// # Errors
/// See [`EspTrailerError`].
pub fn check_trailer(plaintext: &[u8]) -> Result<Trailer, EspTrailerError> {
    let [padded @ .., pad_len, next_header] = plaintext else {
        return Err(EspTrailerError::Truncated);
    };
    let pad_len = *pad_len;
    let Some(payload_len) = padded.len().checked_sub(pad_len.into()) else {
        return Err(EspTrailerError::PadLength(pad_len));
    };
    // Every octet is looked at, so that the time says nothing about where the first wrong one is.
    let mut wrong = 0;
    for (got, want) in padded[payload_len..].iter().zip(&PADDING) {
        wrong |= got ^ want;
    }
    if wrong != 0 {
        return Err(EspTrailerError::PadBytes);
    }
    Ok(Trailer { len: u16::from(pad_len) + 2, next_header: IpProto(*next_header) })
}

/// The same of a trailer as short as alignment asks for, as nearly all are: padding and all are one
/// word then. None for others, and whatever is wrong.
#[inline(always)]
#[must_use]
pub fn short_trailer(plaintext: &[u8]) -> Option<Trailer> {
    let last = u64::from_be_bytes(*plaintext.last_chunk()?);
    let [.., pad_len, next_header] = last.to_be_bytes();
    let (want, mask) = SHORT_TRAILERS.get(usize::from(pad_len))?;
    let trailer = Trailer { len: u16::from(pad_len) + 2, next_header: IpProto(next_header) };
    ((last >> 8 ^ want) & mask == 0).then_some(trailer)
}

/// By pad length: padding with the pad length behind it, and the octets that these are.
const SHORT_TRAILERS: [(u64, u64); ALIGN] =
    [(0, 0xFF), (0x01_01, 0xFFFF), (0x01_02_02, 0xFF_FFFF), (0x01_02_03_03, 0xFFFF_FFFF)];

/// What a UDP datagram on port 4500 is (RFC 3948 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulated<'a> {
    /// A NAT keepalive: one octet 0xFF.
    Keepalive,
    /// IKE, without its marker of four zero octets; may be junk of any length.
    Ike(&'a [u8]),
    /// ESP; at least four octets, the SPI, which is not zero.
    Esp(&'a [u8]),
    /// Shorter than a marker, and no keepalive.
    TooShort,
}

impl<'a> Encapsulated<'a> {
    /// Classifies the payload of a datagram.
    #[inline]
    pub const fn classify(payload: &'a [u8]) -> Self {
        match payload {
            [0, 0, 0, 0, ike @ ..] => Self::Ike(ike),
            [_, _, _, _, ..] => Self::Esp(payload),
            [0xFF] => Self::Keepalive,
            _ => Self::TooShort,
        }
    }
}

#[cfg(test)]
mod tests;
