//! Packets of others that are passed on (RFC 2332 5.2, 5.3.2, 5.3.3).
//!
//! ```text
//! asker > hub    Resolution Request  hop count n,     forward record [..],      NAT []
//! hub > egress   Resolution Request  hop count n - 1, forward record [.., hub], NAT [asker]
//! egress > hub   Resolution Reply                     reverse record [..]
//! hub > asker    Resolution Reply                     reverse record [.., hub]
//! ```
//!
//! What is for somebody that we do not know goes to a server of ours, if we have one; an answer
//! goes back to the server by which its request came, as the forward record says.
//!
//! What was sent stays as it is, but for the hop count, the record, an empty NAT extension that we
//! can fill, and the password, which is of one hop. A packet with an unknown compulsory extension
//! is passed on without a record of us.
//!
//! Between two tunnels of one network, the one that a packet came by enters it in the record, since
//! it knows the sender, and the one that it leaves by finds the peer and has the password. If there
//! is no peer, the former answers, as it would if it had looked for the peer itself.

use std::net::IpAddr;
use std::time::Instant;

use wire::EmitError;
use wire::nhrp::{Builder, Cie, ErrorCode, Extension, Kind, Packet, Tag};

use crate::action::{Action, Overlay, Route};
use crate::counters::DropReason;
use crate::limits::PACKET_MAX;
use crate::machine::Nhrp;
use crate::message::{View, has_unknown_compulsory, host_len, own_cie};
use crate::path::Path;

