//! What a configuration means once every name is resolved and every value is typed.

mod forwarding;
mod interface;
mod ipsec;
mod process;

pub use forwarding::{Group, Interface, MulticastRule, NextHop, Route, Table};
pub use interface::{
    Attachment, Df, Dscp, Fragment, GreSequence, Keepalive, Multicast, Neighbor, Nhrp, NhrpMap,
    Nhs, Offloads, Port, PortId, Role, Tunnel, TunnelId, TunnelMode, VlanId,
};
pub use ipsec::{
    Action, AntiReplay, Direction, EspMode, Lifetime, ManualSa, Policy, PortRange, Profile,
    ProfileId, ReplayWindow, Selector, Spi, UdpEncap, UpperLayer,
};
pub use process::{Hugepages, Layout, LogLevel, Pipeline, Poll, System};
