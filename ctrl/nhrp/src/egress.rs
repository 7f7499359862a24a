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
//! Answers are remembered: when the route changes one is taken back, as
//! [`recall`](mod@crate::recall) says.

use std::net::IpAddr;
use std::time::Instant;

use wire::IpPrefix;
use wire::nhrp::{Cie, Code, Kind};

use crate::action::{Action, Overlay, Route};
use crate::counters::DropReason;
use crate::limits::{ANSWERS_MAX, PREFIX_MIN};
use crate::machine::Nhrp;
use crate::message::{View, outside_of};
use crate::path::Path;
use crate::recall::Key;
use crate::timers::Timers;

/// An answer of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    /// What our route was for.
    pub(crate) route: IpPrefix,
    /// What was asked for.
    pub(crate) destination: IpAddr,
    /// Where the answer went.
    pub(crate) to: Path,
}

/// Answers, until their holding time ends.
pub(crate) type Answers = Timers<Key, Answer>;

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
        // An answer that was taken back is good again.
        self.recalls.remove((prefix, asker));
        // Beyond the limit answers are given all the same; their holding time ends them.
        if self.answers.len() < ANSWERS_MAX && !self.config.is_own(destination) {
            let until = now + self.config.holding_time;
            let answer = Answer { route, destination, to: from };
            self.answers.insert((prefix, asker), until, answer);
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
}