impl Nhrp {
    /// Passes a packet on towards a protocol address.
    pub(crate) fn pass_on(
        &mut self,
        (now, from, packet): (Instant, Path, &View<'_>),
        target: IpAddr,
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
        let header = packet.header();
        let record = record_of(header.kind);
        let passed = packet.extension(record).is_some_and(|record| {
            let mut servers = record.cies().filter_map(|cie| cie.protocol);
            servers.any(|server| self.config.is_own(server))
        });
        if passed || header.src_nbma == self.config.nbma && header.kind.is_request() {
            self.complain(now, (from, packet), ErrorCode::LOOP, out);
            return Err(DropReason::Loop);
        }
        let Some(hop_count) = header.hop_count.checked_sub(1) else {
            self.complain(now, (from, packet), ErrorCode::HOP_COUNT, out);
            return Err(DropReason::HopCount);
        };
        let way = self.way_to(target, overlay);
        let way = way.or_else(|| self.came_by(packet).or_else(|| self.server()).map(Way::Peer));
        let Some(way) = way.filter(|&way| way != Way::Peer(from)) else {
            self.undeliverable(now, (from, packet), ErrorCode::UNREACHABLE, out);
            return Err(DropReason::NoRoute);
        };
        let mut buffer = [0; PACKET_MAX];
        let written = Builder::pass_on(&mut buffer, packet, hop_count).and_then(|mut builder| {
            self.passed_extensions(&mut builder, packet, record)?;
            builder.finish()
        });
        let Ok(len) = written else {
            self.undeliverable(now, (from, packet), ErrorCode::SDU_SIZE, out);
            return Err(DropReason::TooLarge);
        };
        let octets = buffer[..len].to_vec();
        out.push(match way {
            Way::Peer(to) => {
                self.counters.send(header.kind);
                Action::Send { to, octets }
            }
            Way::OtherTunnel => Action::Relay { from, target, octets },
        });
        Ok(())
    }

    /// Sends on what another tunnel of the network has passed on: an [`Action::Relay`] of its
    /// machine.
    ///
    /// # Errors
    /// Nobody gets the packet, which is counted, and [`Self::not_relayed`] is to be called: why.
    pub fn relay(
        &mut self,
        target: IpAddr,
        octets: &[u8],
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) -> Result<(), ErrorCode> {
        let packet = Packet::new_checked(octets).map_err(|_| ErrorCode::PROTOCOL)?;
        let Some(Way::Peer(to)) = self.way_to(target, overlay) else {
            self.counters.drop(DropReason::NoRoute);
            return Err(ErrorCode::UNREACHABLE);
        };
        let mut buffer = [0; PACKET_MAX];
        let hop_count = packet.header().hop_count;
        let written = Builder::pass_on(&mut buffer, &packet, hop_count).and_then(|mut builder| {
            let extensions = packet.extensions();
            for Extension { tag, value, .. } in
                extensions.filter(|extension| extension.tag.kind() != Tag::AUTHENTICATION)
            {
                builder.extension(tag, value)?;
            }
            if let Some(secret) = &self.config.authentication {
                builder.authentication(secret.expose())?;
            }
            builder.finish()
        });
        let Ok(len) = written else {
            self.counters.drop(DropReason::TooLarge);
            return Err(ErrorCode::SDU_SIZE);
        };
        self.counters.send(packet.kind());
        out.push(Action::Send { to, octets: buffer[..len].to_vec() });
        Ok(())
    }

    /// Tells who sent a packet that another tunnel of the network could not send it on: an
    /// [`Action::Relay`] of ours, and the error of [`Self::relay`].
    pub fn not_relayed(
        &mut self,
        now: Instant,
        (from, octets): (Path, &[u8]),
        why: ErrorCode,
        out: &mut Vec<Action>,
    ) {
        if let Ok(packet) = Packet::new_checked(octets) {
            self.undeliverable(now, (from, &packet), why, out);
        }
    }

    /// A packet goes no further. Who asks for what nobody here has is told that there is no
    /// binding, which ends the question; others get an error.
    fn undeliverable(
        &mut self,
        now: Instant,
        (from, packet): (Path, &View<'_>),
        why: ErrorCode,
        out: &mut Vec<Action>,
    ) {
        if (packet.kind(), why) == (Kind::ResolutionRequest, ErrorCode::UNREACHABLE) {
            self.deny((from, packet), out);
        } else {
            self.complain(now, (from, packet), why, out);
        }
    }

    fn passed_extensions(
        &self,
        builder: &mut Builder<'_>,
        packet: &View<'_>,
        record: u16,
    ) -> Result<(), EmitError> {
        let own = self.config.source_for(packet.header().src_protocol);
        let own = own.filter(|_| !has_unknown_compulsory(packet));
        let own = own.map(|own| own_cie(&self.config, own));
        let outside = self.outside_of_sender(packet);
        for Extension { tag, value, .. } in packet.extensions() {
            match tag.kind() {
                kind if kind == record => builder.cie_extension(tag, value, own.as_slice())?,
                Tag::NAT if value.is_empty() => {
                    builder.cie_extension(tag, value, outside.as_slice())?;
                }
                Tag::AUTHENTICATION => {
                    if let Some(secret) = &self.config.authentication {
                        builder.authentication(secret.expose())?;
                    }
                }
                _ => builder.extension(tag, value)?,
            }
        }
        Ok(())
    }

    /// Where the sender of a packet is outside of its NAT, as it registered with us.
    fn outside_of_sender(&self, packet: &View<'_>) -> Option<Cie> {
        let header = packet.header();
        let sender = match header.kind {
            Kind::ResolutionReply => packet.cies().next()?.protocol?,
            _ => header.src_protocol,
        };
        let binding = self.cache.find(sender)?;
        binding.claimed?;
        Some(Cie {
            prefix_len: host_len(sender),
            nbma: Some(binding.nbma),
            protocol: Some(sender),
            ..Cie::default()
        })
    }

    /// The way to the peer that a protocol address is, or is behind.
    fn way_to(&self, target: IpAddr, overlay: &impl Overlay) -> Option<Way> {
        let peer = |protocol| self.cache.find(protocol).map(|binding| Way::Peer(binding.path));
        peer(target).or_else(|| match overlay.route(target)? {
            Route::Tunnel { next_hop, .. } => peer(next_hop),
            Route::OtherTunnel(_) => Some(Way::OtherTunnel),
            Route::Local(_) => None,
        })
    }

    /// The server by which a request came to us, as its answer says: who asked may be registered
    /// with that one alone.
    fn came_by(&self, packet: &View<'_>) -> Option<Path> {
        let record = packet.extension(Tag::FORWARD_RECORD)?;
        let servers = record.cies().map_while(|cie| cie.protocol);
        let before = servers.take_while(|server| !self.config.is_own(*server)).last()?;
        self.cache.find(before).map(|binding| binding.path)
    }
}

/// Where a packet is passed on to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The peer at an NBMA address.
    Peer(Path),
    /// Another tunnel of the network.
    OtherTunnel,
}

/// Which record a packet is entered in.
const fn record_of(kind: Kind) -> u16 {
    if kind.is_request() { Tag::FORWARD_RECORD } else { Tag::REVERSE_RECORD }
}
