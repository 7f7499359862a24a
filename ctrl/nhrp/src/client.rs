//! Our registrations with servers (RFC 2332 5.2.3).
//!
//! ```text
//!              wanted                    a good reply
//! [ Standby ] --------> [ Trying ] ----------------------> [ Registered ]
//!      ^                    |  3 requests unanswered            |  3 unanswered
//!      |   a better one     v                                   v
//!      `---- answers ---- [ Down ] <----------------------------'
//!                            `----- a good reply ----> [ Registered ]
//! ```
//!
//! Requests are repeated with the same id after 1, 2, 4 … 64 s; a registration is renewed after a
//! third of its holding time. In a cluster, servers are used in the order of their priority, as
//! many as the configuration says; one that is down is asked still, and another stands in.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use wire::IpPrefix;
use wire::nhrp::{Cie, Code, Flags, Header, Kind, Tag};

use crate::action::{Action, Event, ServerEntry};
use crate::cache::Origin;
use crate::config::{Config, Host, NhsConfig};
use crate::counters::DropReason;
use crate::limits::{HOPS_REGISTRATION, RETRY_FIRST, RETRY_LAST, TRIES_DOWN};
use crate::machine::Nhrp;
use crate::message::{View, host_len, request_extensions};
use crate::names::Lookup;
use crate::path::Path;

/// Whether we are registered with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerState {
    /// Better ones of its cluster do.
    Standby,
    /// Its name has no address yet.
    Unresolved,
    /// It is asked, and has not answered yet.
    Trying,
    /// We are registered.
    Registered,
    /// It does not answer; it is asked still.
    Down,
}

/// A server and our registration with it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) config: NhsConfig,
    /// Where it is; `None` before its name is resolved.
    pub(crate) nbma: Option<IpAddr>,
    pub(crate) lookup: Lookup,
    pub(crate) protocol: Option<IpAddr>,
    pub(crate) state: ServerState,
    /// Id of the last request.
    id: u32,
    /// Requests sent since the last answer.
    tries: u32,
    /// When to send the next request; never on standby, nor without an address.
    pub(crate) due: Option<Instant>,
    /// Our address outside of a NAT.
    outside: Option<IpAddr>,
}

impl Server {
    pub(crate) fn new(config: NhsConfig) -> Self {
        Self {
            nbma: config.host.address(),
            lookup: Lookup::default(),
            protocol: config.protocol,
            config,
            state: ServerState::Standby,
            id: 0,
            tries: 0,
            due: None,
            outside: None,
        }
    }

    /// It is at another address now, where it is asked anew. Whoever stands in for one that was
    /// down does so until it answers.
    pub(crate) fn move_to(&mut self, now: Instant, nbma: IpAddr) {
        let state = match self.state {
            ServerState::Down => ServerState::Down,
            _ => ServerState::Trying,
        };
        let lookup = std::mem::take(&mut self.lookup);
        let fresh = Self::new(self.config.clone());
        *self = Self { nbma: Some(nbma), state, due: Some(now), lookup, ..fresh };
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.lookup.deadline()).min()
    }

    /// How it is reached, once it has an address.
    pub(crate) fn path(&self) -> Option<Path> {
        self.nbma.map(Path::from)
    }

    pub(crate) fn entry(&self) -> ServerEntry {
        let name = match &self.config.host {
            Host::Name(name) => Some(name.clone()),
            Host::Address(_) => None,
        };
        let state = match self.state {
            ServerState::Trying | ServerState::Down if self.nbma.is_none() => {
                ServerState::Unresolved
            }
            state => state,
        };
        let Self { nbma, protocol, outside, .. } = *self;
        ServerEntry { name, nbma, protocol, state, outside }
    }
}

impl Nhrp {
    /// A server that we are registered with: it knows more than we do.
    pub(crate) fn server(&self) -> Option<Path> {
        let mut servers = self.servers.iter();
        servers.find(|server| server.state == ServerState::Registered)?.path()
    }

