//! Servers that are configured by name.
//!
//! ```text
//!               an address                        silent for 7 s, looked up again
//! [ no address ] --------> [ at the first of them ] -----------------------------> [ at the next ]
//! ```
//!
//! To resolve a name takes sockets and time, so the owner does it: [`Action::LookUp`], and then
//! [`Nhrp::looked_up`]. A name is looked up when its server is wanted, again after five minutes,
//! since the answer may have changed, and when the server has become silent, with growing pauses.
//! A server stays at its address as long as that is among those of its name and answers. A look-up
//! without an answer changes nothing: it is repeated after 1, 2, 4 … 64 s.

use std::net::IpAddr;
use std::time::Instant;

use crate::action::{Action, Event, Overlay};
use crate::cache::Origin;
use crate::client::{Server, ServerState, backoff};
use crate::config::Host;
use crate::limits::LOOK_UP_AGAIN;
use crate::machine::Nhrp;

/// When to look a server's name up.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    /// `None`: while the answer is awaited, on standby, and of a server without a name.
    due: Option<Instant>,
    /// Look-ups and silences since the server last registered us.
    failures: u32,
    /// Operators know that the name has no address.
    told: bool,
    /// Addresses that operators know to be of no use.
    refused: Vec<IpAddr>,
}

impl Lookup {
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// The server has registered us.
    pub(crate) const fn succeeded(&mut self) {
        self.failures = 0;
    }
}

impl Server {
    /// Begins to look for a server, or to ask one whose address is known.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.due = self.nbma.map(|_| now);
        if let Host::Name(_) = self.config.host {
            self.lookup.due = Some(now);
        }
    }

    /// The server has become silent: perhaps it is elsewhere now.
    pub(crate) fn look_again(&mut self, now: Instant) {
        let again = now + backoff(self.lookup.failures);
        if let Some(due) = &mut self.lookup.due {
            *due = again.min(*due);
            self.lookup.failures = self.lookup.failures.saturating_add(1);
        }
    }
}

impl Nhrp {
    /// Has names looked up that are due, each once however many servers have it.
    pub(crate) fn poll_names(&mut self, now: Instant, out: &mut Vec<Action>) {
        for at in 0..self.servers.len() {
            let server = &self.servers[at];
            let Host::Name(name) = &server.config.host else { continue };
            if server.lookup.due.is_some_and(|due| due <= now) {
                let name = name.clone();
                for other in self.servers.iter_mut().filter(|of| of.config.host.is(&name)) {
                    other.lookup.due = None;
                }
                out.push(Action::LookUp { name });
            }
        }
    }

    /// What a name has turned out to be: its addresses, of whatever family, or why there are none.
    /// Answers an [`Action::LookUp`].
    pub fn looked_up(
        &mut self,
        now: Instant,
        name: &str,
        found: Result<&[IpAddr], String>,
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) {
        for at in 0..self.servers.len() {
            let server = &self.servers[at];
            if !server.config.host.is(name) || server.state == ServerState::Standby {
                continue;
            }
            let found = found.clone().and_then(|all| self.choose_address(at, all, overlay, out));
            let moved = match found {
                Ok(nbma) => self.locate(now, at, nbma, out),
                Err(why) => {
                    self.fail(at, why, out);
                    false
                }
            };
            let server = &mut self.servers[at];
            let pause = if moved || server.state == ServerState::Registered {
                LOOK_UP_AGAIN
            } else {
                server.lookup.failures = server.lookup.failures.saturating_add(1);
                backoff(server.lookup.failures - 1)
            };
            server.lookup.due = Some(now + self.random.jitter(pause));
        }
    }

    /// The address that a server is to be at, of those that its name has.
    fn choose_address(
        &mut self,
        at: usize,
        found: &[IpAddr],
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) -> Result<IpAddr, String> {
        // As in the configuration, a server is registered with once by each address of ours.
        let own = |server: &Server| self.config.own_for(server.config.protocol);
        let others = self.servers.iter().enumerate().filter(|(other, _)| *other != at);
        let others = others.filter(|(_, other)| own(other) == own(&self.servers[at]));
        let taken: Vec<IpAddr> = others.filter_map(|(_, other)| other.nbma).collect();
        let family = found.iter().filter(|nbma| nbma.is_ipv4() == self.config.nbma.is_ipv4());
        let is_good = |nbma: &IpAddr| {
            self.config.is_host(*nbma) && *nbma != self.config.nbma && overlay.may_be_nbma(*nbma)
        };
        let (good, bad): (Vec<IpAddr>, Vec<IpAddr>) = family.copied().partition(is_good);
        let server = &mut self.servers[at];
        for nbma in bad.iter().filter(|nbma| !server.lookup.refused.contains(nbma)) {
            out.push(Action::Event(Event::AddressRefused { nbma: *nbma }));
        }
        server.lookup.refused = bad;
        let good: Vec<IpAddr> = good.into_iter().filter(|nbma| !taken.contains(nbma)).collect();
        let place = good.iter().position(|nbma| Some(*nbma) == server.nbma);
        let wanted = match place {
            Some(place) if server.state == ServerState::Down => (place + 1) % good.len(),
            Some(place) => place,
            None => 0,
        };
        good.get(wanted).copied().ok_or_else(|| "none of its addresses can be used".to_owned())
    }

    /// A server is at this address; says whether that is news. A registration at another one is
    /// given up.
    fn locate(&mut self, now: Instant, at: usize, nbma: IpAddr, out: &mut Vec<Action>) -> bool {
        self.servers[at].lookup.told = false;
        if self.servers[at].nbma == Some(nbma) {
            return false;
        }
        self.withdraw(at, out);
        let server = &mut self.servers[at];
        let learnt = server.protocol.filter(|_| server.config.protocol.is_none());
        server.move_to(now, nbma);
        let protocol = server.protocol;
        if let Some(gone) = learnt {
            self.cache.remove(gone);
            self.lost(gone, out);
        }
        if let Some(protocol) = protocol {
            self.fix(protocol, nbma, Origin::Server, out);
        }
        true
    }

    /// A name has no address for us. Operators are told once; another server may stand in for one
    /// that has never had any.
    fn fail(&mut self, at: usize, why: String, out: &mut Vec<Action>) {
        let server = &mut self.servers[at];
        if server.nbma.is_none() {
            server.state = ServerState::Down;
        }
        if let Host::Name(name) = &server.config.host
            && !std::mem::replace(&mut server.lookup.told, true)
        {
            out.push(Action::Event(Event::NameFailed { name: name.clone(), why }));
        }
    }
}
