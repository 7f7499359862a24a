//! The gateway's end of the control socket: on the control thread, without blocking it.
//!
//! ```text
//! poll > ready(event) per event > take_commands(now) > respond(client, outcome, now) each
//!  ^--------------------------------- next_deadline(now) <----------'
//! ```
//!
//! A client has at most one command with the gateway, and none while it has not taken the last
//! response. So a client that asks faster than it reads waits in its own socket buffer, and each
//! turn of the control thread does at most [`CLIENTS_MAX`] commands. An answer may be kept back
//! until there is something to tell, for clients that follow: half of the places are for them.

mod connection;
mod listener;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::time::Instant;

use mio::event::Event;
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

use super::protocol::{
    CLIENTS_MAX, Command, ErrorCode, FOLLOWERS_MAX, Failure, Outcome, RESPONSE_OCTETS_MAX, Response,
};
use connection::Connection;
pub use listener::BindError;
use listener::Listener;

/// Clients turned away in one turn: a storm of them must not hold the control thread.
const REFUSALS_PER_TURN: usize = 16;

/// A client, for as long as it is connected; never used for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId {
    place: usize,
    serial: u64,
}

/// The gateway's end of the control socket. Removes the socket when dropped.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    registry: Registry,
    token_first: usize,
    clients: [Option<Connection>; CLIENTS_MAX],
    serial_next: u64,
    /// More clients may be waiting to be accepted.
    acceptable: bool,
    /// Whether a process of this user may give commands.
    permits: fn(uid: u32) -> bool,
}

impl Server {
    /// Tokens that a server takes, from the one on that it is given.
    pub const TOKENS: usize = CLIENTS_MAX + 1;

    /// Listens at `path`, with mode 0600 from the first moment on. Folders above it are made if
    /// need be; a socket that nobody listens on any more is replaced. The server registers itself
    /// and its clients with [`Server::TOKENS`] tokens from `token_first` on.
    ///
    /// # Errors
    /// [`BindError`]: another gateway listens there, something else than a socket is there, or the
    /// operating system refuses.
    pub fn bind(path: &Path, registry: &Registry, token_first: Token) -> Result<Self, BindError> {
        let failed = |error| BindError::Io { path: path.to_path_buf(), error };
        let mut listener = Listener::bind(path)?;
        let registry = registry.try_clone().map_err(failed)?;
        registry.register(&mut listener.socket, token_first, Interest::READABLE).map_err(failed)?;
        Ok(Self {
            listener,
            registry,
            token_first: token_first.0,
            clients: [const { None }; CLIENTS_MAX],
            serial_next: 0,
            acceptable: true,
            permits: is_root_or_our_own,
        })
    }

    /// Takes note of what is ready. Events of others are ignored. Commands come from
    /// [`Server::take_commands`].
    pub fn ready(&mut self, event: &Event) {
        let Some(index) = event.token().0.checked_sub(self.token_first) else { return };
        let Some(place) = index.checked_sub(1) else {
            self.acceptable = true;
            return;
        };
        let Some(Some(client)) = self.clients.get_mut(place) else { return };
        client.ready(event);
        self.drop_if_done(place);
    }

    /// Accepts clients, drops those that have been idle for too long, and takes the next command
    /// of each client that has one. Each wants one [`Server::respond`], now or later. What is wrong
    /// with requests is answered here.
    pub fn take_commands(&mut self, now: Instant) -> Vec<(ClientId, Command)> {
        let is_idle =
            |client: &Connection| client.deadline().is_some_and(|deadline| deadline <= now);
        for place in 0..CLIENTS_MAX {
            self.drop_if(place, is_idle);
        }
        self.accept(now);
        let mut commands = Vec::new();
        for place in 0..CLIENTS_MAX {
            let Some(client) = &mut self.clients[place] else { continue };
            if let Some(command) = client.next_command(now) {
                commands.push((ClientId { place, serial: client.serial() }, command));
            }
            self.drop_if_done(place);
        }
        commands
    }

    /// Answers the command that the client gave last. Nothing happens if the client is gone.
    pub fn respond(&mut self, client: ClientId, outcome: impl Into<Outcome>, now: Instant) {
        let Some(connection) = self.connection(client) else { return };
        connection.respond(outcome.into(), now);
        self.drop_if_done(client.place);
    }

