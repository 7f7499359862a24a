//! The graph of stages as a value: which stages there are, how their outputs are wired, and on
//! which cores each one runs. [`plan`](super::plan::plan) turns a [`Topology`] into one program
//! per core.
//!
//! ```text
//! rx > classify > lookup > [fragment] > gre_encap > esp_seal > [fragment_outer] > tx
//!         |         ^ `> replicate > gre_encap …
//!         |> gre_decap
//!         |> esp_open > gre_decap > lookup > tx
//!         `> reassemble > esp_open | gre_decap
//! ```
//!
//! `cipher` stands beside the graph: `esp_seal` and `esp_open` deal batches to it, and get them
//! back.

use std::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

pub use self::presets::{elephant, explicit, pipeline, run_to_completion};

mod presets;
#[cfg(test)]
mod tests;

/// A processor core, by the number that the operating system gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct CoreId(pub u16);

impl fmt::Display for CoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A port, by its DPDK port number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct PortId(pub u16);

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A kind of stage. Its name is the one that the configuration and the CLI use.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum StageKind {
    /// Polls one receive queue of a port.
    Rx,
    /// Parses the headers and tells overlay, ESP, GRE, fragments and packets to us apart.
    Classify,
    /// Puts fragments addressed to us together again. Owns datagrams, by lane.
    Reassemble,
    /// Authenticates and decrypts ESP. Owns replay windows, by lane.
    EspOpen,
    /// Takes the GRE header off and finds the tunnel.
    GreDecap,
    /// Routes overlay packets.
    Lookup,
    /// Clones multicast packets, one for each peer.
    Replicate,
    /// Fragments inner packets, before encapsulation.
    Fragment,
    /// Prepends the outer headers. Owns GRE and ESP sequence counters, by lane.
    GreEncap,
    /// Encrypts and authenticates in place, with the sequence number that `gre_encap` wrote.
    EspSeal,
    /// Fragments outer packets, after encapsulation.
    FragmentOuter,
    /// Fills one transmit queue of a port.
    Tx,
    /// Hands packets to the control thread.
    Punt,
    /// Seals and opens for `esp_seal` and `esp_open` of other cores; no edge leads to it.
    Cipher,
}

impl StageKind {
    /// The names of the outputs; an output's index in this slice is its number everywhere else.
    #[must_use]
    pub const fn outputs(self) -> &'static [&'static str] {
        match self {
            Self::Rx => output::rx::NAMES,
            Self::Classify => output::classify::NAMES,
            Self::Reassemble => output::reassemble::NAMES,
            Self::EspOpen => output::esp_open::NAMES,
            Self::GreDecap => output::gre_decap::NAMES,
            Self::Lookup => output::lookup::NAMES,
            Self::Replicate => output::replicate::NAMES,
            Self::Fragment => output::fragment::NAMES,
            Self::GreEncap => output::gre_encap::NAMES,
            Self::EspSeal => output::esp_seal::NAMES,
            Self::FragmentOuter => output::fragment_outer::NAMES,
            Self::Tx | Self::Punt | Self::Cipher => &[],
        }
    }

    /// Whether instances of this kind are queues of ports, not placements.
    #[must_use]
    pub const fn is_queue(self) -> bool {
        matches!(self, Self::Rx | Self::Tx)
    }

    /// Whether the kind deals batches to each instance of `cipher` on another core.
    #[must_use]
    pub const fn deals(self) -> bool {
        matches!(self, Self::EspOpen | Self::EspSeal)
    }
}

