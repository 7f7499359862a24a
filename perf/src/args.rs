//! The command line, and the cases that it asks for.

use std::ops::RangeInclusive;
use std::time::Duration;

use aead::Algorithm;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Parser, ValueEnum};
use dataplane::engine::topology::CoreId;

use crate::addresses::{FLOWS_MAX, PEERS_MAX};
use crate::error::Error;
use crate::mode::Mode;
use crate::tables;

/// Measures what a packet costs, in TSC cycles, stage by stage. Needs no NIC, no root, no
/// hugepages.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
pub struct Args {
    /// What to measure
    #[arg(long, value_delimiter = ',', default_value = "all")]
    pub mode: Vec<ModeSelection>,

    /// Octets of the inner IPv4 packets
    #[arg(long, value_delimiter = ',', default_value = "64,512,1400", value_parser = sizes())]
    pub size: Vec<u16>,

    /// Tunnel peers, each with an SA of its own in each direction
    #[arg(long, default_value_t = 1, value_parser = counts(PEERS_MAX))]
    pub peers: u32,

    /// Flows, spread evenly over the peers [default: 64, or one for each peer]
    #[arg(long, value_parser = counts(FLOWS_MAX))]
    pub flows: Option<u32>,

    /// ESP transform
    #[arg(long, default_value = Algorithm::Aes128Gcm16.name(), value_parser = algorithms())]
    pub aead: Algorithm,

    /// How stages are placed on cores
    #[arg(long, value_enum, default_value_t = Preset::RunToCompletion)]
    pub preset: Preset,

    /// Cores to run on [default: the last one, or the last two for a pipeline]
    #[arg(long, value_delimiter = ',')]
    pub cores: Vec<u16>,

    /// Most packets that are taken at a time
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub burst: u16,

    /// Seconds that each run takes
    #[arg(long, default_value = "0.02", value_parser = seconds)]
    pub duration: Duration,

    /// Runs of each case: many short ones, so that some are undisturbed; their median is reported
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,

    /// One JSON object a line for each case, instead of tables
    #[arg(long)]
    pub json: bool,
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
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::All => Some(PossibleValue::new("all").help("Each of the others")),
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
}

impl Preset {
    /// The name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RunToCompletion => "run-to-completion",
            Self::Pipeline => "pipeline",
        }
    }
}

/// One thing to measure, checked.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) mode: Mode,
    /// Octets of the inner packets.
    pub(crate) size: u16,
    pub(crate) peers: u32,
    pub(crate) flows: u32,
    pub(crate) aead: Algorithm,
    pub(crate) preset: Preset,
    pub(crate) cores: Vec<CoreId>,
    pub(crate) burst: usize,
}

impl Case {
    /// Most packets on their way at a time: enough that no core of a pipeline waits for another.
    pub(crate) fn on_their_way_max(&self) -> usize {
        4 * self.burst * self.cores.len()
    }
}

impl Args {
    /// What to measure, in the order in which it is reported. Cores are chosen from `available`.
    pub(crate) fn cases(&self, available: &[CoreId]) -> Result<Vec<Case>, Error> {
        let flows = self.flows.unwrap_or(FLOWS.max(self.peers));
        if flows < self.peers {
            return Err(Error::FewerFlowsThanPeers { flows, peers: self.peers });
        }
        let cores = self.chosen_cores(available)?;
        let case = |(mode, size)| {
            let max = tables::size_max(mode);
            if size > max {
                return Err(Error::SizeTooLarge { mode, size, max });
            }
            Ok(Case {
                mode,
                size,
                peers: self.peers,
                flows,
                aead: self.aead,
                preset: self.preset,
                cores: cores.clone(),
                burst: self.burst.into(),
            })
        };
        let modes = self.modes();
        modes
            .iter()
            .flat_map(|mode| self.size.iter().map(|size| (*mode, *size)))
            .map(case)
            .collect()
    }

    fn modes(&self) -> Vec<Mode> {
        let chosen = |mode: &&Mode| {
            self.mode.contains(&ModeSelection::All)
                || self.mode.contains(&ModeSelection::One(**mode))
        };
        Mode::value_variants().iter().filter(chosen).copied().collect()
    }

    /// Unless they are named, the last cores: interrupts and other work are usually on the first.
    fn chosen_cores(&self, available: &[CoreId]) -> Result<Vec<CoreId>, Error> {
        let named: Vec<_> = self.cores.iter().copied().map(CoreId).collect();
        if let Some(core) = named.iter().find(|core| !available.contains(core)) {
            return Err(Error::NoSuchCore(*core));
        }
        if named.len() > CORES_MAX {
            return Err(Error::TooManyCores { cores: named.len(), max: CORES_MAX });
        }
        let wanted = match self.preset {
            Preset::RunToCompletion => 1,
            Preset::Pipeline => 2,
        };
        match available.len() {
            0 => Err(Error::NoCores),
            all if named.is_empty() => Ok(available[all.saturating_sub(wanted)..].to_vec()),
            _ => Ok(named),
        }
    }
}

/// Flows unless said otherwise: enough to fill the outputs of a hash, few enough to stay in cache.
const FLOWS: u32 = 64;
/// A core needs up to four ports to be fed by, and the gateway one to send on, of DPDK's 32.
const CORES_MAX: usize = 7;
/// An IPv4 and a UDP header.
const SIZE_MIN: u16 = 28;

/// The cores that this process may run on.
pub(crate) fn available_cores() -> Vec<CoreId> {
    let all = core_affinity::get_core_ids().unwrap_or_default();
    all.iter().filter_map(|core| u16::try_from(core.id).ok()).map(CoreId).collect()
}

