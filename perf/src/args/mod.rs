//! The command line.
//!
//! [`Options`] say what is measured. Each may be left out; what is then meant is decided when
//! cases are made of them ([`crate::case`]), so that settings of `--compare` and of the prompt are
//! options as well, laid over those of the command line.

#[cfg(test)]
mod tests;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use aead::{Algorithm, Backend};
use clap::builder::PossibleValue;
use clap::{Parser, ValueEnum};

pub use self::values::Load;
use self::values::{algorithms, backends, counts, seconds};
use crate::addresses::{FLOWS_MAX, PEERS_MAX};
use crate::mode::Mode;
use crate::size::SizeSelection;

const AFTER_HELP: &str = "\
Cost is counted in TSC cycles of the worker cores per packet put in, with input ready in memory.
A drop is an error: then there is no figure. docs/bench.md says how to read the report.

imix is seven packets of 64, four of 594 and one of 1442 octets: the usual one of 1518 is cut to
what a path of 1500 octets carries under GRE and ESP. Packets that need more get links and paths of
9216 octets (jumbo), except in fragment and reassemble, whose path stays at 1500.

Exit codes:
  0  done
  1  the bench failed: drops, lost packets, no memory
  2  the command line or a capture is wrong

Examples:
  greyhound bench --mode encrypt --size 64,1400,imix --aead aes256gcm16 --peers 1,1000
  greyhound bench --mode forward --size 64 --load 50%          latency at half load
  greyhound bench --mode decrypt --compare '--burst 32' '--burst 256'
  greyhound bench --report bench-report
  greyhound bench --interactive";

/// Measures what a packet costs, in TSC cycles, stage by stage. Needs no NIC, no root, no
/// hugepages.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(after_long_help = AFTER_HELP)]
pub struct Args {
    /// What is measured.
    #[command(flatten)]
    pub options: Options,

    /// Seconds that each run takes
    #[arg(long, default_value = "0.02", value_parser = seconds)]
    pub duration: Duration,

    /// Runs of each case: many short ones, so that some are undisturbed; their median is reported
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,

    /// One JSON object a line for each case, instead of tables
    #[arg(long, conflicts_with = "interactive")]
    pub json: bool,

    /// Also write DIR/index.html: a page with plots and tables
    #[arg(long, value_name = "DIR", conflicts_with_all = ["interactive", "compare"])]
    pub report: Option<PathBuf>,

    /// Run two settings alternately and give the ratio B/A of what they cost. Each is a string of
    /// options that override the common ones, as '--burst 32' '--burst 256'
    #[arg(long, num_args = 2, value_names = ["A", "B"], allow_hyphen_values = true)]
    #[arg(conflicts_with_all = ["interactive", "load"])]
    pub compare: Vec<String>,

    /// A prompt: start, stop, show stages, set burst 32 …; help lists them
    #[arg(long)]
    pub interactive: bool,
}

/// What is measured. What is left out has a default, or is as before.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct Options {
    /// What to measure [default: all]
    #[arg(long, value_delimiter = ',')]
    pub mode: Vec<ModeSelection>,

    /// Inner packets: octets with their IP header, imix, or a capture (FILE.pcap, FILE.pcapng)
    /// [default: 64,512,1400,imix; 1500 for fragment and reassemble]
    #[arg(long, value_delimiter = ',')]
    pub size: Vec<SizeSelection>,

    /// A capture whose IP packets are the inner packets, as --size FILE
    #[arg(long, value_name = "FILE")]
    pub pcap: Vec<PathBuf>,

    /// Tunnel peers, each with an SA of its own in each direction [default: 1; 8 for replicate]
    #[arg(long, value_delimiter = ',', value_parser = counts(PEERS_MAX))]
    pub peers: Vec<u32>,

    /// Flows, spread evenly over the peers [default: 64, or one for each peer]
    #[arg(long, value_parser = counts(FLOWS_MAX))]
    pub flows: Option<u32>,

    /// ESP transform [default: aes128gcm16]
    #[arg(long, value_parser = algorithms())]
    pub aead: Option<Algorithm>,

    /// AEAD back end [default: the fastest on this machine]
    #[arg(long, value_parser = backends())]
    pub backend: Option<Backend>,

    /// How stages are placed on cores [default: run-to-completion]
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,

    /// Cores to run on [default: the last one, or as many of the last as the preset needs]
    #[arg(long, value_delimiter = ',')]
    pub cores: Vec<u16>,

    /// Most packets that are taken at a time [default: 128]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub burst: Option<u16>,

    /// Also measure latency, at this share of the rate just measured: 50, 50% or 0.5
    #[arg(long, value_name = "PERCENT")]
    pub load: Option<Load>,
}

/// A mode, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModeSelection {
    /// Every mode.
    All,
    /// This one.
    One(Mode),
}

impl ValueEnum for ModeSelection {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::All,
            Self::One(Mode::Forward),
            Self::One(Mode::GreEncap),
            Self::One(Mode::GreDecap),
            Self::One(Mode::Encrypt),
            Self::One(Mode::Decrypt),
            Self::One(Mode::Hub),
            Self::One(Mode::Fragment),
            Self::One(Mode::Reassemble),
            Self::One(Mode::Replicate),
            Self::One(Mode::Bidirectional),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::All => Some(
                PossibleValue::new("all").help("Each of the others, at the sizes that suit it"),
            ),
            Self::One(mode) => mode.to_possible_value(),
        }
    }
}

/// How stages are placed on cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Every stage on every core
    RunToCompletion,
    /// GRE, ESP and fragmentation on cores of their own
    Pipeline,
    /// Everything on the first core; the others seal and open what it deals to them
    Elephant,
}

impl Preset {
    /// The name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RunToCompletion => "run-to-completion",
            Self::Pipeline => "pipeline",
            Self::Elephant => "elephant",
        }
    }

    /// Cores that it is given unless some are named.
    pub(crate) const fn cores(self) -> usize {
        match self {
            Self::RunToCompletion => 1,
            Self::Pipeline | Self::Elephant => 2,
        }
    }
}

/// Options alone, as `--compare` and the prompt give them.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Setting {
    #[command(flatten)]
    options: Options,
}

impl Options {
    /// Reads words that name options.
    ///
    /// # Errors
    /// What is wrong with them, in one line.
    pub(crate) fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let words = words.into_iter().filter(|word| !word.is_empty());
        let setting = Setting::try_parse_from(words.collect::<Vec<_>>());
        setting.map(|setting| setting.options).map_err(|error| {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        })
    }

    /// These, and those of `common` that are left out here.
    pub(crate) fn over(&self, common: &Self) -> Self {
        fn list<T: Clone>(these: &[T], common: &[T]) -> Vec<T> {
            if these.is_empty() { common.to_vec() } else { these.to_vec() }
        }
        // A capture is a size by another name: naming either replaces both.
        let sizes = if self.size.is_empty() && self.pcap.is_empty() { common } else { self };
        Self {
            mode: list(&self.mode, &common.mode),
            size: sizes.size.clone(),
            pcap: sizes.pcap.clone(),
            peers: list(&self.peers, &common.peers),
            flows: self.flows.or(common.flows),
            aead: self.aead.or(common.aead),
            backend: self.backend.or(common.backend),
            preset: self.preset.or(common.preset),
            cores: list(&self.cores, &common.cores),
            burst: self.burst.or(common.burst),
            load: self.load.or(common.load),
        }
    }
}
