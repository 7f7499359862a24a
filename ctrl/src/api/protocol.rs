//! What goes over the control socket.
//!
//! A unix stream socket carries one JSON object a line, UTF-8, ended by `\n`: requests one way,
//! a response to each the other way, in the order of the requests.
//!
//! ```text
//! > {"version":1,"id":7,"command":{"show":{"what":"drops","all":false}}}
//! < {"version":1,"id":7,"ok":{"drops":[{"reason":"unknown_spi", …}]}}
//! > {"version":1,"id":8,"command":{"clear":{"what":"neighbors","interface":"lam"}}}
//! < {"version":1,"id":8,"error":{"code":"not_found","message":"no port is named lam"}}
//! ```
//!
//! - `version` is [`VERSION`]. Within a version objects may gain fields and replies may gain kinds:
//!   readers of responses ignore what they do not know. Requests with unknown fields are refused.
//! - `id` is any unsigned 64-bit number of the client's choice and comes back with the response;
//!   `null` when the request was too broken to have one.
//! - `command` has exactly one member, named as the command ([`Command`]).
//! - A response has either `ok` with exactly one member ([`Reply`]), or `error` ([`Failure`]).
//!
//! A request that is wrong gets an error and the connection stays. It ends after an error of code
//! `forbidden`, `too_many_clients` or `too_long`, when the client ends it, and after
//! [`IDLE_MAX`] without a request. A client that follows events may take longer: it has a place of
//! [`FOLLOWERS_MAX`].

mod sa;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::report::{
    Core, Drop, Events, Neighbor, NhrpBinding, NhrpOverview, NhrpReceiver, NhrpServer,
    NhrpShortcut, NhrpTraffic, Peer, Port, Route, Sa, Stage, Topology, Tunnel,
};

pub use sa::{SaAdd, SaDelete, UdpPorts};

/// Version of the protocol.
pub const VERSION: u32 = 1;
/// Octets of a request with its end of line. A key has 72 digits, a path 4096 octets at most.
pub const REQUEST_OCTETS_MAX: usize = 64 << 10;
/// Octets of a response. A peer or an SA takes about 500, a route 140: room for 500 000 routes.
pub const RESPONSE_OCTETS_MAX: usize = 128 << 20;
/// Clients at once: some people and some monitoring. Each may hold one response.
pub const CLIENTS_MAX: usize = 16;
/// For a client to send its next request, and to take its response. Well beyond what either takes
/// on one machine, and short enough that a client that hangs gives its place back.
pub const IDLE_MAX: Duration = Duration::from_secs(60);
/// Clients that follow events at once: half of the places, so that others are left for commands.
pub const FOLLOWERS_MAX: usize = CLIENTS_MAX / 2;
/// How long an answer waits for an event. Shorter than clients wait for an answer, which is 30 s.
pub const EVENTS_WAIT_MAX: Duration = Duration::from_secs(20);
/// Characters of what a client sent that an error repeats.
const ECHO_CHARS_MAX: usize = 200;

/// A question or an order to the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Who is there? Answered by [`Reply::Pong`].
    Ping {},
    /// A report. Answered by the reply of the same name.
    Show(Show),
    /// What has happened. Answered by [`Reply::Events`].
    Events {
        /// Only what is newer than the event of this serial number; absent: all that is kept. One
        /// that the gateway has not come to is of a gateway before it, and like none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
        /// If there is nothing, answer when something happens, or after [`EVENTS_WAIT_MAX`].
        #[serde(default)]
        wait: bool,
    },
    /// Forget or reset something. Answered by [`Reply::Cleared`].
    Clear(Clear),
    /// Read the configuration again and apply what differs. Answered by [`Reply::Reloaded`], or by
    /// an error of code [`ErrorCode::InvalidConfiguration`], and nothing has changed.
    Reload {
        /// An absolute path; absent: the file in force.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
    },
    /// Install a manually keyed SA. Answered by [`Reply::SaAdded`].
    SaAdd(SaAdd),
    /// Remove a manually keyed SA. Answered by [`Reply::SaDeleted`].
    SaDelete(SaDelete),
}

impl Command {
    /// The names of all commands, as requests have them.
    pub const NAMES: [&str; 7] =
        ["ping", "show", "events", "clear", "reload", "sa_add", "sa_delete"];
}

