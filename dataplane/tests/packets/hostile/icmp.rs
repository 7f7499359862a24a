//! ICMP and PMTU, as far as the packet path sees them: it hands errors on, rate limited, and acts
//! on none.

use dataplane::packet::PuntReason;

use super::Target;
use crate::support::frame::{ICMP, Ip, UDP, checksum, gre, hops, udp, udp_packet};
use crate::support::{Lab, Link};

/// "Fragmentation needed" with an MTU of 68 that quotes `packet`.
fn too_big(source: &str, destination: &str, quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![3, 4, 0, 0, 0, 0, 0, 68];
    message.extend(quoted);
    let sum = checksum(&message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    Ip::new(source, destination, ICMP).packet(&message)
}

#[test]
fn hostile_icmp_too_big_flood_is_rate_limited_and_changes_nothing() {
    let mut lab = Lab::pair(&Link::dmvpn());
    let site = lab.site(1).clone();
    let error = too_big("198.51.100.66", "192.0.2.1", &[0x45; 28]);
    let mut punted = 0;
    for _ in 0..12 {
        lab[1].send_wan(&vec![site.underlay_frame(&error); 500]);
        lab.settle();
        punted += lab[1].take_punts().len();
    }
    let dropped = lab[1].drops();
    assert_eq!(dropped.keys().copied().collect::<Vec<_>>(), ["punt_rate"]);
    assert!(dropped["punt_rate"] > 1000, "{dropped:?}");
    assert_eq!(dropped["punt_rate"] as usize + punted, 6000);
    // The largest packet is still the largest, in one piece.
    let packet = udp_packet("10.1.0.10", "10.2.0.10", 1, 1438);
    lab.send(1, std::slice::from_ref(&packet));
    assert_eq!(lab.receive(2), [hops(&packet, 2)]);
    assert_eq!(lab.outer().len(), 1);
    // Another kind of punt is not starved by the flood.
    let mut ip = Ip::new("10.1.0.10", "10.2.0.10", UDP);
    ip.ttl = 1;
    lab.send(1, &[ip.packet(&udp(1, 2, b""))]);
    assert_eq!(lab[1].take_punts(), [PuntReason::TtlExceeded]);
}

#[test]
fn hostile_icmp_errors_that_quote_truncated_gre() {
    let mut target = Target::new(&Link::dmvpn());
    let ours =
        Ip::new("192.0.2.2", "192.0.2.1", 47).packet(&gre(Some(42), None, 0x0800, &[0x45; 20]));
    let packets: Vec<_> =
        (0..ours.len()).map(|len| too_big("192.0.2.1", "192.0.2.2", &ours[..len])).collect();
    target.deliver(&packets);
    assert_eq!(target.lab[2].take_punts(), vec![PuntReason::Local; packets.len()]);
    target.lab.assert_clean();
    target.assert_alive();
}

#[test]
fn hostile_icmp_unreachable_never_deletes_an_sa() {
    let mut target = Target::new(&Link::dmvpn());
    let wrapped = target.wrap(&udp_packet("10.1.0.10", "10.2.0.10", 1, 60));
    for code in 0..16 {
        let mut error = too_big("192.0.2.1", "192.0.2.2", &wrapped);
        error[21] = code;
        target.deliver(&[error]);
    }
    assert_eq!(target.lab[2].take_punts(), [PuntReason::Local; 16]);
    assert!(target.lab[2].events.is_empty());
    target.assert_alive();
}
