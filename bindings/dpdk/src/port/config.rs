//! What a port is, can do, is asked for, and does.

use bitflags::bitflags;
use dpdk_sys as sys;

use super::text;
use crate::Mempool;

bitflags! {
    /// What a device can do to received packets.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct RxOffloads: u64 {
        /// Check IPv4 header checksums.
        const IPV4_CHECKSUM = sys::SHIM_RX_OFFLOAD_IPV4_CKSUM;
        /// Check UDP checksums.
        const UDP_CHECKSUM = sys::SHIM_RX_OFFLOAD_UDP_CKSUM;
        /// Check TCP checksums.
        const TCP_CHECKSUM = sys::SHIM_RX_OFFLOAD_TCP_CKSUM;
        /// Take VLAN tags off.
        const VLAN_STRIP = sys::SHIM_RX_OFFLOAD_VLAN_STRIP;
        /// Spread long frames over several segments.
        const MULTI_SEGMENT = sys::SHIM_RX_OFFLOAD_SCATTER;
        /// Say the flow hash with each packet.
        const RSS_HASH = sys::SHIM_RX_OFFLOAD_RSS_HASH;
    }
}

bitflags! {
    /// What a device can do to packets that it sends.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct TxOffloads: u64 {
        /// Fill in IPv4 header checksums.
        const IPV4_CHECKSUM = sys::SHIM_TX_OFFLOAD_IPV4_CKSUM;
        /// Fill in UDP checksums.
        const UDP_CHECKSUM = sys::SHIM_TX_OFFLOAD_UDP_CKSUM;
        /// Fill in TCP checksums.
        const TCP_CHECKSUM = sys::SHIM_TX_OFFLOAD_TCP_CKSUM;
        /// Insert VLAN tags.
        const VLAN_INSERT = sys::SHIM_TX_OFFLOAD_VLAN_INSERT;
        /// Send packets of several segments.
        const MULTI_SEGMENT = sys::SHIM_TX_OFFLOAD_MULTI_SEGS;
    }
}

/// What a device is and can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// The poll-mode driver ("net_ring").
    pub driver: String,
    /// The Ethernet address.
    pub mac: [u8; 6],
    /// The most receive queues.
    pub max_rx_queues: u16,
    /// The most transmit queues.
    pub max_tx_queues: u16,
    /// The least MTU, in octets of IP.
    pub min_mtu: u16,
    /// The greatest MTU, in octets of IP.
    pub max_mtu: u16,
    /// What it can do to received packets.
    pub rx_offloads: RxOffloads,
    /// What it can do to packets that it sends.
    pub tx_offloads: TxOffloads,
    /// Whether it can spread flows of IP, UDP or TCP over its receive queues.
    pub rss: bool,
    rss_types: u64,
}

/// How a port shall run.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// How many receive queues, at least 1.
    pub rx_queues: u16,
    /// How many transmit queues, at least 1.
    pub tx_queues: u16,
    /// Descriptors of each receive queue. The device may take another number.
    pub rx_descriptors: u16,
    /// Descriptors of each transmit queue. The device may take another number.
    pub tx_descriptors: u16,
    /// The MTU, in octets of IP. For a port over a kernel interface (net_af_packet) it does not
    /// change that interface's own.
    pub mtu: u16,
    /// Wanted for received packets.
    pub rx_offloads: RxOffloads,
    /// Wanted for packets that are sent.
    pub tx_offloads: TxOffloads,
    /// Whether flows are spread over the receive queues.
    pub rss: bool,
    /// Whether frames to other addresses are received too.
    pub promiscuous: bool,
    /// Whether all multicast is received.
    pub all_multicast: bool,
    /// Where received packets are allocated. It must outnumber all receive descriptors, and what
    /// is in flight.
    pub pool: Mempool,
}

impl PortConfig {
    /// One queue each way, 1024 descriptors, MTU 1500, no offloads, not promiscuous.
    #[must_use]
    pub fn new(pool: &Mempool) -> Self {
        Self {
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mtu: 1500,
            rx_offloads: RxOffloads::empty(),
            tx_offloads: TxOffloads::empty(),
            rss: false,
            promiscuous: false,
            all_multicast: false,
            pool: pool.clone(),
        }
    }

    /// What of it the device can do, as far as it says so beforehand.
    pub(super) fn granted_by(&self, info: &PortInfo) -> Granted {
        let rss_types = if self.rss { info.rss_types } else { 0 };
        let mut rx_offloads = self.rx_offloads & info.rx_offloads;
        if rss_types == 0 {
            rx_offloads.remove(RxOffloads::RSS_HASH);
        }
        Granted {
            rx_offloads,
            tx_offloads: self.tx_offloads & info.tx_offloads,
            rss: rss_types != 0,
            promiscuous: false,
            all_multicast: false,
            rx_descriptors: self.rx_descriptors,
            tx_descriptors: self.tx_descriptors,
            rss_types,
        }
    }

    pub(super) fn to_dpdk(&self, granted: &Granted) -> sys::rte_eth_conf {
        let mut conf = sys::rte_eth_conf::default();
        conf.rxmode.mtu = u32::from(self.mtu);
        conf.rxmode.offloads = granted.rx_offloads.bits();
        conf.rxmode.mq_mode = if granted.rss { sys::SHIM_MQ_RX_RSS } else { sys::SHIM_MQ_RX_NONE };
        conf.rx_adv_conf.rss_conf.rss_hf = granted.rss_types;
        conf.txmode.offloads = granted.tx_offloads.bits();
        conf
    }
}

