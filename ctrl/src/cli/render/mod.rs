//! Replies for people and for programs.

mod engine;
mod events;
mod forwarding;
mod interface;
mod nhrp;
mod security;
mod table;
#[cfg(test)]
mod tests;
mod units;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::IpAddr;
use std::num::NonZeroU16;

use ::nhrp::Path;
use serde::Serialize;

use crate::api::protocol::{Pong, Reload, Reply};
use crate::api::report::Sa;

/// A reply for people, with its last end of line.
pub(super) fn text(reply: &Reply) -> String {
    match reply {
        Reply::Pong(pong) => text_of_pong(pong),
        Reply::Ports(ports) => interface::ports(ports),
        Reply::Tunnels(tunnels) => interface::tunnels(tunnels),
        Reply::Peers(peers) => interface::peers(peers),
        Reply::Sa(sas) => security::sas(sas),
        Reply::Routes(routes) => forwarding::routes(routes),
        Reply::Stages(stages) => engine::stages(stages),
        Reply::Drops(drops) => engine::drops(drops),
        Reply::Topology(topology) => format!("{}\n", topology.text.trim_end()),
        Reply::Cores(cores) => engine::cores(cores),
        Reply::Neighbors(neighbors) => forwarding::neighbors(neighbors),
        Reply::Nhrp(overview) => nhrp::overview(overview),
        Reply::NhrpCache(bindings) => nhrp::cache(bindings),
        Reply::NhrpShortcuts(shortcuts) => nhrp::shortcuts(shortcuts),
        Reply::NhrpServers(servers) => nhrp::servers(servers),
        Reply::NhrpMulticast(receivers) => nhrp::multicast(receivers),
        Reply::NhrpTraffic(tunnels) => nhrp::traffic(tunnels),
        Reply::Events(report) => events::text(report),
        Reply::Cleared { entries } => format!("cleared: {entries}\n"),
        Reply::Reloaded(reload) => text_of_reload(reload),
        Reply::SaAdded(sa) => text_of_sa("added", sa),
        Reply::SaDeleted(sa) => text_of_sa("deleted", sa),
    }
}

/// A reply for programs, with its last end of line: what is in it, without its name. Of a topology
/// only the graph; of events each one.
pub(super) fn json(reply: &Reply, output: &mut impl Write) -> io::Result<()> {
    fn pretty(report: &impl Serialize, output: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *output, report)?;
        writeln!(output)
    }
    match reply {
        Reply::Pong(pong) => pretty(pong, output),
        Reply::Ports(ports) => pretty(ports, output),
        Reply::Tunnels(tunnels) => pretty(tunnels, output),
        Reply::Peers(peers) => pretty(peers, output),
        Reply::Sa(sas) => pretty(sas, output),
        Reply::Routes(routes) => pretty(routes, output),
        Reply::Stages(stages) => pretty(stages, output),
        Reply::Drops(drops) => pretty(drops, output),
        Reply::Topology(topology) => pretty(&topology.graph, output),
        Reply::Cores(cores) => pretty(cores, output),
        Reply::Neighbors(neighbors) => pretty(neighbors, output),
        Reply::Nhrp(overview) => pretty(overview, output),
        Reply::NhrpCache(bindings) => pretty(bindings, output),
        Reply::NhrpShortcuts(shortcuts) => pretty(shortcuts, output),
        Reply::NhrpServers(servers) => pretty(servers, output),
        Reply::NhrpMulticast(receivers) => pretty(receivers, output),
        Reply::NhrpTraffic(tunnels) => pretty(tunnels, output),
        Reply::Events(report) => events::json(report, output),
        Reply::Reloaded(reload) => pretty(reload, output),
        Reply::SaAdded(sa) | Reply::SaDeleted(sa) => pretty(sa, output),
        Reply::Cleared { .. } => pretty(reply, output),
    }
}

fn text_of_pong(pong: &Pong) -> String {
    let Pong { name, version, pid, uptime_seconds, config } = pong;
    let uptime = units::duration(*uptime_seconds);
    format!("{name}: greyhound {version}, process {pid}, up {uptime}, configuration {config}\n")
}

fn text_of_reload(reload: &Reload) -> String {
    let mut text = String::new();
    for warning in &reload.warnings {
        let _ = writeln!(text, "{warning}");
    }
    let changes = [('+', &reload.added), ('-', &reload.removed), ('~', &reload.changed)];
    for (sign, object) in changes.iter().flat_map(|(sign, all)| all.iter().map(move |o| (sign, o)))
    {
        let _ = writeln!(text, "{sign} {object}");
    }
    let [added, removed, changed] = changes.map(|(_, objects)| objects.len());
    if added + removed + changed == 0 {
        text.push_str("nothing has changed\n");
    } else {
        let _ = writeln!(text, "{added} added, {removed} removed, {changed} changed");
    }
    text
}

fn text_of_sa(verb: &str, sa: &Sa) -> String {
    let (direction, spi) = (security::direction(sa.direction), units::spi(sa.spi));
    let (algorithm, remote, packets) = (&sa.algorithm, sa.remote, sa.packets);
    format!("{verb}: {direction} {spi} {algorithm} {remote}, {packets} packets so far\n")
}

/// Tables with an empty line between them; `nothing` if the first has no rows.
fn sections<const N: usize>(tables: [table::Table; N], nothing: &str) -> String {
    if tables.first().is_none_or(table::Table::is_empty) {
        return format!("{nothing}\n");
    }
    tables.map(|table| table.to_string()).join("\n")
}

/// What is there, or a dash.
fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// An address in the underlay, with the port of a peer that shares it with others behind a NAT.
fn nbma(nbma: IpAddr, port: Option<NonZeroU16>) -> String {
    Path { nbma, port }.to_string()
}

/// Some values in a cell, one a line; a dash for none.
fn lines<T: ToString>(values: &[T]) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    values.iter().map(T::to_string).collect::<Vec<_>>().join("\n")
}
