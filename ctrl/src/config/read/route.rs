//! `[[route]]`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use wire::IpPrefix;

use super::port::is_link_local;
use super::{Draft, Names};
use crate::config::reader::{Complaint, Item, Section};
use crate::config::scalar;
use crate::config::{Interface, NextHop, Route, Table};

/// One next hop of a route. Entries with the same table and prefix become one [`Route`].
#[derive(Clone)]
pub(in crate::config) struct RouteEntry {
    /// Where the next hop is written.
    pub(in crate::config) path: String,
    pub(in crate::config) table: Table,
    pub(in crate::config) prefix: IpPrefix,
    pub(in crate::config) next_hop: NextHop,
}

/// The next hops of one section; the draft has all ports and tunnels.
pub(super) fn read(section: Section<'_>, names: &Names, draft: &Draft) -> Vec<RouteEntry> {
    let prefix = section.require("prefix").and_then(|item| item.parse(scalar::prefix));
    let table = section.or_default("table", Table::Overlay, |item| {
        item.choice(&[("overlay", Table::Overlay), ("underlay", Table::Underlay)])
    });
    let via = section.require("via");
    let mut entries = Vec::new();
    if let (Some(prefix), Some(via)) = (prefix, &via) {
        let items = via.one_or_list();
        if items.is_empty() {
            via.error::<()>("the list has no next hop");
        }
        for item in items {
            let Some(next_hop) = read_next_hop(&item, prefix, table, names, draft) else {
                continue;
            };
            entries.push(RouteEntry { path: item.path().to_owned(), table, prefix, next_hop });
        }
    }
    section.finish();
    entries
}

/// Entries with the same table and prefix together, in the order of the first ones.
pub(super) fn merge(entries: Vec<RouteEntry>) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    let mut places = BTreeMap::new();
    for RouteEntry { table, prefix, next_hop, .. } in entries {
        let place = *places.entry((table, prefix)).or_insert(routes.len());
        match routes.get_mut(place) {
            Some(route) => route.next_hops.push(next_hop),
            None => routes.push(Route { table, prefix, next_hops: vec![next_hop] }),
        }
    }
    routes
}

fn read_next_hop(
    item: &Item<'_>,
    prefix: IpPrefix,
    table: Table,
    names: &Names,
    draft: &Draft,
) -> Option<NextHop> {
    let text = item.string()?;
    let Ok(address) = text.parse::<IpAddr>() else {
        // What looks like a mistyped address is not called an unknown name.
        if text.contains([':', '/'])
            || text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('.')
        {
            return item.parse(scalar::unicast).and(None);
        }
        let interface = names.interface(item)?;
        check_table(item, interface, table, draft)?;
        return Some(NextHop::Direct(interface));
    };
    let address = item.parse(|_| scalar::unicast(text)).filter(|_| !address.is_unspecified())?;
    if address.is_ipv4() != prefix.network().is_ipv4() {
        return item.error(format!("{address} is not of the family of {prefix}"));
    }
    if is_link_local(address) {
        return item.error(
            Complaint::from("a link-local address does not say on which link it is")
                .hint("a global address; a default route can be the \"gateway\" of the port"),
        );
    }
    if draft.owns(address) {
        return item.error(format!("{address} is an address of this gateway itself"));
    }
    match draft.connected(address, table) {
        Some(interface) => Some(NextHop::Gateway { address, interface }),
        // The interface that it is on may be one that was refused.
        None if !draft.is_complete() => None,
        None => {
            let (side, other) = match table {
                Table::Overlay => ("overlay port or tunnel", Table::Underlay),
                Table::Underlay => ("underlay port", Table::Overlay),
            };
            let complaint = Complaint::from(format!("{address} is in no prefix of an {side}"));
            let hint = draft.connected(address, other).map(|_| match other {
                Table::Underlay => "did you mean table = \"underlay\"?",
                Table::Overlay => "did you mean table = \"overlay\"?",
            });
            item.error(complaint.maybe_hint(hint.map(str::to_owned)))
        }
    }
}

fn check_table(item: &Item<'_>, interface: Interface, table: Table, draft: &Draft) -> Option<()> {
    let side = match interface {
        Interface::Port(id) => draft.port(id)?.role.table(),
        Interface::Tunnel(_) => Table::Overlay,
    };
    if side == table {
        return Some(());
    }
    item.error(match table {
        Table::Underlay => "routes of the underlay leave by underlay ports",
        Table::Overlay => "routes of the overlay leave by overlay ports and tunnels",
    })
}
