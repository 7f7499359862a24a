//! What the tests of stages share.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use aead::{Algorithm, Backend, Key};
use wire::{MacAddr, checksum};

use crate::counters::traffic;
use crate::engine::message::Event;
use crate::engine::stage::Context;
use crate::replay::ReplayWindow;
use crate::tables::encap::{DfPolicy, DscpPolicy, EncapSpec, EspSpec, GreSpec};
use crate::tables::sa::{Lifetime, SaMode};
use crate::tables::{InboundSa, Interface, L2Rewrite, Policy, Role, Tables};

/// With a right checksum.
pub(super) fn sealed(mut header: Vec<u8>) -> Vec<u8> {
    header[10..12].fill(0);
    let sum = checksum::of(&header[..20]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

/// An IPv4 packet.
pub(super) fn ip(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, tos: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).unwrap();
    let mut packet = vec![0x45, tos, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0];
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet.extend(src.octets());
    packet.extend(dst.octets());
    packet = sealed(packet);
    packet.extend(payload);
    packet
}

/// Of the first core, whose packets may change to others.
pub(super) fn context<'a>(tables: &'a Tables, events: &'a mut Vec<Event>) -> Context<'a> {
    Context { tables, now: 0, ticks_per_second: 1, core: 0, spread: true, events }
}

/// The way to a neighbour.
pub(super) fn link(vlan: Option<u16>) -> L2Rewrite {
    let interface = Interface {
        index: 1,
        port: 1,
        vlan,
        role: Role::Underlay,
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        addresses_v4: Vec::new(),
        addresses_v6: Vec::new(),
        tx_checksum: false,
        policy: None,
    };
    L2Rewrite::new(&interface, MacAddr([2, 0, 0, 0, 0, 2]))
}

/// What decides a template between these ends.
pub(super) fn spec(
    (local, remote): (Ipv4Addr, Ipv4Addr),
    gre: Option<GreSpec>,
    esp: Option<EspSpec>,
    vlan: Option<u16>,
) -> EncapSpec {
    let ends = (IpAddr::V4(local), IpAddr::V4(remote));
    EncapSpec {
        interface: 2,
        link: link(vlan),
        local: ends.0,
        remote: ends.1,
        inner: ends,
        ttl: 64,
        dscp: DscpPolicy::Copy,
        df: DfPolicy::Copy,
        esp,
        gre,
        mtu: None,
        path_mtu: 1500,
        fragment_after: false,
        clamp_mss: false,
        redirect: None,
        lane: None,
        peer: 0,
        sent: traffic(1),
    }
}

/// An SA between these ends for GRE in transport mode.
pub(super) fn sa(local: Ipv4Addr, remote: Ipv4Addr) -> InboundSa {
    InboundSa {
        key: Key::new(Algorithm::Aes128Gcm16, Backend::Portable, &[7; 20]).unwrap(),
        lifetime: Lifetime::default(),
        counters: Arc::default(),
        spi: 0x1000,
        slot: 0,
        local: local.into(),
        remote: remote.into(),
        peer_port: 0,
        profile: 0,
        udp: false,
        mode: SaMode::Transport,
        esn: true,
        allows_gre: true,
        device_key: None,
        window: ReplayWindow::new(64, true).unwrap(),
        selectors: Policy::default(),
    }
}
