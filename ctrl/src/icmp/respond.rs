//! Answers to packets that are addressed to the gateway and that nothing else took.

use std::net::Ipv6Addr;

use thiserror::Error;
use wire::ip6::ext;
use wire::{IpProto, icmp, icmp6, ip4, ip6, udp};

use super::error::{self, Silence, wrap_v4, wrap_v6};

/// Unknown next header (RFC 4443 3.4).
const CODE_UNKNOWN_NEXT_HEADER: u8 = 1;
/// Port unreachable: RFC 792, RFC 4443 3.1.
const CODE_PORT_V4: u8 = 3;
const CODE_PORT_V6: u8 = 4;
/// Protocol unreachable (RFC 792).
const CODE_PROTOCOL_V4: u8 = 2;
/// The next header field in the fixed header of IPv6.
const NEXT_HEADER_AT: u32 = 6;

/// Why a packet to one of our addresses gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Unanswered {
    /// No whole, sound IP packet or upper-layer header.
    #[error("malformed packet")]
    Malformed,
    /// A fragment: reassembly comes first.
    #[error("fragment")]
    Fragment,
    /// An answer would be against RFC 1122 3.2.2 or RFC 4443 2.4.
    #[error(transparent)]
    Silence(#[from] Silence),
    /// ICMP other than an echo request: answers and errors are for who asked.
    #[error("ICMP that asks for nothing")]
    Icmp,
    /// TCP. The gateway itself has no TCP service on the packet path; with host integration the
    /// kernel's stack owns the connections. A reset would kill those while the host's side is
    /// restarted, and would tell a scanner more than silence does.
    #[error("TCP")]
    Tcp,
    /// GRE, ESP or AH: unknown tunnels and SPIs are counted, never answered, so that a probe
    /// learns nothing (RFC 4303 3.4.2 leaves it at an auditable event).
    #[error("tunnel protocol")]
    Tunnel,
    /// Next header 59: there is nothing to answer (RFC 8200 4.7).
    #[error("no next header")]
    Nothing,
}

/// The answer to a whole IPv4 or IPv6 packet that came to one of our unicast addresses: an IP
/// packet from that address, TTL 64.
///
/// - echo request: echo reply with the same identifier, sequence number, data and DSCP (RFC 1122
///   3.2.2.6, RFC 4443 4.2); options are not returned;
/// - UDP, since no service took it: port unreachable;
/// - an unknown protocol: protocol unreachable, or parameter problem.
///
/// The caller limits the rate of answers, and passes no directed broadcasts.
///
/// # Errors
/// Why there is no answer.
pub fn respond_local(packet: &[u8]) -> Result<Vec<u8>, Unanswered> {
    match packet.first().map(|first| first >> 4) {
        Some(4) => respond_v4(packet),
        Some(6) => respond_v6(packet),
        _ => Err(Unanswered::Malformed),
    }
}

fn respond_v4(bytes: &[u8]) -> Result<Vec<u8>, Unanswered> {
    let packet = ip4::Packet::new_checked(bytes).map_err(|_| Unanswered::Malformed)?;
    if !packet.verify_checksum() {
        return Err(Unanswered::Malformed);
    }
    if packet.is_fragment() {
        return Err(Unanswered::Fragment);
    }
    // Who may not be sent an error may not be sent an echo reply either: both go to the source.
    icmp::may_send_error(&packet, None).map_err(Silence::V4)?;
    let (us, peer, quoted) = (packet.dst(), packet.src(), packet.as_bytes());
    let unreachable =
        |code| error::emit_v4(&packet, us, &icmp::Message::Unreachable { code, quoted });
    match packet.protocol() {
        IpProto::ICMP => {
            let request = icmp::Message::parse(packet.payload());
            match request.map_err(|_| Unanswered::Malformed)? {
                icmp::Message::EchoRequest { ident, sequence, data } => {
                    let reply = icmp::Message::EchoReply { ident, sequence, data };
                    let class = packet.dscp() << 2;
                    let header = ip4::Repr {
                        traffic_class: class,
                        ident: packet.ident(),
                        ..ip4::Repr::new(us, peer, IpProto::ICMP, 0)
                    };
                    wrap_v4(header, &reply).ok_or(Unanswered::Malformed)
                }
                _ => Err(Unanswered::Icmp),
            }
        }
        IpProto::UDP => {
            check_udp(packet.payload(), |datagram| datagram.verify_v4(peer, us))?;
            unreachable(CODE_PORT_V4).ok_or(Unanswered::Malformed)
        }
        IpProto::TCP => Err(Unanswered::Tcp),
        IpProto::GRE | IpProto::ESP | IpProto::AH => Err(Unanswered::Tunnel),
        _ => unreachable(CODE_PROTOCOL_V4).ok_or(Unanswered::Malformed),
    }
}