/// What to report on: `{"what":"ports"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum Show {
    /// Ports, and VLANs of ports.
    Ports {},
    /// Tunnels.
    Tunnels {},
    /// Far ends of tunnels.
    Peers {},
    /// Security associations.
    Sa {},
    /// Routes of both tables.
    Routes {},
    /// What each stage has done, on each core.
    Stages {},
    /// Dropped packets.
    Drops {
        /// Reasons for which nothing has been dropped, too.
        #[serde(default)]
        all: bool,
    },
    /// Stages, how they are wired, and where they run.
    Topology {},
    /// How busy the cores are.
    Cores {},
    /// ARP and neighbour discovery.
    Neighbors {},
    /// NHRP: servers, bindings and shortcuts.
    Nhrp {},
    /// NHRP: who is reached how.
    NhrpCache {},
    /// NHRP: which prefixes are reached past their next hop.
    NhrpShortcuts {},
    /// NHRP: servers that we register with.
    NhrpServers {},
    /// NHRP: who gets multicast and broadcast packets.
    NhrpMulticast {},
    /// NHRP: messages and drops.
    NhrpTraffic {},
}

/// What to forget or reset: `{"what":"counters"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum Clear {
    /// Counters of ports, tunnels, peers, stages and cores, those of drops included. Not those of
    /// SAs: their sequence numbers and lifetimes hang on them.
    Counters {},
    /// Counters of drops alone.
    Drops {},
    /// Learned neighbours; static ones stay.
    Neighbors {
        /// Those of one port; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interface: Option<String>,
    },
    /// Fragments that wait for the rest of their packet.
    Reassembly {},
    /// What NHRP has learned: registrations, resolutions, shortcuts. Static peers stay.
    Nhrp {
        /// That of one tunnel; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tunnel: Option<String>,
    },
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// Comes back with the response.
    pub id: u64,
    /// What to do.
    pub command: Command,
}

impl Request {
    /// Reads a request from a line.
    ///
    /// # Errors
    /// The response that says what is wrong with it. It shows nothing of a key.
    pub fn parse(line: &[u8]) -> Result<Self, Box<Response>> {
        let Header { version, id } = serde_json::from_slice(line).map_err(|error| {
            let message = format!("not a request: {}", echo(&error));
            Box::new(Response::failure(None, Failure::new(ErrorCode::Malformed, message)))
        })?;
        let fail = |failure| Box::new(Response::failure(Some(id), failure));
        if version != VERSION {
            let message = format!("version {VERSION} is spoken here, not version {version}");
            return Err(fail(Failure::new(ErrorCode::UnsupportedVersion, message)));
        }
        let command = parse_command(line).map_err(fail)?;
        Ok(Self { version, id, command })
    }
}

/// What every version has.
#[derive(Deserialize)]
struct Header {
    version: u32,
    id: u64,
}

/// What this version has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(rename = "version")]
    _version: u32,
    #[serde(rename = "id")]
    _id: u64,
    #[serde(borrow)]
    command: &'a RawValue,
}

/// The one member of a command, for its name. Keys go from the line to [`sa::SaAdd`] without a copy
/// in between.
#[derive(Deserialize)]
#[serde(transparent)]
struct Named<'a>(#[serde(borrow)] std::collections::BTreeMap<&'a str, &'a RawValue>);

fn parse_command(line: &[u8]) -> Result<Command, Failure> {
    let malformed = |error: serde_json::Error| {
        Failure::new(ErrorCode::Malformed, format!("not a request: {}", echo(&error)))
    };
    let envelope: Envelope<'_> = serde_json::from_slice(line).map_err(malformed)?;
    let text = envelope.command.get();
    let members: Named<'_> = serde_json::from_str(text).map_err(malformed)?;
    let [name] = members.0.keys().copied().collect::<Vec<_>>()[..] else {
        let message = "a command has exactly one member, named as the command";
        return Err(Failure::new(ErrorCode::Malformed, message));
    };
    if !Command::NAMES.contains(&name) {
        let message = format!("no command is named {:?}", shortened(name));
        return Err(Failure::new(ErrorCode::UnknownCommand, message));
    }
    serde_json::from_str(text).map_err(|error| {
        // What the error repeats might be a key in the wrong place.
        let what = if name == "sa_add" {
            format!("wrong at column {}", error.column())
        } else {
            echo(&error)
        };
        Failure::new(ErrorCode::InvalidArguments, format!("{name}: {what}"))
    })
}

