//! Purges of registrations (RFC 2332 5.2.5, 5.2.6).
//!
//! ```text
//! spoke > hub   Purge Request  id of the registration, CIE with the address
//! hub > spoke   Purge Reply    the same; not if the request has N set
//! ```
//!
//! Only who registered an address may take it back: packets have to come from its NBMA address.
//! What others ask is counted and not answered.

use std::net::IpAddr;

use wire::nhrp::{Cie, Code, Flags, Kind};

use crate::cache::Origin;
use crate::counters::DropReason;
use crate::machine::{Action, Nhrp};
use crate::message::View;

impl Nhrp {
    /// Answers a Purge Request: also if there is nothing to purge, since the first answer may have
    /// been lost.
    pub(crate) fn purge(
        &mut self,
        from: IpAddr,
        packet: &View<'_>,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
        let header = packet.header();
        if !self.config.is_own(header.dst_protocol) {
            return Err(DropReason::NotForUs);
        }
        let purged = |cie: &Cie| cie.protocol.unwrap_or(header.src_protocol);
        if !packet.cies().all(|cie| self.may_purge(from, purged(&cie), &cie)) {
            return Err(DropReason::ThirdParty);
        }
        for cie in packet.cies() {
            self.forget(purged(&cie), out);
        }
        if header.flags.contains(Flags::NO_REPLY) {
            return Ok(());
        }
        let cies = packet.cies().map(|cie| Cie { code: Code::OK, ..cie }).collect::<Vec<_>>();
        let answer = (Kind::PurgeReply, header.dst_protocol);
        self.answer((from, packet), answer, &cies, None, out);
        Ok(())
    }

    fn may_purge(&self, from: IpAddr, protocol: IpAddr, cie: &Cie) -> bool {
        let is_one = cie.prefix(protocol).is_ok_and(|prefix| prefix.is_host());
        let is_owners = self.cache.find(protocol).is_none_or(|binding| {
            let claimed = binding.claimed.unwrap_or(binding.nbma);
            binding.origin == Origin::Registered
                && binding.nbma == from
                && cie.nbma.is_none_or(|nbma| nbma == from || nbma == claimed)
        });
        is_one && self.config.is_host(protocol) && is_owners
    }
}
