//! One gateway: a plan over two ports, whose far ends the test holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dataplane::drops::DropReason;
use dataplane::engine::assembly::{Link, PortQueues, Settings, assemble};
use dataplane::engine::message::{Command, Event};
use dataplane::engine::plan::{Plan, Queue, plan};
use dataplane::engine::stage::SaCommand;
use dataplane::engine::topology::{
    CoreId, Placement, PortId, PortPlacement, PortSpec, StageKind, Topology, elephant, explicit,
    pipeline, run_to_completion,
};
use dataplane::engine::worker::{Poll, Worker};
use dataplane::packet::{Packet, PuntReason};
use dataplane::stages::Parts;
use dataplane::tables::{InboundSa, OutboundSa, Tables};
use dpdk::crypto::CryptoQueue;
use dpdk::{Eal, Mbuf, Mempool, MempoolConfig, Port, PortConfig, RxQueue, TxQueue};

/// Number of the port that faces the hosts.
pub const LAN: u16 = 0;
/// Number of the port that faces the peers.
pub const WAN: u16 = 1;
/// Packets that a burst has at most.
pub const BURST: usize = 64;

/// How the stages of a gateway are placed.
#[derive(Debug, Clone)]
pub enum Layout {
    /// Every stage on each of so many cores.
    RunToCompletion(u16),
    /// The pipeline preset on so many cores.
    Pipeline(u16),
    /// The elephant preset on so many cores.
    Elephant(u16),
    /// Stages on so many cores as listed, and where each of the two ports is polled and filled.
    Explicit(u16, Vec<Placement>, [(u16, u16); 2]),
}

impl Layout {
    pub fn plan(&self) -> Plan {
        plan(&self.topology()).unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }

    /// The graph, placed.
    pub fn topology(&self) -> Topology {
        let specs =
            [(LAN, "lan", false), (WAN, "wan", true)].map(|(id, name, underlay)| PortSpec {
                id: PortId(id),
                name: name.to_owned(),
                underlay,
                rx_queues_max: 1,
                tx_queues_max: 1,
            });
        let cores = |count: u16| (0..count).map(CoreId).collect::<Vec<_>>();
        match self {
            Layout::RunToCompletion(count) => run_to_completion(&cores(*count), &specs),
            Layout::Pipeline(count) => pipeline(&cores(*count), &specs),
            Layout::Elephant(count) => elephant(&cores(*count), &specs),
            Layout::Explicit(count, stages, queues) => {
                let ports = specs.into_iter().zip(queues).map(|(spec, (rx, tx))| PortPlacement {
                    spec,
                    rx: vec![CoreId(*rx)],
                    tx: vec![CoreId(*tx)],
                });
                explicit(&cores(*count), stages, &ports.collect::<Vec<_>>())
            }
        }
    }
}

/// The test's end of a port of a gateway.
pub struct Wire {
    _ports: (Port, Port),
    rx: RxQueue,
    tx: TxQueue,
}

impl Wire {
    fn new(eal: &Eal, name: &str, pool: &Mempool) -> (Self, RxQueue, TxQueue) {
        let (mut inside, mut outside) = Port::connected_pair(eal, name, 4096).unwrap();
        let start = |port: &mut Port| {
            let mut queues = port.start(&PortConfig::new(pool)).unwrap();
            (queues.rx.remove(0), queues.tx.remove(0))
        };
        let (inner_rx, inner_tx) = start(&mut inside);
        let (rx, tx) = start(&mut outside);
        (Wire { _ports: (inside, outside), rx, tx }, inner_rx, inner_tx)
    }

    /// Sends mbufs into the gateway.
    pub fn send_mbufs(&mut self, mut mbufs: Vec<Mbuf>) {
        self.tx.burst(&mut mbufs);
        assert!(mbufs.is_empty(), "the ring of the port is full");
    }

    /// What the gateway sent, in its buffers.
    pub fn receive_mbufs(&mut self) -> Vec<Mbuf> {
        let mut mbufs = Vec::new();
        while self.rx.burst(&mut mbufs, 256) > 0 {}
        mbufs
    }

    /// What the gateway sent.
    pub fn receive(&mut self) -> Vec<Vec<u8>> {
        let mbufs = self.receive_mbufs();
        mbufs.iter().map(|mbuf| mbuf.segments().flatten().copied().collect()).collect()
    }
}

/// A gateway whose workers the test turns.
pub struct Gateway {
    pub lan: Wire,
    pub wan: Wire,
    pub plan: Plan,
    pub workers: Vec<Worker>,
    pub links: Vec<Link>,
    pub events: Vec<Event>,
    pub punts: Vec<Packet>,
    pub pool: Mempool,
    pub large_pool: Mempool,
    /// Frames sent into it.
    pub sent: u64,
}

static GATEWAYS: AtomicU32 = AtomicU32::new(0);

