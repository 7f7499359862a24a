//! One client.

use std::io::{self, Read, Write};
use std::time::Instant;

use mio::event::Event;
use mio::net::UnixStream;
use zeroize::{Zeroize, Zeroizing};

use super::line_of;
use crate::api::protocol::{
    Command, ErrorCode, Failure, IDLE_MAX, Outcome, REQUEST_OCTETS_MAX, Request, Response,
};

/// One client: what it has sent and not been asked for yet, and what it has not taken yet.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    serial: u64,
    state: State,
    input: Input,
    output: Output,
    /// For the next request and for taking the last response.
    deadline: Instant,
    follows: bool,
    /// The client takes nothing any more.
    gone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next command may be taken once the last response has left.
    Open,
    /// The command of this request is with the gateway.
    Asked { id: u64 },
    /// Ends once the last response has left.
    Ending,
    /// The stream is of no more use.
    Broken,
}

impl Connection {
    pub(super) fn new(stream: UnixStream, serial: u64, now: Instant) -> Self {
        Self {
            stream,
            serial,
            state: State::Open,
            input: Input::new(),
            output: Output::default(),
            deadline: now + IDLE_MAX,
            follows: false,
            gone: false,
        }
    }

    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn stream(&mut self) -> &mut UnixStream {
        &mut self.stream
    }

    pub(super) fn follows(&self) -> bool {
        self.follows
    }

    /// From now on the client may be idle.
    pub(super) fn follow(&mut self) {
        self.follows = true;
    }

    /// When the client has been idle for too long; `None` while it waits for the gateway, and for
    /// one that follows, which may stop for as long as its user reads what it has printed.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let may_idle = match self.state {
            State::Asked { .. } => true,
            State::Open | State::Ending | State::Broken => self.follows && self.output.is_empty(),
        };
        (!may_idle).then_some(self.deadline)
    }

    pub(super) fn is_done(&self) -> bool {
        match self.state {
            State::Broken => true,
            State::Ending => self.output.is_empty(),
            // Nothing is read while an answer is outstanding: this is all that tells.
            State::Asked { .. } => self.gone,
            State::Open => false,
        }
    }

    /// Whether [`Connection::next_command`] has something to look at.
    pub(super) fn has_input(&self) -> bool {
        self.may_ask() && (self.input.readable || self.input.ended || self.input.has_line())
    }

    pub(super) fn ready(&mut self, event: &Event) {
        self.input.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.gone |= event.is_write_closed();
        if event.is_writable() {
            self.flush();
        }
    }

    /// The next command, unless one is with the gateway or a response has not left yet. A request
    /// with a mistake is answered instead.
    pub(super) fn next_command(&mut self, now: Instant) -> Option<Command> {
        if !self.has_input() {
            return None;
        }
        if self.input.fill(&mut self.stream).is_err() {
            self.state = State::Broken;
            return None;
        }
        if let Some(request) = self.input.take_line(Request::parse) {
            match request {
                Ok(Request { id, command, .. }) => {
                    self.state = State::Asked { id };
                    return Some(command);
                }
                Err(response) => self.send(&response, now),
            }
        } else if self.input.is_full() {
            let message = format!("a request has at most {REQUEST_OCTETS_MAX} octets");
            self.end(ErrorCode::TooLong, message, now);
        } else if self.input.ended {
            if self.input.is_empty() {
                self.state = State::Ending;
            } else {
                self.end(ErrorCode::Malformed, "the request has no end of line", now);
            }
        }
        None
    }

    /// Answers the command that is with the gateway.
    pub(super) fn respond(&mut self, outcome: Outcome, now: Instant) {
        if let State::Asked { id } = self.state {
            self.state = State::Open;
            self.send(&Response::new(id, outcome), now);
        }
    }

    fn may_ask(&self) -> bool {
        self.state == State::Open && self.output.is_empty()
    }

    fn end(&mut self, code: ErrorCode, message: impl Into<String>, now: Instant) {
        self.state = State::Ending;
        self.send(&Response::failure(None, Failure::new(code, message)), now);
    }

    fn send(&mut self, response: &Response, now: Instant) {
        self.output = Output { line: line_of(response), sent: 0 };
        self.deadline = now + IDLE_MAX;
        self.flush();
    }

    fn flush(&mut self) {
        if self.output.flush(&mut self.stream).is_err() {
            self.state = State::Broken;
        }
    }
}

/// What a client has sent. Zeroed as it is taken: there may be keys in it.
struct Input {
    octets: Zeroizing<Box<[u8]>>,
    len: usize,
    /// So many octets are known to have no end of line.
    searched: usize,
    /// The socket may have more.
    readable: bool,
    /// The client sends no more.
    ended: bool,
}

impl Input {
    fn new() -> Self {
        let octets = Zeroizing::new(vec![0; REQUEST_OCTETS_MAX].into_boxed_slice());
        // A client that connects has often sent already: look without waiting for an event.
        Self { octets, len: 0, searched: 0, readable: true, ended: false }
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn is_full(&self) -> bool {
        self.len == self.octets.len()
    }

    fn has_line(&self) -> bool {
        self.octets[self.searched..self.len].contains(&b'\n')
    }

    /// Reads until there is a line, or no more room, or no more to read for now.
    fn fill(&mut self, stream: &mut impl Read) -> io::Result<()> {
        while self.readable && !self.is_full() && !self.has_line() {
            self.searched = self.len;
            match stream.read(&mut self.octets[self.len..]) {
                Ok(0) => {
                    self.ended = true;
                    self.readable = false;
                }
                Ok(count) => self.len += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What `read` makes of the first line, without its end; `None` if there is no whole one.
    fn take_line<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let rest = &self.octets[self.searched..self.len];
        let end = self.searched + rest.iter().position(|&octet| octet == b'\n')?;
        let result = read(&self.octets[..end]);
        self.octets.copy_within(end + 1..self.len, 0);
        let left = self.len - (end + 1);
        self.octets[left..self.len].zeroize();
        (self.len, self.searched) = (left, 0);
        Some(result)
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Input({} octets)", self.len)
    }
}

/// What a client has not taken yet: one response at most.
#[derive(Debug, Default)]
struct Output {
    line: Vec<u8>,
    sent: usize,
}

impl Output {
    fn is_empty(&self) -> bool {
        self.sent == self.line.len()
    }

    /// Writes as much as the socket takes. What has left is given back to the allocator.
    fn flush(&mut self, stream: &mut impl Write) -> io::Result<()> {
        while !self.is_empty() {
            match stream.write(&self.line[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        *self = Self::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_zeroed_as_they_are_taken() {
        let mut input = Input::new();
        input.fill(&mut &b"first 5ec4e7\nsecond 5ec4e7\nrest"[..]).unwrap();
        assert_eq!(input.take_line(<[u8]>::to_vec).unwrap(), b"first 5ec4e7");
        assert_eq!(input.take_line(<[u8]>::to_vec).unwrap(), b"second 5ec4e7");
        assert_eq!(input.take_line(<[u8]>::to_vec), None);
        assert_eq!(&input.octets[..4], b"rest");
        assert!(input.octets[4..].iter().all(|&octet| octet == 0));
        assert_eq!(format!("{input:?}"), "Input(4 octets)");
    }

    #[test]
    fn lines_come_together_from_pieces() {
        let mut input = Input::new();
        for piece in [&b"a"[..], b"bc", b"", b"d\ne"] {
            input.readable = true;
            input.fill(&mut &*piece).unwrap();
        }
        assert_eq!(input.take_line(<[u8]>::to_vec).unwrap(), b"abcd");
        assert_eq!(input.len, 1);
    }
}
