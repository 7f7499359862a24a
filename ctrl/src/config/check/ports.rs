//! Devices, VLANs and MTUs of ports.

use std::collections::BTreeMap;

use super::{Draft, Reports, entries};
use crate::config::{Attachment, Port, PortId};

pub(super) fn check(draft: &Draft, reports: &Reports<'_>) {
    if draft.ports.is_empty() {
        reports.error("", "there is no [[port]]: a gateway without ports forwards nothing");
    }
    devices(draft, reports);
    vlans(draft, reports);
    for (index, port) in entries(&draft.ports) {
        let is_parent = entries(&draft.ports)
            .any(|(_, child)| parent(child).is_some_and(|id| id.index() == index));
        if port.addresses.is_empty() && !is_parent {
            reports.warning(&format!("port[{index}]"), "a port without addresses receives nothing");
        }
    }
}

fn parent(port: &Port) -> Option<PortId> {
    match port.attachment {
        Attachment::Vlan { parent, .. } => Some(parent),
        Attachment::Device { .. } => None,
    }
}

fn devices(draft: &Draft, reports: &Reports<'_>) {
    let mut users: BTreeMap<String, &str> = BTreeMap::new();
    for (index, port) in entries(&draft.ports) {
        let Attachment::Device { device, .. } = &port.attachment else { continue };
        if let Some(other) = users.insert(identity(device), &port.name) {
            let complaint = format!("port {other:?} has the same device");
            reports.error(&format!("port[{index}].device"), complaint);
        }
    }
}

/// What tells devices apart: the name before the arguments; PCI domain 0 can be left out.
fn identity(device: &str) -> String {
    let name = device.split_once(',').map_or(device, |(name, _)| name);
    name.strip_prefix("0000:").unwrap_or(name).to_ascii_lowercase()
}

fn vlans(draft: &Draft, reports: &Reports<'_>) {
    let mut users = BTreeMap::new();
    for (index, port) in entries(&draft.ports) {
        let Attachment::Vlan { parent, vlan } = port.attachment else { continue };
        if let Some(other) = users.insert((parent, vlan), &port.name) {
            let complaint = format!("port {other:?} is VLAN {} of this parent", vlan.value());
            reports.error(&format!("port[{index}].vlan"), complaint);
        }
        let Some(parent) = draft.port(parent) else { continue };
        if matches!(parent.attachment, Attachment::Vlan { .. }) {
            let complaint = format!("port {:?} is itself a VLAN: tags do not nest", parent.name);
            reports.error(&format!("port[{index}].parent"), complaint);
        } else if port.mtu > parent.mtu {
            let complaint = format!("{} exceeds the MTU of its parent, {}", port.mtu, parent.mtu);
            reports.error(&format!("port[{index}].mtu"), complaint);
        }
    }
}
