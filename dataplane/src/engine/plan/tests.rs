//! The presets, properties over random topologies.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use strum::VariantArray;

use super::*;
use crate::engine::topology::{
    GRAPH, Placement, PortPlacement, PortSpec, elephant, explicit, output, pipeline,
    run_to_completion,
};

mod errors;

fn cores(count: u16) -> Vec<CoreId> {
    (0..count).map(|n| CoreId(n * 2 + 1)).collect()
}

/// Every second port is an underlay port.
fn port(id: u16, queues: u16) -> PortSpec {
    PortSpec {
        id: PortId(id),
        name: format!("port{id}"),
        underlay: id.is_multiple_of(2),
        rx_queues_max: queues,
        tx_queues_max: queues,
    }
}

fn two_ports() -> Vec<PortSpec> {
    vec![port(0, 1), port(1, 1)]
}

/// The node that a hop from a program leads to.
fn target(plan: &Plan, program: usize, hop: Hop) -> (usize, usize) {
    match hop {
        Hop::Node(node) => (program, node),
        Hop::Ring(ring) => {
            let ring = plan.rings[ring];
            let program = plan.programs.iter().position(|p| p.core == ring.to_core).unwrap();
            (program, ring.to_node)
        }
    }
}

fn node(plan: &Plan, (program, node): (usize, usize)) -> &Node {
    &plan.programs[program].nodes[node]
}

/// Stage and output, with the stage that packets come to.
fn wires(plan: &Plan) -> BTreeSet<(StageKind, usize, StageKind)> {
    let mut wires = BTreeSet::new();
    for (at, program) in plan.programs.iter().enumerate() {
        for from in &program.nodes {
            for (output, route) in from.outputs.iter().enumerate() {
                for hop in route.hops() {
                    wires.insert((from.stage, output, node(plan, target(plan, at, hop)).stage));
                }
            }
        }
    }
    wires
}

/// What must hold for every plan.
fn assert_sound(topology: &Topology, plan: &Plan) {
    // The same wires for every placement: those of the edges, no more, no fewer. A stage that no
    // edge leads to need not be placed, and then has none.
    let placed = |stage: StageKind| stage.is_queue() || !topology.cores_of(stage).is_empty();
    let edges = topology.edges.iter().filter(|e| placed(e.from));
    let edges = edges.map(|e| (e.from, e.output, e.to));
    assert_eq!(wires(plan), edges.collect::<BTreeSet<_>>());

    // Each instance is there once, on its core.
    for stage in StageKind::VARIANTS.iter().copied() {
        let places = plan.instances(stage);
        let placed: Vec<_> =
            places.iter().map(|(program, _)| plan.programs[*program].core).collect();
        let wanted: Vec<_> = match stage {
            StageKind::Rx => topology.ports.iter().flat_map(|p| p.rx.clone()).collect(),
            StageKind::Tx => topology.ports.iter().flat_map(|p| p.tx.clone()).collect(),
            _ => topology.cores_of(stage).to_vec(),
        };
        assert_eq!(placed, wanted, "{stage}");
        let numbers: Vec<_> = places.iter().map(|p| usize::from(node(plan, *p).instance)).collect();
        assert_eq!(numbers, (0..wanted.len()).collect::<Vec<_>>(), "{stage}");
    }

    // A ring is used from one core only, leads to another, and exists once.
    let mut producers: BTreeMap<usize, BTreeSet<CoreId>> = BTreeMap::new();
    for program in &plan.programs {
        for hop in program.nodes.iter().flat_map(|n| &n.outputs).flat_map(Route::hops) {
            if let Hop::Ring(ring) = hop {
                producers.entry(ring).or_default().insert(program.core);
            }
        }
    }
    assert_eq!(producers.len(), plan.rings.len(), "rings without producer");
    for (index, ring) in plan.rings.iter().enumerate() {
        assert_eq!(producers[&index], BTreeSet::from([ring.from_core]));
        assert_ne!(ring.from_core, ring.to_core);
        assert!(
            plan.programs.iter().any(|p| p.core == ring.to_core && ring.to_node < p.nodes.len())
        );
    }
    assert_eq!(plan.rings.iter().collect::<BTreeSet<_>>().len(), plan.rings.len());

    for (at, program) in plan.programs.iter().enumerate() {
        for (index, from) in program.nodes.iter().enumerate() {
            assert_eq!(from.outputs.len(), from.stage.outputs().len());
            for (output, route) in from.outputs.iter().enumerate() {
                let edge = *topology
                    .edges
                    .iter()
                    .find(|e| (e.from, e.output) == (from.stage, output))
                    .unwrap();
                assert_routed(plan, edge, (at, index), route);
            }
        }
    }
    assert_dealt(topology, plan);
    assert_all_reached(plan);
}

