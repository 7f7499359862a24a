//! Each table as it looks, and the widest of each kind on a screen of 100 columns.

mod events;
mod nhrp;

use std::num::NonZeroU16;

use serde_json::json;

use super::*;
use crate::api::protocol::UdpPorts;
use crate::api::report::*;

fn shows(reply: &Reply, expected: &str) {
    let text = text(reply);
    assert_eq!(text, expected, "\n{text}");
    for line in text.lines() {
        assert!(line.chars().count() < 100, "{line}");
        assert!(!line.ends_with(' '), "{line:?}");
    }
}

fn ip(address: &str) -> std::net::IpAddr {
    address.parse().unwrap()
}

fn traffic(packets: u64, octets: u64) -> Traffic {
    Traffic { packets, octets }
}

fn wan() -> Port {
    Port {
        name: "wan".into(),
        device: Some("0000:3b:00.1".into()),
        driver: Some("net_ixgbe".into()),
        parent: None,
        vlan: None,
        role: Role::Underlay,
        mac: "02:00:00:00:00:01".into(),
        addresses: vec!["198.51.100.1/24".into(), "2001:db8::1/64".into()],
        mtu: 1500,
        link: Link { up: true, speed_mbps: Some(10_000), full_duplex: true },
        offloads: vec!["rx_ipv4_cksum".into(), "tx_ipv4_cksum".into()],
        rx_queues: 2,
        tx_queues: 4,
        rx: ReceiveCounters {
            packets: 1_234_567,
            octets: 3_400_000_000,
            errors: 0,
            missed: 12_345,
        },
        tx: TransmitCounters { packets: 99, octets: 9_999, errors: 1 },
    }
}

#[test]
fn ports() {
    let vlan = Port {
        name: "lan30".into(),
        device: None,
        driver: None,
        parent: Some("lan".into()),
        vlan: Some(30),
        role: Role::Overlay,
        addresses: vec![],
        link: Link { up: false, speed_mbps: None, full_duplex: false },
        offloads: vec![],
        rx_queues: 0,
        tx_queues: 0,
        ..wan()
    };
    shows(
        &Reply::Ports(vec![wan(), vlan]),
        "\
PORT   ROLE      LINK           MTU  MAC                ADDRESSES        VLAN
wan    underlay  up 10 Gbit/s  1500  02:00:00:00:00:01  198.51.100.1/24  -
                                                        2001:db8::1/64
lan30  overlay   down          1500  02:00:00:00:00:01  -                30 of lan

PORT   RX PACKETS  OCTETS  ERRORS  MISSED  TX PACKETS  OCTETS  ERRORS
wan         1.2 M  3.4 GB       0  12.3 k          99  9999 B       1
lan30       1.2 M  3.4 GB       0  12.3 k          99  9999 B       1

PORT  DEVICE        DRIVER     RX QUEUES  TX QUEUES  OFFLOADS
wan   0000:3b:00.1  net_ixgbe          2          4  rx_ipv4_cksum
                                                     tx_ipv4_cksum
",
    );
}

