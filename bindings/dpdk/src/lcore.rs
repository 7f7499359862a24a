//! Threads as DPDK sees them, and the clock of a core.

use std::marker::PhantomData;

use dpdk_sys as sys;

use crate::{Eal, Error};

/// A thread that DPDK knows as an lcore: its pool allocations go through a cache of its own.
/// Unregisters when dropped, which must be on the same thread (it is not `Send`).
#[derive(Debug)]
pub struct Lcore {
    eal: Eal,
    id: u32,
    not_send: PhantomData<*const ()>,
}

impl Eal {
    /// Registers the calling thread, which must not be an EAL thread. Pin it first: DPDK remembers
    /// the affinity that it finds.
    ///
    /// # Errors
    /// [`Error::ThreadRegistered`], or DPDK's when all lcore ids are taken.
    pub fn register_thread(&self) -> Result<Lcore, Error> {
        if lcore_id() != sys::LCORE_ID_ANY {
            return Err(Error::ThreadRegistered);
        }
        // SAFETY: the EAL is up, since `self` exists, and the thread has no lcore id.
        if unsafe { sys::rte_thread_register() } != 0 {
            return Err(Error::last("rte_thread_register", ""));
        }
        Ok(Lcore { eal: self.clone(), id: lcore_id(), not_send: PhantomData })
    }
}

impl Lcore {
    /// DPDK's number of this thread. Not a number of a CPU.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for Lcore {
    fn drop(&mut self) {
        // Packets in the cache of a thread that is gone would keep their pools alive.
        // SAFETY: flushes only caches of the calling thread, which is the registered one.
        unsafe { sys::shim_mempool_flush_all() };
        self.eal.free_retired_pools();
        // SAFETY: registered by `register_thread`, on this thread.
        unsafe { sys::rte_thread_unregister() };
    }
}

/// Pins the calling thread to one CPU, counted as the kernel does.
///
/// # Errors
/// [`Error::Affinity`] if there is no such CPU, or this process may not use it.
pub fn pin_current_thread(core: usize) -> Result<(), Error> {
    if core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        Ok(())
    } else {
        Err(Error::Affinity(core))
    }
}

/// The time-stamp counter of this core; [`Eal::tsc_hz`] says how fast it runs. Not serialising:
/// the processor may reorder it with what stands around it.
#[inline]
#[must_use]
pub fn tsc() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every x86-64 has the instruction.
        unsafe { core::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        // SAFETY: reads the architecture's counter.
        unsafe { sys::shim_tsc() }
    }
}

fn lcore_id() -> u32 {
    // SAFETY: reads a thread-local number.
    unsafe { sys::shim_lcore_id() }
}
