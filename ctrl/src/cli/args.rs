//! What the command line may look like, and its help.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;

use aead::Algorithm;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use super::events::Selection;
use super::execute::{ClientCommand, Order};
use super::{Command, Keygen};
use crate::api::protocol::{self, Clear, SaDelete, Show};
use crate::api::report::Direction;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the gateway said no, or failed
  2  the command line, the configuration or a key file is wrong
  3  no gateway answers

Examples:
  greyhound check hub.toml
  greyhound run -c hub.toml
  greyhound show tunnels
  greyhound show sa --json | jq '.[] | select(.replays > 0)'
  greyhound --socket /run/greyhound/hub.sock reload";

const SA_ADD_HELP: &str = "\
The key file holds key and salt, as raw octets or hexadecimal digits, and only its owner may be
able to read it. The SA lasts until it is deleted, its lifetime is over, or the gateway ends.

Example, one direction, here and then at the peer 198.51.100.2:
  greyhound keygen -o site.key
  greyhound sa add --profile corp --direction out --remote 198.51.100.2 --spi 0x1001 \\
      --key-file site.key
  greyhound sa add --profile corp --direction in --remote 198.51.100.1 --spi 0x1001 \\
      --key-file site.key";

const EVENTS_HELP: &str = "\
Times are UTC, as in the log. With --follow the exit code is 3 once the gateway has ended, and 0 if
nobody reads on.

Examples:
  greyhound events -n 20
  greyhound events -f --json | jq -c 'select(.kind | startswith(\"nhrp_server\"))'";

/// DMVPN gateway: GRE and mGRE tunnels under IPsec, forwarded by DPDK
#[derive(Debug, Parser)]
#[command(name = "greyhound", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
struct Arguments {
    /// Control socket of the gateway to talk to [default: the only one in /run/greyhound]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a gateway in the foreground
    Run {
        /// Configuration file
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration file and say what is wrong with it, and where
    Check {
        /// Configuration file
        file: PathBuf,
    },
    /// Ask who answers: name, version, process, time since the start
    Ping,
    /// Show what a gateway is, has and does
    #[command(after_help = "Tables round large numbers (12.3 k, 4.5 GB); --json is exact.")]
    Show {
        /// Print JSON for programs; docs/control-socket.md describes it
        #[arg(long, global = true)]
        json: bool,
        #[command(subcommand)]
        what: What,
    },
    /// Show what has happened: peers, links, tunnels, SAs, reloads
    #[command(after_help = EVENTS_HELP)]
    Events {
        /// Print JSON for programs, one object a line; docs/control-socket.md describes it
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        selection: Selection,
    },
    /// Forget or reset something; what is configured stays
    Clear {
        #[command(subcommand)]
        what: Forget,
    },
    /// Read the configuration again and apply what differs; nothing else is disturbed
    #[command(after_help = "A configuration with a mistake changes nothing: exit code 2.")]
    Reload {
        /// Another configuration file [default: the one in force]
        file: Option<String>,
    },
    /// Add or delete manually keyed security associations
    Sa {
        #[command(subcommand)]
        verb: SaVerb,
    },
    /// Measure what packets cost on this machine, stage by stage
    #[command(after_help = "Example:\n  greyhound bench --mode encrypt --size 64,1400 --json")]
    Bench(perf::Args),
    /// Make a random key with its salt for a manually keyed SA
    #[command(after_help = "Example:\n  greyhound keygen --esp aes128gcm16 -o site.key")]
    Keygen {
        /// Algorithm that the key is for
        #[arg(long, value_name = "ALGORITHM", value_parser = algorithm(),
            default_value = "aes256gcm16")]
        esp: Algorithm,
        /// A new file, readable by its owner only [default: standard output]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// Ports and VLANs: link, addresses, device, traffic
    Ports,
    /// Tunnels: state, ends, protection, traffic
    Tunnels,
    /// Far ends of tunnels: addresses, protection, traffic
    Peers,
    /// Security associations: SPI, ends, sequence, replays, lifetime left
    Sa,
    /// Routes of overlay and underlay
    Routes,
    /// What each stage has done on each core, and what a packet cost it
    Stages,
    /// Dropped packets by reason
    Drops {
        /// Also reasons for which nothing was dropped
        #[arg(long)]
        all: bool,
    },
    /// Stages, how they are wired and where they run
    Topology,
    /// How busy the cores are
    Cores,
    /// ARP and neighbour discovery
    Neighbors,
    /// NHRP: next hop servers, bindings of peers, shortcuts; or more of it
    Nhrp {
        /// What of it [default: nhs, cache and shortcuts]
        #[arg(value_enum)]
        part: Option<OfNhrp>,
    },
}

