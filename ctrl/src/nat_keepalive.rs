//! NAT keepalives (RFC 3948 2.3): one octet, so that a NAT before us does not forget which of its
//! ports is ours while we have nothing to say. Nobody answers them.
//!
//! Who is behind a NAT sends them; nobody tells us whether that is so before there is IKE. But a
//! peer that is seen elsewhere than where it is configured is behind one itself, and need not be
//! told anything. All others under UDP get an octet after 20 s without a packet, which is what the
//! RFC says; if there is no NAT, it costs nobody anything. An SA that was never used has opened no
//! port that could be kept.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use wire::checksum::Sum;
use wire::{EmitError, IpProto, ip4, ip6, udp};

use crate::config::Direction;
use crate::sas::Entry;

/// Silence before a keepalive (RFC 3948 4): below the shortest time-out of NATs, 30 s.
const SILENCE: Duration = Duration::from_secs(20);
const OCTET: u8 = 0xFF;

/// Addresses and UDP ports of a keepalive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatKeepalive {
    /// Ours.
    pub local: (IpAddr, u16),
    /// The peer's.
    pub peer: (IpAddr, u16),
}

/// When something was sent last, by the slots of outbound SAs.
#[derive(Debug, Default)]
pub struct NatKeepalives(HashMap<u32, (u64, Instant)>);

impl NatKeepalives {
    /// What is to be sent, by the SAs that there are.
    pub fn due<'a>(
        &mut self,
        now: Instant,
        sas: impl Iterator<Item = &'a Entry>,
    ) -> Vec<NatKeepalive> {
        let mut before = std::mem::take(&mut self.0);
        let mut due = Vec::new();
        for entry in sas.filter(|entry| entry.manual.direction == Direction::Out) {
            let Some((local_port, port)) = entry.udp_ports().filter(|_| !entry.has_moved()) else {
                continue;
            };
            let sent = entry.counters.traffic.packets.value();
            let since = before.remove(&entry.slot).filter(|(packets, _)| *packets == sent);
            let mut since = since.map_or(now, |(_, since)| since);
            if sent > 0 && now.duration_since(since) >= SILENCE {
                since = now;
                due.push(NatKeepalive {
                    local: (entry.manual.local, local_port),
                    peer: (entry.peer_address(), port),
                });
            }
            self.0.insert(entry.slot, (sent, since));
        }
        due
    }
}

impl NatKeepalive {
    /// The packet, from its IP header on.
    ///
    /// # Errors
    /// [`EmitError::TooLong`] if the addresses are of two families; an SA's are not.
    pub fn packet(&self) -> Result<Vec<u8>, EmitError> {
        const LEN: u16 = 9;
        let ((src, src_port), (dst, dst_port)) = (self.local, self.peer);
        let mut packet = [0; ip6::HEADER_LEN + LEN as usize];
        let (start, pseudo) = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                (ip4::Repr::new(src, dst, IpProto::UDP, LEN).emit(&mut packet)?, None)
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => (
                ip6::Repr::new(src, dst, IpProto::UDP, LEN).emit(&mut packet)?,
                Some(Sum::pseudo_v6(src, dst, IpProto::UDP, LEN.into())),
            ),
            _ => return Err(EmitError::TooLong),
        };
        let datagram = &mut packet[start..start + usize::from(LEN)];
        let end = udp::Repr { src_port, dst_port, payload_len: 1 }.emit(datagram)?;
        datagram[end] = OCTET;
        // Over IPv4 there is none, as with ESP in UDP.
        pseudo.map_or(Ok(()), |pseudo| udp::fill_checksum(datagram, pseudo))?;
        Ok(packet[..start + usize::from(LEN)].to_vec())
    }
}

#[cfg(test)]
mod tests;
