//! What the tests of the packet path are made of: gateways in this process, with real mbufs, real
//! ports (DPDK's ring driver) and real workers, turned by hand.

pub mod esp;
pub mod frame;
pub mod gateway;
pub mod lab;
pub mod oracle;
pub mod rng;
pub mod site;

pub use esp::Esp;
pub use gateway::Layout;
pub use lab::Lab;
pub use site::{Link, Site};
