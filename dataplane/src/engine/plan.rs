//! From a topology to one program per core: a pure function.
//!
//! ```text
//! Topology -> check (cores, placements, ports, edges) -> order of the stages -> nodes
//!          -> routes, with a ring for each hop to another core -> every node reached? -> Plan
//! ```
//!
//! Rings have one producer and one consumer by construction: there is one for each triple of
//! sending core, receiving core and receiving node, and a core is one thread. `cipher` is reached
//! by lanes: one from each `esp_seal` and `esp_open` to each `cipher` of another core.

use std::collections::BTreeMap;

use super::topology::{CoreId, Edge, PortId, StageKind, Steer, Topology};

pub use self::error::PlanError;

mod check;
mod error;
mod show;
#[cfg(test)]
mod tests;

/// Most cores of a plan. Each core looks at a ring per other core and steered stage in each turn:
/// with 64 cores that is about 300 rings, already as much work as the packets of a small burst.
pub const CORES_MAX: usize = 64;

/// Most ports of a plan: DPDK's own limit (`RTE_MAX_ETHPORTS`).
pub const PORTS_MAX: usize = 32;

/// What every core runs, and the rings between them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Plan {
    /// What was planned.
    pub topology: Topology,
    /// One for each core that has something to do, in the order of `topology.cores`.
    pub programs: Vec<Program>,
    /// All rings; routes name them by index.
    pub rings: Vec<RingSpec>,
    /// Who deals to which instance of `cipher`.
    pub deals: Vec<DealSpec>,
}

impl Plan {
    /// The instances of a stage, in the order of their numbers: indices of program and node.
    #[must_use]
    pub fn instances(&self, stage: StageKind) -> Vec<(usize, usize)> {
        let nodes = self.programs.iter().enumerate().flat_map(|(program, p)| {
            p.nodes.iter().enumerate().map(move |(node, n)| (n, (program, node)))
        });
        let mut found: Vec<_> = nodes.filter(|(n, _)| n.stage == stage).collect();
        found.sort_by_key(|(n, _)| n.instance);
        found.into_iter().map(|(_, place)| place).collect()
    }

    /// The instance that owns what a lane names: indices of program and node. An outbound SA
    /// belongs to the owner in `gre_encap`, an inbound one to the owner in `esp_open`.
    #[must_use]
    pub fn owner(&self, stage: StageKind, lane: u32) -> Option<(usize, usize)> {
        let instances = self.instances(stage);
        instances.get(instance_of(lane, instances.len())?).copied()
    }

    /// How many instances of stages may deal their work to a crypto device, each by a queue of its
    /// own.
    #[must_use]
    pub fn dealers(&self) -> usize {
        self.programs.iter().flat_map(|p| &p.nodes).filter(|node| node.stage.deals()).count()
    }
}

/// The number of the instance, of so many, that a lane belongs to; none if there are none.
#[inline]
#[must_use]
pub fn instance_of(lane: u32, instances: usize) -> Option<usize> {
    (lane as usize).checked_rem(instances)
}

/// What one core runs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Program {
    /// The core.
    pub core: CoreId,
    /// Stages in the order in which a turn of the loop calls them: a packet that stays on the core
    /// passes all its stages in one turn, but for edges declared to go back.
    pub nodes: Vec<Node>,
}

/// One instance of a stage.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Node {
    /// Which stage.
    pub stage: StageKind,
    /// Its number among the instances of its kind, the same that lanes choose by. A stage that
    /// draws numbers which may not repeat between instances (fragment identification) strides.
    pub instance: u16,
    /// The queue of `rx` and `tx`.
    pub queue: Option<Queue>,
    /// Where each output goes, by the output's number.
    pub outputs: Vec<Route>,
}

/// A receive or transmit queue of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Queue {
    /// The port.
    pub port: PortId,
    /// The queue's number.
    pub number: u16,
}

/// Where the packets of an output go.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// All to this node of the same program. A node that comes earlier gets them in the next turn.
    Node(usize),
    /// All into this ring.
    Ring(usize),
    /// Each by its lane, to the hop that [`instance_of`] says; at least two hops.
    Lane(Vec<Hop>),
    /// Each by its egress port; every port of the plan, ascending.
    Port(Vec<(PortId, Hop)>),
}

/// What `std::mem::take` leaves behind: no port is reachable by it.
impl Default for Route {
    fn default() -> Self {
        Self::Port(Vec::new())
    }
}

