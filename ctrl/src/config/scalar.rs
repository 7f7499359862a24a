//! Values that stand in strings: durations, sizes, addresses, prefixes, names.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use wire::prefix::Error as PrefixError;
use wire::{IfAddr, IpPrefix, MacAddr};

use super::PortRange;
use super::reader::Complaint;

/// Octets of a host's name, and of a label of it (RFC 1035 section 2.3.4).
const HOST_NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

type Parsed<T> = Result<T, Complaint>;

/// `"500ms"`, `"30s"`, `"10m"`, `"1h"`, `"7d"`, or several after each other: `"1h30m"`.
pub(super) fn duration(text: &str) -> Parsed<Duration> {
    let bad = || {
        Complaint::from(format!("{text:?} is not a duration"))
            .hint("a number and ms, s, m, h or d, as in \"10m\"")
    };
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, tail) = leading_number(rest).ok_or_else(bad)?;
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        let part_ms = number.checked_mul(unit_ms).ok_or_else(bad)?;
        total = total.checked_add(Duration::from_millis(part_ms)).ok_or_else(bad)?;
        rest = tail;
    }
    if text.is_empty() { Err(bad()) } else { Ok(total) }
}

/// `"512MB"`, `"1TB"`, `"64MiB"`, `"1500B"`: in octets. kB, MB, GB and TB are powers of 1000; KiB,
/// MiB, GiB and TiB are powers of 1024.
pub(super) fn size_octets(text: &str) -> Parsed<u64> {
    let bad = || {
        Complaint::from(format!("{text:?} is not a size"))
            .hint("a number and B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, as in \"512MB\"")
    };
    let (number, unit) = leading_number(text).ok_or_else(bad)?;
    let unit_octets = match unit.trim_start() {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(bad()),
    };
    number.checked_mul(unit_octets).ok_or_else(bad)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// An IPv4 or IPv6 address.
pub(super) fn address(text: &str) -> Parsed<IpAddr> {
    text.parse().map_err(|_| {
        let complaint = Complaint::from(format!("{text:?} is not an IP address"));
        match text.split_once('/').map(|(address, _)| address) {
            Some(address) if address.parse::<IpAddr>().is_ok() => {
                complaint.hint(format!("without a prefix length: {address:?}"))
            }
            _ => complaint,
        }
    })
}

/// An address that one interface can have.
pub(super) fn unicast(text: &str) -> Parsed<IpAddr> {
    let address = address(text)?;
    match not_unicast(address) {
        Some(what) => Err(format!("{address} is {what}, not the address of a host").into()),
        None => Ok(address),
    }
}

/// A unicast address, or the name of a host: labels of letters, digits and hyphens, separated by
/// dots (RFC 1123 section 2.1). What ends in a number is meant as an address.
pub(super) fn host(text: &str) -> Parsed<nhrp::Host> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let mut labels = name.split('.');
    let is_number = |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_digit());
    if text.contains([':', '/']) || labels.clone().next_back().is_some_and(is_number) {
        return unicast(text).map(nhrp::Host::Address);
    }
    let is_label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > HOST_NAME_MAX || !labels.all(is_label) {
        let complaint = format!("{text:?} is neither an IP address nor the name of a host");
        return Err(Complaint::from(complaint)
            .hint("letters, digits and hyphens, separated by dots, at most 253 octets"));
    }
    Ok(nhrp::Host::Name(text.into()))
}

fn not_unicast(address: IpAddr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        Some("the broadcast address")
    } else if matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0) {
        Some("in 0.0.0.0/8 (\"this network\")")
    } else if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        Some("an IPv4-mapped IPv6 address")
    } else {
        None
    }
}

/// `"198.51.100.1/24"`: the address of an interface with the length of its prefix.
pub(super) fn interface_address(text: &str) -> Parsed<IfAddr> {
    let interface: IfAddr = text.parse().map_err(|error| match error {
        PrefixError::NoLength => Complaint::from(format!("{text:?} lacks a prefix length"))
            .hint("as in \"198.51.100.1/24\" or \"2001:db8::1/64\""),
        error => bad_prefix(text, error),
    })?;
    let (host, prefix) = (interface.address(), interface.prefix());
    if let Some(what) = not_unicast(host) {
        return Err(format!("{host} is {what}, not the address of a host").into());
    }
    if prefix.is_default() {
        return Err(format!("\"{text}\" would make every address connected").into());
    }
    if let IpPrefix::V4(v4) = prefix
        && let Some(broadcast) = v4.broadcast()
    {
        if host == v4.network() {
            return Err(format!("{host} is the network address of {prefix}, not a host").into());
        }
        if host == broadcast {
            return Err(format!("{host} is the broadcast address of {prefix}, not a host").into());
        }
    }
    Ok(interface)
}

/// `"10.2.0.0/16"`: no bit set beyond its length. An address alone is a prefix of full length.
pub(super) fn prefix(text: &str) -> Parsed<IpPrefix> {
    match text.parse() {
        Ok(prefix) => Ok(prefix),
        Err(PrefixError::NoLength) => match text.parse() {
            Ok(address) => Ok(IpPrefix::host(address)),
            Err(_) => Err(bad_prefix(text, PrefixError::Address)),
        },
        Err(PrefixError::HostBits) => {
            let network = text.parse::<IfAddr>().map(IfAddr::prefix);
            let complaint = bad_prefix(text, PrefixError::HostBits);
            Err(match network {
                Ok(network) => complaint.hint(format!("did you mean \"{network}\"?")),
                Err(_) => complaint,
            })
        }
        Err(error) => Err(bad_prefix(text, error)),
    }
}

