//! What is measured: one way of a packet through the gateway.

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
        }
    }

    /// Whether packets are under ESP.
    #[must_use]
    pub const fn is_protected(self) -> bool {
        matches!(self, Self::Encrypt | Self::Decrypt)
    }

    /// Whether packets come out of a tunnel, so that somebody has to put them into it first.
    pub(crate) const fn is_inbound(self) -> bool {
        matches!(self, Self::GreDecap | Self::Decrypt)
    }

    /// Octets of the frame that leaves the gateway for an inner IP packet of `size` octets,
    /// reckoned from the RFCs and not by the gateway's own code, which is checked against it.
    pub(crate) fn frame_len(self, size: u16) -> usize {
        let inner = usize::from(size);
        match self {
            Self::Forward | Self::GreDecap | Self::Decrypt => eth::HEADER_LEN + inner,
            Self::GreEncap => eth::HEADER_LEN + ip4::HEADER_LEN + GRE + inner,
            Self::Encrypt => {
                let sealed = (GRE + inner + esp::TRAILER_LEN).next_multiple_of(esp::ALIGN);
                let esp = esp::HEADER_LEN + esp::GCM_IV_LEN + sealed + esp::GCM_ICV_LEN;
                eth::HEADER_LEN + ip4::HEADER_LEN + esp
            }
        }
    }
}

/// Octets of a GRE header without key, checksum and sequence number.
const GRE: usize = gre::HEADER_LEN;

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
        assert_eq!(Mode::Forward.frame_len(84), 14 + 84);
        assert_eq!(Mode::GreEncap.frame_len(84), 14 + 20 + 4 + 84);
        assert_eq!(Mode::Encrypt.frame_len(84), 14 + 20 + 8 + 8 + (4 + 84 + 2 + 2) + 16);
        assert_eq!(Mode::Encrypt.frame_len(86), 14 + 20 + 8 + 8 + (4 + 86 + 2) + 16);
        assert_eq!(Mode::Decrypt.frame_len(1400), 1414);
    }
}