impl Gateway {
    /// A gateway without SAs. The queues are of a crypto device, for the stages that can use one.
    pub fn new(layout: &Layout, tables: &Arc<Tables>, crypto: Vec<CryptoQueue>) -> Self {
        let eal = Eal::for_tests();
        let number = GATEWAYS.fetch_add(1, Ordering::Relaxed);
        let pool = |name: &str, mbufs, data_room| {
            let config = MempoolConfig { mbufs, cache: 0, headroom: 256, data_room };
            Mempool::new(eal, &format!("{name}{number}"), config).unwrap()
        };
        let (small, large) = (pool("small", 6143, 2048), pool("large", 127, 65_000));
        let (lan, lan_rx, lan_tx) = Wire::new(eal, &format!("lan{number}"), &small);
        let (wan, wan_rx, wan_tx) = Wire::new(eal, &format!("wan{number}"), &small);
        let queue = |port| Queue { port: PortId(port), number: 0 };
        let queues = PortQueues {
            rx: [(queue(LAN), lan_rx), (queue(WAN), wan_rx)].into(),
            tx: [(queue(LAN), lan_tx), (queue(WAN), wan_tx)].into(),
            crypto,
        };
        let plan = layout.plan();
        let parts = Parts {
            pool: small.clone(),
            large_pool: large.clone(),
            burst: BURST,
            ticks_per_second: eal.tsc_hz(),
            fragment_ident: 7,
        };
        let settings = Settings { ring: 1024, punts: 512, poll: Poll::Adaptive };
        let made = assemble(&plan, queues, &parts, settings, tables).unwrap();
        let (workers, links) = made.into_iter().unzip();
        Gateway {
            lan,
            wan,
            plan,
            workers,
            links,
            events: Vec::new(),
            punts: Vec::new(),
            pool: small,
            large_pool: large,
            sent: 0,
        }
    }

    /// Hands both directions' SAs to the cores that own them.
    pub fn install(&mut self, inbound: &[Arc<InboundSa>], outbound: &[Arc<OutboundSa>]) {
        for sa in inbound {
            let command = SaCommand::InstallInbound(sa.clone());
            self.command(StageKind::EspOpen, sa.slot, command);
        }
        for sa in outbound {
            let command = SaCommand::InstallOutbound(sa.clone());
            self.command(StageKind::GreEncap, sa.slot, command);
        }
        self.settle();
    }

    /// Says something to the owner of a lane; takes effect with the next turn.
    pub fn command(&mut self, stage: StageKind, lane: u32, command: SaCommand) {
        let (program, _) = self.plan.owner(stage, lane).unwrap();
        self.links[program].commands.push(Command::Sa(command)).unwrap();
    }

    /// Replaces the tables of all cores.
    pub fn publish(&mut self, tables: &Arc<Tables>) {
        for link in &mut self.links {
            link.commands.push(Command::Publish(tables.clone())).unwrap();
        }
        self.settle();
    }

    /// Feeds a packet of the control thread to a core that has the `lookup` stage.
    pub fn inject(&mut self, packet: Packet) {
        let (program, _) = self.plan.instances(StageKind::Lookup)[0];
        self.links[program].commands.push(Command::Inject(packet)).unwrap();
        self.sent += 1;
    }

    pub fn send_lan(&mut self, frames: &[Vec<u8>]) {
        let mbufs = self.mbufs(frames);
        self.lan.send_mbufs(mbufs);
    }

    pub fn send_wan(&mut self, frames: &[Vec<u8>]) {
        let mbufs = self.mbufs(frames);
        self.wan.send_mbufs(mbufs);
    }

    pub fn mbufs(&mut self, frames: &[Vec<u8>]) -> Vec<Mbuf> {
        self.sent += frames.len() as u64;
        frames.iter().map(|frame| self.mbuf(frame)).collect()
    }

    /// A buffer as a driver hands it out: with no more than DPDK's own headroom.
    pub fn mbuf(&self, frame: &[u8]) -> Mbuf {
        let pool = if frame.len() > 2000 { &self.large_pool } else { &self.pool };
        let mut mbuf = pool.alloc().unwrap();
        let shift = mbuf.headroom() - usize::from(dpdk::RX_HEADROOM);
        mbuf.prepend(shift).unwrap();
        assert!(mbuf.trim(shift), "the octets just put there");
        assert!(mbuf.write(frame), "a frame of {} octets fits", frame.len());
        mbuf
    }

    /// Turns all workers until none has anything left to do.
    pub fn settle(&mut self) {
        let mut idle = 0;
        // One turn more than there are cores: a packet may sit in the ring to a core before.
        while idle < 2 {
            let busy = self.workers.iter_mut().fold(false, |busy, worker| worker.turn() | busy);
            idle = if busy { 0 } else { idle + 1 };
        }
        self.collect();
    }

    /// Takes what waits for the control thread.
    pub fn collect(&mut self) {
        for link in &mut self.links {
            while let Some(event) = link.events.pop() {
                self.events.push(event);
            }
            while let Some(packet) = link.punts.as_mut().and_then(|punts| punts.pop()) {
                self.punts.push(packet);
            }
        }
    }

    /// Drops so far, by reason.
    pub fn drops(&self) -> BTreeMap<&'static str, u64> {
        let mut drops = BTreeMap::new();
        let counters = self.links.iter().flat_map(|link| link.stages.iter().chain([&link.rings]));
        for counters in counters {
            for reason in DropReason::all() {
                let count = counters.drops[reason as usize].value();
                if count > 0 {
                    *drops.entry(reason.name()).or_insert(0) += count;
                }
            }
        }
        drops
    }

    /// Drops so far.
    pub fn dropped(&self) -> u64 {
        self.drops().values().sum()
    }

    /// Reasons of the punts so far; forgets the packets.
    pub fn take_punts(&mut self) -> Vec<PuntReason> {
        self.punts.drain(..).map(|packet| packet.meta.punt).collect()
    }

    /// Buffers that are not in their pools.
    pub fn in_use(&self) -> u32 {
        self.pool.in_use() + self.large_pool.in_use()
    }
}