#[test]
fn tunnels() {
    let hub = Tunnel {
        name: "dmvpn".into(),
        mode: TunnelMode::Mgre,
        source: "wan".into(),
        local: ip("198.51.100.1"),
        remote: None,
        key: Some(42),
        addresses: vec!["10.255.0.1/24".into()],
        up: true,
        down_reason: None,
        keepalive: None,
        mtu: 1400,
        mss: Some(1360),
        protection: Some("corp".into()),
        peers: 1200,
        rx: traffic(5_000_000_000, 4_100_000_000_000),
        tx: traffic(0, 0),
    };
    let site = Tunnel {
        name: "site".into(),
        mode: TunnelMode::Gre,
        remote: Some(ip("203.0.113.7")),
        key: None,
        up: false,
        down_reason: Some("keepalive".into()),
        keepalive: Some(Keepalive { period_seconds: 10, retries: 3, unanswered: 4 }),
        mss: None,
        protection: None,
        peers: 1,
        ..hub.clone()
    };
    shows(
        &Reply::Tunnels(vec![hub, site]),
        "\
TUNNEL  MODE  STATE            SOURCE  LOCAL         REMOTE       KEY   MTU   MSS  PROTECTION
dmvpn   mgre  up               wan     198.51.100.1  -             42  1400  1360  corp
site    gre   down: keepalive  wan     198.51.100.1  203.0.113.7    -  1400     -  clear

TUNNEL  ADDRESSES      PEERS  KEEPALIVE              RX PACKETS  OCTETS  TX PACKETS  OCTETS
dmvpn   10.255.0.1/24   1200  -                           5.0 G  4.1 TB           0     0 B
site    10.255.0.1/24      1  4/3 missed, every 10s       5.0 G  4.1 TB           0     0 B
",
    );
}

#[test]
fn peers() {
    let spoke = Peer {
        tunnel: "dmvpn".into(),
        protocol: vec![ip("10.255.0.9")],
        nbma: ip("198.51.100.9"),
        nbma_port: None,
        kind: PeerKind::Static,
        next_hop: NextHopState::Unresolved,
        protection: PeerProtection::Protected,
        spi_in: Some(0x1001),
        spi_out: Some(0xfeed_beef),
        rx: traffic(1_234_567, 3_400_000_000),
        tx: traffic(7, 420),
    };
    let site = Peer {
        tunnel: "site".into(),
        protocol: vec![],
        nbma: ip("203.0.113.7"),
        nbma_port: NonZeroU16::new(61_002),
        kind: PeerKind::Remote,
        next_hop: NextHopState::Resolved,
        protection: PeerProtection::NoSa,
        spi_in: None,
        spi_out: None,
        rx: traffic(0, 0),
        tx: traffic(0, 0),
    };
    shows(
        &Reply::Peers(vec![spoke, site]),
        "\
TUNNEL  PROTOCOL    NBMA          KIND    NEXT HOP    PROTECTION  DIR  SPI         PACKETS  OCTETS
dmvpn   10.255.0.9  198.51.100.9  static  unresolved  protected   in   0x00001001    1.2 M  3.4 GB
                                                                  out  0xfeedbeef        7   420 B
site    -           203.0.113.7   remote  resolved    no SA       in   -                 0     0 B
                    port 61002                                    out  -                 0     0 B
",
    );
}

fn outbound() -> Sa {
    Sa {
        slot: 3,
        direction: Direction::Out,
        spi: 0x1001,
        profile: "corp".into(),
        mode: EspMode::Transport,
        algorithm: "aes256gcm16".into(),
        crypto: Some("crypto_aesni_gcm0".into()),
        local: ip("198.51.100.1"),
        remote: ip("198.51.100.2"),
        udp: Some(UdpPorts {
            local: NonZeroU16::new(4500).unwrap(),
            remote: NonZeroU16::new(61000).unwrap(),
        }),
        esn: true,
        sequence: 4_294_967_296,
        window: None,
        packets: 4_294_967_296,
        octets: 5_500_000_000_000,
        replays: 0,
        forgeries: 0,
        lifetime: LifetimeLeft {
            seconds: Some(3552),
            octets: Some(1_200_000_000_000),
            packets: Some(4_000_000_000),
        },
        state: SaState::Active,
    }
}

