//! Packets of FRR 10.3 and of a Cisco-like peer written for the lab.

use super::*;

/// `nhs dynamic` with a password: its own address as destination, a CIE without addresses.
pub(super) const REGISTRATION: &str = "00010800000000000001006c980100340103040004040002000000010a00\
    000b0aff000b0aff000b002000000000003c00000000800400008005000080030000000900140020000000000000\
    040004000a000001000000008007000c000000016c6162706173733180000000";
/// The hub's answer.
const REGISTERED: &str = "0001080000000000004000807a6600340104040004040002000000010a00000b0aff000b\
    0aff0001002000000000003c00000000800400008005000080030014000000000000003c040004000a0000010aff\
    0001000900140020000000000000040004000a000001000000008007000c000000016c6162706173733180000000";
/// A password of five octets: the packet has an odd length.
pub(super) const ODD: &str = "0001080000000000000100696d1a00340103040004040002000000010a00000c0aff\
    000c0aff000c002000000000003c00000000800400008005000080030000000900140020000000000000040004000a\
    00000100000000800700090000000177726f6e6780000000";
/// The answer to it: authentication failure.
pub(super) const ERROR: &str = "0001080000000000000000502f8f00000107040004040002000b00000a00000c0a\
    ff000c0aff000c0001080000000000000100696d1a00340103040004040002000000010a00000c0aff000c0aff000c";
const RESOLUTION: &str = "0001080000000000004000484e070034010104000404c802000000020a00000b0aff000b\
    c0a80201002000000000003c000000008004000080050000800300000009000080000000";
/// The same, passed on by the hub.
const RESOLUTION_PASSED_ON: &str = "0001080000000000003f005c30a30034010104000404c802000000020a0000\
    0b0aff000bc0a80201002000000000003c0000000080040014000000000000003c040004000a0000010aff000180\
    050000800300000009000080000000";
/// The reply, passed on by the hub: records of both ways, and a responder.
pub(super) const RESOLVED: &str = "0001080000000000003f008cb8a4003c010204000404e800000000020a00000b\
    0aff000bc0a80201001800000000003c040004000a00000c0aff000c80040014000000000000003c040004000a00\
    00010aff000180050014000000000000003c040004000a0000010aff000180030014000000000000003c04000400\
    0a00000c0aff000c0009000080000000";
/// Hop count 1, and the first 84 octets of a packet.
const REDIRECT: &str = "00010800000000000001007c17cb00000108040004040000000000000a0000010aff0001c0\
    a8010145000054d01540003f01e740c0a80101c0a8020108006edb04170001cb13046b00000000eaba0c00000000\
    00101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637";
const PURGE: &str = "000108000000000000100048b81d00380105040004040000000000030a0000630aff00630aff00\
    010020000005780078000004000aff006380030000800400008005000080000000";

pub(super) const ALL: [&str; 9] = [
    REGISTRATION,
    REGISTERED,
    ODD,
    ERROR,
    RESOLUTION,
    RESOLUTION_PASSED_ON,
    RESOLVED,
    REDIRECT,
    PURGE,
];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn each_is_read_and_written_again() {
    for hex in ALL {
        let bytes = octets(hex);
        let packet = Packet::new_checked(&bytes[..]).unwrap();
        let mut out = [0xA5; 256];
        let len = again(&packet, &mut out).unwrap();
        assert_eq!(out[..len], bytes);
    }
}

#[test]
fn a_registration() {
    let bytes = octets(REGISTRATION);
    let packet = Packet::new_checked(&bytes[..]).unwrap();
    assert_eq!(
        packet.header(),
        Header {
            kind: Kind::RegistrationRequest,
            hop_count: 1,
            flags: Flags::NAT,
            request_id: 1,
            src_nbma: ip("10.0.0.11"),
            src_protocol: ip("10.255.0.11"),
            dst_protocol: ip("10.255.0.11"),
        }
    );
    let cie = Cie { prefix_len: 32, holding_time: 60, ..Cie::default() };
    assert_eq!(packet.cies().collect::<Vec<_>>(), [cie]);
    let tags = packet.extensions().map(|extension| extension.tag).collect::<Vec<_>>();
    let nat = Tag::optional(Tag::NAT);
    let compulsory = |kind| Tag::compulsory(kind);
    assert_eq!(tags, [compulsory(4), compulsory(5), compulsory(3), nat, compulsory(7)]);
    let cie = Cie {
        prefix_len: 32,
        nbma: Some(ip("10.0.0.1")),
        protocol: Some(ip("0.0.0.0")),
        ..Cie::default()
    };
    let nat = packet.extension(Tag::NAT).unwrap();
    assert_eq!(nat.cies().collect::<Vec<_>>(), [cie]);
    let authentication = packet.extension(Tag::AUTHENTICATION).unwrap().authentication().unwrap();
    assert_eq!((authentication.method, authentication.data), (CLEARTEXT, &b"labpass1"[..]));
    assert!(packet.extension(Tag::VENDOR).is_none());
    assert!(packet.error().is_none() && nat.authentication().is_none());
}

#[test]
fn an_error_quotes_the_packet() {
    let bytes = octets(ERROR);
    let packet = Packet::new_checked(&bytes[..]).unwrap();
    assert_eq!(packet.error(), Some((ErrorCode::AUTHENTICATION, 0)));
    assert_eq!(packet.quoted(), &octets(ODD)[..40]);
    let header = Header { request_id: 0, ..packet.header() };
    assert_eq!(header.with_error(ErrorCode::AUTHENTICATION, 0), packet.header());
}

#[test]
fn a_redirect_quotes_the_packet() {
    let bytes = octets(REDIRECT);
    let packet = Packet::new_checked(&bytes[..]).unwrap();
    assert_eq!((packet.kind(), packet.header().hop_count), (Kind::TrafficIndication, 1));
    let inner = crate::ip4::Packet::new_checked(packet.quoted()).unwrap();
    assert_eq!(IpAddr::V4(inner.dst()), ip("192.168.2.1"));
}

/// What FRR's hub makes of a request: one hop less, itself in the forward record.
#[test]
fn passing_on_is_what_frr_does() {
    let bytes = octets(RESOLUTION);
    let packet = Packet::new_checked(&bytes[..]).unwrap();
    let hub = Cie {
        holding_time: 60,
        nbma: Some(ip("10.0.0.1")),
        protocol: Some(ip("10.255.0.1")),
        ..Cie::default()
    };
    let mut out = [0; 128];
    let mut builder = Builder::pass_on(&mut out, &packet, packet.header().hop_count - 1).unwrap();
    for extension in packet.extensions() {
        let own = if extension.tag.kind() == Tag::FORWARD_RECORD { &[hub][..] } else { &[] };
        builder.cie_extension(extension.tag, extension.value, own).unwrap();
    }
    let len = builder.finish().unwrap();
    assert_eq!(out[..len], octets(RESOLUTION_PASSED_ON));
}
