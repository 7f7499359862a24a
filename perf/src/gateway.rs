//! Gateways of the bench, put together as the daemon does it: topology, plan, ports, assembly,
//! SAs to their owners.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dataplane::engine::assembly::{Link, PortQueues, Settings, assemble};
use dataplane::engine::message::Command;
use dataplane::engine::plan::{Plan, Queue, plan};
use dataplane::engine::topology::{PortId, PortSpec, Topology, pipeline, run_to_completion};
use dataplane::engine::worker::{Poll, Worker};
use dataplane::stages::Parts;
use dpdk::{Eal, Mempool, MempoolConfig, Port, PortConfig};

use crate::args::{Case, Preset};
use crate::error::Error;
use crate::source::Source;
use crate::tables::{self, Install, Ports, World};

/// Everything that one case needs, ready to run.
pub(crate) struct Setup {
    pub(crate) gateway: Gateway,
    /// By worker: the source of its packets, if it receives any.
    pub(crate) sources: Vec<Option<Source>>,
    /// Where packets leave.
    pub(crate) egress: Port,
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
}

impl Setup {
    /// A gateway whose packets end in a null port, which frees them as a NIC's driver does.
    pub(crate) fn new(eal: &Eal, case: &Case) -> Result<Self, Error> {
        let device = format!("net_null_bench{},copy=0,no-rx=1", next_number());
        Self::with_egress(eal, case, Port::attach(eal, &device)?)
    }

    /// A gateway that sends by `egress`.
    pub(crate) fn with_egress(eal: &Eal, case: &Case, egress: Port) -> Result<Self, Error> {
        let sources = match case.preset {
            Preset::RunToCompletion => case.cores.len(),
            Preset::Pipeline => 1,
        };
        let pools = Pools::new(eal, case.on_their_way_max())?;
        let pairs = (0..sources).map(|_| ring_pair(eal, case));
        let pairs: Vec<_> = pairs.collect::<Result<_, _>>()?;
        let (mut ports, far_ends): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let ids = Ports { ingress: ports.iter().map(Port::id).collect(), egress: egress.id() };
        ports.push(egress);

        let topology = topology(case, &ports);
        let world = |shards| tables::under_test(case, &ids, shards);
        let gateway = Gateway::new(eal, case, &pools, &topology, &mut ports, world)?;
        let egress = ports.pop().ok_or(Error::Setup("there is no egress port"))?;
        let mut setup = Self { sources: Vec::new(), gateway, egress, pools, _ingress: ports };
        setup.sources.resize_with(setup.gateway.members.len(), || None);
        for (index, port) in far_ends.into_iter().enumerate() {
            let worker = setup.receiver(index).ok_or(Error::Setup("a port that nobody polls"))?;
            setup.sources[worker] = Source::new(eal, case, &setup.pools, port, (index, sources))?;
        }
        Ok(setup)
    }

    /// The worker that polls an ingress port.
    fn receiver(&self, ingress: usize) -> Option<usize> {
        let Plan { topology, programs, .. } = &self.gateway.plan;
        let core = topology.ports.get(ingress)?.rx.first()?;
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
        let queues = start(&plan, ports, pools)?;
        let parts = Parts {
            pool: pools.packets.clone(),
            large_pool: pools.large.clone(),
            burst: case.burst,
            ticks_per_second: eal.tsc_hz(),
            fragment_ident: 0,
        };
        // No ring can be full: it holds all packets that are ever on their way. Nor is it larger:
        // going round its slots takes cache.
        let settings = Settings { ring: case.on_their_way_max(), poll: Poll::Busy };
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

impl Pools {
    fn new(eal: &Eal, on_their_way: usize) -> Result<Self, Error> {
        let number = next_number();
        // As many again wait in the caches of cores that free but do not allocate.
        let mbufs = (2 * on_their_way + 4096).next_power_of_two() - 1;
        let mbufs = u32::try_from(mbufs).unwrap_or(u32::MAX);
        let packets = MempoolConfig { mbufs, ..MempoolConfig::default() };
        let large = MempoolConfig { mbufs: 7, cache: 0, headroom: 256, data_room: 65_000 };
        Ok(Self {
            packets: Mempool::new(eal, &format!("bench{number}"), packets)?,
            large: Mempool::new(eal, &format!("bench{number}l"), large)?,
        })
    }
}

/// Two connected ports: what a source sends, a gateway receives.
pub(crate) fn ring_pair(eal: &Eal, case: &Case) -> Result<(Port, Port), Error> {
    let capacity = u32::try_from(case.on_their_way_max()).unwrap_or(u32::MAX);
    Ok(Port::connected_pair(eal, &format!("bench{}", next_number()), capacity)?)
}

/// Sets names apart that DPDK wants to be distinct, also between tests of one process.
fn next_number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

fn topology(case: &Case, ports: &[Port]) -> Topology {
    let inbound = case.mode.is_inbound();
    let cores = u16::try_from(case.cores.len()).unwrap_or(u16::MAX);
    let last = ports.len().saturating_sub(1);
    let spec = |(index, port): (usize, &Port)| PortSpec {
        id: PortId(port.id()),
        name: if index == last { "out".to_owned() } else { format!("in{index}") },
        underlay: (index == last) != inbound,
        rx_queues_max: 1,
        tx_queues_max: cores.min(port.info().max_tx_queues),
    };
    let specs: Vec<_> = ports.iter().enumerate().map(spec).collect();
    match case.preset {
        Preset::RunToCompletion => run_to_completion(&case.cores, &specs),
        Preset::Pipeline => pipeline(&case.cores, &specs),
    }
}

/// Starts the ports with the queues that the plan places.
fn start(plan: &Plan, ports: &mut [Port], pools: &Pools) -> Result<PortQueues, Error> {
    let mut all = PortQueues::default();
    for (port, placed) in ports.iter_mut().zip(&plan.topology.ports) {
        let count = |queues: usize| u16::try_from(queues).unwrap_or(u16::MAX);
        let queues = port.start(&PortConfig {
            rx_queues: count(placed.rx.len()),
            tx_queues: count(placed.tx.len()),
            ..PortConfig::new(&pools.packets)
        })?;
        let id = placed.spec.id;
        let queue = |number| Queue { port: id, number };
        all.rx.extend(queues.rx.into_iter().map(|rx| (queue(rx.index()), rx)));
        all.tx.extend(queues.tx.into_iter().map(|tx| (queue(tx.index()), tx)));
    }
    Ok(all)
}
