//! Traffic Indications: there is a shorter way (Cisco's redirect, DMVPN phase 3).
//!
//! ```text
//! spoke > hub > other spoke   a packet that comes and goes by tunnels of one network: it is
//!                             forwarded, and a sample of it comes here
//! hub > spoke                 Traffic Indication  hop count 1, head of the packet
//! spoke > hub                 Resolution Request  destination of the packet
//! ```
//!
//! A peer is told once in a while about the same two networks. It is believed only from a peer that
//! our packets go through, and about a packet of ours.

use std::net::IpAddr;
use std::time::Instant;

use wire::nhrp::{Flags, Header, Kind};
use wire::{IpPrefix, ip4, ip6};

use crate::action::{Action, Event, Overlay, Route};
use crate::counters::DropReason;
use crate::limits::{QUOTE_MAX, REDIRECT_INTERVAL, REDIRECTS_MAX};
use crate::machine::Nhrp;
use crate::message::View;
use crate::path::Path;
use crate::timers::Timers;

/// Hop count of an indication: it is for the peer alone. Cisco refuses 0.
const HOPS: u8 = 1;

/// Which peers were told lately, about packets from where to where.
pub(crate) type Redirects = Timers<(IpPrefix, IpPrefix, Path), ()>;

impl Nhrp {
    /// Takes a sample of a packet that came from a peer and went out by this tunnel, or by another
    /// of the same network: its head, from its IP header on, and who it came from. The peer
    /// is told, if its packet is not for a group, comes from behind the peer, and goes to another.
    pub fn sample(
        &mut self,
        now: Instant,
        head: &[u8],
        from: Path,
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) {
        if !self.config.redirect {
            return;
        }
        let Some((source, destination)) = ends(head) else { return };
        let is_sender = |next_hop| self.cache.find(next_hop).is_some_and(|of| of.path == from);
        let Some(Route::Tunnel { prefix: behind, next_hop: peer }) = overlay.route(source) else {
            return;
        };
        let towards = match overlay.route(destination) {
            Some(Route::Tunnel { prefix, next_hop }) if !is_sender(next_hop) => prefix,
            Some(Route::OtherTunnel(prefix)) => prefix,
            _ => return,
        };
        let hosts = self.config.is_host(source) && self.config.is_host(destination);
        if !hosts || !is_sender(peer) {
            return;
        }
        self.redirects.expire(now);
        let key = (behind, towards, from);
        if self.redirects.find(key).is_some() || self.redirects.len() >= REDIRECTS_MAX {
            return;
        }
        let Some(own) = self.config.source_for(source) else { return };
        self.redirects.insert(key, now + REDIRECT_INTERVAL, ());
        let header = Header {
            kind: Kind::TrafficIndication,
            hop_count: HOPS,
            flags: Flags::default(),
            request_id: 0,
            src_nbma: self.config.nbma,
            src_protocol: own,
            dst_protocol: source,
        };
        self.send(from, &header, out, |config, builder| {
            builder.quote(&head[..head.len().min(QUOTE_MAX)])?;
            let secret = config.authentication.as_ref();
            secret.map_or(Ok(()), |secret| builder.authentication(secret.expose()))
        });
        out.push(Action::Event(Event::Redirected { peer, destination }));
    }

    /// Takes a Traffic Indication: asks for the shorter way.
    pub(crate) fn indicated(
        &mut self,
        (now, from, packet): (Instant, Path, &View<'_>),
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
        if !self.config.shortcut {
            return Err(DropReason::Kind);
        }
        self.check_extensions((now, from, packet), out)?;
        let peer = packet.header().src_protocol;
        if self.cache.find(peer).is_none_or(|binding| binding.path != from) {
            return Err(DropReason::Source);
        }
        let (source, destination) = ends(packet.quoted()).ok_or(DropReason::Indication)?;
        let ours =
            self.config.is_own(source) || matches!(overlay.route(source), Some(Route::Local(_)));
        let through = matches!(
            overlay.route(destination),
            Some(Route::Tunnel { next_hop, .. })
                if self.cache.find(next_hop).is_some_and(|binding| binding.path == from)
        );
        if !ours || !through || !self.config.is_host(destination) {
            return Err(DropReason::Indication);
        }
        self.resolve(now, destination, overlay, out);
        Ok(())
    }
}

/// Source and destination of a packet, whose end may be missing.
fn ends(head: &[u8]) -> Option<(IpAddr, IpAddr)> {
    match head.first()? >> 4 {
        4 => {
            let packet = ip4::Packet::new_quoted(head).ok()?;
            Some((packet.src().into(), packet.dst().into()))
        }
        6 => {
            let packet = ip6::Packet::new_quoted(head).ok()?;
            Some((packet.src().into(), packet.dst().into()))
        }
        _ => None,
    }
}