impl Route {
    /// Every hop that a packet may take.
    pub fn hops(&self) -> impl Iterator<Item = Hop> + '_ {
        let (single, lanes, ports): (_, &[Hop], &[(PortId, Hop)]) = match self {
            Self::Node(node) => (Some(Hop::Node(*node)), &[], &[]),
            Self::Ring(ring) => (Some(Hop::Ring(*ring)), &[], &[]),
            Self::Lane(hops) => (None, hops, &[]),
            Self::Port(hops) => (None, &[], hops),
        };
        single.into_iter().chain(lanes.iter().copied()).chain(ports.iter().map(|(_, hop)| *hop))
    }
}

/// One way to the next stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hop {
    /// To this node of the same program.
    Node(usize),
    /// Into this ring.
    Ring(usize),
}

impl From<Hop> for Route {
    fn from(hop: Hop) -> Self {
        match hop {
            Hop::Node(node) => Self::Node(node),
            Hop::Ring(ring) => Self::Ring(ring),
        }
    }
}

/// A ring between two cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct RingSpec {
    /// The only core that pushes.
    pub from_core: CoreId,
    /// The only core that pops.
    pub to_core: CoreId,
    /// The node of that core's program which gets the packets.
    pub to_node: usize,
}

/// A lane from a stage that deals batches to an instance of `cipher`: a ring there and one back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct DealSpec {
    /// The core that deals.
    pub from_core: CoreId,
    /// The node of that core's program, an `esp_seal` or `esp_open`.
    pub from_node: usize,
    /// Another core, which works for it.
    pub to_core: CoreId,
    /// The `cipher` of that core's program.
    pub to_node: usize,
}

/// Gives every core its program.
///
/// # Errors
/// What is wrong with the topology first; see [`PlanError`].
pub fn plan(topology: &Topology) -> Result<Plan, PlanError> {
    check::cores(topology)?;
    check::placements(topology)?;
    check::ports(topology)?;
    check::edges(topology)?;
    let order = check::stage_order(&topology.edges)?;

    let mut programs = nodes(topology, &order)?;
    let routes = Router::new(topology, &programs).all()?;
    let Routed { outputs, rings } = routes;
    let nodes = programs.iter_mut().flat_map(|program| &mut program.nodes);
    for (node, outputs) in nodes.zip(outputs) {
        node.outputs = outputs;
    }
    let deals = deals(&programs);
    let plan = Plan { topology: topology.clone(), programs, rings, deals };
    check::reachable(&plan)?;
    Ok(plan)
}

/// The programs with their nodes in order, not yet routed.
fn nodes(topology: &Topology, order: &[StageKind]) -> Result<Vec<Program>, PlanError> {
    let mut programs = Vec::new();
    for &core in &topology.cores {
        let mut nodes = Vec::new();
        for &stage in order {
            for (number, (at, queue)) in instances(topology, stage).into_iter().enumerate() {
                if at == core {
                    let too_many = |_| PlanError::TooManyInstances { stage };
                    let instance = u16::try_from(number).map_err(too_many)?;
                    nodes.push(Node { stage, instance, queue, outputs: Vec::new() });
                }
            }
        }
        if !nodes.is_empty() {
            programs.push(Program { core, nodes });
        }
    }
    Ok(programs)
}

/// A lane from each stage that deals to each `cipher` of another core.
fn deals(programs: &[Program]) -> Vec<DealSpec> {
    let places = |wanted: fn(StageKind) -> bool| {
        programs.iter().flat_map(move |Program { core, nodes }| {
            let nodes = nodes.iter().enumerate().filter(move |(_, node)| wanted(node.stage));
            nodes.map(|(index, _)| (*core, index))
        })
    };
    let mut deals = Vec::new();
    for (from_core, from_node) in places(StageKind::deals) {
        let helpers = places(|stage| stage == StageKind::Cipher);
        for (to_core, to_node) in helpers.filter(|(core, _)| *core != from_core) {
            deals.push(DealSpec { from_core, from_node, to_core, to_node });
        }
    }
    deals
}

/// Core and queue of each instance of a stage, in the order of their numbers.
fn instances(topology: &Topology, stage: StageKind) -> Vec<(CoreId, Option<Queue>)> {
    let queues = |cores: fn(&super::topology::PortPlacement) -> &[CoreId]| {
        let queues = topology.ports.iter().flat_map(|port| {
            (0u16..)
                .zip(cores(port))
                .map(|(number, core)| (*core, Some(Queue { port: port.spec.id, number })))
        });
        queues.collect()
    };
    match stage {
        StageKind::Rx => queues(|port| &port.rx),
        StageKind::Tx => queues(|port| &port.tx),
        _ => topology.cores_of(stage).iter().map(|core| (*core, None)).collect(),
    }
}

