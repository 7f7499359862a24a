//! What comes out of each mode is what hosts sent: looked at without any of the bench's figures.

use std::collections::BTreeMap;

use aead::{Aad, Key, OpenJob};
use dpdk::Mbuf;

use super::*;

/// The IPv4 packet of a frame, its header verified.
fn inner(octets: &[u8]) -> ip4::Packet<&[u8]> {
    let packet = ip4::Packet::new_checked(octets).unwrap();
    assert!(packet.verify_checksum());
    packet
}

/// Checks a packet against the flow that it must be of, after so many hops.
fn assert_sent(octets: &[u8], flow: flows::Flow, hops: u8, size: usize) {
    let packet = inner(octets);
    assert_eq!(packet.ttl(), 64 - hops);
    assert_eq!(packet.src(), addresses::source(flow.number), "{flow:?}");
    assert_eq!(octets.len(), size);
    let payload: Vec<u8> = (0..=255).cycle().take(size - 28).collect();
    assert_eq!(octets[28..], payload);
}

/// What comes out of decryption and decapsulation is what hosts sent, two hops later: the frame
/// to check against is made here, by nobody's stages.
#[test]
fn packets_arrive_as_they_were_sent() {
    let _alone = alone();
    for (mode, size, hops) in
        [("forward", 200, 1), ("gre-decap", 200, 2), ("decrypt", 200, 2), ("reassemble", 1600, 2)]
    {
        let case = case(&format!("--mode {mode} --size {size} --peers 3 --flows 7"));
        let mut watched = Watched::new(Eal::for_tests(), &case).unwrap();
        for round in 0..20 {
            let (fed, frames) = watched.burst();
            let (count, frames) = (case.feed(), &frames[0]);
            assert_eq!((fed.packets, frames.len()), (count as u64, count), "{mode}");
            assert_eq!(fed.octets, (size * count) as u64);
            for (number, frame) in (count * round..).zip(frames) {
                let flow = flows::Flow::all(7, 3).nth(number % 7).unwrap();
                let octets = &frame.data()[14..];
                assert_sent(octets, flow, hops, size);
                let network = addresses::network(flow.peer).octets();
                assert_eq!(inner(octets).dst().octets()[..3], network[..3]);
            }
        }
    }
}

/// Encrypted packets do not repeat a sequence number and hide what is in them.
#[test]
fn encrypted_packets_are_numbered_and_hidden() {
    let _alone = alone();
    let case = case("--mode encrypt --size 200 --peers 2 --flows 2 --burst 256");
    let mut watched = Watched::new(Eal::for_tests(), &case).unwrap();
    let mut last = BTreeMap::new();
    let zeros_to_15: Vec<u8> = (0..16).collect();
    let expected = case.mode.frames(Way::Out, 200, 1500, 2)[0];
    for frame in (0..4).flat_map(|_| watched.burst().1.remove(0)) {
        let octets = frame.data();
        assert_eq!(octets.len(), expected);
        assert_eq!(inner(&octets[14..]).protocol().0, 50);
        let word = |at: usize| u32::from_be_bytes(octets[at..at + 4].try_into().unwrap());
        let previous = last.insert(word(34), word(38)).unwrap_or(0);
        assert_eq!(word(38), previous + 1, "SPI {:#x}", word(34));
        assert!(!octets.windows(16).any(|window| window == zeros_to_15));
    }
    assert_eq!(last, BTreeMap::from([(0x1000, 512), (0x1001, 512)]));
}

/// The peer that a frame of the gateway goes to, and the IP packet that it finds in it.
fn opened(case: &Case, frame: &Mbuf) -> (u32, Vec<u8>) {
    let octets = frame.data();
    let outer = inner(&octets[14..]);
    let word = |at: usize| u32::from_be_bytes(octets[at..at + 4].try_into().unwrap());
    let (spi, sequence) = (word(34), word(38));
    let peer = spi - addresses::spi(0);
    assert_eq!((outer.src(), outer.dst()), (addresses::HUB, addresses::peer(peer)));
    let mut material = [0x5a; 36];
    material[..4].copy_from_slice(&peer.to_be_bytes());
    material[4] = 1;
    let material = &material[..case.aead.material_len()];
    let key = Key::new(case.aead, aead::Backend::Portable, material).unwrap();
    let iv = octets[42..50].try_into().unwrap();
    let mut sealed = octets[50..].to_vec();
    let aad = Aad::esn(spi, 0, sequence);
    let mut jobs = [OpenJob::new(&key, iv, aad, &mut sealed)];
    aead::open(&mut jobs);
    assert!(jobs[0].verified(), "SPI {spi:#x}, sequence number {sequence}");
    sealed.truncate(sealed.len() - 16);
    let (pad, next_header) = (sealed[sealed.len() - 2], sealed[sealed.len() - 1]);
    assert_eq!((next_header, &sealed[..4]), (47, &[0, 0, 8, 0][..]));
    (peer, sealed[4..sealed.len() - 2 - usize::from(pad)].to_vec())
}

#[test]
fn a_hub_passes_packets_to_another_peer() {
    let _alone = alone();
    for (peers, flows) in [(1, 4), (3, 7)] {
        let case =
            case(&format!("--mode hub --burst 256 --size 200 --peers {peers} --flows {flows}"));
        let mut watched = Watched::new(Eal::for_tests(), &case).unwrap();
        let frames = watched.burst().1.remove(0);
        assert_eq!(frames.len(), 256);
        for (number, frame) in frames.iter().enumerate() {
            let flow = flows::Flow::all(flows, peers).nth(number % flows as usize).unwrap();
            let (peer, packet) = opened(&case, frame);
            assert_eq!(peer, case.next_peer(flow.peer));
            assert_ne!(peer, flow.peer, "never back to where it came from");
            assert_sent(&packet, flow, 2, 200);
        }
    }
}

