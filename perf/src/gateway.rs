//! Gateways of the bench, put together as the daemon does it: topology, plan, ports, assembly,
//! SAs to their owners.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dataplane::engine::assembly::{Link, PortQueues, Settings, assemble};
use dataplane::engine::message::Command;
use dataplane::engine::plan::{Plan, Queue, plan};
use dataplane::engine::topology::{
    PortId, PortSpec, Topology, elephant, pipeline, run_to_completion,
};
use dataplane::engine::worker::{Poll, Worker};
use dataplane::stages::Parts;
use dpdk::{Eal, Mempool, MempoolConfig, Port, PortConfig, RxQueue};

use crate::args::Preset;
use crate::case::Case;
use crate::drain::Drain;
use crate::error::Error;
use crate::latency;
use crate::source::Source;
use crate::tables::{self, Install, Ports, World};

/// Everything that one case needs, ready to run.
pub(crate) struct Setup {
    pub(crate) gateway: Gateway,
    /// By worker: the sources of its packets.
    pub(crate) sources: Vec<Vec<Source>>,
    /// What frees the packets that a worker has sent, if there is only one; null ports, otherwise.
    pub(crate) drains: Vec<Drain>,
    /// Where packets leave, by way.
    pub(crate) egress: Vec<Port>,
    pub(crate) pools: Pools,
    _ingress: Vec<Port>,
}

/// Workers with their control sides.
pub(crate) struct Gateway {
    pub(crate) members: Vec<(Worker, Link)>,
    pub(crate) plan: Plan,
}

/// Buffers of a set-up.
pub(crate) struct Pools {
    pub(crate) packets: Mempool,
    pub(crate) large: Mempool,
    /// Most frames of a case that there are at a time.
    frames: usize,
}

/// Where a source puts its packets.
pub(crate) struct Inlet {
    /// The worker that receives them.
    pub(crate) worker: usize,
    /// The way, by its number among those of the mode.
    pub(crate) way: usize,
    /// The source's number among those of the way, and how many these are.
    pub(crate) share: (usize, usize),
    /// What it sends by this, the worker receives.
    pub(crate) port: Port,
}

impl Setup {
    /// A gateway whose packets are freed when they are sent: by drains or, as these serve one core,
    /// by null ports.
    pub(crate) fn new(eal: &Eal, case: &Case) -> Result<Self, Error> {
        let pools = Pools::new(eal, case, 0)?;
        let ways = case.mode.ways().iter();
        if case.cores.len() > 1 {
            let null = |_| {
                let device = format!("net_null_bench{},copy=0,no-rx=1", next_number());
                Ok(Port::attach(eal, &device)?)
            };
            let egress = ways.map(null).collect::<Result<_, Error>>()?;
            return Self::with_egress(eal, case, pools, egress);
        }
        let drains = ways.map(|_| Drain::new(eal, case, &pools));
        let drains: Vec<_> = drains.collect::<Result<_, _>>()?;
        let (egress, drains) = drains.into_iter().unzip();
        Ok(Self { drains, ..Self::with_egress(eal, case, pools, egress)? })
    }

    /// A gateway that sends by `egress`, one port for each way.
    pub(crate) fn with_egress(
        eal: &Eal,
        case: &Case,
        pools: Pools,
        egress: Vec<Port>,
    ) -> Result<Self, Error> {
        let (mut setup, inlets) = Self::without_sources(eal, case, pools, egress)?;
        for Inlet { worker, way, share, port } in inlets {
            let source = Source::new(eal, case, &setup.pools, port, (way, share))?;
            setup.sources[worker].extend(source);
        }
        Ok(setup)
    }

