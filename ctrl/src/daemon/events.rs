//! Events, for the log and for `greyhound events`: who notes them, keeps them, and waits for them.

mod followers;
mod journal;

use std::net::IpAddr;
use std::time::Instant;

use jiff::Timestamp;
use wire::IpPrefix;

use crate::api::report::{Event, EventSa};
use crate::config::{Direction, TunnelId};
use crate::sas;

use super::control::Gateway;

pub(super) use followers::Followers;
pub(super) use journal::Journal;

impl Gateway {
    /// Tells operators of something that has happened just now.
    pub(super) fn note(&mut self, event: Event) {
        self.journal.note(Instant::now(), Timestamp::now(), event);
    }

    /// The same for what a machine of NHRP says.
    pub(super) fn note_nhrp(&mut self, id: TunnelId, event: nhrp::Event) {
        let tunnel = self.config.tunnels[id.index()].name.clone();
        self.note(of_nhrp(tunnel, event));
    }

    /// A shortcut that is new, or leads elsewhere.
    pub(super) fn note_shortcut(&mut self, id: TunnelId, shortcut: &nhrp::Shortcut) {
        let tunnel = self.config.tunnels[id.index()].name.clone();
        let nhrp::Shortcut { prefix, next_hop: via, path, .. } = *shortcut;
        let nbma = path.nbma;
        self.note(Event::NhrpShortcutAdded { tunnel, prefix: prefix.to_string(), via, nbma });
    }

    /// A shortcut that was removed, and where it led.
    pub(super) fn note_no_shortcut(&mut self, id: TunnelId, prefix: IpPrefix, nbma: IpAddr) {
        let tunnel = self.config.tunnels[id.index()].name.clone();
        self.note(Event::NhrpShortcutRemoved { tunnel, prefix: prefix.to_string(), nbma });
    }
}

impl From<&sas::Entry> for EventSa {
    fn from(entry: &sas::Entry) -> Self {
        Self {
            direction: match entry.manual.direction {
                Direction::In => crate::api::report::Direction::In,
                Direction::Out => crate::api::report::Direction::Out,
            },
            spi: entry.manual.spi.value(),
            remote: entry.manual.remote,
        }
    }
}

fn of_nhrp(tunnel: String, event: nhrp::Event) -> Event {
    match event {
        nhrp::Event::Registered { protocol, nbma } => {
            Event::NhrpRegistered { tunnel, protocol, nbma }
        }
        nhrp::Event::Expired { protocol } => Event::NhrpExpired { tunnel, protocol },
        nhrp::Event::Withdrawn { protocol } => Event::NhrpWithdrawn { tunnel, protocol },
        nhrp::Event::Refused { protocol, nbma, code } => {
            Event::NhrpRefused { tunnel, protocol, nbma, reason: code.to_string() }
        }
        nhrp::Event::ServerUp { nbma, protocol, outside } => {
            Event::NhrpServerUp { tunnel, nbma, protocol, outside }
        }
        nhrp::Event::ServerDown { nbma } => Event::NhrpServerDown { tunnel, nbma },
        nhrp::Event::ServerRefused { nbma, code } => {
            Event::NhrpServerRefused { tunnel, nbma, reason: code.to_string() }
        }
        nhrp::Event::NameFailed { name, why } => {
            Event::NhrpServerUnresolved { tunnel, name: name.to_string(), reason: why.to_string() }
        }
        nhrp::Event::AddressRefused { nbma } => Event::NhrpServerMisplaced { tunnel, nbma },
        nhrp::Event::Unresolved { destination, code } => {
            let reason = code.map(|code| code.to_string());
            Event::NhrpUnresolved { tunnel, destination, reason }
        }
        nhrp::Event::Redirected { peer, destination } => {
            Event::NhrpRedirected { tunnel, peer, destination }
        }
        nhrp::Event::Error { nbma, code } => {
            Event::NhrpError { tunnel, nbma, reason: code.to_string() }
        }
    }
}
