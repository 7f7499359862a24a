//! Our own addresses on the links: announced, and defended.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::icmp::Rate;

use super::store::Key;

/// Announcements of an address, and the time between them: ANNOUNCE_NUM and ANNOUNCE_INTERVAL of
/// RFC 5227 1.1; RFC 4861 10 allows three advertisements.
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
/// An address is defended once in so long (DEFEND_INTERVAL, RFC 5227 1.1): two stations that both
/// insist must not fill the link.
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
/// Answers to probes for duplicates go to all nodes: a forger must not make us multicast at will.
/// Stations start one at a time, and send one probe each.
const PROBE_ANSWER_INTERVAL: Duration = Duration::from_millis(100);
const PROBE_ANSWER_BURST: u32 = 20;

/// What is due for our own addresses.
#[derive(Debug, Default)]
pub(super) struct Own {
    due: BTreeSet<(Instant, Key, u8)>,
    defences: BTreeMap<Key, Rate>,
    probe_answers: BTreeMap<u16, Rate>,
}

impl Own {
    /// Begins to announce an address, at once.
    pub(super) fn announce(&mut self, now: Instant, key: Key) {
        self.due.retain(|&(_, due, _)| due != key);
        self.due.insert((now, key, ANNOUNCEMENTS));
    }

    /// When the next announcement is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|&(at, ..)| at)
    }

    /// An address to announce now.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Key> {
        let &(at, key, left) = self.due.first()?;
        if at > now {
            return None;
        }
        self.due.remove(&(at, key, left));
        if left > 1 {
            self.due.insert((now + ANNOUNCE_INTERVAL, key, left - 1));
        }
        Some(key)
    }

    /// Whether an address is to be defended now.
    pub(super) fn may_defend(&mut self, now: Instant, key: Key) -> bool {
        self.defences.entry(key).or_insert(Rate::new(DEFEND_INTERVAL, 1)).allow(now)
    }

    /// Whether all nodes are to be told now that an address is taken.
    pub(super) fn may_answer_probe(&mut self, now: Instant, interface: u16) -> bool {
        let rate = Rate::new(PROBE_ANSWER_INTERVAL, PROBE_ANSWER_BURST);
        self.probe_answers.entry(interface).or_insert(rate).allow(now)
    }

    /// Forgets addresses that are not ours any more.
    pub(super) fn retain(&mut self, is_own: impl Fn(u16, IpAddr) -> bool) {
        self.due.retain(|&(_, (interface, address), _)| is_own(interface, address));
        self.defences.retain(|&(interface, address), _| is_own(interface, address));
    }
}
