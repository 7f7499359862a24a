//! What must hold before and after placing; each function finds one kind of error.

use std::collections::BTreeSet;

use strum::VariantArray;

use crate::engine::topology::{CoreId, Edge, StageKind, Steer, Topology};

use super::{CORES_MAX, Hop, Node, PORTS_MAX, Plan, PlanError};

/// At least one core, not too many, none twice.
pub(super) fn cores(topology: &Topology) -> Result<(), PlanError> {
    let cores = &topology.cores;
    if cores.is_empty() {
        return Err(PlanError::NoCores);
    }
    if cores.len() > CORES_MAX {
        return Err(PlanError::TooManyCores { cores: cores.len() });
    }
    match first_duplicate(cores) {
        Some(&core) => Err(PlanError::DuplicateCore { core }),
        None => Ok(()),
    }
}

/// Each stage placed once, on known cores, once on each.
pub(super) fn placements(topology: &Topology) -> Result<(), PlanError> {
    let stages: Vec<_> = topology.placements.iter().map(|p| p.stage).collect();
    if let Some(&stage) = first_duplicate(&stages) {
        return Err(PlanError::DuplicatePlacement { stage });
    }
    for placement in &topology.placements {
        let stage = placement.stage;
        if stage.is_queue() {
            return Err(PlanError::QueuePlaced { stage });
        }
        known(topology, stage, &placement.cores)?;
        if let Some(&core) = first_duplicate(&placement.cores) {
            return Err(PlanError::DuplicateInstance { stage, core });
        }
    }
    Ok(())
}

/// Each port once, with queues that it can have, on known cores.
pub(super) fn ports(topology: &Topology) -> Result<(), PlanError> {
    let ports = &topology.ports;
    if ports.is_empty() {
        return Err(PlanError::NoPorts);
    }
    if ports.len() > PORTS_MAX {
        return Err(PlanError::TooManyPorts { ports: ports.len() });
    }
    let mut ids = BTreeSet::new();
    for port in ports {
        let name = || port.spec.name.clone();
        if !ids.insert(port.spec.id) {
            return Err(PlanError::DuplicatePort { port: name() });
        }
        let directions = [
            (StageKind::Rx, &port.rx, port.spec.rx_queues_max),
            (StageKind::Tx, &port.tx, port.spec.tx_queues_max),
        ];
        for (stage, cores, queues_max) in directions {
            let queues = cores.len();
            if queues == 0 {
                return Err(PlanError::NoQueue { port: name(), stage });
            }
            if queues > queues_max.into() {
                return Err(PlanError::TooManyQueues { port: name(), stage, queues, queues_max });
            }
            known(topology, stage, cores)?;
        }
        if let Some(&core) = first_duplicate(&port.tx) {
            return Err(PlanError::DuplicateTxQueue { port: name(), core });
        }
    }
    Ok(())
}

/// Each output connected once, to a stage that can take its packets and that some core runs.
pub(super) fn edges(topology: &Topology) -> Result<(), PlanError> {
    let mut connected = BTreeSet::new();
    for &edge in &topology.edges {
        if edge.output >= edge.from.outputs().len() {
            return Err(PlanError::UnknownOutput { edge });
        }
        if !connected.insert((edge.from, edge.output)) {
            return Err(PlanError::DuplicateEdge { edge });
        }
        if matches!(edge.to, StageKind::Rx | StageKind::Cipher) {
            return Err(PlanError::NoInput { edge });
        }
        if (edge.to == StageKind::Tx) != (edge.steer == Steer::Port) {
            return Err(PlanError::WrongSteer { edge });
        }
        if !edge.to.is_queue() && topology.cores_of(edge.to).is_empty() {
            return Err(PlanError::NoInstance { edge });
        }
    }
    let placed = topology.placements.iter().filter(|p| !p.cores.is_empty()).map(|p| p.stage);
    for stage in placed.chain([StageKind::Rx]) {
        let mut outputs = 0..stage.outputs().len();
        if let Some(output) = outputs.find(|output| !connected.contains(&(stage, *output))) {
            return Err(PlanError::Unconnected { stage, output });
        }
    }
    Ok(())
}

/// All kinds of stages, each after those it gets packets from by an edge that is not declared to
/// go back. The order holds for all cores, so whether a topology is valid does not depend on which
/// stages happen to share one.
pub(super) fn stage_order(edges: &[Edge]) -> Result<Vec<StageKind>, PlanError> {
    let mut order = Vec::new();
    let mut left: Vec<_> = StageKind::VARIANTS.to_vec();
    while !left.is_empty() {
        let waits = |stage| {
            let mut inputs = edges.iter().filter(|e| !e.back && e.to == stage);
            inputs.any(|e| left.contains(&e.from))
        };
        match left.iter().position(|stage| !waits(*stage)) {
            Some(ready) => order.push(left.remove(ready)),
            None => return Err(PlanError::Cycle { cycle: cycle(edges, &left) }),
        }
    }
    Ok(order)
}

/// A cycle among stages each of which has a predecessor among them: walking back must meet a stage
/// again.
fn cycle(edges: &[Edge], stages: &[StageKind]) -> Vec<StageKind> {
    let before = |stage| {
        let mut inputs = edges.iter().filter(move |e| !e.back && e.to == stage);
        inputs.find(|e| stages.contains(&e.from)).map(|e| e.from)
    };
    let mut walked = Vec::new();
    let mut at = stages.first().copied();
    while let Some(stage) = at {
        if let Some(start) = walked.iter().position(|s| *s == stage) {
            walked.drain(..start);
            break;
        }
        walked.push(stage);
        at = before(stage);
    }
    walked.reverse();
    walked
}

/// Every node can get a packet that some port received, `cipher` by a lane.
pub(super) fn reachable(plan: &Plan) -> Result<(), PlanError> {
    let index_of = |core| plan.programs.iter().position(|p| p.core == core);
    let mut reached: Vec<_> = plan.programs.iter().map(|p| vec![false; p.nodes.len()]).collect();
    let mut next = plan.instances(StageKind::Rx);
    while let Some((program, node)) = next.pop() {
        if std::mem::replace(&mut reached[program][node], true) {
            continue;
        }
        let from = (plan.programs[program].core, node);
        for deal in plan.deals.iter().filter(|deal| (deal.from_core, deal.from_node) == from) {
            next.extend(index_of(deal.to_core).map(|program| (program, deal.to_node)));
        }
        for hop in plan.programs[program].nodes[node].outputs.iter().flat_map(|r| r.hops()) {
            next.extend(match hop {
                Hop::Node(node) => Some((program, node)),
                Hop::Ring(ring) => {
                    let ring = plan.rings[ring];
                    index_of(ring.to_core).map(|program| (program, ring.to_node))
                }
            });
        }
    }
    for (program, reached) in plan.programs.iter().zip(reached) {
        if let Some((node, _)) = program.nodes.iter().zip(reached).find(|(_, reached)| !reached) {
            let Node { stage, queue, .. } = *node;
            return Err(PlanError::Unreachable { stage, queue, core: program.core });
        }
    }
    Ok(())
}

fn known(topology: &Topology, stage: StageKind, cores: &[CoreId]) -> Result<(), PlanError> {
    match cores.iter().find(|core| !topology.cores.contains(core)) {
        Some(&core) => Err(PlanError::UnknownCore { stage, core }),
        None => Ok(()),
    }
}

fn first_duplicate<T: Ord>(items: &[T]) -> Option<&T> {
    let mut seen = BTreeSet::new();
    items.iter().find(|item| !seen.insert(*item))
}
