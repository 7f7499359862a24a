//! What has happened: each event goes to the log and is kept, both in bounds.
//!
//! ```text
//!                    class      limit             kept
//! note(event) > |- gateway ----------------- > [ 512 ] -.
//!               |- peers   -- per peer, all - > [ 512 ] --> since(serial)
//!               `- traffic -- per peer, all - > [ 512 ] -'
//!                                 `> counted, and told of every 10 s
//! ```
//!
//! Peers, and whoever may send us a packet, cause events as often as they like. So what they cause
//! has a place of its own, where it cannot push out what the operator and the links did, and one of
//! them that flaps is soon silent: the log says how many more there were.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use log::Level;

use crate::api::report::{Entry, Event, EventClass, Events};
use crate::icmp::{Limiter, Limits};

/// Events of a class that are kept: with those of all classes some 300 kB, as is the longest
/// answer; hours of a gateway that is well.
const KEPT_MAX: usize = 512;
/// One peer that flaps may be seen to do so, and then once in a while. All together may fill what
/// is kept at once, as when a hub starts, and log some 100 MB a day in the long run.
const LIMITS: Limits = Limits {
    address_interval: Duration::from_secs(10),
    address_burst: 10,
    total_interval: Duration::from_millis(100),
    #[expect(clippy::cast_possible_truncation, reason = "512")]
    total_burst: KEPT_MAX as u32,
};
/// How often it is told how many were suppressed.
const TOLD_INTERVAL: Duration = Duration::from_secs(10);

/// The events of a gateway.
#[derive(Debug)]
pub(in super::super) struct Journal {
    gateway: VecDeque<Entry>,
    peers: Limited,
    traffic: Limited,
    /// Serial number of the latest event.
    last: u64,
    /// When suppressed events were told of.
    told: Instant,
}

/// Events that others cause.
#[derive(Debug)]
struct Limited {
    kept: VecDeque<Entry>,
    limiter: Limiter,
    /// Since it was told.
    suppressed: u64,
}

impl Limited {
    fn new(seed: u64) -> Self {
        Self { kept: VecDeque::new(), limiter: Limiter::new(LIMITS, seed), suppressed: 0 }
    }

    fn admits(&mut self, now: Instant, peer: IpAddr) -> bool {
        let allowed = self.limiter.allow_exact(now, peer);
        self.suppressed += u64::from(!allowed);
        allowed
    }
}

impl Journal {
    /// An empty one. The seeds are those of [`Limiter::new`].
    pub(in super::super) fn new(now: Instant, seeds: [u64; 2]) -> Self {
        let [peers, traffic] = seeds.map(Limited::new);
        Self { gateway: VecDeque::new(), peers, traffic, last: 0, told: now }
    }

    /// Logs an event and keeps it, unless its peer causes too many. `time` is for people.
    pub(in super::super) fn note(&mut self, now: Instant, time: Timestamp, event: Event) {
        let class = match cause(&event) {
            Cause::Gateway => EventClass::Gateway,
            Cause::Peer(peer) if self.peers.admits(now, peer) => EventClass::Peers,
            Cause::Traffic(peer) if self.traffic.admits(now, peer) => EventClass::Traffic,
            Cause::Peer(_) | Cause::Traffic(_) => return,
        };
        self.keep(class, time, event);
    }

    /// Tells how many events were suppressed, if it is time for that.
    pub(in super::super) fn poll(&mut self, now: Instant, time: Timestamp) {
        if now.duration_since(self.told) < TOLD_INTERVAL {
            return;
        }
        self.told = now;
        let peers = (EventClass::Peers, std::mem::take(&mut self.peers.suppressed));
        let traffic = (EventClass::Traffic, std::mem::take(&mut self.traffic.suppressed));
        for (about, count) in [peers, traffic].into_iter().filter(|(_, count)| *count > 0) {
            self.keep(about, time, Event::Suppressed { about, count });
        }
    }

    /// Whether there are events after the one of this number, or any at all.
    pub(in super::super) fn has_news(&self, after: Option<u64>) -> bool {
        after.unwrap_or(0) != self.last
    }

