//! Ready-made topologies. They only propose: what is wrong with their arguments (no core, a port
//! without queues, a stage on a core that is not ours) is found by
//! [`plan`](crate::engine::plan::plan).

use strum::VariantArray;

use super::{
    CoreId, Edge, GRAPH, Placement, PortPlacement, PortSpec, StageKind, Steer, Topology, output,
};

/// Every stage on every core, so that most packets stay on the core that received them.
///
/// A port has one receive queue per core as far as its queues go, and RSS spreads the flows. Where
/// they do not go round, its queues are polled by some cores, and `classify` spreads overlay
/// packets and clear GRE over all of them by lane.
#[must_use]
pub fn run_to_completion(cores: &[CoreId], ports: &[PortSpec]) -> Topology {
    let mut next = 0;
    let ports = ports.iter().map(|spec| {
        let start = next;
        next += cores.len().min(spec.rx_queues_max.into());
        PortPlacement {
            spec: spec.clone(),
            rx: deal(cores, spec.rx_queues_max, start),
            tx: deal(cores, spec.tx_queues_max, start),
        }
    });
    let ports: Vec<_> = ports.collect();
    let placements = placed_stages().map(|stage| {
        let cores = match stage {
            StageKind::Classify => polling(cores, &ports, |_| true),
            _ => cores.to_vec(),
        };
        Placement { stage, cores }
    });
    let placements = placements.collect();
    spread(Topology { cores: cores.to_vec(), placements, ports, edges: GRAPH.to_vec() })
}

/// GRE encapsulation, ESP and fragmentation on cores of their own.
///
/// | cores | |
/// |---|---|
/// | 1 | everything |
/// | 2 | front, encapsulation · ESP, fragmentation |
/// | 3 | front · encapsulation, fragmentation · ESP |
/// | 4 and more | front · encapsulation · fragmentation · ESP on all others |
///
/// The front receives, classifies, decapsulates, routes, replicates and punts. Each core that
/// sends has a transmit queue of its own as far as the port's queues go: those where most of the
/// port's packets end come first (ESP for the underlay, the front for the overlay).
#[must_use]
pub fn pipeline(cores: &[CoreId], ports: &[PortSpec]) -> Topology {
    use StageKind::{EspOpen, EspSeal, Fragment, FragmentOuter, GreEncap, Reassemble};
    let (front, encap, fragmentation, esp) = match cores {
        [] => (0..0, 0..0, 0..0, 0..0),
        [_] => (0..1, 0..1, 0..1, 0..1),
        [_, _] => (0..1, 0..1, 1..2, 1..2),
        [_, _, _] => (0..1, 1..2, 1..2, 2..3),
        _ => (0..1, 1..2, 2..3, 3..cores.len()),
    };
    let (front, encap) = (&cores[front], &cores[encap]);
    let (fragmentation, esp) = (&cores[fragmentation], &cores[esp]);

    let placements = placed_stages().map(|stage| {
        let cores = match stage {
            GreEncap => encap,
            EspOpen | EspSeal => esp,
            Fragment | FragmentOuter | Reassemble => fragmentation,
            _ => front,
        };
        Placement { stage, cores: cores.to_vec() }
    });
    let placements = placements.collect();
    let ports = ports.iter().map(|spec| {
        let senders = match spec.underlay {
            true => unique([esp, encap, fragmentation, front].concat()),
            false => unique([front, fragmentation, encap, esp].concat()),
        };
        PortPlacement {
            spec: spec.clone(),
            rx: deal(front, spec.rx_queues_max, 0),
            tx: deal(&senders, spec.tx_queues_max, 0),
        }
    });
    let ports = ports.collect();
    Topology { cores: cores.to_vec(), placements, ports, edges: GRAPH.to_vec() }
}

/// Everything that has state on the first core, `cipher` on all others: for few SAs with more
/// traffic than a core can seal. On one core, run to completion.
#[must_use]
pub fn elephant(cores: &[CoreId], ports: &[PortSpec]) -> Topology {
    let (owner, helpers) = cores.split_at(cores.len().min(1));
    let mut topology = run_to_completion(owner, ports);
    if !helpers.is_empty() {
        topology.placements.push(Placement { stage: StageKind::Cipher, cores: helpers.to_vec() });
    }
    Topology { cores: cores.to_vec(), ..topology }
}

