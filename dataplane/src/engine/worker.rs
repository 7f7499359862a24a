//! The core loop: control messages, receive and ring pop, stages in order, flush, counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::counters::{Counter, StageCounters};
use crate::drops::DropReason;
use crate::packet::{Packet, port_of_all};
use crate::tables::Tables;

use super::message::{Command, Event};
use super::plan::{Hop, Program, Route};
use super::ring::{Consumer, Producer};
use super::stage::{Context, Outputs, SaCommand, Stage};
use super::topology::{PortId, StageKind};

/// Commands taken in one turn: a burst of them must not starve the packets.
const COMMANDS_PER_TURN: usize = 16;
/// Empty turns before an adaptive worker starts to sleep.
const SPIN_TURNS: u32 = 200;
/// Shortest sleep; the kernel adds about 50 microseconds of its own.
const SLEEP_MIN: Duration = Duration::from_micros(10);
/// Longest sleep: bounds the latency that adaptive polling adds to the first packet after a lull.
/// Sleeps grow step by step, so that it is reached only after some 50 ms without a packet.
const SLEEP_MAX: Duration = Duration::from_millis(1);

/// How a worker waits for packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// Never: a core burns at 100 %.
    Busy,
    /// After empty turns, sleeps in short steps.
    Adaptive,
}

/// What the control thread sees of a worker.
#[derive(Debug, Default)]
pub struct WorkerStatus {
    /// Set by the control thread to end the worker.
    pub stop: AtomicBool,
    /// Commands that have taken effect, in order.
    pub applied: AtomicU64,
    /// Turns of the loop.
    pub turns: Counter,
    /// Turns with packets.
    pub busy_turns: Counter,
    /// TSC cycles of the turns with packets.
    pub busy_cycles: Counter,
}

/// The ends of the rings and messages that a worker is wired with.
pub struct Wiring {
    /// Index among the workers.
    pub core: usize,
    /// Whether packets go from one worker to another.
    pub spread: bool,
    /// Rings that end here, with the node they feed.
    pub inbound: Vec<(Consumer<Packet>, usize)>,
    /// Rings that start here, by ring index of the plan.
    pub outbound: Vec<(usize, Producer<Packet>)>,
    /// From the control thread.
    pub commands: Consumer<Command>,
    /// To the control thread.
    pub events: Producer<Event>,
    /// Shared with the control thread.
    pub status: Arc<WorkerStatus>,
    /// How to wait.
    pub poll: Poll,
    /// Most packets taken from a queue or ring at a time.
    pub burst: usize,
    /// TSC ticks per second.
    pub ticks_per_second: u64,
}

struct Slot {
    kind: StageKind,
    stage: Box<dyn Stage>,
    input: Vec<Packet>,
    out: Outputs,
    routes: Vec<Route>,
}

/// One core's share of the plan, ready to run.
pub struct Worker {
    wiring: Wiring,
    nodes: Vec<Slot>,
    /// Packets bound for other cores, by ring index of the plan; published once a turn.
    staging: Vec<Vec<Packet>>,
    ring_full: Arc<StageCounters>,
    tables: Arc<Tables>,
    events: Vec<Event>,
    next_tick: u64,
}

impl Worker {
    /// Joins a program, its stages (one a node, with their counters) and the wiring.
    pub fn new(
        program: &Program,
        stages: Vec<(Box<dyn Stage>, Arc<StageCounters>)>,
        wiring: Wiring,
        ring_full: Arc<StageCounters>,
        tables: Arc<Tables>,
    ) -> Self {
        let burst = wiring.burst;
        let nodes = program.nodes.iter().zip(stages).map(|(node, (stage, counters))| Slot {
            kind: node.stage,
            stage,
            input: Vec::with_capacity(burst * 4),
            out: Outputs::new(burst, counters),
            routes: node.outputs.clone(),
        });
        // Only rings that start here have a place to stage in.
        let rings = wiring.outbound.iter().map(|(index, _)| index + 1).max().unwrap_or(0);
        let starts_here = |ring: usize| wiring.outbound.iter().any(|(index, _)| *index == ring);
        let room = |ring| if starts_here(ring) { burst * 4 } else { 0 };
        let staging = (0..rings).map(|ring| Vec::with_capacity(room(ring))).collect();
        Worker {
            nodes: nodes.collect(),
            staging,
            ring_full,
            tables,
            events: Vec::new(),
            next_tick: 0,
            wiring,
        }
    }

