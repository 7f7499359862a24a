//! What NHRP asks about routes: those of the configuration, never its own shortcuts.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use nhrp::Path;
use wire::IpPrefix;

use crate::config::{Config, Interface, NextHop, ProfileId, Role, Table, TunnelId};
use crate::sas::{Entry, Sas};

/// Where a prefix leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To our side.
    Local,
    /// To the next hop in a tunnel; none: the destination itself.
    Tunnel(TunnelId, Option<IpAddr>),
}

/// Overlay routes by prefix; of the same prefix the last one counts, as in the tables.
#[derive(Debug, Default)]
pub(in super::super) struct Routes {
    ways: HashMap<IpPrefix, Way>,
    /// Lengths of prefixes that there are, the longest first when reversed.
    lens: BTreeSet<u8>,
    /// The network of each tunnel.
    networks: Vec<TunnelId>,
    /// Addresses of the gateway itself.
    own: BTreeSet<IpAddr>,
}

impl Routes {
    /// Routes of a configuration. Of next hops that share a prefix NHRP follows the first.
    pub(in super::super) fn new(config: &Config) -> Self {
        let tunnels = (0..).map(TunnelId).take(config.tunnels.len());
        let networks = tunnels.map(|tunnel| config.network(tunnel)).collect();
        let mut routes = Self { networks, own: own(config), ..Self::default() };
        for route in config.routes.iter().filter(|route| route.table == Table::Overlay) {
            let Some(hop) = route.next_hops.first() else { continue };
            let way = match (hop.interface(), hop) {
                (Interface::Port(_), _) => Way::Local,
                (Interface::Tunnel(id), NextHop::Gateway { address, .. }) => {
                    Way::Tunnel(id, Some(*address))
                }
                (Interface::Tunnel(id), NextHop::Direct(_)) => Way::Tunnel(id, None),
            };
            routes.add(route.prefix, way);
        }
        let ports = config.ports.iter().filter(|port| port.role == Role::Overlay);
        for address in ports.clone().flat_map(|port| &port.addresses) {
            routes.add(address.prefix(), Way::Local);
        }
        for (id, tunnel) in (0..).map(TunnelId).zip(&config.tunnels) {
            for address in &tunnel.addresses {
                routes.add(address.prefix(), Way::Tunnel(id, None));
            }
        }
        let tunnels = config.tunnels.iter().flat_map(|tunnel| &tunnel.addresses);
        for address in ports.flat_map(|port| &port.addresses).chain(tunnels) {
            routes.add(IpPrefix::host(address.address()), Way::Local);
        }
        routes
    }

    /// The next hops of routes into a tunnel, each once.
    pub(in super::super) fn next_hops(&self, tunnel: TunnelId) -> BTreeSet<IpAddr> {
        let next_hop = |way: &Way| match way {
            Way::Tunnel(id, next_hop) if *id == tunnel => *next_hop,
            Way::Tunnel(..) | Way::Local => None,
        };
        self.ways.values().filter_map(next_hop).collect()
    }

    /// The tunnel that leads to a destination.
    pub(in super::super) fn tunnel_to(&self, destination: IpAddr) -> Option<TunnelId> {
        match self.find(destination)? {
            (_, Way::Tunnel(id, _)) => Some(id),
            (_, Way::Local) => None,
        }
    }

    /// Whether an address is our own, or a prefix that covers it leads into a tunnel: the
    /// configuration refuses such NBMA addresses, where it has them, and so do we. The default
    /// route claims nothing.
    fn is_recursive(&self, nbma: IpAddr) -> bool {
        let mut prefixes = self.lens.iter().filter(|len| **len > 0).filter_map(|len| {
            let prefix = IpPrefix::containing(nbma, *len).ok()?;
            self.ways.get(&prefix)
        });
        self.own.contains(&nbma) || prefixes.any(|way| matches!(way, Way::Tunnel(..)))
    }

    fn are_one_network(&self, one: TunnelId, other: TunnelId) -> bool {
        self.networks[one.index()] == self.networks[other.index()]
    }

    fn add(&mut self, prefix: IpPrefix, way: Way) {
        self.lens.insert(prefix.len());
        self.ways.insert(prefix, way);
    }

    fn find(&self, destination: IpAddr) -> Option<(IpPrefix, Way)> {
        self.lens.iter().rev().find_map(|len| {
            let prefix = IpPrefix::containing(destination, *len).ok()?;
            Some((prefix, *self.ways.get(&prefix)?))
        })
    }
}

fn own(config: &Config) -> BTreeSet<IpAddr> {
    let ports = config.ports.iter().flat_map(|port| &port.addresses);
    let tunnels = config.tunnels.iter().flat_map(|tunnel| &tunnel.addresses);
    ports.chain(tunnels).map(|own| own.address()).collect()
}

/// The overlay as the machine of one tunnel sees it.
pub(in super::super) struct Overlay<'a> {
    pub(in super::super) routes: &'a Routes,
    pub(in super::super) tunnel: TunnelId,
    /// Networks of the tunnel itself.
    pub(in super::super) networks: &'a [IpPrefix],
    pub(in super::super) sas: &'a Sas,
    /// The profile that protects the tunnel.
    pub(in super::super) profile: Option<ProfileId>,
}

