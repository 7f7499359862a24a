//! Ports, tunnels and peers.

use super::table::Column::{Left, Right};
use super::table::Table;
use super::{lines, or_dash, sections, units};
use crate::api::report::{
    Keepalive, Link, NextHopState, Peer, PeerKind, PeerProtection, Port, Role, Tunnel, TunnelMode,
};

pub(super) fn ports(ports: &[Port]) -> String {
    let columns = [
        Left("PORT"),
        Left("ROLE"),
        Left("LINK"),
        Right("MTU"),
        Left("MAC"),
        Left("ADDRESSES"),
        Left("VLAN"),
    ];
    let identity = Table::new(columns, ports, |port| {
        let role = match port.role {
            Role::Underlay => "underlay",
            Role::Overlay => "overlay",
        };
        [
            port.name.clone(),
            role.to_owned(),
            link(&port.link),
            port.mtu.to_string(),
            port.mac.clone(),
            lines(&port.addresses),
            vlan(port),
        ]
    });
    sections([identity, port_traffic(ports), port_devices(ports)], "no ports")
}

fn port_traffic(ports: &[Port]) -> Table {
    let columns = [
        Left("PORT"),
        Right("RX PACKETS"),
        Right("OCTETS"),
        Right("ERRORS"),
        Right("MISSED"),
        Right("TX PACKETS"),
        Right("OCTETS"),
        Right("ERRORS"),
    ];
    Table::new(columns, ports, |port| {
        [
            port.name.clone(),
            units::count(port.rx.packets),
            units::octets(port.rx.octets),
            units::count(port.rx.errors),
            units::count(port.rx.missed),
            units::count(port.tx.packets),
            units::octets(port.tx.octets),
            units::count(port.tx.errors),
        ]
    })
}

fn port_devices(ports: &[Port]) -> Table {
    let columns = [
        Left("PORT"),
        Left("DEVICE"),
        Left("DRIVER"),
        Right("RX QUEUES"),
        Right("TX QUEUES"),
        Left("OFFLOADS"),
    ];
    let devices: Vec<&Port> = ports.iter().filter(|port| port.vlan.is_none()).collect();
    Table::new(columns, &devices, |port| {
        [
            port.name.clone(),
            or_dash(port.device.as_ref()),
            or_dash(port.driver.as_ref()),
            port.rx_queues.to_string(),
            port.tx_queues.to_string(),
            lines(&port.offloads),
        ]
    })
}

fn link(link: &Link) -> String {
    let duplex = if link.full_duplex { "" } else { " half duplex" };
    match link.speed_mbps {
        _ if !link.up => "down".to_owned(),
        None => format!("up{duplex}"),
        Some(mbps) if mbps % 1000 == 0 => format!("up {} Gbit/s{duplex}", mbps / 1000),
        Some(mbps) => format!("up {mbps} Mbit/s{duplex}"),
    }
}

fn vlan(port: &Port) -> String {
    match (&port.vlan, &port.parent) {
        (Some(vlan), Some(parent)) => format!("{vlan} of {parent}"),
        (vlan, _) => or_dash(vlan.as_ref()),
    }
}

pub(super) fn tunnels(tunnels: &[Tunnel]) -> String {
    let columns = [
        Left("TUNNEL"),
        Left("MODE"),
        Left("STATE"),
        Left("SOURCE"),
        Left("LOCAL"),
        Left("REMOTE"),
        Right("KEY"),
        Right("MTU"),
        Right("MSS"),
        Left("PROTECTION"),
    ];
    let identity = Table::new(columns, tunnels, |tunnel| {
        let mode = match tunnel.mode {
            TunnelMode::Gre => "gre",
            TunnelMode::Mgre => "mgre",
        };
        [
            tunnel.name.clone(),
            mode.to_owned(),
            state(tunnel),
            tunnel.source.clone(),
            tunnel.local.to_string(),
            or_dash(tunnel.remote),
            or_dash(tunnel.key),
            tunnel.mtu.to_string(),
            or_dash(tunnel.mss),
            tunnel.protection.clone().unwrap_or_else(|| "clear".to_owned()),
        ]
    });
    sections([identity, tunnel_traffic(tunnels)], "no tunnels")
}

fn tunnel_traffic(tunnels: &[Tunnel]) -> Table {
    let columns = [
        Left("TUNNEL"),
        Left("ADDRESSES"),
        Right("PEERS"),
        Left("KEEPALIVE"),
        Right("RX PACKETS"),
        Right("OCTETS"),
        Right("TX PACKETS"),
        Right("OCTETS"),
    ];
    Table::new(columns, tunnels, |tunnel| {
        [
            tunnel.name.clone(),
            lines(&tunnel.addresses),
            tunnel.peers.to_string(),
            or_dash(tunnel.keepalive.as_ref().map(keepalive)),
            units::count(tunnel.rx.packets),
            units::octets(tunnel.rx.octets),
            units::count(tunnel.tx.packets),
            units::octets(tunnel.tx.octets),
        ]
    })
}

fn state(tunnel: &Tunnel) -> String {
    match &tunnel.down_reason {
        _ if tunnel.up => "up".to_owned(),
        Some(reason) => format!("down: {reason}"),
        None => "down".to_owned(),
    }
}

/// How many of how many are unanswered, and how often they are sent.
fn keepalive(keepalive: &Keepalive) -> String {
    let Keepalive { period_seconds, retries, unanswered } = keepalive;
    format!("{unanswered}/{retries} missed, every {period_seconds}s")
}

/// Two lines a peer: what comes from it, and what goes to it.
pub(super) fn peers(peers: &[Peer]) -> String {
    let columns = [
        Left("TUNNEL"),
        Left("PROTOCOL"),
        Left("NBMA"),
        Left("KIND"),
        Left("NEXT HOP"),
        Left("PROTECTION"),
        Left("DIR"),
        Left("SPI"),
        Right("PACKETS"),
        Right("OCTETS"),
    ];
    let table = Table::new(columns, peers, |peer| {
        let kind = match peer.kind {
            PeerKind::Static => "static",
            PeerKind::Remote => "remote",
            PeerKind::Dynamic => "dynamic",
        };
        let protection = match peer.protection {
            PeerProtection::Clear => "clear",
            PeerProtection::Protected => "protected",
            PeerProtection::NoSa => "no SA",
        };
        [
            peer.tunnel.clone(),
            lines(&peer.protocol),
            peer.nbma_port.map_or_else(
                || peer.nbma.to_string(),
                |port| format!("{}\nport {port}", peer.nbma),
            ),
            kind.to_owned(),
            next_hop(peer.next_hop).to_owned(),
            protection.to_owned(),
            "in\nout".to_owned(),
            lines(&[peer.spi_in, peer.spi_out].map(|spi| or_dash(spi.map(units::spi)))),
            lines(&[peer.rx, peer.tx].map(|traffic| units::count(traffic.packets))),
            lines(&[peer.rx, peer.tx].map(|traffic| units::octets(traffic.octets))),
        ]
    });
    sections([table], "no peers")
}

pub(super) fn next_hop(state: NextHopState) -> &'static str {
    match state {
        NextHopState::Resolved => "resolved",
        NextHopState::Unresolved => "unresolved",
        NextHopState::Down => "down",
    }
}
