//! Inner packets that lie: about their length, their addresses, their tunnel.

use super::Target;
use crate::support::frame::{Ip, UDP, hops, seal_header, udp, udp_packet};
use crate::support::{Esp, Link};

impl Target {
    /// The inner packet, properly wrapped by the peer, is dropped for this reason.
    pub(super) fn assert_inner_dropped(&mut self, inner: &[u8], reason: &'static str) {
        let outer = self.wrap(inner);
        let before = self.drops().get(reason).copied().unwrap_or(0);
        self.deliver(&[outer]);
        assert_eq!(self.drops().get(reason).copied(), Some(before + 1), "{:?}", self.drops());
        assert_eq!(self.lab.receive(2), Vec::<Vec<u8>>::new());
        assert_eq!(self.lab[2].take_punts(), []);
        self.assert_alive();
    }
}

fn links() -> [Link; 3] {
    [Link::default(), Link::dmvpn(), Link { esp: Some(Esp::TUNNEL), gre: None, ..Link::default() }]
}

fn packet() -> Vec<u8> {
    udp_packet("10.1.0.10", "10.2.0.10", 1, 60)
}

fn with_total_length(length: u16) -> Vec<u8> {
    let mut packet = packet();
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    seal_header(&mut packet);
    packet
}

#[test]
fn hostile_inner_length_beyond_the_payload() {
    for link in links() {
        for length in [61, 1400, 65_535] {
            Target::new(&link).assert_inner_dropped(&with_total_length(length), "inner_length");
        }
    }
}

#[test]
fn hostile_inner_total_length_0() {
    for link in links() {
        for length in [0, 19] {
            Target::new(&link).assert_inner_dropped(&with_total_length(length), "inner_length");
        }
    }
}

#[test]
fn hostile_inner_length_below_the_payload_is_trimmed() {
    for link in links() {
        for padding in [1, 3, 100] {
            let mut target = Target::new(&link);
            let outer = target.wrap(&[packet(), vec![0xee; padding]].concat());
            target.deliver(&[outer]);
            assert_eq!(target.lab.receive(2), [hops(&packet(), 1)], "TFC padding is taken off");
            target.lab.assert_clean();
        }
    }
}

#[test]
fn hostile_inner_source_or_destination_is_our_nbma() {
    for (src, dst) in [("192.0.2.2", "10.2.0.10"), ("10.1.0.10", "192.0.2.2")] {
        let packet = Ip::new(src, dst, UDP).packet(&udp(1, 2, b""));
        for link in [Link::default(), Link::dmvpn()] {
            Target::new(&link).assert_inner_dropped(&packet, "inner_loop");
        }
    }
    let packet = Ip::new("fd00:1::a", "2001:db8::2", UDP).packet(&udp(1, 2, b""));
    Target::new(&Link::dmvpn()).assert_inner_dropped(&packet, "inner_loop");
}

#[test]
fn hostile_inner_version_is_not_the_protocol_types() {
    let mut target = Target::new(&Link::default());
    let v6 = udp_packet("fd00:1::a", "fd00:2::a", 1, 80);
    let packets =
        [(0x86dd, packet()), (0x0800, v6), (0x0800, vec![0x00; 40])].map(|(kind, inner)| {
            target.outer(47, &crate::support::frame::gre(Some(42), None, kind, &inner))
        });
    target.assert_dropped(&packets, "ip_version");
}

#[test]
fn hostile_inner_header_is_malformed() {
    let mut short = packet();
    short[0] = 0x44;
    let mut checksum = packet();
    checksum[10] ^= 1;
    for link in links() {
        Target::new(&link).assert_inner_dropped(&short, "ip_header_length");
        Target::new(&link).assert_inner_dropped(&checksum, "ip_checksum");
        if link.gre.is_some() {
            let mut target = Target::new(&link);
            let empty = crate::support::frame::gre(Some(42), None, 0x0800, b"");
            let outer = match target.sa.clone() {
                Some(sa) => {
                    let sealed = sa.seal(target.sequence(), 47, &empty);
                    target.esp(&sealed)
                }
                None => target.outer(47, &empty),
            };
            target.deliver(&[outer]);
            assert_eq!(target.drops(), [("inner_length", 1)].into());
        }
    }
}

#[test]
fn hostile_decrypted_inner_that_violates_selectors() {
    for (src, dst) in [
        ("10.3.0.1", "10.2.0.10"),
        ("10.1.0.10", "10.3.0.1"),
        ("10.2.0.10", "10.1.0.10"),
        ("fd00:3::1", "fd00:2::a"),
    ] {
        let packet = Ip::new(src, dst, UDP).packet(&udp(1, 2, b""));
        Target::new(&Link::ipsec()).assert_inner_dropped(&packet, "selector_mismatch");
    }
    // Tunnel-mode GRE whose inner ends are not those of the SA.
    let link = Link { esp: Some(Esp::TUNNEL), ..Link::default() };
    let gre = crate::support::frame::gre(Some(42), None, 0x0800, &packet());
    for (src, dst) in [("192.0.2.9", "192.0.2.2"), ("192.0.2.1", "192.0.2.9")] {
        let mut target = Target::new(&link);
        let sealed = target.sa().seal(1, 4, &Ip::new(src, dst, 47).packet(&gre));
        target.deliver(&[target.esp(&sealed)]);
        assert_eq!(target.drops(), [("selector_mismatch", 1)].into());
    }
}

#[test]
fn hostile_sa_of_another_profile_or_for_a_clear_tunnel() {
    use dataplane::tables::Protection;
    for protection in [Protection::Clear, Protection::Required { profile: 9 }] {
        let mut target =
            Target::with(&Link::dmvpn(), |site| site.peers[0].1.protection = protection);
        let outer = target.wrap(&packet());
        target.deliver(&[outer]);
        assert_eq!(target.drops(), [("sa_tunnel_mismatch", 1)].into());
    }
    let mut target =
        Target::with(&Link::dmvpn(), |site| site.peers[0].1.protection = Protection::Discard);
    let outer = target.wrap(&packet());
    target.deliver(&[outer]);
    assert_eq!(target.drops(), [("policy_discard", 1)].into());
}