/// The numbers of each stage's outputs, for example `output::lookup::ENCAP`.
pub mod output {
    /// The outputs of one stage, numbered as listed, and their names.
    macro_rules! outputs {
        ($stage:ident: $($name:literal $id:ident $doc:literal),+) => {
            #[doc = concat!("Outputs of `", stringify!($stage), "`.")]
            pub mod $stage {
                #[allow(clippy::upper_case_acronyms, reason = "named as the constants are")]
                enum Number { $($id),+ }
                $(#[doc = $doc] pub const $id: usize = Number::$id as usize;)+
                /// Names, by number.
                pub const NAMES: &[&str] = &[$($name),+];
            }
        };
    }

    outputs!(rx: "out" OUT "Every packet received. Lane: RSS hash, or the queue's number.");
    outputs!(classify:
        "overlay" OVERLAY "IP from an overlay port. Lane: flow hash.",
        "esp" ESP "ESP to us, bare or in UDP. Lane: the SA's.",
        "gre" GRE "GRE to us, in clear. Lane: hash of the outer addresses.",
        "fragment" FRAGMENT "Fragment to us. Lane: hash of source and destination.",
        "punt" PUNT "For the control thread. Lane: flow hash.");
    outputs!(reassemble:
        "esp" ESP "A whole ESP packet. Lane: the SA's.",
        "gre" GRE "A whole GRE packet. Lane: as `classify` sets it for an unfragmented one.",
        "punt" PUNT "A whole packet for the control thread. Lane: flow hash.");
    outputs!(esp_open:
        "gre" GRE "GRE found inside. Lane: the SA's.",
        "ip" IP "Inner IP of a tunnel-mode SA without GRE. Lane: the SA's, or flow hash.",
        "fragment" FRAGMENT "Inner IP fragment to us. Lane: as from `classify`.",
        "punt" PUNT "For the control thread. Lane: the SA's.");
    outputs!(gre_decap:
        "ip" IP "Inner IP. Lane: unchanged, or flow hash.",
        "punt" PUNT "NHRP and what else is the control thread's. Lane: unchanged.");
    outputs!(lookup:
        "encap" ENCAP "Into a tunnel. Lane: the tunnel peer's.",
        "fragment" FRAGMENT "Too big for its way out. Lane: the tunnel peer's, or flow hash.",
        "replicate" REPLICATE "Multicast. Lane: the group's.",
        "tx" TX "Out of a port as it is.",
        "punt" PUNT "For the control thread. Lane: unchanged.");
    outputs!(replicate:
        "encap" ENCAP "A clone into a tunnel. Lane: the tunnel peer's.",
        "fragment" FRAGMENT "A clone too big for its way out. Lane: the tunnel peer's.",
        "tx" TX "A clone out of a port.",
        "punt" PUNT "A clone for the control thread. Lane: unchanged.");
    outputs!(fragment:
        "encap" ENCAP "Fragments into a tunnel. Lane: unchanged, the tunnel peer's.",
        "tx" TX "Fragments out of a port.",
        "punt" PUNT "Too big with DF set: the control thread answers. Lane: unchanged.");
    outputs!(gre_encap:
        "seal" SEAL "Under an SA. Lane: unchanged, the tunnel peer's.",
        "fragment" FRAGMENT "In clear and too big for the underlay. Lane: unchanged.",
        "tx" TX "In clear.");
    outputs!(esp_seal:
        "fragment" FRAGMENT "Sealed and too big for the underlay. Lane: unchanged.",
        "tx" TX "Sealed.");
    outputs!(fragment_outer: "tx" TX "Fragments of an outer packet.");
}

/// How a packet finds its instance of the next stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Steer {
    /// The instance on the same core if there is one, else by lane: for stages without state.
    Any,
    /// Instance `lane % instances`, whichever core asks: what the lane names (an SA, a tunnel
    /// peer, a datagram) then has one owner, and its packets keep their order.
    Lane,
    /// A transmit queue of the packet's egress port: this core's if it has one, else always the
    /// same one of another core.
    Port,
}

/// One wire of the graph: an output of a stage to the input of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Edge {
    /// Where packets come from.
    pub from: StageKind,
    /// The output's number, an index into `from.outputs()`.
    pub output: usize,
    /// Where they go.
    pub to: StageKind,
    /// Which instance takes them.
    pub steer: Steer,
    /// Closes a cycle on purpose: on the same core, packets wait for the next turn of the loop.
    pub back: bool,
}

impl Edge {
    /// An edge that goes forward.
    #[must_use]
    pub const fn new(from: StageKind, output: usize, to: StageKind, steer: Steer) -> Self {
        Self { from, output, to, steer, back: false }
    }

    /// The same edge, declared to close a cycle.
    #[must_use]
    pub const fn backward(self) -> Self {
        Self { back: true, ..self }
    }

    /// The output's name, or `?` when the stage has no output of that number.
    #[must_use]
    pub fn output_name(&self) -> &'static str {
        self.from.outputs().get(self.output).copied().unwrap_or("?")
    }
}

/// `lookup.encap -> gre_encap`
impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} -> {}", self.from, self.output_name(), self.to)
    }
}

impl Serialize for Edge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut edge = serializer.serialize_struct("Edge", 5)?;
        edge.serialize_field("from", &self.from)?;
        edge.serialize_field("output", self.output_name())?;
        edge.serialize_field("to", &self.to)?;
        edge.serialize_field("steer", &self.steer)?;
        edge.serialize_field("back", &self.back)?;
        edge.end()
    }
}

