//! Stages on cores, as the configuration says and the machine allows.

use dataplane::engine::plan::{Plan, PlanError, plan};
use dataplane::engine::topology::{
    CoreId, PortPlacement, PortSpec, elephant, explicit, pipeline, run_to_completion,
};

use crate::config::Layout;

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
    // Chosen: all cores but the first, which stays for the control thread and the system.
    let chosen = || {
        let rest = if available.len() > 1 { &available[1..] } else { available };
        rest.iter().map(|core| CoreId(*core)).collect::<Vec<_>>()
    };
    let wanted = |cores: &Option<Vec<CoreId>>| cores.clone().unwrap_or_else(chosen);
    let topology = match layout {
        Layout::RunToCompletion { cores } => run_to_completion(&wanted(cores), ports),
        Layout::Pipeline { cores } => pipeline(&wanted(cores), ports),
        Layout::Elephant { cores } => elephant(&wanted(cores), ports),
        Layout::Explicit { stages } => {
            let mut cores: Vec<CoreId> = stages.iter().flat_map(|s| s.cores.clone()).collect();
            cores.sort_unstable();
            cores.dedup();
            let open = |spec: &PortSpec| PortPlacement {
                spec: spec.clone(),
                rx: Vec::new(),
                tx: Vec::new(),
            };
            let ports: Vec<PortPlacement> = ports.iter().map(open).collect();
            explicit(&cores, stages, &ports)
        }
    };
    let missing = topology.cores.iter().find(|core| !available.contains(&core.0));
    match missing {
        Some(core) => Err(PlacementError::NoCore { core: core.0, available: available.to_vec() }),
        None => Ok(plan(&topology)?),
    }
}
