//! The tables of one gateway, as the control thread would build them.
//!
//! ```text
//! hosts 10.N.0.10, fd00:N::a — 10.N.0.1/16, fd00:N::1/32 | gateway N | 192.0.2.N, 2001:db8::N
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use aead::{Backend, Key};
use dataplane::counters::{SaCounters, traffic};
use dataplane::drops::DropReason;
use dataplane::packet::NONE;
use dataplane::replay::ReplayWindow;
use dataplane::tables::encap::{DfPolicy, DscpPolicy, EspSpec, GreSpec};
use dataplane::tables::fib::{Fib4, Fib6, Next, Prefix};
use dataplane::tables::policy::{ANY_PORT, Action, Networks, Selector};
use dataplane::tables::{
    Adjacency, DeviceKey, Encap, EncapSpec, Fib, InboundSa, Interface, Interfaces, L2Rewrite,
    MulticastRule, OutboundSa, Peer, Policy, Protection, Replica, ReplicationList, Role, SaTable,
    Tables, Tunnel, TunnelMap,
};
use dpdk::crypto::{CryptoDevice, Direction};
use wire::MacAddr;

use super::esp::Esp;
use super::frame::frame;
use super::gateway::{LAN, WAN};
use super::oracle;

/// Interface index of the LAN port.
pub const LAN_INTERFACE: u16 = 0;
/// Interface index of the WAN port.
pub const WAN_INTERFACE: u16 = 1;
/// Interface index of the tunnel.
pub const TUNNEL: u16 = 2;
/// Profile that protects the tunnel.
pub const PROFILE: u16 = 3;
/// Groups that are forwarded.
pub const GROUPS: (Ipv4Addr, Ipv4Addr) =
    (Ipv4Addr::new(239, 0, 0, 0), Ipv4Addr::new(239, 255, 255, 255));
/// Most cores of a gateway: shards of its counters.
const CORES_MAX: usize = 8;

/// What is between two gateways.
#[derive(Debug, Clone)]
pub struct Link {
    pub gre: Option<GreSpec>,
    pub esp: Option<Esp>,
    pub underlay_v6: bool,
    pub multipoint: bool,
    pub ordered: bool,
    pub path_mtu: u16,
    pub mtu: Option<u16>,
    pub fragment_after: bool,
    pub clamp_mss: bool,
    pub redirect: bool,
    pub dscp: DscpPolicy,
    pub df: DfPolicy,
    pub lan_vlan: Option<u16>,
    pub wan_vlan: Option<u16>,
}

impl Default for Link {
    /// GRE with key 42, point-to-point, in clear.
    fn default() -> Self {
        Link {
            gre: Some(GreSpec { key: Some(42), checksum: false, sequence: false }),
            esp: None,
            underlay_v6: false,
            multipoint: false,
            ordered: false,
            path_mtu: 1500,
            mtu: None,
            fragment_after: false,
            clamp_mss: false,
            redirect: false,
            dscp: DscpPolicy::Copy,
            df: DfPolicy::Copy,
            lan_vlan: None,
            wan_vlan: None,
        }
    }
}

impl Link {
    /// mGRE under ESP in transport mode: what a DMVPN uses.
    pub fn dmvpn() -> Self {
        Link { esp: Some(Esp::TRANSPORT), multipoint: true, ..Link::default() }
    }

    /// IPsec alone, in tunnel mode.
    pub fn ipsec() -> Self {
        Link { gre: None, esp: Some(Esp::TUNNEL), ..Link::default() }
    }
}

/// A gateway's tables in the making.
#[derive(Clone)]
pub struct Site {
    pub number: u8,
    pub link: Link,
    pub interfaces: Vec<Interface>,
    pub adjacencies: Vec<Adjacency>,
    pub overlay_v4: Vec<(Prefix<u32>, Next)>,
    pub overlay_v6: Vec<(Prefix<u128>, Next)>,
    pub underlay_v4: Vec<(Prefix<u32>, Next)>,
    pub neighbors: Vec<((u16, IpAddr), u32)>,
    pub tunnels: Vec<Tunnel>,
    pub peers: Vec<(IpAddr, Peer)>,
    pub inbound: Vec<Arc<InboundSa>>,
    pub outbound: Vec<Arc<OutboundSa>>,
    pub policies: Vec<Policy>,
    pub multicast: Vec<MulticastRule>,
}

pub fn lan_mac(site: u8) -> [u8; 6] {
    [2, 0, 0, 1, 0, site]
}

pub fn wan_mac(site: u8) -> [u8; 6] {
    [2, 0, 0, 2, 0, site]
}

pub fn host_mac(site: u8, host: u8) -> [u8; 6] {
    [2, 0, 0, 3, site, host]
}

pub fn nbma(site: u8, v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, site.into()).into()
    } else {
        Ipv4Addr::new(192, 0, 2, site).into()
    }
}