/// Each stage with ESP has one lane to each `cipher` but that of its own core, and there is no
/// other lane.
fn assert_dealt(topology: &Topology, plan: &Plan) {
    let mut wanted = Vec::new();
    for stage in [StageKind::EspOpen, StageKind::EspSeal] {
        for from in topology.cores_of(stage) {
            let others = topology.cores_of(StageKind::Cipher).iter().filter(|to| *to != from);
            wanted.extend(others.map(|to| (stage, *from, *to)));
        }
    }
    let node_of = |core, node: usize| {
        let program = plan.programs.iter().find(|program| program.core == core).unwrap();
        program.nodes[node].stage
    };
    let dealt = plan.deals.iter().map(|deal| {
        assert_eq!(node_of(deal.to_core, deal.to_node), StageKind::Cipher);
        (node_of(deal.from_core, deal.from_node), deal.from_core, deal.to_core)
    });
    let mut dealt: Vec<_> = dealt.collect();
    wanted.sort_unstable();
    dealt.sort_unstable();
    assert_eq!(dealt, wanted);
}

/// A route does what its edge says.
fn assert_routed(plan: &Plan, edge: Edge, (at, index): (usize, usize), route: &Route) {
    let core = plan.programs[at].core;
    for hop in route.hops() {
        if let Hop::Node(to) = hop {
            assert!(to > index || edge.back, "{edge} on core {core} is out of order");
        }
    }
    let instances = plan.instances(edge.to);
    let local = instances.iter().position(|(program, _)| *program == at);
    let ends: Vec<_> = route.hops().map(|hop| target(plan, at, hop)).collect();
    match edge.steer {
        Steer::Any if local.is_some() => {
            assert!(matches!(route, Route::Node(_)), "{edge} leaves core {core}");
        }
        // Hop i leads to instance i from wherever it starts: the lane alone decides.
        Steer::Any | Steer::Lane => {
            assert_eq!(ends, instances, "{edge} on core {core}");
            assert_eq!(matches!(route, Route::Lane(_)), instances.len() > 1);
            for lane in [0, 1, 7, 1 << 20, u32::MAX] {
                let end = ends[instance_of(lane, ends.len()).unwrap()];
                assert_eq!(plan.owner(edge.to, lane), Some(end));
            }
        }
        Steer::Port => {
            let Route::Port(hops) = route else { panic!("{edge} is not by port") };
            let ports: Vec<_> = hops.iter().map(|(port, _)| *port).collect();
            let all: BTreeSet<_> = plan.topology.ports.iter().map(|p| p.spec.id).collect();
            assert_eq!(ports, all.into_iter().collect::<Vec<_>>());
            for ((port, hop), end) in hops.iter().zip(ends) {
                assert_eq!(node(plan, end).queue.unwrap().port, *port);
                let placed = plan.topology.ports.iter().find(|p| p.spec.id == *port).unwrap();
                assert_eq!(matches!(hop, Hop::Node(_)), placed.tx.contains(&core));
            }
        }
    }
}

/// By a fixed point over all nodes, where the plan walks from the ports.
fn assert_all_reached(plan: &Plan) {
    let mut reached: BTreeSet<_> = plan.instances(StageKind::Rx).into_iter().collect();
    loop {
        let ends = reached.iter().flat_map(|place| {
            let hops = node(plan, *place).outputs.iter().flat_map(Route::hops);
            hops.map(|hop| target(plan, place.0, hop))
        });
        let place = |core, node| {
            (plan.programs.iter().position(|program| program.core == core).unwrap(), node)
        };
        let dealt =
            plan.deals.iter().filter(|d| reached.contains(&place(d.from_core, d.from_node)));
        let ends = ends.chain(dealt.map(|d| place(d.to_core, d.to_node)));
        let grown: BTreeSet<_> = ends.chain(reached.iter().copied()).collect();
        if grown == reached {
            break;
        }
        reached = grown;
    }
    assert_eq!(reached.len(), plan.programs.iter().map(|p| p.nodes.len()).sum::<usize>());
}

