use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};

use dpdk::{Eal, MempoolConfig};
use proptest::prelude::*;

use super::*;
use crate::stages::tests::{context, ip, link, sealed, spec};
use crate::tables::encap::{EncapSpec, GreSpec};
use crate::tables::fib::{Fib4, Next, Prefix};
use crate::tables::{Fib, Tables};
use dpdk::Mempool;

/// Routes 10.n.0.0/16 to the adjacency n: all that an IPv4 packet may be led to at once.
fn tables() -> Tables {
    let ends = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    let tunnel = |mtu, lane| {
        let gre = Some(GreSpec::default());
        let spec =
            EncapSpec { mtu: Some(mtu), lane, clamp_mss: true, ..spec(ends, gre, None, None) };
        Adjacency::Tunnel(Arc::new(Encap::new(&spec)).into())
    };
    let neighbor =
        |vlan, broadcast, mtu| Adjacency::Neighbor(L2Rewrite { broadcast, mtu, ..link(vlan) });
    let adjacencies = vec![
        neighbor(None, false, 1500),
        neighbor(None, false, 100),
        neighbor(Some(7), false, 1500),
        neighbor(None, true, 1500),
        tunnel(1400, Some(9)),
        tunnel(100, None),
        Adjacency::Drop(DropReason::NoSa),
        Adjacency::Local,
        Adjacency::Unresolved { interface: 1 },
        Adjacency::Group(Box::new([0, 4])),
        Adjacency::Connected { interface: 1 },
    ];
    let route = |(number, _): (u32, _)| {
        let prefix = Prefix::new(0x0a00_0000_u32 | number << 16, 16).unwrap();
        (prefix, Next(number))
    };
    let routes = (0..).zip(&adjacencies).map(route);
    let v4 = Arc::new(Fib4::build(routes).unwrap());
    Tables {
        overlay: Fib { v4, ..Fib::default() },
        adjacencies: Arc::new(adjacencies),
        neighbors: Arc::new([((1, Addr::v4(0x0a0a_0009)), 0)].into_iter().collect()),
        ..Tables::default()
    }
}

fn flags() -> impl Strategy<Value = Flags> {
    prop_oneof![
        6 => Just(Flags::default()),
        2 => Just(Flags::TUNNELLED.or(Flags::PROTECTED)),
        1 => Just(Flags::ORIGINATED),
        1 => Just(Flags::UNDERLAY),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// What is decided of the usual packets is what [`route`] decides of them, and the rest is left
    /// alone.
    #[test]
    fn the_usual_are_routed_as_any(
        dst in prop_oneof![
            9 => (0u8..12).prop_map(|number| Ipv4Addr::new(10, number, 0, 9)),
            1 => any::<u32>().prop_map(Ipv4Addr::from),
        ],
        ttl in prop_oneof![3 => Just(64u8), 1 => 0u8..4],
        protocol in prop_oneof![Just(17u8), Just(6)],
        (syn, options) in (any::<bool>(), any::<bool>()),
        payload in prop_oneof![Just(24usize), Just(80), Just(81), Just(1400), 24usize..1600],
        (mss, spread, flags) in (prop_oneof![Just(0u16), Just(500)], any::<bool>(), flags()),
    ) {
        static POOL: OnceLock<Mempool> = OnceLock::new();
        let pool = POOL.get_or_init(|| {
            let config = MempoolConfig { mbufs: 63, cache: 0, ..MempoolConfig::default() };
            Mempool::new(Eal::for_tests(), "lookup_usual", config).unwrap()
        });
        let mut segment = vec![0; payload];
        segment[12..14].copy_from_slice(&[0x60, if syn { 2 } else { 16 }]);
        segment[20..24].copy_from_slice(&[2, 4, 0x05, 0xb4]);
        let mut octets = ip(Ipv4Addr::new(10, 0, 0, 1), dst, protocol, 0, &segment);
        octets[8] = ttl;
        if options {
            octets[0] = 0x46;
        }
        let octets = if options { octets } else { sealed(octets) };
        let arrive = || {
            let mut mbuf = pool.alloc().unwrap();
            assert!(mbuf.write(&octets));
            let mut packet = Packet::new(mbuf);
            packet.meta.layer = Layer::Ip;
            packet.meta.ether_type = EtherType::IPV4.0;
            packet.meta.destination = dst.to_bits();
            packet.meta.interface = 1;
            packet.meta.mss = mss;
            packet.meta.flags = flags;
            packet
        };
        prop_assume!(IpFacts::parse(&octets, true).is_ok());
        let tables = tables();
        let mut usual = [arrive()];
        let mut verdicts = [Verdict::UNDECIDED];
        let mut lookup = Lookup::default();
        lookup.look_up_v4(&tables, &usual);
        let decide = if spread { super::usual::<true> } else { super::usual::<false> };
        decide(&tables, &mut usual, &lookup.found, &mut verdicts);

        let mut any = arrive();
        if verdicts[0] != Verdict::UNDECIDED {
            let mut events = Vec::new();
            let context = Context { spread, ..context(&tables, &mut events) };
            let routed = route((&context, &mut Samples::default()), &mut any);
            prop_assert_eq!(verdicts[0], Verdict::from(routed));
            if routed == Ok(lookup::TX) {
                // Nobody asks which it was.
                any.meta.adjacency = usual[0].meta.adjacency;
            }
        }
        prop_assert_eq!(usual[0].mbuf.data(), any.mbuf.data());
        prop_assert_eq!(format!("{:?}", usual[0].meta), format!("{:?}", any.meta));
    }
}

/// The usual packet is one: else it would prove nothing.
#[test]
fn what_is_usual() {
    let config = MempoolConfig { mbufs: 63, cache: 0, ..MempoolConfig::default() };
    let pool = Mempool::new(Eal::for_tests(), "lookup_what", config).unwrap();
    let tables = tables();
    let expected = [
        (0, Some(lookup::TX)),
        (1, None),
        (2, None),
        (3, None),
        (4, Some(lookup::ENCAP)),
        (5, Some(lookup::FRAGMENT)),
        (6, None),
        (10, Some(lookup::TX)),
        (11, None),
    ];
    for (number, output) in expected {
        let dst = Ipv4Addr::new(10, number, 0, 9);
        let mut mbuf = pool.alloc().unwrap();
        assert!(mbuf.write(&ip(Ipv4Addr::new(10, 0, 0, 1), dst, 17, 0, &[0; 100])));
        let mut packets = [Packet::new(mbuf)];
        packets[0].meta.ether_type = EtherType::IPV4.0;
        packets[0].meta.destination = dst.to_bits();
        let mut verdicts = [Verdict::UNDECIDED];
        let mut lookup = Lookup::default();
        lookup.look_up_v4(&tables, &packets);
        usual::<false>(&tables, &mut packets, &lookup.found, &mut verdicts);
        let want = output.map_or(Verdict::UNDECIDED, Verdict::output);
        assert_eq!(verdicts[0], want, "adjacency {number}");
    }
}
