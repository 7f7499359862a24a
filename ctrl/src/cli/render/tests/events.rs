//! Each event in words.

use super::*;

fn says(event: Event, expected: &str) {
    let kind = event.kind();
    let entry = Entry { serial: 7, time: "2026-11-26T14:41:13.042Z".into(), event };
    let report = Events { events: vec![entry], last: 7, lost: 0 };
    let line = format!("2026-11-26T14:41:13.042Z  {kind:21}  {expected}\n");
    assert_eq!(text(&Reply::Events(report)), line);
}

#[test]
fn of_nhrp() {
    let tunnel = || "dmvpn".to_owned();
    let (protocol, nbma) = (ip("10.255.0.9"), ip("203.0.113.9"));
    let (destination, prefix) = (ip("10.12.0.10"), || "10.12.0.0/24".to_owned());
    let reason = || "insufficient resources".to_owned();
    says(
        Event::NhrpRegistered { tunnel: tunnel(), protocol, nbma },
        "dmvpn: 10.255.0.9 is at 203.0.113.9",
    );
    says(
        Event::NhrpRefused { tunnel: tunnel(), protocol, nbma, reason: reason() },
        "dmvpn: 203.0.113.9 may not register 10.255.0.9: insufficient resources",
    );
    let outside = Some(ip("198.51.100.7"));
    says(
        Event::NhrpServerUp { tunnel: tunnel(), nbma, protocol, outside },
        "dmvpn: registered with 10.255.0.9 at 203.0.113.9, behind a NAT at 198.51.100.7",
    );
    says(
        Event::NhrpUnresolved { tunnel: tunnel(), destination, reason: None },
        "dmvpn: no shorter way to 10.12.0.10: no answer",
    );
    says(
        Event::NhrpShortcutAdded { tunnel: tunnel(), prefix: prefix(), via: protocol, nbma },
        "dmvpn: 10.12.0.0/24 goes to 203.0.113.9 now",
    );
    says(
        Event::NhrpShortcutRemoved { tunnel: tunnel(), prefix: prefix(), nbma },
        "dmvpn: 10.12.0.0/24 does not go to 203.0.113.9 any more",
    );
}

#[test]
fn of_the_gateway() {
    let remote = ip("198.51.100.2");
    says(
        Event::TunnelDown { tunnel: "site".into(), remote },
        "site is down: 198.51.100.2 does not answer keepalives",
    );
    says(Event::PathMtu { peer: remote, mtu: Some(1400) }, "path MTU of 198.51.100.2 is 1400 now");
    says(
        Event::PathMtu { peer: remote, mtu: None },
        "path MTU of 198.51.100.2 is its link's again",
    );
    says(
        Event::SaExpired(EventSa { direction: Direction::In, spi: 0x1001, remote }),
        "inbound SA 0x1001 of 198.51.100.2 has expired",
    );
    says(
        Event::SaMoved { spi: 0x1001, remote, address: ip("203.0.113.9"), port: 61000 },
        "peer 198.51.100.2 of SA 0x1001 is at 203.0.113.9 port 61000 now",
    );
    says(
        Event::Reloaded { config: "/etc/hub.toml".into(), added: 1, removed: 0, changed: 2 },
        "reloaded /etc/hub.toml: 1 added, 0 removed, 2 changed",
    );
    says(
        Event::Suppressed { about: EventClass::Peers, count: 990 },
        "990 more about peers, too many at once to tell of each",
    );
}
