//! UDP (RFC 768).

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::bytes::{Field, be16, put};
use crate::checksum::Sum;
use crate::emit::{EmitError, room};
use crate::ipproto::IpProto;

/// Octets of the header.
pub const HEADER_LEN: usize = 8;

/// IKE (RFC 7296).
pub const PORT_IKE: u16 = 500;
/// IKE and ESP behind a NAT (RFC 3948).
pub const PORT_NAT_T: u16 = 4500;

mod field {
    use super::Field;

    pub(super) const SRC: Field = 0..2;
    pub(super) const DST: Field = 2..4;
    pub(super) const LEN: Field = 4..6;
    pub(super) const CHECKSUM: Field = 6..8;
}

/// Why a buffer is no datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Shorter than [`HEADER_LEN`].
    Truncated,
    /// The length is below the header's.
    LenBelowHeader(u16),
    /// The length is beyond the buffer.
    LenBeyondBuffer(u16),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("UDP header truncated"),
            Self::LenBelowHeader(len) => write!(f, "UDP length {len} below header"),
            Self::LenBeyondBuffer(len) => write!(f, "UDP length {len} beyond packet"),
        }
    }
}

impl core::error::Error for Error {}

/// A view of a datagram. The buffer may be longer than it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Wraps a buffer that starts with a whole datagram.
    ///
    /// # Errors
    /// See [`Error`].
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        let bytes = buffer.as_ref();
        if bytes.len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        let len = be16(bytes, field::LEN);
        if usize::from(len) < HEADER_LEN {
            return Err(Error::LenBelowHeader(len));
        }
        if usize::from(len) > bytes.len() {
            return Err(Error::LenBeyondBuffer(len));
        }
        Ok(Self { buffer })
    }

    /// Source port.
    #[inline]
    pub fn src_port(&self) -> u16 {
        be16(self.buffer.as_ref(), field::SRC)
    }

    /// Destination port.
    #[inline]
    pub fn dst_port(&self) -> u16 {
        be16(self.buffer.as_ref(), field::DST)
    }

    /// Octets of header and payload.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a field's name; never empty")]
    pub fn len(&self) -> u16 {
        be16(self.buffer.as_ref(), field::LEN)
    }

    /// The checksum as it stands; zero is none.
    #[inline]
    pub fn checksum(&self) -> u16 {
        be16(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// Whether the checksum is right over IPv4, or absent.
    #[inline]
    pub fn verify_v4(&self, src: Ipv4Addr, dst: Ipv4Addr) -> bool {
        self.checksum() == 0 || {
            let pseudo = Sum::pseudo_v4(src, dst, IpProto::UDP, self.len());
            pseudo.plus(self.sum()).is_valid()
        }
    }

    /// Whether the checksum is right over IPv6, where it is compulsory (RFC 8200 8.1) except for
    /// tunnels such as ESP in UDP (RFC 6935): those callers look at [`Self::checksum`] first.
    #[inline]
    pub fn verify_v6(&self, src: Ipv6Addr, dst: Ipv6Addr) -> bool {
        self.checksum() != 0 && {
            let pseudo = Sum::pseudo_v6(src, dst, IpProto::UDP, self.len().into());
            pseudo.plus(self.sum()).is_valid()
        }
    }

    /// The datagram's octets summed, without a pseudo header.
    #[inline]
    fn sum(&self) -> Sum {
        Sum::of(&self.buffer.as_ref()[..usize::from(self.len())])
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> Packet<&'a T> {
    /// The payload, without what follows the datagram in the buffer.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer.as_ref()[HEADER_LEN..usize::from(self.len())]
    }
}

/// A UDP header as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Octets of the payload.
    pub payload_len: u16,
}

impl Repr {
    /// The header of a datagram.
    #[inline]
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Self {
        Self {
            src_port: packet.src_port(),
            dst_port: packet.dst_port(),
            // new_checked proved that the length holds the header.
            payload_len: packet.len() - 8,
        }
    }

    /// Writes the header at the start of `out`, without a checksum (zero: allowed over IPv4, and
    /// what RFC 3948 2.1 wants for ESP in UDP); returns its length, [`HEADER_LEN`].
    ///
    /// # Errors
    /// [`EmitError::TooLong`] if header and payload exceed 65535 octets; [`EmitError::NoRoom`].
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let len = self.payload_len.checked_add(8).ok_or(EmitError::TooLong)?;
        let out = room(out, HEADER_LEN)?;
        put(out, field::SRC, &self.src_port.to_be_bytes());
        put(out, field::DST, &self.dst_port.to_be_bytes());
        put(out, field::LEN, &len.to_be_bytes());
        put(out, field::CHECKSUM, &[0, 0]);
        Ok(HEADER_LEN)
    }
}