    /// All that is kept, or only what came after the event of this number. One that there has not
    /// been is of a gateway before this one: then everything is new.
    pub(in super::super) fn since(&self, after: Option<u64>) -> Events {
        let after = after.filter(|after| *after <= self.last);
        let kept = [&self.gateway, &self.peers.kept, &self.traffic.kept];
        let news = |kept: &VecDeque<Entry>| {
            let start = kept.partition_point(|entry| entry.serial <= after.unwrap_or(0));
            kept.range(start..).cloned().collect::<Vec<_>>()
        };
        let mut events: Vec<Entry> = kept.into_iter().flat_map(news).collect();
        events.sort_unstable_by_key(|entry| entry.serial);
        let lost = after.map_or(0, |after| self.last - after - events.len() as u64);
        Events { events, last: self.last, lost }
    }

    fn keep(&mut self, class: EventClass, time: Timestamp, event: Event) {
        log::log!(target: "greyhound::events", level(&event), "{event}");
        self.last += 1;
        let kept = match class {
            EventClass::Gateway => &mut self.gateway,
            EventClass::Peers => &mut self.peers.kept,
            EventClass::Traffic => &mut self.traffic.kept,
        };
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Entry { serial: self.last, time: format!("{time:.3}"), event });
    }
}

/// Who brings an event about.
enum Cause {
    Gateway,
    /// The peer at this address, inside or outside.
    Peer(IpAddr),
    /// Packets from this address, or to it.
    Traffic(IpAddr),
}

fn cause(event: &Event) -> Cause {
    match event {
        Event::NhrpRegistered { protocol, .. }
        | Event::NhrpExpired { protocol, .. }
        | Event::NhrpWithdrawn { protocol, .. } => Cause::Peer(*protocol),
        Event::NhrpServerUp { nbma, .. }
        | Event::NhrpServerDown { nbma, .. }
        | Event::NhrpServerRefused { nbma, .. } => Cause::Peer(*nbma),
        Event::PathMtu { peer, .. } => Cause::Peer(*peer),
        Event::SaMoved { remote, .. } => Cause::Peer(*remote),
        Event::NhrpRefused { nbma, .. }
        | Event::NhrpError { nbma, .. }
        | Event::NhrpShortcutAdded { nbma, .. } => Cause::Traffic(*nbma),
        Event::NhrpUnresolved { destination, .. } => Cause::Traffic(*destination),
        Event::NhrpRedirected { peer, .. } => Cause::Traffic(*peer),
        Event::NhrpShortcutRemoved { nbma, .. } => Cause::Traffic(*nbma),
        Event::NhrpServerUnresolved { .. }
        | Event::NhrpServerMisplaced { .. }
        | Event::LinkUp { .. }
        | Event::LinkDown { .. }
        | Event::TunnelUp { .. }
        | Event::TunnelDown { .. }
        | Event::SaAdded(_)
        | Event::SaDeleted(_)
        | Event::SaExpired(_)
        | Event::Reloaded { .. }
        | Event::ReloadFailed { .. }
        | Event::Suppressed { .. } => Cause::Gateway,
    }
}

