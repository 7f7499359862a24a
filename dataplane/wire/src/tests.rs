//! Every view over any bytes: what `new_checked` lets pass, no accessor panics on.

use crate::*;
use proptest::prelude::*;
use std::hint::black_box;
use std::vec::Vec;

/// Calls each parser of this crate, and each accessor of what it lets pass, on these bytes.
fn read_everything(bytes: &[u8]) {
    links(bytes);
    networks(bytes);
    transports(bytes);
    let _ = black_box((flow::hash(bytes), checksum::of(bytes)));
}

fn links(bytes: &[u8]) {
    if let Ok(frame) = eth::Frame::new_checked(bytes) {
        black_box((eth::Repr::parse(&frame), frame.payload()));
    }
    if let Ok(tag) = vlan::Tag::new_checked(bytes) {
        black_box((vlan::Repr::parse(&tag), tag.payload()));
    }
    let _ = black_box(arp::Repr::parse(bytes));
}

fn networks(bytes: &[u8]) {
    for packet in [ip4::Packet::new_checked(bytes), ip4::Packet::new_quoted(bytes)] {
        let Ok(packet) = packet else { continue };
        let _ = black_box((ip4::Repr::parse(&packet), packet.as_bytes(), packet.payload()));
        black_box((packet.dscp(), packet.ecn(), packet.checksum(), packet.is_fragment()));
        black_box(ip4::options::Options::new(packet.options()).count());
        let _ = black_box((icmp::may_send_error(&packet, None), frag::check_ip4(&packet)));
        for mtu in [0, 68, 576] {
            let Ok(fragments) = frag::Fragments::ip4(&packet, mtu) else { continue };
            for fragment in fragments {
                let _ = black_box(frag::write_ip4_header(&packet, &fragment, &mut [0; 60]));
            }
        }
        let mut copy = bytes.to_vec();
        let mut packet = ip4::Packet::new_quoted(&mut copy[..]).unwrap();
        black_box(packet.decrement_ttl());
        packet.fill_checksum();
        black_box(packet.payload_mut());
    }
    for packet in [ip6::Packet::new_checked(bytes), ip6::Packet::new_quoted(bytes)] {
        let Ok(packet) = packet else { continue };
        black_box((ip6::Repr::parse(&packet), packet.as_bytes(), packet.payload()));
        black_box((packet.dscp(), packet.ecn(), packet.total_len()));
        let _ = black_box(ip6::ext::upper(packet.next_header(), packet.payload()));
        let error = icmp6::Message::TimeExceeded { code: 0, quoted: bytes };
        let _ = black_box(icmp6::may_send_error(&error, &packet, None));
        let (src, dst) = (packet.src(), packet.dst());
        let _ = black_box(icmp6::Message::parse(src, dst, packet.payload()));
        let _ = black_box(icmp6::nd::Message::parse(&packet, packet.payload()));
        let _ = black_box(icmp6::nd::Message::parse(&packet, bytes));
    }
    let _ = black_box(icmp::Message::parse(bytes));
    let _ = black_box(ip6::ext::Fragment::parse(bytes));
}

fn transports(bytes: &[u8]) {
    if let Ok(packet) = udp::Packet::new_checked(bytes) {
        black_box((udp::Repr::parse(&packet), packet.payload()));
        black_box(packet.verify_v4([0; 4].into(), [0; 4].into()));
        black_box(packet.verify_v6([0; 16].into(), [0; 16].into()));
    }
    if let Ok(packet) = tcp::Packet::new_checked(bytes) {
        black_box((packet.src_port(), packet.dst_port(), packet.checksum(), packet.mss()));
    }
    black_box(tcp::clamp_mss(&mut bytes.to_vec(), 0));
    for packet in [gre::Packet::new_checked(bytes), gre::Packet::new_quoted(bytes)] {
        let Ok(packet) = packet else { continue };
        black_box((gre::Repr::parse(&packet), packet.payload()));
    }
    if let Ok(packet) = esp::Packet::new_checked(bytes) {
        black_box((esp::Repr::parse(&packet), packet.payload()));
    }
    let _ = black_box(esp::check_trailer(bytes));
    black_box(esp::Encapsulated::classify(bytes));
}

/// Each layer of each captured frame.
fn captured_layers() -> Vec<&'static [u8]> {
    use golden::*;
    let frames: [&[u8]; 22] = [
        &ARP_REQUEST,
        &ARP_REPLY,
        &ECHO_REQUEST,
        &ECHO_REPLY,
        &TIME_EXCEEDED,
        &PORT_UNREACHABLE,
        &FRAGMENTATION_NEEDED,
        &RECORD_ROUTE,
        &UDP,
        &UDP6,
        &ECHO6_REQUEST,
        &TIME_EXCEEDED6,
        &PORT_UNREACHABLE6,
        &NS_PROBE,
        &NS,
        &NA,
        &RS,
        &MLD,
        &GRE_SYN,
        &GRE_NHRP,
        &ESP_GMAC,
        &NAT_T_IKE,
    ];
    let starts = [0, 14, 34, 38, 42, 54, 62];
    frames.iter().flat_map(|frame| starts.map(|start| frame.get(start..).unwrap_or(&[]))).collect()
}

#[test]
fn captured_layers_truncated_at_every_octet() {
    for layer in captured_layers() {
        for len in 0..=layer.len() {
            read_everything(&layer[..len]);
        }
    }
}

#[test]
fn captured_layers_with_every_octet_at_its_extremes() {
    for layer in captured_layers() {
        let mut bytes = layer.to_vec();
        for at in 0..bytes.len().min(64) {
            for value in [0x00, 0x01, 0x7F, 0x80, 0xFF, layer[at] ^ 1, layer[at].wrapping_add(1)] {
                bytes[at] = value;
                read_everything(&bytes);
            }
            bytes[at] = layer[at];
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..160),
        first in prop::option::of(prop::sample::select(&[0x45, 0x4F, 0x46, 0x60, 0x20, 0xB0][..])),
    ) {
        if let (Some(first), Some(octet)) = (first, bytes.first_mut()) {
            *octet = first;
        }
        read_everything(&bytes);
    }

    #[test]
    fn captured_layers_mutated_never_panic(
        layer in prop::sample::select(captured_layers()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        end: prop::sample::Index,
    ) {
        let mut bytes = layer[..end.index(layer.len() + 1)].to_vec();
        for (at, value) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }
        read_everything(&bytes);
    }
}
