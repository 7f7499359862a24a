use std::path::Path;

use zeroize::Zeroizing;

use super::*;
use crate::config::Config;
use crate::sas::{Moment, Sas};

/// A spoke with SAs under UDP to its hub, 198.51.100.1, and to a spoke, and others without.
const CONFIG: &str = "[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\nrole = \"underlay\"\n\
    addresses = [\"192.168.7.2/24\"]\n\
    [[ipsec.profile]]\nname = \"corp\"\nesp = [\"aes128gcm16\"]\n";

fn sas(now: Instant) -> Sas {
    let sa = |direction, remote, spi, key, more| {
        format!(
            "[[ipsec.sa]]\nprofile = \"corp\"\ndirection = \"{direction}\"\nremote = \"{remote}\"\n\
             spi = {spi}\nkey_file = \"{key}\"\n{more}\n"
        )
    };
    let udp = "udp_encap = true";
    let config = [
        CONFIG.to_owned(),
        sa("out", "198.51.100.1", 0x1001, "a", udp),
        sa("in", "198.51.100.1", 0x1002, "b", udp),
        sa("out", "203.0.113.9", 0x1003, "c", udp),
        sa("in", "203.0.113.9", 0x1004, "d", udp),
        sa("out", "203.0.113.10", 0x1005, "e", ""),
    ];
    let read = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        Ok(Zeroizing::new(format!("key {name:.>12}salt").into_bytes()))
    };
    let config = Config::parse(&config.concat(), Path::new("/spoke.toml"), &read).unwrap();
    let moment = Moment { now, tsc: 0, ticks_per_second: 1_000_000_000, random: 1 };
    let mut sas = Sas::default();
    sas.configure(&config, moment).unwrap();
    sas
}

fn slot(sas: &Sas, spi: u32) -> u32 {
    sas.iter().find(|entry| entry.manual.spi.value() == spi).unwrap().slot
}

fn to(due: &[NatKeepalive]) -> Vec<String> {
    let mut peers: Vec<_> = due.iter().map(|of| format!("{}:{}", of.peer.0, of.peer.1)).collect();
    peers.sort();
    peers
}

/// What each second brings, from the start on.
fn run(sas: &Sas, keepalives: &mut NatKeepalives, now: &mut Instant, seconds: u32) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..seconds {
        *now += Duration::from_secs(1);
        all.extend(to(&keepalives.due(*now, sas.iter())));
    }
    all
}

#[test]
fn after_twenty_seconds_of_silence() {
    let mut now = Instant::now();
    let (mut sas, mut keepalives) = (sas(now), NatKeepalives::default());
    let (hub, spoke) = ("198.51.100.1:4500", "203.0.113.9:4500");
    assert!(run(&sas, &mut keepalives, &mut now, 60).is_empty(), "never used");
    for spi in [0x1001, 0x1003, 0x1005] {
        let slot = slot(&sas, spi);
        sas.by_slot(slot).unwrap().counters.traffic.packets.add(1);
    }
    assert!(run(&sas, &mut keepalives, &mut now, 1).is_empty());
    assert!(run(&sas, &mut keepalives, &mut now, 19).is_empty());
    assert_eq!(run(&sas, &mut keepalives, &mut now, 1), [hub, spoke]);
    assert_eq!(run(&sas, &mut keepalives, &mut now, 39), [hub, spoke], "once in so long");

    // Traffic is as good; the other one has nothing to say.
    let busy = slot(&sas, 0x1001);
    sas.by_slot(busy).unwrap().counters.traffic.packets.add(1);
    assert_eq!(run(&sas, &mut keepalives, &mut now, 20), [spoke]);
    assert_eq!(run(&sas, &mut keepalives, &mut now, 1), [hub, spoke]);

    // That one is behind a NAT itself.
    let inbound = slot(&sas, 0x1004);
    assert!(sas.moved(inbound, ("192.0.2.33".parse().unwrap(), 31_000)));
    assert_eq!(run(&sas, &mut keepalives, &mut now, 40), [hub, hub]);
}

#[test]
fn one_octet_in_udp() {
    for (local, peer, header) in
        [("192.168.7.2", "198.51.100.1", 20), ("2001:db8::2", "2001:db8::1", 40)]
    {
        let (local, peer): (IpAddr, IpAddr) = (local.parse().unwrap(), peer.parse().unwrap());
        let keepalive = NatKeepalive { local: (local, 4500), peer: (peer, 62_000) };
        let packet = keepalive.packet().unwrap();
        assert_eq!(packet.len(), header + 9);
        let datagram = udp::Packet::new_checked(&packet[header..]).unwrap();
        assert_eq!((datagram.src_port(), datagram.dst_port()), (4500, 62_000));
        assert_eq!(datagram.payload(), [0xFF]);
        match (local, peer) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let ip = ip4::Packet::new_checked(&packet[..]).unwrap();
                assert!(ip.verify_checksum());
                assert_eq!((ip.src(), ip.dst(), datagram.checksum()), (src, dst, 0));
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let ip = ip6::Packet::new_checked(&packet[..]).unwrap();
                assert_eq!((ip.src(), ip.dst()), (src, dst));
                assert!(datagram.checksum() != 0 && datagram.verify_v6(src, dst));
            }
            _ => unreachable!(),
        }
    }
    let mixed = NatKeepalive {
        local: ("192.168.7.2".parse().unwrap(), 4500),
        peer: ("2001:db8::1".parse().unwrap(), 4500),
    };
    assert!(mixed.packet().is_err());
}
