//! Reload: the difference between two configurations, and nothing else, takes effect.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::api::protocol::{ErrorCode, Failure, Reload};
use crate::api::report::Event;
use crate::config::{Attachment, Config, Diagnostic, Direction, Group, ManualSa, Route, Table};

use super::control::Gateway;

impl Gateway {
    /// Reads the configuration again, from `path` or from where it came, and applies it.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub(super) fn reload(&mut self, path: Option<&Path>, now: Instant) -> Result<Reload, Failure> {
        let path = path.unwrap_or(&self.path).to_path_buf();
        let config = path.display().to_string();
        let result = self.load(path, now);
        self.note(match &result {
            Ok(Reload { added, removed, changed, .. }) => {
                let [added, removed, changed] = [added, removed, changed].map(Vec::len);
                Event::Reloaded { config, added, removed, changed }
            }
            Err(failure) => Event::ReloadFailed { config, reason: failure.message.clone() },
        });
        result
    }

    fn load(&mut self, path: PathBuf, now: Instant) -> Result<Reload, Failure> {
        let config = Config::load(&path).map_err(|diagnostics| invalid(&diagnostics))?;
        let fixed = needs_restart(&self.config, &config);
        if !fixed.is_empty() {
            return Err(invalid(&fixed));
        }
        let difference = difference(&self.config, &config);
        let old = std::mem::replace(&mut self.config, config);
        if let Err(error) = self.configure(now) {
            self.config = old;
            return Err(Failure::new(ErrorCode::Conflict, error.to_string()));
        }
        self.path = path;
        Ok(difference)
    }
}

fn invalid(diagnostics: &[Diagnostic]) -> Failure {
    let message = format!("{} mistakes in the configuration", diagnostics.len());
    let mut failure = Failure::new(ErrorCode::InvalidConfiguration, message);
    failure.diagnostics = diagnostics.iter().map(ToString::to_string).collect();
    failure
}

/// What only takes effect at a start: the process, the cores, and the devices.
fn needs_restart(old: &Config, new: &Config) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut refuse = |key: &str| found.push(new.error_at(key, "takes effect at a restart only"));
    if old.system != new.system {
        refuse("system");
    }
    if old.pipeline != new.pipeline {
        refuse("pipeline");
    }
    for (index, port) in new.ports.iter().enumerate() {
        let before = old.ports.get(index);
        let same = before.is_some_and(|before| {
            (&before.name, &before.attachment, before.role, before.mtu)
                == (&port.name, &port.attachment, port.role, port.mtu)
        });
        let is_new_vlan = before.is_none() && matches!(port.attachment, Attachment::Vlan { .. });
        if !same && !is_new_vlan {
            refuse(&format!("port[{index}]"));
        }
    }
    if new.ports.len() < old.ports.len() {
        refuse("port");
    }
    found
}

/// What is different, by name.
fn difference(old: &Config, new: &Config) -> Reload {
    let mut reload = Reload {
        warnings: new.warnings.iter().map(ToString::to_string).collect(),
        ..Reload::default()
    };
    reload.compare(&old.ports, &new.ports, |port| format!("port {}", port.name));
    reload.compare(&old.tunnels, &new.tunnels, |tunnel| format!("tunnel {}", tunnel.name));
    reload.compare(&old.profiles, &new.profiles, |profile| format!("profile {}", profile.name));
    reload.compare(&old.sas, &new.sas, sa_name);
    reload.compare(&old.policies, &new.policies, |policy| {
        format!("policy {} to {}", policy.select.src, policy.select.dst)
    });
    let is_in_both = |policy| old.policies.contains(policy) && new.policies.contains(policy);
    let before = old.policies.iter().filter(|policy| is_in_both(policy));
    if before.ne(new.policies.iter().filter(|policy| is_in_both(policy))) {
        reload.changed.push("order of policies".to_owned());
    }
    reload.compare(&old.routes, &new.routes, route_name);
    reload.compare(&old.multicast, &new.multicast, |rule| {
        let groups: Vec<String> = rule.groups.iter().map(group_name).collect();
        format!("multicast {}", groups.join(", "))
    });
    reload
}

fn sa_name(sa: &ManualSa) -> String {
    let (direction, preposition) = match sa.direction {
        Direction::In => ("inbound", "from"),
        Direction::Out => ("outbound", "to"),
    };
    format!("{direction} SA {:#x} {preposition} {}", sa.spi.value(), sa.remote)
}

fn route_name(route: &Route) -> String {
    match route.table {
        Table::Overlay => format!("route {}", route.prefix),
        Table::Underlay => format!("underlay route {}", route.prefix),
    }
}

fn group_name(group: &Group) -> String {
    match group {
        Group::Multicast(prefix) => prefix.to_string(),
        Group::LimitedBroadcast => "255.255.255.255".to_owned(),
    }
}

impl Reload {
    /// Several items may have one name, as policies that differ only in ports: those that are the
    /// same in both lists are left out, of the others as many have changed as there are in both.
    fn compare<T: PartialEq>(&mut self, old: &[T], new: &[T], name: impl Fn(&T) -> String) {
        if old == new {
            return;
        }
        let mut before: HashMap<String, Vec<&T>> = HashMap::new();
        for item in old {
            before.entry(name(item)).or_default().push(item);
        }
        let mut others = Vec::new();
        for item in new {
            let named = before.get_mut(&name(item));
            let same = named.as_ref().and_then(|list| list.iter().position(|old| *old == item));
            match (named, same) {
                (Some(list), Some(same)) => drop(list.remove(same)),
                _ => others.push(name(item)),
            }
        }
        for item in others {
            match before.get_mut(&item).and_then(Vec::pop) {
                Some(_) => self.changed.push(item),
                None => self.added.push(item),
            }
        }
        for item in old {
            let item = name(item);
            if before.get_mut(&item).and_then(Vec::pop).is_some() {
                self.removed.push(item);
            }
        }
    }
}

#[cfg(test)]
mod tests;