/// Fills the checksum of a whole datagram; `pseudo` is [`Sum::pseudo_v4`] or [`Sum::pseudo_v6`].
///
/// # Errors
/// [`EmitError::NoRoom`] if `datagram` does not hold a header.
pub fn fill_checksum(datagram: &mut [u8], pseudo: Sum) -> Result<(), EmitError> {
    put(room(datagram, HEADER_LEN)?, field::CHECKSUM, &[0, 0]);
    let sum = pseudo.plus(Sum::of(datagram)).udp_checksum();
    put(datagram, field::CHECKSUM, &sum.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{NAT_T_ESP, NAT_T_IKE, UDP, UDP6};
    use crate::{ip4, ip6};
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn deconstruct() {
        let ip = ip4::Packet::new_checked(&UDP[14..]).unwrap();
        let packet = Packet::new_checked(ip.payload()).unwrap();
        assert_eq!(packet.payload(), b"greyhound");
        assert_eq!((packet.dst_port(), packet.len()), (9999, 17));
        let repr = Repr { src_port: packet.src_port(), dst_port: 9999, payload_len: 9 };
        assert_eq!(Repr::parse(&packet), repr);
        let mut bytes = [0xA5; 8];
        assert_eq!(repr.emit(&mut bytes), Ok(8));
        assert_eq!(bytes[..6], UDP[34..40]);
        assert_eq!(bytes[6..], [0, 0]);
    }

    #[test]
    fn checksum_of_a_capture() {
        let ip = ip4::Packet::new_checked(&NAT_T_IKE[14..]).unwrap();
        let packet = Packet::new_checked(ip.payload()).unwrap();
        assert_ne!(packet.checksum(), 0);
        assert!(packet.verify_v4(ip.src(), ip.dst()));
        assert!(!packet.verify_v4(ip.src(), Ipv4Addr::UNSPECIFIED));
        let mut again = ip.payload().to_vec();
        let pseudo = Sum::pseudo_v4(ip.src(), ip.dst(), IpProto::UDP, packet.len());
        fill_checksum(&mut again, pseudo).unwrap();
        assert_eq!(again, ip.payload());
    }

    #[test]
    fn no_checksum_is_fine_over_ipv4_only() {
        let ip = ip4::Packet::new_checked(&NAT_T_ESP[14..]).unwrap();
        let packet = Packet::new_checked(ip.payload()).unwrap();
        assert_eq!((packet.dst_port(), packet.checksum()), (PORT_NAT_T, 0));
        assert!(packet.verify_v4(ip.src(), ip.dst()));
        assert!(!packet.verify_v6(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST));
    }

    /// A sender that leaves the checksum to its network card writes the pseudo header's sum there.
    #[test]
    fn pseudo_header_of_a_capture() {
        let ip = ip6::Packet::new_checked(&UDP6[14..]).unwrap();
        let packet = Packet::new_checked(ip.payload()).unwrap();
        let pseudo = Sum::pseudo_v6(ip.src(), ip.dst(), IpProto::UDP, packet.len().into());
        assert_eq!(packet.checksum(), !pseudo.checksum());
        let mut sent = ip.payload().to_vec();
        fill_checksum(&mut sent, pseudo).unwrap();
        assert!(Packet::new_checked(&sent).unwrap().verify_v6(ip.src(), ip.dst()));
    }

    #[test]
    fn each_fault_has_its_error() {
        let datagram = &UDP[34..];
        for len in 0..datagram.len() {
            let want = if len < 8 { Error::Truncated } else { Error::LenBeyondBuffer(17) };
            assert_eq!(Packet::new_checked(&datagram[..len]), Err(want));
        }
        for len in 0..8 {
            let bytes = [0, 1, 0, 2, 0, len, 0, 0];
            assert_eq!(Packet::new_checked(bytes), Err(Error::LenBelowHeader(len.into())));
            let repr = Repr { src_port: 1, dst_port: 2, payload_len: 0 };
            assert_eq!(repr.emit(&mut [0; 8][..len.into()]), Err(EmitError::NoRoom));
        }
        let long = Repr { src_port: 1, dst_port: 2, payload_len: 65528 };
        assert_eq!(long.emit(&mut [0; 8]), Err(EmitError::TooLong));
    }

    proptest! {
        #[test]
        fn emit_fill_verify(src: u32, dst: u32, ports: (u16, u16), data: Vec<u8>, flip: usize) {
            let (src, dst) = (Ipv4Addr::from(src), Ipv4Addr::from(dst));
            let payload_len = u16::try_from(data.len()).unwrap();
            let repr = Repr { src_port: ports.0, dst_port: ports.1, payload_len };
            let mut bytes = std::vec![0; 8];
            repr.emit(&mut bytes).unwrap();
            bytes.extend(data);
            let pseudo = Sum::pseudo_v4(src, dst, IpProto::UDP, payload_len + 8);
            fill_checksum(&mut bytes, pseudo).unwrap();
            let packet = Packet::new_checked(&bytes[..]).unwrap();
            prop_assert_eq!(Repr::parse(&packet), repr);
            prop_assert!(packet.checksum() != 0 && packet.verify_v4(src, dst));
            // Any octet but those of the length, which would trim, and of the checksum.
            let at = flip % bytes.len();
            if !(4..8).contains(&at) {
                bytes[at] ^= 0x01;
                prop_assert!(!Packet::new_checked(&bytes[..]).unwrap().verify_v4(src, dst));
            }
        }
    }
}