#[test]
fn presets_plan_for_every_size() {
    for count in 1..=16 {
        for ports in 1..=8 {
            for queues in [1, 2, 3, 4, 7, 8, 15, 16] {
                let ports: Vec<_> = (0..ports).map(|id| port(id, queues)).collect();
                for preset in [run_to_completion, pipeline, elephant] {
                    let topology = preset(&cores(count), &ports);
                    let plan = plan(&topology)
                        .unwrap_or_else(|e| panic!("{count} cores, {queues} queues: {e}"));
                    assert_eq!(plan.programs.len(), usize::from(count), "idle cores");
                    if queues == 1 || queues == 7 {
                        assert_sound(&topology, &plan);
                    }
                }
            }
        }
    }
}

#[test]
fn a_port_with_a_queue_per_core_keeps_overlay_packets_on_their_core() {
    let plan = plan(&run_to_completion(&cores(4), &[port(0, 4), port(1, 4)])).unwrap();
    for place in plan.instances(StageKind::Classify) {
        let outputs = &node(&plan, place).outputs;
        assert!(matches!(outputs[output::classify::OVERLAY], Route::Node(_)));
        assert!(matches!(outputs[output::classify::GRE], Route::Node(_)));
        assert!(matches!(outputs[output::classify::ESP], Route::Lane(_)));
    }
}

#[test]
fn a_port_with_few_queues_is_spread_by_lane_on_its_side_only() {
    // Port 0, underlay, has a queue per core; port 1, overlay, has one queue.
    let topology = run_to_completion(&cores(4), &[port(0, 4), port(1, 1)]);
    assert_eq!(topology.ports[1].rx.len(), 1);
    let plan = plan(&topology).unwrap();
    let outputs = &node(&plan, plan.instances(StageKind::Classify)[0]).outputs;
    assert!(matches!(&outputs[output::classify::OVERLAY], Route::Lane(hops) if hops.len() == 4));
    assert!(matches!(outputs[output::classify::GRE], Route::Node(_)));
}

#[test]
fn single_queues_of_two_ports_are_polled_by_two_cores() {
    let topology = run_to_completion(&cores(2), &two_ports());
    assert_ne!(topology.ports[0].rx, topology.ports[1].rx);
}

#[test]
fn pipeline_separates_encapsulation_esp_and_fragmentation() {
    let topology = pipeline(&cores(6), &two_ports());
    let on = |stage| topology.cores_of(stage).iter().map(|c| c.0).collect::<Vec<_>>();
    assert_eq!(on(StageKind::Lookup), [1]);
    assert_eq!(on(StageKind::GreEncap), [3]);
    assert_eq!(on(StageKind::Fragment), [5]);
    assert_eq!(on(StageKind::EspSeal), [7, 9, 11]);
    assert_eq!(on(StageKind::EspOpen), [7, 9, 11]);
    assert_eq!(topology.ports[0].tx, [CoreId(7)], "the underlay sends where ESP is sealed");
    assert_eq!(topology.ports[1].tx, [CoreId(1)], "the overlay sends where packets are routed");
}

#[test]
fn elephant_keeps_state_on_one_core_and_the_others_work_for_it() {
    let shown = |count| plan(&elephant(&cores(count), &two_ports())).unwrap().to_string();
    let all = "rx port0.0, rx port1.0, classify, reassemble, esp_open, gre_decap, lookup, \
               replicate, fragment, gre_encap, esp_seal, fragment_outer, tx port0.0, tx port1.0, \
               punt";
    assert_eq!(shown(1), format!("core 1: {all}\n"));
    let lanes = "esp_open <-> cipher (dealt): 1>3 1>5\nesp_seal <-> cipher (dealt): 1>3 1>5\n";
    assert_eq!(shown(3), format!("core 1: {all}\ncore 3: cipher\ncore 5: cipher\n\n{lanes}"));
    assert!(shown(12).ends_with("esp_seal <-> cipher (dealt): 11 lanes\n"));
    assert!(plan(&elephant(&cores(8), &two_ports())).unwrap().rings.is_empty());
}

