use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use mio::{Events, Poll};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::api::protocol::{IDLE_MAX, REQUEST_OCTETS_MAX, Reply, Show};

const FIRST: Token = Token(100);
const PING: &str = "{\"version\":1,\"id\":1,\"command\":{\"ping\":{}}}\n";

/// A gateway that answers `show drops` with a long report and everything else with its count.
struct Gateway {
    poll: Poll,
    events: Events,
    server: Server,
    path: PathBuf,
    _folder: TempDir,
    now: Instant,
    answered: u64,
}

impl Gateway {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/hub.sock");
        let poll = Poll::new().unwrap();
        let server = Server::bind(&path, poll.registry(), FIRST).unwrap();
        let events = Events::with_capacity(64);
        Self { poll, events, server, path, _folder: folder, now: Instant::now(), answered: 0 }
    }

    fn connect(&self) -> Peer {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_nonblocking(true).unwrap();
        Peer(BufReader::new(stream))
    }

    /// What is ready now, and what comes of it.
    fn turn(&mut self) {
        for (client, command) in self.commands() {
            self.answered += 1;
            let reply = match command {
                Command::Show(Show::Drops { .. }) => Ok(long_report()),
                _ => Ok(Reply::Cleared { entries: self.answered }),
            };
            self.server.respond(client, reply, self.now);
        }
    }

    fn commands(&mut self) -> Vec<(ClientId, Command)> {
        self.poll.poll(&mut self.events, Some(Duration::ZERO)).unwrap();
        for event in &self.events {
            self.server.ready(event);
        }
        self.server.take_commands(self.now)
    }

    fn turns(&mut self) {
        self.turn();
        while self.server.next_deadline(self.now) == Some(self.now) {
            self.turn();
        }
    }

    fn clients(&self) -> usize {
        self.server.clients.iter().flatten().count()
    }
}

/// Some 3 MB: more than any socket buffer.
fn long_report() -> Reply {
    let drop = crate::api::report::Drop {
        reason: "unknown_spi".to_owned(),
        description: "x".repeat(900),
        stage: None,
        core: None,
        count: 1,
    };
    Reply::Drops(vec![drop; 3000])
}

struct Peer(BufReader<UnixStream>);

