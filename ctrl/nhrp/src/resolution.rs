//! Questions of ours: which peer is a destination behind (RFC 2332 5.2.1, 5.2.2)?
//!
//! ```text
//! spoke > hub .. egress   Resolution Request  destination, our NBMA address outside of a NAT
//! egress .. hub > spoke   Resolution Reply    prefix, protocol and NBMA address of the egress;
//!                                             or a code: there is no binding
//! ```
//!
//! A question is repeated with the same id after 1, 2, 4, 7, 7 … s and given up after 30 s. What
//! has no answer is not asked again for a while. The answer may come direct or by the hub; it is
//! for no more than our own route to the destination is, and never for what leads to the egress.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use wire::IpPrefix;
use wire::nhrp::{Cie, Code, Flags, Header, Kind};

use crate::action::{Action, Event, Overlay, Route};
use crate::cache::{Binding, Origin};
use crate::client::next_id;
use crate::counters::DropReason;
use crate::limits::{ASK_AGAIN, GIVE_UP, HOPS, NEGATIVE, POLL_MAX, QUESTIONS_MAX, SHORTCUTS_MAX};
use crate::machine::Nhrp;
use crate::message::{View, host_len, outside_of, request_extensions};
use crate::path::Path;
use crate::shortcut::Shortcut;
use crate::timers::Timers;

/// What is known about a destination without an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Question {
    /// It is asked for.
    Open { id: u32, tries: usize, since: Instant },
    /// There is no shorter way.
    Negative,
}

/// All questions, by destination.
pub(crate) type Questions = Timers<IpAddr, Question>;

impl Nhrp {
    /// Asks which peer a destination is behind, or what the NBMA address of a next hop is, unless
    /// it is known or asked for. The answer comes as [`Action::Install`], and as
    /// [`Action::InstallShortcut`] if the destination is behind a peer.
    pub fn resolve(
        &mut self,
        now: Instant,
        destination: IpAddr,
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) {
        let known = self.cache.find(destination).is_some() || self.shortcuts.covers(destination);
        if !known {
            self.ask(now, destination, overlay, out);
        }
    }

    /// Asks for a destination, unless it is asked for or has no answer.
    pub(crate) fn ask(
        &mut self,
        now: Instant,
        destination: IpAddr,
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) {
        if self.questions.find(destination).is_some() || !self.config.is_host(destination) {
            return;
        }
        if self.questions.len() >= QUESTIONS_MAX {
            return self.counters.drop(DropReason::Full);
        }
        let id = next_id(&mut self.request_id);
        self.question(now, destination, (id, 0, now), overlay, out);
    }

    /// Repeats questions, and gives up those that nobody answers.
    pub(crate) fn poll_questions(
        &mut self,
        now: Instant,
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) {
        for _ in 0..POLL_MAX {
            let Some((destination, question)) = self.questions.pop(now) else { break };
            let Question::Open { id, tries, since } = question else { continue };
            if now.saturating_duration_since(since) < GIVE_UP {
                self.question(now, destination, (id, tries, since), overlay, out);
            } else {
                self.unresolved(now, destination, None, out);
            }
        }
    }

