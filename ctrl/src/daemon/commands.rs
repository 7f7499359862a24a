//! What people ask of the gateway over the control socket.

use std::path::Path;
use std::time::Instant;

use crate::api::protocol::{
    Clear, Command, ErrorCode, Failure, Outcome, Pong, Reply, SaAdd, SaDelete, Show,
};
use crate::api::report::{self, Event, EventSa};
use crate::config::{Direction, KeyMaterial, ManualSa, PortId, ProfileId, Role, Spi, UdpEncap};
use crate::sas::Changes;

use super::control::Gateway;

impl Gateway {
    /// Does what a client asks.
    pub(super) fn command(&mut self, command: Command, now: Instant) -> Outcome {
        let result = match command {
            Command::Ping {} => Ok(Reply::Pong(self.pong(now))),
            Command::Show(what) => Ok(self.show(what, now)),
            // To wait for them is not for here: see `Followers`.
            Command::Events { after, .. } => Ok(Reply::Events(self.journal.since(after))),
            Command::Clear(what) => self.clear(what, now),
            Command::Reload { path } => {
                let path = path.as_deref().map(Path::new);
                self.reload(path, now).map(Reply::Reloaded)
            }
            Command::SaAdd(add) => self.add_sa(add, now),
            Command::SaDelete(delete) => self.delete_sa(delete, now),
        };
        result.into()
    }

    fn pong(&self, now: Instant) -> Pong {
        Pong {
            name: self.config.system.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: now.duration_since(self.started).as_secs(),
            config: self.path.display().to_string(),
        }
    }

    fn show(&self, what: Show, now: Instant) -> Reply {
        match what {
            Show::Ports {} => Reply::Ports(self.report_ports()),
            Show::Tunnels {} => Reply::Tunnels(self.report_tunnels()),
            Show::Peers {} => Reply::Peers(self.report_peers()),
            Show::Sa {} => Reply::Sa(self.report_sas(now)),
            Show::Routes {} => Reply::Routes(self.report_routes()),
            Show::Stages {} => Reply::Stages(self.report_stages()),
            Show::Drops { all } => Reply::Drops(self.report_drops(all)),
            Show::Topology {} => Reply::Topology(self.report_topology()),
            Show::Cores {} => Reply::Cores(self.report_cores()),
            Show::Neighbors {} => Reply::Neighbors(self.report_neighbors()),
            Show::Nhrp {} => Reply::Nhrp(self.report_nhrp(now)),
            Show::NhrpCache {} => Reply::NhrpCache(self.report_nhrp_cache(now)),
            Show::NhrpShortcuts {} => Reply::NhrpShortcuts(self.report_nhrp_shortcuts(now)),
            Show::NhrpServers {} => Reply::NhrpServers(self.report_nhrp_servers()),
            Show::NhrpMulticast {} => Reply::NhrpMulticast(self.report_nhrp_multicast()),
            Show::NhrpTraffic {} => Reply::NhrpTraffic(self.report_nhrp_traffic()),
        }
    }

    fn clear(&mut self, what: Clear, now: Instant) -> Result<Reply, Failure> {
        let entries = match what {
            Clear::Counters {} => self.reset_counters(),
            Clear::Drops {} => self.reset_drops(),
            Clear::Neighbors { interface } => {
                let index = match interface {
                    Some(name) => Some(self.port_named(&name)?),
                    None => None,
                };
                let before = self.macs.len();
                let actions = self.neighbors.clear(now, index);
                self.neighbor_actions(actions, now);
                before.saturating_sub(self.macs.len()) as u64
            }
            Clear::Reassembly {} => self.clear_reassembly(),
            Clear::Nhrp { tunnel } => self.clear_nhrp(tunnel.as_deref(), now)?,
        };
        Ok(Reply::Cleared { entries })
    }

    fn port_named(&self, name: &str) -> Result<u16, Failure> {
        let at = self.config.ports.iter().position(|port| port.name == name);
        at.and_then(|at| u16::try_from(at).ok())
            .ok_or_else(|| Failure::new(ErrorCode::NotFound, format!("no port is named {name}")))
    }

