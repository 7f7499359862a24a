//! Crypto devices: attached, configured and started in one step.

use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dpdk_sys as sys;

use super::{AAD_LEN_MAX, CryptoQueue, Direction, Session};
use crate::error::{c_name, check, in_range};
use crate::port::{DEVARGS_SIZE, text};
use crate::{Eal, Error};

/// What a crypto device is made ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CryptoConfig {
    /// How many queue pairs: one for each core that uses the device.
    pub queues: u16,
    /// How many ops each queue pair has room for. 2^n - 1 uses memory best, and cards want it.
    pub descriptors: u16,
    /// How many sessions there can be at once; each takes up to 2 KiB, and openssl more outside.
    pub sessions: u32,
}

impl Default for CryptoConfig {
    /// One queue pair of 1023 ops, and 1024 sessions.
    fn default() -> Self {
        Self { queues: 1, descriptors: 1023, sessions: 1024 }
    }
}

/// What a crypto device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CryptoInfo {
    /// The driver, as DPDK names it.
    pub driver: String,
    /// How many queue pairs it can have. Of virtual devices, the argument `max_nb_queue_pairs`
    /// sets it: `crypto_aesni_gcm0,max_nb_queue_pairs=16`.
    pub max_queues: u16,
    /// How many sessions it can have; `None`: as many as memory allows.
    pub max_sessions: Option<u32>,
}

/// A crypto device, owned: nobody else in this process can attach it. A clone is another handle of
/// the same device. When all handles, queues and sessions are gone, it is stopped, closed and
/// detached.
#[derive(Clone, Debug)]
pub struct CryptoDevice(pub(super) Arc<Device>);

/// The device as handles, queues and sessions share it.
#[derive(Debug)]
pub(super) struct Device {
    id: u8,
    name: String,
    info: CryptoInfo,
    config: CryptoConfig,
    running: bool,
    sessions: Option<NonNull<sys::rte_mempool>>,
    eal: Eal,
}

// SAFETY: the device is configured and closed through a unique borrow and under the EAL's control
// lock; queues have one handle each; a DPDK pool may be used from any thread.
unsafe impl Send for Device {}
// SAFETY: as above; through shared borrows, sessions are made under the control lock, and each is
// freed by whoever has its last handle.
unsafe impl Sync for Device {}

impl CryptoDevice {
    /// Attaches a device and starts it: a PCI address in full ("0000:3d:01.0", which
    /// [`crate::EalConfig::allow_pci`] must name), or a virtual device with its arguments
    /// ("crypto_aesni_gcm0"). Gives the queue pairs too, in the order of their numbers.
    ///
    /// # Errors
    /// [`Error::NoSuchDevice`] also when its driver is not installed; [`Error::DeviceBusy`],
    /// [`Error::NoCryptoDevice`]; [`Error::NoAesGcm`] if it lacks AES-GCM with keys of 128 or 256
    /// bits as ESP uses it; [`Error::NeedsRoom`]; [`Error::Name`]; [`Error::Range`] for numbers
    /// beyond what it has; DPDK's.
    pub fn attach(
        eal: &Eal,
        device: &str,
        config: &CryptoConfig,
    ) -> Result<(Self, Vec<CryptoQueue>), Error> {
        let mut opened = Device::open(eal, device, *config)?;
        for key_len in KEY_LENS {
            for aad_len in ESP_AAD_LENS {
                opened.require_gcm(key_len, aad_len)?;
            }
        }
        opened.start()?;
        let device = Arc::new(opened);
        let queues = (0..config.queues)
            .map(|index| CryptoQueue::new(&device, index, config.descriptors))
            .collect::<Result<_, _>>()?;
        Ok((Self(device), queues))
    }

    /// What the device is.
    #[must_use]
    pub fn info(&self) -> &CryptoInfo {
        &self.0.info
    }