/// What `stages` and `ports` say, and for the rest a default.
///
/// - A stage that is not named runs on the cores that no stage was given to, or on all cores if
///   none is left; `classify` on those of them that receive; `cipher` on none.
/// - `rx` and `tx` in `stages` name the cores for the queues of the ports whose `rx` or `tx` is
///   empty. Without them, the cores of `classify` receive, and each core that sends has a transmit
///   queue, as far as the port's queues go.
#[must_use]
pub fn explicit(cores: &[CoreId], stages: &[Placement], ports: &[PortPlacement]) -> Topology {
    let named = |stage| stages.iter().find(|p| p.stage == stage).map(|p| p.cores.clone());
    let taken = |core: &CoreId| stages.iter().any(|p| p.cores.contains(core));
    let mut rest: Vec<_> = cores.iter().copied().filter(|core| !taken(core)).collect();
    if rest.is_empty() {
        rest = cores.to_vec();
    }

    let receivers = named(StageKind::Rx).or_else(|| named(StageKind::Classify));
    let receivers = receivers.unwrap_or_else(|| rest.clone());
    let mut ports = ports.to_vec();
    for (start, port) in ports.iter_mut().enumerate().filter(|(_, port)| port.rx.is_empty()) {
        port.rx = deal(&receivers, port.spec.rx_queues_max, start);
    }

    // Whatever is named is kept as it is, even twice, so that the plan can refuse it.
    let mut placements: Vec<_> = stages.iter().filter(|p| !p.stage.is_queue()).cloned().collect();
    for stage in placed_stages().filter(|stage| named(*stage).is_none()) {
        let cores = match stage {
            StageKind::Classify => polling(cores, &ports, |_| true),
            _ => rest.clone(),
        };
        placements.push(Placement { stage, cores });
    }

    let sends = |stage| GRAPH.iter().any(|e| e.from == stage && e.to == StageKind::Tx);
    let senders = placements.iter().filter(|p| sends(p.stage));
    let senders = unique(senders.flat_map(|p| p.cores.iter().copied()).collect());
    let senders = named(StageKind::Tx).unwrap_or(senders);
    for (start, port) in ports.iter_mut().enumerate().filter(|(_, port)| port.tx.is_empty()) {
        port.tx = deal(&senders, port.spec.tx_queues_max, start);
    }
    spread(Topology { cores: cores.to_vec(), placements, ports, edges: GRAPH.to_vec() })
}

/// What runs somewhere in every gateway.
fn placed_stages() -> impl Iterator<Item = StageKind> {
    let everywhere = |stage: &StageKind| !stage.is_queue() && *stage != StageKind::Cipher;
    StageKind::VARIANTS.iter().copied().filter(everywhere)
}

/// One queue per core as far as `queues_max` goes, beginning at `start`, so that ports with few
/// queues do not all land on the first core.
fn deal(cores: &[CoreId], queues_max: u16, start: usize) -> Vec<CoreId> {
    let start = start.checked_rem(cores.len()).unwrap_or(0);
    let from_start = cores.iter().cycle().skip(start);
    from_start.take(cores.len().min(queues_max.into())).copied().collect()
}

/// Those of `cores` that poll a port of that kind, in the order of `cores`.
fn polling(
    cores: &[CoreId],
    ports: &[PortPlacement],
    kind: impl Fn(&PortSpec) -> bool,
) -> Vec<CoreId> {
    let polls = |core| ports.iter().any(|port| kind(&port.spec) && port.rx.contains(core));
    cores.iter().filter(|core| polls(core)).copied().collect()
}

/// Spreads what `classify` sends to a stage by lane, where only some of that stage's cores receive.
fn spread(mut topology: Topology) -> Topology {
    for (number, underlay) in [(output::classify::OVERLAY, false), (output::classify::GRE, true)] {
        let wire = |edge: &&mut Edge| (edge.from, edge.output) == (StageKind::Classify, number);
        let Topology { cores, placements, ports, edges } = &mut topology;
        let Some(edge) = edges.iter_mut().find(wire) else { continue };
        let receivers = polling(cores, ports, |spec| spec.underlay == underlay);
        let target = placements.iter().find(|p| p.stage == edge.to);
        let target = target.map_or(&[][..], |p| &p.cores);
        let everyone_has_it = receivers.iter().all(|core| target.contains(core));
        if !receivers.is_empty() && everyone_has_it && receivers.len() < target.len() {
            edge.steer = Steer::Lane;
        }
    }
    topology
}

fn unique(mut cores: Vec<CoreId>) -> Vec<CoreId> {
    let mut seen = Vec::with_capacity(cores.len());
    cores.retain(|core| {
        let new = !seen.contains(core);
        seen.push(*core);
        new
    });
    cores
}
