use super::super::samples::*;
use super::super::{QuotedTunnel, error};
use super::*;
use crate::icmp::ErrorKind;
use proptest::prelude::*;
use wire::esp::Spi;

const SPI: Spi = Spi(0x1122_3344);

fn peer() -> IpAddr {
    "203.0.113.7".parse().unwrap()
}

fn us() -> IpAddr {
    "198.51.100.1".parse().unwrap()
}

/// Just the SA and tunnels of the samples are live.
fn live(quoted: &Quoted) -> bool {
    let tunnel = match quoted.tunnel {
        QuotedTunnel::Esp { spi } => spi == SPI,
        QuotedTunnel::EspInUdp { spi, local_port, peer_port } => {
            (spi, local_port, peer_port) == (SPI, 4500, 33333)
        }
        QuotedTunnel::Gre { key } => key == Some(42),
    };
    let v6 = ("2001:db8:a::1".parse().unwrap(), "2001:db8:b::7".parse().unwrap());
    tunnel && [(us(), peer()), v6].contains(&(quoted.local, quoted.peer))
}

/// Fragmentation needed of another MTU, about a packet like that of the sample.
fn too_big(sample: &[u8], mtu: u16) -> Vec<u8> {
    remade(sample, |message| message[6..8].copy_from_slice(&mtu.to_be_bytes()))
}

