//! Tables of NHRP.

use super::*;

#[test]
fn bindings_shortcuts_servers_and_messages() {
    let registered = NhrpBinding {
        tunnel: "dmvpn".into(),
        protocol: ip("10.255.0.9"),
        nbma: ip("203.0.113.9"),
        nbma_port: None,
        claimed: Some(ip("192.168.1.2")),
        kind: NhrpKind::Registered,
        expires_seconds: Some(75),
    };
    let fixed = NhrpBinding {
        protocol: ip("10.255.0.2"),
        claimed: None,
        kind: NhrpKind::Static,
        expires_seconds: None,
        ..registered.clone()
    };
    shows(
        &Reply::NhrpCache(vec![fixed, registered]),
        "\
TUNNEL  PROTOCOL    NBMA         CLAIMED      KIND        EXPIRES
dmvpn   10.255.0.2  203.0.113.9  -            static            -
dmvpn   10.255.0.9  203.0.113.9  192.168.1.2  registered   1m 15s
",
    );
    let shortcut = NhrpShortcut {
        tunnel: "dmvpn".into(),
        prefix: "10.12.0.0/24".into(),
        via: ip("10.255.0.12"),
        nbma: ip("203.0.113.12"),
        nbma_port: None,
        expires_seconds: 540,
    };
    shows(
        &Reply::NhrpShortcuts(vec![shortcut]),
        "\
TUNNEL  PREFIX        VIA          NBMA          EXPIRES
dmvpn   10.12.0.0/24  10.255.0.12  203.0.113.12    9m 0s
",
    );
    let server = NhrpServer {
        tunnel: "dmvpn".into(),
        name: None,
        nbma: Some(ip("198.51.100.1")),
        protocol: None,
        outside: Some(ip("203.0.113.9")),
        state: NhrpServerState::Registering,
    };
    let named = NhrpServer {
        name: Some("hub.example.net".into()),
        nbma: None,
        outside: None,
        state: NhrpServerState::Unresolved,
        ..server.clone()
    };
    shows(
        &Reply::NhrpServers(vec![server, named]),
        "\
TUNNEL  NAME             NBMA          PROTOCOL  STATE        NAT
dmvpn   -                198.51.100.1  -         registering  203.0.113.9
dmvpn   hub.example.net  -             -         unresolved   -
",
    );
    let messages = |kind: &str, received, sent| NhrpMessages { kind: kind.into(), received, sent };
    let traffic = NhrpTraffic {
        tunnel: "dmvpn".into(),
        messages: vec![
            messages("registration_request", 7, 0),
            messages("registration_reply", 0, 6),
        ],
        drops: vec![NhrpDrops { reason: "authentication".into(), count: 1 }],
    };
    shows(
        &Reply::NhrpTraffic(vec![traffic]),
        "\
TUNNEL  MESSAGE               RECEIVED  SENT
dmvpn   registration request         7     0
        registration reply           0     6

TUNNEL  DROPPED         COUNT
dmvpn   authentication      1
",
    );
}

#[test]
fn an_overview_says_what_there_is_not() {
    let spoke = NhrpBinding {
        tunnel: "dmvpn".into(),
        protocol: ip("10.255.0.9"),
        nbma: ip("203.0.113.9"),
        nbma_port: NonZeroU16::new(61_002),
        claimed: None,
        kind: NhrpKind::Registered,
        expires_seconds: Some(75),
    };
    let overview = NhrpOverview { servers: vec![], cache: vec![spoke], shortcuts: vec![] };
    shows(
        &Reply::Nhrp(overview.clone()),
        "\
no next hop servers

TUNNEL  PROTOCOL    NBMA               CLAIMED  KIND        EXPIRES
dmvpn   10.255.0.9  203.0.113.9:61002  -        registered   1m 15s

no shortcuts
",
    );
    let mut output = Vec::new();
    json(&Reply::Nhrp(overview.clone()), &mut output).unwrap();
    assert_eq!(serde_json::from_slice::<NhrpOverview>(&output).unwrap(), overview);
}

#[test]
fn receivers_of_multicast() {
    let listed = NhrpReceiver {
        tunnel: "dmvpn".into(),
        nbma: ip("203.0.113.9"),
        nbma_port: None,
        protocol: vec![],
        reason: NhrpReceiverReason::Listed,
    };
    let registered = NhrpReceiver {
        tunnel: "other".into(),
        protocol: vec![ip("10.254.0.9"), ip("10.254.0.10")],
        reason: NhrpReceiverReason::Registered,
        ..listed.clone()
    };
    shows(
        &Reply::NhrpMulticast(vec![listed, registered]),
        "\
TUNNEL  NBMA         PROTOCOL     BECAUSE
dmvpn   203.0.113.9  -            listed
other   203.0.113.9  10.254.0.9   registered
                     10.254.0.10
",
    );
}
