//! What a configuration that loads means.

use std::num::{NonZeroU8, NonZeroU16, NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use aead::Algorithm;
use dataplane::engine::topology::{CoreId, Placement, StageKind};

use super::{PORTS, fixtures, parse, shown};
use crate::config::*;

const WAN: PortId = PortId(0);
const LAN: PortId = PortId(1);
const CORP: ProfileId = ProfileId(0);
const DMVPN: TunnelId = TunnelId(0);
const BRANCH: TunnelId = TunnelId(1);

fn good() -> Config {
    let text = std::fs::read_to_string(fixtures().join("good.toml")).unwrap();
    parse(&text).unwrap_or_else(|found| panic!("{:#?}", shown(&found)))
}

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().unwrap()
}

fn prefix(text: &str) -> wire::IpPrefix {
    text.parse().unwrap()
}

#[test]
fn process() {
    let Config { system, pipeline, .. } = good();
    let expected = System {
        name: "hub".to_owned(),
        socket: PathBuf::from("/tmp/hub.sock"),
        hugepages: Hugepages::Off,
        memory_octets: 256 << 20,
        mbufs: 16_384,
        log: LogLevel::Debug,
    };
    assert_eq!(system, expected);
    let place = |stage, cores: &[u16]| {
        let cores = cores.iter().copied().map(CoreId).collect();
        Placement { stage, cores }
    };
    let (rx, tx) = (place(StageKind::Rx, &[2]), place(StageKind::Tx, &[2]));
    let stages = vec![rx, place(StageKind::EspSeal, &[3, 4]), tx];
    let layout = Layout::Explicit { stages };
    let crypto = Some("crypto_aesni_gcm0".to_owned());
    assert_eq!(pipeline, Pipeline { layout, poll: Poll::Busy, burst: 32, ring: 2048, crypto });
}

#[test]
fn ports() {
    let [wan, lan, vlan] = good().ports.try_into().unwrap();
    let neighbor =
        Neighbor { address: ip("198.51.100.254"), mac: wire::MacAddr([2, 0, 0x5e, 0, 0x53, 1]) };
    let expected = Port {
        name: "wan".to_owned(),
        attachment: Attachment::Device {
            device: "net_af_packet0,iface=wan0".to_owned(),
            rx_queues: NonZeroU16::new(2),
            tx_queues: NonZeroU16::new(3),
            offloads: Offloads::Off,
        },
        role: Role::Underlay,
        addresses: ["198.51.100.1/24", "2001:db8:1::1/64"].map(|own| own.parse().unwrap()).into(),
        mtu: 1504,
        directed_broadcast: false,
        neighbors: vec![neighbor],
    };
    assert_eq!(wan, expected);
    assert_eq!((lan.role, lan.mtu, lan.directed_broadcast), (Role::Overlay, 9000, true));
    let expected = Attachment::Vlan { parent: LAN, vlan: VlanId::new(10).unwrap() };
    assert_eq!((vlan.attachment, vlan.mtu), (expected, 1500));
}

/// NHRP where nothing is said about it.
fn silent() -> Nhrp {
    Nhrp {
        network_id: None,
        authentication: None,
        holdtime: Duration::from_secs(600),
        registration: None,
        unique: true,
        nhs: vec![],
        active: None,
        redirect: false,
        shortcut: false,
    }
}

