//! The packet path: tables, stages and the engine that places them on cores.

pub mod addr;
pub mod bucket;
pub mod counters;
pub mod drops;
pub mod engine;
pub mod ip;
pub mod packet;
pub mod replay;
pub mod stages;
pub mod tables;
