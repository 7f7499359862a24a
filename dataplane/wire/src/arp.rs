//! ARP for IPv4 over Ethernet (RFC 826, RFC 5227).

use core::fmt;
use core::net::Ipv4Addr;

use crate::bytes::{Field, array, be16, ipv4, put};
use crate::emit::{EmitError, room};
use crate::eth::EtherType;
use crate::mac::MacAddr;

/// Octets of an ARP packet for IPv4 over Ethernet.
pub const PACKET_LEN: usize = 28;

const HARDWARE_ETHERNET: u16 = 1;

mod field {
    use super::Field;

    pub(super) const HARDWARE: Field = 0..2;
    pub(super) const PROTOCOL: Field = 2..4;
    pub(super) const HARDWARE_LEN: usize = 4;
    pub(super) const PROTOCOL_LEN: usize = 5;
    pub(super) const OPERATION: Field = 6..8;
    pub(super) const SENDER_MAC: Field = 8..14;
    pub(super) const SENDER_IP: Field = 14..18;
    pub(super) const TARGET_MAC: Field = 18..24;
    pub(super) const TARGET_IP: Field = 24..28;
}

/// Why a packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Shorter than [`PACKET_LEN`].
    Truncated,
    /// Hardware type other than Ethernet.
    HardwareType(u16),
    /// Protocol type other than IPv4.
    ProtocolType(u16),
    /// Address lengths other than 6 and 4.
    AddressLen,
    /// Neither request nor reply.
    Operation(u16),
    /// The sender claims a group or zero Ethernet address: never something to cache.
    SenderMac,
    /// The sender claims a multicast or broadcast IPv4 address.
    SenderIp,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("ARP packet truncated"),
            Self::HardwareType(kind) => write!(f, "ARP hardware type {kind} is not Ethernet"),
            Self::ProtocolType(kind) => write!(f, "ARP protocol type 0x{kind:04x} is not IPv4"),
            Self::AddressLen => f.write_str("ARP address lengths are not 6 and 4"),
            Self::Operation(operation) => write!(f, "ARP operation {operation} is unknown"),
            Self::SenderMac => f.write_str("ARP sender has no unicast Ethernet address"),
            Self::SenderIp => f.write_str("ARP sender has no unicast IPv4 address"),
        }
    }
}

impl core::error::Error for Error {}

/// Request or reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has its address.
    Reply,
}

/// An ARP packet as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Request or reply.
    pub operation: Operation,
    /// Ethernet address of the sender: unicast.
    pub sender_mac: MacAddr,
    /// IPv4 address of the sender; 0.0.0.0 in a probe (RFC 5227 2.1.1).
    pub sender_ip: Ipv4Addr,
    /// Ethernet address of the target; zero in a request.
    pub target_mac: MacAddr,
    /// IPv4 address of the target.
    pub target_ip: Ipv4Addr,
}