fn sizes() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(i64::from(SIZE_MIN)..)
}

fn counts(max: u32) -> clap::builder::RangedI64ValueParser<u32> {
    let range: RangeInclusive<i64> = 1..=i64::from(max);
    clap::value_parser!(u32).range(range)
}

fn algorithms() -> impl TypedValueParser<Value = Algorithm> {
    let names = Algorithm::ALL.map(Algorithm::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Algorithm>())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if (DURATION_MIN..=DURATION_MAX).contains(&duration) => Ok(duration),
        _ => Err("0.001 to 3600 seconds are possible".to_owned()),
    }
}

/// Below this, starting and draining would be measured more than the packets.
const DURATION_MIN: Duration = Duration::from_millis(1);
const DURATION_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("bench").chain(line.split_whitespace()))
    }

    const CORES: [CoreId; 8] =
        [CoreId(0), CoreId(1), CoreId(2), CoreId(3), CoreId(4), CoreId(5), CoreId(6), CoreId(9)];

    fn case_names(line: &str) -> Vec<String> {
        let cases = args(line).unwrap().cases(&CORES).unwrap();
        cases.iter().map(|case| format!("{} {}", case.mode.name(), case.size)).collect()
    }

    #[test]
    fn defaults() {
        let args = args("").unwrap();
        let cases = args.cases(&CORES).unwrap();
        assert_eq!(cases.len(), 5 * 3);
        let first = &cases[0];
        assert_eq!((first.mode, first.size), (Mode::Forward, 64));
        assert_eq!((first.peers, first.flows, first.burst), (1, 64, 256));
        assert_eq!((first.aead, first.preset), (Algorithm::Aes128Gcm16, Preset::RunToCompletion));
        assert_eq!(first.cores, [CoreId(9)]);
        assert_eq!((args.duration, args.runs, args.json), (Duration::from_millis(20), 25, false));
    }

    #[test]
    fn lists_and_their_order() {
        assert_eq!(
            case_names("--mode decrypt,forward --size 1400,64"),
            ["forward 1400", "forward 64", "decrypt 1400", "decrypt 64"]
        );
        assert_eq!(case_names("--mode encrypt --mode all --size 28").len(), 5);
        assert_eq!(case_names("--mode encrypt,encrypt --size 28"), ["encrypt 28"]);
    }

    #[test]
    fn every_option() {
        let args = args(
            "--mode gre-encap,gre-decap --size 576 --peers 1000 --flows 4000 --aead aes256gcm16 \
             --preset pipeline --cores 2,3 --burst 32 --duration 1.5 --runs 3 --json",
        );
        let args = args.unwrap();
        assert!(args.json);
        assert_eq!((args.duration, args.runs), (Duration::from_millis(1500), 3));
        let cases = args.cases(&CORES).unwrap();
        assert_eq!(cases.len(), 2);
        let case = &cases[1];
        assert_eq!((case.mode, case.size), (Mode::GreDecap, 576));
        assert_eq!((case.peers, case.flows, case.burst), (1000, 4000, 32));
        assert_eq!((case.aead, case.preset), (Algorithm::Aes256Gcm16, Preset::Pipeline));
        assert_eq!(case.cores, [CoreId(2), CoreId(3)]);
    }

    #[test]
    fn refused_by_the_parser() {
        for line in [
            "--mode none",
            "--size 27",
            "--size 65536",
            "--size ,",
            "--peers 0",
            "--peers 65535",
            "--flows 0",
            "--aead aes192gcm16",
            "--preset elephant",
            "--cores x",
            "--burst 0",
            "--burst 257",
            "--duration 0",
            "--duration -1",
            "--duration NaN",
            "--duration 1e9",
            "--runs 0",
            "--unknown",
        ] {
            assert!(args(line).is_err(), "{line}");
        }
    }

    #[test]
    fn refused_because_they_do_not_fit_together() {
        let refused = |line: &str| args(line).unwrap().cases(&CORES).unwrap_err().to_string();
        assert_eq!(
            refused("--peers 100 --flows 99"),
            "99 flows cannot reach 100 peers: each needs one"
        );
        assert_eq!(
            refused("--mode encrypt --size 1443"),
            "encrypt of 1443 octets: at most 1442 fit the path MTU without fragments"
        );
        assert_eq!(
            refused("--mode gre-decap --size 1477"),
            "gre-decap of 1477 octets: at most 1476 fit the path MTU without fragments"
        );
        assert_eq!(refused("--cores 0,1,2,3,4,5,6,9"), "8 cores: a bench takes at most 7");
        assert_eq!(refused("--cores 1,7"), "there is no core 7 that this process may run on");
        assert_eq!(case_names("--mode forward --size 1500"), ["forward 1500"]);
    }

    #[test]
    fn a_pipeline_takes_the_last_two_cores_or_the_only_one() {
        let cores = |available: &[CoreId]| {
            let cases = args("--preset pipeline").unwrap().cases(available);
            cases.map(|cases| cases[0].cores.clone()).map_err(|error| error.to_string())
        };
        assert_eq!(cores(&CORES), Ok(vec![CoreId(6), CoreId(9)]));
        assert_eq!(cores(&CORES[..1]), Ok(vec![CoreId(0)]));
        assert!(cores(&[]).is_err_and(|error| error.contains("which cores")));
    }

    #[test]
    fn peers_have_a_flow_each_without_saying() {
        assert_eq!(args("--peers 1000").unwrap().cases(&CORES).unwrap()[0].flows, 1000);
    }
}
