//! Stages, cores and drops.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What one instance of a stage has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Stage {
    /// Core that it runs on, as the operating system numbers it.
    pub core: u16,
    /// Stage, such as `gre_encap`.
    pub stage: String,
    /// Number among the instances of the stage.
    pub instance: u16,
    /// Calls with at least one packet.
    pub calls: u64,
    /// Packets in.
    pub packets: u64,
    /// TSC cycles spent in those calls.
    pub cycles: u64,
}

impl Stage {
    /// Mean burst; `None` before the first call.
    #[must_use]
    pub fn packets_per_call(&self) -> Option<f64> {
        ratio(self.packets, self.calls)
    }

    /// Mean cost in TSC cycles; `None` before the first packet.
    #[must_use]
    pub fn cycles_per_packet(&self) -> Option<f64> {
        ratio(self.cycles, self.packets)
    }
}

/// Packets dropped for one reason, by one stage on one core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Drop {
    /// Name of the reason, such as `unknown_spi`.
    pub reason: String,
    /// The reason in a line for people.
    pub description: String,
    /// Stage that dropped them; `null` for a reason that has not occurred.
    pub stage: Option<String>,
    /// Core; `null` for a reason that has not occurred.
    pub core: Option<u16>,
    /// Packets.
    pub count: u64,
}

/// Stages, how they are wired, and where they run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Topology {
    /// For people: a drawing of some lines.
    pub text: String,
    /// For programs: the engine's own.
    #[cfg_attr(test, proptest(strategy = "crate::api::protocol::tests::json()"))]
    pub graph: Value,
}

/// What a core has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Core {
    /// Core, as the operating system numbers it.
    pub core: u16,
    /// Turns of its loop.
    pub polls: u64,
    /// Turns with packets.
    pub polls_busy: u64,
    /// TSC cycles that have passed.
    pub cycles: u64,
    /// TSC cycles of the turns with packets.
    pub cycles_busy: u64,
    /// Packets received from ports and rings.
    pub packets: u64,
}

impl Core {
    /// Share of the time that went into packets, 0 to 100; `None` before any has passed.
    #[must_use]
    pub fn busy_percent(&self) -> Option<f64> {
        ratio(self.cycles_busy, self.cycles).map(|share| share * 100.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people, who read three digits")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
