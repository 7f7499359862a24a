use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use dpdk::{Eal, Mempool, MempoolConfig};
use proptest::prelude::*;

use super::*;
use crate::counters::{total, traffic};
use crate::stages::tests::{context, ip, sa};
use crate::tables::{InboundSa, Interface, Interfaces, SaTable};

const HUB: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SPOKE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const KEY: u32 = 0x2a00_0001;

/// A keyed tunnel and one without, both with the same peer.
fn tables() -> Tables {
    tables_protected(Protection::Clear)
}

fn tables_protected(protection: Protection) -> Tables {
    let tunnel = |interface, key, multipoint, ordered| Tunnel {
        interface,
        local: HUB.into(),
        key,
        multipoint,
        ordered,
        protection,
        mss: interface * 100,
        redirect: None,
    };
    let peer = |tunnel, adjacency| Peer {
        tunnel,
        adjacency,
        protection,
        received: traffic(1),
        sequence: Arc::default(),
    };
    let wan = Interface {
        index: 1,
        port: 1,
        vlan: None,
        role: crate::tables::Role::Underlay,
        mac: wire::MacAddr([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        addresses_v4: vec![HUB.to_bits()],
        addresses_v6: Vec::new(),
        tx_checksum: false,
        policy: None,
    };
    let tunnels = vec![tunnel(5, Some(KEY), true, false), tunnel(6, None, false, true)];
    let peers = vec![(IpAddr::V4(SPOKE), peer(0, 50)), (IpAddr::V4(SPOKE), peer(1, 60))];
    Tables {
        interfaces: Arc::new(Interfaces::new(vec![wan])),
        tunnels: Arc::new(crate::tables::TunnelMap::new(tunnels, peers)),
        ..Tables::default()
    }
}

#[derive(Debug, Clone)]
struct Case {
    outer_tos: u8,
    inner_tos: u8,
    src: u32,
    dst: u32,
    protocol: u8,
    flags: u8,
    key: u32,
    ether_type: u16,
    payload: usize,
    padding: usize,
    change: Option<(usize, u8)>,
}

fn case() -> impl Strategy<Value = Case> {
    let address = prop_oneof![
        4 => Just(u32::from_be_bytes([10, 1, 0, 9])),
        1 => Just(HUB.to_bits()),
        1 => any::<u32>(),
    ];
    let fields = (
        prop_oneof![Just(0u8), any::<u8>()],
        prop_oneof![Just(0u8), any::<u8>()],
        address.clone(),
        address,
        prop_oneof![3 => Just(17u8), 1 => Just(47u8), 1 => any::<u8>()],
        prop_oneof![3 => Just(0u8), 3 => Just(0x20u8), 1 => any::<u8>()],
    );
    let more = (
        prop_oneof![4 => Just(KEY), 1 => any::<u32>()],
        prop_oneof![6 => Just(0x0800u16), 1 => Just(0x86ddu16), 1 => any::<u16>()],
        0usize..80,
        0usize..8,
        proptest::option::weighted(0.3, (0usize..100, any::<u8>())),
    );
    (fields, more).prop_map(
        |(
            (outer_tos, inner_tos, src, dst, protocol, flags),
            (key, ether_type, payload, padding, change),
        )| Case {
            outer_tos,
            inner_tos,
            src,
            dst,
            protocol,
            flags,
            key,
            ether_type,
            payload,
            padding,
            change,
        },
    )
}

/// What the usual packet is.
fn usual() -> Case {
    Case {
        outer_tos: 0,
        inner_tos: 0x28,
        src: u32::from_be_bytes([10, 1, 0, 9]),
        dst: u32::from_be_bytes([10, 2, 0, 9]),
        protocol: 17,
        flags: 0x20,
        key: KEY,
        ether_type: 0x0800,
        payload: 44,
        padding: 3,
        change: None,
    }
}

/// The outer packet, as `classify` hands it on.
fn packet(pool: &Mempool, case: &Case) -> Packet {
    let mut gre = vec![case.flags, 0];
    gre.extend(case.ether_type.to_be_bytes());
    if case.flags & 0x20 != 0 {
        gre.extend(case.key.to_be_bytes());
    }
    let mut inner =
        ip(case.src.into(), case.dst.into(), case.protocol, case.inner_tos, &vec![7; case.payload]);
    if let Some((at, to)) = case.change
        && let Some(octet) = inner.get_mut(at)
    {
        *octet = to;
    }
    gre.extend(inner);
    gre.extend(vec![0; case.padding]);
    let outer = ip(SPOKE, HUB, 47, case.outer_tos, &gre);
    let mut mbuf = pool.alloc().unwrap();
    assert!(mbuf.write(&outer));
    let mut packet = Packet::new(mbuf);
    packet.meta.layer = Layer::Ip;
    packet.meta.l4 = 20;
    packet.meta.outer_tos = case.outer_tos;
    packet.meta.flags.set(Flags::UNDERLAY);
    packet
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// What the shortcut decides is what the long way decides, and it leaves the rest alone.
    #[test]
    fn the_shortcut_is_the_long_way(case in case()) {
        static POOL: std::sync::OnceLock<Mempool> = std::sync::OnceLock::new();
        let pool = POOL.get_or_init(|| {
            let config = MempoolConfig { mbufs: 63, cache: 0, ..MempoolConfig::default() };
            Mempool::new(Eal::for_tests(), "gre_decap_shortcut", config).unwrap()
        });
        let (ours, theirs) = (tables(), tables());
        let mut short = packet(pool, &case);
        let mut long = packet(pool, &case);
        let decided = plain_of_none_before(&context(&ours, &mut Vec::new()), &mut short);
        if let Some(output) = decided {
            let by_long = decap(&context(&theirs, &mut Vec::new()), &mut long);
            prop_assert_eq!(Verdict::from(by_long), output);
        }
        // If it did not decide, both are as they were.
        prop_assert_eq!(short.mbuf.data(), long.mbuf.data());
        prop_assert_eq!(format!("{:?}", short.meta), format!("{:?}", long.meta));
        if decided.is_some() {
            let counts = |tables: &Tables| {
                let TunnelMatch::Peer(_, peer) = tables.tunnels.find(
                    HUB.into(),
                    IpAddr::V4(SPOKE).into(),
                    (case.flags & 0x20 != 0).then_some(case.key),
                ) else {
                    unreachable!("it was decapsulated")
                };
                total(&peer.received)
            };
            prop_assert_eq!(counts(&ours), counts(&theirs));
        }
    }
}

/// The shortcut, for the first packet that there ever was.
fn plain_of_none_before(context: &Context<'_>, packet: &mut Packet) -> Option<Verdict> {
    plain_of(context, &mut Finder::new(&mut Known::default()), packet)
}

fn plain_of<'a>(
    context: &Context<'a>,
    finder: &mut Finder<'a, '_>,
    packet: &mut Packet,
) -> Option<Verdict> {
    let mut verdicts = [Verdict::UNDECIDED];
    each::<true>(context, finder, std::slice::from_mut(packet), &mut verdicts);
    Some(verdicts[0]).filter(|verdict| *verdict != Verdict::UNDECIDED)
}

proptest! {
    /// What is known of the packets before makes no difference to what becomes of one, be they from
    /// other SAs, of which one has another profile and one is gone, with other keys, or in clear;
    /// nor does it whether their peers are found one by one or at once.
    #[test]
    fn what_is_known_of_others_does_not_matter(
        packets in proptest::collection::vec((0u32..4, 0u8..3, any::<bool>()), 1..20),
    ) {
        static POOL: std::sync::OnceLock<Mempool> = std::sync::OnceLock::new();
        let pool = POOL.get_or_init(|| {
            let config = MempoolConfig { mbufs: 63, cache: 0, ..MempoolConfig::default() };
            Mempool::new(Eal::for_tests(), "gre_decap_known", config).unwrap()
        });
        let mut tables = tables_protected(Protection::Required { profile: 1 });
        let sa = |slot, profile| Arc::new(InboundSa { slot, profile, ..sa(HUB, SPOKE) });
        tables.sas = Arc::new(SaTable::new([sa(0, 1), sa(1, 1), sa(2, 2)], []));
        let mut events = Vec::new();
        let context = context(&tables, &mut events);
        let (mut known, mut at_once) = (Known::default(), Known::default());
        let mut finder = Finder::new(&mut known);
        let (mut verdicts, mut burst) = (Vec::new(), Vec::new());
        for (slot, key, clear) in packets {
            let flags = if key == 0 { 0 } else { 0x20 };
            let case = Case { flags, key: KEY - 1 + u32::from(key), ..usual() };
            let arrive = || {
                let mut packet = packet(pool, &case);
                if !clear {
                    assert!(packet.mbuf.adj(20));
                    packet.meta.l4 = 0;
                    packet.meta.layer = Layer::Gre;
                    packet.meta.sa = slot;
                    packet.meta.flags.set(Flags::PROTECTED);
                }
                packet
            };
            let (mut one, mut other) = (arrive(), arrive());
            let decided = plain_of(&context, &mut finder, &mut one);
            prop_assert_eq!(decided, plain_of_none_before(&context, &mut other));
            prop_assert_eq!(decided.is_some(), !clear && slot < 2 && key < 2);
            prop_assert_eq!(format!("{:?}", one.meta), format!("{:?}", other.meta));
            verdicts.push(decided.unwrap_or(Verdict::UNDECIDED));
            burst.push(arrive());
        }
        // Twice, as whom SAs are of is known the second time.
        for _ in 0..2 {
            at_once.find_all(&context, &burst);
        }
        let mut found = vec![Verdict::UNDECIDED; burst.len()];
        each_found::<true>(&context, at_once.numbers(), &mut burst, &mut found);
        prop_assert_eq!(found, verdicts);
    }
}

/// The usual packet takes the shortcut: else it would prove nothing.
#[test]
fn the_usual_packet_takes_the_shortcut() {
    let config = MempoolConfig { mbufs: 63, cache: 0, ..MempoolConfig::default() };
    let pool = Mempool::new(Eal::for_tests(), "gre_decap_usual", config).unwrap();
    let usual = usual();
    let tables = tables();
    let mut events = Vec::new();
    let context = context(&tables, &mut events);
    let mut arrived = packet(&pool, &usual);
    assert_eq!(plain_of_none_before(&context, &mut arrived), Some(Verdict::output(gre_decap::IP)));
    assert_eq!(arrived.mbuf.len(), 64);
    assert_eq!((arrived.meta.interface, arrived.meta.in_peer, arrived.meta.mss), (5, 50, 500));
}
