//! Fragments that are addressed to us and meant to hurt.

use dataplane::packet::PuntReason;

use super::Target;
use crate::support::Link;
use crate::support::frame::{GRE, ICMP, Ip, UDP, gre, hops, udp, udp_packet};

fn inner() -> Vec<u8> {
    udp_packet("10.1.0.10", "10.2.0.10", 1, 600)
}

fn payload() -> Vec<u8> {
    gre(Some(42), None, 0x0800, &inner())
}

/// A fragment of a GRE packet of the peer.
fn piece(id: u16, start: usize, end: usize, more: bool) -> Vec<u8> {
    let mut ip = Ip::new("192.0.2.1", "192.0.2.2", GRE);
    (ip.id, ip.offset, ip.more) = (id, start, more);
    let payload = payload();
    let octets: Vec<_> = (start..end).map(|at| payload.get(at).copied().unwrap_or(0)).collect();
    ip.packet(&octets)
}

#[test]
fn hostile_fragment_overlaps_end_the_datagram() {
    let mut target = Target::new(&Link::default());
    let len = payload().len();
    for (id, (first, second)) in (1u16..).zip([
        ((0, 400), (392, len)),
        ((0, 400), (8, 16)),
        ((8, 16), (0, 400)),
        ((0, 400), (0, 408)),
        ((0, 408), (0, 400)),
    ]) {
        let pieces =
            [piece(id, first.0, first.1, true), piece(id, second.0, second.1, second.1 != len)];
        target.assert_dropped(&pieces, "fragment_overlap");
    }
}

#[test]
fn hostile_fragment_beyond_the_last_one() {
    let mut target = Target::new(&Link::default());
    // A second end before or behind the first, and data behind the end.
    for (id, (first, second)) in (1u16..).zip([
        ((400, 500, false), (500, 600, false)),
        ((400, 500, false), (504, 600, true)),
        ((504, 600, true), (400, 500, false)),
    ]) {
        let pieces = [first, second].map(|(start, end, more)| {
            piece(id, start / 8 * 8, start / 8 * 8 + (end - start) / 8 * 8, more)
        });
        target.assert_dropped(&pieces, "fragment_overlap");
    }
}

#[test]
fn hostile_fragment_duplicates_are_dropped_and_the_datagram_lives() {
    let mut target = Target::new(&Link::default());
    let len = payload().len();
    target.deliver(&[piece(1, 0, 400, true), piece(1, 0, 400, true), piece(1, 400, len, false)]);
    assert_eq!(target.lab.receive(2), [hops(&inner(), 1)]);
    assert_eq!(target.drops(), [("fragment_duplicate", 1)].into());
}

/// Two that follow each other are put together at once, unless something of theirs is held.
#[test]
fn hostile_fragment_held_before_a_pair_ends_the_datagram() {
    let mut target = Target::new(&Link::default());
    let len = payload().len();
    let pair = |id| [piece(id, 0, 400, true), piece(id, 400, len, false)];
    target.deliver(&[piece(1, 400, 408, true)]);
    target.deliver(&pair(1));
    assert_eq!(target.drops(), [("fragment_overlap", 3)].into());
    assert_eq!(target.lab.receive(2), [] as [Vec<u8>; 0]);
    target.deliver(&pair(2));
    assert_eq!(target.lab.receive(2), [hops(&inner(), 1)]);
}

/// Nothing of a pair is held, so that a flood takes nothing from it, be it of the same source.
#[test]
fn hostile_fragment_flood_leaves_pairs_alone() {
    let mut target = Target::new(&Link::default());
    let flood: Vec<_> = (0..64).map(|id| piece(id, 0, 400, true)).collect();
    target.deliver(&flood);
    let (held, len) = (target.lab[2].in_use(), payload().len());
    assert_eq!(held, 64);
    target.deliver(&[piece(100, 0, 400, true), piece(100, 400, len, false)]);
    assert_eq!(target.lab.receive(2), [hops(&inner(), 1)]);
    assert_eq!((target.lab[2].in_use(), target.drops()), (held, [].into()));
    // In the other order, or with something between, they are held, and there the quota counts.
    target.deliver(&[piece(101, 400, len, false), piece(101, 0, 400, true)]);
    target.deliver(&[piece(102, 0, 400, true), piece(0, 400, 408, true)]);
    assert_eq!(target.lab.receive(2), [] as [Vec<u8>; 0]);
    assert_eq!(target.drops(), [("fragment_quota", 3)].into());
}

