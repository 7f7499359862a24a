//! Ethernet ports, real and virtual.

mod config;
mod rings;

use std::ffi::{CStr, CString, c_char};
use std::sync::Arc;
use std::{mem, ptr};

use dpdk_sys as sys;

pub use self::config::{Granted, Link, PortConfig, PortInfo, PortStats, RxOffloads, TxOffloads};
use crate::error::{c_name, check, in_range};
use crate::ring::Ring;
use crate::{Eal, Error, Mempool, RxQueue, TxQueue};

/// A port, owned: nobody else in this process can attach its device. When the port and all its
/// queues are gone, it is stopped, closed and detached.
#[derive(Debug)]
pub struct Port {
    device: Arc<Device>,
    info: PortInfo,
}

/// What [`Port::start`] gives: the queues, in the order of their numbers, and what they can do.
#[derive(Debug)]
pub struct Queues {
    /// One for each receive queue.
    pub rx: Vec<RxQueue>,
    /// One for each transmit queue.
    pub tx: Vec<TxQueue>,
    /// What the device does of that which was asked for.
    pub granted: Granted,
}

/// The port as its handle and its queues share it.
#[derive(Debug)]
pub(crate) struct Device {
    id: u16,
    name: String,
    running: bool,
    bus_device: *mut sys::rte_device,
    // Fields are dropped in this order, after the device is closed: the rings' packets go home
    // before the pools do.
    _rings: Vec<Arc<Ring>>,
    pools: Vec<Mempool>,
    eal: Eal,
}

// SAFETY: the device is configured only through a unique borrow and under the EAL's control lock,
// and polled only through its queues, each of which has one handle.
unsafe impl Send for Device {}
// SAFETY: as above; what shared borrows do takes the control lock.
unsafe impl Sync for Device {}

impl Port {
    /// Attaches a device: a PCI address ("0000:3b:00.1", which [`crate::EalConfig::allow_pci`]
    /// must name), or a virtual device with its arguments ("net_af_packet0,iface=eth1").
    ///
    /// # Errors
    /// [`Error::NoSuchDevice`], [`Error::DeviceBusy`], [`Error::NoEthernetPort`],
    /// [`Error::Name`], or DPDK's.
    pub fn attach(eal: &Eal, device: &str) -> Result<Self, Error> {
        let devargs = c_name(device, DEVARGS_SIZE)?;
        let control = eal.control();
        let id = match find(&devargs) {
            Some(id) => id,
            None => {
                // SAFETY: the string is NUL-terminated, and the control lock is held.
                let code = unsafe { sys::rte_dev_probe(devargs.as_ptr()) };
                // The former when no bus or driver knows the name, the latter when the bus does
                // not have the device.
                if [-libc::EFAULT, -libc::ENODEV].contains(&code) {
                    return Err(Error::NoSuchDevice(device.to_owned()));
                }
                check("rte_dev_probe", device, code)?;
                find(&devargs).ok_or_else(|| Error::NoEthernetPort(device.to_owned()))?
            }
        };
        let claimed = claim(id, device)?;
        drop(control);
        Ok(Self::new(eal, id, device.to_owned(), claimed, Vec::new()))
    }

    /// Two ports that are connected: what one sends, the other receives, in this process. Each
    /// way holds `capacity` packets; what exceeds it stays with the sender. The name, at most 18
    /// octets, must be the only one of its kind.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Range`], or DPDK's.
    pub fn connected_pair(eal: &Eal, name: &str, capacity: u32) -> Result<(Self, Self), Error> {
        rings::connected_pair(eal, name, capacity)
    }

    /// What the device is and can do.
    #[must_use]
    pub fn info(&self) -> &PortInfo {
        &self.info
    }

