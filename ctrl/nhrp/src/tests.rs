mod client;
mod frr;
mod hostile;
mod names;
mod nat;
mod networks;
mod server;
mod shortcut;
mod transit;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use wire::IpPrefix;
use wire::nhrp::{Builder, Cie, Code, Flags, Header, Kind, Packet, Tag};

use crate::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A way to a peer: an address, or one with a port.
fn path(text: &str) -> Path {
    let behind_nat = |at: SocketAddr| Path { nbma: at.ip(), port: NonZeroU16::new(at.port()) };
    text.parse().map_or_else(|_| ip(text).into(), behind_nat)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn config(own: &str, nbma: &str) -> Config {
    Config {
        addresses: vec![own.parse().unwrap()],
        nbma: ip(nbma),
        holding_time: s(60),
        registration_interval: None,
        authentication: None,
        unique: false,
        servers: Vec::new(),
        clusters: Vec::new(),
        maps: Vec::new(),
        redirect: false,
        shortcut: false,
        protected: false,
    }
}

fn hub() -> Config {
    config("10.255.0.1/24", "10.0.0.1")
}

/// A spoke of the hub, whose protocol address it does not know.
fn spoke() -> Config {
    Config { servers: vec![nhs("10.0.0.1")], ..config("10.255.0.11/24", "10.0.0.11") }
}

fn nhs(nbma: &str) -> NhsConfig {
    NhsConfig { host: ip(nbma).into(), protocol: None, priority: 0, cluster: 0 }
}

/// Where a route leads.
#[derive(Clone, Copy)]
enum Via {
    Local,
    /// To each destination itself, in the tunnel.
    Connected,
    Peer(&'static str),
    OtherTunnel,
}

/// Routes of a site, the longest prefix first. Everybody may be anybody.
#[derive(Clone, Default)]
struct Routes(Vec<(&'static str, Via)>);

impl Overlay for Routes {
    fn route(&self, destination: IpAddr) -> Option<Route> {
        let routes = self.0.iter().map(|(prefix, via)| (prefix.parse().unwrap(), *via));
        let mut routes = routes.filter(|(prefix, _): &(IpPrefix, _)| prefix.contains(destination));
        let (prefix, via) = routes.next()?;
        Some(match via {
            Via::Local => Route::Local(prefix),
            Via::Connected => Route::Tunnel { prefix, next_hop: destination },
            Via::Peer(peer) => Route::Tunnel { prefix, next_hop: ip(peer) },
            Via::OtherTunnel => Route::OtherTunnel(prefix),
        })
    }

    fn may_claim(&self, _: Path, _: IpAddr) -> bool {
        true
    }

    /// Each that no route leads to.
    fn may_be_nbma(&self, nbma: IpAddr) -> bool {
        self.route(nbma).is_none()
    }
}

/// A machine and its clock.
struct Site {
    nhrp: Nhrp,
    routes: Routes,
    now: Instant,
    /// What was to be done since the last look.
    actions: Vec<Action>,
}

impl Site {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        let mut actions = Vec::new();
        let nhrp = Nhrp::new(now, config, 7, &mut actions).unwrap();
        Self { nhrp, routes: Routes::default(), now, actions }
    }

    fn receive(&mut self, from: &str, octets: &[u8]) {
        self.nhrp.receive(self.now, path(from), octets, &self.routes, &mut self.actions);
    }

    fn poll(&mut self) {
        self.nhrp.poll(self.now, &self.routes, &mut self.actions);
    }

    /// Lets time pass, with each deadline served when it comes.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.nhrp.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.poll();
        }
        self.now = end;
    }

    /// What was sent since the last look.
    fn sent(&mut self) -> Vec<(Path, Vec<u8>)> {
        let sent = self.actions.iter().filter_map(|action| match action {
            Action::Send { to, octets } => Some((*to, octets.clone())),
            _ => None,
        });
        let sent = sent.collect();
        self.actions.retain(|action| !matches!(action, Action::Send { .. }));
        sent
    }

    /// The one packet that was sent since the last look.
    fn sent_one(&mut self, to: &str) -> Vec<u8> {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "one packet");
        let (peer, octets) = sent.remove(0);
        assert_eq!(peer, path(to));
        octets
    }

    fn events(&mut self) -> Vec<Event> {
        let events = self.actions.iter().filter_map(|action| match action {
            Action::Event(event) => Some(event.clone()),
            _ => None,
        });
        let events = events.collect();
        self.actions.retain(|action| !matches!(action, Action::Event(_)));
        events
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.nhrp.counters().dropped(reason)
    }

    fn binding(&self, protocol: &str) -> Option<Binding> {
        self.nhrp.bindings().find(|binding| binding.protocol == ip(protocol)).copied()
    }

    fn state(&self, at: usize) -> ServerState {
        self.nhrp.servers().nth(at).unwrap().state
    }
}

fn view(octets: &[u8]) -> Packet<&[u8]> {
    Packet::new_checked(octets).unwrap()
}

fn octets(hex: &str) -> Vec<u8> {
    let digits = hex.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap());
    let digits = digits.map(|digit| u8::try_from(digit).unwrap()).collect::<Vec<_>>();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A request of a client, to be changed.
#[derive(Clone)]
struct Request {
    header: Header,
    cies: Vec<Cie>,
    password: Option<&'static [u8]>,
    extension: Option<Tag>,
}

impl Request {
    /// To register `protocol` at `nbma` with the hub.
    fn registration(protocol: &str, nbma: &str) -> Self {
        let header = Header {
            kind: Kind::RegistrationRequest,
            hop_count: 1,
            flags: Flags::NAT,
            request_id: 77,
            src_nbma: ip(nbma),
            src_protocol: ip(protocol),
            dst_protocol: ip("10.255.0.1"),
        };
        let cie = Cie { prefix_len: 32, holding_time: 60, ..Cie::default() };
        Self { header, cies: vec![cie], password: None, extension: None }
    }

    fn unique(mut self) -> Self {
        self.header.flags = self.header.flags.with(Flags::UNIQUE);
        self
    }

    fn purge(protocol: &str, nbma: &str) -> Self {
        let mut request = Self::registration(protocol, nbma);
        request.header.kind = Kind::PurgeRequest;
        request.cies[0].protocol = Some(ip(protocol));
        request
    }

    fn octets(&self) -> Vec<u8> {
        let mut out = [0; 1280];
        let mut builder = Builder::new(&mut out, &self.header).unwrap();
        self.cies.iter().for_each(|cie| builder.cie(cie).unwrap());
        for kind in [Tag::RESPONDER, Tag::FORWARD_RECORD, Tag::REVERSE_RECORD] {
            builder.extension(Tag::compulsory(kind), &[]).unwrap();
        }
        builder.extension(Tag::optional(Tag::NAT), &[]).unwrap();
        if let Some(password) = self.password {
            builder.authentication(password).unwrap();
        }
        if let Some(tag) = self.extension {
            builder.extension(tag, b"what is it").unwrap();
        }
        let len = builder.finish().unwrap();
        out[..len].to_vec()
    }
}