#[test]
fn security_associations() {
    let inbound = Sa {
        slot: 0,
        direction: Direction::In,
        mode: EspMode::Tunnel,
        crypto: None,
        udp: None,
        esn: false,
        sequence: 12,
        window: Some(4096),
        packets: 12,
        octets: 720,
        replays: 3,
        forgeries: 1,
        lifetime: LifetimeLeft::default(),
        state: SaState::Expired,
        ..outbound()
    };
    shows(
        &Reply::Sa(vec![outbound(), inbound]),
        "\
DIR  SPI         PROFILE  MODE       ALGORITHM    LOCAL         REMOTE        UDP         STATE
out  0x00001001  corp     transport  aes256gcm16  198.51.100.1  198.51.100.2  4500-61000  active
in   0x00001001  corp     tunnel     aes256gcm16  198.51.100.1  198.51.100.2  -           expired

DIR  SPI         SLOT  ESN    SEQUENCE  WINDOW  PACKETS  OCTETS  REPLAYS  FORGERIES        LEFT
out  0x00001001     3  yes  4294967296       -    4.3 G  5.5 TB        0          0     59m 12s
                                                                                         1.2 TB
                                                                                     4.0 G pkts
in   0x00001001     0  no           12    4096       12   720 B        3          1           -
",
    );
}

#[test]
fn routes() {
    let hop = |via: Option<&str>, interface: &str, state| NextHop {
        via: via.map(ip),
        interface: interface.into(),
        state,
    };
    let shared = Route {
        table: RouteTable::Overlay,
        prefix: "10.2.0.0/16".into(),
        source: RouteSource::Static,
        next_hops: vec![
            hop(Some("10.255.0.2"), "dmvpn", NextHopState::Resolved),
            hop(Some("10.255.0.3"), "dmvpn", NextHopState::Unresolved),
        ],
    };
    let connected = Route {
        table: RouteTable::Underlay,
        prefix: "198.51.100.0/24".into(),
        source: RouteSource::Connected,
        next_hops: vec![hop(None, "wan", NextHopState::Down)],
    };
    shows(
        &Reply::Routes(vec![shared, connected]),
        "\
TABLE     PREFIX           SOURCE     VIA         INTERFACE  STATE
overlay   10.2.0.0/16      static     10.255.0.2  dmvpn      resolved
                                      10.255.0.3  dmvpn      unresolved
underlay  198.51.100.0/24  connected  direct      wan        down
",
    );
}

#[test]
fn stages() {
    let stage = |stage: &str, calls, packets, cycles| Stage {
        core: 2,
        stage: stage.into(),
        instance: 0,
        calls,
        packets,
        cycles,
    };
    let stages = vec![stage("esp_seal", 1000, 31_960, 6_392_000), stage("replicate", 0, 0, 0)];
    shows(
        &Reply::Stages(stages),
        "\
CORE  STAGE      INSTANCE  CALLS  PACKETS  PACKETS/CALL  CYCLES/PACKET
   2  esp_seal          0   1000   32.0 k          32.0          200.0
   2  replicate         0      0        0             -              -
",
    );
}

#[test]
fn drops() {
    let seen = Drop {
        reason: "unknown_spi".into(),
        description: "SPI that no SA uses".into(),
        stage: Some("classify".into()),
        core: Some(2),
        count: 12_345,
    };
    let unseen = Drop {
        reason: "esp_padding".into(),
        description: "ESP padding length or octets wrong".into(),
        stage: None,
        core: None,
        count: 0,
    };
    shows(
        &Reply::Drops(vec![seen, unseen]),
        "\
PACKETS  REASON       STAGE     CORE  DESCRIPTION
 12.3 k  unknown_spi  classify     2  SPI that no SA uses
      0  esp_padding  -            -  ESP padding length or octets wrong
",
    );
}

#[test]
fn cores() {
    let busy = Core {
        core: 2,
        polls: 1_000_000,
        polls_busy: 250_000,
        cycles: 3_000_000_000,
        cycles_busy: 1_000_000_000,
        packets: 8_000_000,
    };
    let new = Core { core: 13, polls: 0, polls_busy: 0, cycles: 0, cycles_busy: 0, packets: 0 };
    shows(
        &Reply::Cores(vec![busy, new]),
        "\
CORE  BUSY %  POLLS  BUSY POLLS  PACKETS
   2    33.3  1.0 M     250.0 k    8.0 M
  13       -      0           0        0
",
    );
}

