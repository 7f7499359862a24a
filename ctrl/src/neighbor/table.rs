//! The table: what its owner calls, and how a step of the state machine is carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::MacAddr;

use super::limits::{
    DELAY, ENTRIES_MAX, HOLD_DOWN, PINS_MAX, POLL_MAX, QUEUE_MAX, QUEUED_MAX, REACHABLE,
    RETRANSMIT, STALE, TRIES, UNRESOLVED_MAX, UNRESOLVED_TOTAL_MAX, YOUNG,
};
use super::own::Own;
use super::state::{self, Event, Need, State, Step};
use super::store::{Key, Neighbor, Store};
use super::{Action, Counters, InterfaceConfig, Origin, Unqueued};

/// A neighbour, to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Interface that it is on.
    pub interface: u16,
    /// Its address.
    pub address: IpAddr,
    /// Its link-layer address, if it is known.
    pub mac: Option<MacAddr>,
    /// What is known.
    pub state: State,
    /// How it came to be known.
    pub origin: Origin,
    /// Whether a route or tunnel needs it.
    pub pinned: bool,
    /// Packets that wait for it.
    pub queued: usize,
}

/// The neighbours of all interfaces. `P` is a packet that waits.
#[derive(Debug)]
pub struct Neighbors<P> {
    pub(super) interfaces: BTreeMap<u16, Arc<InterfaceConfig>>,
    pub(super) store: Store<P>,
    pub(super) own: Own,
    pub(super) counters: Counters,
    pins: BTreeSet<Key>,
    random: u64,
}