fn respond_v6(bytes: &[u8]) -> Result<Vec<u8>, Unanswered> {
    let packet = ip6::Packet::new_checked(bytes).map_err(|_| Unanswered::Malformed)?;
    let (us, peer, quoted) = (packet.dst(), packet.src(), packet.as_bytes());
    if us.is_multicast() {
        return Err(Silence::V6(icmp6::Silence::Destination).into());
    }
    let payload = packet.payload();
    let upper = ext::upper(packet.next_header(), payload).map_err(|_| Unanswered::Malformed)?;
    if upper.fragment.is_some_and(|(_, fragment)| fragment.is_partial()) {
        return Err(Unanswered::Fragment);
    }
    let body = &payload[upper.offset..];
    let unreachable = icmp6::Message::Unreachable { code: CODE_PORT_V6, quoted };
    // An echo reply goes where an error would: it is held to the same rules about the source.
    icmp6::may_send_error(&unreachable, &packet, None).map_err(Silence::V6)?;
    match upper.protocol {
        IpProto::ICMPV6 => echo_v6(us, peer, packet.dscp() << 2, body),
        IpProto::UDP => {
            check_udp(body, |datagram| datagram.verify_v6(peer, us))?;
            error::emit_v6(&packet, us, &unreachable).ok_or(Unanswered::Malformed)
        }
        IpProto::TCP => Err(Unanswered::Tcp),
        IpProto::GRE | IpProto::ESP | IpProto::AH => Err(Unanswered::Tunnel),
        IpProto::NO_NEXT_HEADER => Err(Unanswered::Nothing),
        _ => {
            let pointer = next_header_at(packet.next_header(), payload, upper.offset);
            let code = CODE_UNKNOWN_NEXT_HEADER;
            let problem = icmp6::Message::ParameterProblem { code, pointer, quoted };
            error::emit_v6(&packet, us, &problem).ok_or(Unanswered::Malformed)
        }
    }
}

fn echo_v6(
    us: Ipv6Addr,
    peer: Ipv6Addr,
    traffic_class: u8,
    body: &[u8],
) -> Result<Vec<u8>, Unanswered> {
    let request = icmp6::Message::parse(peer, us, body).map_err(|_| Unanswered::Malformed)?;
    let icmp6::Message::EchoRequest { ident, sequence, data } = request else {
        return Err(Unanswered::Icmp);
    };
    let reply = icmp6::Message::EchoReply { ident, sequence, data };
    let header = ip6::Repr { traffic_class, ..ip6::Repr::new(us, peer, IpProto::ICMPV6, 0) };
    wrap_v6(header, &reply).ok_or(Unanswered::Malformed)
}

/// A broken datagram is dropped in silence, whether its port is open or not (RFC 1122 4.1.3.4).
fn check_udp(bytes: &[u8], verify: impl Fn(&udp::Packet<&[u8]>) -> bool) -> Result<(), Unanswered> {
    let datagram = udp::Packet::new_checked(bytes).map_err(|_| Unanswered::Malformed)?;
    if verify(&datagram) { Ok(()) } else { Err(Unanswered::Malformed) }
}

/// Where the field lies that names the upper layer, in octets from the start of the packet. The
/// chain of headers was followed before, to `upper` octets after the fixed header.
fn next_header_at(first: IpProto, payload: &[u8], upper: usize) -> u32 {
    let (mut at, mut kind, mut field) = (0, first, NEXT_HEADER_AT);
    while let Some(&[next, words]) = payload[at..upper].first_chunk::<2>() {
        let fixed = u32::try_from(ip6::HEADER_LEN + at);
        field = fixed.unwrap_or(NEXT_HEADER_AT);
        at += if kind == IpProto::FRAGMENT {
            ext::FRAGMENT_LEN
        } else {
            (usize::from(words) + 1) * 8
        };
        kind = IpProto(next);
    }
    field
}

#[cfg(test)]
mod tests;