fn echo(error: &serde_json::Error) -> String {
    shortened(&error.to_string())
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(ECHO_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Response {
    /// [`VERSION`].
    pub version: u32,
    /// That of the request; `null` if it had none that could be read.
    pub id: Option<u64>,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Response {
    /// A response to the request `id`.
    #[must_use]
    pub fn new(id: u64, outcome: Outcome) -> Self {
        Self { version: VERSION, id: Some(id), outcome }
    }

    /// A response that says that nothing came of it.
    #[must_use]
    pub fn failure(id: Option<u64>, failure: Failure) -> Self {
        Self { version: VERSION, id, outcome: Outcome::Error(failure) }
    }
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Ok(Reply),
    /// It was not, and nothing has changed.
    Error(Failure),
}

impl From<Result<Reply, Failure>> for Outcome {
    fn from(result: Result<Reply, Failure>) -> Self {
        result.map_or_else(Self::Error, Self::Ok)
    }
}

/// The result of a command that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Of `ping`.
    Pong(Pong),
    /// Of `show`.
    Ports(Vec<Port>),
    /// Of `show`.
    Tunnels(Vec<Tunnel>),
    /// Of `show`.
    Peers(Vec<Peer>),
    /// Of `show`.
    Sa(Vec<Sa>),
    /// Of `show`.
    Routes(Vec<Route>),
    /// Of `show`.
    Stages(Vec<Stage>),
    /// Of `show`.
    Drops(Vec<Drop>),
    /// Of `show`.
    Topology(Topology),
    /// Of `show`.
    Cores(Vec<Core>),
    /// Of `show`.
    Neighbors(Vec<Neighbor>),
    /// Of `show`.
    Nhrp(NhrpOverview),
    /// Of `show`.
    NhrpCache(Vec<NhrpBinding>),
    /// Of `show`.
    NhrpShortcuts(Vec<NhrpShortcut>),
    /// Of `show`.
    NhrpServers(Vec<NhrpServer>),
    /// Of `show`.
    NhrpMulticast(Vec<NhrpReceiver>),
    /// Of `show`.
    NhrpTraffic(Vec<NhrpTraffic>),
    /// Of `events`.
    Events(Events),
    /// Of `clear`.
    Cleared {
        /// Entries that were forgotten, or counters that were reset.
        entries: u64,
    },
    /// Of `reload`.
    Reloaded(Reload),
    /// Of `sa_add`: the SA as it was installed.
    SaAdded(Sa),
    /// Of `sa_delete`: the SA as it was at its end.
    SaDeleted(Sa),
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Pong {
    /// Name of the gateway, from `[system]`.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Process.
    pub pid: u32,
    /// Seconds since its start.
    pub uptime_seconds: u64,
    /// The configuration file in force.
    pub config: String,
}

/// What a reload has done. Objects are named as `tunnel dmvpn` or `route 10.2.0.0/16`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Reload {
    /// Objects that are new.
    pub added: Vec<String>,
    /// Objects that are gone.
    pub removed: Vec<String>,
    /// Objects that are different now.
    pub changed: Vec<String>,
    /// What loads, but is probably not what was meant: as `greyhound check` prints it.
    pub warnings: Vec<String>,
}

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[error("{message}")]
pub struct Failure {
    /// For programs.
    pub code: ErrorCode,
    /// For people. Never has a secret in it.
    pub message: String,
    /// What is wrong with a configuration: as `greyhound check` prints it, one mistake each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<String>,
}

impl Failure {
    /// A failure without diagnostics.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), diagnostics: Vec::new() }
    }
}

/// Kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The line is not JSON, or not a request.
    Malformed,
    /// The version is not spoken here.
    UnsupportedVersion,
    /// No such command.
    UnknownCommand,
    /// The command has wrong arguments.
    InvalidArguments,
    /// The request, or the response to it, is too long.
    TooLong,
    /// All places are taken, or all of those that follow events.
    TooManyClients,
    /// The peer is neither root nor the user that the gateway runs as.
    Forbidden,
    /// The configuration has mistakes, or cannot be applied without a restart.
    InvalidConfiguration,
    /// The object that the command is about does not exist.
    NotFound,
    /// The command contradicts what exists.
    Conflict,
    /// Anything else.
    Failed,
}

#[cfg(test)]
pub(crate) mod tests;