    /// Runs until the control thread says stop.
    pub fn run(mut self) {
        let mut idle_turns = 0u32;
        while !self.wiring.status.stop.load(Ordering::Relaxed) {
            if self.turn() {
                idle_turns = 0;
            } else {
                idle_turns = idle_turns.saturating_add(1);
                self.wait(idle_turns);
            }
        }
    }

    /// One turn of the loop; says whether there was anything to do.
    pub fn turn(&mut self) -> bool {
        let start = dpdk::tsc();
        let mut busy = self.take_commands(start);
        let popped = self.pop_rings();
        // Each stage's end is the start of the next, and the turn's often that of the first:
        // reading the clock costs as much as half a packet.
        let mut clock = if busy || popped { dpdk::tsc() } else { start };
        for index in 0..self.nodes.len() {
            busy |= self.run_node(index, start, &mut clock);
        }
        self.flush_rings();
        if start >= self.next_tick {
            self.tick(start);
        }
        self.send_events();
        let status = &self.wiring.status;
        status.turns.add(1);
        if busy {
            status.busy_turns.add(1);
            status.busy_cycles.add(dpdk::tsc().wrapping_sub(start));
        }
        busy
    }

    fn wait(&self, idle_turns: u32) {
        if self.wiring.poll == Poll::Busy || idle_turns < SPIN_TURNS {
            std::hint::spin_loop();
        } else {
            std::thread::sleep((SLEEP_MIN * (idle_turns - SPIN_TURNS + 1)).min(SLEEP_MAX));
        }
    }

    fn take_commands(&mut self, now: u64) -> bool {
        let mut taken = 0;
        while taken < COMMANDS_PER_TURN
            && let Some(command) = self.wiring.commands.pop()
        {
            self.apply(command, now);
            taken += 1;
        }
        if taken > 0 {
            self.wiring.status.applied.fetch_add(taken as u64, Ordering::Release);
        }
        taken > 0
    }

    fn apply(&mut self, command: Command, now: u64) {
        match command {
            Command::Publish(tables) => {
                let old = std::mem::replace(&mut self.tables, tables);
                self.events.push(Event::Retired(old));
            }
            Command::ClearReassembly => {
                for node in &mut self.nodes {
                    node.stage.clear(&mut node.out);
                    node.out.made = 0;
                    dpdk::Mbuf::free_bulk(&mut node.out.dropped);
                }
            }
            Command::Inject(packet) => match self.node_of(StageKind::Lookup) {
                Some(node) => self.nodes[node].input.push(packet),
                None => self.ring_full.drops[DropReason::NoStage as usize].add(1),
            },
            Command::Sa(command) => {
                let kind = match command {
                    SaCommand::InstallInbound(_) | SaCommand::RetireInbound(_) => {
                        StageKind::EspOpen
                    }
                    SaCommand::InstallOutbound(_) | SaCommand::RetireOutbound(_) => {
                        StageKind::GreEncap
                    }
                };
                if let Some(node) = self.node_of(kind) {
                    let mut context = context(&self.wiring, &self.tables, &mut self.events, now);
                    self.nodes[node].stage.apply(command, &mut context);
                }
            }
        }
    }

    fn node_of(&self, kind: StageKind) -> Option<usize> {
        self.nodes.iter().position(|node| node.kind == kind)
    }

    /// Says whether there were packets.
    fn pop_rings(&mut self) -> bool {
        let mut popped = 0;
        for (ring, node) in &mut self.wiring.inbound {
            popped += ring.pop_batch(&mut self.nodes[*node].input, self.wiring.burst);
        }
        popped > 0
    }

    fn run_node(&mut self, index: usize, now: u64, clock: &mut u64) -> bool {
        let node = &mut self.nodes[index];
        let packets_in = node.input.len();
        if packets_in == 0 && !node.stage.polls() {
            return false;
        }
        let mut context = context(&self.wiring, &self.tables, &mut self.events, now);
        node.stage.run(&mut context, &mut node.input, &mut node.out);
        let packets_out = node.out.total();
        debug_assert!(node.input.is_empty(), "{} left packets in its input", node.kind);
        debug_assert_eq!(
            packets_in as i64 + node.out.made,
            packets_out as i64,
            "{} lost or invented packets",
            node.kind
        );
        node.out.made = 0;
        dpdk::Mbuf::free_bulk(&mut node.out.dropped);
        // What `rx` polls comes from nowhere; what others let go without input was counted when it
        // came.
        let from_nowhere = if node.kind == StageKind::Rx { packets_out } else { 0 };
        let packets = packets_in + from_nowhere + std::mem::take(&mut node.out.worked);
        let busy = packets + packets_out > 0;
        if busy {
            let counters = &node.out.counters;
            counters.calls.add(u64::from(packets > 0));
            counters.packets.add(packets as u64);
            let end = dpdk::tsc();
            counters.cycles.add(end.wrapping_sub(*clock));
            *clock = end;
            self.deliver(index);
        }
        busy
    }

