//! Reload: the difference between two configurations, and nothing else, takes effect.

use std::fmt::Debug;
use std::path::Path;
use std::time::Instant;

use crate::api::protocol::{ErrorCode, Failure, Reload};
use crate::config::{Attachment, Config, Diagnostic, ManualSa};

use super::control::Gateway;

impl Gateway {
    /// Reads the configuration again, from `path` or from where it came, and applies it.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub(super) fn reload(&mut self, path: Option<&Path>, now: Instant) -> Result<Reload, Failure> {
        let path = path.unwrap_or(&self.path).to_path_buf();
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
        log::info!(
            "reloaded: {} added, {} removed, {} changed",
            difference.added.len(),
            difference.removed.len(),
            difference.changed.len()
        );
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
    reload.compare(&old.routes, &new.routes, |route| format!("route {}", route.prefix));
    reload.compare(&old.multicast, &new.multicast, |rule| format!("multicast {:?}", rule.groups));
    reload
}

fn sa_name(sa: &ManualSa) -> String {
    format!("sa {:#x} {:?} {}", sa.spi.value(), sa.direction, sa.remote)
}

impl Reload {
    fn compare<T: PartialEq + Debug>(&mut self, old: &[T], new: &[T], name: impl Fn(&T) -> String) {
        let named = |list: &[T], wanted: &str| list.iter().any(|item| name(item) == wanted);
        for item in new {
            let item_name = name(item);
            if !named(old, &item_name) {
                self.added.push(item_name);
            } else if !old.contains(item) {
                self.changed.push(item_name);
            }
        }
        let gone = old.iter().map(&name).filter(|item| !named(new, item));
        self.removed.extend(gone);
    }
}