    /// Takes a Resolution Reply, or passes it on.
    pub(crate) fn resolved(
        &mut self,
        (now, from, packet): (Instant, Path, &View<'_>),
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
        let header = packet.header();
        if !self.config.is_own(header.src_protocol) {
            return self.pass_on((now, from, packet), header.src_protocol, overlay, out);
        }
        self.source_for_reply(&header)?;
        self.check_extensions((now, from, packet), out)?;
        let destination = header.dst_protocol;
        match self.questions.find(destination) {
            Some(Question::Open { id, .. }) if *id == header.request_id => {}
            _ => return Err(DropReason::Unsolicited),
        }
        let cie = packet.cies().next().ok_or(DropReason::Unsolicited)?;
        if cie.code != Code::OK || cie.holding_time == 0 {
            self.unresolved(now, destination, Some(cie.code), out);
            return Ok(());
        }
        let next_hop = cie.protocol.unwrap_or(destination);
        let nbma = outside_of(packet, next_hop).or(cie.nbma).ok_or(DropReason::Source)?;
        let is_peer = |address| self.config.is_host(address) && !self.config.is_own(address);
        if !is_peer(next_hop) || !is_peer(nbma) || nbma == self.config.nbma || nbma == next_hop {
            return Err(DropReason::Source);
        }
        let Some(Route::Tunnel { prefix, next_hop: via }) = overlay.route(destination) else {
            self.questions.remove(destination);
            return Ok(());
        };
        // The way goes through that peer already; or nobody can say which of several it is that
        // share an address, which is so of those who are behind the same NAT as we are, too.
        let path = self.path_of_answer((from, nbma), overlay);
        let Some(path) = path.filter(|_| via != next_hop || next_hop == destination) else {
            self.unresolved(now, destination, Some(cie.code), out);
            return Ok(());
        };
        self.questions.remove(destination);
        let expires = now + Duration::from_secs(cie.holding_time.into());
        let path = self.bind((next_hop, nbma, path), expires, cie.mtu, out);
        let told = if next_hop == destination { None } else { cie.prefix(destination).ok() };
        let prefix = self.clamp(destination, told, prefix, path.nbma);
        if self.shortcuts.find(prefix).is_none() && self.shortcuts.len() >= SHORTCUTS_MAX {
            return Err(DropReason::Full);
        }
        let shortcut = Shortcut { prefix, next_hop, path, expires };
        self.enter_shortcut(now, destination, shortcut, out);
        Ok(())
    }

    /// How the peer at the NBMA address of an answer, which came from `from`, is reached.
    fn path_of_answer(&self, (from, nbma): (Path, IpAddr), overlay: &impl Overlay) -> Option<Path> {
        let is_server = self.servers.iter().any(|server| server.path() == Some(from));
        let is_direct = overlay.seen_at(from) == nbma && !is_server;
        let hairpin = self.servers.iter().any(|server| server.entry().outside == Some(nbma));
        if is_direct { Some(from) } else { overlay.path_to(nbma).filter(|_| !hairpin) }
    }

    /// Sends a question, and notes when to do so again.
    fn question(
        &mut self,
        now: Instant,
        destination: IpAddr,
        (id, tries, since): (u32, usize, Instant),
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) {
        let Some(Route::Tunnel { next_hop, .. }) = overlay.route(destination) else { return };
        let pause = Duration::from_secs(ASK_AGAIN[tries.min(ASK_AGAIN.len() - 1)]);
        let open = Question::Open { id, tries: tries + 1, since };
        self.questions.insert(destination, now + pause, open);
        let own = self.config.source_for(destination);
        let (Some(own), Some(to)) = (own, self.way_of_questions(destination, next_hop)) else {
            return;
        };
        let header = Header {
            kind: Kind::ResolutionRequest,
            hop_count: HOPS,
            flags: Flags::ROUTER
                .with(Flags::AUTHORITATIVE)
                .with(Flags::SOURCE_STABLE)
                .with(Flags::NAT),
            request_id: id,
            src_nbma: self.config.nbma,
            src_protocol: own,
            dst_protocol: destination,
        };
        let outside = self.outside(own);
        self.send(to, &header, out, |config, builder| {
            let holding_time = config.holding_seconds();
            builder.cie(&Cie { prefix_len: host_len(own), holding_time, ..Cie::default() })?;
            request_extensions(config, builder, outside.as_slice())
        });
    }

    /// The CIE of a NAT extension that says where we are, if we are behind a NAT.
    pub(crate) fn outside(&self, own: IpAddr) -> Option<Cie> {
        let outside = self.servers.iter().find_map(|server| server.entry().outside)?;
        Some(Cie {
            prefix_len: host_len(own),
            nbma: Some(outside),
            protocol: Some(own),
            ..Cie::default()
        })
    }

    /// Where to ask: the next hop, or a server if the next hop is what is asked for.
    fn way_of_questions(&self, destination: IpAddr, next_hop: IpAddr) -> Option<Path> {
        let next_hop = self.cache.find(next_hop).filter(|_| next_hop != destination);
        next_hop.map(|binding| binding.path).or_else(|| self.server())
    }

    fn unresolved(
        &mut self,
        now: Instant,
        destination: IpAddr,
        code: Option<Code>,
        out: &mut Vec<Action>,
    ) {
        self.questions.insert(destination, now + NEGATIVE, Question::Negative);
        out.push(Action::Event(Event::Unresolved { destination, code }));
    }

    /// Enters the binding of an egress; returns how it is reached. What an operator says, and what
    /// a client or server of ours says of itself, is worth more than what others say.
    fn bind(
        &mut self,
        (protocol, nbma, path): (IpAddr, IpAddr, Path),
        expires: Instant,
        mtu: u16,
        out: &mut Vec<Action>,
    ) -> Path {
        let old = self.cache.find(protocol).copied();
        match old {
            Some(old) if old.origin != Origin::Resolved => return old.path,
            _ => {}
        }
        let expires = old.and_then(|old| old.expires).map_or(expires, |at| at.max(expires));
        let binding = Binding {
            protocol,
            path,
            nbma,
            claimed: None,
            origin: Origin::Resolved,
            unique: false,
            mtu,
            expires: Some(expires),
        };
        self.cache.insert(binding);
        if old.is_none_or(|old| (old.path, old.nbma, old.mtu) != (path, nbma, mtu)) {
            out.push(Action::Install(binding));
        }
        path
    }

    /// What an answer is good for: no more than our route, and nothing that leads to the peer, to
    /// our servers or to ourselves; then it is for the destination alone.
    fn clamp(
        &self,
        destination: IpAddr,
        told: Option<IpPrefix>,
        route: IpPrefix,
        nbma: IpAddr,
    ) -> IpPrefix {
        let host = IpPrefix::host(destination);
        let Some(told) = told else { return host };
        let prefix = if told.len() < route.len() { route } else { told };
        let servers = self.servers.iter().filter_map(|server| server.nbma);
        let own = self.config.addresses.iter().map(|own| own.prefix());
        let kept_out = own
            .chain(servers.chain([nbma, self.config.nbma]).map(IpPrefix::host))
            .chain(self.servers.iter().filter_map(|server| server.protocol).map(IpPrefix::host))
            .any(|other| prefix.overlaps(other));
        if kept_out || prefix.is_default() { host } else { prefix }
    }
}
