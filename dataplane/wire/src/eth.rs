//! Ethernet II frames (RFC 894).

use core::fmt;

use crate::bytes::{Field, array, be16, put};
use crate::emit::{EmitError, room};
use crate::mac::MacAddr;

/// Octets of the header, without a VLAN tag.
pub const HEADER_LEN: usize = 14;

mod field {
    use super::Field;

    pub(super) const DST: Field = 0..6;
    pub(super) const SRC: Field = 6..12;
    pub(super) const ETHERTYPE: Field = 12..14;
}

/// What a frame carries. Values below 0x0600 are IEEE 802.3 lengths, not types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// ARP.
    pub const ARP: Self = Self(0x0806);
    /// IEEE 802.1Q customer tag.
    pub const VLAN: Self = Self(0x8100);
    /// IPv6.
    pub const IPV6: Self = Self(0x86DD);
    /// IEEE 802.1ad service tag.
    pub const QINQ: Self = Self(0x88A8);
}

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IPV4 => f.pad("ipv4"),
            Self::ARP => f.pad("arp"),
            Self::VLAN => f.pad("802.1q"),
            Self::IPV6 => f.pad("ipv6"),
            Self::QINQ => f.pad("802.1ad"),
            Self(other) => write!(f, "0x{other:04x}"),
        }
    }
}

/// Why a buffer is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Shorter than [`HEADER_LEN`].
    Truncated,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ethernet frame shorter than its header")
    }
}

impl core::error::Error for Error {}

/// A view of an Ethernet frame, without its frame check sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Frame<T> {
    /// Wraps a buffer that holds a whole header.
    ///
    /// # Errors
    /// [`Error::Truncated`].
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        if buffer.as_ref().len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        Ok(Self { buffer })
    }

    /// The destination address.
    #[inline]
    pub fn dst(&self) -> MacAddr {
        MacAddr(array(self.buffer.as_ref(), field::DST))
    }

    /// The source address.
    #[inline]
    pub fn src(&self) -> MacAddr {
        MacAddr(array(self.buffer.as_ref(), field::SRC))
    }

    /// What follows the header: a payload, or a VLAN tag ([`crate::vlan::Tag`]).
    #[inline]
    pub fn ethertype(&self) -> EtherType {
        EtherType(be16(self.buffer.as_ref(), field::ETHERTYPE))
    }

    /// The buffer again.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> Frame<&'a T> {
    /// Everything after the header, padding to the minimum frame size included.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer.as_ref()[HEADER_LEN..]
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Frame<T> {
    /// Sets the destination address.
    #[inline]
    pub fn set_dst(&mut self, mac: MacAddr) {
        put(self.buffer.as_mut(), field::DST, &mac.0);
    }

    /// Sets the source address.
    #[inline]
    pub fn set_src(&mut self, mac: MacAddr) {
        put(self.buffer.as_mut(), field::SRC, &mac.0);
    }

    /// Sets the type.
    #[inline]
    pub fn set_ethertype(&mut self, ethertype: EtherType) {
        put(self.buffer.as_mut(), field::ETHERTYPE, &ethertype.0.to_be_bytes());
    }

    /// Everything after the header.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.buffer.as_mut()[HEADER_LEN..]
    }
}

/// An Ethernet header as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Destination address.
    pub dst: MacAddr,
    /// Source address.
    pub src: MacAddr,
    /// Type of the payload.
    pub ethertype: EtherType,
}

impl Repr {
    /// The header of a frame.
    #[inline]
    pub fn parse<T: AsRef<[u8]>>(frame: &Frame<T>) -> Self {
        Self { dst: frame.dst(), src: frame.src(), ethertype: frame.ethertype() }
    }

    /// Writes the header at the start of `out`; returns its length, [`HEADER_LEN`].
    ///
    /// # Errors
    /// [`EmitError::NoRoom`].
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut frame = Frame { buffer: room(out, HEADER_LEN)? };
        frame.set_dst(self.dst);
        frame.set_src(self.src);
        frame.set_ethertype(self.ethertype);
        Ok(HEADER_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::ARP_REQUEST;

    const REPR: Repr = Repr {
        dst: MacAddr::BROADCAST,
        src: MacAddr([0x02, 0x00, 0x5E, 0x00, 0x53, 0x01]),
        ethertype: EtherType::ARP,
    };

    #[test]
    fn deconstruct() {
        let frame = Frame::new_checked(&ARP_REQUEST).unwrap();
        assert_eq!(Repr::parse(&frame), REPR);
        assert_eq!(frame.payload(), &ARP_REQUEST[14..]);
    }

    #[test]
    fn construct() {
        let mut bytes = [0xA5; 42];
        assert_eq!(REPR.emit(&mut bytes), Ok(14));
        Frame::new_checked(&mut bytes).unwrap().payload_mut().copy_from_slice(&ARP_REQUEST[14..]);
        assert_eq!(bytes, ARP_REQUEST);
    }

    #[test]
    fn truncated_at_every_octet() {
        for len in 0..HEADER_LEN {
            assert_eq!(Frame::new_checked(&ARP_REQUEST[..len]), Err(Error::Truncated));
            assert_eq!(REPR.emit(&mut [0; HEADER_LEN][..len]), Err(EmitError::NoRoom));
        }
        assert_eq!(Frame::new_checked(&ARP_REQUEST[..14]).unwrap().payload(), []);
    }
}
