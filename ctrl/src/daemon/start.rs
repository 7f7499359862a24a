//! From a configuration to a running gateway.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use dataplane::engine::assembly::{self, Settings};
use dataplane::engine::topology::StageKind;
use dataplane::engine::worker::{Poll, Worker};
use dataplane::stages::Parts;
use dataplane::tables::Tables;
use dpdk::{Eal, EalConfig, Mempool, MempoolConfig};

use crate::config::{self, Attachment, Config};
use crate::icmp::{Limiter, Limits, PathMtu};
use crate::nat_keepalive::NatKeepalives;
use crate::neighbor::Neighbors;
use crate::policy::Learned;
use crate::sas::Sas;

use super::control::{Gateway, Running};
use super::events::Journal;
use super::ports::SettingError;
use super::{DaemonError, crypto, placement, ports, reports};

/// Buffers of 64 KiB for reassembled datagrams: two bursts of fragments may complete as many.
const LARGE_MBUFS: u32 = 255;
/// Largest data room of a buffer beside its headroom.
const LARGE_DATA_ROOM: u16 = u16::MAX - LARGE_HEADROOM;
const LARGE_HEADROOM: u16 = 256;
/// Headroom of buffers that the gateway fills itself: the longest template, rounded up.
const HEADROOM: u16 = 256;
/// Packets that may wait for the control thread, from each core: most of what `stages/punt.rs` lets
/// through at once, of NHRP 10 000, and what comes while the control thread makes tables.
const PUNTS_MAX: usize = 8192;
/// Of all cores together at most one buffer in so many: the others are for packets on their way,
/// though the control thread may stand still.
const PUNTS_SHARE: usize = 4;
/// Buffers that a core keeps in its own cache.
const POOL_CACHE: u32 = 256;

/// Starts everything.
pub(super) fn start(config: Config, path: &Path) -> Result<Gateway, DaemonError> {
    // Before anything is pinned: afterwards only one core would be seen.
    let available = cores();
    // This thread makes all tables and SAs.
    dpdk::heap_on_huge_pages();
    let eal = Eal::init(&eal_config(&config))?;
    let pool = Mempool::new(
        &eal,
        "packets",
        MempoolConfig {
            mbufs: config.system.mbufs,
            cache: POOL_CACHE.min(config.system.mbufs / 8),
            headroom: HEADROOM,
            data_room: ports::data_room(&config),
        },
    )
    .map_err(|error| SettingError {
        diagnostic: config.error_at("system.mbufs", format!("no memory for them: {error}")),
    })?;
    let large_pool = Mempool::new(
        &eal,
        "datagrams",
        MempoolConfig {
            mbufs: LARGE_MBUFS,
            cache: 0,
            headroom: LARGE_HEADROOM,
            data_room: LARGE_DATA_ROOM,
        },
    )?;
    let mut attached = ports::attach(&eal, &config)?;
    let specs = ports::specs(&config, &attached);
    let plan = placement::place(&config.pipeline.layout, &specs, &available)?;
    let mut queues = ports::start(&config, &mut attached, &plan, &pool)?;
    let (device, crypto_queues) = crypto::attach(&eal, &config, &plan)?;
    queues.crypto = crypto_queues;
    let ticks_per_second = eal.tsc_hz();
    let parts = Parts {
        pool: pool.clone(),
        large_pool,
        burst: config.pipeline.burst.into(),
        ticks_per_second,
        fragment_ident: getrandom::u32()?,
    };
    let settings = Settings {
        ring: config.pipeline.ring as usize,
        punts: punts(config.system.mbufs, plan.instances(StageKind::Punt).len()),
        poll: match config.pipeline.poll {
            config::Poll::Busy => Poll::Busy,
            config::Poll::Adaptive => Poll::Adaptive,
        },
    };
    let tables = Arc::new(Tables::default());
    let assembled = assembly::assemble(&plan, queues, &parts, settings, &tables)?;
    let (workers, links): (Vec<_>, Vec<_>) = assembled.into_iter().unzip();
    let now = Instant::now();
    let mut gateway = Gateway {
        facts: ports::facts(&config, &attached),
        path: path.to_path_buf(),
        started: now,
        ticks_per_second,
        started_tsc: dpdk::tsc(),
        neighbors: Neighbors::new(getrandom::u64()?),
        macs: HashMap::new(),
        sas: Sas::new(device),
        memory: crate::policy::Memory::default(),
        path_mtu: PathMtu::default(),
        keepalives: HashMap::new(),
        nat_keepalives: NatKeepalives::default(),
        down: BTreeSet::new(),
        routes: super::nhrp::Routes::default(),
        nhrp: HashMap::new(),
        resolver: super::nhrp::Resolver::start(super::nhrp::by_host)?,
        learned: Learned::default(),
        needed: BTreeSet::new(),
        unresolved: HashMap::new(),
        errors: Limiter::new(Limits::ERRORS, getrandom::u64()?),
        echoes: Limiter::new(Limits::ECHO, getrandom::u64()?),
        drops: reports::ControlDrops::default(),
        baseline: reports::Baseline::default(),
        transaction: super::publish::Transaction::default(),
        released: VecDeque::new(),
        journal: Journal::new(now, [getrandom::u64()?, getrandom::u64()?]),
        links_checked: now,
        link_up: HashMap::new(),
        tables,
        config,
        plan,
        links: links.into_iter().map(Running::new).collect(),
        threads: Vec::new(),
        ports: attached,
        pool,
    };
    gateway.configure(now)?;
    // Before the cores run, so that their first packets do not meet empty tables.
    gateway.advance();
    for (worker, running) in workers.into_iter().zip(&gateway.links) {
        gateway.threads.push(spawn(worker, running.link.core.0, &eal)?);
    }
    Ok(gateway)
}

