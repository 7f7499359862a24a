//! Commands about manually keyed SAs.

use std::net::IpAddr;
use std::num::NonZeroU16;

use aead::Algorithm;
use serde::{Deserialize, Serialize};

use crate::api::key::KeyHex;
use crate::api::report::Direction;

/// A manually keyed SA to install, as `[[ipsec.sa]]` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(deny_unknown_fields)]
pub struct SaAdd {
    /// Name of its profile.
    pub profile: String,
    /// Inbound or outbound.
    pub direction: Direction,
    /// The peer's outer address.
    pub remote: IpAddr,
    /// Our outer address; absent: that of the port which leads to the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<IpAddr>,
    /// SPI, at least 256 (RFC 4303, section 2.1).
    pub spi: u32,
    /// Key and salt as hexadecimal digits.
    #[cfg_attr(test, proptest(strategy = "super::tests::key()"))]
    pub key: KeyHex,
    /// Algorithm by its name in the configuration; absent: the first one of the profile.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "algorithm_name")]
    #[cfg_attr(test, proptest(strategy = "super::tests::algorithm()"))]
    pub esp: Option<Algorithm>,
    /// UDP encapsulation (RFC 3948); absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<UdpPorts>,
}

/// UDP ports around ESP (RFC 3948).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(deny_unknown_fields)]
pub struct UdpPorts {
    /// Ours.
    pub local: NonZeroU16,
    /// The peer's, or that of the NAT before it.
    pub remote: NonZeroU16,
}

/// Which SA to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(deny_unknown_fields)]
pub struct SaDelete {
    /// Inbound or outbound.
    pub direction: Direction,
    /// Its SPI.
    pub spi: u32,
    /// The peer; needed if several of them have chosen the same SPI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<IpAddr>,
}

/// An [`Algorithm`] by its name.
mod algorithm_name {
    use aead::Algorithm;
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(
        algorithm: &Option<Algorithm>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match algorithm {
            Some(algorithm) => serializer.serialize_str(algorithm.name()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Algorithm>, D::Error> {
        let name = Option::<String>::deserialize(deserializer)?;
        name.map(|name| name.parse().map_err(|_| Error::custom("unknown algorithm"))).transpose()
    }
}