    /// Forgets servers that another configuration does not have, or would be told other things.
    pub(crate) fn leave_servers(&mut self, next: &Config, out: &mut Vec<Action>) {
        let same_self = next.nbma == self.config.nbma && next.addresses == self.config.addresses;
        for at in (0..self.servers.len()).rev() {
            if !same_self || !next.servers.contains(&self.servers[at].config) {
                self.withdraw(at, out);
                self.servers.remove(at);
            }
        }
    }

    /// Brings servers in the order of the configuration, and begins to use new ones.
    pub(crate) fn join_servers(&mut self, now: Instant) {
        let mut known = std::mem::take(&mut self.servers);
        for config in &self.config.servers {
            let at = known.iter().position(|server| server.config == *config);
            let new = || Server::new(config.clone());
            self.servers.push(at.map_or_else(new, |at| known.swap_remove(at)));
        }
        self.choose(now);
    }

    /// Registers now with a server whose way came up, also if we are registered: a server that
    /// restarted knows nothing of it.
    pub(crate) fn hurry(&mut self, now: Instant, peer: Path) {
        // One for each address family of ours.
        for server in self.servers.iter_mut().filter(|server| server.path() == Some(peer)) {
            server.due = server.due.map(|due| due.min(now));
            // The pause begins anew, the id stays: it is the same request.
            server.tries = server.tries.min(1);
        }
    }

    /// Sends the requests that are due.
    pub(crate) fn poll_servers(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.poll_names(now, out);
        for at in 0..self.servers.len() {
            if self.servers[at].due.is_some_and(|due| due <= now) {
                self.ask_server(now, at, out);
            }
        }
        for at in self.choose(now) {
            self.withdraw(at, out);
            let Server { protocol, nbma, .. } = self.servers[at];
            let fresh = Server::new(self.servers[at].config.clone());
            self.servers[at] = Server { protocol, nbma, ..fresh };
        }
    }

    /// Takes a Registration Reply.
    pub(crate) fn registered(
        &mut self,
        now: Instant,
        from: Path,
        packet: &View<'_>,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
        let header = packet.header();
        let own = self.source_for_reply(&header)?;
        let asked = |server: &Server| {
            server.path() == Some(from) && server.id == header.request_id && server.tries > 0
        };
        let at = self.servers.iter().position(asked).ok_or(DropReason::Unsolicited)?;
        let cie = packet.cies().next().ok_or(DropReason::Unsolicited)?;
        let answers_as = self.servers[at].config.protocol.unwrap_or(header.dst_protocol);
        if !self.config.is_host(answers_as) || self.config.is_own(answers_as) {
            return Err(DropReason::Source);
        }
        let pause = self.config.registration_interval.unwrap_or(self.config.holding_time / 3);
        let pause = self.random.jitter(if cie.code == Code::OK { pause } else { RETRY_LAST });
        let server = &mut self.servers[at];
        server.tries = 0;
        server.due = Some(now + pause);
        if cie.code != Code::OK {
            server.state = ServerState::Trying;
            out.push(Action::Event(Event::ServerRefused { nbma: from.nbma, code: cie.code }));
            return Ok(());
        }
        let outside = packet.extension(Tag::NAT).and_then(|nat| {
            let mut cies = nat.cies().skip(1);
            cies.find(|cie| cie.protocol == Some(own)).and_then(|cie| cie.nbma)
        });
        let before = server.entry();
        let learnt_before = server.protocol.replace(answers_as);
        server.outside = outside.filter(|&outside| outside != self.config.nbma);
        server.state = ServerState::Registered;
        server.lookup.succeeded();
        let changed = server.entry() != before;
        let outside = server.outside;
        if let Some(gone) = learnt_before.filter(|&protocol| protocol != answers_as) {
            self.cache.remove(gone);
            self.lost(gone, out);
        }
        self.fix(answers_as, from.nbma, Origin::Server, out);
        if changed {
            let up = Event::ServerUp { nbma: from.nbma, protocol: answers_as, outside };
            out.push(Action::Event(up));
        }
        Ok(())
    }

