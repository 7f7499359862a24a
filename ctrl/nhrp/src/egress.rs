//! Answers to Resolution Requests (RFC 2332 5.2.2).
//!
//! ```text
//! asker .. hub > egress   Resolution Request  destination
//! egress > hub .. asker   Resolution Reply    prefix of our route to it, our addresses
//! ```
//!
//! The answer goes back on the way that the question came, as there is surely a way; but direct if
//! there is a NAT before us. It lets in only what comes from where we sent something to, so that an
//! answer by the hub would lead the asker to a closed door. An answer that comes direct opens it,
//! and one that does not arrive leaves packets with the hub.
//!
//! Answers are remembered: when the route changes the asker is told by a Purge Request.

use std::net::IpAddr;
use std::time::Instant;

use wire::IpPrefix;
use wire::nhrp::{Cie, Code, Flags, Header, Kind};

use crate::action::{Action, Overlay, Route};
use crate::client::next_id;
use crate::counters::DropReason;
use crate::limits::{ANSWERS_MAX, HOPS, PREFIX_MIN};
use crate::machine::Nhrp;
use crate::message::{View, outside_of, request_extensions};
use crate::path::Path;
use crate::timers::Timers;

/// An answer of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    /// What our route was for.
    route: IpPrefix,
    /// What was asked for.
    destination: IpAddr,
    /// Where the answer went.
    to: Path,
}

/// Answers, by what they are for and who asked.
#[derive(Debug, Default)]
pub(crate) struct Answers(Timers<(IpPrefix, IpAddr), Answer>);

impl Answers {
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.0.next_deadline()
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        while self.0.pop(now).is_some() {}
    }
}

impl Nhrp {
    /// Answers a Resolution Request, or passes it on.
    pub(crate) fn find_egress(
        &mut self,
        (now, from, packet): (Instant, Path, &View<'_>),
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
        let header = packet.header();
        let (asker, destination) = (header.src_protocol, header.dst_protocol);
        if !self.config.is_host(asker) || self.config.is_own(asker) {
            return Err(DropReason::Source);
        }
        let route = if self.config.is_own(destination) {
            IpPrefix::host(destination)
        } else {
            match overlay.route(destination).filter(|_| self.config.is_host(destination)) {
                Some(Route::Local(prefix)) => prefix,
                Some(Route::Tunnel { .. } | Route::OtherTunnel(_)) => {
                    return self.pass_on((now, from, packet), destination, overlay, out);
                }
                None => {
                    self.deny((from, packet), out);
                    return Err(DropReason::NoRoute);
                }
            }
        };
        self.check_extensions((now, from, packet), out)?;
        let own = self.config.source_for(destination).ok_or(DropReason::NotForUs)?;
        let own = if self.config.is_own(destination) { destination } else { own };
        let len = route.len().max(PREFIX_MIN);
        let prefix = IpPrefix::containing(destination, len).unwrap_or(route);
        let cie = Cie {
            prefix_len: len,
            holding_time: self.config.holding_seconds(),
            nbma: Some(self.config.nbma),
            protocol: Some(own),
            ..Cie::default()
        };
        // Beyond the limit answers are given all the same; their holding time ends them.
        if self.answers.0.len() < ANSWERS_MAX && !self.config.is_own(destination) {
            let until = now + self.config.holding_time;
            let answer = Answer { route, destination, to: from };
            self.answers.0.insert((prefix, asker), until, answer);
        }
        let nbma = outside_of(packet, asker).unwrap_or(header.src_nbma);
        let is_peer = self.config.is_host(nbma) && nbma != self.config.nbma;
        if is_peer {
            out.push(Action::Expect { nbma });
        }
        let outside = self.outside(own);
        let direct = overlay.path_to(nbma).filter(|_| is_peer && outside.is_some());
        let to = direct.unwrap_or(from);
        self.answer((to, packet), (Kind::ResolutionReply, own), &[cie], outside, out);
        Ok(())
    }

    /// Answers that there is no binding.
    pub(crate) fn deny(&mut self, request: (Path, &View<'_>), out: &mut Vec<Action>) {
        let Some(own) = self.config.source_for(request.1.header().src_protocol) else { return };
        let cie = Cie { code: Code::NO_BINDING, ..Cie::default() };
        self.answer(request, (Kind::ResolutionReply, own), &[cie], None, out);
    }

    /// Takes back answers that our routes do not bear out any more.
    pub(crate) fn check_answers(&mut self, overlay: &impl Overlay, out: &mut Vec<Action>) {
        let wrong = self.answers.0.iter().filter(|(_, answer)| {
            overlay.route(answer.destination) != Some(Route::Local(answer.route))
        });
        for key in wrong.map(|(key, _)| key).collect::<Vec<_>>() {
            if let Some(answer) = self.answers.0.remove(key) {
                self.take_back(key, answer.to, out);
            }
        }
    }

    /// Takes back all answers.
    pub(crate) fn take_back_answers(&mut self, out: &mut Vec<Action>) {
        let answers = std::mem::take(&mut self.answers);
        for (key, answer) in answers.0.iter() {
            self.take_back(key, answer.to, out);
        }
    }

    /// Sends a Purge Request, once: FRR never answers one, and who misses it learns from routing.
    fn take_back(&mut self, (prefix, asker): (IpPrefix, IpAddr), to: Path, out: &mut Vec<Action>) {
        let Some(own) = self.config.source_for(asker) else { return };
        let header = Header {
            kind: Kind::PurgeRequest,
            hop_count: HOPS,
            flags: Flags::NO_REPLY.with(Flags::NAT),
            request_id: next_id(&mut self.request_id),
            src_nbma: self.config.nbma,
            src_protocol: own,
            dst_protocol: asker,
        };
        let network = Some(prefix.network());
        let cie = Cie { prefix_len: prefix.len(), protocol: network, ..Cie::default() };
        self.send(to, &header, out, |config, builder| {
            builder.cie(&cie)?;
            request_extensions(config, builder, &[])
        });
    }
}