impl nhrp::Overlay for Overlay<'_> {
    fn route(&self, destination: IpAddr) -> Option<nhrp::Route> {
        match self.routes.find(destination)? {
            (prefix, Way::Local) => Some(nhrp::Route::Local(prefix)),
            (prefix, Way::Tunnel(id, next_hop)) if id == self.tunnel => {
                let next_hop = next_hop.unwrap_or(destination);
                Some(nhrp::Route::Tunnel { prefix, next_hop })
            }
            (prefix, Way::Tunnel(id, _)) if self.routes.are_one_network(id, self.tunnel) => {
                Some(nhrp::Route::OtherTunnel(prefix))
            }
            (_, Way::Tunnel(..)) => None,
        }
    }

    /// A peer may have an address of the tunnel's own networks. A tunnel whose address is a host's
    /// says nothing about the others.
    fn may_claim(&self, _peer: Path, protocol: IpAddr) -> bool {
        let mut networks = self.networks.iter().filter(|prefix| !prefix.is_host()).peekable();
        networks.peek().is_none() || networks.any(|prefix| prefix.contains(protocol))
    }

    fn seen_at(&self, peer: Path) -> IpAddr {
        let sa = self.profile.and_then(|profile| self.sas.outbound(profile, peer));
        sa.map_or(peer.nbma, Entry::peer_address)
    }

    fn path_to(&self, nbma: IpAddr) -> Option<Path> {
        let peers = self.sas.peers_at(self.profile, nbma);
        peers.first().copied().filter(|_| peers.len() == 1)
    }

    fn may_be_nbma(&self, nbma: IpAddr) -> bool {
        !self.routes.is_recursive(nbma)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use nhrp::{Overlay as _, Route};

    use super::*;
    use crate::config::read_key_file;

    const CONFIG: &str = r#"
        [[port]]
        name = "wan"
        device = "net_null0"
        role = "underlay"
        addresses = ["198.51.100.1/24"]
        [[port]]
        name = "lan"
        device = "net_null1"
        role = "overlay"
        addresses = ["10.1.0.1/24"]
        [[tunnel]]
        name = "dm"
        mode = "mgre"
        source = "wan"
        addresses = ["10.255.0.1/24"]
        nhrp = { network_id = 1 }
        [[tunnel]]
        name = "other"
        mode = "gre"
        source = "wan"
        remote = "198.51.100.9"
        addresses = ["10.254.0.1/30"]
        [[tunnel]]
        name = "second"
        mode = "mgre"
        source = "wan"
        key = 2
        addresses = ["10.253.0.1/24"]
        nhrp = { network_id = 1 }
        [[route]]
        prefix = "10.6.0.0/16"
        via = "10.253.0.6"
        [[route]]
        prefix = "10.0.0.0/8"
        via = "10.255.0.2"
        [[route]]
        prefix = "10.7.0.0/16"
        via = "10.1.0.9"
        [[route]]
        prefix = "10.8.0.0/16"
        via = "other"
    "#;

    fn ip(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn the_longest_prefix_says_who_answers() {
        let config = Config::parse(CONFIG, Path::new("/test.toml"), &read_key_file).unwrap();
        let (routes, networks) = (Routes::new(&config), ["10.255.0.0/24".parse().unwrap()]);
        let sas = Sas::default();
        let overlay = Overlay {
            routes: &routes,
            tunnel: TunnelId(0),
            networks: &networks,
            sas: &sas,
            profile: None,
        };
        let route = |destination: &str| overlay.route(ip(destination));
        let local = |prefix: &str| Some(Route::Local(prefix.parse().unwrap()));
        let tunnel = |prefix: &str, next_hop: &str| {
            Some(Route::Tunnel { prefix: prefix.parse().unwrap(), next_hop: ip(next_hop) })
        };
        assert_eq!(route("10.1.0.7"), local("10.1.0.0/24"));
        assert_eq!(route("10.1.0.1"), local("10.1.0.1/32"));
        assert_eq!(route("10.7.1.1"), local("10.7.0.0/16"));
        assert_eq!(route("10.9.1.1"), tunnel("10.0.0.0/8", "10.255.0.2"));
        assert_eq!(route("10.255.0.9"), tunnel("10.255.0.0/24", "10.255.0.9"));
        assert_eq!(route("10.255.0.1"), local("10.255.0.1/32"));
        assert_eq!(route("10.8.1.1"), None, "by another tunnel");
        let other = Some(Route::OtherTunnel("10.6.0.0/16".parse().unwrap()));
        assert_eq!(route("10.6.1.1"), other, "of the same network");
        assert_eq!(routes.tunnel_to(ip("10.6.1.1")), Some(TunnelId(2)));
        assert_eq!(routes.tunnel_to(ip("10.1.0.7")), None);
        assert_eq!(route("192.0.2.1"), None);
        assert_eq!(routes.next_hops(TunnelId(0)), [ip("10.255.0.2")].into());
        assert!(routes.next_hops(TunnelId(1)).is_empty());
        for (nbma, may) in [
            ("198.51.100.2", true),
            ("192.0.2.1", true),
            ("198.51.100.1", false), // ours
            ("10.255.0.9", false),   // in the tunnel
            ("10.7.1.1", false),     // to our side, but covered by what leads into the tunnel
        ] {
            assert_eq!(overlay.may_be_nbma(ip(nbma)), may, "{nbma}");
        }
        for (protocol, may) in [("10.255.0.9", true), ("10.1.0.7", false)] {
            let peer = ip("198.51.100.2").into();
            assert_eq!(overlay.may_claim(peer, ip(protocol)), may, "{protocol}");
        }
    }
}
