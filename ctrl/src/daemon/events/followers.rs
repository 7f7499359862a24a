//! Clients that wait for events.
//!
//! ```text
//! > events after 7, wait    nothing is newer ----.    .- 8 happens, or 20 s are over
//! < events: 8; last: 8      <--------------------'----'
//! > events after 8, wait    …
//! ```
//!
//! An answer that waits takes nothing of the control thread but a look in each turn.

use std::time::Instant;

use crate::api::protocol::{EVENTS_WAIT_MAX, Outcome, Reply};
use crate::api::{ClientId, Server};

use super::Journal;

/// Those who wait: at most as many as the server lets follow.
#[derive(Debug, Default)]
pub(in super::super) struct Followers(Vec<Waiting>);

#[derive(Debug)]
struct Waiting {
    client: ClientId,
    after: Option<u64>,
    until: Instant,
}

impl Followers {
    /// Takes a client's wish to know what happens after an event.
    pub(in super::super) fn add(
        &mut self,
        client: ClientId,
        after: Option<u64>,
        server: &mut Server,
        now: Instant,
    ) {
        match server.follow(client) {
            Ok(()) => self.0.push(Waiting { client, after, until: now + EVENTS_WAIT_MAX }),
            Err(failure) => server.respond(client, Outcome::Error(failure), now),
        }
    }

