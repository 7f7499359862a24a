//! Commands to a running gateway.

use std::io::{self, Write};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use aead::Algorithm;
use thiserror::Error;

use super::args::SaAddition;
use super::events::Selection;
use super::socket::{SocketError, only_socket};
use super::{Exit, events, render};
use crate::api::protocol::{Command, ErrorCode, Failure, Reply, SaAdd, UdpPorts};
use crate::api::{Client, ClientError, KeyHex};
use crate::config::{KeyMaterial, PrivateFileError, read_key_file};

/// Where gateways put their sockets unless their configuration says otherwise.
const SOCKET_FOLDER: &str = "/run/greyhound";
/// For an answer: a reload of a large configuration may take some seconds.
const TIME_OUT: Duration = Duration::from_secs(30);
/// UDP port of ESP (RFC 3948, section 2.1).
const NAT_T_PORT: NonZeroU16 = NonZeroU16::new(4500).unwrap();

/// A command to a running gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCommand {
    /// Its control socket; `None`: the only one there is.
    pub(super) socket: Option<PathBuf>,
    pub(super) order: Order,
    /// Print the reply as JSON.
    pub(super) json: bool,
}

/// What has to be done before a command can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing.
    Send(Command),
    /// The path is made absolute: the gateway has a working directory of its own.
    Reload { file: Option<String> },
    /// The key is read.
    SaAdd(SaAddition),
    /// Nothing, but it may take several.
    Events(Selection),
}

/// Gives the command to the gateway and prints what comes of it: the reply on standard output,
/// errors on standard error.
pub fn execute_client(command: ClientCommand) -> ExitCode {
    let mut output = io::stdout().lock();
    match execute(command, Path::new(SOCKET_FOLDER), TIME_OUT, &mut output) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            if let ExecuteError::Client(ClientError::Refused(failure)) = &error {
                failure.diagnostics.iter().for_each(|diagnostic| eprintln!("{diagnostic}"));
            }
            eprintln!("greyhound: {error}");
            error.exit().into()
        }
    }
}

/// As [`execute_client`], with the default folder of sockets, the time-out and the output given.
pub(super) fn execute(
    command: ClientCommand,
    folder: &Path,
    time_out: Duration,
    output: &mut impl Write,
) -> Result<(), ExecuteError> {
    match perform(command, folder, time_out, output) {
        // As for `greyhound show peers | head`.
        Err(ExecuteError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn perform(
    command: ClientCommand,
    folder: &Path,
    time_out: Duration,
    output: &mut impl Write,
) -> Result<(), ExecuteError> {
    let ClientCommand { socket, order, json } = command;
    let connect = || {
        let socket = socket.map_or_else(|| only_socket(folder), Ok)?;
        Ok::<_, ExecuteError>(Client::connect(&socket, time_out)?)
    };
    let mut print = |reply: &Reply| print(reply, json, output);
    let command = match order {
        Order::Events(selection) => return events::run(&mut connect()?, selection, print),
        Order::Send(command) => command,
        Order::Reload { file } => Command::Reload { path: file.map(absolute).transpose()? },
        Order::SaAdd(addition) => Command::SaAdd(sa_to_add(addition)?),
    };
    let reply = connect()?.ask(command)?;
    print(&reply).map_err(ExecuteError::Output)
}

fn print(reply: &Reply, json: bool, output: &mut impl Write) -> io::Result<()> {
    if json {
        render::json(reply, output)?;
    } else {
        write!(output, "{}", render::text(reply))?;
    }
    output.flush()
}

fn sa_to_add(addition: SaAddition) -> Result<SaAdd, ExecuteError> {
    let key = read_key(&addition.key_file, addition.esp)?;
    let SaAddition { profile, direction, remote, local, spi, esp, udp_port, .. } = addition;
    let udp = udp_port.map(|remote| UdpPorts { local: NAT_T_PORT, remote });
    Ok(SaAdd { profile, direction, remote, local, spi, key, esp, udp })
}

fn absolute(file: String) -> Result<String, ExecuteError> {
    let failed = |error| ExecuteError::Path { file: file.clone(), error };
    let path = std::path::absolute(&file).map_err(failed)?;
    path.into_os_string()
        .into_string()
        .map_err(|_| failed(io::Error::other("the working directory has no UTF-8 name")))
}

/// A key that fits `algorithm`, or any if none is given: the gateway then knows which it has to be.
fn read_key(file: &Path, algorithm: Option<Algorithm>) -> Result<KeyHex, ExecuteError> {
    let contents = read_key_file(file)?;
    let candidates = algorithm.as_ref().map_or(&Algorithm::ALL[..], std::slice::from_ref);
    let mut complaints = Vec::new();
    for &candidate in candidates {
        match KeyMaterial::from_file_contents(&contents, candidate) {
            Ok(key) => return Ok(KeyHex::from_octets(key.octets())),
            Err(error) => complaints.push(error.to_string()),
        }
    }
    complaints.dedup();
    Err(ExecuteError::Key { file: file.to_path_buf(), complaint: complaints.join("; ") })
}

/// A command that was not done, or whose reply was not printed.
#[derive(Debug, Error)]
pub(super) enum ExecuteError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    KeyFile(#[from] PrivateFileError),
    #[error("{file}: {complaint}", file = .file.display())]
    Key { file: PathBuf, complaint: String },
    #[error("cannot find {file}: {error}")]
    Path { file: String, error: io::Error },
    #[error("the gateway at {path} has ended", path = .path.display())]
    Ended { path: PathBuf },
    #[error("cannot print the reply: {0}")]
    Output(io::Error),
}

impl ExecuteError {
    pub(super) fn exit(&self) -> Exit {
        use ErrorCode::{InvalidArguments, InvalidConfiguration};
        match self {
            Self::Socket(error) => error.exit(),
            Self::KeyFile(_) | Self::Key { .. } | Self::Path { .. } => Exit::Usage,
            Self::Client(ClientError::Refused(Failure {
                code: InvalidArguments | InvalidConfiguration,
                ..
            })) => Exit::Usage,
            Self::Client(ClientError::Refused(_)) | Self::Output(_) => Exit::Failed,
            Self::Client(_) | Self::Ended { .. } => Exit::NoGateway,
        }
    }
}