    fn add_sa(&mut self, add: SaAdd, now: Instant) -> Result<Reply, Failure> {
        let invalid = |message: String| Failure::new(ErrorCode::InvalidArguments, message);
        let profile = self.profile_named(&add.profile)?;
        let settings = self.config.profiles[profile.index()].clone();
        let algorithm = add.esp.unwrap_or(settings.esp[0]);
        let key = KeyMaterial::from_file_contents(add.key.digits().as_bytes(), algorithm)
            .map_err(|error| invalid(error.to_string()))?;
        let local = add.local.or_else(|| self.underlay_address(add.remote.is_ipv4()));
        let manual = ManualSa {
            profile,
            direction: match add.direction {
                report::Direction::In => Direction::In,
                report::Direction::Out => Direction::Out,
            },
            remote: add.remote,
            local: local.ok_or_else(|| {
                invalid(format!("no underlay port has an address of the family of {}", add.remote))
            })?,
            spi: Spi::new(add.spi)
                .ok_or_else(|| invalid(format!("SPI {:#x} is reserved: 0x100 or more", add.spi)))?,
            algorithm,
            key,
            udp_encap: add
                .udp
                .map(|udp| UdpEncap { local_port: udp.local, remote_port: udp.remote }),
        };
        let random = getrandom::u64()
            .map_err(|error| Failure::new(ErrorCode::Failed, format!("no randomness: {error}")))?;
        let moment = self.moment(now, random);
        let install = self
            .sas
            .add(manual, settings, true, moment)
            .map_err(|error| Failure::new(ErrorCode::Conflict, error.to_string()))?;
        self.sas_changed(Changes { install: vec![install], retire: Vec::new() });
        match self.report_sas(now).pop() {
            Some(sa) => {
                self.note(Event::SaAdded(EventSa::from(&sa)));
                Ok(Reply::SaAdded(sa))
            }
            None => Err(Failure::new(ErrorCode::Failed, "the SA is gone again")),
        }
    }

    fn profile_named(&self, name: &str) -> Result<ProfileId, Failure> {
        let at = self.config.profiles.iter().position(|profile| profile.name == name);
        at.and_then(|at| u16::try_from(at).ok())
            .map(ProfileId)
            .ok_or_else(|| Failure::new(ErrorCode::NotFound, format!("no profile is named {name}")))
    }

    fn underlay_address(&self, v4: bool) -> Option<std::net::IpAddr> {
        let ports = self.config.ports.iter().filter(|port| port.role == Role::Underlay);
        let mut addresses = ports.flat_map(|port| port.addresses.iter().map(|a| a.address()));
        addresses.find(|address| address.is_ipv4() == v4)
    }

    fn delete_sa(&mut self, delete: SaDelete, now: Instant) -> Result<Reply, Failure> {
        let direction = match delete.direction {
            report::Direction::In => Direction::In,
            report::Direction::Out => Direction::Out,
        };
        let matches = |sa: &report::Sa| {
            (sa.direction, sa.spi) == (delete.direction, delete.spi)
                && delete.remote.is_none_or(|remote| remote == sa.remote)
        };
        let mut found = self.report_sas(now).into_iter().filter(matches);
        let (Some(sa), None) = (found.next(), found.next()) else {
            let message = format!("not exactly one such SA with SPI {:#x}", delete.spi);
            return Err(Failure::new(ErrorCode::NotFound, message));
        };
        let Some(spi) = Spi::new(delete.spi) else {
            return Err(Failure::new(ErrorCode::InvalidArguments, "reserved SPI"));
        };
        let retire = self.sas.delete(direction, spi, delete.remote, now);
        self.sas_changed(Changes { install: Vec::new(), retire });
        self.note(Event::SaDeleted(EventSa::from(&sa)));
        Ok(Reply::SaDeleted(sa))
    }

    /// Name of the tunnel with an interface index.
    pub(super) fn tunnel_name(&self, index: u16) -> String {
        let number = usize::from(index).checked_sub(self.config.ports.len());
        let tunnel = number.and_then(|number| self.config.tunnels.get(number));
        tunnel.map_or_else(|| format!("interface {index}"), |tunnel| tunnel.name.clone())
    }

    /// Interface index of a port of the configuration.
    pub(super) fn port_name(&self, index: u16) -> String {
        let port = self.config.ports.get(PortId(index).index());
        port.map_or_else(|| format!("interface {index}"), |port| port.name.clone())
    }
}
