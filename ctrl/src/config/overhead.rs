//! What encapsulation adds to a packet.

use aead::{ICV_LEN, IV_LEN};

use super::{EspMode, GreSequence, Profile, Tunnel};

/// SPI and sequence number (RFC 4303, section 2).
const ESP_HEADER_LEN: usize = 8;
/// Pad length and next header; padding aligns what ends with them to 4 octets.
const ESP_TRAILER_LEN: usize = 2;
/// A UDP header (RFC 3948).
const UDP_LEN: usize = 8;

/// The largest inner packet of `tunnel` whose outer packet fits `port_mtu`; 0 if none does.
/// `profile` is that of the tunnel, and `udp` says whether an SA of it goes through UDP.
pub(super) fn largest_inner_mtu(
    tunnel: &Tunnel,
    port_mtu: u16,
    profile: Option<&Profile>,
    udp: bool,
) -> u16 {
    let ip_len = if tunnel.local.is_ipv4() { 20 } else { 40 };
    let room = usize::from(port_mtu).saturating_sub(ip_len);
    let room = match profile {
        None => room,
        Some(profile) => {
            let around = ESP_HEADER_LEN + IV_LEN + ICV_LEN + if udp { UDP_LEN } else { 0 };
            let inner_ip_len = if profile.mode == EspMode::Tunnel { ip_len } else { 0 };
            let sealed = room.saturating_sub(around) / 4 * 4;
            sealed.saturating_sub(ESP_TRAILER_LEN + inner_ip_len)
        }
    };
    u16::try_from(room.saturating_sub(gre_len(tunnel))).unwrap_or(u16::MAX)
}

/// Octets of the GRE header (RFC 2784, section 2.1 and RFC 2890, section 2).
fn gre_len(tunnel: &Tunnel) -> usize {
    let has_sequence = tunnel.sequence != GreSequence::Off;
    let optional = [tunnel.checksum, tunnel.key.is_some(), has_sequence];
    4 + 4 * optional.into_iter().filter(|present| *present).count()
}
