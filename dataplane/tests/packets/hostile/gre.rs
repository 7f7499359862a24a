//! Malformed and misused GRE, in clear.

use std::net::IpAddr;

use dataplane::packet::PuntReason;
use dataplane::stages::gre_decap;
use dataplane::tables::encap::GreSpec;

use super::Target;
use crate::support::Link;
use crate::support::frame::{GRE, Ip, checksum, gre, hops, udp_packet};

fn inner() -> Vec<u8> {
    udp_packet("10.1.0.10", "10.2.0.10", 1, 60)
}

fn assert_gre_dropped(link: &Link, packets: &[Vec<u8>], reason: &'static str) {
    let mut target = Target::new(link);
    let outer: Vec<_> = packets.iter().map(|packet| target.outer(GRE, packet)).collect();
    target.assert_dropped(&outer, reason);
}

fn with_flags(first: u8, second: u8) -> Vec<u8> {
    let mut packet = gre(Some(42), None, 0x0800, &inner());
    packet[0] |= first;
    packet[1] |= second;
    packet
}

#[test]
fn hostile_gre_version_1_to_7() {
    let packets: Vec<_> = (1..8).map(|version| with_flags(0, version)).collect();
    assert_gre_dropped(&Link::default(), &packets, "gre_version");
}

#[test]
fn hostile_gre_routing_and_reserved_bits() {
    // Bits 1, 4 and 5; K and S have a meaning since RFC 2890.
    let packets = [0x40, 0x08, 0x04].map(|bit| with_flags(bit, 0));
    assert_gre_dropped(&Link::default(), &packets, "gre_reserved");
    // Bits 6 to 12 are to be ignored (RFC 2784 section 2.2).
    let mut target = Target::new(&Link::default());
    let ignored = [(2, 0), (1, 0), (0, 0x80), (0, 0x08)]
        .map(|(first, second)| target.outer(GRE, &with_flags(first, second)));
    target.deliver(&ignored);
    assert_eq!(target.lab.receive(2), vec![hops(&inner(), 1); 4]);
}

#[test]
fn hostile_gre_fields_set_but_truncated() {
    let mut packets = Vec::new();
    for flags in [0x00u8, 0x80, 0x20, 0x10, 0xa0, 0xb0] {
        let len = 4 + 4 * (flags.count_ones() as usize);
        packets.extend(
            (0..len)
                .map(|cut| {
                    let mut header = vec![0; len];
                    header[0] = flags;
                    header.truncate(cut);
                    header
                })
                .filter(|header| !header.is_empty()),
        );
    }
    assert_gre_dropped(&Link::default(), &packets, "gre_truncated");
}

#[test]
fn hostile_gre_key_wrong_missing_or_unwanted() {
    let keyed = Link::default();
    let wrong: Vec<_> =
        [0, 41, 43, u32::MAX].map(|key| gre(Some(key), None, 0x0800, &inner())).into();
    assert_gre_dropped(&keyed, &wrong, "gre_key_wrong");
    assert_gre_dropped(&keyed, &[gre(None, None, 0x0800, &inner())], "gre_key_missing");
    let plain = Link { gre: Some(GreSpec::default()), ..Link::default() };
    assert_gre_dropped(&plain, &[gre(Some(0), None, 0x0800, &inner())], "gre_key_wrong");
}

#[test]
fn hostile_gre_checksum_wrong() {
    let mut packet = gre(Some(42), None, 0x0800, &inner());
    packet[0] |= 0x80;
    packet.splice(4..4, [0; 4]);
    let sum = checksum(&packet);
    let good = {
        let mut good = packet.clone();
        good[4..6].copy_from_slice(&sum.to_be_bytes());
        good
    };
    let bad: Vec<_> = (0..good.len())
        .filter(|at| ![0, 1, 6, 7].contains(at))
        .map(|at| {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            bad
        })
        .collect();
    assert_gre_dropped(&Link::default(), &bad, "gre_checksum");
    let mut target = Target::new(&Link::default());
    let outer = target.outer(GRE, &good);
    target.deliver(&[outer]);
    assert_eq!(target.lab.receive(2), [hops(&inner(), 1)], "the right one is accepted");
}

#[test]
fn hostile_gre_sequence_replayed_and_wrapping() {
    let link = Link { ordered: true, ..Link::default() };
    let mut target = Target::new(&link);
    let packet = |sequence| gre(Some(42), Some(sequence), 0x0800, &inner());
    let mut arrives = |sequence: u32, expected: bool| {
        let outer = target.outer(GRE, &packet(sequence));
        target.deliver(&[outer]);
        assert_eq!(target.lab.receive(2).len(), usize::from(expected), "sequence {sequence}");
    };
    for (sequence, expected) in [
        (5, true),
        (5, false),
        (4, false),
        (0, false),
        (6, true),
        (100, true),
        (99, false),
        (0x7fff_ffff, true),
        (u32::MAX - 1, true),
        (u32::MAX, true),
        (0, true),
        (u32::MAX, false),
        (1, true),
    ] {
        arrives(sequence, expected);
    }
    assert_eq!(target.drops(), [("gre_sequence", 5)].into());
    target.assert_alive();
}