    fn deliver(&mut self, index: usize) {
        for output in 0..self.nodes[index].routes.len() {
            if self.nodes[index].out.ports[output].is_empty() {
                continue;
            }
            let mut packets = std::mem::take(&mut self.nodes[index].out.ports[output]);
            self.route(index, output, &mut packets);
            self.nodes[index].out.ports[output] = packets;
        }
    }

    fn route(&mut self, index: usize, output: usize, packets: &mut Vec<Packet>) {
        // Taken out and put back: the route of this node is not touched by what it delivers to.
        let route = std::mem::take(&mut self.nodes[index].routes[output]);
        match &route {
            Route::Node(node) => self.send_to_node(*node, packets),
            Route::Ring(ring) => self.staging[*ring].append(packets),
            Route::Lane(hops) => {
                for packet in packets.drain(..) {
                    let hop = hops[packet.meta.lane as usize % hops.len()];
                    self.hop(hop, packet);
                }
            }
            Route::Port(ports) => self.send_to_ports(index, ports, packets),
        }
        self.nodes[index].routes[output] = route;
    }

    /// To the transmit queue of each packet's port: the usual burst for one port stays together.
    fn send_to_ports(&mut self, index: usize, ports: &[(PortId, Hop)], packets: &mut Vec<Packet>) {
        let hop_of = |port| ports.iter().find(|(id, _)| id.0 == port).map(|(_, hop)| *hop);
        if let Some(Hop::Node(node)) = port_of_all(packets).and_then(hop_of) {
            return self.send_to_node(node, packets);
        }
        for packet in packets.drain(..) {
            match hop_of(packet.meta.port) {
                Some(hop) => self.hop(hop, packet),
                None => {
                    let drops = &self.nodes[index].out.counters.drops;
                    drops[DropReason::InterfaceDown as usize].add(1);
                }
            }
        }
    }

    fn send_to_node(&mut self, node: usize, packets: &mut Vec<Packet>) {
        let input = &mut self.nodes[node].input;
        if input.is_empty() {
            std::mem::swap(input, packets);
        } else {
            input.append(packets);
        }
    }

    fn hop(&mut self, hop: Hop, packet: Packet) {
        match hop {
            Hop::Node(node) => self.nodes[node].input.push(packet),
            Hop::Ring(ring) => self.staging[ring].push(packet),
        }
    }

    fn flush_rings(&mut self) {
        for (ring, producer) in &mut self.wiring.outbound {
            let staged = &mut self.staging[*ring];
            if staged.is_empty() {
                continue;
            }
            producer.push_batch(staged);
            if !staged.is_empty() {
                self.ring_full.drops[DropReason::RingFull as usize].add(staged.len() as u64);
                staged.clear();
            }
        }
    }

    fn tick(&mut self, now: u64) {
        self.next_tick = now + self.wiring.ticks_per_second / 1000;
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            let mut context = context(&self.wiring, &self.tables, &mut self.events, now);
            node.stage.tick(&mut context, &mut node.out);
            node.out.made = 0;
            dpdk::Mbuf::free_bulk(&mut node.out.dropped);
            self.deliver(index);
        }
    }

    fn send_events(&mut self) {
        if !self.events.is_empty() {
            // What does not fit waits here for the next turn: an event is never lost.
            self.wiring.events.push_batch(&mut self.events);
        }
    }
}

fn context<'a>(
    wiring: &Wiring,
    tables: &'a Tables,
    events: &'a mut Vec<Event>,
    now: u64,
) -> Context<'a> {
    Context {
        tables,
        now,
        ticks_per_second: wiring.ticks_per_second,
        core: wiring.core,
        spread: wiring.spread,
        events,
    }
}
