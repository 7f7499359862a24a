//! The engine: a graph of stages as a value, placed on cores by a pure function, run by a small
//! loop on each.

pub mod assembly;
pub mod message;
pub mod plan;
pub mod ring;
pub mod stage;
pub mod topology;
pub mod worker;