fn eal_config(config: &Config) -> EalConfig {
    // A PCI address has a colon and a dot, as in 0000:3b:00.1; arguments may follow it.
    let is_pci = |address: &&str| address.contains(':') && address.contains('.');
    let devices = config.ports.iter().filter_map(|port| match &port.attachment {
        Attachment::Device { device, .. } => device.split(',').next(),
        Attachment::Vlan { .. } => None,
    });
    let devices = devices.chain(crypto::name(config));
    EalConfig {
        hugepages: match config.system.hugepages {
            config::Hugepages::Auto => dpdk::Hugepages::Auto,
            config::Hugepages::Require => dpdk::Hugepages::Require,
            config::Hugepages::Off => dpdk::Hugepages::Off,
        },
        memory_mib: u32::try_from(config.system.memory_octets >> 20).unwrap_or(u32::MAX),
        allow_pci: devices.filter(is_pci).map(str::to_owned).collect(),
        ..EalConfig::default()
    }
}

/// Packets that may wait for the control thread, from each of so many cores: a power of two, as
/// rings are.
fn punts(mbufs: u32, cores: usize) -> usize {
    let share = mbufs as usize / PUNTS_SHARE / cores.max(1);
    1 << share.clamp(1, PUNTS_MAX).ilog2()
}

fn cores() -> Vec<u16> {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    ids.into_iter().filter_map(|core| u16::try_from(core.id).ok()).collect()
}

fn spawn(worker: Worker, core: u16, eal: &Eal) -> std::io::Result<thread::JoinHandle<()>> {
    let eal = eal.clone();
    thread::Builder::new().name(format!("core-{core}")).spawn(move || {
        if let Err(error) = dpdk::pin_current_thread(core.into()) {
            log::error!("core {core}: {error}");
            return;
        }
        match eal.register_thread() {
            Ok(_lcore) => worker.run(),
            Err(error) => log::error!("core {core}: {error}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::punts;

    #[test]
    fn what_waits_for_the_control_thread_leaves_buffers_to_others() {
        for (mbufs, cores, each) in [
            (1 << 24, 1, 8192),
            (32_768, 1, 8192),
            (16_384, 1, 4096),
            (32_768, 3, 2048),
            (32_768, 16, 512),
            (1024, 1, 256),
            (1024, 1000, 1),
        ] {
            assert_eq!(punts(mbufs, cores), each, "{mbufs} mbufs, {cores} cores");
        }
    }
}