/// SPI of what `from` sends to `to`.
pub fn spi(from: u8, to: u8) -> u32 {
    0x1000 + u32::from(from) * 256 + u32::from(to)
}

/// The SA from one site to another, for the oracle.
pub fn oracle_sa(from: u8, to: u8, esp: &Esp) -> oracle::Sa {
    let length = esp.algorithm.material_len();
    let material = (0..length).map(|i| (i as u8).wrapping_mul(7) ^ from.wrapping_mul(16) ^ to);
    oracle::Sa { material: material.collect(), spi: spi(from, to), esn: esp.esn }
}

pub fn key(from: u8, to: u8, esp: &Esp) -> Key {
    Key::new(esp.algorithm, Backend::detect(), &oracle_sa(from, to, esp).material).unwrap()
}

pub fn prefix(address: &str, length: u8) -> Prefix<u32> {
    let address: Ipv4Addr = address.parse().unwrap();
    Prefix::new(address.to_bits(), length).unwrap()
}

pub fn prefix6(address: &str, length: u8) -> Prefix<u128> {
    let address: Ipv6Addr = address.parse().unwrap();
    Prefix::new(address.to_bits(), length).unwrap()
}

fn interface(index: u16, port: u16, role: Role, mac: [u8; 6], own: [IpAddr; 2]) -> Interface {
    let mut interface = Interface {
        tx_checksum: false,
        index,
        port,
        vlan: None,
        role,
        mac: MacAddr(mac),
        mtu: 1500,
        addresses_v4: Vec::new(),
        addresses_v6: Vec::new(),
        policy: None,
    };
    for address in own {
        match address {
            IpAddr::V4(a) => interface.addresses_v4.push(a.to_bits()),
            IpAddr::V6(a) => interface.addresses_v6.push(a.to_bits()),
        }
    }
    interface
}

impl Site {
    /// Gateway `number` with a link to each of `peers`.
    pub fn new(number: u8, peers: &[u8], link: &Link) -> Self {
        let n = u16::from(number);
        let lan_v4 = Ipv4Addr::new(10, number, 0, 1);
        let lan_v6 = Ipv6Addr::new(0xfd00, n, 0, 0, 0, 0, 0, 1);
        let own = [nbma(number, false), nbma(number, true)];
        let mut lan = interface(
            LAN_INTERFACE,
            LAN,
            Role::Overlay,
            lan_mac(number),
            [lan_v4.into(), lan_v6.into()],
        );
        let mut wan = interface(WAN_INTERFACE, WAN, Role::Underlay, wan_mac(number), own);
        lan.vlan = link.lan_vlan;
        wan.vlan = link.wan_vlan;
        let mut site = Site {
            number,
            link: link.clone(),
            interfaces: vec![lan, wan],
            adjacencies: vec![Adjacency::Local, Adjacency::Drop(DropReason::DirectedBroadcast)],
            overlay_v4: Vec::new(),
            overlay_v6: Vec::new(),
            underlay_v4: Vec::new(),
            neighbors: Vec::new(),
            tunnels: Vec::new(),
            peers: Vec::new(),
            inbound: Vec::new(),
            outbound: Vec::new(),
            policies: Vec::new(),
            multicast: Vec::new(),
        };
        site.connect_lan(lan_v4, lan_v6);
        if let Some(gre) = link.gre {
            site.add_tunnel(gre.key);
        }
        for peer in peers {
            site.add_peer(*peer);
        }
        site.forward_groups();
        site
    }

    fn connect_lan(&mut self, v4: Ipv4Addr, v6: Ipv6Addr) {
        let connected = self.adjacency(Adjacency::Connected { interface: LAN_INTERFACE });
        self.overlay_v4.push((Prefix::new(v4.to_bits(), 16).unwrap(), connected));
        self.overlay_v6.push((Prefix::new(v6.to_bits(), 32).unwrap(), connected));
        self.overlay_v4.push((Prefix::new(v4.to_bits(), 32).unwrap(), Next(0)));
        self.overlay_v6.push((Prefix::new(v6.to_bits(), 128).unwrap(), Next(0)));
        let broadcast = Ipv4Addr::new(10, self.number, 255, 255);
        self.overlay_v4.push((Prefix::new(broadcast.to_bits(), 32).unwrap(), Next(1)));
        for host in [10, 11] {
            let mac = host_mac(self.number, host);
            let l2 = L2Rewrite::new(&self.interfaces[0], MacAddr(mac));
            let neighbor = self.adjacency(Adjacency::Neighbor(l2)).0;
            let v4 = Ipv4Addr::new(10, self.number, 0, host);
            let v6 = Ipv6Addr::new(0xfd00, self.number.into(), 0, 0, 0, 0, 0, host.into());
            self.neighbors.push(((LAN_INTERFACE, v4.into()), neighbor));
            self.neighbors.push(((LAN_INTERFACE, v6.into()), neighbor));
        }
    }

