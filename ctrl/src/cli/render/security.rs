//! Security associations.

use super::table::Column::{Left, Right};
use super::table::Table;
use super::{lines, or_dash, sections, units};
use crate::api::report::{Direction, EspMode, LifetimeLeft, Sa, SaState};

pub(super) fn sas(sas: &[Sa]) -> String {
    let columns = [
        Left("DIR"),
        Left("SPI"),
        Left("PROFILE"),
        Left("MODE"),
        Left("ALGORITHM"),
        Left("LOCAL"),
        Left("REMOTE"),
        Left("UDP"),
        Left("STATE"),
    ];
    let identity = Table::new(columns, sas, |sa| {
        [
            direction(sa.direction).to_owned(),
            units::spi(sa.spi),
            sa.profile.clone(),
            mode(sa.mode).to_owned(),
            sa.algorithm.clone(),
            sa.local.to_string(),
            sa.remote.to_string(),
            or_dash(sa.udp.map(|udp| format!("{}-{}", udp.local, udp.remote))),
            state(sa.state).to_owned(),
        ]
    });
    sections([identity, progress(sas)], "no security associations")
}

fn progress(sas: &[Sa]) -> Table {
    let columns = [
        Left("DIR"),
        Left("SPI"),
        Right("SLOT"),
        Left("ESN"),
        Right("SEQUENCE"),
        Right("WINDOW"),
        Right("PACKETS"),
        Right("OCTETS"),
        Right("REPLAYS"),
        Right("FORGERIES"),
        Right("LEFT"),
    ];
    Table::new(columns, sas, |sa| {
        [
            direction(sa.direction).to_owned(),
            units::spi(sa.spi),
            sa.slot.to_string(),
            if sa.esn { "yes" } else { "no" }.to_owned(),
            sa.sequence.to_string(),
            or_dash(sa.window),
            units::count(sa.packets),
            units::octets(sa.octets),
            units::count(sa.replays),
            units::count(sa.forgeries),
            left(&sa.lifetime),
        ]
    })
}

/// What is left of each measure, one a line; a dash if none ends the SA.
fn left(lifetime: &LifetimeLeft) -> String {
    let measures = [
        lifetime.seconds.map(units::duration),
        lifetime.octets.map(units::octets),
        lifetime.packets.map(|packets| format!("{} pkts", units::count(packets))),
    ];
    lines(&measures.into_iter().flatten().collect::<Vec<_>>())
}

pub(super) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "in",
        Direction::Out => "out",
    }
}

fn mode(mode: EspMode) -> &'static str {
    match mode {
        EspMode::Transport => "transport",
        EspMode::Tunnel => "tunnel",
    }
}

fn state(state: SaState) -> &'static str {
    match state {
        SaState::Installing => "installing",
        SaState::Active => "active",
        SaState::Expired => "expired",
        SaState::Retiring => "retiring",
    }
}