/// RFC 3168 section 5.3, and on to the inner header by RFC 6040.
#[test]
fn hostile_fragment_marks_of_congestion_arrive() {
    const NOT: u8 = 0;
    const ECT0: u8 = 2;
    const CE: u8 = 3;
    let mut target = Target::new(&Link::default());
    let mut packet = Ip::new("10.1.0.10", "10.2.0.10", UDP);
    packet.tos = ECT0;
    let packet = packet.packet(&udp(1, 2, &[7; 600]));
    let payload = gre(Some(42), None, 0x0800, &packet);
    let mut id = 0;
    let mut arrives = |marks: [u8; 2], swapped: bool| {
        id += 1;
        let pieces = [(0, 400, true), (400, payload.len(), false)];
        let mut pieces = [0, 1].map(|number| {
            let (start, end, more) = pieces[number];
            let mut ip = Ip::new("192.0.2.1", "192.0.2.2", GRE);
            (ip.id, ip.offset, ip.more, ip.tos) = (id, start, more, marks[number]);
            ip.packet(&payload[start..end])
        });
        if swapped {
            pieces.reverse();
        }
        target.deliver(&pieces);
        let arrived: Vec<_> = target.lab.receive(2).iter().map(|packet| packet[1] & 3).collect();
        (arrived, target.drops())
    };
    let mut invalid = 0;
    for swapped in [false, true] {
        for (marks, mark) in
            [([ECT0, ECT0], ECT0), ([ECT0, CE], CE), ([CE, ECT0], CE), ([CE, CE], CE)]
        {
            let (arrived, drops) = arrives(marks, swapped);
            assert_eq!((arrived, drops.values().sum()), (vec![mark], invalid), "{marks:?}");
        }
        invalid += 2;
        assert_eq!(arrives([NOT, CE], swapped), (vec![], [("ecn_invalid", invalid)].into()));
    }
}

/// Pairs that are none: of two datagrams, with a gap, without an end, too long for one buffer.
#[test]
fn hostile_fragment_pairs_that_only_look_like_one() {
    let mut target = Target::new(&Link::default());
    let len = payload().len();
    target.deliver(&[piece(1, 0, 400, true), piece(2, 400, len, false)]);
    target.deliver(&[piece(3, 0, 400, true), piece(3, 408, len, false)]);
    target.deliver(&[piece(4, 0, 400, true), piece(4, 400, 408, true)]);
    assert_eq!(target.lab.receive(2), [] as [Vec<u8>; 0]);
    assert_eq!(target.lab[2].in_use(), 6);
    // What they lack, and a datagram of 2 400 octets, most of which is padding behind a packet.
    target.deliver(&[piece(1, 400, len, false), piece(2, 0, 400, true)]);
    target.deliver(&[piece(3, 400, 408, true), piece(4, 408, len, false)]);
    target.deliver(&[piece(5, 0, 1480, true), piece(5, 1480, 2400, false)]);
    assert_eq!(target.lab.receive(2), vec![hops(&inner(), 1); 5]);
    assert_eq!((target.lab[2].in_use(), target.drops()), (0, [].into()));
}

#[test]
fn hostile_fragment_tiny_first() {
    let mut target = Target::new(&Link::default());
    let tiny = |protocol| {
        let mut ip = Ip::new("192.0.2.1", "192.0.2.2", protocol);
        ip.more = true;
        ip.packet(&[0; 8])
    };
    target.assert_dropped(&[tiny(6)], "fragment_tiny");
}