    fn add_tunnel(&mut self, key: Option<u32>) {
        self.tunnels.push(Tunnel {
            interface: TUNNEL,
            local: nbma(self.number, self.link.underlay_v6),
            key,
            multipoint: self.link.multipoint,
            ordered: self.link.ordered,
            protection: self.protection(),
            mss: if self.link.clamp_mss { self.link.mtu.unwrap_or(1400) - 40 } else { 0 },
            redirect: self.link.redirect.then_some(TUNNEL),
        });
        let own = Ipv4Addr::new(10, 255, 0, self.number);
        self.overlay_v4.push((Prefix::new(own.to_bits(), 32).unwrap(), Next(0)));
    }

    fn protection(&self) -> Protection {
        match self.link.esp {
            Some(_) => Protection::Required { profile: PROFILE },
            None => Protection::Clear,
        }
    }

    fn add_peer(&mut self, peer: u8) {
        if let Some(esp) = self.link.esp {
            self.add_sas(peer, &esp);
        }
        let encap = Encap::new(&self.encap_spec(peer));
        let tunnel = self.adjacency(Adjacency::Tunnel(Arc::new(encap).into()));
        let to_peer = if self.link.gre.is_some() { tunnel } else { self.protect(peer, tunnel) };
        self.overlay_v4.push((prefix(&format!("10.{peer}.0.0"), 16), to_peer));
        self.overlay_v6.push((prefix6(&format!("fd00:{peer:x}::"), 32), to_peer));
        if self.link.gre.is_some() {
            self.overlay_v4.push((prefix(&format!("10.255.0.{peer}"), 32), to_peer));
            let peer_entry = Peer {
                tunnel: 0,
                adjacency: tunnel.0,
                protection: self.protection(),
                received: traffic(CORES_MAX),
                sequence: Arc::default(),
            };
            self.peers.push((nbma(peer, self.link.underlay_v6), peer_entry));
        }
    }

    /// What decides the template towards a peer.
    pub fn encap_spec(&self, peer: u8) -> EncapSpec {
        let link = &self.link;
        let ends = (nbma(self.number, link.underlay_v6), nbma(peer, link.underlay_v6));
        EncapSpec {
            interface: if link.gre.is_some() { TUNNEL } else { WAN_INTERFACE },
            link: L2Rewrite::new(&self.interfaces[1], MacAddr(wan_mac(peer))),
            local: ends.0,
            remote: ends.1,
            inner: ends,
            ttl: 64,
            dscp: link.dscp,
            df: link.df,
            esp: link.esp.map(|esp| EspSpec {
                slot: peer.into(),
                spi: spi(self.number, peer),
                mode: esp.mode,
                udp: esp.udp.then_some((4500, 4500)),
            }),
            gre: link.gre,
            mtu: link.mtu,
            path_mtu: link.path_mtu,
            fragment_after: link.fragment_after,
            clamp_mss: link.clamp_mss,
            redirect: link.redirect.then_some(TUNNEL),
            lane: Some(peer.into()),
            peer: peer.into(),
            sent: traffic(CORES_MAX),
        }
    }

    fn add_sas(&mut self, peer: u8, esp: &Esp) {
        let mut window = ReplayWindow::new(esp.window, esp.esn).unwrap();
        if esp.start > 0 {
            window.advance(esp.start).unwrap();
        }
        let lans = |site: u8| {
            (prefix(&format!("10.{site}.0.0"), 16), prefix6(&format!("fd00:{site:x}::"), 32))
        };
        let (from, to) = (lans(peer), lans(self.number));
        let selectors =
            if self.link.gre.is_some() { Vec::new() } else { selectors(from, to, NONE) };
        self.inbound.push(Arc::new(InboundSa {
            slot: peer.into(),
            spi: spi(peer, self.number),
            local: nbma(self.number, self.link.underlay_v6).into(),
            remote: nbma(peer, self.link.underlay_v6).into(),
            peer_port: 0,
            udp: esp.udp,
            mode: esp.mode,
            esn: esp.esn,
            window,
            profile: PROFILE,
            allows_gre: self.link.gre.is_some(),
            selectors: Policy::new(selectors).unwrap(),
            key: key(peer, self.number, esp),
            device_key: None,
            lifetime: esp.lifetime,
            counters: Arc::default(),
        }));
        let counters = SaCounters::default();
        counters.sequence.set(esp.start);
        self.outbound.push(Arc::new(OutboundSa {
            slot: peer.into(),
            spi: spi(self.number, peer),
            esn: esp.esn,
            iv_offset: 0,
            key: key(self.number, peer, esp),
            device_key: None,
            lifetime: esp.lifetime,
            counters: Arc::new(counters),
        }));
    }

