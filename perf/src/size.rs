//! How large the inner packets are: all alike, a mixture, or as they were captured.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::capture::Capture;

/// Sizes as the command line names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SizeSelection {
    /// Octets of each packet, with its IP header.
    Octets(u16),
    /// The mixture of [`IMIX`].
    Imix,
    /// Packets out of a capture.
    Capture(PathBuf),
}

impl FromStr for SizeSelection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.bytes().all(|octet| octet.is_ascii_digit()) {
            return match text.parse() {
                Ok(octets @ SIZE_MIN..=SIZE_MAX) => Ok(Self::Octets(octets)),
                _ => Err(format!("{SIZE_MIN} to {SIZE_MAX} octets are possible")),
            };
        }
        match text {
            "imix" => Ok(Self::Imix),
            _ if CAPTURE_NAMES.iter().any(|end| text.ends_with(end)) => {
                Ok(Self::Capture(text.into()))
            }
            _ => Err("give octets, imix, or a capture (.pcap, .pcapng, .cap)".to_owned()),
        }
    }
}

/// An IPv4 and a UDP header.
pub(crate) const SIZE_MIN: u16 = 28;
/// What a port of jumbo frames carries, without any tunnel.
pub(crate) const SIZE_MAX: u16 = 9216;
const CAPTURE_NAMES: [&str; 3] = [".pcap", ".pcapng", ".cap"];

/// Sizes of inner packets, checked. Serialized as a number of octets, or as a name.
#[derive(Debug, Clone, PartialEq)]
pub enum Size {
    /// Octets of each packet, with its IP header.
    Octets(u16),
    /// The mixture of [`IMIX`].
    Imix,
    /// Packets out of a capture.
    Capture(Arc<Capture>),
}

/// The usual mixture, seven of 64, four of 594 and one of 1518 octets, in an order that spreads
/// them. The longest is cut to what a path of 1500 octets carries under GRE and ESP, in all modes,
/// so that these can be compared.
pub const IMIX: [u16; 12] = [64, 594, 64, 594, 64, 1442, 64, 594, 64, 594, 64, 64];

impl Size {
    /// As short as a heading has to be.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Octets(octets) => octets.to_string(),
            Self::Imix => "imix".to_owned(),
            Self::Capture(capture) => capture.name().to_owned(),
        }
    }

    /// The largest packet, in octets.
    #[must_use]
    pub fn largest(&self) -> usize {
        match self {
            Self::Octets(octets) => usize::from(*octets),
            Self::Imix => usize::from(IMIX.into_iter().max().unwrap_or(SIZE_MIN)),
            Self::Capture(capture) => capture.largest(),
        }
    }

    /// Octets of a packet, on average.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self {
            Self::Octets(octets) => f64::from(*octets),
            Self::Imix => f64::from(IMIX.iter().sum::<u16>()) / IMIX.len() as f64,
            Self::Capture(capture) => capture.mean(),
        }
    }

    /// What to say of it beside its label, if anything.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        match self {
            Self::Octets(_) => None,
            Self::Imix => {
                let mut text = "imix is".to_owned();
                let mut sizes = IMIX;
                sizes.sort_unstable();
                for same in sizes.chunk_by(|a, b| a == b) {
                    text += &format!(" {} of {},", same.len(), same[0]);
                }
                Some(format!("{text} on average {:.1} octets", self.mean()))
            }
            Self::Capture(capture) => Some(capture.to_string()),
        }
    }
}

/// As errors name it.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Octets(octets) => write!(f, "{octets} octets"),
            _ => f.write_str(&self.label()),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Octets(octets) => serializer.serialize_u16(*octets),
            _ => serializer.serialize_str(&self.label()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_octets_a_mixture_or_a_file() {
        let parse = str::parse::<SizeSelection>;
        assert_eq!(parse("28"), Ok(SizeSelection::Octets(28)));
        assert_eq!(parse("9216"), Ok(SizeSelection::Octets(9216)));
        assert_eq!(parse("imix"), Ok(SizeSelection::Imix));
        assert_eq!(parse("a/b.pcapng"), Ok(SizeSelection::Capture("a/b.pcapng".into())));
        for refused in ["27", "9217", "65536", "-1", "jumbo", "", "file.txt", "1e3"] {
            assert!(parse(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn the_mixture_is_seven_to_four_to_one() {
        let count = |size| IMIX.iter().filter(|s| **s == size).count();
        assert_eq!([count(64), count(594), count(1442)], [7, 4, 1]);
        assert_eq!(Size::Imix.largest(), crate::Mode::Encrypt.inner_max(1500));
        let note = Size::Imix.note().unwrap();
        assert_eq!(note, "imix is 7 of 64, 4 of 594, 1 of 1442, on average 355.5 octets");
    }

    #[test]
    fn json_has_numbers_and_names() {
        let json = |size: Size| serde_json::to_string(&size).unwrap();
        assert_eq!(json(Size::Octets(64)), "64");
        assert_eq!(json(Size::Imix), "\"imix\"");
    }
}
