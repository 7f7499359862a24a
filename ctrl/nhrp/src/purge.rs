//! Purges (RFC 2332 5.2.5, 5.2.6).
//!
//! ```text
//! spoke > hub        Purge Request  id of the registration, CIE with the address
//! hub > spoke        Purge Reply    the same; not if the request has N set
//! egress .. asker    Purge Request  CIE with the network that an answer was for
//! ```
//!
//! Only who registered an address may take it back: packets have to come from its NBMA address. An
//! answer is taken back by who gave it, direct or by a server of ours. What others ask is counted,
//! and not answered; nothing is purged of more than a /8.

use std::net::IpAddr;
use std::time::Instant;

use wire::nhrp::{Cie, Code, Flags, Kind};

use crate::action::{Action, Overlay};
use crate::cache::Origin;
use crate::counters::DropReason;
use crate::limits::PREFIX_MIN;
use crate::machine::Nhrp;
use crate::message::View;
use crate::path::Path;

impl Nhrp {
    /// Answers a Purge Request, or passes it on. It is answered also if there is nothing to purge,
    /// since the first answer may have been lost.
    pub(crate) fn purge(
        &mut self,
        (now, from, packet): (Instant, Path, &View<'_>),
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
        let header = packet.header();
        let purger = header.src_protocol;
        if !self.config.is_own(header.dst_protocol) {
            // Those who are told believe us, so that we look who tells it.
            if self.cache.find(purger).is_some_and(|binding| binding.path != from) {
                return Err(DropReason::ThirdParty);
            }
            return self.pass_on((now, from, packet), header.dst_protocol, overlay, out);
        }
        self.check_extensions((now, from, packet), out)?;
        let purged = |cie: &Cie| cie.protocol.unwrap_or(purger);
        if !packet.cies().all(|cie| self.may_purge((from, purger), purged(&cie), &cie)) {
            return Err(DropReason::ThirdParty);
        }
        for cie in packet.cies() {
            let protocol = purged(&cie);
            let Ok(prefix) = cie.prefix(protocol) else { continue };
            // A network names no registration, whoever's address it is written with.
            let origin = self.cache.find(protocol).map(|binding| binding.origin);
            match origin.filter(|_| prefix.is_host()) {
                Some(Origin::Registered) => self.forget(protocol, out),
                // The peer itself is not to be reached any more.
                Some(Origin::Resolved) if protocol == purger => {
                    self.cache.remove(protocol);
                    self.lost(protocol, out);
                }
                _ => {}
            }
            self.purge_shortcuts(prefix, purger, out);
        }
        if header.flags.contains(Flags::NO_REPLY) {
            return Ok(());
        }
        let cies = packet.cies().map(|cie| Cie { code: Code::OK, ..cie }).collect::<Vec<_>>();
        let answer = (Kind::PurgeReply, header.dst_protocol);
        self.answer((from, packet), answer, &cies, None, out);
        Ok(())
    }

    fn may_purge(&self, (from, purger): (Path, IpAddr), protocol: IpAddr, cie: &Cie) -> bool {
        let Ok(prefix) = cie.prefix(protocol) else { return false };
        let is_server = || self.servers.iter().any(|server| server.path() == Some(from));
        let binding = self.cache.find(protocol).filter(|_| prefix.is_host());
        match binding.filter(|binding| binding.origin != Origin::Resolved) {
            Some(binding) => {
                let claimed = binding.claimed.unwrap_or(binding.nbma);
                binding.origin == Origin::Registered
                    && binding.path == from
                    && cie.nbma.is_none_or(|nbma| nbma == binding.nbma || nbma == claimed)
            }
            None if prefix.is_host() && !self.config.is_host(protocol) => false,
            None => {
                let of_purger = self.cache.find(purger);
                prefix.len() >= PREFIX_MIN
                    && (is_server() || of_purger.is_none_or(|binding| binding.path == from))
            }
        }
    }
}
