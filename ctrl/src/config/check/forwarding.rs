//! Routes and multicast rules that contradict each other.

use std::collections::BTreeMap;

use super::{Draft, Reports, entries};
use crate::config::reader::Complaint;
use crate::config::{Group, Interface, NextHop, TunnelMode};

/// Most next hops of a route: more than any network shares its traffic over.
const NEXT_HOPS_MAX: usize = 16;

pub(super) fn check(draft: &Draft, reports: &Reports<'_>) {
    routes(draft, reports);
    groups(draft, reports);
}

fn routes(draft: &Draft, reports: &Reports<'_>) {
    let mut known: BTreeMap<_, Vec<NextHop>> = BTreeMap::new();
    for route in &draft.routes {
        let next_hops = known.entry((route.table, route.prefix)).or_default();
        if next_hops.contains(&route.next_hop) {
            let complaint = format!("{} has this next hop already", route.prefix);
            reports.error(&route.path, complaint);
        } else if next_hops.len() == NEXT_HOPS_MAX {
            let complaint = format!("{} has more than {NEXT_HOPS_MAX} next hops", route.prefix);
            reports.error(&route.path, complaint);
        } else {
            next_hops.push(route.next_hop);
        }
        if route.prefix.network().is_multicast() {
            let complaint = Complaint::from(format!("{} is multicast", route.prefix));
            reports.error(&route.path, complaint.hint("[[multicast]] forwards groups"));
        }
        if let NextHop::Direct(Interface::Tunnel(id)) = route.next_hop
            && let Some(tunnel) = draft.tunnel(id)
            && matches!(tunnel.mode, TunnelMode::Mgre { .. })
        {
            let complaint = "an mGRE tunnel has many peers: only destinations that are mapped \
                             themselves are reached so";
            let hint = "the address of a peer in the tunnel";
            reports.warning(&route.path, Complaint::from(complaint).hint(hint));
        }
    }
}

/// Reports groups that are in two rules for one interface.
fn groups(draft: &Draft, reports: &Reports<'_>) {
    let mut seen: Vec<(usize, String, Group)> = Vec::new();
    for (index, rule) in entries(&draft.multicast) {
        for (number, group) in rule.groups.iter().enumerate() {
            let path = format!("multicast[{index}].groups[{number}]");
            let clash = seen.iter().find(|(other, _, before)| {
                let interfaces = draft.multicast[*other].iter().flat_map(|rule| &rule.interfaces);
                let mut interfaces = interfaces;
                overlap(*before, *group)
                    && (*other == index || interfaces.any(|one| rule.interfaces.contains(one)))
            });
            if let Some((_, other, _)) = clash {
                reports.error(&path, format!("overlaps with {other}"));
            }
            seen.push((index, path, *group));
        }
    }
}

fn overlap(first: Group, second: Group) -> bool {
    match (first, second) {
        (Group::Multicast(first), Group::Multicast(second)) => first.overlaps(second),
        (first, second) => first == second,
    }
}
