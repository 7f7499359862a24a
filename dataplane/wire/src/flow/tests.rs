use super::*;
use crate::golden::{ECHO_REQUEST, ECHO6_REQUEST, ESP_GCM, GRE_NHRP, GRE_SYN};
use core::net::{Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;
use std::vec::Vec;

fn udp4(src: u32, dst: u32, ports: u32) -> Vec<u8> {
    let mut bytes = std::vec![0; 28];
    let (src, dst) = (Ipv4Addr::from(src), Ipv4Addr::from(dst));
    ip4::Repr::new(src, dst, IpProto::UDP, 8).emit(&mut bytes).unwrap();
    bytes[20..24].copy_from_slice(&ports.to_be_bytes());
    bytes
}

fn udp6(src: u128, dst: u128, ports: u32) -> Vec<u8> {
    let mut bytes = std::vec![0; 48];
    let (src, dst) = (Ipv6Addr::from(src), Ipv6Addr::from(dst));
    ip6::Repr::new(src, dst, IpProto::UDP, 8).emit(&mut bytes).unwrap();
    bytes[40..44].copy_from_slice(&ports.to_be_bytes());
    bytes
}

/// `payload` in GRE in IPv4 from one tunnel end to the other.
fn in_gre(payload: &[u8], sequence: Option<u32>) -> Vec<u8> {
    let repr = gre::Repr { protocol: gre::Protocol::IPV4, checksum: false, key: None, sequence };
    let mut tunnel = std::vec![0; repr.header_len()];
    tunnel.extend(payload);
    repr.emit(&mut tunnel).unwrap();
    let len = u16::try_from(tunnel.len()).unwrap();
    let mut bytes = std::vec![0; 20];
    let (src, dst) = (Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 2));
    ip4::Repr::new(src, dst, IpProto::GRE, len).emit(&mut bytes).unwrap();
    bytes.extend(tunnel);
    bytes
}

#[test]
fn each_part_of_the_flow_counts_and_nothing_else() {
    let base = udp4(1, 2, 3);
    assert_eq!(hash(&base), hash(&udp4(1, 2, 3)));
    for other in [udp4(9, 2, 3), udp4(1, 9, 3), udp4(1, 2, 9), udp4(2, 1, 3)] {
        assert_ne!(hash(&base), hash(&other));
    }
    let mut other = base.clone();
    other[9] = IpProto::TCP.0;
    assert_ne!(hash(&base), hash(&other), "protocol");
    let mut same = base.clone();
    for at in [1, 4, 5, 8, 10, 11, 24, 25, 26, 27] {
        same[at] ^= 0xFF;
    }
    assert_eq!(hash(&base), hash(&same), "TOS, id, TTL, checksum, payload");
    let base = udp6(1, 2, 3);
    for other in [udp6(9, 2, 3), udp6(1, 9, 3), udp6(1, 2, 9), udp6(2, 1, 3)] {
        assert_ne!(hash(&base), hash(&other));
    }
}

#[test]
fn fragments_stay_together() {
    let hashes = [(true, 0), (true, 8), (false, 16)].map(|(more, offset)| {
        let mut bytes = udp4(1, 2, 0x1234_0000 + u32::from(offset));
        ip4::Packet::new_checked(&mut bytes[..]).unwrap().set_fragment(false, more, offset);
        hash(&bytes)
    });
    assert_eq!(hashes[0], hashes[1]);
    assert_eq!(hashes[0], hashes[2]);

    let hashes = [(true, 0), (true, 8), (false, 16)].map(|(more, offset)| {
        let fragment = ext::Fragment { next_header: IpProto::UDP, offset, more, ident: 1 };
        let mut bytes = udp6(1, 2, 0);
        bytes[6] = IpProto::FRAGMENT.0;
        fragment.emit(&mut bytes[40..]).unwrap();
        bytes[5] += 8;
        bytes.extend([u8::try_from(offset).unwrap(); 8]);
        hash(&bytes)
    });
    assert_eq!(hashes[0], hashes[1]);
    assert_eq!(hashes[0], hashes[2]);
}

