//! The control socket, by which `greyhound show` and its like talk to a running gateway.
//!
//! ```text
//! cli > Client ==(one JSON line each way, protocol)== Server > Command > daemon
//!     < Reply                                                < Outcome <
//! ```
//!
//! [`protocol`] says what goes over the wire, and so does `docs/control-socket.md` for those who
//! write programs against it. [`report`] has what `show` yields. [`Server`] belongs to the control
//! thread and never blocks it; [`Client`] blocks, but not for ever.

mod client;
mod key;
pub mod protocol;
pub mod report;
mod server;

pub use client::{Client, ClientError};
pub use key::{KeyHex, NotHex};
pub use server::{BindError, ClientId, Server};