    /// The same without sources, and where they have to put their packets.
    pub(crate) fn without_sources(
        eal: &Eal,
        case: &Case,
        pools: Pools,
        egress: Vec<Port>,
    ) -> Result<(Self, Vec<Inlet>), Error> {
        let ways = case.mode.ways();
        let sources = case.sources();
        let pairs = (0..sources * ways.len()).map(|_| ring_pair(eal, case));
        let pairs: Vec<_> = pairs.collect::<Result<_, _>>()?;
        let (mut ports, far_ends): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let of_ways = ways.iter().zip(ports.chunks(sources)).zip(&egress);
        let ids: Vec<_> = of_ways
            .map(|((way, ingress), egress)| Ports {
                way: *way,
                ingress: ingress.iter().map(Port::id).collect(),
                egress: egress.id(),
            })
            .collect();
        ports.extend(egress);

        let topology = topology(case, &ports, &ids);
        let world = |shards| tables::under_test(case, &ids, shards);
        let gateway = Gateway::new(eal, case, &pools, &topology, &mut ports, world)?;
        let egress = ports.split_off(far_ends.len());
        let workers = gateway.members.len();
        let mut setup = Self {
            gateway,
            sources: Vec::new(),
            drains: Vec::new(),
            egress,
            pools,
            _ingress: ports,
        };
        setup.sources.resize_with(workers, Vec::new);
        let inlet = |(number, port): (usize, Port)| {
            let worker = setup.receiver(number).ok_or(Error::Setup("a port that nobody polls"))?;
            let share = (number % sources, sources);
            Ok(Inlet { worker, way: number / sources, share, port })
        };
        let inlets = far_ends.into_iter().enumerate().map(inlet).collect::<Result<_, Error>>()?;
        Ok((setup, inlets))
    }

    /// The worker that polls a port.
    fn receiver(&self, port: usize) -> Option<usize> {
        let Plan { topology, programs, .. } = &self.gateway.plan;
        let core = topology.ports.get(port)?.rx.first()?;
        programs.iter().position(|program| program.core == *core)
    }
}

impl Gateway {
    /// Plans, starts the ports, assembles, and gives each SA to its owner. `world` is asked for
    /// the tables when the number of workers is known.
    pub(crate) fn new(
        eal: &Eal,
        case: &Case,
        pools: &Pools,
        topology: &Topology,
        ports: &mut [Port],
        world: impl FnOnce(usize) -> Result<World, Error>,
    ) -> Result<Self, Error> {
        let plan = plan(topology)?;
        let World { tables, sas } = world(plan.programs.len())?;
        let queues = start(&plan, ports, case, pools)?;
        let parts = Parts {
            pool: pools.packets.clone(),
            large_pool: pools.large.clone(),
            burst: case.burst,
            ticks_per_second: eal.tsc_hz(),
            fragment_ident: 0,
        };
        // No ring can be full: it holds all packets that are ever on their way. Nor is it larger:
        // going round its slots takes cache.
        let settings = Settings { ring: pools.frames, punts: pools.frames, poll: Poll::Busy };
        let members = assemble(&plan, queues, &parts, settings, &Arc::new(tables))?;
        let mut gateway = Self { members, plan };
        gateway.install(sas)?;
        Ok(gateway)
    }

    fn install(&mut self, sas: Vec<Install>) -> Result<(), Error> {
        for Install { stage, lane, command } in sas {
            let owner = self.plan.owner(stage, lane);
            let (program, _) = owner.ok_or(Error::Setup("an SA that no stage owns"))?;
            let (worker, link) = &mut self.members[program];
            let mut command = Command::Sa(command);
            while let Err(refused) = link.commands.push(command) {
                command = refused;
                worker.turn();
            }
        }
        for (worker, link) in &mut self.members {
            while !link.commands.is_empty() {
                worker.turn();
            }
        }
        Ok(())
    }
}

/// Octets that a buffer holds beside an IP packet: Ethernet, and what ESP puts behind.
const BESIDE_IP: u16 = 128;
/// Frames of 1500 octets of IP fit.
const DATA_ROOM_MIN: u16 = 2048;
/// Whole datagrams that wait to be joined, in modes that have none.
const LARGE_MIN: usize = 7;

impl Pools {
    /// For a case, and `waiting` frames more than usual.
    pub(crate) fn new(eal: &Eal, case: &Case, waiting: usize) -> Result<Self, Error> {
        let number = next_number();
        let (packets, large) = pool_configs(case, waiting);
        Ok(Self {
            packets: Mempool::new(eal, &format!("bench{number}"), packets)?,
            large: Mempool::new(eal, &format!("bench{number}l"), large)?,
            frames: case.frames_on_their_way_max() + waiting,
        })
    }
}

/// Of packets, of which `waiting` are beside those of a usual set-up; and of whole datagrams.
fn pool_configs(case: &Case, waiting: usize) -> (MempoolConfig, MempoolConfig) {
    // As many again wait in the caches of cores that free but do not allocate.
    let mbufs = (2 * case.frames_on_their_way_max() + waiting + 4096).next_power_of_two() - 1;
    let packets = MempoolConfig {
        mbufs: count(mbufs),
        data_room: DATA_ROOM_MIN.max(case.mtu + BESIDE_IP),
        ..MempoolConfig::default()
    };
    // Each packet on its way may be one that was put together.
    let joined = if case.frames_in() > 1 { case.on_their_way_max() } else { 0 };
    let large = MempoolConfig {
        mbufs: count(joined.max(LARGE_MIN)),
        cache: 0,
        headroom: 256,
        data_room: 65_000,
    };
    (packets, large)
}

