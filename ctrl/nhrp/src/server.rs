//! Registrations of others with us (RFC 2332 5.2.3, 5.2.4).
//!
//! ```text
//! spoke > hub   Registration Request  id, holding time, NAT [hub's NBMA]
//! hub > spoke   Registration Reply    the same, a code in each CIE, who answers, and
//!                                     NAT [.., outer source of the request] if the spoke claims
//!                                     another NBMA address
//! ```
//!
//! A request is granted as a whole or refused as a whole: a refusal has one CIE, with the code and
//! no holding time. Each repetition is answered anew, and so alike. A holding time of zero takes a
//! registration back.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use wire::nhrp::{Cie, Code, Flags, Kind};

use crate::action::{Action, Event, Overlay};
use crate::cache::{Binding, Origin};
use crate::counters::DropReason;
use crate::limits::{REGISTERED_MAX, REGISTERED_PER_NBMA_MAX};
use crate::machine::Nhrp;
use crate::message::{View, host_len, refused};
use crate::path::Path;

impl Nhrp {
    /// Answers a Registration Request.
    pub(crate) fn register(
        &mut self,
        (now, from, packet): (Instant, Path, &View<'_>),
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
        self.check_extensions((now, from, packet), out)?;
        let header = packet.header();
        // A client that does not know its server's address names itself.
        let own = if self.config.is_own(header.dst_protocol) {
            header.dst_protocol
        } else if header.dst_protocol == header.src_protocol {
            self.config.source_for(header.src_protocol).ok_or(DropReason::NotForUs)?
        } else {
            return Err(DropReason::NotForUs);
        };
        let seen = overlay.seen_at(from);
        let request = (from, packet);
        let answer = (Kind::RegistrationReply, own);
        let mut fresh = 0;
        for cie in packet.cies() {
            let protocol = cie.protocol.unwrap_or(header.src_protocol);
            if let Err(code) = self.may_register((from, protocol), &cie, &mut fresh, overlay) {
                self.answer(request, answer, &[refused(cie, code)], None, out);
                out.push(Action::Event(Event::Refused { protocol, nbma: seen, code }));
                return Err(DropReason::Refused);
            }
        }
        for cie in packet.cies() {
            let protocol = cie.protocol.unwrap_or(header.src_protocol);
            let claimed = cie.nbma.unwrap_or(header.src_nbma);
            let binding = Binding {
                protocol,
                path: from,
                nbma: seen,
                claimed: (claimed != seen).then_some(claimed),
                origin: Origin::Registered,
                unique: header.flags.contains(Flags::UNIQUE),
                mtu: cie.mtu,
                expires: Some(now + Duration::from_secs(cie.holding_time.into())),
            };
            self.enter(binding, cie.holding_time > 0, out);
        }
        let cies = packet.cies().map(|cie| Cie { code: Code::OK, ..cie }).collect::<Vec<_>>();
        let outside = Cie {
            prefix_len: host_len(header.src_protocol),
            nbma: Some(seen),
            protocol: Some(header.src_protocol),
            ..Cie::default()
        };
        let nat = (header.src_nbma != seen).then_some(outside);
        self.answer(request, answer, &cies, nat, out);
        Ok(())
    }

    /// Whether a client may have a protocol address. `fresh` counts those of the same request that
    /// it has not yet.
    fn may_register(
        &self,
        (from, protocol): (Path, IpAddr),
        cie: &Cie,
        fresh: &mut usize,
        overlay: &impl Overlay,
    ) -> Result<(), Code> {
        // A client has addresses, not networks: those are for routing protocols to tell.
        let is_one = cie.prefix(protocol).is_ok_and(|prefix| prefix.is_host());
        let is_peers = self.config.is_host(protocol)
            && !self.config.is_own(protocol)
            && protocol != self.config.nbma
            && protocol != from.nbma;
        if !is_one || !is_peers || !overlay.may_claim(from, protocol) {
            return Err(Code::PROHIBITED);
        }
        match self.cache.find(protocol) {
            Some(binding) if binding.path == from => Ok(()),
            Some(binding) if matches!(binding.origin, Origin::Static | Origin::Server) => {
                Err(Code::PROHIBITED)
            }
            Some(binding) if binding.unique => Err(Code::ALREADY_REGISTERED),
            _ if cie.holding_time == 0 => Ok(()),
            other => {
                *fresh += 1;
                let added = if other.is_none() { *fresh } else { 0 };
                let room = self.cache.registered_total() + added <= REGISTERED_MAX
                    && self.cache.registered_from(from) + *fresh <= REGISTERED_PER_NBMA_MAX;
                if room { Ok(()) } else { Err(Code::RESOURCES) }
            }
        }
    }

    /// Enters a registration that is granted, or takes it back.
    fn enter(&mut self, binding: Binding, stays: bool, out: &mut Vec<Action>) {
        let protocol = binding.protocol;
        let old = self.cache.find(protocol).copied();
        // What an operator said is not shortened by what a peer says.
        if old.is_some_and(|old| matches!(old.origin, Origin::Static | Origin::Server)) {
            return;
        }
        if !stays {
            if old.is_some_and(|old| old.path == binding.path) {
                self.forget(protocol, out);
            }
            return;
        }
        self.cache.insert(binding);
        let same = |old: Binding| Binding { expires: binding.expires, ..old } == binding;
        if !old.is_some_and(same) {
            out.push(Action::Install(binding));
        }
        if old.is_none_or(|old| (old.path, old.nbma) != (binding.path, binding.nbma)) {
            let nbma = binding.nbma;
            out.push(Action::Event(Event::Registered { protocol, nbma }));
            self.apply_shortcuts(out);
        }
    }

    /// Removes a registration that its client took back.
    pub(crate) fn forget(&mut self, protocol: IpAddr, out: &mut Vec<Action>) {
        if self.cache.remove(protocol).is_some() {
            self.lost(protocol, out);
            out.push(Action::Event(Event::Withdrawn { protocol }));
        }
    }
}
