//! What can be wrong with a topology.

use crate::engine::topology::{CoreId, Edge, StageKind};

use super::{CORES_MAX, PORTS_MAX, Queue};

/// Why there is no plan. Each names the stage, edge, core or port that must change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The topology has no cores.
    #[error("there is no core to place stages on")]
    NoCores,
    /// More cores than a plan may have; see [`CORES_MAX`].
    #[error(
        "{cores} cores are too many: with more than {CORES_MAX}, \
         cores would spend their time looking at rings"
    )]
    TooManyCores {
        /// How many there are.
        cores: usize,
    },
    /// A core is listed twice.
    #[error("core {core} is listed twice")]
    DuplicateCore {
        /// The core.
        core: CoreId,
    },
    /// A stage has two placements.
    #[error("{stage} is placed twice")]
    DuplicatePlacement {
        /// The stage.
        stage: StageKind,
    },
    /// A stage has two instances on one core.
    #[error("{stage} is on core {core} twice")]
    DuplicateInstance {
        /// The stage.
        stage: StageKind,
        /// The core.
        core: CoreId,
    },
    /// A stage is placed on a core that is not listed.
    #[error("{stage} is on core {core}, which is not one of the cores to be used")]
    UnknownCore {
        /// The stage; `rx` or `tx` for a port's queue.
        stage: StageKind,
        /// The core.
        core: CoreId,
    },
    /// `rx` or `tx` is among the placements.
    #[error("{stage} is placed by the cores of the ports' queues, not as a stage")]
    QueuePlaced {
        /// Which of the two.
        stage: StageKind,
    },
    /// More instances of a stage than can be numbered.
    #[error("{stage} has more instances than can be numbered")]
    TooManyInstances {
        /// The stage.
        stage: StageKind,
    },
    /// The topology has no ports.
    #[error("there is no port")]
    NoPorts,
    /// More ports than a plan may have; see [`PORTS_MAX`].
    #[error("{ports} ports are too many: DPDK is built for {PORTS_MAX}")]
    TooManyPorts {
        /// How many there are.
        ports: usize,
    },
    /// Two ports have the same number.
    #[error("port {port} has the same number as another port")]
    DuplicatePort {
        /// The name of the second one.
        port: String,
    },
    /// A port has no queue in one direction.
    #[error("port {port} has no {stage} queue on any core")]
    NoQueue {
        /// The port's name.
        port: String,
        /// `rx` or `tx`.
        stage: StageKind,
    },
    /// A port has more queues in one direction than its device can have.
    #[error("port {port} is given {queues} {stage} queues, but can have {queues_max}")]
    TooManyQueues {
        /// The port's name.
        port: String,
        /// `rx` or `tx`.
        stage: StageKind,
        /// How many it is given.
        queues: usize,
        /// How many it can have.
        queues_max: u16,
    },
    /// A core fills two transmit queues of one port: it would use only one.
    #[error("port {port} has two tx queues on core {core}")]
    DuplicateTxQueue {
        /// The port's name.
        port: String,
        /// The core.
        core: CoreId,
    },
    /// An edge starts at an output that its stage does not have.
    #[error("edge {edge}: {} has no output {}", edge.from, edge.output)]
    UnknownOutput {
        /// The edge.
        edge: Edge,
    },
    /// Two edges start at one output.
    #[error("edge {edge}: another edge starts at this output already")]
    DuplicateEdge {
        /// The second edge.
        edge: Edge,
    },
    /// No edge starts at an output.
    #[error("{stage}.{} leads nowhere", stage.outputs().get(*output).unwrap_or(&"?"))]
    Unconnected {
        /// The stage.
        stage: StageKind,
        /// The output's number.
        output: usize,
    },
    /// An edge leads into `rx` or `cipher`, which have no input.
    #[error("edge {edge}: {} takes no packets from other stages", edge.to)]
    NoInput {
        /// The edge.
        edge: Edge,
    },
    /// An edge leads to `tx` but not by port, or the other way round.
    #[error(
        "edge {edge}: steered {}, but edges are steered by port if they lead to tx and only then",
        edge.steer
    )]
    WrongSteer {
        /// The edge.
        edge: Edge,
    },
    /// An edge leads to a stage that no core runs.
    #[error("edge {edge}: no core runs {}", edge.to)]
    NoInstance {
        /// The edge.
        edge: Edge,
    },
    /// Edges that are not declared to go back form a cycle.
    #[error("stages form a cycle without an edge declared to go back: {}", path(cycle))]
    Cycle {
        /// The stages of the cycle, in the direction of the edges, the first one not repeated.
        cycle: Vec<StageKind>,
    },
    /// No packet can come to an instance of a stage.
    #[error("{stage}{} on core {core} would never see a packet", of(*queue))]
    Unreachable {
        /// The stage.
        stage: StageKind,
        /// The queue, if it is `tx`.
        queue: Option<Queue>,
        /// The core.
        core: CoreId,
    },
}

fn path(cycle: &[StageKind]) -> String {
    let closed = cycle.iter().chain(cycle.first());
    closed.map(StageKind::to_string).collect::<Vec<_>>().join(" -> ")
}

fn of(queue: Option<Queue>) -> String {
    queue.map_or(String::new(), |q| format!(" queue {} of port {}", q.number, q.port))
}
