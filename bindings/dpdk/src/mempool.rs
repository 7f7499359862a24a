//! Pools of packet buffers.

use std::ptr::NonNull;
use std::sync::Arc;

use dpdk_sys as sys;

use crate::error::{c_name, in_range};
use crate::{Eal, Error, Mbuf, burst};

/// The headroom that poll-mode drivers leave before a received frame, in octets. It is fixed when
/// DPDK is compiled. [`Mbuf::reserve_headroom`] makes more.
pub const RX_HEADROOM: u16 = {
    assert!(sys::RTE_PKTMBUF_HEADROOM <= u16::MAX as u32);
    #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
    {
        sys::RTE_PKTMBUF_HEADROOM as u16
    }
};

/// What a pool is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MempoolConfig {
    /// How many mbufs. 2^n - 1 uses memory best.
    pub mbufs: u32,
    /// How many each lcore keeps in its own cache: at most 512, and two thirds of `mbufs`.
    pub cache: u32,
    /// Headroom of packets that are allocated from the pool, in octets, at least [`RX_HEADROOM`].
    /// What exceeds [`RX_HEADROOM`] is tailroom in received packets, so that
    /// [`Mbuf::reserve_headroom`] can always move a frame of `data_room` octets that far.
    pub headroom: u16,
    /// Room after the headroom, in octets.
    pub data_room: u16,
}

impl Default for MempoolConfig {
    /// 8191 packets of up to 2 KiB: 20 MiB.
    fn default() -> Self {
        Self { mbufs: 8191, cache: 256, headroom: 256, data_room: 2048 }
    }
}

/// A pool of mbufs. A clone is another handle of the same pool, for any thread. The memory is
/// given back when the last handle and the last port that uses it are gone, and all its packets
/// have come home.
#[derive(Clone, Debug)]
pub struct Mempool(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    raw: NonNull<sys::rte_mempool>,
    eal: Eal,
    config: MempoolConfig,
}

// SAFETY: a DPDK pool may be used from any thread: its store is a multi-producer, multi-consumer
// ring, and caches belong to one lcore each.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Mempool {
    /// Makes a pool. Its name, at most 25 octets, must be the only one of its kind.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Range`], or DPDK's: the name exists, or memory is short.
    pub fn new(eal: &Eal, name: &str, config: MempoolConfig) -> Result<Self, Error> {
        let c_name = c_name(name, sys::SHIM_MEMPOOL_NAMESIZE as usize)?;
        in_range("headroom", config.headroom, RX_HEADROOM, u16::MAX)?;
        in_range("data room", config.data_room, 1, u16::MAX - config.headroom)?;
        in_range("mempool cache", config.cache, 0, sys::RTE_MEMPOOL_CACHE_MAX_SIZE)?;
        in_range("mbufs", u64::from(config.mbufs), u64::from(config.cache) * 3 / 2 + 1, MBUFS_MAX)?;
        // SAFETY: the EAL is up, since `eal` exists; the name outlives the call and is copied.
        let raw = unsafe {
            sys::shim_pktmbuf_pool_create(
                c_name.as_ptr(),
                config.mbufs,
                config.cache,
                config.headroom + config.data_room,
                sys::SOCKET_ID_ANY,
            )
        };
        let raw = NonNull::new(raw).ok_or_else(|| Error::last("rte_mempool_create", name))?;
        Ok(Self(Arc::new(Pool { raw, eal: eal.clone(), config })))
    }

    /// What the pool was made of.
    #[must_use]
    pub fn config(&self) -> &MempoolConfig {
        &self.0.config
    }

    /// An empty packet with the headroom of the configuration; `None` when the pool is empty.
    #[inline]
    #[must_use]
    pub fn alloc(&self) -> Option<Mbuf> {
        self.alloc_at(self.0.config.headroom)
    }

    /// Appends `count` empty packets to `out`, or none if the pool has fewer. Returns how many.
    #[inline]
    pub fn alloc_bulk(&self, count: u32, out: &mut Vec<Mbuf>) -> usize {
        let fill = |room| {
            // SAFETY: the pool is alive, and `room` holds `count` pointers.
            let all = unsafe {
                sys::shim_pktmbuf_alloc_bulk(self.raw(), room, count, self.0.config.headroom)
            };
            if all { count as usize } else { 0 }
        };
        // SAFETY: what is allocated is owned by the caller, and written to the front.
        unsafe { burst::take(out, count as usize, fill) }
    }

    /// How many mbufs are out of the pool. Walks the caches of all lcores: not for the packet
    /// path, and exact only while no other thread allocates or frees.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        // SAFETY: the pool is alive.
        unsafe { sys::rte_mempool_in_use_count(self.raw()) }
    }

    /// How many mbufs are left, those in the caches of lcores included. As costly as
    /// [`Self::in_use`].
    #[must_use]
    pub fn available(&self) -> u32 {
        // SAFETY: the pool is alive.
        unsafe { sys::rte_mempool_avail_count(self.raw()) }
    }

    pub(crate) fn alloc_at(&self, headroom: u16) -> Option<Mbuf> {
        debug_assert!(headroom <= self.0.config.headroom);
        // SAFETY: the pool is alive, and its buffers are longer than the headroom.
        let raw = unsafe { sys::shim_pktmbuf_alloc(self.raw(), headroom) };
        // SAFETY: if not null, it is a packet that nobody else owns.
        NonNull::new(raw).map(|raw| unsafe { Mbuf::from_raw(raw) })
    }

    pub(crate) fn raw(&self) -> *mut sys::rte_mempool {
        self.0.raw.as_ptr()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the last handle is going, and its pointer is not used after this.
        unsafe { self.eal.retire_pool(self.raw) };
    }
}

/// Beyond this, DPDK's ring behind the pool cannot be made.
const MBUFS_MAX: u64 = (1 << 31) - 1;
