//! NHRP.

use super::table::Column::{Left, Right};
use super::table::Table;
use super::{lines, nbma, or_dash, sections, units};
use crate::api::report::{
    NhrpBinding, NhrpKind, NhrpOverview, NhrpReceiver, NhrpReceiverReason, NhrpServer,
    NhrpServerState, NhrpShortcut, NhrpTraffic,
};

/// Servers, bindings and shortcuts.
pub(super) fn overview(overview: &NhrpOverview) -> String {
    let NhrpOverview { servers: of_servers, cache: bindings, shortcuts: of_shortcuts } = overview;
    [servers(of_servers), cache(bindings), shortcuts(of_shortcuts)].join("\n")
}

/// A line for each binding.
pub(super) fn cache(bindings: &[NhrpBinding]) -> String {
    let columns = [
        Left("TUNNEL"),
        Left("PROTOCOL"),
        Left("NBMA"),
        Left("CLAIMED"),
        Left("KIND"),
        Right("EXPIRES"),
    ];
    let table = Table::new(columns, bindings, |binding| {
        let kind = match binding.kind {
            NhrpKind::Static => "static",
            NhrpKind::Registered => "registered",
            NhrpKind::Nhs => "nhs",
            NhrpKind::Resolved => "resolved",
        };
        [
            binding.tunnel.clone(),
            binding.protocol.to_string(),
            nbma(binding.nbma, binding.nbma_port),
            or_dash(binding.claimed),
            kind.to_owned(),
            or_dash(binding.expires_seconds.map(units::duration)),
        ]
    });
    sections([table], "no bindings")
}

/// A line for each shortcut.
pub(super) fn shortcuts(shortcuts: &[NhrpShortcut]) -> String {
    let columns = [Left("TUNNEL"), Left("PREFIX"), Left("VIA"), Left("NBMA"), Right("EXPIRES")];
    let table = Table::new(columns, shortcuts, |shortcut| {
        [
            shortcut.tunnel.clone(),
            shortcut.prefix.clone(),
            shortcut.via.to_string(),
            nbma(shortcut.nbma, shortcut.nbma_port),
            units::duration(shortcut.expires_seconds),
        ]
    });
    sections([table], "no shortcuts")
}

/// A line for each server.
pub(super) fn servers(servers: &[NhrpServer]) -> String {
    let columns =
        [Left("TUNNEL"), Left("NAME"), Left("NBMA"), Left("PROTOCOL"), Left("STATE"), Left("NAT")];
    let table = Table::new(columns, servers, |server| {
        let state = match server.state {
            NhrpServerState::Standby => "standby",
            NhrpServerState::Unresolved => "unresolved",
            NhrpServerState::Registering => "registering",
            NhrpServerState::Up => "up",
            NhrpServerState::Down => "down",
        };
        [
            server.tunnel.clone(),
            or_dash(server.name.as_deref()),
            or_dash(server.nbma),
            or_dash(server.protocol),
            state.to_owned(),
            or_dash(server.outside),
        ]
    });
    sections([table], "no next hop servers")
}

/// A line for each peer that gets multicast packets.
pub(super) fn multicast(receivers: &[NhrpReceiver]) -> String {
    let columns = [Left("TUNNEL"), Left("NBMA"), Left("PROTOCOL"), Left("BECAUSE")];
    let table = Table::new(columns, receivers, |receiver| {
        let reason = match receiver.reason {
            NhrpReceiverReason::Listed => "listed",
            NhrpReceiverReason::Static => "static",
            NhrpReceiverReason::Registered => "registered",
            NhrpReceiverReason::Nhs => "nhs",
        };
        [
            receiver.tunnel.clone(),
            nbma(receiver.nbma, receiver.nbma_port),
            lines(&receiver.protocol),
            reason.to_owned(),
        ]
    });
    sections([table], "no peer gets multicast packets")
}

/// Messages and drops of each tunnel.
pub(super) fn traffic(tunnels: &[NhrpTraffic]) -> String {
    let columns = [Left("TUNNEL"), Left("MESSAGE"), Right("RECEIVED"), Right("SENT")];
    let messages = Table::new(columns, tunnels, |tunnel| {
        let of_each = |what: &dyn Fn(&crate::api::report::NhrpMessages) -> String| {
            lines(&tunnel.messages.iter().map(what).collect::<Vec<_>>())
        };
        [
            tunnel.tunnel.clone(),
            of_each(&|messages| messages.kind.replace('_', " ")),
            of_each(&|messages| messages.received.to_string()),
            of_each(&|messages| messages.sent.to_string()),
        ]
    });
    let dropping: Vec<NhrpTraffic> =
        tunnels.iter().filter(|tunnel| !tunnel.drops.is_empty()).cloned().collect();
    let columns = [Left("TUNNEL"), Left("DROPPED"), Right("COUNT")];
    let drops = Table::new(columns, &dropping, |tunnel| {
        let reasons = tunnel.drops.iter().map(|drops| drops.reason.replace('_', " "));
        let counts = tunnel.drops.iter().map(|drops| drops.count.to_string());
        let (reasons, counts): (Vec<_>, Vec<_>) = (reasons.collect(), counts.collect());
        [tunnel.tunnel.clone(), lines(&reasons), lines(&counts)]
    });
    sections([messages, drops], "no mGRE tunnels")
}