#[test]
fn tunnels() {
    let [dmvpn, branch, six] = good().tunnels.try_into().unwrap();
    let map = [("10.255.0.2", "198.51.100.2"), ("10.255.0.9", "203.0.113.9")]
        .map(|(protocol, nbma)| NhrpMap { protocol: ip(protocol), nbma: ip(nbma) });
    let expected = Tunnel {
        name: "dmvpn".to_owned(),
        mode: TunnelMode::Mgre {
            map: map.into(),
            multicast: Multicast::Peers(vec![ip("203.0.113.9")]),
            nhrp: Nhrp {
                network_id: NonZeroU32::new(7),
                authentication: Some(::nhrp::Secret::new(b"s3cret").unwrap()),
                holdtime: Duration::from_secs(300),
                registration: Some(Duration::from_secs(30)),
                unique: false,
                nhs: vec![Nhs {
                    host: ip("203.0.113.9").into(),
                    protocol: Some(ip("10.255.0.9")),
                    priority: 2,
                    group: 1,
                }],
                active: NonZeroU8::new(1),
                redirect: true,
                shortcut: true,
            },
        },
        source: WAN,
        local: ip("198.51.100.1"),
        key: Some(42),
        checksum: false,
        sequence: GreSequence::Off,
        addresses: vec!["10.255.0.1/24".parse().unwrap()],
        mtu: Some(1400),
        mss_clamp: false,
        ttl: NonZeroU8::new(64).unwrap(),
        dscp: Dscp::Copy,
        df: Df::Copy,
        fragment: Fragment::Before,
        protection: Some(CORP),
    };
    assert_eq!(dmvpn, expected);
    let keepalive =
        Keepalive { period: Duration::from_secs(10), retries: NonZeroU8::new(4).unwrap() };
    let expected = Tunnel {
        name: "branch".to_owned(),
        mode: TunnelMode::Gre { remote: ip("203.0.113.7"), keepalive: Some(keepalive) },
        key: None,
        checksum: true,
        sequence: GreSequence::Ordered,
        addresses: vec!["10.254.0.1/30".parse().unwrap()],
        mtu: None,
        mss_clamp: true,
        ttl: NonZeroU8::new(32).unwrap(),
        dscp: Dscp::Set(46),
        df: Df::Set,
        fragment: Fragment::After,
        protection: None,
        ..dmvpn
    };
    assert_eq!(branch, expected);
    assert_eq!(six.local, ip("2001:db8:1::1"));
    let hub = Nhs {
        host: ::nhrp::Host::Name("hub.example.net".into()),
        protocol: None,
        priority: 0,
        group: 0,
    };
    let authentication = Some(::nhrp::Secret::new(b"s3cret").unwrap());
    let nhrp = Nhrp { authentication, nhs: vec![hub], ..silent() };
    assert_eq!(six.mode, TunnelMode::Mgre { map: vec![], multicast: Multicast::Servers, nhrp });
}

#[test]
fn profiles_and_sas() {
    let Config { profiles, sas, .. } = good();
    let expected = Profile {
        name: "corp".to_owned(),
        mode: EspMode::Tunnel,
        esp: vec![Algorithm::Aes256Gcm16, Algorithm::Aes128Gcm16],
        replay: AntiReplay::Short(ReplayWindow::new(1024)),
        lifetime: Lifetime {
            time: Some(Duration::from_secs(5400)),
            octets: NonZeroU64::new(1_000_000_000_000),
            packets: NonZeroU64::new(4_000_000_000),
        },
    };
    assert_eq!(profiles, [expected]);
    let key = |octet: u8, algorithm: Algorithm| {
        let contents = vec![octet | 0x80; algorithm.material_len()];
        KeyMaterial::from_file_contents(&contents, algorithm).unwrap()
    };
    let ports = |local_port, remote_port| {
        let [local_port, remote_port] =
            [local_port, remote_port].map(|port| NonZeroU16::new(port).unwrap());
        Some(UdpEncap { local_port, remote_port })
    };
    let inbound = ManualSa {
        profile: CORP,
        direction: Direction::In,
        remote: ip("198.51.100.2"),
        local: ip("198.51.100.1"),
        spi: Spi::new(0x1000).unwrap(),
        algorithm: Algorithm::Aes256Gcm16,
        key: key(b'i', Algorithm::Aes256Gcm16),
        udp_encap: ports(4500, 31_000),
    };
    let outbound = ManualSa {
        direction: Direction::Out,
        spi: Spi::new(0x1001).unwrap(),
        algorithm: Algorithm::Aes128Gcm16,
        key: key(b'o', Algorithm::Aes128Gcm16),
        udp_encap: ports(4501, 31_000),
        ..inbound.clone()
    };
    let behind_nat = ManualSa {
        remote: ip("203.0.113.9"),
        spi: Spi::new(0x1002).unwrap(),
        key: key(b'n', Algorithm::Aes256Gcm16),
        udp_encap: ports(4500, 4500),
        ..inbound.clone()
    };
    assert_eq!(sas, [inbound, outbound, behind_nat]);
}