/// What a running port does of that which was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Done to received packets.
    pub rx_offloads: RxOffloads,
    /// Can be asked for in [`crate::TxRequest`], or with chains.
    pub tx_offloads: TxOffloads,
    /// Whether flows are spread over the receive queues.
    pub rss: bool,
    /// Whether frames to other addresses are received too.
    pub promiscuous: bool,
    /// Whether all multicast is received.
    pub all_multicast: bool,
    /// Descriptors of each receive queue.
    pub rx_descriptors: u16,
    /// Descriptors of each transmit queue.
    pub tx_descriptors: u16,
    rss_types: u64,
}

/// The state of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether it is up.
    pub up: bool,
    /// Its speed; `None` if the device does not know.
    pub speed_mbps: Option<u32>,
    /// Whether both sides can send at a time.
    pub full_duplex: bool,
}

/// A device's counters since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Octets received.
    pub rx_octets: u64,
    /// Packets that the device dropped because nobody fetched them in time.
    pub rx_missed: u64,
    /// Packets received with errors.
    pub rx_errors: u64,
    /// Packets that could not be received because the pool was empty.
    pub rx_no_mbuf: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Octets sent.
    pub tx_octets: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
}

impl PortInfo {
    pub(super) fn new(raw: &sys::rte_eth_dev_info, mac: [u8; 6]) -> Self {
        let rss_types = raw.flow_type_rss_offloads & sys::SHIM_RSS_IP_UDP_TCP;
        Self {
            driver: text(raw.driver_name),
            mac,
            max_rx_queues: raw.max_rx_queues,
            max_tx_queues: raw.max_tx_queues,
            min_mtu: raw.min_mtu,
            max_mtu: raw.max_mtu,
            rx_offloads: RxOffloads::from_bits_truncate(raw.rx_offload_capa),
            tx_offloads: TxOffloads::from_bits_truncate(raw.tx_offload_capa),
            rss: rss_types != 0,
            rss_types,
        }
    }
}

impl From<&sys::rte_eth_link> for Link {
    fn from(raw: &sys::rte_eth_link) -> Self {
        Self {
            up: raw.link_status() != 0,
            speed_mbps: Some(raw.link_speed).filter(|&speed| speed != 0 && speed != u32::MAX),
            full_duplex: raw.link_duplex() != 0,
        }
    }
}

impl From<&sys::rte_eth_stats> for PortStats {
    fn from(raw: &sys::rte_eth_stats) -> Self {
        Self {
            rx_packets: raw.ipackets,
            rx_octets: raw.ibytes,
            rx_missed: raw.imissed,
            rx_errors: raw.ierrors,
            rx_no_mbuf: raw.rx_nombuf,
            tx_packets: raw.opackets,
            tx_octets: raw.obytes,
            tx_errors: raw.oerrors,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Eal, Mempool, MempoolConfig};

    fn nic(rss_types: u64) -> PortInfo {
        let raw = sys::rte_eth_dev_info {
            // VLAN strip, UDP and IPv4 checksum, and a bit that has no name here.
            rx_offload_capa: 1 | 2 | 4 | 1 << 19 | 1 << 40,
            // IPv4 checksum, several segments.
            tx_offload_capa: 2 | 1 << 15,
            flow_type_rss_offloads: rss_types,
            ..Default::default()
        };
        PortInfo::new(&raw, [2, 0, 0, 0, 0, 1])
    }

    fn wanting_all(pool: &str) -> PortConfig {
        let small = MempoolConfig { mbufs: 1, cache: 0, headroom: 128, data_room: 1 };
        let pool = Mempool::new(Eal::for_tests(), pool, small).unwrap();
        PortConfig {
            rx_offloads: RxOffloads::all(),
            tx_offloads: TxOffloads::all(),
            rss: true,
            mtu: 9000,
            ..PortConfig::new(&pool)
        }
    }

    #[test]
    fn what_the_device_cannot_do_is_left_out() {
        let config = wanting_all("config_lacks");
        let (with, without) = (config.granted_by(&nic(1 << 2)), config.granted_by(&nic(1 << 60)));
        let checks = RxOffloads::VLAN_STRIP | RxOffloads::IPV4_CHECKSUM | RxOffloads::UDP_CHECKSUM;
        assert_eq!(with.rx_offloads, checks | RxOffloads::RSS_HASH);
        assert_eq!(with.tx_offloads, TxOffloads::IPV4_CHECKSUM | TxOffloads::MULTI_SEGMENT);
        assert!(with.rss && nic(1 << 2).rss);
        // A hash cannot be said when none is computed.
        assert_eq!(without.rx_offloads, checks);
        assert!(!without.rss && !nic(1 << 60).rss);

        let conf = config.to_dpdk(&with);
        assert_eq!(
            (conf.rxmode.offloads, conf.txmode.offloads),
            (1 | 2 | 4 | 1 << 19, 2 | 1 << 15)
        );
        assert_eq!((conf.rxmode.mq_mode, conf.rxmode.mtu), (1, 9000));
        assert_eq!(conf.rx_adv_conf.rss_conf.rss_hf, 1 << 2);
        assert_eq!(config.to_dpdk(&without).rxmode.mq_mode, 0);
    }

    #[test]
    fn what_is_not_wanted_is_not_granted() {
        let config = wanting_all("config_plain");
        let plain = PortConfig::new(&config.pool).granted_by(&nic(1 << 2));
        assert!(plain.rx_offloads.is_empty() && plain.tx_offloads.is_empty() && !plain.rss);
    }

    #[test]
    fn an_unknown_speed_is_none() {
        for (raw, speed_mbps) in [(0, None), (u32::MAX, None), (25_000, Some(25_000))] {
            let raw = sys::rte_eth_link { link_speed: raw, ..Default::default() };
            assert_eq!(Link::from(&raw), Link { up: false, speed_mbps, full_duplex: false });
        }
    }
}