    /// Gives each SA a session of a crypto device.
    pub fn use_device(&mut self, device: &CryptoDevice) {
        let Some(esp) = self.link.esp else { return };
        let session = |direction, from, to| {
            let material = oracle_sa(from, to, &esp).material;
            Some(DeviceKey::new(device, direction, &material, esp.esn).unwrap())
        };
        for sa in &mut self.inbound {
            let from = sa.slot as u8;
            let sa = Arc::get_mut(sa).unwrap();
            sa.device_key = session(Direction::Decrypt, from, self.number);
        }
        for sa in &mut self.outbound {
            let to = sa.slot as u8;
            let sa = Arc::get_mut(sa).unwrap();
            sa.device_key = session(Direction::Encrypt, self.number, to);
        }
    }

    /// An SPD rule for the LAN of `peer`, whose SA is at `tunnel`.
    fn protect(&mut self, peer: u8, tunnel: Next) -> Next {
        let lans = |site: u8| {
            (prefix(&format!("10.{site}.0.0"), 16), prefix6(&format!("fd00:{site:x}::"), 32))
        };
        let rules = selectors(lans(self.number), lans(peer), tunnel.0);
        self.policies.push(Policy::new(rules).unwrap());
        self.adjacency(Adjacency::Policy(self.policies.len() as u32 - 1))
    }

    /// Groups 239/8 and the limited broadcast go to the LAN and to every tunnel peer.
    fn forward_groups(&mut self) {
        let mut replicas = vec![Replica { interface: LAN_INTERFACE, adjacency: NONE }];
        let peers = self.peers.iter().map(|(_, peer)| peer.adjacency);
        replicas.extend(peers.map(|adjacency| Replica { interface: TUNNEL, adjacency }));
        for range in [GROUPS, (Ipv4Addr::BROADCAST, Ipv4Addr::BROADCAST)] {
            self.multicast.push(MulticastRule {
                range: (range.0.into(), range.1.into()),
                interfaces: vec![LAN_INTERFACE, TUNNEL],
                receivers: ReplicationList { replicas: replicas.clone() },
            });
        }
    }

    /// Adds an adjacency.
    pub fn adjacency(&mut self, adjacency: Adjacency) -> Next {
        self.adjacencies.push(adjacency);
        Next(self.adjacencies.len() as u32 - 1)
    }

    /// A frame as a host on the LAN sends it to the gateway.
    pub fn host_frame(&self, packet: &[u8]) -> Vec<u8> {
        frame(lan_mac(self.number), host_mac(self.number, 10), self.link.lan_vlan, packet)
    }

    /// A frame as the underlay delivers it to the gateway.
    pub fn underlay_frame(&self, packet: &[u8]) -> Vec<u8> {
        frame(wan_mac(self.number), wan_mac(99), self.link.wan_vlan, packet)
    }

    /// Octets of the link-layer header on the LAN.
    pub fn lan_header_len(&self) -> usize {
        if self.link.lan_vlan.is_some() { 18 } else { 14 }
    }

    /// The snapshot.
    pub fn tables(&self) -> Arc<Tables> {
        let fib = |v4: &[_], v6: &[_]| Fib {
            v4: Arc::new(Fib4::build(v4.iter().copied()).unwrap()),
            v6: Arc::new(Fib6::build(v6.iter().copied()).unwrap()),
        };
        Arc::new(Tables {
            generation: 1,
            interfaces: Arc::new(Interfaces::new(self.interfaces.clone())),
            overlay: fib(&self.overlay_v4, &self.overlay_v6),
            underlay: fib(&self.underlay_v4, &[]),
            adjacencies: Arc::new(self.adjacencies.clone()),
            neighbors: Arc::new(
                self.neighbors
                    .iter()
                    .map(|((on, a), index)| ((*on, (*a).into()), *index))
                    .collect(),
            ),
            tunnels: Arc::new(TunnelMap::new(self.tunnels.clone(), self.peers.clone())),
            sas: Arc::new(SaTable::new(
                self.inbound.iter().cloned(),
                self.outbound.iter().cloned(),
            )),
            policies: Arc::new(self.policies.clone()),
            multicast: Arc::new(self.multicast.clone()),
        })
    }
}

/// Any protocol between two LANs, IPv4 and IPv6.
fn selectors(
    from: (Prefix<u32>, Prefix<u128>),
    to: (Prefix<u32>, Prefix<u128>),
    adjacency: u32,
) -> Vec<(Selector, Action)> {
    let networks =
        [Networks::V4 { src: from.0, dst: to.0 }, Networks::V6 { src: from.1, dst: to.1 }];
    let rule = |networks| {
        let selector = Selector { networks, proto: None, src_ports: ANY_PORT, dst_ports: ANY_PORT };
        (selector, Action::Protect { adjacency })
    };
    networks.map(rule).into()
}
