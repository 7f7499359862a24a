//! What `greyhound show topology` prints for people.

use std::collections::BTreeMap;
use std::fmt;

use crate::engine::topology::{Edge, StageKind};

use super::{Hop, Node, Plan};

/// Rings shown one by one; of more, the number.
const RINGS_SHOWN_MAX: usize = 8;

/// A line for each core with its stages, in the order in which they run, then a line for each edge
/// that crosses cores:
///
/// ```text
/// core 2: rx wan.0, classify, lookup, punt
/// core 3: gre_encap, esp_seal, tx wan.0
///
/// lookup.encap -> gre_encap (lane): 2>3
/// ```
///
/// and one for each stage that deals to `cipher`: `esp_seal <-> cipher (dealt): 2>3 2>4`.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for program in &self.programs {
            let stages = program.nodes.iter().map(|node| self.stage(node));
            writeln!(f, "core {}: {}", program.core, stages.collect::<Vec<_>>().join(", "))?;
        }
        let crossings = self.crossings();
        if !crossings.is_empty() {
            writeln!(f)?;
        }
        let edges =
            self.topology.edges.iter().filter_map(|edge| {
                crossings.get(&(edge.from, edge.output)).map(|rings| (edge, rings))
            });
        for (edge, rings) in edges {
            self.edge(f, edge, rings)?;
        }
        self.lanes(f)
    }
}

impl Plan {
    /// `lookup`, or with a queue `rx wan.0`.
    fn stage(&self, node: &Node) -> String {
        let Some(queue) = node.queue else { return node.stage.to_string() };
        let port = self.topology.ports.iter().find(|port| port.spec.id == queue.port);
        let name = port.map_or("?", |port| &port.spec.name);
        format!("{} {name}.{}", node.stage, queue.number)
    }

    /// The rings that each output uses, by stage and output; none for outputs that stay on a core.
    fn crossings(&self) -> BTreeMap<(super::StageKind, usize), Vec<usize>> {
        let mut crossings: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for node in self.programs.iter().flat_map(|program| &program.nodes) {
            for (output, route) in node.outputs.iter().enumerate() {
                for hop in route.hops() {
                    if let Hop::Ring(ring) = hop {
                        crossings.entry((node.stage, output)).or_default().push(ring);
                    }
                }
            }
        }
        for rings in crossings.values_mut() {
            rings.sort_unstable();
            rings.dedup();
        }
        crossings
    }

    /// A line for each stage that deals to `cipher`, as if it were an edge.
    fn lanes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lanes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for deal in &self.deals {
            let from = self.programs.iter().find(|program| program.core == deal.from_core);
            let stage = from.and_then(|program| program.nodes.get(deal.from_node));
            lanes.entry(stage.map(|node| node.stage)).or_default().push(deal);
        }
        if !lanes.is_empty() {
            writeln!(f)?;
        }
        for (stage, lanes) in lanes {
            write!(f, "{} <-> {} (dealt):", stage.map_or("?", Into::into), StageKind::Cipher)?;
            if lanes.len() > RINGS_SHOWN_MAX {
                writeln!(f, " {} lanes", lanes.len())?;
                continue;
            }
            for lane in lanes {
                write!(f, " {}>{}", lane.from_core, lane.to_core)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn edge(&self, f: &mut fmt::Formatter<'_>, edge: &Edge, rings: &[usize]) -> fmt::Result {
        write!(f, "{edge} ({}):", edge.steer)?;
        if rings.len() > RINGS_SHOWN_MAX {
            return writeln!(f, " {} rings", rings.len());
        }
        for &ring in rings {
            let ring = self.rings[ring];
            write!(f, " {}>{}", ring.from_core, ring.to_core)?;
        }
        writeln!(f)
    }
}
