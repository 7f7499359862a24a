//! What encapsulation leaves for the packet inside: the packet path's own arithmetic.

use dataplane::tables::encap::{EspSpec, GreSpec, inner_mtu};
use dataplane::tables::sa::SaMode;

use super::{EspMode, GreSequence, Profile, Tunnel};

/// The largest inner packet of `tunnel` whose outer packet fits `port_mtu`; 0 if none does.
/// `profile` is that of the tunnel, and `udp` says whether an SA of it goes through UDP.
pub(super) fn largest_inner_mtu(
    tunnel: &Tunnel,
    port_mtu: u16,
    profile: Option<&Profile>,
    udp: bool,
) -> u16 {
    let gre = GreSpec {
        key: tunnel.key,
        checksum: tunnel.checksum,
        sequence: tunnel.sequence != GreSequence::Off,
    };
    // Slot and SPI take the same room whatever they are.
    let esp = profile.map(|profile| EspSpec {
        slot: 0,
        spi: 0,
        mode: match profile.mode {
            EspMode::Transport => SaMode::Transport,
            EspMode::Tunnel => SaMode::Tunnel,
        },
        udp: udp.then_some((0, 0)),
    });
    inner_mtu(port_mtu, tunnel.local.is_ipv6(), esp.as_ref(), gre.len())
}