/// Where a node is.
#[derive(Debug, Clone, Copy)]
struct Place {
    core: CoreId,
    /// Index in the core's program.
    node: usize,
    queue: Option<Queue>,
}

struct Routed {
    /// By program and node.
    outputs: Vec<Vec<Route>>,
    rings: Vec<RingSpec>,
}

/// Turns edges into routes, and makes the rings on the way.
struct Router<'a> {
    topology: &'a Topology,
    programs: &'a [Program],
    edges: BTreeMap<(StageKind, usize), &'a Edge>,
    /// Every instance of a stage, in the order of their numbers.
    places: BTreeMap<StageKind, Vec<Place>>,
    rings: Vec<RingSpec>,
    ring_index: BTreeMap<RingSpec, usize>,
}

impl<'a> Router<'a> {
    fn new(topology: &'a Topology, programs: &'a [Program]) -> Self {
        let mut numbered: BTreeMap<_, BTreeMap<u16, Place>> = BTreeMap::new();
        for Program { core, nodes } in programs {
            for (index, node) in nodes.iter().enumerate() {
                let place = Place { core: *core, node: index, queue: node.queue };
                numbered.entry(node.stage).or_default().insert(node.instance, place);
            }
        }
        let places = numbered.into_iter().map(|(stage, p)| (stage, p.into_values().collect()));
        Self {
            topology,
            programs,
            edges: topology.edges.iter().map(|e| ((e.from, e.output), e)).collect(),
            places: places.collect(),
            rings: Vec::new(),
            ring_index: BTreeMap::new(),
        }
    }

    fn all(mut self) -> Result<Routed, PlanError> {
        let mut outputs = Vec::new();
        for Program { core, nodes } in self.programs {
            for Node { stage, .. } in nodes {
                let routes = (0..stage.outputs().len()).map(|output| {
                    let missing = PlanError::Unconnected { stage: *stage, output };
                    let edge = *self.edges.get(&(*stage, output)).ok_or(missing)?;
                    self.route(edge, *core)
                });
                outputs.push(routes.collect::<Result<_, _>>()?);
            }
        }
        Ok(Routed { outputs, rings: self.rings })
    }

    fn route(&mut self, edge: &Edge, core: CoreId) -> Result<Route, PlanError> {
        let places = self.places.get(&edge.to).cloned().unwrap_or_default();
        match edge.steer {
            Steer::Port => self.by_port(edge, core, &places),
            Steer::Any if let Some(here) = places.iter().find(|place| place.core == core) => {
                Ok(Route::Node(here.node))
            }
            Steer::Any | Steer::Lane => match places[..] {
                [] => Err(PlanError::NoInstance { edge: *edge }),
                [only] => Ok(self.hop(core, only).into()),
                _ => Ok(Route::Lane(places.iter().map(|to| self.hop(core, *to)).collect())),
            },
        }
    }

    /// A hop for each port: to this core's queue if it has one. Else to a queue that depends on
    /// the core alone, so that packets of one core keep their order and the cores spread.
    fn by_port(&mut self, edge: &Edge, core: CoreId, places: &[Place]) -> Result<Route, PlanError> {
        let share = self.topology.cores.iter().position(|c| *c == core).unwrap_or(0);
        let mut ports: Vec<_> = self.topology.ports.iter().map(|port| port.spec.id).collect();
        ports.sort_unstable();
        let hops = ports.into_iter().map(|port| {
            let of_port = |place: &&Place| place.queue.is_some_and(|queue| queue.port == port);
            let queues: Vec<_> = places.iter().filter(of_port).collect();
            let here = queues.iter().find(|place| place.core == core);
            let there = || queues.get(share.checked_rem(queues.len())?);
            let place = here.or_else(there).ok_or(PlanError::NoInstance { edge: *edge })?;
            Ok((port, self.hop(core, **place)))
        });
        hops.collect::<Result<_, _>>().map(Route::Port)
    }

    fn hop(&mut self, from: CoreId, to: Place) -> Hop {
        if from == to.core {
            return Hop::Node(to.node);
        }
        let ring = RingSpec { from_core: from, to_core: to.core, to_node: to.node };
        let rings = &mut self.rings;
        Hop::Ring(*self.ring_index.entry(ring).or_insert_with(|| {
            rings.push(ring);
            rings.len() - 1
        }))
    }
}