#[test]
fn policies() {
    let select = |src, dst, upper| Selector { src: prefix(src), dst: prefix(dst), upper };
    let (src, dst) = (PortRange::new(5000, 5100).unwrap(), PortRange::new(53, 53).unwrap());
    let expected = [
        Policy {
            port: WAN,
            select: select(
                "10.1.0.0/16",
                "10.3.0.0/16",
                UpperLayer::Ports { protocol: 17, src, dst },
            ),
            action: Action::Protect { profile: CORP, remote: ip("198.51.100.2") },
        },
        Policy {
            port: WAN,
            select: select("198.51.100.1/32", "0.0.0.0/0", UpperLayer::Protocol(47)),
            action: Action::Bypass,
        },
        Policy {
            port: WAN,
            select: select("2001:db8::/32", "::/0", UpperLayer::Any),
            action: Action::Discard,
        },
    ];
    assert_eq!(good().policies, expected);
}

#[test]
fn routes_with_gateways_and_multicast() {
    let Config { routes, multicast, .. } = good();
    let gateway = |address, interface| NextHop::Gateway { address: ip(address), interface };
    let [wan, vlan] = [WAN, PortId(2)].map(Interface::Port);
    let [dmvpn, branch] = [DMVPN, BRANCH].map(Interface::Tunnel);
    let route = |table, text, next_hops| Route { table, prefix: prefix(text), next_hops };
    let expected = [
        route(Table::Underlay, "0.0.0.0/0", vec![gateway("198.51.100.254", wan)]),
        route(Table::Underlay, "::/0", vec![gateway("fe80::1", wan)]),
        route(Table::Overlay, "0.0.0.0/0", vec![gateway("10.1.10.254", vlan)]),
        route(
            Table::Overlay,
            "10.2.0.0/16",
            vec![
                gateway("10.255.0.2", dmvpn),
                gateway("10.255.0.9", dmvpn),
                NextHop::Direct(branch),
            ],
        ),
        route(Table::Underlay, "203.0.113.128/25", vec![gateway("198.51.100.253", wan)]),
    ];
    assert_eq!(routes, expected);
    let groups = vec![
        Group::Multicast(prefix("239.0.0.0/8")),
        Group::Multicast(prefix("ff0e::/16")),
        Group::LimitedBroadcast,
    ];
    let interfaces = vec![Interface::Port(LAN), branch];
    assert_eq!(multicast, [MulticastRule { groups, interfaces }]);
}

#[test]
fn defaults() {
    let Config { system, pipeline, ports, warnings, .. } = parse(PORTS).unwrap();
    let expected = System {
        name: "greyhound".to_owned(),
        socket: PathBuf::from("/run/greyhound/greyhound.sock"),
        hugepages: Hugepages::Auto,
        memory_octets: 512_000_000,
        mbufs: 32_768,
        log: LogLevel::Info,
    };
    assert_eq!(system, expected);
    let layout = Layout::RunToCompletion { cores: None };
    assert_eq!(
        pipeline,
        Pipeline { layout, poll: Poll::Adaptive, burst: 64, ring: 1024, crypto: None }
    );
    let attachment = Attachment::Device {
        device: "net_null1".to_owned(),
        rx_queues: None,
        tx_queues: None,
        offloads: Offloads::Auto,
    };
    assert_eq!((&ports[1].attachment, ports[1].mtu), (&attachment, 1500));
    assert_eq!(warnings, []);
}

#[test]
fn the_socket_is_named_after_the_gateway() {
    let config = parse(&format!("[system]\nname = \"spoke-7\"\n{PORTS}")).unwrap();
    assert_eq!(config.system.socket, PathBuf::from("/run/greyhound/spoke-7.sock"));
}

