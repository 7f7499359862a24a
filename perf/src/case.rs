//! Cases: what the options ask for, checked, with every default filled in.

use std::sync::Arc;

use aead::{Algorithm, Backend};
use clap::ValueEnum;
use dataplane::engine::topology::CoreId;

use crate::addresses::{PEERS_BIDIRECTIONAL_MAX, PEERS_REPLICATE_MAX};
use crate::args::{Load, ModeSelection, Options, Preset};
use crate::capture::Capture;
use crate::error::Error;
use crate::mode::{Mode, Way};
use crate::size::{Size, SizeSelection};

/// One thing to measure.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) mode: Mode,
    pub(crate) size: Size,
    pub(crate) peers: u32,
    pub(crate) flows: u32,
    pub(crate) aead: Algorithm,
    pub(crate) backend: Backend,
    pub(crate) preset: Preset,
    pub(crate) cores: Vec<CoreId>,
    pub(crate) burst: usize,
    /// Largest IP packet of every link, in octets.
    pub(crate) mtu: u16,
    pub(crate) load: Option<Load>,
}

/// Octets of IP that a link carries, and one of jumbo frames.
const MTU: u16 = 1500;
const MTU_JUMBO: u16 = 9216;
/// Flows unless said otherwise: enough to fill the outputs of a hash, few enough to stay in cache.
const FLOWS: u32 = 64;
const PEERS: u32 = 1;
const PEERS_REPLICATE: u32 = 8;
/// With their headers and notes, so many packets stay in a first-level cache.
const BURST: u16 = 128;
const SIZES: [SizeSelection; 4] = [
    SizeSelection::Octets(64),
    SizeSelection::Octets(512),
    SizeSelection::Octets(1400),
    SizeSelection::Imix,
];
const SIZES_OVERSIZE: [SizeSelection; 1] = [SizeSelection::Octets(1500)];
/// DPDK's limit (`RTE_MAX_ETHPORTS`).
const PORTS_MAX: usize = 32;
/// An index behind an IPv4 and a UDP header.
const SIZE_STAMPED_MIN: usize = 36;

impl Case {
    /// Octets of IP that the path between peers carries: less than links where packets are cut.
    pub(crate) fn path_mtu(&self) -> u16 {
        if self.mode.is_oversize() { MTU } else { self.mtu }
    }

    /// How many frames reach the gateway for each packet put in.
    pub(crate) fn frames_in(&self) -> usize {
        self.mode.arriving(self.size.largest(), self.path_mtu().into())
    }

    /// How many frames leave the gateway for each packet put in.
    pub(crate) fn frames_out(&self) -> usize {
        let (way, path) = (self.mode.ways()[0], self.path_mtu().into());
        self.mode.frames(way, self.size.largest(), path, self.peers as usize).len()
    }

    /// Packets that a source puts in at a time: what arrives of them, or the copies made of them,
    /// are a burst.
    pub(crate) fn feed(&self) -> usize {
        let copies = if self.mode == Mode::Replicate { self.peers as usize } else { 1 };
        (self.burst / copies.max(self.frames_in())).max(1)
    }

    /// Most packets on their way at a time: enough that no core of a pipeline waits for another.
    pub(crate) fn on_their_way_max(&self) -> usize {
        4 * self.feed() * self.cores.len() * self.mode.ways().len()
    }

    /// Most frames that these are at any place.
    pub(crate) fn frames_on_their_way_max(&self) -> usize {
        self.on_their_way_max() * self.frames_in().max(self.frames_out())
    }

    /// Peers with tunnels: a hub never sends back to where a packet came from, so it has two.
    pub(crate) fn tunnel_peers(&self) -> u32 {
        if self.mode == Mode::Hub { self.peers.max(2) } else { self.peers }
    }

    /// The peer that a hub passes packets of a peer on to.
    pub(crate) fn next_peer(&self, peer: u32) -> u32 {
        (peer + 1) % self.tunnel_peers()
    }

    /// Sources of each way.
    pub(crate) fn sources(&self) -> usize {
        match self.preset {
            Preset::RunToCompletion => self.cores.len(),
            Preset::Pipeline | Preset::Elephant => 1,
        }
    }