impl Peer {
    fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(octets.as_ref()).unwrap();
    }

    /// All lines that have come; `None` behind them if the gateway has closed.
    fn lines(&mut self) -> Vec<Option<Response>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            match self.0.read_line(&mut line) {
                Ok(0) => {
                    lines.push(None);
                    return lines;
                }
                Ok(_) => lines.push(Some(serde_json::from_str(&line).unwrap())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return lines,
                // How the kernel says that the gateway has closed without reading everything.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    lines.push(None);
                    return lines;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn codes(&mut self) -> Vec<Option<ErrorCode>> {
        let code = |response: Response| match response.outcome {
            Outcome::Error(failure) => failure.code,
            Outcome::Ok(reply) => panic!("{reply:?}"),
        };
        self.lines().into_iter().map(|line| line.map(code)).collect()
    }

    fn is_served(&mut self, gateway: &mut Gateway) -> bool {
        self.send(PING);
        gateway.turns();
        matches!(self.lines()[..], [Some(Response { outcome: Outcome::Ok(_), .. })])
    }
}

#[test]
fn control_socket_0600() {
    let gateway = Gateway::new();
    let mode = std::fs::metadata(&gateway.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn peer_credentials_checked() {
    let mut gateway = Gateway::new();
    let mut first = gateway.connect();
    assert!(first.is_served(&mut gateway), "our own user is let in");
    gateway.server.permits = |_| false;
    let mut second = gateway.connect();
    second.send(PING);
    let before = gateway.answered;
    gateway.turns();
    assert_eq!(second.codes(), [Some(ErrorCode::Forbidden), None]);
    assert_eq!(gateway.answered, before, "no command of a stranger reaches the gateway");
}

#[test]
fn peer_credentials_name_root_and_the_own_user() {
    let own = rustix::process::geteuid().as_raw();
    assert!(is_root_or_our_own(0));
    assert!(is_root_or_our_own(own));
    assert!(!is_root_or_our_own(own + 1));
}

#[test]
fn malformed_clients() {
    let mut gateway = Gateway::new();
    let mut peer = gateway.connect();
    peer.send("\n{\n[]\n\u{1}\n{\"version\":1,\"id\":2,\"command\":{\"x\":{}}}\n");
    peer.send(b"\xff\xfe\n");
    gateway.turns();
    let expected = [
        ErrorCode::Malformed,
        ErrorCode::Malformed,
        ErrorCode::Malformed,
        ErrorCode::Malformed,
        ErrorCode::UnknownCommand,
        ErrorCode::Malformed,
    ];
    assert_eq!(peer.codes(), expected.map(Some));
    assert!(peer.is_served(&mut gateway), "the connection stays");
}

#[test]
fn huge_clients() {
    let mut gateway = Gateway::new();
    let mut longest = format!("{:1$}", PING.trim_end(), REQUEST_OCTETS_MAX - 1);
    longest.push('\n');
    let mut peer = gateway.connect();
    peer.send(&longest);
    gateway.turns();
    assert!(matches!(peer.lines()[..], [Some(Response { outcome: Outcome::Ok(_), .. })]));

    let longer = format!(" {longest}");
    peer.send(&longer);
    gateway.turns();
    assert_eq!(peer.codes(), [Some(ErrorCode::TooLong), None]);
    assert_eq!(gateway.answered, 1);
    assert_eq!(gateway.clients(), 0);
}

#[test]
fn huge_responses_become_an_error() {
    let report = Reply::Cleared { entries: 1 };
    assert!(line_of(&Response::new(1, Outcome::Ok(report))).ends_with(b"}\n"));
    let reload = crate::api::protocol::Reload {
        added: vec!["x".repeat(RESPONSE_OCTETS_MAX)],
        ..Default::default()
    };
    let line = line_of(&Response::new(1, Outcome::Ok(Reply::Reloaded(reload))));
    let response: Response = serde_json::from_slice(&line).unwrap();
    assert_eq!(response.id, Some(1));
    assert!(matches!(response.outcome, Outcome::Error(Failure { code: ErrorCode::TooLong, .. })));
}

#[test]
fn slow_clients_that_dribble_a_request() {
    let mut gateway = Gateway::new();
    let mut slow = gateway.connect();
    let mut other = gateway.connect();
    for octet in PING.trim_end().bytes() {
        slow.send([octet]);
        assert!(other.is_served(&mut gateway));
        gateway.now += Duration::from_secs(1);
    }
    assert_eq!(gateway.clients(), 2);
    assert!(gateway.server.next_deadline(gateway.now).unwrap() <= gateway.now + IDLE_MAX);
    gateway.now += IDLE_MAX;
    gateway.turns();
    assert_eq!(slow.lines(), [None], "octets alone do not keep a connection");
    assert_eq!(gateway.clients(), 0);
}

#[test]
fn slow_clients_that_take_no_response() {
    let mut gateway = Gateway::new();
    let mut slow = gateway.connect();
    let mut other = gateway.connect();
    let show = "{\"version\":1,\"id\":1,\"command\":{\"show\":{\"what\":\"drops\"}}}\n";
    slow.send(show.repeat(3));
    gateway.turns();
    assert_eq!(gateway.answered, 1, "asks again only when it has taken the response");
    assert!(other.is_served(&mut gateway));

    let mut octets = Vec::new();
    let mut piece = vec![0; 1 << 20];
    while octets.iter().filter(|&&octet| octet == b'\n').count() < 3 {
        match slow.0.get_mut().read(&mut piece) {
            Ok(count) => octets.extend_from_slice(&piece[..count]),
            Err(_) => gateway.turns(),
        }
    }
    assert_eq!(gateway.answered, 4);
    assert_eq!(octets.len(), 3 * line_of(&Response::new(1, Outcome::Ok(long_report()))).len());

    slow.send(show);
    gateway.turns();
    gateway.now += IDLE_MAX;
    gateway.turns();
    assert_eq!(gateway.clients(), 0, "a response that is not taken goes in the end");
}

#[test]
fn a_client_is_not_idle_while_the_gateway_works() {
    let mut gateway = Gateway::new();
    let mut peer = gateway.connect();
    peer.send(PING.repeat(2));
    let commands = gateway.commands();
    let [(client, Command::Ping {})] = commands[..] else { panic!("{commands:?}") };
    assert_eq!(gateway.commands(), [], "one command at a time");
    gateway.now += IDLE_MAX * 2;
    gateway.turns();
    gateway.server.respond(client, Ok(Reply::Cleared { entries: 0 }), gateway.now);
    gateway.turns();
    assert_eq!(peer.lines().len(), 2);
    gateway.server.respond(client, Ok(Reply::Cleared { entries: 0 }), gateway.now);
    assert_eq!(peer.lines(), [], "a second response to one command is not sent");
}

#[test]
fn responses_to_clients_that_are_gone_go_nowhere() {
    let mut gateway = Gateway::new();
    let mut peer = gateway.connect();
    peer.send(PING);
    let client = gateway.commands()[0].0;
    drop(peer);
    gateway.turns();
    gateway.server.respond(client, Ok(Reply::Cleared { entries: 0 }), gateway.now);
    gateway.turns();
    assert_eq!(gateway.clients(), 0);
    let mut next = gateway.connect();
    next.send(PING);
    let place = gateway.commands()[0].0.place;
    assert_eq!(place, client.place);
    gateway.server.respond(client, Ok(Reply::Cleared { entries: 0 }), gateway.now);
    assert_eq!(next.lines(), [], "it was not this one's");
}

#[test]
fn a_client_that_leaves_while_it_waits_is_noticed() {
    let mut gateway = Gateway::new();
    let mut peer = gateway.connect();
    peer.send(PING.repeat(2));
    let client = gateway.commands()[0].0;
    assert!(gateway.server.is_connected(client));
    peer.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    gateway.turns();
    assert!(gateway.server.is_connected(client), "it still takes an answer");
    drop(peer);
    gateway.turns();
    assert!(!gateway.server.is_connected(client));
    assert_eq!((gateway.clients(), gateway.answered), (0, 0));
}

#[test]
fn a_client_that_follows_may_be_idle_but_has_to_take_its_responses() {
    let mut gateway = Gateway::new();
    let mut peer = gateway.connect();
    peer.send(PING);
    let client = gateway.commands()[0].0;
    gateway.server.follow(client).unwrap();
    gateway.server.respond(client, Ok(Reply::Cleared { entries: 0 }), gateway.now);
    gateway.now += IDLE_MAX * 2;
    gateway.turns();
    assert_eq!(peer.lines().len(), 1);
    assert!(peer.is_served(&mut gateway));

    peer.send("{\"version\":1,\"id\":1,\"command\":{\"show\":{\"what\":\"drops\"}}}\n");
    gateway.turns();
    gateway.now += IDLE_MAX;
    gateway.turns();
    assert_eq!(gateway.clients(), 0);
}

#[test]
fn too_many_clients_are_turned_away() {
    let mut gateway = Gateway::new();
    let mut peers: Vec<Peer> = (0..CLIENTS_MAX).map(|_| gateway.connect()).collect();
    gateway.turns();
    let mut late = gateway.connect();
    gateway.turns();
    assert_eq!(late.codes(), [Some(ErrorCode::TooManyClients), None]);
    assert!(peers.iter_mut().all(|peer| peer.is_served(&mut gateway)));
    peers.pop();
    gateway.turns();
    assert!(gateway.connect().is_served(&mut gateway), "a place is free again");
}

#[test]
fn what_was_asked_before_the_end_is_answered() {
    let mut gateway = Gateway::new();
    let mut peer = gateway.connect();
    peer.send(PING.repeat(5));
    peer.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    gateway.turns();
    assert_eq!(
        peer.lines().iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, true, true, true, true, false]
    );

    let mut cut = gateway.connect();
    cut.send(PING.trim_end());
    cut.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    gateway.turns();
    assert_eq!(cut.codes(), [Some(ErrorCode::Malformed), None], "it may lack its half");
    assert_eq!(gateway.answered, 5);
}

#[test]
fn a_live_socket_is_refused_and_a_stale_one_replaced() {
    let gateway = Gateway::new();
    let bind = |path: &Path| Server::bind(path, gateway.poll.registry(), FIRST);
    assert!(matches!(bind(&gateway.path), Err(BindError::InUse { .. })));
    assert!(gateway.path.exists(), "and is still there");

    let stale = gateway.path.with_file_name("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    let other = bind(&stale).unwrap();
    assert!(UnixStream::connect(&stale).is_ok());
    drop(other);
    assert!(!stale.exists(), "a server takes its name away");

    std::fs::write(&stale, "precious").unwrap();
    assert!(matches!(bind(&stale), Err(BindError::NotASocket { .. })));
    assert_eq!(std::fs::read_to_string(&stale).unwrap(), "precious");
}

#[test]
fn the_name_of_another_gateway_stays() {
    let gateway = Gateway::new();
    let path = gateway.path.clone();
    std::fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(gateway.server);
    assert!(path.exists());
}

/// Pieces that come close to requests.
fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..60),
        Just(PING.as_bytes().to_vec()),
        Just(b"\n".to_vec()),
        (0..PING.len()).prop_map(|cut| PING.as_bytes()[cut..].to_vec()),
        (0..PING.len()).prop_map(|cut| PING.as_bytes()[..cut].to_vec()),
        Just(b"{\"version\":1,\"id\":1,\"command\":{\"sa_add\":{\"key\":".to_vec()),
        Just(vec![b'['; 500]),
    ];
    vec(piece, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_malformed_line_has_one_answer(pieces in pieces()) {
        let mut gateway = Gateway::new();
        let mut peer = gateway.connect();
        for piece in &pieces {
            peer.send(piece);
            gateway.turn();
        }
        peer.send("\n");
        gateway.turns();
        let sent = [pieces.concat(), b"\n".to_vec()].concat();
        let lines = sent.iter().filter(|&&octet| octet == b'\n').count();
        let answers = peer.lines();
        prop_assert_eq!(answers.len(), lines);
        prop_assert!(answers.iter().all(Option::is_some));
        prop_assert!(peer.is_served(&mut gateway));
    }
}
