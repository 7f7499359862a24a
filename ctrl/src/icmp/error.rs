//! ICMP errors about packets that cannot be forwarded (RFC 1812 4.3.2, RFC 4443 2.4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;
use wire::{IpProto, MacAddr, icmp, icmp6, ip4, ip6};

/// Precedence 6, internetwork control: errors should have it (RFC 1812 4.3.2.5).
const TRAFFIC_CLASS: u8 = 0xC0;

/// What went wrong with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// TTL or hop limit ran out.
    TimeExceeded,
    /// It is longer than the way it would take, and may not be fragmented.
    TooBig {
        /// Octets of the largest IP packet that would pass. Raised to the least MTU of IP itself,
        /// 68 or 1280 octets: to say less would ask for what no sender can do.
        mtu: u16,
    },
    /// No route.
    NetUnreachable,
    /// The next hop does not answer.
    HostUnreachable,
    /// Policy forbids it.
    AdminProhibited,
}

/// Why no error is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Silence {
    /// The packet is no IP packet, or its header is damaged.
    #[error("malformed packet")]
    Malformed,
    /// The source for the error is of another family than the packet.
    #[error("no source address of the packet's family")]
    Family,
    /// RFC 1122 3.2.2 forbids it.
    #[error(transparent)]
    V4(icmp::Silence),
    /// RFC 4443 2.4 e forbids it.
    #[error(transparent)]
    V6(icmp6::Silence),
}

/// The error about a packet: an IP packet from `source`, one of our addresses, to its sender, TTL
/// 64. It quotes as much of the packet as fits 576 octets (RFC 1812 4.3.2.3), or 1280 (RFC 4443 2.4
/// c).
///
/// `offending` starts at the IP header, as it was received, and may be cut after it. `link_dst` is
/// where its frame was sent to; `None` if it came out of a tunnel. The caller limits the rate.
///
/// # Errors
/// Why there must be none.
pub fn error(
    kind: ErrorKind,
    offending: &[u8],
    source: IpAddr,
    link_dst: Option<MacAddr>,
) -> Result<Vec<u8>, Silence> {
    match (offending.first().map(|first| first >> 4), source) {
        (Some(4), IpAddr::V4(source)) => error_v4(kind, offending, source, link_dst),
        (Some(6), IpAddr::V6(source)) => error_v6(kind, offending, source, link_dst),
        (Some(4 | 6), _) => Err(Silence::Family),
        _ => Err(Silence::Malformed),
    }
}

fn error_v4(
    kind: ErrorKind,
    offending: &[u8],
    source: Ipv4Addr,
    link_dst: Option<MacAddr>,
) -> Result<Vec<u8>, Silence> {
    let packet = ip4::Packet::new_quoted(offending).map_err(|_| Silence::Malformed)?;
    if !packet.verify_checksum() {
        return Err(Silence::Malformed);
    }
    icmp::may_send_error(&packet, link_dst).map_err(Silence::V4)?;
    let quoted = packet.as_bytes();
    let message = match kind {
        ErrorKind::TimeExceeded => icmp::Message::TimeExceeded { code: 0, quoted },
        ErrorKind::TooBig { mtu } => {
            icmp::Message::FragmentationNeeded { mtu: mtu.max(MIN_MTU_V4), quoted }
        }
        ErrorKind::NetUnreachable => icmp::Message::Unreachable { code: 0, quoted },
        ErrorKind::HostUnreachable => icmp::Message::Unreachable { code: 1, quoted },
        ErrorKind::AdminProhibited => icmp::Message::Unreachable { code: 13, quoted },
    };
    emit_v4(&packet, source, &message).ok_or(Silence::Malformed)
}

fn error_v6(
    kind: ErrorKind,
    offending: &[u8],
    source: Ipv6Addr,
    link_dst: Option<MacAddr>,
) -> Result<Vec<u8>, Silence> {
    let packet = ip6::Packet::new_quoted(offending).map_err(|_| Silence::Malformed)?;
    let quoted = packet.as_bytes();
    let message = match kind {
        ErrorKind::TimeExceeded => icmp6::Message::TimeExceeded { code: 0, quoted },
        ErrorKind::TooBig { mtu } => {
            icmp6::Message::PacketTooBig { mtu: mtu.max(MIN_MTU_V6).into(), quoted }
        }
        ErrorKind::NetUnreachable => icmp6::Message::Unreachable { code: 0, quoted },
        ErrorKind::HostUnreachable => icmp6::Message::Unreachable { code: 3, quoted },
        ErrorKind::AdminProhibited => icmp6::Message::Unreachable { code: 1, quoted },
    };
    icmp6::may_send_error(&message, &packet, link_dst).map_err(Silence::V6)?;
    emit_v6(&packet, source, &message).ok_or(Silence::Malformed)
}

#[expect(clippy::cast_possible_truncation, reason = "68")]
const MIN_MTU_V4: u16 = ip4::MIN_MTU as u16;
#[expect(clippy::cast_possible_truncation, reason = "1280")]
const MIN_MTU_V6: u16 = ip6::MIN_MTU as u16;

/// An error to the source of `packet`. Its identification is copied, as it is unique enough for the
/// two hosts: the other one made it so.
pub(super) fn emit_v4<T: AsRef<[u8]>>(
    packet: &ip4::Packet<T>,
    source: Ipv4Addr,
    message: &icmp::Message<'_>,
) -> Option<Vec<u8>> {
    let header = ip4::Repr {
        traffic_class: TRAFFIC_CLASS,
        ident: packet.ident(),
        ..ip4::Repr::new(source, packet.src(), IpProto::ICMP, 0)
    };
    wrap_v4(header, message)
}

/// An error to the source of `packet`.
pub(super) fn emit_v6<T: AsRef<[u8]>>(
    packet: &ip6::Packet<T>,
    source: Ipv6Addr,
    message: &icmp6::Message<'_>,
) -> Option<Vec<u8>> {
    let header = ip6::Repr {
        traffic_class: TRAFFIC_CLASS,
        ..ip6::Repr::new(source, packet.src(), IpProto::ICMPV6, 0)
    };
    wrap_v6(header, message)
}

/// Header and message as a packet; `None` if they exceed 65535 octets.
pub(super) fn wrap_v4(header: ip4::Repr, message: &icmp::Message<'_>) -> Option<Vec<u8>> {
    let payload_len = u16::try_from(message.wire_len()).ok()?;
    let mut packet = vec![0; ip4::HEADER_LEN + usize::from(payload_len)];
    ip4::Repr { payload_len, ..header }.emit(&mut packet).ok()?;
    message.emit(&mut packet[ip4::HEADER_LEN..]).ok()?;
    Some(packet)
}

/// Header and message as a packet; `None` if the message exceeds 65535 octets.
pub(super) fn wrap_v6(header: ip6::Repr, message: &icmp6::Message<'_>) -> Option<Vec<u8>> {
    let payload_len = u16::try_from(message.wire_len()).ok()?;
    let mut packet = vec![0; ip6::HEADER_LEN + usize::from(payload_len)];
    ip6::Repr { payload_len, ..header }.emit(&mut packet).ok()?;
    message.emit(header.src, header.dst, &mut packet[ip6::HEADER_LEN..]).ok()?;
    Some(packet)
}

#[cfg(test)]
mod tests;