/// MiB of memory that cases need of DPDK, one at a time.
pub(crate) fn memory_mib(cases: &[Case]) -> u32 {
    let octets = |config: MempoolConfig| {
        let mbuf = u64::from(config.headroom) + u64::from(config.data_room) + MBUF_HEADERS;
        u64::from(config.mbufs) * mbuf
    };
    let of_case = |case: &Case| {
        let waiting = if case.load.is_some() { latency::waiting(case) } else { 0 };
        let (packets, large) = pool_configs(case, waiting);
        octets(packets) + octets(large)
    };
    let most = cases.iter().map(of_case).max().unwrap_or(0);
    // What was there before may not be quite gone, and leaves holes.
    u32::try_from(2 * (most >> 20) + MEMORY_REST_MIB).unwrap_or(u32::MAX).max(MEMORY_MIN_MIB)
}

/// Octets that DPDK puts before a packet's own: of the pool, and of the mbuf, with what it pads.
const MBUF_HEADERS: u64 = 64 + 128 + 64;
/// Rings, queues, and DPDK's own.
const MEMORY_REST_MIB: u64 = 128;
/// What a gateway takes by default.
const MEMORY_MIN_MIB: u32 = 512;

/// Two connected ports: what a source sends, a gateway receives.
pub(crate) fn ring_pair(eal: &Eal, case: &Case) -> Result<(Port, Port), Error> {
    let capacity = count(case.frames_on_their_way_max());
    Ok(Port::connected_pair(eal, &format!("bench{}", next_number()), capacity)?)
}

/// Starts a port to see what is sent to it.
pub(crate) fn receive_from(port: &mut Port, case: &Case, pools: &Pools) -> Result<RxQueue, Error> {
    let queues = port.start(&port_config(case, pools))?;
    queues.rx.into_iter().next().ok_or(Error::Setup("a port without queue"))
}

/// How the ports of a case are started, with one queue each way.
pub(crate) fn port_config(case: &Case, pools: &Pools) -> PortConfig {
    PortConfig { mtu: case.mtu, ..PortConfig::new(&pools.packets) }
}

/// Sets names apart that DPDK wants to be distinct, also between tests of one process.
fn next_number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Ports in the order of `ports`: of all ways the ingress ports, then of all ways the egress.
fn topology(case: &Case, ports: &[Port], ids: &[Ports]) -> Topology {
    let cores = u16::try_from(case.cores.len()).unwrap_or(u16::MAX);
    let underlay = |id: u16| {
        let faces = |of: &Ports| match () {
            () if of.ingress.contains(&id) => Some(of.way.leaves_tunnel()),
            () if of.egress == id => Some(of.way.enters_tunnel()),
            () => None,
        };
        ids.iter().find_map(faces).unwrap_or(false)
    };
    let spec = |(index, port): (usize, &Port)| PortSpec {
        id: PortId(port.id()),
        name: format!("port{index}"),
        underlay: underlay(port.id()),
        rx_queues_max: 1,
        tx_queues_max: cores.min(port.info().max_tx_queues),
    };
    let specs: Vec<_> = ports.iter().enumerate().map(spec).collect();
    match case.preset {
        Preset::RunToCompletion => run_to_completion(&case.cores, &specs),
        Preset::Pipeline => pipeline(&case.cores, &specs),
        Preset::Elephant => elephant(&case.cores, &specs),
    }
}

/// Starts the ports with the queues that the plan places.
fn start(plan: &Plan, ports: &mut [Port], case: &Case, pools: &Pools) -> Result<PortQueues, Error> {
    let mut all = PortQueues::default();
    for (port, placed) in ports.iter_mut().zip(&plan.topology.ports) {
        let count = |queues: usize| u16::try_from(queues).unwrap_or(u16::MAX);
        let queues = port.start(&PortConfig {
            rx_queues: count(placed.rx.len()),
            tx_queues: count(placed.tx.len()),
            ..port_config(case, pools)
        })?;
        let id = placed.spec.id;
        let queue = |number| Queue { port: id, number };
        all.rx.extend(queues.rx.into_iter().map(|rx| (queue(rx.index()), rx)));
        all.tx.extend(queues.tx.into_iter().map(|tx| (queue(tx.index()), tx)));
    }
    Ok(all)
}
