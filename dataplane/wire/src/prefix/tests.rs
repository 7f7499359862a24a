use super::*;
use proptest::prelude::*;
use std::string::ToString;

fn v4(text: &str) -> Ipv4Prefix {
    text.parse().unwrap()
}

#[test]
fn parts_of_a_network() {
    let net = v4("10.1.0.0/16");
    assert_eq!(net.network(), Ipv4Addr::new(10, 1, 0, 0));
    assert_eq!(net.netmask(), Ipv4Addr::new(255, 255, 0, 0));
    assert_eq!(net.last(), Ipv4Addr::new(10, 1, 255, 255));
    assert_eq!(net.broadcast(), Some(net.last()));
    assert!(net.contains(Ipv4Addr::new(10, 1, 2, 3)) && !net.contains(Ipv4Addr::new(10, 2, 0, 0)));
    let net: Ipv6Prefix = "2001:db8::/32".parse().unwrap();
    assert_eq!(net.last().to_string(), "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_eq!(net.netmask().to_string(), "ffff:ffff::");
}

#[test]
fn the_shortest_and_the_longest() {
    assert_eq!(v4("0.0.0.0/0"), Ipv4Prefix::DEFAULT);
    assert!(Ipv4Prefix::DEFAULT.contains(Ipv4Addr::BROADCAST) && Ipv4Prefix::DEFAULT.is_default());
    assert_eq!(Ipv4Prefix::DEFAULT.last(), Ipv4Addr::BROADCAST);
    assert_eq!(Ipv6Prefix::DEFAULT.last().to_bits(), u128::MAX);
    let host = Ipv4Prefix::host(Ipv4Addr::new(192, 0, 2, 1));
    assert!(host.is_host() && host.contains(host.network()) && host.last() == host.network());
    assert_eq!((host.broadcast(), v4("192.0.2.0/31").broadcast()), (None, None));
    assert_eq!(v4("192.0.2.0/30").broadcast(), Some(Ipv4Addr::new(192, 0, 2, 3)));
}

#[test]
fn covering() {
    let (wide, narrow, aside) = (v4("10.0.0.0/8"), v4("10.1.0.0/16"), v4("11.0.0.0/16"));
    assert!(wide.covers(narrow) && wide.covers(wide) && !narrow.covers(wide));
    assert!(narrow.overlaps(wide) && !wide.overlaps(aside));
    let six: IpPrefix = "::/0".parse().unwrap();
    assert!(!six.covers(wide.into()) && !six.contains("10.0.0.1".parse().unwrap()));
}

#[test]
fn text_that_is_no_prefix() {
    for (text, want) in [
        ("10.0.0.0", Error::NoLength),
        ("10.0.0.0/", Error::Length),
        ("10.0.0.0/33", Error::Length),
        ("10.0.0.0/256", Error::Length),
        ("10.0.0.0/+8", Error::Length),
        ("10.0.0.0/08", Error::Length),
        ("10.0.0.0/-1", Error::Length),
        ("10.0.0.0/8/8", Error::Length),
        ("10.0.0/8", Error::Address),
        ("/8", Error::Address),
        ("10.0.0.1/24", Error::HostBits),
        ("0.0.0.1/0", Error::HostBits),
        ("2001:db8::/129", Error::Length),
        ("2001:db8::1/64", Error::HostBits),
    ] {
        assert_eq!(text.parse::<IpPrefix>(), Err(want), "{text:?}");
    }
    assert_eq!("2001:db8::/64".parse::<Ipv4Prefix>(), Err(Error::Address));
    assert_eq!("10.0.0.0/8".parse::<Ipv6Prefix>(), Err(Error::Address));
}

#[test]
fn an_interface_keeps_its_host_bits() {
    let lan: IfAddr = "10.1.0.1/24".parse().unwrap();
    assert_eq!(lan.address(), IpAddr::from([10, 1, 0, 1]));
    assert_eq!(lan.prefix(), "10.1.0.0/24".parse().unwrap());
    assert_eq!(lan.to_string(), "10.1.0.1/24");
    assert_eq!("10.1.0.1".parse::<IfAddr>(), Err(Error::NoLength));
    assert_eq!("10.1.0.1/33".parse::<IfAddr>(), Err(Error::Length));
}

proptest! {
    /// The oracle compares bit by bit.
    #[test]
    fn contains_is_equality_of_the_leading_bits(net: u32, other: u32, len in 0u8..=32, near: bool) {
        // Half of the time the two share their first bits.
        let other = if near { net ^ other.checked_shr(len.into()).unwrap_or(0) } else { other };
        let prefix = Ipv4Prefix::containing(net.into(), len).unwrap();
        let equal = (0..len).all(|bit| (net ^ other) >> (31 - bit) & 1 == 0);
        prop_assert_eq!(prefix.contains(other.into()), equal);
        let host = Ipv4Prefix::host(other.into());
        prop_assert_eq!(prefix.covers(host), equal);
    }

    #[test]
    fn text_round_trips(net: u128, len in 0u8..=128, net4: u32, four in 0u8..=32) {
        let v6 = Ipv6Prefix::containing(net.into(), len).unwrap();
        prop_assert_eq!(v6.to_string().parse(), Ok(v6));
        let address = IpAddr::from(net4.to_be_bytes());
        let v4 = IpPrefix::containing(address, four).unwrap();
        prop_assert_eq!(v4.to_string().parse(), Ok(v4));
        prop_assert_eq!(IpPrefix::new(v4.network(), v4.len()), Ok(v4));
        let own = IfAddr::new(address, four).unwrap();
        prop_assert_eq!(own.to_string().parse(), Ok(own));
        prop_assert!(own.prefix().contains(own.address()));
    }

    #[test]
    fn any_text_never_panics(text in "[0-9a-f:./]{0,24}") {
        let _ = (text.parse::<IpPrefix>(), text.parse::<IfAddr>());
    }
}