fn level(event: &Event) -> Level {
    match event {
        Event::ReloadFailed { .. } => Level::Error,
        Event::NhrpServerDown { .. }
        | Event::NhrpServerRefused { .. }
        | Event::NhrpServerUnresolved { .. }
        | Event::NhrpServerMisplaced { .. }
        | Event::NhrpRefused { .. }
        | Event::TunnelDown { .. }
        | Event::SaExpired(_) => Level::Warn,
        Event::NhrpUnresolved { .. }
        | Event::NhrpRedirected { .. }
        | Event::NhrpError { .. }
        | Event::Suppressed { about: EventClass::Traffic, .. } => Level::Debug,
        _ => Level::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        journal: Journal,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let now = Instant::now();
            Self { journal: Journal::new(now, [1, 2]), now }
        }

        fn note(&mut self, event: Event) {
            self.journal.note(self.now, Timestamp::UNIX_EPOCH, event);
        }

        fn link(&mut self) {
            self.note(Event::LinkUp { port: "wan".into() });
        }

        /// A peer that has registered, `number` among the others.
        fn peer(&mut self, number: u32) {
            let (tunnel, nbma) = ("dmvpn".into(), [203, 0, 113, 9].into());
            self.note(Event::NhrpRegistered { tunnel, protocol: IpAddr::V4(number.into()), nbma });
        }

        fn later(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
            self.journal.poll(self.now, Timestamp::UNIX_EPOCH);
        }

        fn serials(&self, after: Option<u64>) -> Vec<u64> {
            self.journal.since(after).events.iter().map(|entry| entry.serial).collect()
        }

        fn suppressed(&self) -> Vec<(EventClass, u64)> {
            let events = self.journal.since(None).events;
            let suppressed = |entry: Entry| match entry.event {
                Event::Suppressed { about, count } => Some((about, count)),
                _ => None,
            };
            events.into_iter().filter_map(suppressed).collect()
        }
    }

    #[test]
    fn gives_what_is_newer_in_the_order_in_which_it_happened() {
        let mut bench = Bench::new();
        assert!(!bench.journal.has_news(None) && !bench.journal.has_news(Some(0)));
        assert_eq!(bench.journal.since(Some(0)), Events::default());
        bench.link();
        bench.peer(1);
        bench.link();
        assert_eq!(bench.serials(None), [1, 2, 3]);
        assert_eq!(bench.serials(Some(1)), [2, 3]);
        assert!(bench.journal.has_news(Some(2)) && !bench.journal.has_news(Some(3)));
        let nothing = Events { events: vec![], last: 3, lost: 0 };
        assert_eq!(bench.journal.since(Some(3)), nothing);
        assert_eq!(bench.journal.since(None).events[0].time, "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_number_of_another_gateway_is_like_none() {
        let mut bench = Bench::new();
        bench.link();
        assert!(bench.journal.has_news(Some(77)));
        assert_eq!(bench.serials(Some(77)), [1]);
        assert_eq!(bench.journal.since(Some(77)).lost, 0);
    }

    #[test]
    fn keeps_the_latest_of_each_class_and_says_what_was_lost() {
        let mut bench = Bench::new();
        bench.peer(1);
        let many = KEPT_MAX as u64 + 10;
        (0..many).for_each(|_| bench.link());
        let report = bench.journal.since(Some(1));
        assert_eq!(report.events.len(), KEPT_MAX);
        assert_eq!((report.last, report.lost), (many + 1, 10));
        assert_eq!(bench.serials(None)[0], 1, "a class does not push out the others");
        assert_eq!(bench.journal.since(None).lost, 0, "who has not read has lost nothing");
        assert_eq!(bench.journal.since(Some(11)).lost, 0);
        assert_eq!(bench.journal.since(Some(0)).lost, 10);
    }

    #[test]
    fn a_peer_that_flaps_is_soon_silent_and_counted() {
        let mut bench = Bench::new();
        (0..1000).for_each(|_| bench.peer(1));
        assert_eq!(bench.serials(None).len(), 10);
        bench.peer(2);
        assert_eq!(bench.serials(None).len(), 11, "another one is heard");
        bench.later(10);
        assert_eq!(bench.suppressed(), [(EventClass::Peers, 990)]);
        bench.peer(1);
        bench.later(10);
        assert_eq!(bench.serials(None).len(), 13, "now and then it is heard");
        assert_eq!(bench.suppressed().len(), 1, "nothing more was suppressed");
    }

    #[test]
    fn a_flood_of_strangers_is_bounded_and_hides_nothing_else() {
        let mut bench = Bench::new();
        bench.link();
        bench.peer(7);
        for number in 0..100_000_u32 {
            let nbma = IpAddr::V4(number.into());
            let (tunnel, reason) = ("dmvpn".into(), "protocol error".into());
            bench.note(Event::NhrpError { tunnel, nbma, reason });
        }
        assert_eq!(bench.serials(None).len(), 2 + KEPT_MAX);
        bench.later(60);
        assert_eq!(bench.suppressed(), [(EventClass::Traffic, 100_000 - KEPT_MAX as u64)]);
        assert_eq!(bench.serials(None)[..2], [1, 2]);
    }

    #[test]
    fn ipv6_peers_of_one_network_do_not_silence_each_other() {
        let mut bench = Bench::new();
        for host in 1..=20_u128 {
            let protocol = IpAddr::V6((0x2001_0db8_u128 << 96 | host).into());
            bench.note(Event::NhrpExpired { tunnel: "dmvpn".into(), protocol });
        }
        assert_eq!(bench.serials(None).len(), 20);
    }
}
