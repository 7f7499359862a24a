//! Malformed and forged ESP.

use dataplane::engine::message::Event;
use dataplane::engine::stage::SaCommand;
use dataplane::engine::topology::StageKind;
use dataplane::packet::PuntReason;

use super::Target;
use crate::support::frame::{ESP, GRE, Ip, UDP, gre, hops, udp, udp_packet};
use crate::support::{Esp, Link};

const UDP_ESP: Esp = Esp { udp: true, ..Esp::TRANSPORT };

fn natt() -> Link {
    Link { esp: Some(UDP_ESP), ..Link::dmvpn() }
}

fn inner() -> Vec<u8> {
    udp_packet("10.1.0.10", "10.2.0.10", 1, 60)
}

fn inner_gre() -> Vec<u8> {
    gre(Some(42), None, 0x0800, &inner())
}

#[test]
fn hostile_esp_every_length_from_0_to_the_minimum() {
    let mut target = Target::new(&Link::dmvpn());
    let whole = target.sa().seal(1000, GRE, &inner_gre());
    let packets: Vec<_> = (0..36).map(|len| target.outer(ESP, &whole[..len])).collect();
    target.assert_dropped(&packets, "esp_truncated");
    // The shortest that there can be is authentic only by luck.
    let shortest = target.esp(&whole[..36]);
    target.assert_dropped(&[shortest], "icv_mismatch");

    let mut target = Target::new(&natt());
    let packets: Vec<_> =
        (4..36).map(|len| target.outer(UDP, &udp(4500, 4500, &whole[..len]))).collect();
    target.assert_dropped(&packets, "esp_truncated");
}

#[test]
fn hostile_esp_unaligned_length() {
    let mut target = Target::new(&Link::dmvpn());
    let whole = target.sa().seal(1000, GRE, &inner_gre());
    let packets: Vec<_> =
        (37..whole.len()).filter(|len| len % 4 != 0).map(|len| target.esp(&whole[..len])).collect();
    target.assert_dropped(&packets, "esp_unaligned");
}

#[test]
fn hostile_esp_each_byte_of_the_packet_flipped() {
    for esn in [false, true] {
        let link = Link { esp: Some(Esp { esn, ..Esp::TRANSPORT }), ..Link::dmvpn() };
        let mut target = Target::new(&link);
        let sealed = target.sa().seal(5, GRE, &inner_gre());
        // Behind the SPI: sequence number, IV, ciphertext and each byte of the ICV.
        let packets: Vec<_> = (4..sealed.len())
            .map(|at| {
                let mut forged = sealed.clone();
                forged[at] ^= 0x01;
                target.esp(&forged)
            })
            .collect();
        // Flipped in its high octets, a sequence number is far ahead; still only the ICV tells.
        target.assert_dropped(&packets, "icv_mismatch");
        let forgeries = target.lab.site(2).inbound[0].counters.forgeries.value();
        assert_eq!(forgeries, packets.len() as u64);
        target.deliver(&[target.esp(&sealed)]);
        assert_eq!(target.lab.receive(2).len(), 1, "the true one is still new");
    }
}

#[test]
fn hostile_esp_truncated_icv() {
    let mut target = Target::new(&Link::dmvpn());
    let sealed = target.sa().seal(5, GRE, &inner_gre());
    let packets = [4, 8, 12, 16].map(|cut| target.esp(&sealed[..sealed.len() - cut]));
    target.assert_dropped(&packets, "icv_mismatch");
}

/// An insider's packets: authentic, and wrong inside. The window moves for them.
fn assert_authentic_dropped(link: &Link, plaintexts: &[Vec<u8>], reason: &'static str) {
    let mut target = Target::new(link);
    for plaintext in plaintexts {
        let sequence = target.sequence();
        let sealed = target.sa().seal_raw(sequence, plaintext);
        let before = target.drops().get(reason).copied().unwrap_or(0);
        target.deliver(&[target.esp(&sealed)]);
        assert_eq!(target.drops().get(reason).copied(), Some(before + 1), "{:?}", target.drops());
        target.deliver(&[target.esp(&sealed)]);
        assert!(target.drops().contains_key("replay_duplicate"), "the window has moved");
    }
    assert_eq!(target.drops()[reason], plaintexts.len() as u64);
    assert_eq!(target.lab.receive(2), Vec::<Vec<u8>>::new());
    target.assert_alive();
}

#[test]
fn hostile_esp_pad_length_beyond_the_payload() {
    let plaintexts: Vec<_> = [3u8, 4, 16, 254, 255].map(|pad| vec![1, 2, pad, GRE]).into();
    assert_authentic_dropped(&Link::dmvpn(), &plaintexts, "esp_padding");
    // As much as there is: the payload is empty, and so no GRE.
    assert_authentic_dropped(&Link::dmvpn(), &[vec![1, 2, 2, GRE]], "gre_truncated");
}

