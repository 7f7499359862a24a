//! What the configuration of a tunnel means to NHRP.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::{Config, Tunnel, TunnelId, TunnelMode};

impl Tunnel {
    /// NHRP of an mGRE tunnel that has an address of its own; without one nobody could name it.
    #[must_use]
    pub fn nhrp(&self) -> Option<nhrp::Config> {
        let TunnelMode::Mgre { map, nhrp, .. } = &self.mode else { return None };
        if self.addresses.is_empty() {
            return None;
        }
        let server = |server: &super::Nhs| nhrp::NhsConfig {
            host: server.host.clone(),
            protocol: server.protocol,
            priority: server.priority,
            cluster: server.group,
        };
        let groups: BTreeSet<u8> = nhrp.nhs.iter().map(|server| server.group).collect();
        let active = nhrp.active.map_or(usize::MAX, |active| active.get().into());
        let statics = map.iter();
        let statics = statics.map(|map| nhrp::StaticMap { protocol: map.protocol, nbma: map.nbma });
        Some(nhrp::Config {
            addresses: self.addresses.clone(),
            nbma: self.local,
            holding_time: nhrp.holdtime,
            registration_interval: nhrp.registration,
            authentication: nhrp.authentication.clone(),
            unique: nhrp.unique,
            servers: nhrp.nhs.iter().map(server).collect(),
            clusters: groups.into_iter().map(|group| (group, active)).collect(),
            maps: statics.collect(),
            redirect: nhrp.redirect,
            shortcut: nhrp.shortcut,
            // A shortcut waits until the way to its peer works: an SA, a resolved next hop.
            protected: true,
        })
    }

    /// Whether peers are told of shorter ways than by us.
    #[must_use]
    pub fn redirects(&self) -> bool {
        matches!(&self.mode, TunnelMode::Mgre { nhrp, .. } if nhrp.redirect)
    }

    fn network_id(&self) -> Option<NonZeroU32> {
        match &self.mode {
            TunnelMode::Mgre { nhrp, .. } => nhrp.network_id,
            TunnelMode::Gre { .. } => None,
        }
    }
}

impl Config {
    /// The NHRP network of a tunnel, as the first tunnel that it has.
    #[must_use]
    pub fn network(&self, tunnel: TunnelId) -> TunnelId {
        let Some(number) = self.tunnels[tunnel.index()].network_id() else { return tunnel };
        let mut tunnels = (0..).map(TunnelId).zip(&self.tunnels);
        let first = tunnels.find(|(_, other)| other.network_id() == Some(number));
        first.map_or(tunnel, |(first, _)| first)
    }

    /// The NHRP network of a tunnel, if peers of some tunnel of it are told of shorter ways.
    #[must_use]
    pub fn redirecting_network(&self, tunnel: TunnelId) -> Option<TunnelId> {
        let own = &self.tunnels[tunnel.index()];
        // Most tunnels are alone, and there may be thousands.
        let Some(number) = own.network_id() else { return own.redirects().then_some(tunnel) };
        let mut members = self.tunnels.iter().filter(|other| other.network_id() == Some(number));
        members.any(Tunnel::redirects).then(|| self.network(tunnel))
    }
}
