//! Who has which address on the bench.
//!
//! ```text
//! hosts 172.16/12 -- gateway 198.18.0.1 == tunnel == peer p 198.19.0.0 + p + 1 -- 10.p.p.0/24
//! ```
//!
//! Where packets go both ways at the same time, 10.128/9 is on the gateway's side: what comes from
//! peer p goes to the network of the upper half that has its number.
//!
//! Underlay addresses are those of RFC 2544, appendix C.2.2.

use std::net::Ipv4Addr;

use wire::MacAddr;

/// MAC address of each interface of the gateway under test.
pub(crate) const GATEWAY_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x01]);
/// MAC address of whatever is next to it.
pub(crate) const NEIGHBOR_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x02]);
/// NBMA address of the gateway under test.
pub(crate) const HUB: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// What every destination is in: network and prefix length.
pub(crate) const DESTINATIONS: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 0, 0, 0), 8);
/// Most peers that have an address.
pub(crate) const PEERS_MAX: u32 = (1 << 16) - 2;
/// Where packets go both ways: the other half of the networks is on the gateway's side.
pub(crate) const PEERS_BIDIRECTIONAL_MAX: u32 = 1 << 15;
/// What is on the gateway's side then.
pub(crate) const DESTINATIONS_NEAR: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 128, 0, 0), 9);
/// Each packet becomes so many copies in one turn, which must fit into memory.
pub(crate) const PEERS_REPLICATE_MAX: u32 = 10_000;
/// What every source is in: network and prefix length.
pub(crate) const SOURCES: (Ipv4Addr, u8) = (Ipv4Addr::new(172, 16, 0, 0), 12);
/// The groups that multicast is sent to, of RFC 2365, section 6.2.
pub(crate) const GROUPS: (Ipv4Addr, Ipv4Addr) =
    (Ipv4Addr::new(239, 192, 0, 1), Ipv4Addr::new(239, 192, 0, 254));
/// Most flows: each has a source address.
pub(crate) const FLOWS_MAX: u32 = 1 << 20;

/// NBMA address of a peer.
pub(crate) fn peer(peer: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(198, 19, 0, 0).to_bits() + peer + 1)
}

/// Network behind a peer, a /24.
pub(crate) fn network(peer: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(DESTINATIONS.0.to_bits() + (peer << 8))
}

/// Network on the gateway's side that gets what comes from a peer, a /24.
pub(crate) fn near_network(peer: u32) -> Ipv4Addr {
    network(PEERS_BIDIRECTIONAL_MAX + peer)
}

/// Host that a flow comes from.
pub(crate) fn source(flow: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(SOURCES.0.to_bits() + flow)
}

/// SPI of the SA of a peer.
pub(crate) fn spi(peer: u32) -> u32 {
    0x1000 + peer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_stay_in_their_networks() {
        assert_eq!(peer(0), Ipv4Addr::new(198, 19, 0, 1));
        assert_eq!(peer(PEERS_MAX - 1), Ipv4Addr::new(198, 19, 255, 254));
        assert_eq!(network(0x102), Ipv4Addr::new(10, 1, 2, 0));
        assert_eq!(network(PEERS_MAX - 1).octets()[0], 10);
        assert_eq!(source(FLOWS_MAX - 1), Ipv4Addr::new(172, 31, 255, 255));
        assert_eq!(network(PEERS_BIDIRECTIONAL_MAX - 1), Ipv4Addr::new(10, 127, 255, 0));
        assert_eq!(near_network(0), DESTINATIONS_NEAR.0);
        assert_eq!(near_network(PEERS_BIDIRECTIONAL_MAX - 1), Ipv4Addr::new(10, 255, 255, 0));
    }
}