/// Changes an ICMP message of IPv4 and mends all checksums and lengths.
fn remade(sample: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut message = sample[20..].to_vec();
    change(&mut message);
    message[2..4].fill(0);
    let sum = wire::checksum::of(&message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    let mut packet = sample[..20].to_vec();
    packet.extend(message);
    let len = u16::try_from(packet.len()).unwrap();
    let mut view = ip4::Packet::new_quoted(&mut packet[..]).unwrap();
    view.set_total_len(len);
    view.fill_checksum();
    packet
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn believed_about_each_kind_of_tunnel() {
    let now = Instant::now();
    for sample in [&TOO_BIG_ESP[..], &TOO_BIG_NATT, &TOO_BIG_GRE, &TOO_BIG_ESP6] {
        let mut table = PathMtu::default();
        let change = table.handle_icmp(now, sample, live).unwrap().unwrap();
        assert_eq!(change.mtu, Some(1400));
        assert_eq!(table.mtu(change.peer), Some(1400));
        assert_eq!(table.entries().count(), 1);
        // Again: confirmed, nothing to do.
        assert_eq!(table.handle_icmp(now, sample, live), Ok(None));
        assert_eq!((table.counters().lowered, table.counters().confirmed), (1, 1));
    }
}

#[test]
fn spoofed_too_big_without_a_quoted_live_spi() {
    let now = Instant::now();
    let mut table = PathMtu::default();
    let other = |octet: usize| remade(&TOO_BIG_ESP, |message| message[octet] ^= 1);
    // SPI; source, which then is not who the error is sent to; destination.
    assert_eq!(table.handle_icmp(now, &other(31), live), Err(PmtuDrop::NotLive));
    assert_eq!(table.handle_icmp(now, &other(23), live), Err(PmtuDrop::Address));
    assert_eq!(table.handle_icmp(now, &other(27), live), Err(PmtuDrop::NotLive));
    // Key; port of the peer.
    let key = remade(&TOO_BIG_GRE, |message| message[35] ^= 1);
    assert_eq!(table.handle_icmp(now, &key, live), Err(PmtuDrop::NotLive));
    let port = remade(&TOO_BIG_NATT, |message| message[30] ^= 1);
    assert_eq!(table.handle_icmp(now, &port, live), Err(PmtuDrop::NotLive));
    // IKE on port 4500, UDP elsewhere, another protocol.
    let ike = remade(&TOO_BIG_NATT, |message| message[36..40].fill(0));
    assert_eq!(table.handle_icmp(now, &ike, live), Err(PmtuDrop::NotTunnel));
    let dns = remade(&TOO_BIG_NATT, |message| message[29] = 53);
    assert_eq!(table.handle_icmp(now, &dns, live), Err(PmtuDrop::NotTunnel));
    let tcp = remade(&TOO_BIG_ESP, |message| message[17] = 6);
    assert_eq!(table.handle_icmp(now, &tcp, live), Err(PmtuDrop::NotTunnel));
    assert_eq!((table.entries().count(), table.poll_timeout()), (0, None));
    assert_eq!(table.counters().refused, 8);
}

#[test]
fn mtu_below_the_floor() {
    let now = Instant::now();
    let mut table = PathMtu::default();
    for mtu in [1, 68, 575] {
        let forged = too_big(&TOO_BIG_ESP, mtu);
        assert_eq!(table.handle_icmp(now, &forged, live), Err(PmtuDrop::BelowFloor), "{mtu}");
    }
    assert_eq!(table.entries().count(), 0);
    assert!(table.handle_icmp(now, &too_big(&TOO_BIG_ESP, 576), live).unwrap().is_some());

    let quote = TOO_BIG_ESP6[48..].to_vec();
    let (src, dst) = ("2001:db8:c::fe".parse().unwrap(), "2001:db8:a::1".parse().unwrap());
    let of = |mtu: u32| {
        let message = icmp6::Message::PacketTooBig { mtu, quoted: &quote };
        super::super::error::wrap_v6(ip6::Repr::new(src, dst, IpProto::ICMPV6, 0), &message)
            .unwrap()
    };
    for mtu in [0, 1, 1279] {
        assert_eq!(table.handle_icmp(now, &of(mtu), live), Err(PmtuDrop::BelowFloor), "{mtu}");
    }
    assert!(table.handle_icmp(now, &of(1280), live).unwrap().is_some());
    for mtu in [1492, 65_536, u32::MAX] {
        assert_eq!(table.handle_icmp(now, &of(mtu), live), Err(PmtuDrop::NotSmaller), "{mtu}");
    }
}

#[test]
fn a_router_that_tells_no_mtu_means_the_next_plateau() {
    let now = Instant::now();
    for (packet_len, mtu) in [(1500, 1492), (1492, 1006), (577, 576)] {
        let sample = remade(&TOO_BIG_ESP, |message| {
            message[6..8].fill(0);
            message[10..12].copy_from_slice(&u16::to_be_bytes(packet_len));
        });
        let change = PathMtu::default().handle_icmp(now, &sample, live).unwrap();
        assert_eq!(change, Some(PathMtuChange { peer: peer(), mtu: Some(mtu) }));
    }
    let small = remade(&TOO_BIG_ESP, |message| {
        message[6..8].fill(0);
        message[10..12].copy_from_slice(&u16::to_be_bytes(576));
    });
    assert_eq!(PathMtu::default().handle_icmp(now, &small, live), Err(PmtuDrop::BelowFloor));
}

#[test]
fn only_decreases() {
    let now = Instant::now();
    let mut table = PathMtu::default();
    let mut told = |mtu| table.handle_icmp(now, &too_big(&TOO_BIG_ESP, mtu), live);
    assert!(told(1400).unwrap().is_some());
    assert_eq!(told(1401), Err(PmtuDrop::NotDecrease));
    assert!(told(1300).unwrap().is_some());
    assert_eq!(told(1400), Err(PmtuDrop::NotDecrease));
    // The quoted packet, of 1492 octets, would have fitted.
    assert_eq!(told(1492), Err(PmtuDrop::NotSmaller));
    assert_eq!(table.mtu(peer()), Some(1300));
}

#[test]
fn flood() {
    let now = Instant::now();
    let mut table = PathMtu::default();
    // Forged ones cost the real ones nothing.
    let forged = remade(&TOO_BIG_ESP, |message| message[31] ^= 1);
    for _ in 0..10_000 {
        assert!(table.handle_icmp(now, &forged, live).is_err());
    }
    let changes =
        (0..900_u16).map(|n| table.handle_icmp(now, &too_big(&TOO_BIG_ESP, 1490 - n), live));
    let outcomes = changes.collect::<Vec<_>>();
    assert!(outcomes[..500].iter().all(|outcome| matches!(outcome, Ok(Some(_)))));
    assert!(outcomes[500..].iter().all(|outcome| *outcome == Err(PmtuDrop::Rate)));
    // Confirmations of what is known are not limited, as they change nothing.
    assert_eq!(table.handle_icmp(now, &too_big(&TOO_BIG_ESP, 991), live), Ok(None));
    let later = now + seconds(1);
    assert!(table.handle_icmp(later, &too_big(&TOO_BIG_ESP, 600), live).unwrap().is_some());
    assert_eq!(table.entries().count(), 1);
}

#[test]
fn memory_is_bounded() {
    let mut now = Instant::now();
    let mut table = PathMtu::default();
    let mut refused = 0;
    for n in 0..PEERS_MAX + 10 {
        now += CHANGE_INTERVAL;
        let peer = u32::try_from(n).unwrap().to_be_bytes();
        let sample = remade(&TOO_BIG_ESP, |message| message[24..28].copy_from_slice(&peer));
        refused += usize::from(table.handle_icmp(now, &sample, |_| true) == Err(PmtuDrop::Full));
    }
    assert_eq!((table.entries().count(), refused), (PEERS_MAX, 10));
    // Raising them all takes several polls, none of which is long.
    let later = now + AGEING;
    let raised = std::iter::repeat_with(|| table.poll(later).len()).take_while(|&n| n > 0);
    let raised = raised.collect::<Vec<_>>();
    assert!(raised.iter().all(|&n| n <= POLL_MAX));
    assert_eq!(raised.into_iter().sum::<usize>(), PEERS_MAX);
    assert_eq!(table.poll_timeout(), None);
}

#[test]
fn ageing_back_up() {
    let start = Instant::now();
    let mut table = PathMtu::default();
    table.handle_icmp(start, &TOO_BIG_ESP, live).unwrap();
    assert_eq!(table.poll_timeout(), Some(start + seconds(600)));
    // A confirmation starts the ten minutes again.
    table.handle_icmp(start + seconds(300), &TOO_BIG_ESP, live).unwrap();
    assert_eq!(table.poll(start + seconds(899)), []);
    assert_eq!(table.mtu(peer()), Some(1400));
    let raised = PathMtuChange { peer: peer(), mtu: None };
    assert_eq!(table.poll(start + seconds(900)), [raised]);
    assert_eq!((table.mtu(peer()), table.poll_timeout()), (None, None));
    assert_eq!(table.counters().aged, 1);
    // And it can be learnt again, higher, too.
    let higher = too_big(&TOO_BIG_ESP, 1450);
    assert!(table.handle_icmp(start + seconds(901), &higher, live).unwrap().is_some());
}

#[test]
fn unreachable_never_deletes_an_sa() {
    let now = Instant::now();
    let mut table = PathMtu::default();
    table.handle_icmp(now, &TOO_BIG_ESP, live).unwrap();
    let before = table.entries().collect::<Vec<_>>();
    let quote = &TOO_BIG_ESP[28..];
    for code in (0..16).filter(|&code| code != 4) {
        let sample = remade(&TOO_BIG_ESP, |message| message[1] = code);
        assert_eq!(table.handle_icmp(now, &sample, live), Err(PmtuDrop::Advisory), "{code}");
    }
    let expired = error(ErrorKind::TimeExceeded, quote, us(), None).unwrap();
    assert_eq!(table.handle_icmp(now, &expired, live), Err(PmtuDrop::Advisory));
    let sample = remade(&TOO_BIG_ESP, |message| message[0] = 12);
    assert_eq!(table.handle_icmp(now, &sample, live), Err(PmtuDrop::Advisory));
    for packet in [&PORT_UNREACHABLE6[..], &TIME_EXCEEDED6] {
        assert_eq!(table.handle_icmp(now, packet, live), Err(PmtuDrop::Advisory));
    }
    assert_eq!(table.counters().advisory, 19);
    assert_eq!(table.entries().collect::<Vec<_>>(), before);
}

#[test]
fn icmp_errors_that_quote_truncated_gre() {
    let now = Instant::now();
    // The quote starts 8 octets into the message; IP ends after 20 of it.
    for quoted in 0..28 {
        let sample = remade(&TOO_BIG_GRE, |message| message.truncate(8 + quoted));
        let expected = if quoted < 20 { PmtuDrop::Quote } else { PmtuDrop::QuoteShort };
        assert_eq!(PathMtu::default().handle_icmp(now, &sample, live), Err(expected), "{quoted}");
    }
    // A sequence number may be cut off: the key is there. Behind a checksum it is not.
    let sequence = remade(&TOO_BIG_GRE, |message| message[28] |= 0x10);
    assert!(PathMtu::default().handle_icmp(now, &sequence, live).unwrap().is_some());
    let sum = remade(&TOO_BIG_GRE, |message| message[28] |= 0x80);
    assert_eq!(PathMtu::default().handle_icmp(now, &sum, live), Err(PmtuDrop::QuoteShort));
    let version = remade(&TOO_BIG_GRE, |message| message[29] |= 1);
    assert_eq!(PathMtu::default().handle_icmp(now, &version, live), Err(PmtuDrop::Quote));
}

#[test]
fn truncated_quotes_of_esp() {
    let now = Instant::now();
    for quoted in 20..28 {
        let sample = remade(&TOO_BIG_ESP, |message| message.truncate(8 + quoted));
        let outcome = PathMtu::default().handle_icmp(now, &sample, live);
        if quoted < 24 {
            assert_eq!(outcome, Err(PmtuDrop::QuoteShort), "{quoted}");
        } else {
            assert!(outcome.unwrap().is_some(), "{quoted}");
        }
    }
    let eight = remade(&TOO_BIG_NATT, |message| message.truncate(8 + 28));
    let outcome = PathMtu::default().handle_icmp(now, &eight, live);
    assert_eq!(outcome, Err(PmtuDrop::QuoteShort));
    let later = remade(&TOO_BIG_ESP, |message| message[15] = 1);
    assert_eq!(PathMtu::default().handle_icmp(now, &later, live), Err(PmtuDrop::Quote));
}

#[test]
fn damaged_messages() {
    let now = Instant::now();
    let mut table = PathMtu::default();
    for sample in [&TOO_BIG_ESP[..], &TOO_BIG_ESP6] {
        for len in 0..sample.len() {
            assert!(table.handle_icmp(now, &sample[..len], live).is_err());
        }
        for at in 8..sample.len() {
            let mut damaged = sample.to_vec();
            damaged[at] ^= 0x10;
            assert!(table.handle_icmp(now, &damaged, live).is_err(), "{at}");
        }
    }
    assert_eq!(table.handle_icmp(now, &ECHO_REQUEST, live), Err(PmtuDrop::NotError));
    assert_eq!(table.handle_icmp(now, &UDP, live), Err(PmtuDrop::NotError));
    assert_eq!(table.handle_icmp(now, &UDP6, live), Err(PmtuDrop::NotError));
    assert_eq!(table.entries().count(), 0);
}

proptest! {
    #[test]
    fn any_quote_survives(
        quote in prop::collection::vec(any::<u8>(), 0..80),
        version in prop::sample::select(vec![0x45_u8, 0x4F, 0x60]),
        protocol in prop::sample::select(vec![50_u8, 17, 47, 44, 0]),
        mtu: u16,
    ) {
        let sample = remade(&too_big(&TOO_BIG_ESP, mtu), |message| {
            message.truncate(8);
            message.extend(&quote);
            if let Some(first) = message.get_mut(8) {
                *first = version;
            }
            if let Some(field) = message.get_mut(if version == 0x60 { 14 } else { 17 }) {
                *field = protocol;
            }
        });
        let mut table = PathMtu::default();
        if let Ok(Some(change)) = table.handle_icmp(Instant::now(), &sample, |_| true) {
            prop_assert!(change.mtu >= Some(576));
        }
    }
}
