//! The security policy of a port, its SPD or crypto map: ordered selectors, of which the first
//! match counts (RFC 4301 section 4.4.1).
//!
//! A rule is half a cache line for IPv4, and is compared without a branch; the scan costs less
//! than a nanosecond for each rule before the match. That suits some hundred rules; a gateway with
//! more sites than that has tunnels and routes, not a crypto map.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::fib::{Address, Prefix};

#[cfg(test)]
mod tests;

/// Which packets a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Source and destination networks.
    pub networks: Networks,
    /// IP protocol or, in IPv6, the upper-layer next header; none: any.
    pub proto: Option<u8>,
    /// Source ports. [`ANY_PORT`] also holds packets without ports.
    pub src_ports: RangeInclusive<u16>,
    /// Destination ports. [`ANY_PORT`] also holds packets without ports.
    pub dst_ports: RangeInclusive<u16>,
}

/// Source and destination networks, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Networks {
    /// IPv4.
    V4 {
        /// Source.
        src: Prefix<u32>,
        /// Destination.
        dst: Prefix<u32>,
    },
    /// IPv6.
    V6 {
        /// Source.
        src: Prefix<u128>,
        /// Destination.
        dst: Prefix<u128>,
    },
}

/// All ports, and none: the ANY of RFC 4301 section 4.4.1.1, which encompasses OPAQUE.
pub const ANY_PORT: RangeInclusive<u16> = 0..=u16::MAX;

/// What becomes of a packet that a rule selects (RFC 4301 section 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sealed: goes on by this adjacency.
    Protect {
        /// Index of the adjacency.
        adjacency: u32,
    },
    /// Passes in clear.
    Bypass,
    /// Dropped.
    Discard,
}

/// What a packet is classified by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// IP protocol or upper-layer next header.
    pub proto: u8,
    /// Source and destination port; none in a fragment that is not the first, and in protocols
    /// that have no ports.
    ///
    /// Such a packet matches only rules of any port (RFC 4301 sections 4.4.1.1 and 7): its port is
    /// not available, and to take it for a selected one would let a fragment travel under a
    /// policy, or an SA, that the rest of its datagram does not belong to.
    pub ports: Option<(u16, u16)>,
}

/// Ordered rules, ready for the packet path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    v4: Rules<u32>,
    v6: Rules<u128>,
}

/// A range of ports of a selector that ends before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvertedPorts {
    /// Index of the rule.
    pub rule: usize,
}

impl fmt::Display for InvertedPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}: a range of ports ends before it begins", self.rule)
    }
}

impl std::error::Error for InvertedPorts {}

impl Selector {
    /// The selector of the opposite direction: outbound rules, reversed, are what decrypted
    /// packets are checked against (RFC 4301 section 5.2).
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            networks: match self.networks {
                Networks::V4 { src, dst } => Networks::V4 { src: dst, dst: src },
                Networks::V6 { src, dst } => Networks::V6 { src: dst, dst: src },
            },
            proto: self.proto,
            src_ports: self.dst_ports,
            dst_ports: self.src_ports,
        }
    }
}

impl FlowKey {
    /// The flow in the opposite direction: what to classify a received packet by, against the
    /// outbound rules.
    #[inline]
    #[must_use]
    pub fn reversed(self) -> Self {
        let ports = self.ports.map(|(src, dst)| (dst, src));
        Self { src: self.dst, dst: self.src, proto: self.proto, ports }
    }
}

impl Policy {
    /// Compiles rules; the order is kept.
    ///
    /// # Errors
    /// [`InvertedPorts`]: such a rule would select nothing, and what it was meant to protect would
    /// fall through to the next one.
    pub fn new(rules: Vec<(Selector, Action)>) -> Result<Self, InvertedPorts> {
        let mut policy = Self::default();
        for (rule, (selector, action)) in rules.into_iter().enumerate() {
            if selector.src_ports.is_empty() || selector.dst_ports.is_empty() {
                return Err(InvertedPorts { rule });
            }
            match selector.networks {
                Networks::V4 { src, dst } => {
                    policy.v4.push(Rule::new(src, dst, &selector), (rule, action));
                }
                Networks::V6 { src, dst } => {
                    policy.v6.push(Rule::new(src, dst, &selector), (rule, action));
                }
            }
        }
        Ok(policy)
    }

