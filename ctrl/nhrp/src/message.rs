//! What messages have in common: authentication, extensions of an answer, errors.

use std::net::IpAddr;
use std::time::Instant;

use wire::EmitError;
use wire::nhrp::{
    Builder, CLEARTEXT, Cie, Code, ErrorCode, Extension, Flags, Header, Kind, Packet, Tag,
};

use crate::action::Action;
use crate::config::Config;
use crate::counters::DropReason;
use crate::limits::{HOPS, PACKET_MAX, QUOTE_MAX};
use crate::machine::Nhrp;
use crate::path::Path;

/// A checked packet, as it is handed around.
pub(crate) type View<'a> = Packet<&'a [u8]>;

/// The prefix length that says "one address".
pub(crate) const fn host_len(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Whether a packet carries our password, or none is needed.
pub(crate) fn is_authentic(config: &Config, packet: &View<'_>) -> bool {
    let Some(secret) = &config.authentication else { return true };
    let said = packet.extension(Tag::AUTHENTICATION);
    said.and_then(|said| said.authentication())
        .is_some_and(|said| said.method == CLEARTEXT && secret.matches(said.data))
}

/// Whether there is an extension that must be known to act on the packet, and is not.
pub(crate) fn has_unknown_compulsory(packet: &View<'_>) -> bool {
    packet.extensions().any(|extension| extension.tag.is_compulsory() && !extension.tag.is_known())
}

/// The NBMA address outside of a NAT that a packet has for a protocol address.
pub(crate) fn outside_of(packet: &View<'_>, protocol: IpAddr) -> Option<IpAddr> {
    let mut known = packet.extension(Tag::NAT)?.cies();
    known.find(|cie| cie.protocol == Some(protocol))?.nbma
}

/// Extensions of a request: records and responder for others to fill in, then the NAT extension
/// with these CIEs, then the password.
pub(crate) fn request_extensions(
    config: &Config,
    builder: &mut Builder<'_>,
    nat: &[Cie],
) -> Result<(), EmitError> {
    for kind in [Tag::FORWARD_RECORD, Tag::REVERSE_RECORD, Tag::RESPONDER] {
        builder.extension(Tag::compulsory(kind), &[])?;
    }
    builder.cie_extension(Tag::optional(Tag::NAT), &[], nat)?;
    config.authentication.as_ref().map_or(Ok(()), |secret| builder.authentication(secret.expose()))
}

/// Extensions of an answer: those of the request in their order, with us as the responder, `nat`
/// added to the NAT extension, and the password made anew (RFC 2332 5.3.4: it is of one hop).
pub(crate) fn answer_extensions(
    config: &Config,
    builder: &mut Builder<'_>,
    request: &View<'_>,
    responder: Cie,
    nat: Option<Cie>,
) -> Result<(), EmitError> {
    for Extension { tag, value, .. } in request.extensions() {
        match tag.kind() {
            Tag::RESPONDER => builder.cie_extension(tag, &[], &[responder])?,
            Tag::NAT => builder.cie_extension(tag, value, nat.as_slice())?,
            Tag::AUTHENTICATION => {
                if let Some(secret) = &config.authentication {
                    builder.authentication(secret.expose())?;
                }
            }
            _ => builder.extension(tag, value)?,
        }
    }
    Ok(())
}

/// The CIE that says who we are, in transit records and as the responder.
pub(crate) fn own_cie(config: &Config, own: IpAddr) -> Cie {
    Cie {
        holding_time: config.holding_seconds(),
        nbma: Some(config.nbma),
        protocol: Some(own),
        ..Cie::default()
    }
}

impl Nhrp {
    /// Refuses to act upon a packet that has an unknown compulsory extension.
    pub(crate) fn check_extensions(
        &mut self,
        (now, from, packet): (Instant, Path, &View<'_>),
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
        if !has_unknown_compulsory(packet) {
            return Ok(());
        }
        self.complain(now, (from, packet), ErrorCode::UNRECOGNIZED_EXTENSION, out);
        Err(DropReason::Extension)
    }

    /// Writes a packet and sends it.
    pub(crate) fn send(
        &mut self,
        to: Path,
        header: &Header,
        out: &mut Vec<Action>,
        fill: impl FnOnce(&Config, &mut Builder<'_>) -> Result<(), EmitError>,
    ) {
        let mut buffer = [0; PACKET_MAX];
        let written = Builder::new(&mut buffer, header).and_then(|mut builder| {
            fill(&self.config, &mut builder)?;
            builder.finish()
        });
        match written {
            Ok(len) => {
                self.counters.send(header.kind);
                out.push(Action::Send { to, octets: buffer[..len].to_vec() });
            }
            Err(_) => self.counters.drop(DropReason::TooLarge),
        }
    }

    /// Answers a request with these CIEs, on the way that it came.
    pub(crate) fn answer(
        &mut self,
        (to, request): (Path, &View<'_>),
        (kind, own): (Kind, IpAddr),
        cies: &[Cie],
        nat: Option<Cie>,
        out: &mut Vec<Action>,
    ) {
        let asked = request.header();
        // The server of a registration or purge names itself; a resolution keeps what was asked.
        let (dst_protocol, flags) = match kind {
            Kind::ResolutionReply => (asked.dst_protocol, resolution_flags(asked.flags, cies)),
            _ => (own, asked.flags),
        };
        let header = Header { kind, hop_count: HOPS, dst_protocol, flags, ..asked };
        self.send(to, &header, out, |config, builder| {
            cies.iter().try_for_each(|cie| builder.cie(cie))?;
            answer_extensions(config, builder, request, own_cie(config, own), nat)
        });
    }

    /// Complains about a packet to who sent it last. Never about an error: two that do would do so
    /// for ever. Without extensions (RFC 2332 5.2.7), so without password, too.
    pub(crate) fn complain(
        &mut self,
        now: Instant,
        (to, packet): (Path, &View<'_>),
        code: ErrorCode,
        out: &mut Vec<Action>,
    ) {
        let about = packet.header();
        let Some(own) = self.config.source_for(about.src_protocol) else { return };
        if about.kind == Kind::ErrorIndication {
            return;
        }
        if !self.error_rate.allow(now) {
            self.counters.errors_suppressed += 1;
            return;
        }
        let header = Header {
            kind: Kind::ErrorIndication,
            hop_count: HOPS,
            flags: Flags::default(),
            request_id: 0,
            src_nbma: self.config.nbma,
            src_protocol: own,
            dst_protocol: about.src_protocol,
        };
        // Up to the extensions, so that a password is not sent back to where it may not belong.
        let mandatory = packet.mandatory_part();
        let head = &mandatory[..mandatory.len().min(QUOTE_MAX)];
        self.send(to, &header.with_error(code, 0), out, |_, builder| builder.quote(head));
    }
}

/// Flags of a Resolution Reply: those of the request that describe the asker, and that our answer
/// is authoritative and stable, if it is one.
fn resolution_flags(asked: Flags, cies: &[Cie]) -> Flags {
    let asker = Flags::ROUTER.with(Flags::SOURCE_STABLE).with(Flags::NAT);
    let asker = Flags(asked.0 & asker.0);
    if cies.iter().any(|cie| cie.code == Code::OK) {
        asker.with(Flags::AUTHORITATIVE).with(Flags::DESTINATION_STABLE)
    } else {
        asker
    }
}

/// A copy of a request's CIE that refuses it (RFC 2332 5.2.4: the holding time is zero).
pub(crate) fn refused(cie: Cie, code: Code) -> Cie {
    Cie { code, holding_time: 0, ..cie }
}