#[test]
fn cores_that_own_sas_may_work_for_each_other() {
    let open = |spec| PortPlacement { spec, rx: vec![], tx: vec![] };
    let ports: Vec<_> = [port(0, 2), port(1, 2)].into_iter().map(open).collect();
    let all = cores(2);
    let stages = [StageKind::Cipher, StageKind::EspSeal, StageKind::EspOpen, StageKind::Rx]
        .map(|stage| Placement { stage, cores: all.clone() });
    let topology = explicit(&all, &stages, &ports);
    let plan = plan(&topology).unwrap();
    assert_sound(&topology, &plan);
    assert_eq!(plan.deals.len(), 4);
}

#[test]
fn explicit_places_the_rest_on_cores_not_named() {
    let stages = [
        Placement { stage: StageKind::EspSeal, cores: vec![CoreId(5), CoreId(7)] },
        Placement { stage: StageKind::GreEncap, cores: vec![CoreId(3)] },
    ];
    let open = |spec| PortPlacement { spec, rx: vec![], tx: vec![] };
    let ports: Vec<_> = two_ports().into_iter().map(open).collect();
    let topology = explicit(&cores(4), &stages, &ports);
    assert_eq!(topology.cores_of(StageKind::Lookup), [CoreId(1)]);
    assert_eq!(topology.ports[0].rx, [CoreId(1)]);
    let plan = plan(&topology).unwrap();
    assert_sound(&topology, &plan);

    let on_named = Placement { stage: StageKind::Tx, cores: vec![CoreId(7)] };
    let topology = explicit(&cores(4), &[stages.to_vec(), vec![on_named]].concat(), &ports);
    assert!(topology.ports.iter().all(|port| port.tx == [CoreId(7)]));
}

#[test]
fn packets_to_a_port_of_other_cores_always_take_the_same_queue() {
    let mut topology = run_to_completion(&cores(4), &[port(0, 4)]);
    topology.ports[0].tx.truncate(2);
    let plan = plan(&topology).unwrap();
    let queues = plan.instances(StageKind::Lookup).into_iter().map(|place| {
        let Route::Port(hops) = &node(&plan, place).outputs[output::lookup::TX] else { panic!() };
        node(&plan, target(&plan, place.0, hops[0].1)).queue.unwrap().number
    });
    assert_eq!(queues.collect::<Vec<_>>(), [0, 1, 0, 1]);
}

#[test]
fn the_back_edge_leads_to_an_earlier_node() {
    let plan = plan(&run_to_completion(&cores(1), &two_ports())).unwrap();
    let (program, open) = plan.instances(StageKind::EspOpen)[0];
    let (_, reassemble) = plan.instances(StageKind::Reassemble)[0];
    let route = &plan.programs[program].nodes[open].outputs[output::esp_open::FRAGMENT];
    assert_eq!(*route, Route::Node(reassemble));
    assert!(reassemble < open);
    assert!(plan.rings.is_empty());
}

#[test]
fn shown_for_people() {
    let text = plan(&pipeline(&cores(2), &two_ports())).unwrap().to_string();
    let expected = "\
core 1: rx port0.0, rx port1.0, classify, gre_decap, lookup, replicate, gre_encap, tx port1.0, punt
core 3: reassemble, esp_open, fragment, esp_seal, fragment_outer, tx port0.0

classify.esp -> esp_open (lane): 1>3
classify.fragment -> reassemble (lane): 1>3
reassemble.gre -> gre_decap (any): 3>1
reassemble.punt -> punt (any): 3>1
esp_open.gre -> gre_decap (any): 3>1
esp_open.ip -> lookup (any): 3>1
esp_open.punt -> punt (any): 3>1
lookup.fragment -> fragment (any): 1>3
lookup.tx -> tx (port): 1>3
replicate.fragment -> fragment (any): 1>3
replicate.tx -> tx (port): 1>3
fragment.encap -> gre_encap (lane): 3>1
fragment.tx -> tx (port): 3>1
fragment.punt -> punt (any): 3>1
gre_encap.seal -> esp_seal (any): 1>3
gre_encap.fragment -> fragment_outer (any): 1>3
gre_encap.tx -> tx (port): 1>3
esp_seal.tx -> tx (port): 3>1
fragment_outer.tx -> tx (port): 3>1
";
    assert_eq!(text, expected);
}

