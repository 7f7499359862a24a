//! What is measured: the ways that packets take through the gateway, and what leaves it.

use clap::ValueEnum;
use wire::{esp, eth, gre, ip4};

/// A way through the gateway, and so the stages that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// IPv4 from one overlay port to another
    Forward,
    /// IPv4 into an mGRE tunnel, in clear
    GreEncap,
    /// IPv4 out of an mGRE tunnel, in clear
    GreDecap,
    /// IPv4 into an mGRE tunnel, under ESP in transport mode
    Encrypt,
    /// IPv4 out of an mGRE tunnel, under ESP in transport mode, with anti-replay and ESN
    Decrypt,
    /// From one peer of the tunnel to another: decrypt, decapsulate, route, encapsulate, encrypt
    Hub,
    /// As encrypt, with packets too big for the path: cut before they are encapsulated
    Fragment,
    /// As decrypt, with ESP packets that arrive in fragments
    Reassemble,
    /// Multicast into the tunnel, under ESP: a copy for each peer
    Replicate,
    /// Encrypt and decrypt at the same time, between the same two sides
    Bidirectional,
}

/// One way of packets: from a kind of port to a kind of port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Overlay to overlay.
    Across,
    /// Overlay to underlay: into the tunnel.
    Out,
    /// Underlay to overlay: out of the tunnel.
    In,
    /// Underlay to underlay: out of the tunnel and into it again.
    Through,
}

impl Way {
    /// Whether packets come in on the underlay and leave a tunnel, so that somebody has to put them
    /// into it first.
    pub(crate) const fn leaves_tunnel(self) -> bool {
        matches!(self, Self::In | Self::Through)
    }

    /// Whether packets go out on the underlay, by a tunnel.
    pub(crate) const fn enters_tunnel(self) -> bool {
        matches!(self, Self::Out | Self::Through)
    }
}

impl Mode {
    /// The name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::GreEncap => "gre-encap",
            Self::GreDecap => "gre-decap",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::Hub => "hub",
            Self::Fragment => "fragment",
            Self::Reassemble => "reassemble",
            Self::Replicate => "replicate",
            Self::Bidirectional => "bidirectional",
        }
    }

    /// Whether packets are under ESP.
    #[must_use]
    pub const fn is_protected(self) -> bool {
        !matches!(self, Self::Forward | Self::GreEncap | Self::GreDecap)
    }

    /// Whether it takes packets that are too big for the path.
    pub(crate) const fn is_oversize(self) -> bool {
        matches!(self, Self::Fragment | Self::Reassemble)
    }

    /// The ways that packets take, each with ports of its own.
    pub(crate) const fn ways(self) -> &'static [Way] {
        match self {
            Self::Forward => &[Way::Across],
            Self::GreEncap | Self::Encrypt | Self::Fragment | Self::Replicate => &[Way::Out],
            Self::GreDecap | Self::Decrypt | Self::Reassemble => &[Way::In],
            Self::Hub => &[Way::Through],
            Self::Bidirectional => &[Way::Out, Way::In],
        }
    }

    /// The largest inner packet that needs no fragments on a path of `mtu` octets.
    pub(crate) fn inner_max(self, mtu: usize) -> usize {
        match self {
            Self::Forward => mtu,
            Self::GreEncap | Self::GreDecap => mtu - ip4::HEADER_LEN - GRE,
            _ => {
                let sealed = (mtu - ip4::HEADER_LEN - ESP_AROUND) & !(esp::ALIGN - 1);
                sealed - esp::TRAILER_LEN - GRE
            }
        }
    }

    /// Octets of each frame that leaves the gateway by `way` for an inner packet of `inner`
    /// octets, where the path carries `mtu` and there are so many peers. Reckoned from the RFCs
    /// and not by the gateway's own code, which is checked against it.
    pub(crate) fn frames(self, way: Way, inner: usize, mtu: usize, peers: usize) -> Vec<usize> {
        let tunnelled = |inner: usize| match self.is_protected() {
            true => sealed_len(inner),
            false => ip4::HEADER_LEN + GRE + inner,
        };
        match self {
            Self::Fragment => {
                let pieces = pieces(inner, self.inner_max(mtu));
                pieces.into_iter().map(|piece| eth::HEADER_LEN + tunnelled(piece)).collect()
            }
            Self::Replicate => vec![eth::HEADER_LEN + tunnelled(inner); peers],
            _ if way.enters_tunnel() => vec![eth::HEADER_LEN + tunnelled(inner)],
            _ => vec![eth::HEADER_LEN + inner],
        }
    }

    /// In how many frames an inner packet of `inner` octets reaches the gateway.
    pub(crate) fn arriving(self, inner: usize, mtu: usize) -> usize {
        match self {
            Self::Reassemble => pieces(sealed_len(inner), mtu).len(),
            _ => 1,
        }
    }
}

