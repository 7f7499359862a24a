use std::net::Ipv4Addr;

use proptest::prelude::*;
use wire::{IpProto, ip4};

use super::*;
use crate::stages::tests::spec;
use crate::tables::encap::{DfPolicy, DscpPolicy, EncapSpec, EspSpec, GreSpec};
use crate::tables::sa::SaMode;

/// A plain template: GRE with or without a key, in clear or under ESP, or ESP alone.
fn encap() -> impl Strategy<Value = Encap> {
    let dscp = prop_oneof![Just(DscpPolicy::Copy), (0u8..64).prop_map(DscpPolicy::Fixed)];
    let df = prop_oneof![Just(DfPolicy::Copy), Just(DfPolicy::Set), Just(DfPolicy::Clear)];
    let stack = any::<(Option<Option<u32>>, Option<u32>)>();
    let ends = any::<(u32, u32, u8, Option<u16>)>();
    (ends, dscp, df, stack).prop_map(|((local, remote, ttl, vlan), dscp, df, (key, spi))| {
        let ends = (local.into(), remote.into());
        let mode = if key.is_some() { SaMode::Transport } else { SaMode::Tunnel };
        let spi = if key.is_none() { spi.or(Some(7)) } else { spi };
        Encap::new(&EncapSpec {
            dscp,
            df,
            ttl,
            ..spec(
                ends,
                key.map(|key| GreSpec { key, checksum: false, sequence: false }),
                spi.map(|spi| EspSpec { slot: 0, spi, mode, udp: None }),
                vlan.map(|id| id & 0xfff),
            )
        })
    })
}

/// An IPv4 header, and what else there may be.
fn inner_packet() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), proptest::collection::vec(any::<u8>(), 20..200)).prop_map(|(v4, mut packet)| {
        packet[0] = if v4 { 0x45 } else { packet[0] };
        packet
    })
}

/// What `gre_encap` has when it comes here: room before and behind the packet.
fn laid_out(encap: &Encap, packet: &[u8], tail: u16) -> Vec<u8> {
    let mut data = vec![0xa5; usize::from(encap.len)];
    data.extend(packet);
    data.extend(vec![0x5a; tail.into()]);
    data
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// A plain template is written at once, and octet for octet as one is that is not.
    #[test]
    fn plain_headers_are_those_written_one_by_one(
        encap in encap(),
        packet in inner_packet(),
        id: u16,
        protocol: u16,
        sequence: u64,
        iv: u64,
    ) {
        prop_assert!(encap.plain_from <= 32);
        let inner = Inner::of(&packet);
        let sealing = Sealing { sequence, iv };
        let tail = if encap.esp != 0 { Tail::of(&encap, &inner) } else { Tail::default() };
        let mut at_once = laid_out(&encap, &packet, tail.len);
        let mut one_by_one = at_once.clone();

        let outer_len = at_once.len() - usize::from(encap.ip);
        let fields = (encap.overhead + inner.octets + tail.len, id, protocol);
        prop_assert_eq!(usize::from(fields.0), outer_len);
        let fits = inner.octets >= encap.plain_from;
        if fits {
            let head = at_once.first_chunk_mut().unwrap();
            match encap.esp {
                0 => plain::<false>(head, &encap, &inner, fields, sealing),
                _ => plain::<true>(head, &encap, &inner, fields, sealing),
            }
        }
        encap.write_to(&mut one_by_one);
        if encap.gre != 0 {
            gre(&mut one_by_one, &encap, protocol, 0, inner.octets.into());
        }
        if encap.esp != 0 {
            esp(&mut one_by_one, &encap, sealing);
        }
        outer_ip(&mut one_by_one, &encap, &inner, (id, 0), false);
        if fits {
            prop_assert_eq!(&at_once, &one_by_one);
        }
        let ip = usize::from(encap.ip);
        let header = ip4::Packet::new_checked(&one_by_one[ip..]).unwrap();
        prop_assert!(header.verify_checksum());
        prop_assert_eq!(usize::from(header.total_len()), one_by_one.len() - ip);
        prop_assert_eq!(&one_by_one[encap.len.into()..][..packet.len()], &packet[..]);
    }
}

/// The usual stacks are plain, so that the shortcut is the way of most packets.
#[test]
fn usual_stacks_are_plain() {
    let ends = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    let gre = |key| Some(GreSpec { key, checksum: false, sequence: false });
    let esp =
        |mode, udp: bool| Some(EspSpec { slot: 0, spi: 1, mode, udp: udp.then_some((4500, 4500)) });
    let plain = |gre, esp, vlan| Encap::new(&spec(ends, gre, esp, vlan)).plain_from < u16::MAX;
    for vlan in [None, Some(5)] {
        for esp in [None, esp(SaMode::Transport, false)] {
            assert!(plain(gre(None), esp, vlan));
            assert!(plain(gre(Some(42)), esp, vlan));
        }
        assert!(plain(None, esp(SaMode::Tunnel, false), vlan), "IPsec alone");
    }
    assert!(!plain(gre(None), esp(SaMode::Tunnel, false), None));
    assert!(!plain(gre(None), esp(SaMode::Transport, true), None));
    let checksum = Some(GreSpec { key: None, checksum: true, sequence: false });
    assert!(!plain(checksum, None, None));
}

#[test]
fn trailers_are_those_of_the_wire_crate() {
    let ends = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    let sa = EspSpec { slot: 0, spi: 1, mode: SaMode::Transport, udp: None };
    let gre = GreSpec { key: None, checksum: false, sequence: false };
    let encap = Encap::new(&spec(ends, Some(gre), Some(sa), None));
    for len in 20..60 {
        let packet = vec![0x45; len];
        let inner = Inner::of(&packet);
        let tail = Tail::of(&encap, &inner);
        let mut data = laid_out(&encap, &packet, tail.len);
        let start = data.len() - usize::from(tail.len);
        tail.write(&mut data, &encap, &inner);
        let plaintext = &data[usize::from(encap.gre)..data.len() - ICV];
        let found = esp::check_trailer(plaintext).unwrap();
        assert_eq!(plaintext.len() - usize::from(found.len), 4 + len);
        assert_eq!(found.next_header, IpProto::GRE);
        assert_eq!(plaintext.len() % 4, 0);
        assert_eq!(data[..start][usize::from(encap.len)..], packet);
    }
}
