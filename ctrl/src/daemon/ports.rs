//! Ports: devices attached, queues and offloads agreed with them.

use dataplane::engine::assembly::PortQueues;
use dataplane::engine::plan::{Plan, Queue};
use dataplane::engine::topology::{PortId as EnginePort, PortSpec};
use dpdk::{Eal, Granted, Mempool, Port, PortConfig, RxOffloads, TxOffloads};
use wire::MacAddr;

use crate::config::{self, Attachment, Config, Offloads, Role};
use crate::policy::PortFacts;

/// Octets of a frame that are not IP: Ethernet with a VLAN tag.
const LINK_OVERHEAD: u16 = 18;
/// Room behind a packet of full size for the ESP trailer: padding, trailer, ICV, rounded up.
const TRAILER_ROOM: u16 = 46;
/// Least data room, below which DPDK's drivers have no use for a buffer.
const DATA_ROOM_MIN: u16 = 2048;

/// A setting that does not work on this machine.
#[derive(Debug, thiserror::Error)]
#[error("{diagnostic}")]
pub struct SettingError {
    /// Where the configuration has it, and what is wrong.
    pub diagnostic: config::Diagnostic,
}

/// A device with what it agreed to.
pub(super) struct AttachedPort {
    /// Index of the port in the configuration.
    pub(super) config: usize,
    /// The device.
    pub(super) port: Port,
    /// Offloads and queues, once it is started.
    pub(super) granted: Option<Granted>,
    /// Receive and transmit queues in use.
    pub(super) queues: (u16, u16),
}

/// Data room that buffers need: for the largest MTU, and for the largest frame of drivers that are
/// told one. `net_af_packet` hands over whole datagrams, which the kernel has reassembled.
pub(super) fn data_room(config: &Config) -> u16 {
    let mtu = config.ports.iter().map(|port| port.mtu).max().unwrap_or(0);
    let frame = config.ports.iter().filter_map(frame_size).max().unwrap_or(0);
    mtu.saturating_add(LINK_OVERHEAD + TRAILER_ROOM).max(frame).max(DATA_ROOM_MIN)
}

/// The `framesz` argument of a virtual device.
fn frame_size(port: &config::Port) -> Option<u16> {
    let Attachment::Device { device, .. } = &port.attachment else { return None };
    device.split(',').find_map(|argument| argument.strip_prefix("framesz="))?.parse().ok()
}

fn error(config: &Config, index: usize, error: &dpdk::Error) -> SettingError {
    let key = format!("port[{index}].device");
    SettingError { diagnostic: config.error_at(&key, error.to_string()) }
}

/// Attaches the device of every port that has one.
pub(super) fn attach(eal: &Eal, config: &Config) -> Result<Vec<AttachedPort>, SettingError> {
    let mut attached = Vec::new();
    for (index, port) in config.ports.iter().enumerate() {
        let Attachment::Device { device, .. } = &port.attachment else { continue };
        let port = Port::attach(eal, device).map_err(|e| error(config, index, &e))?;
        attached.push(AttachedPort { config: index, port, granted: None, queues: (0, 0) });
    }
    Ok(attached)
}

/// What the plan needs to know of the ports.
pub(super) fn specs(config: &Config, ports: &[AttachedPort]) -> Vec<PortSpec> {
    ports
        .iter()
        .map(|attached| {
            let port = &config.ports[attached.config];
            let info = attached.port.info();
            let (rx, tx) = match port.attachment {
                Attachment::Device { rx_queues, tx_queues, .. } => (rx_queues, tx_queues),
                Attachment::Vlan { .. } => (None, None),
            };
            // Without RSS a second queue would get packets at random, or none.
            let rx_max = if info.rss { info.max_rx_queues } else { 1 };
            PortSpec {
                id: EnginePort(attached.port.id()),
                name: port.name.clone(),
                underlay: port.role == Role::Underlay,
                rx_queues_max: rx.map_or(rx_max, |n| n.get().min(info.max_rx_queues)),
                tx_queues_max: tx.map_or(info.max_tx_queues, |n| n.get().min(info.max_tx_queues)),
            }
        })
        .collect()
}

/// Starts all ports with the queues that the plan uses.
pub(super) fn start(
    config: &Config,
    ports: &mut [AttachedPort],
    plan: &Plan,
    pool: &Mempool,
) -> Result<PortQueues, SettingError> {
    let mut queues = PortQueues::default();
    for attached in ports {
        let id = EnginePort(attached.port.id());
        let Some(placed) = plan.topology.ports.iter().find(|p| p.spec.id == id) else { continue };
        let wanted = &config.ports[attached.config];
        let offloads = match wanted.attachment {
            Attachment::Device { offloads, .. } => offloads,
            Attachment::Vlan { .. } => Offloads::Off,
        };
        let count = |cores: usize| u16::try_from(cores).unwrap_or(u16::MAX);
        attached.queues = (count(placed.rx.len()), count(placed.tx.len()));
        let mut port = PortConfig::new(pool);
        (port.rx_queues, port.tx_queues) = attached.queues;
        port.mtu = largest_mtu(config, attached.config);
        port.all_multicast = true;
        if offloads == Offloads::Auto {
            port.rx_offloads =
                RxOffloads::IPV4_CHECKSUM | RxOffloads::RSS_HASH | RxOffloads::VLAN_STRIP;
            // VLAN tags are part of the templates: to ask the port for them would cost more.
            port.tx_offloads = TxOffloads::IPV4_CHECKSUM;
            port.rss = attached.queues.0 > 1;
        }
        let failed = |e| error(config, attached.config, &e);
        let started = attached.port.start(&port).map_err(failed)?;
        attached.granted = Some(started.granted);
        let queue = |number| Queue { port: id, number };
        queues.rx.extend(started.rx.into_iter().map(|rx| (queue(rx.index()), rx)));
        queues.tx.extend(started.tx.into_iter().map(|tx| (queue(tx.index()), tx)));
    }
    Ok(queues)
}

/// The MTU of a device: the largest of its own and of its VLANs.
fn largest_mtu(config: &Config, device: usize) -> u16 {
    let on_device = |(index, port): &(usize, &config::Port)| match port.attachment {
        Attachment::Device { .. } => *index == device,
        Attachment::Vlan { parent, .. } => parent.index() == device,
    };
    let mtus = config.ports.iter().enumerate().filter(on_device).map(|(_, port)| port.mtu);
    mtus.max().unwrap_or(0)
}

/// DPDK port and MAC address of every configured port; VLANs have those of their parent.
pub(super) fn facts(config: &Config, ports: &[AttachedPort]) -> Vec<PortFacts> {
    let of_device = |index: usize| {
        let attached = ports.iter().find(|attached| attached.config == index);
        let none = PortFacts { port: u16::MAX, mac: MacAddr::ZERO, tx_checksum: false };
        attached.map_or(none, |attached| PortFacts {
            port: attached.port.id(),
            mac: MacAddr(attached.port.info().mac),
            tx_checksum: attached
                .granted
                .is_some_and(|granted| granted.tx_offloads.contains(TxOffloads::IPV4_CHECKSUM)),
        })
    };
    let device = |(index, port): (usize, &config::Port)| match port.attachment {
        Attachment::Device { .. } => of_device(index),
        Attachment::Vlan { parent, .. } => of_device(parent.index()),
    };
    config.ports.iter().enumerate().map(device).collect()
}
