//! The machine: what its owner calls, and where each packet goes.

use std::net::IpAddr;
use std::time::Instant;

use wire::nhrp::{Code, ErrorCode, Kind, Packet};

use crate::cache::{Binding, Cache, Origin};
use crate::client::{Server, ServerState};
use crate::config::{Config, ConfigError};
use crate::counters::{Counters, DropReason};
use crate::limits::{ErrorRate, POLL_MAX};
use crate::message::{View, has_unknown_compulsory, is_authentic};
use crate::random::Random;

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send an NHRP packet through the tunnel.
    Send {
        /// NBMA address to send it to.
        to: IpAddr,
        /// The packet, from its fixed header on; GRE type 0x2001.
        octets: Vec<u8>,
    },
    /// A peer is reached so from now on; it may have been reached otherwise before.
    Install(Binding),
    /// A peer is not reached any more.
    Remove {
        /// Its protocol address.
        protocol: IpAddr,
    },
    /// Something for operators.
    Event(Event),
}

/// What operators want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A client registered, or moved.
    Registered {
        /// Its protocol address.
        protocol: IpAddr,
        /// Its NBMA address, outside of a NAT.
        nbma: IpAddr,
    },
    /// A registration ended without being renewed.
    Expired {
        /// Protocol address of the client.
        protocol: IpAddr,
    },
    /// A client took its registration back.
    Withdrawn {
        /// Its protocol address.
        protocol: IpAddr,
    },
    /// A registration was refused.
    Refused {
        /// The address that the client wanted.
        protocol: IpAddr,
        /// Where it came from.
        nbma: IpAddr,
        /// Why.
        code: Code,
    },
    /// We are registered with a server; or something about it changed.
    ServerUp {
        /// Its NBMA address.
        nbma: IpAddr,
        /// Its protocol address.
        protocol: IpAddr,
        /// Our address outside of a NAT, if there is one between.
        outside: Option<IpAddr>,
    },
    /// A server does not answer.
    ServerDown {
        /// Its NBMA address.
        nbma: IpAddr,
    },
    /// A server refused to register us.
    ServerRefused {
        /// Its NBMA address.
        nbma: IpAddr,
        /// Why.
        code: Code,
    },
    /// Somebody complains about a packet of ours.
    Error {
        /// Where the complaint came from.
        nbma: IpAddr,
        /// What it says.
        code: ErrorCode,
    },
}

/// What the machine asks its owner.
pub trait Policy {
    /// Whether the peer at an NBMA address, by its authenticated identity, may have a protocol
    /// address.
    fn may_claim(&self, nbma: IpAddr, protocol: IpAddr) -> bool;
}

/// A server, for reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerEntry {
    /// Its NBMA address.
    pub nbma: IpAddr,
    /// Its protocol address, if it is known.
    pub protocol: Option<IpAddr>,
    /// Whether we are registered with it.
    pub state: ServerState,
    /// Our address outside of a NAT, if there is one between.
    pub outside: Option<IpAddr>,
}

/// NHRP of one tunnel interface.
#[derive(Debug)]
pub struct Nhrp {
    pub(crate) config: Config,
    pub(crate) cache: Cache,
    pub(crate) servers: Vec<Server>,
    pub(crate) counters: Counters,
    pub(crate) error_rate: ErrorRate,
    pub(crate) random: Random,
    pub(crate) request_id: u32,
}

impl Nhrp {
    /// A machine that begins to register at `now`: poll it then. `seed` is random, so that timers
    /// are spread, and request ids differ from those before a restart (RFC 2332 5.2.0.1).
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn new(
        now: Instant,
        config: Config,
        seed: u64,
        out: &mut Vec<Action>,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let mut random = Random::new(seed);
        let request_id = random.next();
        let mut machine = Self {
            config,
            cache: Cache::default(),
            servers: Vec::new(),
            counters: Counters::default(),
            error_rate: ErrorRate::default(),
            random,
            request_id,
        };
        machine.configured(now, out);
        Ok(machine)
    }

    /// Another configuration. What it does not touch goes on: registrations with us, and ours with
    /// servers that stay the same.
    ///
    /// # Errors
    /// See [`ConfigError`]; then nothing has changed.
    pub fn configure(
        &mut self,
        now: Instant,
        config: Config,
        out: &mut Vec<Action>,
    ) -> Result<(), ConfigError> {
        config.check()?;
        self.leave_servers(&config, out);
        self.config = config;
        self.configured(now, out);
        Ok(())
    }