impl Repr {
    /// Reads the payload of an ARP frame; octets after the packet are Ethernet padding.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() < PACKET_LEN {
            return Err(Error::Truncated);
        }
        let hardware = be16(bytes, field::HARDWARE);
        if hardware != HARDWARE_ETHERNET {
            return Err(Error::HardwareType(hardware));
        }
        let protocol = be16(bytes, field::PROTOCOL);
        if protocol != EtherType::IPV4.0 {
            return Err(Error::ProtocolType(protocol));
        }
        if bytes[field::HARDWARE_LEN] != 6 || bytes[field::PROTOCOL_LEN] != 4 {
            return Err(Error::AddressLen);
        }
        let operation = match be16(bytes, field::OPERATION) {
            1 => Operation::Request,
            2 => Operation::Reply,
            other => return Err(Error::Operation(other)),
        };
        let sender_mac = MacAddr(array(bytes, field::SENDER_MAC));
        if !sender_mac.is_unicast() {
            return Err(Error::SenderMac);
        }
        let sender_ip = ipv4(bytes, field::SENDER_IP);
        if sender_ip.is_multicast() || sender_ip.is_broadcast() {
            return Err(Error::SenderIp);
        }
        Ok(Self {
            operation,
            sender_mac,
            sender_ip,
            target_mac: MacAddr(array(bytes, field::TARGET_MAC)),
            target_ip: ipv4(bytes, field::TARGET_IP),
        })
    }

    /// Writes the packet at the start of `out`; returns its length, [`PACKET_LEN`].
    ///
    /// # Errors
    /// [`EmitError::NoRoom`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let out = room(out, PACKET_LEN)?;
        let operation: u16 = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        put(out, field::HARDWARE, &HARDWARE_ETHERNET.to_be_bytes());
        put(out, field::PROTOCOL, &EtherType::IPV4.0.to_be_bytes());
        out[field::HARDWARE_LEN] = 6;
        out[field::PROTOCOL_LEN] = 4;
        put(out, field::OPERATION, &operation.to_be_bytes());
        put(out, field::SENDER_MAC, &self.sender_mac.0);
        put(out, field::SENDER_IP, &self.sender_ip.octets());
        put(out, field::TARGET_MAC, &self.target_mac.0);
        put(out, field::TARGET_IP, &self.target_ip.octets());
        Ok(PACKET_LEN)
    }

    /// The reply to this request from the station that has `mac`.
    pub fn reply_from(&self, mac: MacAddr) -> Self {
        Self {
            operation: Operation::Reply,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{ARP_REPLY, ARP_REQUEST};
    use proptest::prelude::*;

    const A: MacAddr = MacAddr([0x02, 0x00, 0x5E, 0x00, 0x53, 0x01]);
    const B: MacAddr = MacAddr([0x02, 0x00, 0x5E, 0x00, 0x53, 0x02]);
    const REQUEST: Repr = Repr {
        operation: Operation::Request,
        sender_mac: A,
        sender_ip: Ipv4Addr::new(192, 0, 2, 1),
        target_mac: MacAddr::ZERO,
        target_ip: Ipv4Addr::new(192, 0, 2, 2),
    };

    #[test]
    fn parse_and_emit() {
        assert_eq!(Repr::parse(&ARP_REQUEST[14..]), Ok(REQUEST));
        let mut bytes = [0xA5; PACKET_LEN];
        assert_eq!(REQUEST.emit(&mut bytes), Ok(PACKET_LEN));
        assert_eq!(bytes, ARP_REQUEST[14..]);
    }

    #[test]
    fn reply_is_what_linux_answers() {
        let mut bytes = [0xA5; PACKET_LEN];
        REQUEST.reply_from(B).emit(&mut bytes).unwrap();
        assert_eq!(bytes, ARP_REPLY[14..]);
        assert_eq!(Repr::parse(&ARP_REPLY[14..]), Ok(REQUEST.reply_from(B)));
    }

    #[test]
    fn each_fault_has_its_error() {
        let with = |at: usize, value: &[u8]| {
            let mut bytes = [0; PACKET_LEN];
            bytes.copy_from_slice(&ARP_REQUEST[14..]);
            bytes[at..at + value.len()].copy_from_slice(value);
            Repr::parse(&bytes)
        };
        assert_eq!(with(0, &[0, 6]), Err(Error::HardwareType(6)));
        assert_eq!(with(2, &[0x86, 0xDD]), Err(Error::ProtocolType(0x86DD)));
        for lens in [[0, 4], [6, 0], [5, 4], [6, 16], [255, 255]] {
            assert_eq!(with(4, &lens), Err(Error::AddressLen));
        }
        for operation in [0, 3, 0x0101] {
            assert_eq!(with(6, &u16::to_be_bytes(operation)), Err(Error::Operation(operation)));
        }
        for mac in [[0; 6], [0xFF; 6], [1, 0, 0x5E, 0, 0, 5]] {
            assert_eq!(with(8, &mac), Err(Error::SenderMac));
        }
        for ip in [[224, 0, 0, 5], [255; 4]] {
            assert_eq!(with(14, &ip), Err(Error::SenderIp));
        }
        assert!(with(14, &[0; 4]).is_ok(), "a probe (RFC 5227) has no sender address");
        for len in 0..PACKET_LEN {
            assert_eq!(Repr::parse(&ARP_REQUEST[14..14 + len]), Err(Error::Truncated));
            assert_eq!(REQUEST.emit(&mut [0; PACKET_LEN][..len]), Err(EmitError::NoRoom));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic_and_what_parses_round_trips(
            mut bytes: [u8; PACKET_LEN],
            head in 0usize..9,
        ) {
            bytes[..head].copy_from_slice(&ARP_REQUEST[14..14 + head]);
            if let Ok(repr) = Repr::parse(&bytes) {
                let mut again = [0; PACKET_LEN];
                repr.emit(&mut again).unwrap();
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