#[test]
fn tunnels_hash_as_what_they_carry() {
    let (one, two) = (udp4(1, 2, 3), udp4(1, 2, 4));
    assert_eq!(hash(&in_gre(&one, None)), hash(&one));
    assert_ne!(hash(&in_gre(&one, None)), hash(&in_gre(&two, None)));
    // With a sequence number the tunnel is the flow.
    assert_eq!(hash(&in_gre(&one, Some(7))), hash(&in_gre(&two, Some(8))));
    assert_ne!(hash(&in_gre(&one, Some(7))), hash(&one));
    // What cannot be read inside leaves the outer flow.
    assert_eq!(hash(&in_gre(&one[..27], None)), hash(&in_gre(&two[..27], None)));
    // Only one level: deeper tunnels are one flow.
    let deep = |inner: &[u8]| in_gre(&in_gre(inner, None), None);
    assert_eq!(hash(&deep(&one)), hash(&deep(&two)));
}

#[test]
fn captured_packets_have_flows() {
    let all = [
        hash(&GRE_SYN[14..]),
        hash(&GRE_NHRP[14..]),
        hash(&ESP_GCM[14..]),
        hash(&ECHO_REQUEST[14..]),
        hash(&ECHO6_REQUEST[14..]),
    ];
    assert!(!all.contains(&0));
    // Another SPI is another flow.
    let mut other = ESP_GCM;
    other[37] ^= 1;
    assert_ne!(hash(&other[14..]), hash(&ESP_GCM[14..]));
}

/// The hash is part of how a topology spreads traffic: it must not change from build to build.
#[test]
fn the_value_is_fixed() {
    assert_eq!(hash(&[]), 0);
    assert_eq!(hash(&udp4(0x0A00_0001, 0x0A00_0002, 0x1234_5678)), FIXED4);
    assert_eq!(hash(&udp6(1, 2, 0x1234_5678)), FIXED6);
}

const FIXED4: u32 = 3_068_859_473;
const FIXED6: u32 = 705_213_222;

/// Flows that differ in one low bit of one field each spread over any few cores, by high and by low
/// bits: Pearson's statistic against an even spread stays below its 99.99 % quantile.
#[test]
fn dispersion() {
    let count = 1 << 14;
    type Pattern = fn(u32) -> Vec<u8>;
    let patterns: [(&str, Pattern); 6] = [
        ("source ports", |i| udp4(0x0A00_0001, 0x0A00_0002, i << 16 | 53)),
        ("destination ports", |i| udp4(0x0A00_0001, 0x0A00_0002, 443 << 16 | i)),
        ("sources", |i| udp4(0x0A01_0000 + i, 0x0A00_0002, 0x1234_0035)),
        ("destinations", |i| udp4(0x0A00_0002, 0x0A01_0000 + i, 0x1234_0035)),
        ("pairs", |i| udp4(0x0A01_0000 + i, 0x0A02_0000 + i, 0x1234_0035)),
        ("IPv6 pairs", |i| udp6(0x2001 << 112 | u128::from(i), 0x2002 << 112 | u128::from(i), 9)),
    ];
    for (name, packet) in patterns {
        for (bins, limit) in [(2, 15.2), (3, 18.5), (8, 29.9), (64, 112.0)] {
            for take in [|h: u32| h, |h: u32| h >> 16] {
                let mut seen = std::vec![0u32; bins];
                for i in 0..count {
                    seen[take(hash(&packet(i))) as usize % bins] += 1;
                }
                let even = f64::from(count) / bins as f64;
                let chi: f64 = seen.iter().map(|n| (f64::from(*n) - even).powi(2) / even).sum();
                assert!(chi < limit, "{name}: {chi:.1} in {bins} bins");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_never_panic(mut bytes: Vec<u8>, first in prop::sample::select(&[0x45, 0x60][..])) {
        if let Some(octet) = bytes.first_mut() {
            *octet = first;
        }
        let _ = hash(&bytes);
    }
}