/// What to show of NHRP.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OfNhrp {
    /// Which NBMA address is behind which protocol address
    Cache,
    /// Next hop servers that we register with
    Nhs,
    /// Prefixes that are reached past the next hop that routing says
    Shortcuts,
    /// Peers that get multicast and broadcast packets, and why
    Multicast,
    /// Messages sent and received, and drops
    Traffic,
}

impl From<What> for Show {
    fn from(what: What) -> Self {
        match what {
            What::Ports => Self::Ports {},
            What::Tunnels => Self::Tunnels {},
            What::Peers => Self::Peers {},
            What::Sa => Self::Sa {},
            What::Routes => Self::Routes {},
            What::Stages => Self::Stages {},
            What::Drops { all } => Self::Drops { all },
            What::Topology => Self::Topology {},
            What::Cores => Self::Cores {},
            What::Neighbors => Self::Neighbors {},
            What::Nhrp { part: None } => Self::Nhrp {},
            What::Nhrp { part: Some(OfNhrp::Cache) } => Self::NhrpCache {},
            What::Nhrp { part: Some(OfNhrp::Nhs) } => Self::NhrpServers {},
            What::Nhrp { part: Some(OfNhrp::Shortcuts) } => Self::NhrpShortcuts {},
            What::Nhrp { part: Some(OfNhrp::Multicast) } => Self::NhrpMulticast {},
            What::Nhrp { part: Some(OfNhrp::Traffic) } => Self::NhrpTraffic {},
        }
    }
}

#[derive(Debug, Subcommand)]
enum Forget {
    /// Counters of ports, tunnels, peers, stages, cores and drops, but not those of SAs
    Counters,
    /// Counters of drops
    Drops,
    /// Learned neighbours; they are asked for again
    Neighbors {
        /// Only those of this port
        interface: Option<String>,
    },
    /// Fragments that wait for the rest of their packet
    Reassembly,
    /// What NHRP has learned; spokes register again in their time, we at once
    Nhrp {
        /// Only that of this tunnel
        tunnel: Option<String>,
    },
}

impl From<Forget> for Clear {
    fn from(what: Forget) -> Self {
        match what {
            Forget::Counters => Self::Counters {},
            Forget::Drops => Self::Drops {},
            Forget::Neighbors { interface } => Self::Neighbors { interface },
            Forget::Reassembly => Self::Reassembly {},
            Forget::Nhrp { tunnel } => Self::Nhrp { tunnel },
        }
    }
}

#[derive(Debug, Subcommand)]
enum SaVerb {
    /// Install an SA
    #[command(after_help = SA_ADD_HELP)]
    Add(SaAddition),
    /// Remove an SA
    #[command(after_help = "Example:\n  greyhound sa del --direction out --spi 0x1001")]
    Del {
        /// Inbound or outbound
        #[arg(long)]
        direction: Direction,
        /// Its SPI, decimal or 0x…
        #[arg(long, value_parser = spi)]
        spi: u32,
        /// The peer, if several have the same SPI
        #[arg(long, value_name = "ADDRESS")]
        remote: Option<IpAddr>,
    },
}