    /// As errors name it.
    pub(crate) fn title(&self) -> String {
        format!("{} of {}", self.mode.name(), self.size)
    }
}

impl Options {
    /// What to measure, in the order in which it is reported. Cores are chosen from `available`.
    ///
    /// # Errors
    /// What does not fit together, and captures that are of no use.
    pub(crate) fn cases(&self, available: &[CoreId]) -> Result<Vec<Case>, Error> {
        let sizes = self.sizes()?;
        let mut cases = Vec::new();
        let mut unfit = None;
        for mode in self.modes() {
            for peers in self.peers_of(mode) {
                for size in sizes.as_ref().unwrap_or(&default_sizes(mode)) {
                    match self.case(mode, peers, size.clone(), available) {
                        Ok(case) => cases.push(case),
                        Err(error) if self.is_named(mode) || !error.is_of_the_mode() => {
                            return Err(error);
                        }
                        Err(error) => unfit = Some(error),
                    }
                }
            }
        }
        match unfit {
            Some(error) if cases.is_empty() => Err(error),
            _ => Ok(cases),
        }
    }

    fn case(
        &self,
        mode: Mode,
        peers: u32,
        size: Size,
        available: &[CoreId],
    ) -> Result<Case, Error> {
        let flows = self.flows.unwrap_or(FLOWS.max(peers));
        let preset = self.preset.unwrap_or(Preset::RunToCompletion);
        let needed = size.largest();
        let inner_max = |mtu: u16| match mode.is_oversize() {
            true => usize::from(mtu),
            false => mode.inner_max(mtu.into()),
        };
        let case = Case {
            mtu: if needed <= inner_max(MTU) { MTU } else { MTU_JUMBO },
            mode,
            peers,
            flows,
            aead: self.aead.unwrap_or(Algorithm::Aes128Gcm16),
            backend: self.backend.unwrap_or_default(),
            preset,
            cores: self.chosen_cores(preset, available)?,
            burst: self.burst.unwrap_or(BURST).into(),
            load: self.load,
            size,
        };
        let max = inner_max(MTU_JUMBO);
        if needed > max {
            return Err(Error::SizeTooLarge { case: case.title(), largest: needed, max });
        }
        case.check(self.flows.is_some())?;
        Ok(case)
    }

    /// The sizes named, if any are.
    fn sizes(&self) -> Result<Option<Vec<Size>>, Error> {
        let captures = self.pcap.iter().cloned().map(SizeSelection::Capture);
        let named = self.size.iter().cloned().chain(captures);
        let sizes: Vec<_> = named.map(|size| read(&size)).collect::<Result<_, _>>()?;
        Ok(Some(sizes).filter(|sizes| !sizes.is_empty()))
    }

    fn modes(&self) -> Vec<Mode> {
        let all = self.mode.is_empty() || self.mode.contains(&ModeSelection::All);
        let chosen = |mode: &&Mode| all || self.is_named(**mode);
        Mode::value_variants().iter().filter(chosen).copied().collect()
    }

    fn is_named(&self, mode: Mode) -> bool {
        self.mode.contains(&ModeSelection::One(mode))
    }

    fn peers_of(&self, mode: Mode) -> Vec<u32> {
        match self.peers.is_empty() {
            true if mode == Mode::Replicate => vec![PEERS_REPLICATE],
            true => vec![PEERS],
            false => self.peers.clone(),
        }
    }

    /// Unless they are named, the last cores: interrupts and other work are usually on the first.
    fn chosen_cores(&self, preset: Preset, available: &[CoreId]) -> Result<Vec<CoreId>, Error> {
        let named: Vec<_> = self.cores.iter().copied().map(CoreId).collect();
        if let Some(core) = named.iter().find(|core| !available.contains(core)) {
            return Err(Error::NoSuchCore(*core));
        }
        match available.len() {
            0 => Err(Error::NoCores),
            all if named.is_empty() => Ok(available[all.saturating_sub(preset.cores())..].to_vec()),
            _ => Ok(named),
        }
    }
}