#[test]
fn neighbors() {
    let known = Neighbor {
        interface: "lan".into(),
        address: ip("10.1.0.7"),
        mac: Some("02:00:00:00:00:07".into()),
        state: NeighborState::Reachable,
        age_seconds: Some(75),
        waiting: 0,
    };
    let asked = Neighbor {
        address: ip("fe80::7"),
        mac: None,
        state: NeighborState::Incomplete,
        age_seconds: None,
        waiting: 3,
        ..known.clone()
    };
    shows(
        &Reply::Neighbors(vec![known, asked]),
        "\
PORT  ADDRESS   MAC                STATE          AGE  WAITING
lan   10.1.0.7  02:00:00:00:00:07  reachable   1m 15s        0
lan   fe80::7   -                  incomplete       -        3
",
    );
}

#[test]
fn nothing_is_said_in_words() {
    shows(&Reply::NhrpCache(vec![]), "no bindings\n");
    shows(&Reply::NhrpServers(vec![]), "no next hop servers\n");
    shows(&Reply::NhrpMulticast(vec![]), "no peer gets multicast packets\n");
    shows(&Reply::NhrpTraffic(vec![]), "no mGRE tunnels\n");
    shows(&Reply::Ports(vec![]), "no ports\n");
    shows(&Reply::Tunnels(vec![]), "no tunnels\n");
    shows(&Reply::Peers(vec![]), "no peers\n");
    shows(&Reply::Sa(vec![]), "no security associations\n");
    shows(&Reply::Routes(vec![]), "no routes\n");
    shows(&Reply::Stages(vec![]), "no stages\n");
    shows(&Reply::Drops(vec![]), "nothing was dropped\n");
    shows(&Reply::Cores(vec![]), "no cores\n");
    shows(&Reply::Neighbors(vec![]), "no neighbours\n");
}

#[test]
fn results() {
    shows(&Reply::Cleared { entries: 3 }, "cleared: 3\n");
    shows(
        &Reply::SaAdded(Sa { packets: 0, ..outbound() }),
        "added: out 0x00001001 aes256gcm16 198.51.100.2, 0 packets so far\n",
    );
    shows(&Reply::Reloaded(Reload::default()), "nothing has changed\n");
    let reload = Reload {
        added: vec!["route 10.3.0.0/16".into(), "tunnel site".into()],
        removed: vec!["route 10.2.0.0/16".into()],
        changed: vec!["tunnel dmvpn".into()],
        warnings: vec!["hub.toml:3:1: warning: port[0].mtu: below 1280".into()],
    };
    shows(
        &Reply::Reloaded(reload),
        "\
hub.toml:3:1: warning: port[0].mtu: below 1280
+ route 10.3.0.0/16
+ tunnel site
- route 10.2.0.0/16
~ tunnel dmvpn
2 added, 1 removed, 1 changed
",
    );
}

#[test]
fn topology_is_text_or_a_graph() {
    let reply = Reply::Topology(Topology { text: "rx > tx\n".into(), graph: json!({"n": [1]}) });
    shows(&reply, "rx > tx\n");
    let mut output = Vec::new();
    json(&reply, &mut output).unwrap();
    assert_eq!(String::from_utf8(output).unwrap(), "{\n  \"n\": [\n    1\n  ]\n}\n");
}

#[test]
fn json_is_exact_and_what_came_over_the_socket() {
    let sas = vec![outbound()];
    let mut output = Vec::new();
    json(&Reply::Sa(sas.clone()), &mut output).unwrap();
    assert_eq!(serde_json::from_slice::<Vec<Sa>>(&output).unwrap(), sas);
    let value: serde_json::Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(value[0]["sequence"], json!(4_294_967_296_u64));
    assert_eq!(value[0]["direction"], json!("out"));
    assert_eq!(value[0]["window"], json!(null));
}