    /// Takes a registration back, so that others do not send to where we are not.
    pub(crate) fn withdraw(&mut self, at: usize, out: &mut Vec<Action>) {
        let server = &self.servers[at];
        let id = server.id;
        let (ServerState::Registered, Some(to), Some(protocol)) =
            (server.state, server.path(), server.protocol)
        else {
            return;
        };
        let Some(own) = self.config.source_for(protocol) else { return };
        // The id of the registration, which Cisco expects; nobody waits for a reply.
        let key = (IpPrefix::host(own), protocol);
        self.send_purge(key, (to, id), Flags::NO_REPLY, out);
    }

    /// Sends a request to a server, anew or again, and notes whether it is down.
    fn ask_server(&mut self, now: Instant, at: usize, out: &mut Vec<Action>) {
        let server = &mut self.servers[at];
        let Some(nbma) = server.nbma else { return };
        if server.tries == 0 {
            server.id = next_id(&mut self.request_id);
        } else if server.tries == TRIES_DOWN {
            server.look_again(now);
            if std::mem::replace(&mut server.state, ServerState::Down) != ServerState::Down {
                out.push(Action::Event(Event::ServerDown { nbma }));
            }
        }
        let pause = backoff(server.tries);
        server.tries = server.tries.saturating_add(1);
        server.due = Some(now + self.random.jitter(pause));
        let (protocol, id) = (server.protocol, server.id);
        let Some(own) = self.config.own_for(protocol) else { return };
        let unique = if self.config.unique { Flags::UNIQUE } else { Flags::default() };
        let header = Header {
            kind: Kind::RegistrationRequest,
            hop_count: HOPS_REGISTRATION,
            flags: Flags::NAT.with(unique),
            request_id: id,
            src_nbma: self.config.nbma,
            src_protocol: own,
            dst_protocol: protocol.unwrap_or(own),
        };
        let unspecified = match own {
            IpAddr::V4(_) => IpAddr::from([0; 4]),
            IpAddr::V6(_) => IpAddr::from([0; 16]),
        };
        let nat = Cie {
            prefix_len: host_len(own),
            nbma: Some(nbma),
            protocol: Some(protocol.unwrap_or(unspecified)),
            ..Cie::default()
        };
        self.send(nbma.into(), &header, out, |config, builder| {
            let holding_time = config.holding_seconds();
            builder.cie(&Cie { prefix_len: host_len(own), holding_time, ..Cie::default() })?;
            request_extensions(config, builder, &[nat])
        });
    }

    /// Begins to use the servers that are wanted; says which are used and not wanted any more.
    fn choose(&mut self, now: Instant) -> Vec<usize> {
        // Who stands in for whom: servers of a cluster, for the same address of ours.
        let group = |config: &NhsConfig| (config.cluster, self.config.own_for(config.protocol));
        let mut order = (0..self.servers.len()).collect::<Vec<_>>();
        order.sort_by_key(|&at| {
            let config = &self.servers[at].config;
            (group(config), config.priority, at)
        });
        let mut surplus = Vec::new();
        let (mut last, mut good) = (None, 0);
        for at in order {
            let server = &mut self.servers[at];
            let group = group(&server.config);
            if last.replace(group) != Some(group) {
                good = 0;
            }
            if good >= self.config.cluster_max(group.0) {
                if server.state != ServerState::Standby {
                    surplus.push(at);
                }
                continue;
            }
            if server.state == ServerState::Standby {
                server.state = ServerState::Trying;
                server.begin(now);
            }
            good += usize::from(server.state != ServerState::Down);
        }
        surplus
    }

    /// Our address that a reply is for.
    pub(crate) fn source_for_reply(&self, header: &Header) -> Result<IpAddr, DropReason> {
        let ours = self.config.is_own(header.src_protocol) && header.src_nbma == self.config.nbma;
        if ours { Ok(header.src_protocol) } else { Err(DropReason::NotForUs) }
    }
}

/// The id of a new request (RFC 2332 5.2.0.1).
pub(crate) const fn next_id(last: &mut u32) -> u32 {
    *last = last.wrapping_add(1);
    *last
}

/// The pause after a request that so many came before.
pub(crate) fn backoff(tries: u32) -> Duration {
    RETRY_FIRST.saturating_mul(1_u32.checked_shl(tries.min(16)).unwrap_or(u32::MAX)).min(RETRY_LAST)
}