#[test]
fn hostile_esp_wrong_pad_bytes() {
    let good = [&inner_gre()[..], &[1, 2, 3, 4, 5, 6, 6, GRE]].concat();
    let at = good.len() - 8;
    let plaintexts: Vec<_> = (0..6)
        .map(|i| {
            let mut bad = good.clone();
            bad[at + i] ^= 0x80;
            bad
        })
        .collect();
    assert_authentic_dropped(&Link::dmvpn(), &plaintexts, "esp_padding");
}

#[test]
fn hostile_esp_next_header_that_the_sa_does_not_allow() {
    let trailer = |next: u8| [&[0; 38][..], &[0, next]].concat();
    let transport: Vec<_> =
        (0..=255).filter(|next| ![GRE, 59].contains(next)).map(trailer).collect();
    assert_authentic_dropped(&Link::dmvpn(), &transport, "esp_next_header");
    let tunnel: Vec<_> =
        (0..=255).filter(|next| ![4, 41, 59].contains(next)).map(trailer).collect();
    assert_authentic_dropped(&Link::ipsec(), &tunnel, "esp_next_header");
    // The family inside is not the one announced.
    let v4_as_v6 = [&inner()[..], &[1, 2, 2, 41]].concat();
    assert_authentic_dropped(&Link::ipsec(), &[v4_as_v6], "esp_next_header");
}

#[test]
fn hostile_esp_dummy_next_header_59() {
    let plaintexts: Vec<_> =
        [2, 6, 102].map(|len| [&vec![0xaa; len][..], &[0, 59]].concat()).into();
    assert_authentic_dropped(&Link::dmvpn(), &plaintexts, "esp_dummy");
    assert_authentic_dropped(&Link::ipsec(), &plaintexts, "esp_dummy");
}

#[test]
fn hostile_esp_spi_0_and_1_to_255() {
    let mut target = Target::new(&Link::dmvpn());
    let mut sa = target.sa();
    let packets: Vec<_> = (0..256)
        .map(|spi| {
            sa.spi = spi;
            target.esp(&sa.seal(1000, GRE, &inner_gre()))
        })
        .collect();
    target.assert_dropped(&packets, "unknown_spi");
}

#[test]
fn hostile_esp_unknown_spi_flood() {
    let mut target = Target::new(&Link::dmvpn());
    let mut sa = target.sa();
    let packets: Vec<_> = (0..1500u32)
        .map(|i| {
            sa.spi = 0x8000_0000 | i.wrapping_mul(2_654_435_761);
            target.esp(&sa.seal(1, GRE, b""))
        })
        .collect();
    target.assert_dropped(&packets, "unknown_spi");
}

#[test]
fn hostile_esp_right_spi_with_wrong_outer_addresses() {
    let mut target = Target::with(&Link::dmvpn(), |site| {
        let second: std::net::Ipv4Addr = "192.0.2.200".parse().unwrap();
        site.interfaces[1].addresses_v4.push(second.to_bits());
    });
    let sealed = target.sa().seal(1000, GRE, &inner_gre());
    let packets = [
        Ip::new("192.0.2.9", "192.0.2.2", ESP).packet(&sealed),
        Ip::new("192.0.2.1", "192.0.2.200", ESP).packet(&sealed),
        Ip::new("2001:db8::1", "2001:db8::2", ESP).packet(&sealed),
        // In UDP, where the SA is not.
        target.outer(UDP, &udp(4500, 4500, &sealed)),
    ];
    target.assert_dropped(&packets, "sa_address");
    let mut target = Target::new(&natt());
    let sealed = target.sa().seal(1000, GRE, &inner_gre());
    let bare = target.outer(ESP, &sealed);
    target.assert_dropped(&[bare], "sa_address");
}

#[test]
fn hostile_udp_4500_short_keepalive_and_zero_marker() {
    let mut target = Target::new(&natt());
    let datagrams = |payloads: &[&[u8]]| {
        payloads
            .iter()
            .map(|p| Ip::new("192.0.2.1", "192.0.2.2", UDP).packet(&udp(4500, 4500, p)))
            .collect::<Vec<_>>()
    };
    target.assert_dropped(
        &datagrams(&[&[], &[0], &[0xfe], &[0xff, 0xff], &[0, 0, 0], &[1, 2, 3]]),
        "nat_traversal_short",
    );
    target.assert_dropped(&datagrams(&[&[0xff]]), "nat_keepalive");
    target.deliver(&datagrams(&[&[0; 4], &[0, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef]]));
    assert_eq!(target.lab[2].take_punts(), [PuntReason::Local; 2], "IKE's to judge");
    target.assert_alive();
    // A UDP length that is not the packet's.
    let mut lying = datagrams(&[&[0xff; 64]]).remove(0);
    for length in [0u16, 7, 73, 65_535] {
        lying[24..26].copy_from_slice(&length.to_be_bytes());
        target.assert_dropped(std::slice::from_ref(&lying), "ip_length");
    }
}

