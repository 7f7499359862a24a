//! The compiled rules against a reading of the selectors with the types of the standard library.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const PROTECT: Action = Action::Protect { adjacency: 7 };
const TCP: u8 = 6;
const UDP: u8 = 17;

fn net4(text: &str, length: u8) -> Prefix<u32> {
    Prefix::new(text.parse::<Ipv4Addr>().unwrap().to_bits(), length).unwrap()
}

fn net6(text: &str, length: u8) -> Prefix<u128> {
    Prefix::new(text.parse::<Ipv6Addr>().unwrap().to_bits(), length).unwrap()
}

fn any4() -> Networks {
    Networks::V4 { src: net4("0.0.0.0", 0), dst: net4("0.0.0.0", 0) }
}

fn all_of(networks: Networks) -> Selector {
    Selector { networks, proto: None, src_ports: ANY_PORT, dst_ports: ANY_PORT }
}

fn policy<const N: usize>(rules: [(Selector, Action); N]) -> Policy {
    Policy::new(rules.to_vec()).unwrap()
}

fn flow(src: &str, dst: &str, proto: u8, ports: Option<(u16, u16)>) -> FlowKey {
    FlowKey { src: src.parse().unwrap(), dst: dst.parse().unwrap(), proto, ports }
}

/// RFC 4301 section 4.4.1, word by word.
fn selects(selector: &Selector, flow: &FlowKey) -> bool {
    fn within(address: IpAddr, network: IpAddr, length: u8) -> bool {
        let bits = |ip: IpAddr| -> Vec<u8> {
            let octets = match ip {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            octets.iter().flat_map(|octet| (0..8).rev().map(move |i| octet >> i & 1)).collect()
        };
        let (address, network) = (bits(address), bits(network));
        address.len() == network.len()
            && address[..usize::from(length)] == network[..usize::from(length)]
    }
    let v4 = |net: Prefix<u32>| (IpAddr::V4(Ipv4Addr::from_bits(net.bits())), net.length());
    let v6 = |net: Prefix<u128>| (IpAddr::V6(Ipv6Addr::from_bits(net.bits())), net.length());
    let (src, dst) = match selector.networks {
        Networks::V4 { src, dst } => (v4(src), v4(dst)),
        Networks::V6 { src, dst } => (v6(src), v6(dst)),
    };
    let port = |range: &RangeInclusive<u16>, port: Option<u16>| match port {
        Some(port) => range.contains(&port),
        None => *range == (0..=65_535),
    };
    within(flow.src, src.0, src.1)
        && within(flow.dst, dst.0, dst.1)
        && selector.proto.is_none_or(|proto| proto == flow.proto)
        && port(&selector.src_ports, flow.ports.map(|(src, _)| src))
        && port(&selector.dst_ports, flow.ports.map(|(_, dst)| dst))
}

fn first(rules: &[(Selector, Action)], flow: &FlowKey) -> Option<(usize, Action)> {
    rules.iter().position(|(selector, _)| selects(selector, flow)).map(|i| (i, rules[i].1))
}

#[test]
fn a_rule_of_ipv4_is_half_a_cache_line() {
    assert_eq!(size_of::<Rule<u32>>(), 32);
    assert_eq!(size_of::<Rule<u128>>(), 80);
}

#[test]
fn the_first_match_counts() {
    let site = Networks::V4 { src: net4("10.1.0.0", 16), dst: net4("10.2.0.0", 16) };
    let host = Networks::V4 { src: net4("10.1.0.0", 16), dst: net4("10.2.0.9", 32) };
    let flow = flow("10.1.2.3", "10.2.0.9", TCP, Some((1025, 443)));
    let ahead = policy([(all_of(host), Action::Bypass), (all_of(site), PROTECT)]);
    assert_eq!(ahead.classify(&flow), Some((0, Action::Bypass)));
    let behind = policy([(all_of(site), PROTECT), (all_of(host), Action::Bypass)]);
    assert_eq!(behind.classify(&flow), Some((0, PROTECT)));
}

#[test]
fn what_no_rule_selects_has_no_action() {
    let site = Networks::V4 { src: net4("10.1.0.0", 16), dst: net4("10.2.0.0", 16) };
    let policy = policy([(all_of(site), PROTECT)]);
    for (src, dst) in [
        ("10.0.255.255", "10.2.0.0"),
        ("10.1.0.0", "10.3.0.0"),
        ("10.2.0.1", "10.1.0.1"),
        ("2001:db8::1", "2001:db8::2"),
    ] {
        assert_eq!(policy.classify(&flow(src, dst, TCP, Some((1, 2)))), None, "{src} {dst}");
    }
    let empty = Policy::default();
    assert_eq!(empty.classify(&flow("10.1.0.1", "10.2.0.1", TCP, None)), None);
}

#[test]
fn rules_of_both_families_share_one_numbering() {
    let any6 = Networks::V6 { src: net6("::", 0), dst: net6("2001:db8::", 32) };
    let policy = policy([
        (all_of(any6), PROTECT),
        (all_of(any4()), Action::Discard),
        (all_of(Networks::V6 { src: net6("::", 0), dst: net6("::", 0) }), Action::Bypass),
    ]);
    let six = |dst| flow("2001:db8::1", dst, UDP, Some((1, 2)));
    assert_eq!(policy.classify(&six("2001:db8:ffff::1")), Some((0, PROTECT)));
    assert_eq!(policy.classify(&six("2001:db9::1")), Some((2, Action::Bypass)));
    let four = flow("192.0.2.1", "192.0.2.2", UDP, Some((1, 2)));
    assert_eq!(policy.classify(&four), Some((1, Action::Discard)));
    let mixed = flow("192.0.2.1", "2001:db8::1", UDP, Some((1, 2)));
    assert_eq!(policy.classify(&mixed), None);
}

#[test]
fn a_fragment_without_ports_matches_only_rules_of_any_port() {
    let https = Selector { proto: Some(TCP), dst_ports: 443..=443, ..all_of(any4()) };
    let nearly_all = Selector { proto: Some(TCP), dst_ports: 0..=65_534, ..all_of(any4()) };
    let upper = Selector { proto: Some(TCP), src_ports: 1..=65_535, ..all_of(any4()) };
    let tcp = Selector { proto: Some(TCP), ..all_of(any4()) };
    let policy = policy([
        (https, Action::Bypass),
        (nearly_all, Action::Bypass),
        (upper, Action::Bypass),
        (tcp, PROTECT),
    ]);
    let rule = |ports| policy.classify(&flow("192.0.2.1", "192.0.2.2", TCP, ports)).unwrap().0;
    assert_eq!(rule(None), 3);
    assert_eq!(rule(Some((0, 443))), 0);
    assert_eq!(rule(Some((0, 0))), 1);
    assert_eq!(rule(Some((1, 65_535))), 2);
    assert_eq!(rule(Some((0, 65_535))), 3);
}

#[test]
fn protocol_0_is_a_protocol_and_not_any() {
    let policy = policy([(Selector { proto: Some(0), ..all_of(any4()) }, Action::Discard)]);
    let of = |proto| policy.classify(&flow("192.0.2.1", "192.0.2.2", proto, None));
    assert_eq!(of(0), Some((0, Action::Discard)));
    assert_eq!(of(47), None);
}

#[test]
fn inverted_ports_are_refused() {
    let good = (all_of(any4()), PROTECT);
    #[expect(clippy::reversed_empty_ranges, reason = "the point of the test")]
    let inverted = Selector { dst_ports: 443..=80, ..all_of(any4()) };
    let error = Policy::new(vec![good.clone(), (inverted.clone(), PROTECT)]).unwrap_err();
    assert_eq!(error, InvertedPorts { rule: 1 });
    assert_eq!(error.to_string(), "rule 1: a range of ports ends before it begins");
    let error = Policy::new(vec![(inverted.reversed(), PROTECT), good]).unwrap_err();
    assert_eq!(error, InvertedPorts { rule: 0 });
}

fn address4() -> impl Strategy<Value = u32> {
    (select(vec![0x0a01_0000, 0x0a02_0000, 0xc0a8_0000]), 0..4_u32)
        .prop_map(|(net, host)| net + host)
}

fn address6() -> impl Strategy<Value = u128> {
    (0x2001_0db8..0x2001_0dba_u128, 0..4_u128).prop_map(|(net, host)| net << 96 | host)
}

fn ports() -> impl Strategy<Value = RangeInclusive<u16>> {
    let near = (0..6_u16, 0..6_u16).prop_map(|(a, b)| a.min(b)..=a.max(b));
    prop_oneof![Just(ANY_PORT), near, (65_530..=65_535_u16).prop_map(|a| a..=65_535)]
}

fn selector() -> impl Strategy<Value = Selector> {
    fn network<A: Address>(address: A, length: u8) -> Prefix<A> {
        Prefix::new(address, length).unwrap()
    }
    let v4 = || {
        (address4(), select(vec![0, 8, 15, 16, 30, 31, 32]))
            .prop_map(|(address, length)| network(address, length))
    };
    let v6 = || {
        (address6(), select(vec![0, 3, 31, 32, 64, 126, 127, 128]))
            .prop_map(|(address, length)| network(address, length))
    };
    let networks = prop_oneof![
        (v4(), v4()).prop_map(|(src, dst)| Networks::V4 { src, dst }),
        (v6(), v6()).prop_map(|(src, dst)| Networks::V6 { src, dst }),
    ];
    let proto = select(vec![None, Some(0), Some(TCP), Some(UDP)]);
    (networks, proto, ports(), ports()).prop_map(|(networks, proto, src_ports, dst_ports)| {
        Selector { networks, proto, src_ports, dst_ports }
    })
}

fn rules() -> impl Strategy<Value = Vec<(Selector, Action)>> {
    let action = prop_oneof![
        Just(Action::Bypass),
        Just(Action::Discard),
        any::<u32>().prop_map(|adjacency| Action::Protect { adjacency }),
    ];
    vec((selector(), action), 0..24)
}

fn flow_key() -> impl Strategy<Value = FlowKey> {
    let v4 = || address4().prop_map(|ip| IpAddr::V4(Ipv4Addr::from_bits(ip)));
    let v6 = || address6().prop_map(|ip| IpAddr::V6(Ipv6Addr::from_bits(ip)));
    let addresses = prop_oneof![4 => (v4(), v4()), 4 => (v6(), v6()), 1 => (v4(), v6())];
    let port = || prop_oneof![0..8_u16, 65_528..=65_535_u16];
    let ports = proptest::option::of((port(), port()));
    (addresses, select(vec![0, TCP, UDP]), ports).prop_map(|((src, dst), proto, ports)| FlowKey {
        src,
        dst,
        proto,
        ports,
    })
}

proptest! {
    #[test]
    fn any_policy_agrees_with_the_selectors_as_written(
        rules in rules(),
        flows in vec(flow_key(), 1..40),
    ) {
        let policy = Policy::new(rules.clone()).unwrap();
        for flow in &flows {
            prop_assert_eq!(policy.classify(flow), first(&rules, flow), "{:?}", flow);
        }
    }

    /// An inbound check may reverse the selectors or the flow.
    #[test]
    fn reversed_selectors_select_reversed_flows(
        rules in rules(),
        flows in vec(flow_key(), 1..20),
    ) {
        let forward = Policy::new(rules.clone()).unwrap();
        let turned = rules.iter().map(|(s, action)| (s.clone().reversed(), *action));
        let inbound = Policy::new(turned.collect()).unwrap();
        for flow in &flows {
            prop_assert_eq!(inbound.classify(&flow.reversed()), forward.classify(flow));
            prop_assert_eq!(flow.reversed().reversed(), *flow);
        }
    }
}