    /// The index and action of the first rule that selects the packet; none if no rule does, or
    /// if the addresses are of different families.
    #[inline]
    #[must_use]
    pub fn classify(&self, flow: &FlowKey) -> Option<(usize, Action)> {
        match (flow.src, flow.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => self.v4.first(src.to_bits(), dst.to_bits(), flow),
            (IpAddr::V6(src), IpAddr::V6(dst)) => self.v6.first(src.to_bits(), dst.to_bits(), flow),
            _ => None,
        }
    }
}

/// The rules of one family: what each packet is compared with, apart from what a match leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rules<A> {
    rules: Vec<Rule<A>>,
    outcomes: Vec<(usize, Action)>,
}

impl<A> Default for Rules<A> {
    fn default() -> Self {
        Self { rules: Vec::new(), outcomes: Vec::new() }
    }
}

impl<A: Address> Rules<A> {
    fn push(&mut self, rule: Rule<A>, outcome: (usize, Action)) {
        self.rules.push(rule);
        self.outcomes.push(outcome);
    }

    #[inline]
    fn first(&self, src: A, dst: A, flow: &FlowKey) -> Option<(usize, Action)> {
        let (src_port, dst_port) =
            flow.ports.map_or((NO_PORT, NO_PORT), |(src, dst)| (src.into(), dst.into()));
        let selects = |rule: &Rule<A>| rule.selects(src, dst, flow.proto, src_port, dst_port);
        let found = self.rules.iter().position(selects)?;
        Some(self.outcomes[found])
    }
}

/// One selector, 32 octets for IPv4. Networks and protocol are values under masks; a range of ports
/// is its first one and how many follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule<A> {
    src: A,
    src_mask: A,
    dst: A,
    dst_mask: A,
    src_span: u32,
    dst_span: u32,
    src_first: u16,
    dst_first: u16,
    proto: u8,
    proto_mask: u8,
}

impl<A: Address> Rule<A> {
    fn new(src: Prefix<A>, dst: Prefix<A>, selector: &Selector) -> Self {
        Self {
            src: src.bits(),
            src_mask: A::mask(src.length()),
            dst: dst.bits(),
            dst_mask: A::mask(dst.length()),
            src_span: span(&selector.src_ports),
            dst_span: span(&selector.dst_ports),
            src_first: *selector.src_ports.start(),
            dst_first: *selector.dst_ports.start(),
            proto: selector.proto.unwrap_or(0),
            proto_mask: if selector.proto.is_some() { u8::MAX } else { 0 },
        }
    }

    /// All conditions are evaluated: cheaper than a branch on each that is hard to predict.
    #[inline(always)]
    fn selects(&self, src: A, dst: A, proto: u8, src_port: u32, dst_port: u32) -> bool {
        (src & self.src_mask == self.src)
            & (dst & self.dst_mask == self.dst)
            & (proto & self.proto_mask == self.proto)
            & (src_port.wrapping_sub(self.src_first.into()) <= self.src_span)
            & (dst_port.wrapping_sub(self.dst_first.into()) <= self.dst_span)
    }
}

/// What a packet without ports has for one: the number after the last, so that only the range of
/// any port, which is stretched by one, holds it.
const NO_PORT: u32 = 1 << 16;

fn span(range: &RangeInclusive<u16>) -> u32 {
    let last = if *range == ANY_PORT { NO_PORT } else { (*range.end()).into() };
    last - u32::from(*range.start())
}
