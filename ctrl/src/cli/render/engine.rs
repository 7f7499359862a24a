//! Stages, cores and drops.

use super::table::Column::{Left, Right};
use super::table::Table;
use super::{or_dash, sections, units};
use crate::api::report::{Core, Drop, Stage};

pub(super) fn stages(stages: &[Stage]) -> String {
    let columns = [
        Right("CORE"),
        Left("STAGE"),
        Right("INSTANCE"),
        Right("CALLS"),
        Right("PACKETS"),
        Right("PACKETS/CALL"),
        Right("CYCLES/PACKET"),
    ];
    let table = Table::new(columns, stages, |stage| {
        [
            stage.core.to_string(),
            stage.stage.clone(),
            stage.instance.to_string(),
            units::count(stage.calls),
            units::count(stage.packets),
            units::decimal(stage.packets_per_call()),
            units::decimal(stage.cycles_per_packet()),
        ]
    });
    sections([table], "no stages")
}

pub(super) fn drops(drops: &[Drop]) -> String {
    let columns =
        [Right("PACKETS"), Left("REASON"), Left("STAGE"), Right("CORE"), Left("DESCRIPTION")];
    let table = Table::new(columns, drops, |drop| {
        [
            units::count(drop.count),
            drop.reason.clone(),
            or_dash(drop.stage.as_ref()),
            or_dash(drop.core),
            drop.description.clone(),
        ]
    });
    sections([table], "nothing was dropped")
}

pub(super) fn cores(cores: &[Core]) -> String {
    let columns =
        [Right("CORE"), Right("BUSY %"), Right("POLLS"), Right("BUSY POLLS"), Right("PACKETS")];
    let table = Table::new(columns, cores, |core| {
        [
            core.core.to_string(),
            units::decimal(core.busy_percent()),
            units::count(core.polls),
            units::count(core.polls_busy),
            units::count(core.packets),
        ]
    });
    sections([table], "no cores")
}