    /// A session with this key, of 16 or 32 octets, for AAD of this length, at most
    /// [`AAD_LEN_MAX`]. From any thread, at any time; takes a lock, so not for packet threads.
    ///
    /// # Errors
    /// [`Error::Range`] and [`Error::NoAesGcm`] for lengths; [`Error::NoSession`] when all are in
    /// use; DPDK's.
    pub fn session(
        &self,
        direction: Direction,
        key: &[u8],
        aad_len: usize,
    ) -> Result<Session, Error> {
        let device = &self.0;
        in_range("octets of AAD", aad_len as u64, 0, AAD_LEN_MAX as u64)?;
        let (key_octets, aad_octets) = device.require_gcm(key.len(), aad_len)?;
        let pool = device.sessions.map_or(std::ptr::null_mut(), NonNull::as_ptr);
        let _control = device.eal.control();
        // SAFETY: the device runs, the pool is its own, and the key is read during the call only.
        let raw = unsafe {
            sys::shim_crypto_session_create(
                device.id,
                pool,
                direction == Direction::Encrypt,
                key.as_ptr(),
                key_octets,
                aad_octets,
            )
        };
        match NonNull::new(raw) {
            // SAFETY: it was just made.
            Some(raw) => Ok(unsafe { Session::new(raw, device, direction, key.len(), aad_len) }),
            None => Err(device.no_session()),
        }
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions_in_use(&self) -> u32 {
        self.0.sessions.map_or(0, |pool| {
            // SAFETY: the pool lives as long as the device.
            unsafe { sys::rte_mempool_in_use_count(pool.as_ptr()) }
        })
    }
}

impl Device {
    #[inline]
    pub(super) fn id(&self) -> u8 {
        self.id
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The name of a pool that is the device's only one of this kind.
    pub(super) fn object_name(&self, kind: &str) -> Result<CString, Error> {
        c_name(&format!("crypto{}{kind}", self.id), sys::SHIM_MEMPOOL_NAMESIZE as usize)
    }

    /// Finds the device, and claims it for this process.
    fn open(eal: &Eal, device: &str, config: CryptoConfig) -> Result<Self, Error> {
        let devargs = c_name(device, DEVARGS_SIZE)?;
        let name = device.split(',').next().unwrap_or(device);
        let control = eal.control();
        let found = match find(name) {
            Some(found) => found,
            None => {
                // SAFETY: the string is NUL-terminated, and the control lock is held.
                let code = unsafe { sys::rte_dev_probe(devargs.as_ptr()) };
                // The former when no bus or driver knows the name, the latter when the bus does
                // not have the device.
                if [-libc::EFAULT, -libc::ENODEV].contains(&code) {
                    return Err(Error::NoSuchDevice(device.to_owned()));
                }
                // It exists, yet is none of the crypto devices.
                if code != -libc::EEXIST {
                    check("rte_dev_probe", device, code)?;
                }
                find(name).ok_or_else(|| Error::NoCryptoDevice(device.to_owned()))?
            }
        };
        let (id, info) = found;
        if ATTACHED.fetch_or(1 << id, Ordering::AcqRel) & 1 << id != 0 {
            return Err(Error::DeviceBusy(device.to_owned()));
        }
        let opened = Self {
            id,
            name: name.to_owned(),
            info: CryptoInfo {
                driver: text(info.driver_name),
                max_queues: u16::try_from(info.max_nb_queue_pairs).unwrap_or(u16::MAX),
                max_sessions: Some(info.sym.max_nb_sessions).filter(|&max| max > 0),
            },
            config,
            running: false,
            sessions: None,
            eal: eal.clone(),
        };
        // Dropping what was opened takes the lock.
        drop(control);
        if info.min_mbuf_headroom_req > 0 || info.min_mbuf_tailroom_req > 0 {
            return Err(Error::NeedsRoom(opened.name.clone()));
        }
        Ok(opened)
    }

    /// The lengths as DPDK wants them, if the device does AES-GCM with them.
    fn require_gcm(&self, key_len: usize, aad_len: usize) -> Result<(u16, u16), Error> {
        let lens = u16::try_from(key_len).ok().zip(u16::try_from(aad_len).ok());
        // AES-192, which devices do as well, is not used with ESP.
        let lens = lens.filter(|_| KEY_LENS.contains(&key_len)).filter(|&(key, aad)| {
            // SAFETY: the device exists.
            unsafe { sys::shim_crypto_does_gcm(self.id, key, aad) }
        });
        lens.ok_or_else(|| Error::NoAesGcm {
            device: self.name.clone(),
            driver: self.info.driver.clone(),
            key_len,
            aad_len,
        })
    }

    fn start(&mut self) -> Result<(), Error> {
        let CryptoConfig { queues, descriptors, sessions } = self.config;
        in_range("crypto queues", queues, 1, self.info.max_queues)?;
        in_range("crypto descriptors", descriptors, 1, DESCRIPTORS_MAX)?;
        let most = self.info.max_sessions.unwrap_or(SESSIONS_MAX).min(SESSIONS_MAX);
        in_range("crypto sessions", sessions, 1, most)?;
        let eal = self.eal.clone();
        let _control = eal.control();
        let mut config = sys::rte_cryptodev_config {
            // SAFETY: the device exists.
            socket_id: unsafe { sys::rte_cryptodev_socket_id(self.id) },
            nb_queue_pairs: queues,
            ff_disable: 0,
        };
        // SAFETY: the device exists and is stopped; `config` is used only during the call.
        let code = unsafe { sys::rte_cryptodev_configure(self.id, &raw mut config) };
        check("rte_cryptodev_configure", &self.name, code)?;
        let pool = self.make_sessions()?;
        let pair = sys::rte_cryptodev_qp_conf {
            // Drivers keep ops in a ring, which holds one less than a power of two.
            nb_descriptors: (u32::from(descriptors) + 1).next_power_of_two(),
            mp_session: pool.as_ptr(),
        };
        for index in 0..queues {
            // SAFETY: the device is configured with this queue pair, and stopped; the pool lives
            // as long as the device.
            let code = unsafe {
                sys::rte_cryptodev_queue_pair_setup(
                    self.id,
                    index,
                    &raw const pair,
                    config.socket_id,
                )
            };
            check("rte_cryptodev_queue_pair_setup", &self.name, code)?;
        }
        // SAFETY: the device is configured, its queue pairs are set up.
        let code = unsafe { sys::rte_cryptodev_start(self.id) };
        check("rte_cryptodev_start", &self.name, code)?;
        self.running = true;
        Ok(())
    }

    /// Makes the pool that sessions are taken from. What one takes depends on the queue pairs.
    fn make_sessions(&mut self) -> Result<NonNull<sys::rte_mempool>, Error> {
        let name = self.object_name("s")?;
        // SAFETY: the device exists.
        let size = unsafe { sys::rte_cryptodev_sym_get_private_session_size(self.id) };
        // No caches: sessions come and go on threads that have none.
        // SAFETY: the EAL is up, and the name is copied.
        let pool = unsafe {
            sys::rte_cryptodev_sym_session_pool_create(
                name.as_ptr(),
                self.config.sessions,
                size,
                0,
                0,
                sys::SOCKET_ID_ANY,
            )
        };
        let failed = || Error::last("rte_cryptodev_sym_session_pool_create", &self.name);
        let pool = NonNull::new(pool).ok_or_else(failed)?;
        self.sessions = Some(pool);
        Ok(pool)
    }

    /// Why there is no session.
    fn no_session(&self) -> Error {
        match Error::last("rte_cryptodev_sym_session_create", &self.name) {
            Error::Dpdk { errno, .. } if errno.0 == libc::ENOMEM => {
                Error::NoSession { device: self.name.clone(), max: self.config.sessions }
            }
            other => other,
        }
    }

    /// Frees rings that the openssl driver forgets when it is removed: the next device of this
    /// number would find them in its way.
    fn free_forgotten_rings(&self) {
        for index in 0..self.config.queues {
            let name = format!("openssl_pmd_{}_qp_{index}", self.id);
            let Ok(name) = c_name(&name, sys::SHIM_RING_NAMESIZE as usize) else { return };
            // SAFETY: looks up a name.
            let ring = unsafe { sys::rte_ring_lookup(name.as_ptr()) };
            // SAFETY: a ring or null; the queue pair that had it is gone.
            unsafe { sys::rte_ring_free(ring) };
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _control = self.eal.control();
        if self.running {
            // SAFETY: the device runs, and no queue of it is left.
            unsafe { sys::rte_cryptodev_stop(self.id) };
        }
        // SAFETY: the device is stopped, and no handle, queue or session of it is left.
        unsafe { sys::rte_cryptodev_close(self.id) };
        let bus = if is_pci(&self.name) { c"pci" } else { c"vdev" };
        let removed = CString::new(self.name.as_str()).is_ok_and(|name| {
            // Not by the device that the driver names, which is on no bus if the driver (qat) makes
            // several crypto devices of one.
            // SAFETY: both names are NUL-terminated; a device that is not there is an error.
            unsafe { sys::rte_eal_hotplug_remove(bus.as_ptr(), name.as_ptr()) == 0 }
        });
        if let Some(pool) = self.sessions {
            // SAFETY: no session is left, and the driver that knew the pool is closed.
            unsafe { sys::rte_mempool_free(pool.as_ptr()) };
        }
        // One that cannot be removed stays closed for ever.
        if removed {
            self.free_forgotten_rings();
            ATTACHED.fetch_and(!(1 << self.id), Ordering::AcqRel);
        }
    }
}

/// The crypto device for symmetric keys that this device of a bus has.
fn find(name: &str) -> Option<(u8, sys::rte_cryptodev_info)> {
    (0..DEVICES_MAX).find_map(|id| {
        // SAFETY: any number is accepted.
        if unsafe { sys::rte_cryptodev_is_valid_dev(id) } == 0 {
            return None;
        }
        let mut info = sys::rte_cryptodev_info::default();
        // SAFETY: the device exists, and `info` is written only during the call.
        unsafe { sys::rte_cryptodev_info_get(id, &raw mut info) };
        // SAFETY: each crypto device has a device, whose name is read.
        let of_device = text(unsafe { sys::rte_dev_name(info.device) });
        let found = is_of(&of_device, name) && info.feature_flags & SYMMETRIC != 0;
        found.then_some((id, info))
    })
}

/// Whether a crypto device is of the device of this name. Of a PCI device there may be several,
/// which have something behind its address ("0000:3d:01.0_qat_sym").
fn is_of(of_device: &str, name: &str) -> bool {
    match of_device.strip_prefix(name) {
        Some(rest) => rest.is_empty() || is_pci(name) && rest.starts_with('_'),
        None => false,
    }
}

/// Whether this is a PCI address, and no name of a virtual device.
fn is_pci(name: &str) -> bool {
    name.contains(':')
}

/// Which devices this process has attached, a bit for each number.
static ATTACHED: AtomicU64 = AtomicU64::new(0);

const DEVICES_MAX: u8 = {
    assert!(sys::SHIM_CRYPTO_MAX_DEVS <= u64::BITS);
    #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
    {
        sys::SHIM_CRYPTO_MAX_DEVS as u8
    }
};

/// Octets of keys: AES-128 and AES-256.
const KEY_LENS: [usize; 2] = [16, 32];

/// Octets of AAD without and with extended sequence numbers.
const ESP_AAD_LENS: [usize; 2] = [8, 12];

/// With one more, the number that drivers get is still one of 16 bits.
const DESCRIPTORS_MAX: u16 = (1 << 15) - 1;

/// More than SAs that a gateway can have.
const SESSIONS_MAX: u32 = 1 << 20;

const SYMMETRIC: u64 = sys::SHIM_CRYPTO_FF_SYMMETRIC;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crypto_devices_are_found_by_the_device_that_has_them() {
        assert!(is_of("crypto_aesni_gcm0", "crypto_aesni_gcm0"));
        assert!(is_of("0000:3d:01.0", "0000:3d:01.0"));
        assert!(is_of("0000:3d:01.0_qat_sym", "0000:3d:01.0"));
        assert!(!is_of("0000:3d:01.1_qat_sym", "0000:3d:01.0"));
        assert!(!is_of("crypto_openssl_1", "crypto_openssl"));
        assert!(!is_of("crypto_openssl", "crypto_openssl1"));
    }
}
