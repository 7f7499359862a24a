//! What `show` says.

mod baseline;
mod engine;
mod forwarding;
mod interfaces;
mod nhrp;
mod security;

pub(super) use baseline::Baseline;
pub(super) use engine::ControlDrops;