fn nested(levels: usize) -> Vec<u8> {
    let mut packet = inner();
    for _ in 0..levels {
        packet = Ip::new("10.1.0.10", "10.2.0.10", GRE).packet(&gre(None, None, 0x0800, &packet));
    }
    gre(Some(42), None, 0x0800, &packet)
}

#[test]
fn hostile_gre_in_gre_beyond_the_limit() {
    assert_gre_dropped(&Link::default(), &[nested(3), nested(4), nested(9)], "gre_nesting");
    for levels in [1, 2] {
        let mut target = Target::new(&Link::default());
        let outer = target.outer(GRE, &nested(levels));
        target.deliver(&[outer]);
        assert_eq!(target.lab.receive(2).len(), 1, "{levels} levels of the users behind us");
        target.lab.assert_clean();
    }
}

#[test]
fn hostile_gre_from_an_address_without_a_tunnel() {
    let mut target = Target::new(&Link::default());
    let packets = ["192.0.2.9", "198.51.100.1"].map(|source| {
        Ip::new(source, "192.0.2.2", GRE).packet(&gre(Some(42), None, 0x0800, &inner()))
    });
    target.assert_dropped(&packets, "gre_unknown_tunnel");
}

#[test]
fn hostile_mgre_strangers_may_only_say_nhrp() {
    let link = Link { multipoint: true, ..Link::default() };
    let mut target = Target::new(&link);
    let from_stranger = |packet: &[u8]| Ip::new("198.51.100.1", "192.0.2.2", GRE).packet(packet);
    let data = from_stranger(&gre(Some(42), None, 0x0800, &inner()));
    target.assert_dropped(&[data], "gre_unknown_peer");
    target.deliver(&[from_stranger(&gre(Some(42), None, 0x2001, &[1, 2, 3]))]);
    let tables = target.lab.site(2).tables();
    let (from, octets) = gre_decap::nhrp(&tables, &target.lab[2].punts[0]).unwrap();
    assert_eq!(
        (IpAddr::from(from.address).to_string().as_str(), octets),
        ("198.51.100.1", &[1, 2, 3][..])
    );
    assert_eq!(target.lab[2].punts[0].meta.in_peer, dataplane::packet::NONE);
    assert_eq!(target.lab[2].take_punts(), [PuntReason::Nhrp]);
}

#[test]
fn hostile_gre_unknown_protocol_flood() {
    let packets: Vec<_> = [0x0801, 0x6558, 0x88be, 0x880b, 0x8847, 0xffff, 0x0806, 1]
        .into_iter()
        .cycle()
        .take(1000)
        .map(|protocol| gre(Some(42), None, protocol, &inner()))
        .collect();
    assert_gre_dropped(&Link::default(), &packets, "gre_protocol");
}

#[test]
fn hostile_cleartext_gre_from_a_peer_that_must_be_protected() {
    for multipoint in [false, true] {
        let link = Link { multipoint, ..Link::dmvpn() };
        let packets: Vec<_> = [0x0800, 0x86dd, 0x2001, 0]
            .map(|protocol| gre(Some(42), None, protocol, &inner()))
            .into();
        assert_gre_dropped(&link, &packets, "cleartext_from_protected");
    }
    // NHRP of a stranger, too: the tunnel as a whole is protected.
    let mut target = Target::new(&Link::dmvpn());
    let nhrp =
        Ip::new("198.51.100.1", "192.0.2.2", GRE).packet(&gre(Some(42), None, 0x2001, &[0; 28]));
    target.assert_dropped(&[nhrp], "cleartext_from_protected");
}

/// A keepalive is what its sender wants back: an empty GRE packet from us to it. Only such a one is
/// handed on, to be reflected; one that names a third party would make us attack that party.
#[test]
fn hostile_keepalive_reflection_abuse() {
    let keepalive = |src: &str, dst: &str, payload: &[u8]| {
        let reflected = Ip::new(src, dst, GRE).packet(&gre(Some(42), None, 0, payload));
        gre(Some(42), None, 0x0800, &reflected)
    };
    let mut target = Target::new(&Link::default());
    let outer = target.outer(GRE, &keepalive("192.0.2.2", "192.0.2.1", b""));
    target.deliver(&[outer]);
    assert_eq!(target.lab[2].take_punts(), [PuntReason::Keepalive], "the real one");
    let answer = target.outer(GRE, &gre(Some(42), None, 0, b""));
    target.deliver(&[answer]);
    assert_eq!(target.lab[2].take_punts(), [PuntReason::Keepalive], "our own that came back");

    let abuse = [
        keepalive("192.0.2.2", "203.0.113.99", b""),
        keepalive("192.0.2.2", "192.0.2.1", &[0; 200]),
        keepalive("203.0.113.99", "192.0.2.2", b""),
    ];
    assert_gre_dropped(&Link::default(), &abuse, "inner_loop");
    // mGRE has no keepalives.
    let link = Link { multipoint: true, ..Link::default() };
    assert_gre_dropped(&link, &[keepalive("192.0.2.2", "192.0.2.1", b"")], "inner_loop");
    assert_gre_dropped(&link, &[gre(Some(42), None, 0, b"")], "gre_protocol");
}