/// Octets of a GRE header without key, checksum and sequence number.
const GRE: usize = gre::HEADER_LEN;
/// Octets of ESP around what is sealed, but for the trailer.
const ESP_AROUND: usize = esp::HEADER_LEN + esp::GCM_IV_LEN + esp::GCM_ICV_LEN;
/// Fragments lie on multiples of this many octets (RFC 791 section 3.2).
const FRAGMENT_UNIT: usize = 8;

/// Octets of the outer packet: IP, ESP, GRE (RFC 2784, RFC 4303, RFC 4106).
fn sealed_len(inner: usize) -> usize {
    let sealed = (GRE + inner + esp::TRAILER_LEN).next_multiple_of(esp::ALIGN);
    ip4::HEADER_LEN + ESP_AROUND + sealed
}

/// Octets of the fragments of an IPv4 packet without options.
fn pieces(packet: usize, mtu: usize) -> Vec<usize> {
    if packet <= mtu {
        return vec![packet];
    }
    let room = (mtu - ip4::HEADER_LEN) & !(FRAGMENT_UNIT - 1);
    let payload = packet - ip4::HEADER_LEN;
    let piece = |at: usize| ip4::HEADER_LEN + room.min(payload - at);
    (0..payload).step_by(room).map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_command_line_and_of_json() {
        for mode in Mode::value_variants() {
            assert_eq!(mode.to_possible_value().unwrap().get_name(), mode.name());
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.name());
        }
    }

    /// Ethernet, IP, ESP, IV, GRE, packet, padding, trailer, ICV: RFC 2784, RFC 4303, RFC 4106.
    #[test]
    fn frame_lengths() {
        let out = |mode: Mode, inner| mode.frames(Way::Out, inner, 1500, 1);
        assert_eq!(Mode::Forward.frames(Way::Across, 84, 1500, 1), [14 + 84]);
        assert_eq!(out(Mode::GreEncap, 84), [14 + 20 + 4 + 84]);
        assert_eq!(out(Mode::Encrypt, 84), [14 + 20 + 8 + 8 + (4 + 84 + 2 + 2) + 16]);
        assert_eq!(out(Mode::Encrypt, 86), [14 + 20 + 8 + 8 + (4 + 86 + 2) + 16]);
        assert_eq!(Mode::Decrypt.frames(Way::In, 1400, 1500, 1), [1414]);
        assert_eq!(Mode::Bidirectional.frames(Way::In, 86, 1500, 1), [100]);
        assert_eq!(Mode::Bidirectional.frames(Way::Out, 86, 1500, 1), [158]);
        assert_eq!(Mode::Hub.frames(Way::Through, 86, 1500, 1), [158]);
        assert_eq!(Mode::Replicate.frames(Way::Out, 86, 1500, 3), [158; 3]);
    }

    /// 1442 octets fit; of them 1416 of payload are a multiple of eight. What leaves is as long
    /// as two encrypted packets of 1436 and 84 octets.
    #[test]
    fn fragments() {
        let frames = Mode::Fragment.frames(Way::Out, 1500, 1500, 1);
        assert_eq!(frames, [14 + 20 + 16 + 1444 + 16, 14 + 20 + 16 + 92 + 16]);
        assert_eq!(Mode::Fragment.frames(Way::Out, 9000, 1500, 1).len(), 7);
        assert_eq!(Mode::Reassemble.frames(Way::In, 1500, 1500, 1), [1514]);
        assert_eq!(Mode::Reassemble.arriving(1500, 1500), 2);
        assert_eq!(Mode::Reassemble.arriving(1442, 1500), 1);
        assert_eq!(Mode::Decrypt.arriving(1400, 1500), 1);
    }

    #[test]
    fn the_largest_packet_fits_and_one_octet_more_does_not() {
        for mtu in [1500, 9216] {
            for mode in [Mode::Encrypt, Mode::GreEncap, Mode::Forward] {
                let way = mode.ways()[0];
                let max = mode.inner_max(mtu);
                let frame = |inner| mode.frames(way, inner, mtu, 1)[0];
                assert!(frame(max) <= 14 + mtu && frame(max + 1) > 14 + mtu, "{mode:?} {max}");
            }
        }
        assert_eq!(Mode::Encrypt.inner_max(1500), 1442);
    }
}