    /// DPDK's number of the port.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.device.id
    }

    /// Configures the port and starts it. A port that runs is stopped first. What the device
    /// cannot do of the wanted offloads is left out, and [`Queues::granted`] says what it does.
    ///
    /// # Errors
    /// [`Error::QueuesHeld`] if it was started before and queues are left; [`Error::Range`] for a
    /// number of queues or an MTU that the device does not have; DPDK's.
    pub fn start(&mut self, config: &PortConfig) -> Result<Queues, Error> {
        self.stop()?;
        let device = Arc::get_mut(&mut self.device).ok_or(Error::QueuesHeld(String::new()))?;
        let granted = device.start(config, &self.info)?;
        Ok(Queues {
            rx: (0..config.rx_queues).map(|index| RxQueue::new(&self.device, index)).collect(),
            tx: (0..config.tx_queues).map(|index| TxQueue::new(&self.device, index)).collect(),
            granted,
        })
    }

    /// Stops the port, if it runs.
    ///
    /// # Errors
    /// [`Error::QueuesHeld`] while there are queues of it; DPDK's.
    pub fn stop(&mut self) -> Result<(), Error> {
        match Arc::get_mut(&mut self.device) {
            Some(device) => device.stop(),
            None => Err(Error::QueuesHeld(self.device.name.clone())),
        }
    }

    /// The state of the link, as the driver last saw it.
    ///
    /// # Errors
    /// DPDK's.
    pub fn link(&self) -> Result<Link, Error> {
        let mut link = sys::rte_eth_link::default();
        let _control = self.device.eal.control();
        // SAFETY: the port exists, and `link` is written only during the call.
        let code = unsafe { sys::rte_eth_link_get_nowait(self.device.id, &raw mut link) };
        check("rte_eth_link_get_nowait", &self.device.name, code)?;
        Ok(Link::from(&link))
    }

    /// The device's counters since it was started.
    ///
    /// # Errors
    /// DPDK's.
    pub fn stats(&self) -> Result<PortStats, Error> {
        let mut stats = sys::rte_eth_stats::default();
        let _control = self.device.eal.control();
        // SAFETY: the port exists, and `stats` is written only during the call.
        let code = unsafe { sys::rte_eth_stats_get(self.device.id, &raw mut stats) };
        check("rte_eth_stats_get", &self.device.name, code)?;
        Ok(PortStats::from(&stats))
    }

    fn new(eal: &Eal, id: u16, name: String, claimed: Claimed, rings: Vec<Arc<Ring>>) -> Self {
        let device = Device {
            id,
            name,
            running: false,
            bus_device: claimed.bus_device,
            _rings: rings,
            pools: Vec::new(),
            eal: eal.clone(),
        };
        Self { device: Arc::new(device), info: claimed.info }
    }
}

impl Device {
    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    fn start(&mut self, config: &PortConfig, info: &PortInfo) -> Result<Granted, Error> {
        in_range("receive queues", config.rx_queues, 1, info.max_rx_queues)?;
        in_range("transmit queues", config.tx_queues, 1, info.max_tx_queues)?;
        in_range("MTU", config.mtu, info.min_mtu, info.max_mtu)?;
        let eal = self.eal.clone();
        let _control = eal.control();
        let mut granted = config.granted_by(info);
        let conf = config.to_dpdk(&granted);
        // SAFETY: the port exists and is stopped; `conf` is read only during the call.
        let code = unsafe {
            sys::rte_eth_dev_configure(self.id, config.rx_queues, config.tx_queues, &raw const conf)
        };
        check("rte_eth_dev_configure", &self.name, code)?;
        // SAFETY: the port is configured; both numbers are written only during the call.
        let code = unsafe {
            sys::rte_eth_dev_adjust_nb_rx_tx_desc(
                self.id,
                &raw mut granted.rx_descriptors,
                &raw mut granted.tx_descriptors,
            )
        };
        check("rte_eth_dev_adjust_nb_rx_tx_desc", &self.name, code)?;
        self.set_up_queues(config, &granted)?;
        // SAFETY: the port is configured, its queues are set up.
        let code = unsafe { sys::rte_eth_dev_start(self.id) };
        check("rte_eth_dev_start", &self.name, code)?;
        self.running = true;
        if config.promiscuous {
            // SAFETY: the port runs.
            let code = unsafe { sys::rte_eth_promiscuous_enable(self.id) };
            granted.promiscuous = self.supported("rte_eth_promiscuous_enable", code)?;
        }
        if config.all_multicast {
            // SAFETY: the port runs.
            let code = unsafe { sys::rte_eth_allmulticast_enable(self.id) };
            granted.all_multicast = self.supported("rte_eth_allmulticast_enable", code)?;
        }
        Ok(granted)
    }

    fn set_up_queues(&mut self, config: &PortConfig, granted: &Granted) -> Result<(), Error> {
        let info = dev_info(self.id, &self.name)?;
        // SAFETY: the port exists.
        let socket = unsafe { sys::rte_eth_dev_socket_id(self.id) }.cast_unsigned();
        // Until each queue has the new pool, some may have an earlier one.
        self.pools.push(config.pool.clone());
        let mut rx = info.default_rxconf;
        rx.offloads = granted.rx_offloads.bits();
        for index in 0..config.rx_queues {
            // SAFETY: the port is configured with this queue; `rx` is read only during the call,
            // and the pool lives as long as the device.
            let code = unsafe {
                sys::rte_eth_rx_queue_setup(
                    self.id,
                    index,
                    granted.rx_descriptors,
                    socket,
                    &raw const rx,
                    config.pool.raw(),
                )
            };
            check("rte_eth_rx_queue_setup", &self.name, code)?;
        }
        let mut tx = info.default_txconf;
        tx.offloads = granted.tx_offloads.bits();
        for index in 0..config.tx_queues {
            // SAFETY: the port is configured with this queue; `tx` is read only during the call.
            let code = unsafe {
                sys::rte_eth_tx_queue_setup(
                    self.id,
                    index,
                    granted.tx_descriptors,
                    socket,
                    &raw const tx,
                )
            };
            check("rte_eth_tx_queue_setup", &self.name, code)?;
        }
        self.pools.drain(..self.pools.len() - 1);
        Ok(())
    }

