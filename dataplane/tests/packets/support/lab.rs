//! Gateways around one underlay, which delivers frames by their MAC address.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use dpdk::crypto::CryptoQueue;

use super::gateway::{Gateway, Layout};
use super::site::{Link, Site, wan_mac};

/// Gateways that a process may have at a time: DPDK has 32 ports, and a gateway takes four.
const GATEWAYS_MAX: usize = 7;

static FREE: Mutex<usize> = Mutex::new(GATEWAYS_MAX);
static FREED: Condvar = Condvar::new();

fn free() -> MutexGuard<'static, usize> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A set of gateways; owns its share of the process's ports.
pub struct Lab {
    gateways: BTreeMap<u8, Gateway>,
    sites: BTreeMap<u8, Site>,
    permits: usize,
    /// Frames that crossed the underlay, in order.
    pub tap: Vec<Vec<u8>>,
}

impl Lab {
    /// Gateways as the sites say, each alike laid out, with their SAs installed.
    pub fn new(layout: &Layout, sites: Vec<Site>) -> Self {
        Lab::with_devices(layout, sites.into_iter().map(|site| (site, Vec::new())))
    }

    /// The same, with queues of crypto devices.
    pub fn with_devices(
        layout: &Layout,
        sites: impl IntoIterator<Item = (Site, Vec<CryptoQueue>)>,
    ) -> Self {
        let sites: Vec<_> = sites.into_iter().collect();
        let permits = sites.len();
        let mut left = free();
        while *left < permits {
            left = FREED.wait(left).unwrap_or_else(PoisonError::into_inner);
        }
        *left -= permits;
        drop(left);
        let mut lab =
            Lab { gateways: BTreeMap::new(), sites: BTreeMap::new(), permits, tap: Vec::new() };
        for (site, crypto) in sites {
            let mut gateway = Gateway::new(layout, &site.tables(), crypto);
            gateway.install(&site.inbound, &site.outbound);
            lab.gateways.insert(site.number, gateway);
            lab.sites.insert(site.number, site);
        }
        lab
    }

    /// Gateways 1 and 2 with one link between them, each on one core.
    pub fn pair(link: &Link) -> Self {
        Lab::star(link, &[2])
    }

    /// Gateway 1 with a link to each of the others.
    pub fn star(link: &Link, spokes: &[u8]) -> Self {
        let mut sites = vec![Site::new(1, spokes, link)];
        sites.extend(spokes.iter().map(|spoke| Site::new(*spoke, &[1], link)));
        Lab::new(&Layout::RunToCompletion(1), sites)
    }

    pub fn site(&self, number: u8) -> &Site {
        &self.sites[&number]
    }

    /// Turns all gateways and carries frames between them until nothing moves.
    pub fn settle(&mut self) {
        loop {
            let mut frames = Vec::new();
            for gateway in self.gateways.values_mut() {
                gateway.settle();
                frames.extend(gateway.wan.receive());
            }
            if frames.is_empty() {
                return;
            }
            for frame in frames {
                let to = self.gateways.iter_mut().find(|(n, _)| frame[..6] == wan_mac(**n));
                if let Some((_, gateway)) = to {
                    gateway.send_wan(std::slice::from_ref(&frame));
                }
                self.tap.push(frame);
            }
        }
    }

    /// Turns one gateway; what it sends stays on its wires.
    pub fn settle_alone(&mut self, number: u8) {
        self[number].settle();
    }

    /// Sends packets of a host behind `from` and lets everything settle.
    pub fn send(&mut self, from: u8, packets: &[Vec<u8>]) {
        let site = &self.sites[&from];
        let frames: Vec<_> = packets.iter().map(|packet| site.host_frame(packet)).collect();
        self[from].send_lan(&frames);
        self.settle();
    }

    /// What hosts behind a gateway received, without link-layer headers.
    pub fn receive(&mut self, at: u8) -> Vec<Vec<u8>> {
        let header = self.sites[&at].lan_header_len();
        self[at].lan.receive().into_iter().map(|frame| frame[header..].to_vec()).collect()
    }

    /// Outer IP packets that crossed the underlay, oldest first; forgets them.
    pub fn outer(&mut self) -> Vec<Vec<u8>> {
        let header = if self.sites.values().any(|s| s.link.wan_vlan.is_some()) { 18 } else { 14 };
        self.tap.drain(..).map(|frame| frame[header..].to_vec()).collect()
    }

    /// No gateway dropped or punted anything.
    pub fn assert_clean(&self) {
        for (number, gateway) in &self.gateways {
            assert_eq!(gateway.drops(), BTreeMap::new(), "drops of gateway {number}");
            assert!(gateway.punts.is_empty(), "punts of gateway {number}: {:?}", gateway.punts);
        }
    }
}

impl Drop for Lab {
    /// Every buffer is back once the gateways are gone.
    fn drop(&mut self) {
        for (number, gateway) in std::mem::take(&mut self.gateways) {
            let pools = [gateway.pool.clone(), gateway.large_pool.clone()];
            drop(gateway);
            if !std::thread::panicking() {
                let in_use = pools.map(|pool| pool.in_use());
                assert_eq!(in_use, [0, 0], "gateway {number} leaked buffers");
            }
        }
        *free() += self.permits;
        FREED.notify_all();
    }
}

impl Index<u8> for Lab {
    type Output = Gateway;

    fn index(&self, number: u8) -> &Gateway {
        &self.gateways[&number]
    }
}

impl IndexMut<u8> for Lab {
    fn index_mut(&mut self, number: u8) -> &mut Gateway {
        self.gateways.get_mut(&number).unwrap()
    }
}