/// Arguments of `sa add`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct SaAddition {
    /// An [[ipsec.profile]] of the configuration
    #[arg(long)]
    pub(super) profile: String,
    /// Inbound or outbound
    #[arg(long)]
    pub(super) direction: Direction,
    /// The peer's outer address
    #[arg(long, value_name = "ADDRESS")]
    pub(super) remote: IpAddr,
    /// Our outer address [default: as for an [[ipsec.sa]] without it]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) local: Option<IpAddr>,
    /// SPI, decimal or 0x…, at least 256
    #[arg(long, value_parser = spi)]
    pub(super) spi: u32,
    /// File with key and salt; keys are never given on the command line
    #[arg(long, value_name = "FILE")]
    pub(super) key_file: PathBuf,
    /// Algorithm [default: the first one of the profile]
    #[arg(long, value_name = "ALGORITHM", value_parser = algorithm())]
    pub(super) esp: Option<Algorithm>,
    /// Encapsulate in UDP: the peer's port; ours is 4500
    #[arg(long, value_name = "PORT")]
    pub(super) udp_port: Option<NonZeroU16>,
}

/// Reads the command line of this process. Ends the process with code 2 if it is wrong, and with 0
/// for `--help` and `--version`.
#[must_use]
pub fn parse() -> Command {
    parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Reads a command line, the name of the program first.
pub(super) fn parse_from<I>(arguments: I) -> Result<Command, clap::Error>
where
    I: IntoIterator<Item: Into<std::ffi::OsString> + Clone>,
{
    let Arguments { socket, verb } = Arguments::try_parse_from(arguments)?;
    let (order, json) = match verb {
        Verb::Run { config } => return local(socket, Command::Run { config }),
        Verb::Check { file } => return local(socket, Command::Check { file }),
        Verb::Bench(args) => return local(socket, Command::Bench(Box::new(args))),
        Verb::Keygen { esp, output } => {
            return local(socket, Command::Keygen(Keygen { algorithm: esp, output }));
        }
        Verb::Ping => (Order::Send(protocol::Command::Ping {}), false),
        Verb::Show { json, what } => (Order::Send(protocol::Command::Show(what.into())), json),
        Verb::Events { json, selection } => (Order::Events(selection), json),
        Verb::Clear { what } => (Order::Send(protocol::Command::Clear(what.into())), false),
        Verb::Reload { file } => (Order::Reload { file }, false),
        Verb::Sa { verb: SaVerb::Add(addition) } => (Order::SaAdd(addition), false),
        Verb::Sa { verb: SaVerb::Del { direction, spi, remote } } => {
            let deletion = SaDelete { direction, spi, remote };
            (Order::Send(protocol::Command::SaDelete(deletion)), false)
        }
    };
    Ok(Command::Client(ClientCommand { socket, order, json }))
}

/// A command that talks to no gateway.
fn local(socket: Option<PathBuf>, command: Command) -> Result<Command, clap::Error> {
    if socket.is_none() {
        return Ok(command);
    }
    let message = "--socket is for commands to a running gateway; a gateway that starts takes its \
                   socket from the configuration";
    Err(Arguments::command().error(ErrorKind::ArgumentConflict, message))
}

fn algorithm() -> impl TypedValueParser<Value = Algorithm> {
    PossibleValuesParser::new(Algorithm::ALL.map(Algorithm::name))
        .try_map(|name| name.parse::<Algorithm>())
}

fn spi(text: &str) -> Result<u32, String> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        // `from_str_radix` would take a sign.
        Some(digits) if digits.starts_with('+') => None,
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    match number {
        None => Err("not a number of 32 bits, such as 4097 or 0x1001".to_owned()),
        Some(..256) => Err("SPIs below 256 are reserved (RFC 4303, section 2.1)".to_owned()),
        Some(spi) => Ok(spi),
    }
}
