//! From a plan to workers that can run: stages made, rings laid, counters handed out.
//!
//! The daemon runs the workers in threads; tests and benches may turn them by hand.

use std::collections::HashMap;
use std::sync::Arc;

use dpdk::crypto::CryptoQueue;
use dpdk::{RxQueue, TxQueue};

use crate::counters::StageCounters;
use crate::packet::Packet;
use crate::stages::cipher::{self, Cipher, Client, Lane};
use crate::stages::{self, Attachment, Parts};
use crate::tables::Tables;

use super::message::{Command, Event};
use super::plan::{Node, Plan, Queue};
use super::ring::{Consumer, Producer, channel};
use super::topology::{CoreId, StageKind};
use super::worker::{Poll, Wiring, Worker, WorkerStatus};

/// Commands that may wait for a core: a reload with thousands of SAs comes in portions of this.
const COMMANDS: usize = 4096;
/// Events that may wait for the control thread; what does not fit waits on the core.
const EVENTS: usize = 1024;

/// How workers are made.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Packets that a ring between two cores holds, and that may wait for what was dealt to
    /// `cipher` or to a crypto device.
    pub ring: usize,
    /// Packets that may wait for the control thread, from each core.
    pub punts: usize,
    /// How workers wait.
    pub poll: Poll,
}

/// The control thread's side of one worker.
pub struct Link {
    /// The core that the worker is pinned to.
    pub core: CoreId,
    /// To the worker.
    pub commands: Producer<Command>,
    /// From the worker.
    pub events: Consumer<Event>,
    /// Punted packets, if the worker punts.
    pub punts: Option<Consumer<Packet>>,
    /// Stop flag and counters of the loop.
    pub status: Arc<WorkerStatus>,
    /// Counters of each stage of the worker, in the plan's order.
    pub stages: Vec<Arc<StageCounters>>,
    /// Drops between cores: rings that were full.
    pub rings: Arc<StageCounters>,
}

/// A queue that the plan polls or fills, and nobody supplied; or one supplied that it does not.
#[derive(Debug, thiserror::Error)]
#[error("the plan needs {kind} queue {number} of port {port}, which the port does not have")]
pub struct MissingQueue {
    kind: StageKind,
    port: u16,
    number: u16,
}

/// The queues of all ports, and of the crypto device.
#[derive(Default)]
pub struct PortQueues {
    /// Receive queues.
    pub rx: HashMap<Queue, RxQueue>,
    /// Transmit queues.
    pub tx: HashMap<Queue, TxQueue>,
    /// Queues of a crypto device: [`Plan::dealers`] as many, or none for software.
    pub crypto: Vec<CryptoQueue>,
}

/// Makes one worker for each program of the plan, and the control thread's side of each.
///
/// # Errors
/// [`MissingQueue`] if `queues` lacks one that the plan names.
pub fn assemble(
    plan: &Plan,
    mut queues: PortQueues,
    parts: &Parts,
    settings: Settings,
    tables: &Arc<Tables>,
) -> Result<Vec<(Worker, Link)>, MissingQueue> {
    let mut rings = lay_rings(plan, settings.ring);
    let mut lanes = lay_lanes(plan);
    let mut assembled = Vec::new();
    for (index, program) in plan.programs.iter().enumerate() {
        let (commands, commands_in) = channel(COMMANDS);
        let (events_out, events) = channel(EVENTS);
        let mut punts = None;
        let mut made = Vec::new();
        for (place, node) in program.nodes.iter().enumerate() {
            let place = (program.core, place);
            let attachment = match node.stage {
                StageKind::Cipher => {
                    Attachment::Clients(lanes.clients.remove(&place).unwrap_or_default())
                }
                stage if stage.deals() => {
                    let lanes = lanes.owners.remove(&place).unwrap_or_default();
                    let device = queues.crypto.pop();
                    let cipher = Cipher::new(lanes, device, settings.ring, parts.burst);
                    Attachment::Cipher(Box::new(cipher))
                }
                _ => attach(plan, node, settings.punts, &mut queues, &mut punts)?,
            };
            if let Some(stage) = stages::build(node.stage, attachment, parts) {
                made.push((stage, Arc::<StageCounters>::default()));
            }
        }
        let counters = made.iter().map(|(_, counters)| counters.clone()).collect();
        let status = Arc::<WorkerStatus>::default();
        let ring_counters = Arc::<StageCounters>::default();
        let (inbound, outbound) = rings.remove(&program.core).unwrap_or_default();
        let wiring = Wiring {
            core: index,
            spread: !plan.rings.is_empty(),
            inbound,
            outbound,
            commands: commands_in,
            events: events_out,
            status: status.clone(),
            poll: settings.poll,
            burst: parts.burst,
            ticks_per_second: parts.ticks_per_second,
        };
        let worker = Worker::new(program, made, wiring, ring_counters.clone(), tables.clone());
        let core = program.core;
        let link =
            Link { core, commands, events, punts, status, stages: counters, rings: ring_counters };
        assembled.push((worker, link));
    }
    Ok(assembled)
}

type Ends = (Vec<(Consumer<Packet>, usize)>, Vec<(usize, Producer<Packet>)>);

fn lay_rings(plan: &Plan, capacity: usize) -> HashMap<CoreId, Ends> {
    let mut ends = HashMap::<CoreId, Ends>::new();
    for (index, ring) in plan.rings.iter().enumerate() {
        let (producer, consumer) = channel(capacity);
        ends.entry(ring.to_core).or_default().0.push((consumer, ring.to_node));
        ends.entry(ring.from_core).or_default().1.push((index, producer));
    }
    ends
}

/// The ends of all lanes, by core and node.
#[derive(Default)]
struct Lanes {
    owners: HashMap<(CoreId, usize), Vec<Lane>>,
    clients: HashMap<(CoreId, usize), Vec<Client>>,
}

fn lay_lanes(plan: &Plan) -> Lanes {
    let mut lanes = Lanes::default();
    for deal in &plan.deals {
        let (lane, client) = cipher::lane();
        lanes.owners.entry((deal.from_core, deal.from_node)).or_default().push(lane);
        lanes.clients.entry((deal.to_core, deal.to_node)).or_default().push(client);
    }
    lanes
}

fn attach(
    plan: &Plan,
    node: &Node,
    room: usize,
    queues: &mut PortQueues,
    punts: &mut Option<Consumer<Packet>>,
) -> Result<Attachment, MissingQueue> {
    let missing =
        |queue: Queue| MissingQueue { kind: node.stage, port: queue.port.0, number: queue.number };
    Ok(match (node.stage, node.queue) {
        (StageKind::Rx, Some(queue)) => {
            let rx = queues.rx.remove(&queue).ok_or_else(|| missing(queue))?;
            Attachment::Rx(rx, queue.port.0)
        }
        (StageKind::Tx, Some(queue)) => {
            Attachment::Tx(queues.tx.remove(&queue).ok_or_else(|| missing(queue))?)
        }
        (StageKind::Punt, _) => {
            let (producer, consumer) = channel(room);
            *punts = Some(consumer);
            Attachment::Punt(producer)
        }
        (kind, _) => Attachment::Instance {
            number: node.instance,
            of: u16::try_from(plan.instances(kind).len()).unwrap_or(u16::MAX),
        },
    })
}