    /// Lets a client wait long for an answer, and be idle from now on.
    ///
    /// # Errors
    /// So many follow already that others would be locked out.
    pub fn follow(&mut self, client: ClientId) -> Result<(), Failure> {
        let others = self.clients.iter().flatten().filter(|other| other.follows());
        if others.filter(|other| other.serial() != client.serial).count() >= FOLLOWERS_MAX {
            let message = format!("{FOLLOWERS_MAX} clients follow events, and no more may");
            return Err(Failure::new(ErrorCode::TooManyClients, message));
        }
        if let Some(connection) = self.connection(client) {
            connection.follow();
        }
        Ok(())
    }

    /// Whether the client is still there.
    #[must_use]
    pub fn is_connected(&self, client: ClientId) -> bool {
        let connection = self.clients.get(client.place).and_then(Option::as_ref);
        connection.is_some_and(|connection| connection.serial() == client.serial)
    }

    fn connection(&mut self, client: ClientId) -> Option<&mut Connection> {
        let connection = self.clients.get_mut(client.place)?.as_mut()?;
        (connection.serial() == client.serial).then_some(connection)
    }

    /// When [`Server::take_commands`] is due even if nothing gets ready; `now` if there is work
    /// left over. `None`: not before something gets ready.
    #[must_use]
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let clients = self.clients.iter().flatten();
        if self.acceptable || clients.clone().any(Connection::has_input) {
            return Some(now);
        }
        clients.filter_map(Connection::deadline).min()
    }

    fn accept(&mut self, now: Instant) {
        let mut refusals = 0;
        while self.acceptable && refusals < REFUSALS_PER_TURN {
            match self.listener.socket.accept() {
                Ok((stream, _)) => {
                    if let Err((mut stream, failure)) = self.admit(stream, now) {
                        refusals += 1;
                        refuse(&mut stream, failure);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                // Out of descriptors, say: the next client to come wakes us again.
                Err(_) => self.acceptable = false,
            }
        }
    }

    fn admit(&mut self, mut stream: UnixStream, now: Instant) -> Result<(), (UnixStream, Failure)> {
        let uid = rustix::net::sockopt::socket_peercred(&stream).map(|peer| peer.uid.as_raw());
        if !uid.is_ok_and(self.permits) {
            let message = "only root and the user that the gateway runs as may give commands";
            return Err((stream, Failure::new(ErrorCode::Forbidden, message)));
        }
        let Some(place) = self.clients.iter().position(Option::is_none) else {
            let message = format!("{CLIENTS_MAX} clients are connected, and no more are served");
            return Err((stream, Failure::new(ErrorCode::TooManyClients, message)));
        };
        let token = Token(self.token_first + 1 + place);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.registry.register(&mut stream, token, interest) {
            return Err((stream, Failure::new(ErrorCode::Failed, error.to_string())));
        }
        self.clients[place] = Some(Connection::new(stream, self.serial_next, now));
        self.serial_next += 1;
        Ok(())
    }

    fn drop_if_done(&mut self, place: usize) {
        self.drop_if(place, Connection::is_done);
    }

    fn drop_if(&mut self, place: usize, condition: impl Fn(&Connection) -> bool) {
        if let Some(mut client) = self.clients[place].take_if(|client| condition(client)) {
            // The socket is closed next, which would take it off the poll as well.
            let _ = self.registry.deregister(client.stream());
        }
    }
}

fn is_root_or_our_own(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Says why, if the socket takes it at once, as a new one does.
fn refuse(stream: &mut UnixStream, failure: Failure) {
    let _ = io::Write::write(stream, &line_of(&Response::failure(None, failure)));
}

/// A response as a line; one that says so in the place of one that is too long.
fn line_of(response: &Response) -> Vec<u8> {
    let mut line = match serde_json::to_vec(response) {
        Ok(line) if line.len() < RESPONSE_OCTETS_MAX => line,
        result => {
            let failure = match result {
                Ok(line) => {
                    let octets = line.len();
                    let message = format!("the response would have {octets} octets: too many");
                    Failure::new(ErrorCode::TooLong, message)
                }
                Err(error) => Failure::new(ErrorCode::Failed, error.to_string()),
            };
            serde_json::to_vec(&Response::failure(response.id, failure)).unwrap_or_default()
        }
    };
    line.push(b'\n');
    line
}
