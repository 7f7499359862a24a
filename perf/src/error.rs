//! Why there is no figure.

use dataplane::engine::assembly::MissingQueue;
use dataplane::engine::plan::PlanError;
use dataplane::engine::topology::CoreId;

use crate::mode::Mode;

/// Why a bench could not be run, or its figures cannot be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The packet would have to be fragmented.
    #[error("{} of {size} octets: at most {max} fit the path MTU without fragments", mode.name())]
    SizeTooLarge {
        /// The mode.
        mode: Mode,
        /// The inner packet that was asked for, in octets.
        size: u16,
        /// The largest inner packet, in octets.
        max: u16,
    },
    /// Some peers would get no packets.
    #[error("{flows} flows cannot reach {peers} peers: each needs one")]
    FewerFlowsThanPeers {
        /// Flows asked for.
        flows: u32,
        /// Peers asked for.
        peers: u32,
    },
    /// There are no cores to choose from.
    #[error("the system does not say which cores this process may run on")]
    NoCores,
    /// No such core, or it is not for this process.
    #[error("there is no core {0} that this process may run on")]
    NoSuchCore(CoreId),
    /// Each core needs ports of its own to be fed by.
    #[error("{cores} cores: a bench takes at most {max}")]
    TooManyCores {
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
    #[error("{} of {size} octets: drops where none are expected: {drops}", mode.name())]
    Drops {
        /// The mode.
        mode: Mode,
        /// Octets of the inner packets.
        size: u16,
        /// Stage, reason and count of each.
        drops: String,
    },
    /// Packets neither left nor were counted as dropped in time.
    #[error("{} of {size} octets: {sent} packets went in, {received} came out", mode.name())]
    Lost {
        /// The mode.
        mode: Mode,
        /// Octets of the inner packets.
        size: u16,
        /// Packets that went in.
        sent: u64,
        /// Packets that came out.
        received: u64,
    },
    /// What left is not what should have.
    #[error("{} of {size} octets: a frame of {found} octets left, not of {expected}", mode.name())]
    FrameLength {
        /// The mode.
        mode: Mode,
        /// Octets of the inner packet.
        size: u16,
        /// Octets of the frame, by what the RFCs say of headers.
        expected: usize,
        /// Octets of the frame that left.
        found: usize,
    },
}
