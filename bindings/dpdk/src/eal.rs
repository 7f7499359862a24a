//! DPDK's environment: memory, devices, threads. Once per process.

use std::ffi::{CString, c_char, c_int};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::{fs, mem};

use dpdk_sys as sys;

use crate::Error;

/// Where DPDK's memory comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hugepages {
    /// Hugepages if enough are free, else ordinary pages.
    #[default]
    Auto,
    /// Hugepages, or an error.
    Require,
    /// Ordinary pages: no privileges needed, slower with much memory.
    Off,
}

/// How much DPDK writes to stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// What ends the process.
    #[default]
    Critical,
    /// Errors as well, some of which are harmless.
    Error,
    /// Warnings as well.
    Warning,
    /// All that helps to find a fault.
    Debug,
}

/// How DPDK is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EalConfig {
    /// The name of the program, for DPDK's log.
    pub program: String,
    /// Where the memory comes from.
    pub hugepages: Hugepages,
    /// How much memory, in MiB; taken at the start.
    pub memory_mib: u32,
    /// Names the folder that DPDK makes, where it may, in its run-time directory. Nothing is put
    /// there, so processes may have the same.
    pub file_prefix: String,
    /// PCI devices that may be attached. Empty: the PCI bus is not looked at.
    pub allow_pci: Vec<String>,
    /// How much DPDK says.
    pub log: LogLevel,
    /// Further EAL arguments, as they are.
    pub extra: Vec<String>,
}

impl Default for EalConfig {
    fn default() -> Self {
        Self {
            program: "greyhound".into(),
            hugepages: Hugepages::Auto,
            memory_mib: 512,
            file_prefix: "greyhound".into(),
            allow_pci: Vec::new(),
            log: LogLevel::default(),
            extra: Vec::new(),
        }
    }
}

/// A handle of the running EAL. DPDK is cleaned up when the last one is gone: those of ports,
/// pools and rings are counted too.
#[derive(Clone, Debug)]
pub struct Eal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // DPDK may keep pointers into its arguments.
    _arguments: Vec<CString>,
    hugepages: bool,
    control: Mutex<()>,
    retired: Mutex<Vec<RetiredPool>>,
}

#[derive(Debug)]
struct RetiredPool(NonNull<sys::rte_mempool>);

// SAFETY: see `Mempool`; a retired pool is only ever checked and freed, under a lock.
unsafe impl Send for RetiredPool {}

impl Eal {
    /// Starts DPDK. The calling thread becomes its main lcore and keeps the affinity that it has.
    ///
    /// # Errors
    /// [`Error::AlreadyInitialised`] for the second call in a process, also if the first failed
    /// within DPDK; [`Error::NoHugepages`]; DPDK's own.
    pub fn init(config: &EalConfig) -> Result<Self, Error> {
        let wanted_mib = u64::from(config.memory_mib);
        let free_mib = free_hugepages_mib();
        let hugepages = match config.hugepages {
            Hugepages::Off => false,
            Hugepages::Auto => free_mib >= wanted_mib,
            Hugepages::Require if free_mib < wanted_mib => {
                return Err(Error::NoHugepages { wanted_mib, free_mib });
            }
            Hugepages::Require => true,
        };
        let affinity = Affinity::of_this_thread()?;
        let mut arguments = Vec::new();
        for argument in arguments_of(config, hugepages, affinity.first_cpu()) {
            let nul = |_| Error::Name { name: argument.clone(), max: usize::MAX };
            arguments.push(CString::new(argument.as_str()).map_err(nul)?);
        }
        // DPDK reorders the pointers, and does not write to the strings.
        let mut pointers: Vec<*mut c_char> =
            arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).unwrap_or(c_int::MAX);

        if INITIALISED.swap(true, Ordering::AcqRel) {
            return Err(Error::AlreadyInitialised);
        }
        // SAFETY: `pointers` holds `count` strings that live as long as the EAL does, and this is
        // the only call in the process.
        let parsed = unsafe { sys::rte_eal_init(count, pointers.as_mut_ptr()) };
        let result = if parsed < 0 { Err(Error::last("rte_eal_init", "")) } else { Ok(()) };
        affinity.restore();
        result?;
        Ok(Self(Arc::new(Inner {
            _arguments: arguments,
            hugepages,
            control: Mutex::new(()),
            retired: Mutex::default(),
        })))
    }

    /// The EAL of a test process: ordinary pages, 512 MiB, no PCI; started by the first call and
    /// never stopped.
    ///
    /// # Panics
    /// If DPDK cannot be started so.
    pub fn for_tests() -> &'static Self {
        static EAL: OnceLock<Eal> = OnceLock::new();
        #[expect(clippy::expect_used, reason = "a test cannot go on without")]
        EAL.get_or_init(|| {
            let config = EalConfig { hugepages: Hugepages::Off, ..EalConfig::default() };
            Self::init(&config).expect("DPDK starts without hugepages, PCI and privileges")
        })
    }

    /// Whether the memory is in hugepages.
    #[must_use]
    pub fn hugepages(&self) -> bool {
        self.0.hugepages
    }

    /// How fast [`crate::tsc`] runs, in Hz. Measured when DPDK started.
    #[must_use]
    pub fn tsc_hz(&self) -> u64 {
        // SAFETY: reads a number that is set since the EAL is up.
        unsafe { sys::rte_get_tsc_hz() }
    }

    /// Held while devices come, go or are configured: DPDK does not lock these itself.
    pub(crate) fn control(&self) -> MutexGuard<'_, ()> {
        self.0.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees the pool as soon as all its packets have come home.
    ///
    /// # Safety
    /// The caller has the only pointer to the pool, and does not use it after this.
    pub(crate) unsafe fn retire_pool(&self, pool: NonNull<sys::rte_mempool>) {
        self.0.retired().push(RetiredPool(pool));
        self.free_retired_pools();
    }

    pub(crate) fn free_retired_pools(&self) {
        self.0.free_settled();
    }
}

