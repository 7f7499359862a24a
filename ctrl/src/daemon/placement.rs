//! Stages on cores, as the configuration says and the machine allows.

use dataplane::engine::plan::{Plan, PlanError, plan};
use dataplane::engine::topology::{
    CoreId, Placement, PortPlacement, PortSpec, StageKind, explicit, pipeline, run_to_completion,
};

use crate::config::{Core, Layout};

/// Why the stages cannot be placed.
#[derive(Debug, thiserror::Error)]
pub enum PlacementError {
    /// A configured core is not there, or not for this process.
    #[error("core {core} is not available; this process may use {}", list(.available))]
    NoCore {
        /// The one that is missing.
        core: u16,
        /// Those that there are.
        available: Vec<u16>,
    },
    /// The topology does not work out.
    #[error("pipeline: {0}")]
    Plan(#[from] PlanError),
}

fn list(cores: &[u16]) -> String {
    cores.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// The plan for these ports. `available` are the cores that the process may use.
pub(super) fn place(
    layout: &Layout,
    ports: &[PortSpec],
    available: &[u16],
) -> Result<Plan, PlacementError> {
    let ids = |cores: &[Core]| cores.iter().map(|core| CoreId(core.0)).collect::<Vec<_>>();
    // Chosen: all cores but the first, which stays for the control thread and the system.
    let chosen = || {
        let rest = if available.len() > 1 { &available[1..] } else { available };
        rest.iter().map(|core| CoreId(*core)).collect::<Vec<_>>()
    };
    let wanted = |cores: &Option<Vec<Core>>| cores.as_deref().map_or_else(chosen, ids);
    let topology = match layout {
        Layout::RunToCompletion { cores } => run_to_completion(&wanted(cores), ports),
        Layout::Pipeline { cores } => pipeline(&wanted(cores), ports),
        Layout::Explicit { stages } => {
            let mut cores: Vec<CoreId> = stages.iter().flat_map(|s| ids(&s.cores)).collect();
            cores.sort_unstable();
            cores.dedup();
            let placements: Vec<Placement> = stages
                .iter()
                .map(|stage| Placement { stage: kind(stage.stage), cores: ids(&stage.cores) })
                .collect();
            let open = |spec: &PortSpec| PortPlacement {
                spec: spec.clone(),
                rx: Vec::new(),
                tx: Vec::new(),
            };
            let ports: Vec<PortPlacement> = ports.iter().map(open).collect();
            explicit(&cores, &placements, &ports)
        }
    };
    let missing = topology.cores.iter().find(|core| !available.contains(&core.0));
    match missing {
        Some(core) => {
            Err(PlacementError::NoCore { core: core.0, available: available.to_vec() })
        }
        None => Ok(plan(&topology)?),
    }
}

fn kind(stage: crate::config::Stage) -> StageKind {
    use crate::config::Stage;
    match stage {
        Stage::Rx => StageKind::Rx,
        Stage::Classify => StageKind::Classify,
        Stage::Reassemble => StageKind::Reassemble,
        Stage::EspOpen => StageKind::EspOpen,
        Stage::GreDecap => StageKind::GreDecap,
        Stage::Lookup => StageKind::Lookup,
        Stage::Replicate => StageKind::Replicate,
        Stage::Fragment => StageKind::Fragment,
        Stage::GreEncap => StageKind::GreEncap,
        Stage::EspSeal => StageKind::EspSeal,
        Stage::FragmentOuter => StageKind::FragmentOuter,
        Stage::Tx => StageKind::Tx,
        Stage::Punt => StageKind::Punt,
    }
}
