//! Security associations. Never their keys.

use std::time::Instant;

use crate::api::protocol::UdpPorts;
use crate::api::report::{Direction, EspMode, LifetimeLeft, Sa, SaState};
use crate::config;
use crate::sas::Entry;

use super::super::control::Gateway;
use super::super::crypto;

impl Gateway {
    /// In the order in which they were made.
    pub(in super::super) fn report_sas(&self, now: Instant) -> Vec<Sa> {
        let mut entries: Vec<&Entry> = self.sas.iter().collect();
        entries.sort_by_key(|entry| (entry.installed, entry.slot));
        entries.into_iter().map(|entry| self.report_sa(entry, now)).collect()
    }

    fn report_sa(&self, entry: &Entry, now: Instant) -> Sa {
        let sa = &entry.manual;
        let (esn, window) = entry.replay();
        let inbound = sa.direction == config::Direction::In;
        let lifetime = &entry.profile.lifetime;
        let packets = entry.counters.traffic.packets.value();
        let octets = entry.counters.traffic.octets.value();
        let age = now.saturating_duration_since(entry.installed);
        let udp = entry.udp_ports().and_then(|(local, remote)| {
            Some(UdpPorts { local: local.try_into().ok()?, remote: remote.try_into().ok()? })
        });
        let device = crypto::name(&self.config).filter(|_| entry.uses_device());
        Sa {
            slot: entry.slot,
            direction: if inbound { Direction::In } else { Direction::Out },
            spi: sa.spi.value(),
            profile: entry.profile.name.clone(),
            mode: match entry.profile.mode {
                config::EspMode::Transport => EspMode::Transport,
                config::EspMode::Tunnel => EspMode::Tunnel,
            },
            algorithm: sa.algorithm.to_string(),
            crypto: device.map(str::to_owned),
            local: sa.local,
            remote: entry.endpoint.map_or(sa.remote, |(address, _)| address),
            udp,
            esn,
            sequence: entry.counters.sequence.value(),
            window: (inbound && window > 0).then_some(window),
            packets,
            octets,
            replays: entry.counters.replays.value(),
            forgeries: entry.counters.forgeries.value(),
            lifetime: LifetimeLeft {
                seconds: lifetime.time.map(|time| time.saturating_sub(age).as_secs()),
                octets: lifetime.octets.map(|limit| limit.get().saturating_sub(octets)),
                packets: lifetime.packets.map(|limit| limit.get().saturating_sub(packets)),
            },
            state: if entry.expired || lifetime.time.is_some_and(|time| age >= time) {
                SaState::Expired
            } else if self.transaction.is_installing(entry.slot) {
                SaState::Installing
            } else {
                SaState::Active
            },
        }
    }
}
