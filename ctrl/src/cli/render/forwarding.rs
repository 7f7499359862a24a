//! Routes and neighbours.

use super::interface::next_hop;
use super::table::Column::{Left, Right};
use super::table::Table;
use super::{lines, or_dash, sections, units};
use crate::api::report::{Neighbor, NeighborState, NextHop, Route, RouteSource, RouteTable};

/// A line for each way of a route.
pub(super) fn routes(routes: &[Route]) -> String {
    let columns = [
        Left("TABLE"),
        Left("PREFIX"),
        Left("SOURCE"),
        Left("VIA"),
        Left("INTERFACE"),
        Left("STATE"),
    ];
    let table = Table::new(columns, routes, |route| {
        let table = match route.table {
            RouteTable::Overlay => "overlay",
            RouteTable::Underlay => "underlay",
        };
        let source = match route.source {
            RouteSource::Connected => "connected",
            RouteSource::Static => "static",
        };
        let of_each = |what: fn(&NextHop) -> String| {
            lines(&route.next_hops.iter().map(what).collect::<Vec<_>>())
        };
        [
            table.to_owned(),
            route.prefix.clone(),
            source.to_owned(),
            of_each(|hop| hop.via.map_or_else(|| "direct".to_owned(), |via| via.to_string())),
            of_each(|hop| hop.interface.clone()),
            of_each(|hop| next_hop(hop.state).to_owned()),
        ]
    });
    sections([table], "no routes")
}

pub(super) fn neighbors(neighbors: &[Neighbor]) -> String {
    let columns =
        [Left("PORT"), Left("ADDRESS"), Left("MAC"), Left("STATE"), Right("AGE"), Right("WAITING")];
    let table = Table::new(columns, neighbors, |neighbor| {
        let state = match neighbor.state {
            NeighborState::Static => "static",
            NeighborState::Incomplete => "incomplete",
            NeighborState::Reachable => "reachable",
            NeighborState::Stale => "stale",
            NeighborState::Probe => "probe",
            NeighborState::Failed => "failed",
        };
        [
            neighbor.interface.clone(),
            neighbor.address.to_string(),
            or_dash(neighbor.mac.as_ref()),
            state.to_owned(),
            or_dash(neighbor.age_seconds.map(units::duration)),
            neighbor.waiting.to_string(),
        ]
    });
    sections([table], "no neighbours")
}