#[test]
fn a_default_route_may_lead_into_a_tunnel() {
    let text = format!(
        "{PORTS}\n[[tunnel]]\nname = \"t\"\nmode = \"gre\"\nsource = \"wan\"\n\
         remote = \"203.0.113.7\"\n[[route]]\nprefix = \"0.0.0.0/0\"\nvia = \"t\"\n"
    );
    let config = parse(&text).unwrap_or_else(|found| panic!("{:#?}", shown(&found)));
    assert_eq!(config.routes[1].next_hops, [NextHop::Direct(Interface::Tunnel(TunnelId(0)))]);
}

#[test]
fn a_mapped_address_outside_of_the_tunnel_prefix_is_a_next_hop() {
    let text = format!(
        "{PORTS}\n[[tunnel]]\nname = \"t\"\nmode = \"mgre\"\nsource = \"wan\"\n\
         addresses = [\"10.255.0.1/32\"]\n[tunnel.nhrp]\n\
         map = [{{ protocol = \"10.255.0.2\", nbma = \"203.0.113.2\" }}]\n\
         [[route]]\nprefix = \"10.2.0.0/16\"\nvia = \"10.255.0.2\"\n"
    );
    let config = parse(&text).unwrap_or_else(|found| panic!("{:#?}", shown(&found)));
    let interface = Interface::Tunnel(TunnelId(0));
    let next_hop = NextHop::Gateway { address: ip("10.255.0.2"), interface };
    assert_eq!(config.routes[1].next_hops, [next_hop]);
}

/// The figures of GRE over ESP with AES-GCM and a path of 1500 octets: outer IP 20, SPI and
/// sequence number 8, IV 8, ICV 16, and 1448 octets of GRE, inner packet, padding and trailer.
#[test]
fn the_largest_inner_mtu_leaves_room_for_everything_around() {
    let mut config = good();
    config.ports[0].mtu = 1500;
    config.sas.clear();
    let mut tunnel = config.tunnels[0].clone();
    config.profiles[0].mode = EspMode::Transport;
    assert_eq!(config.largest_inner_mtu(&tunnel), 1448 - 2 - 8);
    tunnel.key = None;
    assert_eq!(config.largest_inner_mtu(&tunnel), 1448 - 2 - 4);
    config.profiles[0].mode = EspMode::Tunnel;
    assert_eq!(config.largest_inner_mtu(&tunnel), 1448 - 2 - 4 - 20);
    tunnel.protection = None;
    assert_eq!(config.largest_inner_mtu(&tunnel), 1500 - 24);
    tunnel.local = ip("2001:db8::1");
    tunnel.checksum = true;
    tunnel.sequence = GreSequence::Send;
    assert_eq!(config.largest_inner_mtu(&tunnel), 1500 - 40 - 12);
}

/// Every key that the documentation has is in the good example, and so is accepted.
#[test]
fn the_documentation_and_the_example_have_the_same_keys() {
    let documentation = include_str!("../../../../docs/configuration.md");
    let example = std::fs::read_to_string(fixtures().join("good.toml")).unwrap();
    let documented: std::collections::BTreeSet<_> = documentation
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(key, _)| key)
        .collect();
    let is_key = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
    let used: std::collections::BTreeSet<_> = example
        .lines()
        .filter(|line| !line.starts_with(['#', '[']))
        .flat_map(|line| line.split([',', '{']))
        .filter_map(|part| part.split_once('=').map(|(key, _)| key.trim()))
        .filter(is_key)
        .filter(|key| *key != "iface")
        .chain(["nhrp", "cores"])
        .collect();
    for key in &used {
        assert!(documented.contains(key), "{key} is not documented");
    }
    for key in &documented {
        assert!(used.contains(key), "{key} is documented, but not in the example");
    }
}

#[test]
fn presets_take_cores_or_choose_them() {
    let layout =
        |lines: &str| parse(&format!("[pipeline]\n{lines}\n{PORTS}")).unwrap().pipeline.layout;
    let cores = Some(vec![CoreId(4), CoreId(2)]);
    assert_eq!(layout("preset = \"elephant\""), Layout::Elephant { cores: None });
    let text = "preset = \"elephant\"\ncores = [4, 2]";
    assert_eq!(layout(text), Layout::Elephant { cores: cores.clone() });
    let text = "preset = \"pipeline\"\ncores = [4, 2]";
    assert_eq!(layout(text), Layout::Pipeline { cores });
}
