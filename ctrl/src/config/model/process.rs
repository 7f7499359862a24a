//! `[system]` and `[pipeline]`: the process and its cores.

use std::path::PathBuf;

use dataplane::engine::topology::{CoreId, Placement};

/// `[system]`: the process as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// Name of this gateway; also names the default control socket.
    pub name: String,
    /// Absolute path of the control socket, at most 107 octets (`sun_path` and its NUL).
    pub socket: PathBuf,
    /// Whether packet memory lies in huge pages.
    pub hugepages: Hugepages,
    /// Memory of the process without huge pages, in octets.
    pub memory_octets: u64,
    /// Packet buffers of the process.
    pub mbufs: u32,
    /// Least severity that is logged.
    pub log: LogLevel,
}

/// Where packet memory lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hugepages {
    /// Huge pages if there are enough of them, else ordinary memory.
    Auto,
    /// Huge pages, or the start fails.
    Require,
    /// Ordinary memory.
    Off,
}

/// Least severity that is logged, from silent to verbose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// And warnings.
    Warn,
    /// And changes of state.
    Info,
    /// And their causes.
    Debug,
    /// And single events.
    Trace,
}

/// `[pipeline]`: which stages run on which cores, and how cores wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// Placement of stages on cores.
    pub layout: Layout,
    /// What a core does when it finds no packet.
    pub poll: Poll,
    /// Packets taken in one turn, 1..=256.
    pub burst: u16,
    /// Slots of a ring between two cores, a power of two.
    pub ring: u32,
    /// Crypto device that does the AEAD of ESP, as DPDK names it; `None`: software.
    pub crypto: Option<String>,
}

/// Placement of stages on cores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Every core runs all stages. `None`: cores are chosen at the start.
    RunToCompletion {
        /// Cores to use: none twice, at least one.
        cores: Option<Vec<CoreId>>,
    },
    /// Stages in a row over the cores. `None`: cores are chosen at the start.
    Pipeline {
        /// Cores to use: none twice, at least one.
        cores: Option<Vec<CoreId>>,
    },
    /// One core with all state, the others seal and open for it. `None`: cores are chosen at the
    /// start.
    Elephant {
        /// Cores to use: none twice, at least one.
        cores: Option<Vec<CoreId>>,
    },
    /// As written in `[[pipeline.stage]]`: no stage twice; `rx` and `tx` are there.
    Explicit {
        /// In the order of the file.
        stages: Vec<Placement>,
    },
}

/// What a core does when it finds no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// Polls again at once: lowest latency, the core is always at 100 %.
    Busy,
    /// Pauses, then sleeps in short steps until packets come.
    Adaptive,
}