    /// Answers those for whom there is something, or who have waited long enough.
    pub(in super::super) fn answer(
        &mut self,
        journal: &Journal,
        server: &mut Server,
        now: Instant,
    ) {
        self.0.retain(|waiting| {
            if !server.is_connected(waiting.client) {
                return false;
            }
            if now < waiting.until && !journal.has_news(waiting.after) {
                return true;
            }
            let reply = Reply::Events(journal.since(waiting.after));
            server.respond(waiting.client, Outcome::Ok(reply), now);
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use jiff::Timestamp;
    use mio::{Poll, Token};
    use tempfile::TempDir;

    use super::*;
    use crate::api::protocol::{CLIENTS_MAX, Command, ErrorCode, FOLLOWERS_MAX, Response};
    use crate::api::report::Event;

    /// The part of the control thread's turn that is about events.
    struct Gateway {
        poll: Poll,
        server: Server,
        journal: Journal,
        followers: Followers,
        folder: TempDir,
        now: Instant,
    }

    impl Gateway {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let poll = Poll::new().unwrap();
            let server =
                Server::bind(&folder.path().join("hub.sock"), poll.registry(), Token(0)).unwrap();
            let now = Instant::now();
            let (journal, followers) = (Journal::new(now, [1, 2]), Followers::default());
            Self { poll, server, journal, followers, folder, now }
        }

        fn connect(&self) -> Peer {
            let stream = UnixStream::connect(self.folder.path().join("hub.sock")).unwrap();
            stream.set_nonblocking(true).unwrap();
            Peer(BufReader::new(stream))
        }

        fn turn(&mut self) {
            let mut ready = mio::Events::with_capacity(64);
            self.poll.poll(&mut ready, Some(Duration::ZERO)).unwrap();
            ready.iter().for_each(|event| self.server.ready(event));
            for (client, command) in self.server.take_commands(self.now) {
                match command {
                    Command::Events { after, wait: true } => {
                        self.followers.add(client, after, &mut self.server, self.now);
                    }
                    _ => {
                        let reply = Reply::Cleared { entries: 0 };
                        self.server.respond(client, Outcome::Ok(reply), self.now);
                    }
                }
            }
            self.followers.answer(&self.journal, &mut self.server, self.now);
        }

        fn note(&mut self) {
            let event = Event::LinkUp { port: "wan".into() };
            self.journal.note(self.now, Timestamp::UNIX_EPOCH, event);
        }
    }

    struct Peer(BufReader<UnixStream>);

    impl Peer {
        fn asks(&mut self, command: &str) {
            let line = format!("{{\"version\":1,\"id\":1,\"command\":{command}}}\n");
            self.0.get_mut().write_all(line.as_bytes()).unwrap();
        }

        fn waits_after(&mut self, after: u64) {
            self.asks(&format!("{{\"events\":{{\"after\":{after},\"wait\":true}}}}"));
        }

        fn has(&mut self) -> Option<Outcome> {
            let mut line = String::new();
            self.0.read_line(&mut line).ok().filter(|octets| *octets > 0)?;
            Some(serde_json::from_str::<Response>(&line).unwrap().outcome)
        }

        /// Serial numbers of the events that have come, and the one to go on from.
        fn has_events(&mut self) -> Option<(Vec<u64>, u64)> {
            match self.has()? {
                Outcome::Ok(Reply::Events(report)) => {
                    let serials = report.events.iter().map(|entry| entry.serial).collect();
                    Some((serials, report.last))
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn who_waits_is_answered_when_something_happens() {
        let mut gateway = Gateway::new();
        let (mut first, mut second) = (gateway.connect(), gateway.connect());
        first.waits_after(0);
        second.asks("{\"events\":{\"wait\":true}}");
        gateway.turn();
        assert_eq!(first.has_events(), None);
        gateway.note();
        gateway.turn();
        assert_eq!(first.has_events(), Some((vec![1], 1)));
        assert_eq!(second.has_events(), Some((vec![1], 1)));
        gateway.note();
        first.waits_after(1);
        gateway.turn();
        assert_eq!(first.has_events(), Some((vec![2], 2)), "at once: it has happened before");
    }

    #[test]
    fn who_waits_long_is_answered_with_nothing_and_stays() {
        let mut gateway = Gateway::new();
        let mut peer = gateway.connect();
        peer.waits_after(0);
        gateway.turn();
        gateway.now += EVENTS_WAIT_MAX;
        gateway.turn();
        assert_eq!(peer.has_events(), Some((vec![], 0)));
        gateway.now += Duration::from_secs(3600);
        gateway.turn();
        peer.waits_after(0);
        gateway.note();
        gateway.turn();
        assert_eq!(peer.has_events(), Some((vec![1], 1)), "it may have been stopped meanwhile");
    }

    #[test]
    fn who_leaves_while_it_waits_gives_its_place_back() {
        let mut gateway = Gateway::new();
        for _ in 0..3 * CLIENTS_MAX {
            let mut peer = gateway.connect();
            peer.waits_after(0);
            gateway.turn();
            assert_eq!(gateway.followers.0.len(), 1);
            drop(peer);
            gateway.turn();
            assert_eq!(gateway.followers.0.len(), 0);
        }
        let mut hasty = gateway.connect();
        hasty.waits_after(0);
        drop(hasty);
        gateway.turn();
        gateway.turn();
        assert_eq!(gateway.followers.0.len(), 0, "gone before it was heard");
    }

    #[test]
    fn who_only_listens_on_is_answered() {
        let mut gateway = Gateway::new();
        let mut peer = gateway.connect();
        peer.waits_after(0);
        peer.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
        gateway.turn();
        gateway.note();
        gateway.turn();
        assert_eq!(peer.has_events(), Some((vec![1], 1)));
    }

    #[test]
    fn followers_lock_nobody_out() {
        let mut gateway = Gateway::new();
        let mut peers: Vec<Peer> = (0..FOLLOWERS_MAX).map(|_| gateway.connect()).collect();
        peers.iter_mut().for_each(|peer| peer.waits_after(0));
        gateway.turn();
        let mut late = gateway.connect();
        late.waits_after(0);
        gateway.turn();
        let Some(Outcome::Error(failure)) = late.has() else { panic!("there is no place") };
        assert_eq!(failure.code, ErrorCode::TooManyClients);
        late.asks("{\"ping\":{}}");
        gateway.turn();
        assert!(matches!(late.has(), Some(Outcome::Ok(_))), "other commands are done");

        // A place is not lost between two questions.
        gateway.note();
        gateway.turn();
        late.waits_after(1);
        gateway.turn();
        assert!(matches!(late.has(), Some(Outcome::Error(_))));
        peers.pop();
        gateway.turn();
        late.waits_after(0);
        gateway.turn();
        assert_eq!(late.has_events(), Some((vec![1], 1)));
    }
}
