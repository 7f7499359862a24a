//! The other end of the control socket: for the commands of the CLI.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use thiserror::Error;
use zeroize::Zeroizing;

use super::protocol::{
    Command, Failure, Outcome, REQUEST_OCTETS_MAX, RESPONSE_OCTETS_MAX, Reply, Request, Response,
    VERSION,
};
use super::report::Events;

/// A connection to a gateway.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    time_out: Duration,
    id_next: u64,
}

/// A command that was not done.
#[derive(Debug, Error)]
pub enum ClientError {
    /// There is no socket.
    #[error("no gateway runs at {path}; --socket PATH names another one", path = .path.display())]
    NotRunning {
        /// Where it would be.
        path: PathBuf,
    },
    /// There is a socket that nobody listens on.
    #[error("the gateway at {path} is gone: it ended without removing its socket",
        path = .path.display())]
    Gone {
        /// Its socket.
        path: PathBuf,
    },
    /// The socket is for others.
    #[error("{path} may only be used by root and the user that the gateway runs as",
        path = .path.display())]
    PermissionDenied {
        /// The socket.
        path: PathBuf,
    },
    /// No answer in time. The command may have been done all the same.
    #[error("the gateway at {path} has not answered in {} s", .time_out.as_secs_f32(),
        path = .path.display())]
    TimedOut {
        /// The socket.
        path: PathBuf,
        /// In what time.
        time_out: Duration,
    },
    /// The gateway ended before it had answered.
    #[error("the gateway at {path} closed the connection before it answered",
        path = .path.display())]
    Closed {
        /// The socket.
        path: PathBuf,
    },
    /// What came is no answer: another program, or another version of this one.
    #[error("what answers at {path} is not a gateway of this version: {why}",
        path = .path.display())]
    NotAnAnswer {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Anything else.
    #[error("cannot talk to {path}: {error}", path = .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The gateway said no.
    #[error(transparent)]
    Refused(#[from] Failure),
}

impl Client {
    /// Connects to the gateway at `path`. That, and each answer, may take `time_out`, which is not
    /// zero.
    ///
    /// # Errors
    /// [`ClientError`]: nobody listens there, or the socket is for others.
    pub fn connect(path: &Path, time_out: Duration) -> Result<Self, ClientError> {
        let stream =
            connect(path, time_out).map_err(|error| explain(error.into(), path, time_out))?;
        let (stream, path) = (BufReader::new(stream), path.to_path_buf());
        Ok(Self { stream, path, time_out, id_next: 1 })
    }

    /// Gives a command and waits for what comes of it.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the gateway says no; anything else if it says nothing.
    pub fn ask(&mut self, command: Command) -> Result<Reply, ClientError> {
        let request = Request { version: VERSION, id: self.id_next, command };
        self.id_next += 1;
        let deadline = Instant::now() + self.time_out;
        let sent = self.send(&request);
        // A gateway that turns us away says why before it closes: look even if it took nothing.
        let line = match (self.receive(deadline), sent) {
            (Ok(line), _) if !line.is_empty() => line,
            (Err(error), _) | (Ok(_), Err(error)) => {
                return Err(explain(error, &self.path, self.time_out));
            }
            (Ok(_), Ok(())) => return Err(ClientError::Closed { path: self.path.clone() }),
        };
        self.read(&line, request.id)
    }

    /// What has happened after the event of this serial number; if `wait`, perhaps not at once.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn events(&mut self, after: Option<u64>, wait: bool) -> Result<Events, ClientError> {
        match self.ask(Command::Events { after, wait })? {
            Reply::Events(events) => Ok(events),
            _ => Err(self.not_an_answer("it answers what was not asked")),
        }
    }

    fn send(&mut self, request: &Request) -> io::Result<()> {
        // Room for everything at once: a vector that grows leaves copies of keys behind.
        let mut line = Zeroizing::new(Vec::with_capacity(REQUEST_OCTETS_MAX));
        serde_json::to_writer(&mut *line, request)?;
        line.push(b'\n');
        if line.len() > REQUEST_OCTETS_MAX {
            return Err(io::Error::other("the request is too long"));
        }
        self.stream.get_mut().write_all(&line)
    }

    /// A line with its end, or without it if the gateway ended before.
    fn receive(&mut self, deadline: Instant) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") && line.len() <= RESPONSE_OCTETS_MAX {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.stream.get_ref().set_read_timeout(Some(left))?;
            let available = match self.stream.fill_buf() {
                Ok([]) => break,
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = available.iter().position(|&octet| octet == b'\n');
            let count = end.map_or(available.len(), |end| end + 1);
            line.extend_from_slice(&available[..count]);
            self.stream.consume(count);
        }
        Ok(line)
    }

    fn read(&self, line: &[u8], id: u64) -> Result<Reply, ClientError> {
        if !line.ends_with(b"\n") {
            return Err(ClientError::Closed { path: self.path.clone() });
        }
        let response: Response =
            serde_json::from_slice(line).map_err(|error| self.not_an_answer(error.to_string()))?;
        if response.version != VERSION {
            return Err(self.not_an_answer(format!("it speaks version {}", response.version)));
        }
        match response.outcome {
            // What goes wrong before a request is read has no id.
            Outcome::Error(failure) if response.id.is_none_or(|found| found == id) => {
                Err(failure.into())
            }
            Outcome::Ok(reply) if response.id == Some(id) => Ok(reply),
            _ => Err(self.not_an_answer("it answers what was not asked")),
        }
    }

    fn not_an_answer(&self, why: impl Into<String>) -> ClientError {
        ClientError::NotAnAnswer { path: self.path.clone(), why: why.into() }
    }
}

/// Connects in time: a gateway that accepts nobody has a backlog that fills.
fn connect(path: &Path, time_out: Duration) -> rustix::io::Result<UnixStream> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    set_socket_timeout(&socket, Timeout::Send, Some(time_out))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

fn explain(error: io::Error, path: &Path, time_out: Duration) -> ClientError {
    use io::ErrorKind;
    let path = path.to_path_buf();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => ClientError::NotRunning { path },
        ErrorKind::ConnectionRefused => ClientError::Gone { path },
        ErrorKind::PermissionDenied => ClientError::PermissionDenied { path },
        ErrorKind::WouldBlock | ErrorKind::TimedOut => ClientError::TimedOut { path, time_out },
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => ClientError::Closed { path },
        _ => ClientError::Io { path, error },
    }
}
