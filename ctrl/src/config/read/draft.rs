//! What has been read so far.

use std::net::IpAddr;
use std::path::PathBuf;

use wire::IpPrefix;

use super::route::{self, RouteEntry};
use crate::config::locations::Locations;
use crate::config::{
    Config, Diagnostic, Interface, ManualSa, MulticastRule, Pipeline, Policy, Port, PortId,
    Profile, ProfileId, Role, System, Table, Tunnel, TunnelId, TunnelMode,
};

/// A configuration with gaps: `None` stands where an entry has a mistake that was reported, so
/// that indices stay what they are.
#[derive(Default)]
pub(in crate::config) struct Draft {
    pub(in crate::config) system: Option<System>,
    pub(in crate::config) pipeline: Option<Pipeline>,
    pub(in crate::config) ports: Vec<Option<Port>>,
    pub(in crate::config) tunnels: Vec<Option<Tunnel>>,
    pub(in crate::config) profiles: Vec<Option<Profile>>,
    pub(in crate::config) sas: Vec<Option<ManualSa>>,
    pub(in crate::config) policies: Vec<Option<Policy>>,
    pub(in crate::config) routes: Vec<RouteEntry>,
    pub(in crate::config) multicast: Vec<Option<MulticastRule>>,
}

impl Draft {
    pub(in crate::config) fn port(&self, id: PortId) -> Option<&Port> {
        self.ports.get(id.index())?.as_ref()
    }

    pub(in crate::config) fn tunnel(&self, id: TunnelId) -> Option<&Tunnel> {
        self.tunnels.get(id.index())?.as_ref()
    }

    pub(in crate::config) fn profile(&self, id: ProfileId) -> Option<&Profile> {
        self.profiles.get(id.index())?.as_ref()
    }

    /// Whether no interface or profile had a mistake that was reported.
    pub(in crate::config) fn is_complete(&self) -> bool {
        self.ports.iter().all(Option::is_some)
            && self.tunnels.iter().all(Option::is_some)
            && self.profiles.iter().all(Option::is_some)
            && self.policies.iter().all(Option::is_some)
    }

    /// Whether `address` is one of a port or tunnel.
    pub(in crate::config) fn owns(&self, address: IpAddr) -> bool {
        let ports = self.ports.iter().flatten().flat_map(|port| &port.addresses);
        let tunnels = self.tunnels.iter().flatten().flat_map(|tunnel| &tunnel.addresses);
        ports.chain(tunnels).any(|own| own.address() == address)
    }

    /// The interface of a table that `address` is a neighbour on: the one with the longest
    /// connected prefix, or the tunnel that maps it.
    pub(in crate::config) fn connected(&self, address: IpAddr, table: Table) -> Option<Interface> {
        let ports = (0..).map(PortId).zip(&self.ports).filter_map(|(id, port)| {
            let port = port.as_ref().filter(|port| port.role.table() == table)?;
            let own = port.addresses.iter().map(|own| own.prefix());
            let length = own.filter(|prefix| prefix.contains(address)).map(IpPrefix::len).max()?;
            Some((length, Interface::Port(id)))
        });
        let tunnels = (0..).map(TunnelId).zip(&self.tunnels).filter_map(|(id, tunnel)| {
            let tunnel = tunnel.as_ref().filter(|_| table == Table::Overlay)?;
            let own = tunnel.addresses.iter().map(|own| own.prefix());
            let length = own.filter(|prefix| prefix.contains(address)).map(IpPrefix::len).max();
            let mapped = match &tunnel.mode {
                TunnelMode::Mgre { map, .. } => map.iter().any(|entry| entry.protocol == address),
                TunnelMode::Gre { .. } => false,
            };
            let length = if mapped { Some(IpPrefix::host(address).len()) } else { length };
            Some((length?, Interface::Tunnel(id)))
        });
        ports.chain(tunnels).max_by_key(|(length, _)| *length).map(|(_, interface)| interface)
    }

    /// Whether `interface` carries inner packets; `None` if it was refused.
    pub(in crate::config) fn is_overlay(&self, interface: Interface) -> Option<bool> {
        match interface {
            Interface::Port(id) => Some(self.port(id)?.role == Role::Overlay),
            Interface::Tunnel(_) => Some(true),
        }
    }

    /// The configuration, with its `warnings`. They come back if the draft has a gap, which an
    /// error among them should explain.
    pub(in crate::config) fn into_config(
        self,
        warnings: Vec<Diagnostic>,
        file: PathBuf,
        locations: Locations,
    ) -> Result<Config, Vec<Diagnostic>> {
        let parts = (|| {
            Some((
                (self.system?, self.pipeline?),
                (whole(self.ports)?, whole(self.tunnels)?, whole(self.profiles)?),
                (whole(self.sas)?, whole(self.policies)?, whole(self.multicast)?),
            ))
        })();
        let Some((process, interfaces, others)) = parts else { return Err(warnings) };
        let ((system, pipeline), (ports, tunnels, profiles)) = (process, interfaces);
        let (sas, policies, multicast) = others;
        let routes = route::merge(self.routes);
        Ok(Config {
            system,
            pipeline,
            ports,
            tunnels,
            profiles,
            sas,
            policies,
            routes,
            multicast,
            warnings,
            file,
            locations,
        })
    }
}

/// All entries, if none is a gap.
fn whole<T>(entries: Vec<Option<T>>) -> Option<Vec<T>> {
    entries.into_iter().collect()
}