impl Inner {
    fn retired(&self) -> MutexGuard<'_, Vec<RetiredPool>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A packet counts as home when it is in the common store, which a freeing thread no longer
    /// touches then, or was in the cache of this very thread. One in the cache of another lcore
    /// may still be on its way in, so it waits until that lcore flushes.
    fn free_settled(&self) {
        self.retired().retain(|pool| {
            // SAFETY: a retired pool is alive until freed below.
            let settled = unsafe { sys::shim_mempool_settled(pool.0.as_ptr()) };
            if settled {
                // SAFETY: there is no handle and no packet of it, and it leaves the list.
                unsafe { sys::rte_mempool_free(pool.0.as_ptr()) };
            }
            !settled
        });
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.free_settled();
        // Cleaning up unmaps the memory, which a packet that is still held somewhere points to.
        if self.retired().is_empty() {
            // SAFETY: no handle of the EAL, a port, a pool or a ring is left, and no packet.
            unsafe { sys::rte_eal_cleanup() };
        }
    }
}

static INITIALISED: AtomicBool = AtomicBool::new(false);

fn arguments_of(config: &EalConfig, hugepages: bool, cpu: usize) -> Vec<String> {
    let level = match config.log {
        LogLevel::Critical => "critical",
        LogLevel::Error => "error",
        LogLevel::Warning => "warning",
        LogLevel::Debug => "debug",
    };
    let mut arguments = vec![
        config.program.clone(),
        format!("--file-prefix={}", config.file_prefix),
        // One lcore for the calling thread: packet threads are ours, and register themselves.
        format!("--lcores=0@{cpu}"),
        "-m".into(),
        config.memory_mib.to_string(),
        "--no-telemetry".into(),
        format!("--log-level=*:{level}"),
    ];
    // Neither leaves files behind, nor needs a place for them.
    if hugepages {
        arguments.push("--in-memory".into());
    } else {
        arguments.extend(["--no-huge".into(), "--no-shconf".into()]);
    }
    if config.allow_pci.is_empty() {
        arguments.extend(["--no-pci".into(), "--iova-mode=va".into()]);
    }
    for address in &config.allow_pci {
        arguments.extend(["-a".into(), address.clone()]);
    }
    arguments.extend(config.extra.iter().cloned());
    arguments
}

/// Free hugepages of all sizes, in MiB; 0 when the kernel has none.
fn free_hugepages_mib() -> u64 {
    let Ok(sizes) = fs::read_dir("/sys/kernel/mm/hugepages") else { return 0 };
    let of_size = |entry: fs::DirEntry| -> Option<u64> {
        let name = entry.file_name().into_string().ok()?;
        let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let pages = fs::read_to_string(entry.path().join("free_hugepages")).ok()?;
        Some(kib * pages.trim().parse::<u64>().ok()?)
    };
    sizes.filter_map(|entry| of_size(entry.ok()?)).sum::<u64>() / 1024
}

/// The CPUs that a thread may run on.
struct Affinity(libc::cpu_set_t);

impl Affinity {
    fn of_this_thread() -> Result<Self, Error> {
        // SAFETY: a set of bits, for which all zeroes is the empty one.
        let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
        // SAFETY: 0 is this thread, and `set` has the size that is given.
        let code = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
        if code == 0 { Ok(Self(set)) } else { Err(Error::Affinity(0)) }
    }

    fn first_cpu(&self) -> usize {
        let size = libc::CPU_SETSIZE.unsigned_abs() as usize;
        // SAFETY: `cpu` is below the size of the set.
        (0..size).find(|&cpu| unsafe { libc::CPU_ISSET(cpu, &self.0) }).unwrap_or(0)
    }

    /// Gives the set to the calling thread. It had it before, so this fails only if the machine
    /// has changed meanwhile, and then the kernel's choice is as good.
    fn restore(&self) {
        // SAFETY: 0 is this thread, and the set has the size that is given.
        unsafe { libc::sched_setaffinity(0, size_of_val(&self.0), &raw const self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(config: &EalConfig, hugepages: bool) -> String {
        arguments_of(config, hugepages, 3).join(" ")
    }

    #[test]
    fn without_hugepages_and_pci() {
        let config = EalConfig { file_prefix: "x".into(), memory_mib: 64, ..EalConfig::default() };
        assert_eq!(
            line(&config, false),
            "greyhound --file-prefix=x --lcores=0@3 -m 64 --no-telemetry --log-level=*:critical \
             --no-huge --no-shconf --no-pci --iova-mode=va"
        );
    }

    #[test]
    fn with_hugepages_and_two_devices() {
        let config = EalConfig {
            file_prefix: "x".into(),
            allow_pci: vec!["0000:3b:00.0".into(), "0000:3b:00.1".into()],
            log: LogLevel::Debug,
            extra: vec!["--single-file-segments".into()],
            ..EalConfig::default()
        };
        assert_eq!(
            line(&config, true),
            "greyhound --file-prefix=x --lcores=0@3 -m 512 --no-telemetry --log-level=*:debug \
             --in-memory -a 0000:3b:00.0 -a 0000:3b:00.1 --single-file-segments"
        );
    }
}
