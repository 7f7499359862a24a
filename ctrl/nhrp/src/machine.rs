//! The machine: what its owner calls, and where each packet goes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use wire::IpPrefix;
use wire::nhrp::{ErrorCode, Kind, Packet};

use crate::action::{Action, Event, Overlay, ServerEntry};
use crate::cache::{Binding, Cache, Origin};
use crate::client::Server;
use crate::config::{Config, ConfigError};
use crate::counters::{Counters, DropReason};
use crate::egress::Answers;
use crate::limits::{ErrorRate, POLL_MAX};
use crate::message::{View, is_authentic};
use crate::path::Path;
use crate::random::Random;
use crate::recall::Recalls;
use crate::redirect::Redirects;
use crate::resolution::Questions;
use crate::shortcut::{Shortcut, Shortcuts};

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
    pub(crate) questions: Questions,
    pub(crate) shortcuts: Shortcuts,
    pub(crate) answers: Answers,
    pub(crate) recalls: Recalls,
    pub(crate) redirects: Redirects,
    /// Peers whose way works, of a protected tunnel.
    pub(crate) reachable: BTreeSet<Path>,
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
            questions: Questions::default(),
            shortcuts: Shortcuts::default(),
            answers: Answers::default(),
            recalls: Recalls::default(),
            redirects: Redirects::default(),
            reachable: BTreeSet::new(),
        };
        machine.configured(now, out);
        Ok(machine)
    }

    /// Another configuration. Registrations with us go on, and so do ours with servers that stay
    /// the same; shortcuts end, and are asked for again when there is traffic. The same one changes
    /// nothing.
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
        if config == self.config {
            return Ok(());
        }
        self.leave_servers(&config, out);
        self.config = config;
        self.configured(now, out);
        Ok(())
    }

    /// Takes an NHRP packet out of the tunnel. `from` is who sent it, by its outer header; by the
    /// tunnel's protection, if it has any.
    pub fn receive(
        &mut self,
        now: Instant,
        from: Path,
        octets: &[u8],
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) {
        let packet = match Packet::new_checked(octets) {
            Ok(packet) => packet,
            Err(error) => return self.counters.malform(error),
        };
        self.counters.receive(packet.kind());
        if let Err(reason) = self.dispatch(now, (from, &packet), overlay, out) {
            self.counters.drop(reason);
        }
    }

    /// The way to a peer works, or does not any more: with protection, whether there is an SA.
    /// Servers whose way came up are registered with at once, and shortcuts are used that waited
    /// for it.
    pub fn peer_state(&mut self, now: Instant, peer: Path, up: bool, out: &mut Vec<Action>) {
        if !up {
            self.reachable.remove(&peer);
        } else if self.reachable.insert(peer) {
            self.hurry(now, peer);
        }
        self.apply_shortcuts(out);
    }

    /// Routes changed: shortcuts and answers that do not fit them any more go.
    pub fn routes_changed(&mut self, now: Instant, overlay: &impl Overlay, out: &mut Vec<Action>) {
        self.check_shortcuts(overlay, out);
        self.check_answers(now, overlay, out);
    }

    /// Packets went by a shortcut, or to a peer that was resolved: it is renewed in time.
    pub fn used(
        &mut self,
        now: Instant,
        prefix: IpPrefix,
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) {
        if let Some(destination) = self.shortcuts.used(now, prefix) {
            self.ask(now, destination, overlay, out);
        }
    }

    /// Takes back registrations with servers, and answers. Drop the machine after it.
    pub fn shutdown(&mut self, out: &mut Vec<Action>) {
        self.take_back_answers(out);
        for at in 0..self.servers.len() {
            self.withdraw(at, out);
        }
    }

    /// Does what is due. Call it when [`Self::poll_timeout`] says.
    pub fn poll(&mut self, now: Instant, overlay: &impl Overlay, out: &mut Vec<Action>) {
        for _ in 0..POLL_MAX {
            let Some(binding) = self.cache.pop_expired(now) else { break };
            let protocol = binding.protocol;
            self.lost(protocol, out);
            if binding.origin == Origin::Registered {
                out.push(Action::Event(Event::Expired { protocol }));
            }
        }
        self.poll_servers(now, out);
        self.poll_shortcuts(now, overlay, out);
        self.poll_questions(now, overlay, out);
        self.poll_recalls(now, out);
        self.answers.expire(now);
        self.redirects.expire(now);
    }

    /// When [`Self::poll`] has something to do; may have passed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let servers = self.servers.iter().filter_map(Server::deadline);
        let others = [
            self.cache.next_deadline(),
            self.questions.next_deadline(),
            self.shortcuts.next_deadline(),
            self.answers.next_deadline(),
            self.recalls.next_deadline(),
            self.redirects.next_deadline(),
        ];
        servers.chain(others.into_iter().flatten()).min()
    }

    /// All shortcuts in force, in the order of prefixes.
    pub fn shortcuts(&self) -> impl Iterator<Item = &Shortcut> {
        self.shortcuts.installed()
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
        (from, packet): (Path, &View<'_>),
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
        // Errors carry no extensions, and so no password; they change nothing.
        if let Some((code, _)) = packet.error() {
            out.push(Action::Event(Event::Error { nbma: from.nbma, code }));
            return Ok(());
        }
        if !is_authentic(&self.config, packet) {
            self.complain(now, (from, packet), ErrorCode::AUTHENTICATION, out);
            return Err(DropReason::Authentication);
        }
        match packet.kind() {
            Kind::RegistrationRequest => self.register((now, from, packet), overlay, out),
            Kind::RegistrationReply => self.registered(now, from, packet, out),
            Kind::ResolutionRequest => self.find_egress((now, from, packet), overlay, out),
            Kind::ResolutionReply => self.resolved((now, from, packet), overlay, out),
            Kind::PurgeRequest => self.purge((now, from, packet), overlay, out),
            Kind::PurgeReply => self.purged((now, from, packet), overlay, out),
            Kind::TrafficIndication => self.indicated((now, from, packet), overlay, out),
            Kind::ErrorIndication => Err(DropReason::Kind),
        }
    }

    /// Says that a peer is not reached any more; shortcuts through it go first.
    pub(crate) fn lost(&mut self, protocol: IpAddr, out: &mut Vec<Action>) {
        self.drop_shortcuts_via(protocol, out);
        out.push(Action::Remove { protocol });
    }

    /// Brings bindings and servers in line with the configuration.
    fn configured(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.forget_shortcuts(out);
        self.questions = Questions::default();
        self.join_servers(now);
        let servers = self.servers.iter().filter_map(|server| {
            let (protocol, nbma) = server.protocol.zip(server.nbma)?;
            Some((protocol, nbma, Origin::Server))
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
                Origin::Resolved => false,
            }
        };
        let gone = self.cache.iter().filter(|binding| !is_wanted(binding));
        let gone = gone.map(|binding| binding.protocol).collect::<Vec<_>>();
        for protocol in gone {
            self.cache.remove(protocol);
            if !wanted.iter().any(|(of, ..)| *of == protocol) {
                self.lost(protocol, out);
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
        let binding = Binding {
            protocol,
            path: nbma.into(),
            nbma,
            claimed: None,
            origin,
            unique: false,
            mtu: 0,
            expires: None,
        };
        if self.cache.find(protocol) != Some(&binding) {
            self.cache.insert(binding);
            out.push(Action::Install(binding));
        }
    }
}
