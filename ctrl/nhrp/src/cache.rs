//! Who is reached how: bindings of protocol addresses to NBMA addresses, by address and by
//! deadline.
//!
//! All changes go through [`Cache::insert`] and [`Cache::remove`], which keep the indexes in step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use crate::path::Path;

/// How a binding came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// By configuration.
    Static,
    /// A server that we register with.
    Server,
    /// By the peer's registration with us.
    Registered,
    /// By the answer to a question of ours.
    Resolved,
}

/// A protocol address and how it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Protocol address of the peer.
    pub protocol: IpAddr,
    /// How it is reached.
    pub path: Path,
    /// The NBMA address that others are told: the one outside of a NAT.
    pub nbma: IpAddr,
    /// The NBMA address that it claims, if it is another: the peer is behind a NAT.
    pub claimed: Option<IpAddr>,
    /// How it came to be.
    pub origin: Origin,
    /// Nobody else may register the address while this lives.
    pub unique: bool,
    /// Largest packet that the peer says it takes, in octets; 0 says nothing.
    pub mtu: u16,
    /// When it ends; never if `None`.
    pub expires: Option<Instant>,
}

/// All bindings.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    bindings: BTreeMap<IpAddr, Binding>,
    timers: BTreeSet<(Instant, IpAddr)>,
    /// How many each peer has registered.
    registered: BTreeMap<Path, usize>,
    registered_total: usize,
}

impl Cache {
    pub(crate) fn find(&self, protocol: IpAddr) -> Option<&Binding> {
        self.bindings.get(&protocol)
    }

    /// In the order of protocol addresses.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.bindings.values()
    }

    pub(crate) fn registered_total(&self) -> usize {
        self.registered_total
    }

    pub(crate) fn registered_from(&self, peer: Path) -> usize {
        self.registered.get(&peer).copied().unwrap_or(0)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// The binding that ended first, by now.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Binding> {
        let &(at, protocol) = self.timers.first()?;
        if at > now { None } else { self.remove(protocol) }
    }

    /// Adds a binding; returns the one that it takes the place of.
    pub(crate) fn insert(&mut self, binding: Binding) -> Option<Binding> {
        let old = self.remove(binding.protocol);
        if let Some(at) = binding.expires {
            self.timers.insert((at, binding.protocol));
        }
        if binding.origin == Origin::Registered {
            *self.registered.entry(binding.path).or_default() += 1;
            self.registered_total += 1;
        }
        self.bindings.insert(binding.protocol, binding);
        old
    }

    pub(crate) fn remove(&mut self, protocol: IpAddr) -> Option<Binding> {
        let binding = self.bindings.remove(&protocol)?;
        if let Some(at) = binding.expires {
            self.timers.remove(&(at, protocol));
        }
        if binding.origin == Origin::Registered
            && let Some(count) = self.registered.get_mut(&binding.path)
        {
            *count -= 1;
            if *count == 0 {
                self.registered.remove(&binding.path);
            }
            self.registered_total -= 1;
        }
        Some(binding)
    }
}