fn bad_prefix(text: &str, error: PrefixError) -> Complaint {
    let complaint = Complaint::from(format!("{text:?}: {error}"));
    let netmask: Option<Ipv4Addr> = text.split_once('/').and_then(|(_, mask)| mask.parse().ok());
    match netmask.map(Ipv4Addr::to_bits) {
        Some(mask) if mask.leading_ones() + mask.trailing_zeros() == 32 => {
            complaint.hint(format!("write \"/{}\"", mask.leading_ones()))
        }
        _ => complaint,
    }
}

/// `"02:00:5e:10:00:01"`: a unicast Ethernet address.
pub(super) fn unicast_mac(text: &str) -> Parsed<MacAddr> {
    let mac: MacAddr = text.parse().map_err(|error| format!("{text:?}: {error}"))?;
    if mac.is_unicast() {
        Ok(mac)
    } else {
        Err(format!("{mac} is not the address of one station").into())
    }
}

/// `"5000-5100"`: layer 4 ports.
pub(super) fn port_range(text: &str) -> Parsed<PortRange> {
    let number = |text: &str| text.trim().parse().ok();
    let ends = text.split_once('-').unwrap_or((text, text));
    let (Some(first), Some(last)) = (number(ends.0), number(ends.1)) else {
        return Err(Complaint::from(format!("{text:?} is not a port or a range of ports"))
            .hint("as in 443 or \"5000-5100\""));
    };
    PortRange::new(first, last).ok_or_else(|| format!("{text:?} ends before it begins").into())
}

/// A name of at most `octets_max` letters, digits, `.`, `_` and `-`, beginning with a letter or
/// digit, and not an IP address.
pub(super) fn name(text: &str, octets_max: usize) -> Parsed<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if text.len() > octets_max {
        return Err(format!("{text:?} is longer than {octets_max} octets").into());
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.chars().all(allowed) {
        return Err(Complaint::from(format!("{text:?} is not a name"))
            .hint("letters, digits, \".\", \"_\" and \"-\", a letter or digit first"));
    }
    if text.parse::<IpAddr>().is_ok() {
        return Err(format!("{text:?} is an IP address, not a name").into());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in
            [("500ms", 500), ("30s", 30_000), ("1h30m", 5_400_000), ("7d", 604_800_000), ("0s", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        let bad = ["", "10", "s", "10 s", "1.5h", "-1s", "10min", "1h30", "99999999999999999999s"];
        for text in bad {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration(&format!("{}d", u64::MAX)).is_err());
    }

    #[test]
    fn sizes() {
        let good = [("1500B", 1500), ("2kB", 2000), ("512MB", 512_000_000), ("64 MiB", 64 << 20)];
        for (text, octets) in good {
            assert_eq!(size_octets(text), Ok(octets), "{text}");
        }
        for text in ["", "1", "MB", "1mb", "1.5GB", "-1B", "18446744073709551615kB", "1TBx"] {
            assert!(size_octets(text).is_err(), "{text}");
        }
    }

    #[test]
    fn interface_addresses_that_look_like_networks() {
        // RFC 3021: both addresses of a /31 are hosts, and so is that of a /32.
        for text in ["10.0.0.0/31", "10.0.0.1/31", "10.0.0.0/32", "2001:db8::/64", "fe80::1/64"] {
            assert!(interface_address(text).is_ok(), "{text}");
        }
        for text in ["10.0.0.0/30", "10.0.0.3/30", "10.0.0.1/0", "::ffff:10.0.0.1/96", "::/64"] {
            assert!(interface_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names() {
        for text in ["wan", "lan.10", "3com", "a_b-c"] {
            assert_eq!(name(text, 15).as_deref(), Ok(text));
        }
        for text in ["", ".", "-x", "a b", "a/b", "caf\u{e9}", "10.0.0.1", "a234567890123456"] {
            assert!(name(text, 15).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts() {
        let long = [["a"; 63].concat().as_str(); 4].join(".");
        for text in ["hub", "hub.example.net.", "3com.net", "a-1.b2", &long[..253]] {
            assert_eq!(host(text), Ok(nhrp::Host::Name(text.into())));
        }
        for text in ["192.0.2.1", "2001:db8::1"] {
            assert_eq!(host(text), Ok(nhrp::Host::Address(text.parse().unwrap())));
        }
        let bad =
            ["", ".", "a..b", "-a", "a-.b", "a_b", "a b", "caf\u{e9}", "1.2.3", "192.0.2.1/24"];
        for text in bad.into_iter().chain(["224.0.0.5", "::", &long, &["a"; 64].concat()]) {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn port_ranges() {
        assert_eq!(port_range("5000-5100").ok(), PortRange::new(5000, 5100));
        assert_eq!(port_range("443").ok(), PortRange::new(443, 443));
        for text in ["", "-", "1-", "2-1", "65536", "1-2-3", "http"] {
            assert!(port_range(text).is_err(), "{text}");
        }
    }
}