fn placement(topology: &mut Topology, stage: StageKind) -> &mut Placement {
    topology.placements.iter_mut().find(|p| p.stage == stage).unwrap()
}

/// Any stage on any cores, any queues; most are valid but for stages that get nothing.
fn random_topology() -> impl Strategy<Value = Topology> {
    let placed = StageKind::VARIANTS.iter().filter(|stage| !stage.is_queue());
    let placed: Vec<_> = placed.copied().collect();
    (1..=6u16, 1..=4u16).prop_flat_map(move |(count, ports)| {
        let placed = placed.clone();
        let all = cores(count);
        let some = || {
            let some = prop::sample::subsequence(all.clone(), 1..=all.len());
            some.prop_shuffle().boxed()
        };
        let steers = prop::collection::vec(any::<bool>(), GRAPH.len());
        let stages = prop::collection::vec(some(), placed.len());
        let queues = prop::collection::vec((some(), some()), usize::from(ports));
        (stages, queues, steers).prop_map(move |(stages, queues, steers)| Topology {
            cores: cores(count),
            placements: placed
                .iter()
                .zip(stages)
                .map(|(stage, cores)| Placement { stage: *stage, cores })
                .collect(),
            ports: (0u16..)
                .zip(queues)
                .map(|(id, (rx, tx))| PortPlacement { spec: port(id * 3 % 5, 6), rx, tx })
                .collect(),
            // An edge without need of one core may be steered by lane too.
            edges: GRAPH
                .iter()
                .zip(steers)
                .map(|(edge, lane)| match edge.steer {
                    Steer::Any if lane => Edge { steer: Steer::Lane, ..*edge },
                    _ => *edge,
                })
                .collect(),
        })
    })
}

/// Takes instances that get nothing away until the plan accepts the topology.
fn pruned(mut topology: Topology) -> (Topology, Plan) {
    loop {
        match plan(&topology) {
            Ok(plan) => return (topology, plan),
            Err(PlanError::Unreachable { queue: Some(queue), core, .. }) => {
                let port = topology.ports.iter_mut().find(|p| p.spec.id == queue.port).unwrap();
                port.tx.retain(|c| *c != core);
            }
            Err(PlanError::Unreachable { stage, core, .. }) => {
                placement(&mut topology, stage).cores.retain(|c| *c != core);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_plan_is_sound(topology in random_topology()) {
        let (topology, plan) = pruned(topology);
        assert_sound(&topology, &plan);
    }

    #[test]
    fn any_topology_gives_a_plan_or_an_error(
        topology in random_topology(),
        edges in prop::collection::vec((0..14usize, 0..6usize, 0..14usize, any::<bool>()), 0..4),
        dropped in any::<prop::sample::Index>(),
    ) {
        let mut topology = topology;
        topology.placements.remove(dropped.index(topology.placements.len()));
        for (from, output, to, back) in edges {
            let (from, to) = (StageKind::VARIANTS[from], StageKind::VARIANTS[to]);
            topology.edges.retain(|e| (e.from, e.output) != (from, output));
            topology.edges.push(Edge { from, output, to, steer: Steer::Any, back });
        }
        if let Ok(plan) = plan(&topology) {
            assert_sound(&topology, &plan);
        }
    }

    #[test]
    fn explicit_fills_in_what_is_missing(
        count in 1..=8u16,
        named in prop::collection::btree_map(0..14usize, 0..8usize, 0..4),
        queues in 1..=4u16,
    ) {
        let all = cores(count);
        let stages: Vec<_> = named
            .into_iter()
            .map(|(stage, core)| Placement {
                stage: StageKind::VARIANTS[stage],
                cores: vec![all[core % all.len()]],
            })
            .collect();
        let ports = [port(0, queues), port(1, queues)];
        let ports = ports.map(|spec| PortPlacement { spec, rx: vec![], tx: vec![] });
        let topology = explicit(&all, &stages, &ports);
        match plan(&topology) {
            Ok(plan) => assert_sound(&topology, &plan),
            // Only what was named can leave another stage without packets.
            Err(error) => prop_assert!(
                matches!(error, PlanError::Unreachable { .. }) && !stages.is_empty(),
                "{}", error
            ),
        }
    }
}