    /// Takes an NHRP packet out of the tunnel. `from` is its outer source address; after the
    /// tunnel's protection, if it has any.
    pub fn receive(
        &mut self,
        now: Instant,
        from: IpAddr,
        octets: &[u8],
        policy: &impl Policy,
        out: &mut Vec<Action>,
    ) {
        let packet = match Packet::new_checked(octets) {
            Ok(packet) => packet,
            Err(error) => return self.counters.malform(error),
        };
        self.counters.receive(packet.kind());
        if let Err(reason) = self.dispatch(now, (from, &packet), policy, out) {
            self.counters.drop(reason);
        }
    }

    /// Whether the way to a peer's NBMA address works: with protection, whether there is an SA.
    /// Servers whose way came up are registered with at once.
    pub fn peer_reachable(&mut self, now: Instant, nbma: IpAddr) {
        self.hurry(now, nbma);
    }

    /// Takes back registrations with servers. Drop the machine after it.
    pub fn shutdown(&mut self, out: &mut Vec<Action>) {
        for at in 0..self.servers.len() {
            self.withdraw(at, out);
        }
    }

    /// Does what is due. Call it when [`Self::poll_timeout`] says.
    pub fn poll(&mut self, now: Instant, out: &mut Vec<Action>) {
        for _ in 0..POLL_MAX {
            let Some(binding) = self.cache.pop_expired(now) else { break };
            let protocol = binding.protocol;
            out.push(Action::Remove { protocol });
            out.push(Action::Event(Event::Expired { protocol }));
        }
        self.poll_servers(now, out);
    }

    /// When [`Self::poll`] has something to do; may have passed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let servers = self.servers.iter().filter_map(Server::deadline);
        servers.chain(self.cache.next_deadline()).min()
    }

    /// All bindings, in the order of protocol addresses.
    pub fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.cache.iter()
    }

    /// All servers, in the order of the configuration.
    pub fn servers(&self) -> impl Iterator<Item = ServerEntry> + '_ {
        self.servers.iter().map(Server::entry)
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn dispatch(
        &mut self,
        now: Instant,
        (from, packet): (IpAddr, &View<'_>),
        policy: &impl Policy,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
        // Errors carry no extensions, and so no password; they change nothing.
        if let Some((code, _)) = packet.error() {
            out.push(Action::Event(Event::Error { nbma: from, code }));
            return Ok(());
        }
        if !is_authentic(&self.config, packet) {
            self.complain(now, (from, packet), ErrorCode::AUTHENTICATION, out);
            return Err(DropReason::Authentication);
        }
        if has_unknown_compulsory(packet) {
            self.complain(now, (from, packet), ErrorCode::UNRECOGNIZED_EXTENSION, out);
            return Err(DropReason::Extension);
        }
        match packet.kind() {
            Kind::RegistrationRequest => self.register((now, from, packet), policy, out),
            Kind::RegistrationReply => self.registered(now, from, packet, out),
            Kind::PurgeRequest => self.purge(from, packet, out),
            _ => Err(DropReason::Kind),
        }
    }

    /// Brings bindings and servers in line with the configuration.
    fn configured(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.join_servers(now);
        let servers = self.servers.iter().filter_map(|server| {
            let binding = |protocol| (protocol, server.config.nbma, Origin::Server);
            server.protocol.map(binding)
        });
        let maps = self.config.maps.iter().map(|map| (map.protocol, map.nbma, Origin::Static));
        let wanted = servers.chain(maps).collect::<Vec<_>>();
        let is_wanted = |binding: &Binding| {
            let is = (binding.protocol, binding.nbma, binding.origin);
            match binding.origin {
                Origin::Registered => {
                    self.config.is_host(binding.protocol) && !self.config.is_own(binding.protocol)
                }
                Origin::Static | Origin::Server => wanted.contains(&is),
            }
        };
        let gone = self.cache.iter().filter(|binding| !is_wanted(binding));
        let gone = gone.map(|binding| binding.protocol).collect::<Vec<_>>();
        for protocol in gone {
            self.cache.remove(protocol);
            if !wanted.iter().any(|(of, ..)| *of == protocol) {
                out.push(Action::Remove { protocol });
            }
        }
        for (protocol, nbma, origin) in wanted {
            self.fix(protocol, nbma, origin, out);
        }
    }

    /// Makes a binding that does not end, unless it is there.
    pub(crate) fn fix(
        &mut self,
        protocol: IpAddr,
        nbma: IpAddr,
        origin: Origin,
        out: &mut Vec<Action>,
    ) {
        let binding =
            Binding { protocol, nbma, claimed: None, origin, unique: false, mtu: 0, expires: None };
        if self.cache.find(protocol) != Some(&binding) {
            self.cache.insert(binding);
            out.push(Action::Install(binding));
        }
    }
}