/// Both pieces of each packet are sealed, and together they are the packet.
#[test]
fn fragments_are_cut_before_they_are_sealed() {
    let _alone = alone();
    let case = case("--mode fragment --peers 2 --flows 2 --burst 256");
    let mut watched = Watched::new(Eal::for_tests(), &case).unwrap();
    let (fed, mut frames) = watched.burst();
    let frames = frames.remove(0);
    assert_eq!((fed.packets, frames.len()), (256, 512));
    for (number, frames) in (0..).zip(frames.chunks(2)) {
        let pieces: Vec<_> = frames.iter().map(|frame| opened(&case, frame).1).collect();
        assert_eq!((pieces[0].len(), pieces[1].len()), (1436, 84), "packet {number}");
        let mut whole: Vec<u8> = Vec::new();
        for (piece, (more, offset)) in pieces.iter().zip([(true, 0), (false, 1416)]) {
            let packet = inner(piece);
            assert_eq!((packet.more_fragments(), packet.fragment_offset()), (more, offset));
            assert_eq!(packet.src(), addresses::source(number % 2));
            whole.extend(packet.payload());
        }
        assert_eq!(whole[8..], (0..=255).cycle().take(1472).collect::<Vec<u8>>());
    }
}

#[test]
fn every_peer_gets_a_copy() {
    let _alone = alone();
    let case = case("--mode replicate --size 200 --peers 5 --flows 3 --burst 256");
    let mut watched = Watched::new(Eal::for_tests(), &case).unwrap();
    let (fed, mut frames) = watched.burst();
    let frames = frames.remove(0);
    assert_eq!((fed.packets, frames.len()), (51, 255));
    let mut copies = BTreeMap::new();
    for frame in &frames {
        let (peer, packet) = opened(&case, frame);
        assert!(inner(&packet).dst().is_multicast());
        *copies.entry((peer, packet[..20].to_vec())).or_insert(0) += 1;
    }
    // 17 packets of each of 3 flows, for each of 5 peers.
    assert_eq!(copies.len(), 15);
    assert!(copies.values().all(|count| *count == 17), "{copies:?}");
}

#[test]
fn both_ways_at_once() {
    let _alone = alone();
    let case = case("--mode bidirectional --size 200 --peers 3 --flows 7 --burst 256");
    let mut watched = Watched::new(Eal::for_tests(), &case).unwrap();
    let (fed, frames) = watched.burst();
    assert_eq!((fed.packets, fed.octets), (512, 512 * 200));
    assert_eq!((frames[0].len(), frames[1].len()), (256, 256));
    for (number, (out, back)) in frames[0].iter().zip(&frames[1]).enumerate() {
        let flow = flows::Flow::all(7, 3).nth(number % 7).unwrap();
        let (peer, sealed) = opened(&case, out);
        assert_eq!(peer, flow.peer);
        assert_sent(&sealed, flow, 1, 200);
        let octets = &back.data()[14..];
        assert_sent(octets, flow, 2, 200);
        let network = addresses::near_network(flow.peer).octets();
        assert_eq!(inner(octets).dst().octets()[..3], network[..3]);
    }
}

/// The ways through the stages, how often each packet passes, and how large bursts are.
#[test]
fn stages_of_modes_with_more_than_one_way() {
    let modes = "--mode hub,fragment,reassemble,replicate,bidirectional";
    let report = bench(&format!("{modes} --duration 0.005 --runs 1"));
    assert_eq!(report.cases.len(), 4 + 1 + 1 + 4 + 4);
    for case in &report.cases {
        assert_plausible(case);
        let passes: Vec<(&str, f64)> =
            case.stages.iter().map(|stage| (stage.name.into(), stage.passes)).collect();
        let expected: &[(&str, f64)] = match case.mode {
            Mode::Hub => &[
                ("rx", 1.0),
                ("classify", 1.0),
                ("esp_open", 1.0),
                ("gre_decap", 1.0),
                ("lookup", 1.0),
                ("gre_encap", 1.0),
                ("esp_seal", 1.0),
                ("tx", 1.0),
            ],
            Mode::Fragment => &[
                ("rx", 1.0),
                ("classify", 1.0),
                ("lookup", 1.0),
                ("fragment", 1.0),
                ("gre_encap", 2.0),
                ("esp_seal", 2.0),
                ("tx", 2.0),
            ],
            Mode::Reassemble => &[
                ("rx", 2.0),
                ("classify", 2.0),
                ("reassemble", 2.0),
                ("esp_open", 1.0),
                ("gre_decap", 1.0),
                ("lookup", 1.0),
                ("tx", 1.0),
            ],
            Mode::Replicate => &[
                ("rx", 1.0),
                ("classify", 1.0),
                ("lookup", 1.0),
                ("replicate", 1.0),
                ("gre_encap", 8.0),
                ("esp_seal", 8.0),
                ("tx", 8.0),
            ],
            _ => &[
                ("rx", 1.0),
                ("classify", 1.0),
                ("esp_open", 0.5),
                ("gre_decap", 0.5),
                ("lookup", 1.0),
                ("gre_encap", 0.5),
                ("esp_seal", 0.5),
                ("tx", 1.0),
            ],
        };
        assert_eq!(passes, expected, "{}", case.mode.name());
    }
}
