//! What `show` says.

mod baseline;
mod engine;
mod forwarding;
mod interfaces;
mod security;

pub(super) use baseline::Baseline;
pub(super) use engine::ControlDrops;