/// How every gateway is wired; presets differ in cores, and in spreading two of the edges.
///
/// An edge is `Lane` where the next stage owns state: `reassemble` owns datagrams, `esp_open`
/// replay windows, `gre_encap` sequence counters. Every other stage is free of state, so `Any`
/// keeps the packet on its core, and its cache, when it can; a packet then follows the one before
/// it, and where it must change cores the lane keeps an SA, a peer or a flow together. So order
/// holds within each, but for packets that take the way through a fragmenting stage on another
/// core: those may be overtaken by smaller ones of the same flow, never within a sequence number's
/// scope, since `gre_encap` numbers after `fragment` and numbers each lane on one core.
///
/// `gre_decap` is `Any` although RFC 2890 receivers remember a sequence number: its packets
/// already come from one core per peer (RSS on the outer addresses, or the SA's owner), except
/// reassembled ones and those around a rekey. Steering all clear GRE by lane for the few tunnels
/// that check sequences would move most packets to another core for nothing, so that number is a
/// shared atomic of the peer, not state of the stage.
///
/// `esp_seal` is `Any`: keys are immutable and the sequence number is in the packet already.
///
/// `esp_open.fragment` closes a cycle (ESP in fragments that holds fragments). Each way round
/// takes a layer of headers off, so it ends.
pub const GRAPH: &[Edge] = {
    use StageKind::{
        Classify, EspOpen, EspSeal, Fragment, FragmentOuter, GreDecap, GreEncap, Lookup, Punt,
        Reassemble, Replicate, Rx, Tx,
    };
    use Steer::{Any, Lane, Port};
    use output::{
        classify, esp_open, esp_seal, fragment, fragment_outer, gre_decap, gre_encap, lookup,
        reassemble, replicate, rx,
    };
    &[
        Edge::new(Rx, rx::OUT, Classify, Any),
        Edge::new(Classify, classify::OVERLAY, Lookup, Any),
        Edge::new(Classify, classify::ESP, EspOpen, Lane),
        Edge::new(Classify, classify::GRE, GreDecap, Any),
        Edge::new(Classify, classify::FRAGMENT, Reassemble, Lane),
        Edge::new(Classify, classify::PUNT, Punt, Any),
        Edge::new(Reassemble, reassemble::ESP, EspOpen, Lane),
        Edge::new(Reassemble, reassemble::GRE, GreDecap, Any),
        Edge::new(Reassemble, reassemble::PUNT, Punt, Any),
        Edge::new(EspOpen, esp_open::GRE, GreDecap, Any),
        Edge::new(EspOpen, esp_open::IP, Lookup, Any),
        Edge::new(EspOpen, esp_open::FRAGMENT, Reassemble, Lane).backward(),
        Edge::new(EspOpen, esp_open::PUNT, Punt, Any),
        Edge::new(GreDecap, gre_decap::IP, Lookup, Any),
        Edge::new(GreDecap, gre_decap::PUNT, Punt, Any),
        Edge::new(Lookup, lookup::ENCAP, GreEncap, Lane),
        Edge::new(Lookup, lookup::FRAGMENT, Fragment, Any),
        Edge::new(Lookup, lookup::REPLICATE, Replicate, Any),
        Edge::new(Lookup, lookup::TX, Tx, Port),
        Edge::new(Lookup, lookup::PUNT, Punt, Any),
        Edge::new(Replicate, replicate::ENCAP, GreEncap, Lane),
        Edge::new(Replicate, replicate::FRAGMENT, Fragment, Any),
        Edge::new(Replicate, replicate::TX, Tx, Port),
        Edge::new(Replicate, replicate::PUNT, Punt, Any),
        Edge::new(Fragment, fragment::ENCAP, GreEncap, Lane),
        Edge::new(Fragment, fragment::TX, Tx, Port),
        Edge::new(Fragment, fragment::PUNT, Punt, Any),
        Edge::new(GreEncap, gre_encap::SEAL, EspSeal, Any),
        Edge::new(GreEncap, gre_encap::FRAGMENT, FragmentOuter, Any),
        Edge::new(GreEncap, gre_encap::TX, Tx, Port),
        Edge::new(EspSeal, esp_seal::FRAGMENT, FragmentOuter, Any),
        Edge::new(EspSeal, esp_seal::TX, Tx, Port),
        Edge::new(FragmentOuter, fragment_outer::TX, Tx, Port),
    ]
};

/// A stage and its cores: instance `i` runs on `cores[i]`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Placement {
    /// Which stage; never `rx` or `tx`, which follow from the ports.
    pub stage: StageKind,
    /// One core for each instance.
    pub cores: Vec<CoreId>,
}

/// What there is to know of a port before its queues are placed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PortSpec {
    /// DPDK's number.
    pub id: PortId,
    /// The configuration's name.
    pub name: String,
    /// Whether it faces the underlay; presets put its transmit queues where its packets come from.
    pub underlay: bool,
    /// Receive queues that the device can have.
    pub rx_queues_max: u16,
    /// Transmit queues that the device can have.
    pub tx_queues_max: u16,
}

/// A port and the cores of its queues.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PortPlacement {
    /// The port.
    pub spec: PortSpec,
    /// Receive queue `i` is polled by `rx[i]`.
    pub rx: Vec<CoreId>,
    /// Transmit queue `i` is filled by `tx[i]`.
    pub tx: Vec<CoreId>,
}

/// The whole graph, placed. A value: presets make it, [`plan`](super::plan::plan) checks it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Topology {
    /// The cores that may be used.
    pub cores: Vec<CoreId>,
    /// Every stage but `rx` and `tx`; `cipher` only where ESP is dealt to other cores.
    pub placements: Vec<Placement>,
    /// Every port; they bring the instances of `rx` and `tx`.
    pub ports: Vec<PortPlacement>,
    /// One edge for each output of each stage.
    pub edges: Vec<Edge>,
}

impl Topology {
    /// The cores of a placed stage; none for `rx`, `tx` and a stage without placement.
    #[must_use]
    pub fn cores_of(&self, stage: StageKind) -> &[CoreId] {
        self.placements.iter().find(|p| p.stage == stage).map_or(&[], |p| &p.cores)
    }
}