#[test]
fn hostile_fragment_offset_and_length_beyond_65535() {
    let mut target = Target::new(&Link::default());
    let packets = [65_528usize, 65_520].map(|offset| {
        let mut ip = Ip::new("192.0.2.1", "192.0.2.2", GRE);
        ip.offset = offset;
        ip.packet(&[0; 64])
    });
    target.assert_dropped(&packets, "fragment_too_long");
}

#[test]
fn hostile_fragment_unaligned_or_empty() {
    let mut target = Target::new(&Link::default());
    target
        .assert_dropped(&[piece(1, 0, 401, true), piece(1, 400, 400, false)], "fragment_malformed");
}

/// One source fills its quota and no more; the fragments of another still get together.
#[test]
fn hostile_fragment_flood_of_one_source_leaves_room_for_others() {
    let mut target = Target::new(&Link::default());
    let flood: Vec<_> = (0..300u16)
        .map(|id| {
            let mut ip = Ip::new("198.51.100.66", "192.0.2.2", GRE);
            (ip.id, ip.more) = (id, true);
            ip.packet(&[0; 64])
        })
        .collect();
    target.deliver(&flood);
    assert_eq!(target.drops(), [("fragment_quota", 300 - 64)].into());
    let len = payload().len();
    target.deliver(&[piece(1, 0, 400, true), piece(1, 400, len, false)]);
    assert_eq!(target.lab.receive(2), [hops(&inner(), 1)]);
}

#[test]
fn hostile_fragment_flood_of_many_sources_is_capped() {
    let mut target = Target::new(&Link::default());
    let free = target.lab[2].pool.available();
    for block in 0..8u16 {
        let flood: Vec<_> = (0..200u16)
            .map(|number| {
                let number = block * 200 + number;
                let source = format!("198.51.{}.{}", number >> 8, number & 255);
                let mut ip = Ip::new(&source, "192.0.2.2", GRE);
                ip.more = true;
                ip.packet(&[0; 64])
            })
            .collect();
        target.deliver(&flood);
    }
    assert_eq!(target.drops(), [("fragment_memory", 1600 - 1024)].into());
    assert_eq!(free - target.lab[2].pool.available(), 1024);
    target.assert_alive();
}

#[test]
fn hostile_fragments_of_one_datagram_are_counted() {
    let mut target = Target::new(&Link::default());
    let pieces: Vec<_> = (0..65).map(|i| piece(1, i * 16, i * 16 + 8, true)).collect();
    target.assert_dropped(&pieces, "fragment_quota");
}

#[test]
fn hostile_fragments_missing_the_last_one_time_out() {
    let mut target = Target::new(&Link::default());
    target.deliver(&[piece(1, 0, 400, true), piece(2, 0, 400, true), piece(2, 400, 408, true)]);
    let held = target.lab[2].in_use();
    assert_eq!(held, 3);
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    target.lab.settle();
    assert_eq!(target.drops(), [("fragment_timeout", 3)].into());
    assert_eq!(target.lab[2].in_use(), 0);
    target.assert_alive();
}

#[test]
fn hostile_reassembled_datagram_is_judged_as_any_other() {
    let mut target = Target::new(&Link::dmvpn());
    let len = payload().len();
    // GRE in clear that came in pieces is still in clear.
    target.deliver(&[piece(1, 400, len, false), piece(1, 0, 400, true)]);
    assert_eq!(target.drops(), [("cleartext_from_protected", 1)].into());
    let ping = |start, more| {
        let mut ip = Ip::new("198.51.100.1", "192.0.2.2", ICMP);
        (ip.offset, ip.more) = (start, more);
        ip.packet(&[8; 64])
    };
    target.deliver(&[ping(0, true), ping(64, false)]);
    assert_eq!(target.lab[2].punts[0].mbuf.len(), 20 + 128);
    assert_eq!(target.lab[2].take_punts(), [PuntReason::Local]);
    target.assert_alive();
}
