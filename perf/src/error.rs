//! Why there is no figure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dataplane::engine::assembly::MissingQueue;
use dataplane::engine::plan::PlanError;
use dataplane::engine::topology::CoreId;

use crate::capture::CaptureError;

/// Why a bench could not be run, or its figures cannot be trusted. A case is named as its mode and
/// size: "encrypt of 64 octets".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The packet would have to be fragmented.
    #[error("{case}: {largest} octets are too many: {max} fit a path of jumbo frames")]
    SizeTooLarge {
        /// The case.
        case: String,
        /// The largest inner packet, in octets.
        largest: usize,
        /// The largest that is possible, in octets.
        max: usize,
    },
    /// The packet would need no fragments, and the mode is about fragments.
    #[error("{case}: fits the path of {mtu} octets in one piece: take at least {min} octets")]
    SizeTooSmall {
        /// The case.
        case: String,
        /// What the path carries, in octets.
        mtu: u16,
        /// The smallest inner packet that needs fragments, in octets.
        min: usize,
    },
    /// Some peers would get no packets.
    #[error("{flows} flows cannot reach {peers} peers: each needs one")]
    FewerFlowsThanPeers {
        /// Flows asked for.
        flows: u32,
        /// Peers asked for.
        peers: u32,
    },
    /// Options that do not suit each other.
    #[error("{case}: {reason}")]
    Unsuitable {
        /// The case.
        case: String,
        /// What does not suit it.
        reason: String,
    },
    /// A setting of `--compare` that is no string of options.
    #[error("--compare {setting:?}: {reason}")]
    Setting {
        /// The setting.
        setting: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A capture that is of no use.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// There are no cores to choose from.
    #[error("the system does not say which cores this process may run on")]
    NoCores,
    /// No such core, or it is not for this process.
    #[error("there is no core {0} that this process may run on")]
    NoSuchCore(CoreId),
    /// Each core needs ports of its own to be fed by.
    #[error("{case} on {cores} cores: it takes at most {max}")]
    TooManyCores {
        /// The case.
        case: String,
        /// Cores asked for.
        cores: usize,
        /// The most.
        max: usize,
    },
    /// DPDK refused something.
    #[error(transparent)]
    Dpdk(#[from] dpdk::Error),
    /// The preset cannot be placed on the cores.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The plan wants a queue that no port has.
    #[error(transparent)]
    Queue(#[from] MissingQueue),
    /// The set-up of the bench is wrong; the text says in what.
    #[error("the bench could not be set up: {0}")]
    Setup(&'static str),
    /// Packets were dropped where none should be.
    #[error("{case}: drops where none are expected: {}", named(drops))]
    Drops {
        /// The case.
        case: String,
        /// Packets by stage and reason.
        drops: BTreeMap<(&'static str, &'static str), u64>,
    },
    /// Packets neither left nor were counted as dropped in time.
    #[error("{case}: {expected} frames should have come out, {received} did")]
    Lost {
        /// The case.
        case: String,
        /// Frames that should leave for what went in; 0 if nothing went in.
        expected: u64,
        /// Frames that left.
        received: u64,
    },
    /// What left is not what should have.
    #[error("{case}: frames of {found:?} octets left, not of {expected:?}")]
    FrameLength {
        /// The case.
        case: String,
        /// The shortest and the longest frame that differ, by what the RFCs say of headers.
        expected: Vec<usize>,
        /// Those that left in their place.
        found: Vec<usize>,
    },
    /// A frame that left cannot be told from the others.
    #[error("{case}: a frame left that nobody sent")]
    Unknown {
        /// The case.
        case: String,
    },
    /// The report cannot be written.
    #[error("{}: {cause}", path.display())]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// The prompt cannot be read.
    #[error("the prompt: {0}")]
    Prompt(String),
    /// Traffic that was started at the prompt failed; the text was said there.
    #[error("{0} of what was started failed")]
    PromptFailed(u32),
    /// Lines that were read as commands are none, or do not suit; the text was said there.
    #[error("{0} of the commands were refused")]
    PromptRefused(u32),
}

impl Error {
    /// Whether the command line, or a file that it names, is wrong.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::NoSuchCore(_) | Self::FewerFlowsThanPeers { .. } | Self::Capture(_) => true,
            Self::PromptRefused(_)
            | Self::Setting { .. }
            | Self::Plan(_)
            | Self::TooManyCores { .. } => true,
            _ => self.is_of_the_mode(),
        }
    }

    /// Whether other modes would do with the same options.
    pub(crate) fn is_of_the_mode(&self) -> bool {
        matches!(
            self,
            Self::SizeTooLarge { .. }
                | Self::SizeTooSmall { .. }
                | Self::Unsuitable { .. }
                | Self::TooManyCores { .. }
        )
    }

    /// The error as a line of JSON: `{"error": TEXT}`, and for drops `"drops"`, their number, and
    /// `"drops_by_reason"`, that of each `STAGE.REASON`.
    #[must_use]
    pub fn json_line(&self) -> String {
        let mut line = serde_json::json!({ "error": self.to_string() });
        if let Self::Drops { drops, .. } = self {
            line["drops"] = drops.values().sum::<u64>().into();
            let named = drops.iter().map(|((stage, reason), count)| {
                (format!("{stage}.{reason}"), serde_json::Value::from(*count))
            });
            line["drops_by_reason"] = named.collect::<serde_json::Map<_, _>>().into();
        }
        format!("{line}\n")
    }
}

/// Drops for people: stage, reason and count of each.
fn named(drops: &BTreeMap<(&'static str, &'static str), u64>) -> String {
    let named = drops.iter().map(|((stage, reason), count)| format!("{stage} {reason} {count}"));
    named.collect::<Vec<_>>().join(", ")
}
