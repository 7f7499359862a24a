//! Names of ports, tunnels and profiles. All of them are known before the first one is used, so
//! that an entry with a mistake does not make every mention of it a mistake.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::config::reader::{Complaint, Item, Section};
use crate::config::suggest::did_you_mean;
use crate::config::{Interface, PortId, ProfileId, TunnelId};

/// What names stand for. Ports and tunnels share one name space; profiles have their own.
pub(super) struct Names {
    interfaces: BTreeMap<String, Interface>,
    profiles: BTreeMap<String, ProfileId>,
}

impl Names {
    /// Collects the names of all sections and reports those that are there twice.
    pub(super) fn of(
        ports: &[Section<'_>],
        tunnels: &[Section<'_>],
        profiles: &[Section<'_>],
    ) -> Self {
        let mut names = Self { interfaces: BTreeMap::new(), profiles: BTreeMap::new() };
        for (id, section) in (0..).map(PortId).zip(ports) {
            enter(&mut names.interfaces, section, Interface::Port(id));
        }
        for (id, section) in (0..).map(TunnelId).zip(tunnels) {
            enter(&mut names.interfaces, section, Interface::Tunnel(id));
        }
        for (id, section) in (0..).map(ProfileId).zip(profiles) {
            enter(&mut names.profiles, section, id);
        }
        names
    }

    /// The port or tunnel that the string in `item` names.
    pub(super) fn interface(&self, item: &Item<'_>) -> Option<Interface> {
        let name = item.string()?;
        if let Some(interface) = self.interfaces.get(name) {
            return Some(*interface);
        }
        let hint = did_you_mean(name, self.interfaces.keys().map(String::as_str));
        let complaint = format!("no port or tunnel has the name {name:?}");
        item.error(Complaint::from(complaint).maybe_hint(hint))
    }

    /// The port that the string in `item` names.
    pub(super) fn port(&self, item: &Item<'_>) -> Option<PortId> {
        let name = item.string()?;
        match self.interfaces.get(name) {
            Some(Interface::Port(id)) => Some(*id),
            Some(Interface::Tunnel(_)) => item.error(format!("{name:?} is a tunnel, not a port")),
            None => {
                let ports = self.interfaces.iter().filter_map(|(name, interface)| {
                    matches!(interface, Interface::Port(_)).then_some(name.as_str())
                });
                let hint = did_you_mean(name, ports);
                let complaint = format!("no port has the name {name:?}");
                item.error(Complaint::from(complaint).maybe_hint(hint))
            }
        }
    }

    /// The profile that the string in `item` names.
    pub(super) fn profile(&self, item: &Item<'_>) -> Option<ProfileId> {
        let name = item.string()?;
        if let Some(id) = self.profiles.get(name) {
            return Some(*id);
        }
        let hint = did_you_mean(name, self.profiles.keys().map(String::as_str));
        let complaint = format!("no [[ipsec.profile]] has the name {name:?}");
        item.error(Complaint::from(complaint).maybe_hint(hint))
    }
}

fn enter<T>(names: &mut BTreeMap<String, T>, section: &Section<'_>, id: T) {
    // Whether it is there and well-formed is looked at when the section is read.
    let Some((item, name)) =
        section.take("name").and_then(|item| Some((item.clone(), item.text()?)))
    else {
        return;
    };
    match names.entry(name.to_owned()) {
        Entry::Vacant(vacant) => {
            vacant.insert(id);
        }
        Entry::Occupied(_) => item.error(format!("the name {name:?} is there twice")).unwrap_or(()),
    }
}