impl<P> Neighbors<P> {
    /// An empty table without interfaces. The seed varies the times of probes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            interfaces: BTreeMap::new(),
            store: Store::new(),
            own: Own::default(),
            counters: Counters::default(),
            pins: BTreeSet::new(),
            random: seed,
        }
    }

    /// Makes these the interfaces. What can be no neighbour any more is withdrawn; so is all of an
    /// interface whose Ethernet address or VLAN changed, as its adjacencies hold them. Pins stay.
    pub fn set_interfaces(
        &mut self,
        now: Instant,
        interfaces: Vec<InterfaceConfig>,
    ) -> Vec<Action<P>> {
        let mut out = Vec::new();
        let new = interfaces.into_iter().map(|config| (config.index, Arc::new(config)));
        let old = std::mem::replace(&mut self.interfaces, new.collect());
        let kept = |(interface, address): Key, neighbor: &Neighbor<P>| {
            let (Some(old), Some(new)) = (old.get(&interface), self.interfaces.get(&interface))
            else {
                return false;
            };
            let fixed = neighbor.mac.is_some_and(|mac| new.neighbors.contains(&(address, mac)));
            (old.mac, old.vlan) == (new.mac, new.vlan)
                && new.can_be_neighbor(address)
                && (neighbor.origin != Origin::Static || fixed)
        };
        let gone = self.store.iter().filter(|(key, neighbor)| !kept(*key, neighbor));
        for key in gone.map(|(key, _)| key).collect::<Vec<_>>() {
            self.withdraw(key, &mut out);
        }
        self.own.retain(|interface, address| {
            self.interfaces.get(&interface).is_some_and(|config| config.is_own(address))
        });
        for config in self.interfaces.values().cloned().collect::<Vec<_>>() {
            for &(address, mac) in &config.neighbors {
                if config.can_be_neighbor(address) {
                    self.fix((config.index, address), mac, &mut out);
                }
            }
        }
        self.ask_for_pins(now, None, &mut out);
        out
    }

    /// Announces our addresses on an interface whose link came up, or on all: gratuitous ARP and
    /// unsolicited advertisements, twice (RFC 5227 2.3, RFC 4861 7.2.6). The first ones are due in
    /// the next [`Self::poll`].
    pub fn announce(&mut self, now: Instant, interface: Option<u16>) {
        for config in self.interfaces.values() {
            if interface.is_none_or(|interface| interface == config.index) {
                for address in config.own() {
                    self.own.announce(now, (config.index, address));
                }
            }
        }
    }

    /// Asks for a next hop. If it is known the packet comes back in [`Action::Resolved`] at once,
    /// else it waits; if it has failed lately the packet comes back in [`Action::Failed`].
    pub fn resolve(
        &mut self,
        now: Instant,
        interface: u16,
        next_hop: IpAddr,
        packet: Option<P>,
    ) -> Vec<Action<P>> {
        let mut out = Vec::new();
        let key = (interface, next_hop);
        if !self.can_be_neighbor(key) {
            out.extend(packet.map(|packet| dropped(packet, Unqueued::NotNeighbor)));
            return out;
        }
        if self.store.find(key).is_none() && !self.start(now, key, &mut out) {
            out.extend(packet.map(|packet| dropped(packet, Unqueued::TableFull)));
            return out;
        }
        self.want(now, key, now + YOUNG);
        let Some(neighbor) = self.store.find(key) else { return out };
        let packets = packet.into_iter();
        match (neighbor.state, neighbor.mac) {
            (State::Incomplete, _) => {
                packets.for_each(|packet| self.enqueue(key, packet, &mut out))
            }
            (_, Some(mac)) => {
                let (address, packets) = (next_hop, packets.collect());
                out.push(Action::Resolved { interface, address, mac, packets });
            }
            (_, None) => {
                let (address, packets) = (next_hop, packets.collect());
                out.push(Action::Failed { interface, address, packets });
            }
        }
        out
    }

    /// Pins a next hop that a route or tunnel needs: it is asked for now, probed as long as it is
    /// pinned, and asked for again when it is lost. An address that cannot be a neighbour yet is
    /// remembered until the interfaces change. Beyond 32 768 pins an address is only resolved.
    pub fn keep(&mut self, now: Instant, interface: u16, address: IpAddr) -> Vec<Action<P>> {
        let mut out = Vec::new();
        let key = (interface, address);
        if !self.pins.contains(&key) && self.pins.len() >= PINS_MAX {
            return self.resolve(now, interface, address, None);
        }
        self.pins.insert(key);
        if self.store.find(key).is_some() {
            self.want(now, key, now);
            self.store.update(key, |neighbor| neighbor.pinned = true);
        } else {
            self.ask_for_pin(now, key, &mut out);
        }
        out
    }

    /// Undoes [`Self::keep`]: the entry stays while it is young.
    pub fn release(&mut self, interface: u16, address: IpAddr) {
        if self.pins.remove(&(interface, address)) {
            self.store.update((interface, address), |neighbor| neighbor.pinned = false);
        }
    }

    /// Forgets all that was learnt, on one interface or all; asks for what is pinned again.
    pub fn clear(&mut self, now: Instant, interface: Option<u16>) -> Vec<Action<P>> {
        let mut out = Vec::new();
        let chosen = |key: Key| interface.is_none_or(|interface| interface == key.0);
        let dynamic = self.store.iter().filter(|(_, n)| n.origin != Origin::Static);
        let keys = dynamic.map(|(key, _)| key).filter(|&key| chosen(key)).collect::<Vec<_>>();
        for key in keys {
            self.withdraw(key, &mut out);
        }
        self.ask_for_pins(now, interface, &mut out);
        out
    }

    /// Does what is due. Call it when [`Self::poll_timeout`] says.
    pub fn poll(&mut self, now: Instant) -> Vec<Action<P>> {
        let mut out = Vec::new();
        for _ in 0..POLL_MAX {
            if let Some((interface, address)) = self.own.poll(now) {
                self.announce_one(interface, address, &mut out);
            } else if let Some((_, key)) = self.store.next_deadline().filter(|&(at, _)| at <= now) {
                self.timeout(now, key, &mut out);
            } else {
                break;
            }
        }
        out
    }

    /// When [`Self::poll`] has something to do; may have passed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = self.store.next_deadline().map(|(at, _)| at);
        timers.into_iter().chain(self.own.poll_timeout()).min()
    }

    /// All neighbours, in order of interface and address.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.store.iter().map(|((interface, address), neighbor)| Entry {
            interface,
            address,
            mac: neighbor.mac,
            state: neighbor.state,
            origin: neighbor.origin,
            pinned: neighbor.pinned,
            queued: neighbor.queue.len(),
        })
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Carries out a step of the state machine; `told` is the link-layer address in the message.
    pub(super) fn apply(
        &mut self,
        now: Instant,
        key: Key,
        step: Step,
        told: Option<MacAddr>,
        out: &mut Vec<Action<P>>,
    ) {
        match step {
            Step::Keep => {}
            Step::Remove => self.withdraw(key, out),
            Step::Ask => self.ask(now, key, out),
            Step::Adopt(state) => {
                if let Some(mac) = told {
                    self.enter(now, key, state);
                    self.adopt(now, key, mac, out);
                }
            }
            Step::Enter(state) => {
                self.enter(now, key, state);
                match state {
                    State::Incomplete | State::Failed => self.unlearn(key, state, out),
                    State::Reachable | State::Stale | State::Probe => {}
                }
                if matches!(state, State::Incomplete | State::Probe) {
                    self.ask(now, key, out);
                }
            }
        }
    }

    /// Sends the announcement of an address of ours.
    pub(super) fn announce_one(&mut self, interface: u16, own: IpAddr, out: &mut Vec<Action<P>>) {
        if let Some(config) = self.interfaces.get(&interface) {
            self.counters.announcements += 1;
            out.push(Action::Send { interface, frame: config.announcement(own) });
        }
    }

    pub(super) fn can_be_neighbor(&self, (interface, address): Key) -> bool {
        self.interfaces.get(&interface).is_some_and(|config| config.can_be_neighbor(address))
    }

    fn timeout(&mut self, now: Instant, key: Key, out: &mut Vec<Action<P>>) {
        let Some(neighbor) = self.store.find(key) else { return };
        let need = need(now, neighbor);
        let event = Event::Timeout { need, retry: neighbor.tries < TRIES };
        self.apply(now, key, state::step(neighbor.state, event), None, out);
    }

    /// Begins to resolve an unknown next hop; false if there is no room for it.
    fn start(&mut self, now: Instant, key: Key, out: &mut Vec<Action<P>>) -> bool {
        let pinned = self.pins.contains(&key);
        if !self.make_room(key.0, pinned, out) {
            return false;
        }
        let mut neighbor = Neighbor::new(State::Incomplete, None, Origin::Demand);
        neighbor.pinned = pinned;
        self.store.insert(key, neighbor);
        self.ask(now, key, out);
        true
    }

    /// Lets the longest unanswered next hops go, while there are too many.
    fn make_room(&mut self, interface: u16, pinned: bool, out: &mut Vec<Action<P>>) -> bool {
        loop {
            let victim = if !pinned && self.store.unresolved(interface) >= UNRESOLVED_MAX {
                self.store.oldest_unresolved(interface)
            } else if self.store.len() >= ENTRIES_MAX
                || !pinned && self.store.unresolved_total() >= UNRESOLVED_TOTAL_MAX
            {
                self.store.oldest_unresolved_of_all()
            } else {
                return true;
            };
            let Some(neighbor) = victim.and_then(|key| self.store.remove(key)) else {
                return false;
            };
            self.counters.evicted += 1;
            out.extend(neighbor.queue.into_iter().map(|p| dropped(p, Unqueued::TableFull)));
        }
    }

    /// Asks all, or the known station, once; and again after [`RETRANSMIT`].
    fn ask(&mut self, now: Instant, key: Key, out: &mut Vec<Action<P>>) {
        let (interface, address) = key;
        let Some(config) = self.interfaces.get(&interface) else { return };
        let Some(source) = config.source_for(address) else { return };
        let asked = self.store.update(key, |neighbor| {
            neighbor.tries += 1;
            neighbor.deadline = Some(now + RETRANSMIT);
            neighbor.mac
        });
        let Some(mac) = asked else { return };
        match mac {
            Some(_) => self.counters.probes += 1,
            None => self.counters.requests += 1,
        }
        out.push(Action::Send { interface, frame: config.request(source, address, mac) });
    }

    /// Changes the state and starts its timer.
    fn enter(&mut self, now: Instant, key: Key, state: State) {
        let reachable = self.reachable_time();
        self.store.update(key, |neighbor| {
            let time = match state {
                State::Incomplete | State::Probe => RETRANSMIT,
                State::Reachable => reachable,
                State::Stale if need(now, neighbor) == Need::Nobody => STALE,
                State::Stale => DELAY,
                State::Failed => HOLD_DOWN,
            };
            neighbor.state = state;
            neighbor.tries = 0;
            neighbor.deadline = Some(now + time);
        });
    }

    /// Takes over a link-layer address in a usable state.
    fn adopt(&mut self, now: Instant, key: Key, mac: MacAddr, out: &mut Vec<Action<P>>) {
        let (interface, address) = key;
        let adopted = self.store.update(key, |neighbor| {
            neighbor.learnt_at = Some(now);
            (neighbor.mac.replace(mac), std::mem::take(&mut neighbor.queue))
        });
        let Some((old, queue)) = adopted else { return };
        if old.is_some() {
            debug_assert!(queue.is_empty());
            self.counters.changed += 1;
            out.push(Action::Changed { interface, address, mac });
        } else {
            self.counters.resolved += 1;
            out.push(Action::Resolved { interface, address, mac, packets: queue.into() });
        }
    }

    /// Forgets the link-layer address on the way to a state without one.
    fn unlearn(&mut self, key: Key, state: State, out: &mut Vec<Action<P>>) {
        let (interface, address) = key;
        let failed = state == State::Failed;
        let unlearnt = self.store.update(key, |neighbor| {
            let queue =
                if failed { std::mem::take(&mut neighbor.queue) } else { Default::default() };
            (neighbor.mac.take(), queue)
        });
        let Some((mac, queue)) = unlearnt else { return };
        if mac.is_some() {
            self.counters.lost += 1;
            out.push(Action::Lost { interface, address });
        }
        if failed {
            self.counters.failed += 1;
            out.push(Action::Failed { interface, address, packets: queue.into() });
        }
    }

    /// Removes a neighbour, whatever its state.
    fn withdraw(&mut self, key: Key, out: &mut Vec<Action<P>>) {
        let Some(neighbor) = self.store.remove(key) else { return };
        if neighbor.mac.is_some() {
            self.counters.lost += 1;
            out.push(Action::Lost { interface: key.0, address: key.1 });
        }
        out.extend(neighbor.queue.into_iter().map(|p| dropped(p, Unqueued::Withdrawn)));
    }

    /// Makes a static entry; what was learnt about the address goes.
    fn fix(&mut self, key: Key, mac: MacAddr, out: &mut Vec<Action<P>>) {
        let (interface, address) = key;
        let old = self.store.remove(key);
        let mut neighbor = Neighbor::new(State::Reachable, Some(mac), Origin::Static);
        neighbor.pinned = self.pins.contains(&key);
        self.store.insert(key, neighbor);
        let (known, queue) = old.map_or((None, Vec::new()), |old| (old.mac, old.queue.into()));
        match known {
            Some(known) if known == mac => {}
            Some(_) => out.push(Action::Changed { interface, address, mac }),
            None => out.push(Action::Resolved { interface, address, mac, packets: queue }),
        }
    }

    /// Notes that somebody needs a neighbour. One that was left to get stale is probed soon.
    fn want(&mut self, now: Instant, key: Key, until: Instant) {
        self.store.update(key, |neighbor| {
            if neighbor.origin == Origin::Learnt {
                neighbor.origin = Origin::Demand;
            }
            neighbor.wanted_until = neighbor.wanted_until.max(Some(until));
            if neighbor.state == State::Stale {
                neighbor.deadline = neighbor.deadline.map(|at| at.min(now + DELAY));
            }
        });
    }

    fn enqueue(&mut self, key: Key, packet: P, out: &mut Vec<Action<P>>) {
        let room = self.store.queued() < QUEUED_MAX;
        let surplus = self.store.update(key, |neighbor| {
            let queue = &mut neighbor.queue;
            let surplus = if queue.len() >= QUEUE_MAX || !room { queue.pop_front() } else { None };
            // All queues together are full, and this one is empty.
            if surplus.is_none() && !room {
                return Some(packet);
            }
            queue.push_back(packet);
            surplus
        });
        out.extend(surplus.flatten().map(|packet| dropped(packet, Unqueued::QueueFull)));
    }

    fn ask_for_pins(&mut self, now: Instant, of: Option<u16>, out: &mut Vec<Action<P>>) {
        for key in self.pins.iter().copied().collect::<Vec<_>>() {
            if of.is_none_or(|interface| interface == key.0) {
                self.ask_for_pin(now, key, out);
            }
        }
    }

    fn ask_for_pin(&mut self, now: Instant, key: Key, out: &mut Vec<Action<P>>) {
        if self.store.find(key).is_none() && self.can_be_neighbor(key) {
            self.start(now, key, out);
        }
    }

    /// A half to one and a half of [`REACHABLE`], so that what was learnt together is not probed
    /// together. The generator is splitmix64: it only has to spread.
    fn reachable_time(&mut self) -> Duration {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let share = (bits >> 48) as u32;
        REACHABLE / 2 + REACHABLE * share / 0x1_0000
    }
}

fn need<P>(now: Instant, neighbor: &Neighbor<P>) -> Need {
    match neighbor.wanted_until {
        _ if neighbor.pinned => Need::Pinned,
        Some(until) if now < until => Need::Young,
        _ => Need::Nobody,
    }
}

fn dropped<P>(packet: P, reason: Unqueued) -> Action<P> {
    Action::Dropped { packet, reason }
}