    fn stop(&mut self) -> Result<(), Error> {
        if !self.running {
            return Ok(());
        }
        let _control = self.eal.control();
        // SAFETY: the port runs, and no queue of it is left, since the borrow is unique.
        let code = unsafe { sys::rte_eth_dev_stop(self.id) };
        check("rte_eth_dev_stop", &self.name, code)?;
        self.running = false;
        Ok(())
    }

    /// Whether the device does what `operation` asked for.
    fn supported(&self, operation: &'static str, code: i32) -> Result<bool, Error> {
        if code == -libc::ENOTSUP {
            return Ok(false);
        }
        check(operation, &self.name, code).map(|()| true)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // A device that will not stop is closed none the less: nobody can use it any more.
        let _ = self.stop();
        let _control = self.eal.control();
        // SAFETY: the port exists, and neither its handle nor a queue is left.
        unsafe { sys::rte_eth_dev_close(self.id) };
        // SAFETY: the bus still has the device, which `attach` put there or found.
        unsafe { sys::rte_dev_remove(self.bus_device) };
    }
}

struct Claimed {
    info: PortInfo,
    bus_device: *mut sys::rte_device,
}

/// Makes this process's claim on a port. The control lock must be held.
fn claim(id: u16, name: &str) -> Result<Claimed, Error> {
    let raw = dev_info(id, name)?;
    let mut mac = sys::rte_ether_addr::default();
    // SAFETY: the port exists, and `mac` is written only during the call.
    let code = unsafe { sys::rte_eth_macaddr_get(id, &raw mut mac) };
    check("rte_eth_macaddr_get", name, code)?;

    let mut owner = sys::rte_eth_dev_owner::default();
    for (to, from) in owner.name.iter_mut().zip(b"greyhound") {
        *to = from.cast_signed() as c_char;
    }
    // SAFETY: writes one number.
    let code = unsafe { sys::rte_eth_dev_owner_new(&raw mut owner.id) };
    check("rte_eth_dev_owner_new", name, code)?;
    // SAFETY: the port exists, and `owner` is read only during the call.
    match unsafe { sys::rte_eth_dev_owner_set(id, &raw const owner) } {
        code if code == -libc::EPERM => return Err(Error::DeviceBusy(name.to_owned())),
        code => check("rte_eth_dev_owner_set", name, code)?,
    }
    Ok(Claimed { info: PortInfo::new(&raw, mac.addr_bytes), bus_device: raw.device })
}

fn dev_info(id: u16, name: &str) -> Result<sys::rte_eth_dev_info, Error> {
    let mut info = sys::rte_eth_dev_info::default();
    // SAFETY: an unknown port is an error, and `info` is written only during the call.
    let code = unsafe { sys::rte_eth_dev_info_get(id, &raw mut info) };
    check("rte_eth_dev_info_get", name, code)?;
    Ok(info)
}

/// The first port of a device that a bus has.
fn find(devargs: &CString) -> Option<u16> {
    // SAFETY: pointers only, for which all zeroes is null.
    let mut iterator: sys::rte_dev_iterator = unsafe { mem::zeroed() };
    // SAFETY: the iterator is written during the calls, and the string outlives it.
    if unsafe { sys::rte_eth_iterator_init(&raw mut iterator, devargs.as_ptr()) } != 0 {
        return None;
    }
    // SAFETY: the iterator was initialised.
    let id = unsafe { sys::rte_eth_iterator_next(&raw mut iterator) };
    if id >= sys::SHIM_MAX_ETHPORTS {
        // The iterator has cleaned up after itself.
        return None;
    }
    // SAFETY: it was initialised, and has not come to its end.
    unsafe { sys::rte_eth_iterator_cleanup(&raw mut iterator) };
    Some(id)
}

/// The text behind a pointer that DPDK gave; empty if there is none.
pub(crate) fn text(raw: *const c_char) -> String {
    if ptr::eq(raw, ptr::null()) {
        return String::new();
    }
    // SAFETY: DPDK's names are NUL-terminated and static.
    unsafe { CStr::from_ptr(raw) }.to_string_lossy().into_owned()
}

/// Longer device strings are mistakes.
pub(crate) const DEVARGS_SIZE: usize = 512;