/// What is forged costs a decryption each, and nothing else: all that is genuine arrives.
#[test]
fn hostile_esp_forged_icv_flood_leaves_the_others_their_goodput() {
    let mut target = Target::new(&Link::dmvpn());
    let forged = {
        let mut sealed = target.sa().seal(500, GRE, &inner_gre());
        *sealed.last_mut().unwrap() ^= 1;
        target.esp(&sealed)
    };
    for _ in 0..10 {
        let mut packets = vec![forged.clone(); 99];
        for at in 0..11 {
            packets.insert(at * 10, target.wrap(&inner()));
        }
        target.deliver(&packets);
        assert_eq!(target.lab.receive(2), vec![hops(&inner(), 1); 11]);
    }
    assert_eq!(target.drops(), [("icv_mismatch", 990)].into());
}

#[test]
fn hostile_esp_split_over_segments_at_every_offset() {
    let mut target = Target::new(&Link::dmvpn());
    let len = {
        let outer = target.wrap(&inner());
        target.lab.site(2).underlay_frame(&outer).len()
    };
    for at in 1..len {
        let outer = target.wrap(&inner());
        let frame = target.lab.site(2).underlay_frame(&outer);
        let gateway = &mut target.lab[2];
        let mut mbuf = gateway.mbuf(&frame[..at]);
        mbuf.chain(gateway.mbuf(&frame[at..])).unwrap();
        gateway.wan.send_mbufs(vec![mbuf]);
        target.lab.settle();
        assert_eq!(target.lab.receive(2), [hops(&inner(), 1)], "split at {at}");
    }
    target.lab.assert_clean();
}

#[test]
fn hostile_esp_in_a_shared_buffer_is_not_decrypted_in_place() {
    let mut target = Target::new(&Link::dmvpn());
    let outer = target.wrap(&inner());
    let frame = target.lab.site(2).underlay_frame(&outer);
    let gateway = &mut target.lab[2];
    let original = gateway.mbuf(&frame);
    let shared = original.clone_indirect(&gateway.pool).unwrap();
    gateway.wan.send_mbufs(vec![shared]);
    target.lab.settle();
    assert_eq!(original.data(), frame, "whoever shares it sees the same octets as before");
    assert_eq!(target.drops(), [("no_room", 1)].into());
    assert_eq!(target.lab.site(2).inbound[0].counters.forgeries.value(), 0);
    target.lab[2].wan.send_mbufs(vec![original]);
    target.lab.settle();
    assert_eq!(target.lab.receive(2), [hops(&inner(), 1)], "alone again, it is decrypted");
}

#[test]
fn hostile_peer_move_by_a_replayed_old_or_forged_packet() {
    let mut target = Target::new(&natt());
    let packet = |sa: &crate::support::oracle::Sa, sequence, source: &str, port| {
        let sealed = sa.seal(sequence, GRE, &inner_gre());
        Ip::new(source, "192.0.2.2", UDP).packet(&udp(port, 4500, &sealed))
    };
    let sa = target.sa();
    let moves = |target: &mut Target| {
        let events = target.lab[2].events.drain(..).filter_map(|event| match event {
            Event::PeerMoved { slot, address, port } => Some((slot, address.to_string(), port)),
            _ => None,
        });
        events.collect::<Vec<_>>()
    };
    target.deliver(&[packet(&sa, 10, "192.0.2.1", 4500)]);
    assert_eq!(moves(&mut target), [(1, "192.0.2.1".to_owned(), 4500)]);
    // Replayed from elsewhere, older than the newest, and forged.
    let mut forged = packet(&sa, 20, "203.0.113.5", 1024);
    *forged.last_mut().unwrap() ^= 1;
    target.deliver(&[
        packet(&sa, 10, "203.0.113.5", 1024),
        packet(&sa, 9, "203.0.113.5", 1024),
        forged,
    ]);
    assert_eq!(moves(&mut target), []);
    target.deliver(&[packet(&sa, 11, "203.0.113.5", 1024), packet(&sa, 12, "203.0.113.5", 1024)]);
    assert_eq!(moves(&mut target), [(1, "203.0.113.5".to_owned(), 1024)], "said once");
}

#[test]
fn hostile_use_after_delete_under_load() {
    let mut target = Target::new(&Link::dmvpn());
    let packets: Vec<_> = (0..500).map(|_| target.wrap(&inner())).collect();
    let site = target.lab.site(2).clone();
    let frames: Vec<_> = packets.iter().map(|packet| site.underlay_frame(packet)).collect();
    target.lab[2].send_wan(&frames);
    target.lab[2].workers[0].turn();
    // Retired while packets are on their way, and still in the tables.
    target.lab[2].command(StageKind::EspOpen, 1, SaCommand::RetireInbound(1));
    target.lab.settle();
    let arrived = target.lab.receive(2).len() as u64;
    assert!(arrived > 0 && arrived < 500);
    assert_eq!(target.drops(), [("sa_gone", 500 - arrived)].into());
    let events: Vec<_> = target.lab[2].events.drain(..).collect();
    assert!(matches!(&events[..], [Event::RetiredInbound(sa)] if sa.slot == 1));
}