fn read(size: &SizeSelection) -> Result<Size, Error> {
    Ok(match size {
        SizeSelection::Octets(octets) => Size::Octets(*octets),
        SizeSelection::Imix => Size::Imix,
        SizeSelection::Capture(path) => Size::Capture(Arc::new(Capture::read(path)?)),
    })
}

fn default_sizes(mode: Mode) -> Vec<Size> {
    let sizes = if mode.is_oversize() { &SIZES_OVERSIZE[..] } else { &SIZES[..] };
    sizes.iter().filter_map(|size| read(size).ok()).collect()
}

/// What suits what.
impl Case {
    fn check(&self, flows_given: bool) -> Result<(), Error> {
        let Self { mode, peers, flows, .. } = self;
        if flows < peers && *mode != Mode::Replicate {
            return Err(Error::FewerFlowsThanPeers { flows: *flows, peers: *peers });
        }
        let peers_max = match mode {
            Mode::Bidirectional => PEERS_BIDIRECTIONAL_MAX,
            Mode::Replicate => PEERS_REPLICATE_MAX,
            _ => *peers,
        };
        if *peers > peers_max {
            return Err(self.unsuitable(format!("{peers} peers: it takes at most {peers_max}")));
        }
        let max = self.cores_max();
        if self.cores.len() > max {
            return Err(Error::TooManyCores { case: self.title(), cores: self.cores.len(), max });
        }
        match &self.size {
            Size::Octets(size) => {
                let min = mode.inner_max(MTU.into()) + 1;
                if mode.is_oversize() && usize::from(*size) < min {
                    return Err(Error::SizeTooSmall { case: self.title(), mtu: MTU, min });
                }
            }
            Size::Imix if mode.is_oversize() => {
                return Err(self.unsuitable("it takes packets of one size"));
            }
            Size::Imix => {}
            Size::Capture(_) => self.check_capture(flows_given)?,
        }
        if self.load.is_some() { self.check_load() } else { Ok(()) }
    }

    fn check_capture(&self, flows_given: bool) -> Result<(), Error> {
        if flows_given {
            return Err(self.unsuitable("the flows are those of the capture: leave out --flows"));
        }
        let reason = match self.mode {
            Mode::Fragment | Mode::Reassemble => "it takes packets of one size",
            Mode::Replicate => "it takes packets to a group, which a capture seldom has",
            Mode::Bidirectional => "a capture does not say which way its packets go",
            mode if mode.ways()[0].leaves_tunnel() && self.sources() > 1 => {
                "one SA would be used by several sources: take one core, or a pipeline"
            }
            _ => return Ok(()),
        };
        Err(self.unsuitable(reason))
    }

    fn check_load(&self) -> Result<(), Error> {
        let reason = match (&self.size, self.sources()) {
            (Size::Capture(_), _) => "latency needs packets that are marked: not of a capture",
            (_, 2..) => "latency is measured on one core, or on a pipeline",
            (Size::Octets(size), _) if usize::from(*size) < SIZE_STAMPED_MIN => {
                "latency needs packets of at least 36 octets"
            }
            _ => return Ok(()),
        };
        Err(self.unsuitable(reason))
    }

    fn unsuitable(&self, reason: impl Into<String>) -> Error {
        Error::Unsuitable { case: self.title(), reason: reason.into() }
    }

    /// Each core has ports of its own to be fed by, and each way one to send on, which is two
    /// while it is looked at.
    fn cores_max(&self) -> usize {
        let ports = |way: &Way| if way.leaves_tunnel() { 4 } else { 2 };
        let ways = self.mode.ways();
        match self.preset {
            Preset::Pipeline | Preset::Elephant => usize::MAX,
            Preset::RunToCompletion => {
                (PORTS_MAX - 2 * ways.len()) / ways.iter().map(ports).sum::<usize>()
            }
        }
    }
}

/// The cores that this process may run on.
pub(crate) fn available_cores() -> Vec<CoreId> {
    let all = core_affinity::get_core_ids().unwrap_or_default();
    all.iter().filter_map(|core| u16::try_from(core.id).ok()).map(CoreId).collect()
}
