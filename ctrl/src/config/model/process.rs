//! `[system]` and `[pipeline]`: the process and its cores.

use std::path::PathBuf;

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
}

/// Placement of stages on cores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Every core runs all stages. `None`: cores are chosen at the start.
    RunToCompletion {
        /// Cores to use: none twice, at least one.
        cores: Option<Vec<Core>>,
    },
    /// Stages in a row over the cores. `None`: cores are chosen at the start.
    Pipeline {
        /// Cores to use: none twice, at least one.
        cores: Option<Vec<Core>>,
    },
    /// As written in `[[pipeline.stage]]`: no stage twice; `rx` and `tx` are there.
    Explicit {
        /// In the order of the file.
        stages: Vec<Placement>,
    },
}

/// One `[[pipeline.stage]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The stage.
    pub stage: Stage,
    /// Its cores: none twice, at least one.
    pub cores: Vec<Core>,
}

/// A logical core, as the operating system numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Core(pub u16);

/// What a core does when it finds no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// Polls again at once: lowest latency, the core is always at 100 %.
    Busy,
    /// Pauses, then sleeps in short steps until packets come.
    Adaptive,
}

/// A stage of the data path, as `[[pipeline.stage]]` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Takes packets from ports.
    Rx,
    /// Tells overlay, tunnel, ESP and local traffic apart.
    Classify,
    /// Joins fragments of outer packets.
    Reassemble,
    /// Verifies and decrypts ESP.
    EspOpen,
    /// Takes GRE off.
    GreDecap,
    /// Looks the destination up.
    Lookup,
    /// Clones multicast and broadcast packets.
    Replicate,
    /// Fragments inner packets.
    Fragment,
    /// Puts GRE on.
    GreEncap,
    /// Encrypts ESP.
    EspSeal,
    /// Fragments outer packets.
    FragmentOuter,
    /// Gives packets to ports.
    Tx,
    /// Hands packets to the control thread.
    Punt,
}

impl Stage {
    /// Every stage with its name, in the order in which a packet meets them.
    pub const NAMES: [(&'static str, Self); 13] = [
        ("rx", Self::Rx),
        ("classify", Self::Classify),
        ("reassemble", Self::Reassemble),
        ("esp_open", Self::EspOpen),
        ("gre_decap", Self::GreDecap),
        ("lookup", Self::Lookup),
        ("replicate", Self::Replicate),
        ("fragment", Self::Fragment),
        ("gre_encap", Self::GreEncap),
        ("esp_seal", Self::EspSeal),
        ("fragment_outer", Self::FragmentOuter),
        ("tx", Self::Tx),
        ("punt", Self::Punt),
    ];
}
