//! The simulated world: machines, a queue of what happens, and what must hold.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use nhrp::{Action, Config, Nhrp, NhsConfig, Origin, Overlay, Path, Route, ServerState};
use wire::{IfAddr, IpPrefix, IpProto, ip4};

const HUB: usize = 0;
const HUB_NBMA: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const HUB_PROTOCOL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 64, 0, 1));
const HOLDING_TIME: Duration = Duration::from_secs(60);

/// What the network does to packets, in percent, and whether sites are disturbed.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
    pub(crate) disturbances: bool,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Timer { site: usize },
    Packet { from: IpAddr, to: IpAddr, octets: Vec<u8> },
    Traffic,
    Disturbance,
}

struct Site {
    nhrp: Nhrp,
    overlay: View,
    /// Where its packets come from, by its NAT.
    outside: IpAddr,
    /// Cut off from the network until then.
    cut_until: Instant,
    /// What its owner would have installed.
    peers: BTreeSet<IpAddr>,
    /// By prefix, the peer that it goes through.
    shortcuts: BTreeMap<IpPrefix, IpAddr>,
}

pub(crate) struct World {
    pub(crate) faults: Faults,
    sites: Vec<Site>,
    queue: BinaryHeap<Reverse<(Instant, u64, Happening)>>,
    start: Instant,
    now: Instant,
    serial: u64,
    random: u64,
    digest: u64,
}

/// Routes of a site: a spoke has a network of its own and a default route to the hub; the hub has a
/// route to each spoke's network.
struct View {
    site: usize,
}

impl Overlay for View {
    fn route(&self, destination: IpAddr) -> Option<Route> {
        let IpAddr::V4(v4) = destination else { return None };
        let tunnel = IpPrefix::new([10, 64, 0, 0].into(), 16).unwrap();
        if tunnel.contains(destination) {
            return Some(Route::Tunnel { prefix: tunnel, next_hop: destination });
        }
        let [first, high, low, _] = v4.octets();
        let owner = usize::from(u16::from_be_bytes([high, low]));
        let prefix = IpPrefix::containing(destination, 24).unwrap();
        match (self.site, first) {
            (site, 11) if site == owner => Some(Route::Local(prefix)),
            (HUB, 11) => Some(Route::Tunnel { prefix, next_hop: protocol(owner) }),
            (HUB, _) => None,
            _ => {
                let prefix = IpPrefix::new([0, 0, 0, 0].into(), 0).unwrap();
                Some(Route::Tunnel { prefix, next_hop: HUB_PROTOCOL })
            }
        }
    }

    fn may_claim(&self, _: Path, _: IpAddr) -> bool {
        true
    }

    fn may_be_nbma(&self, _: IpAddr) -> bool {
        true
    }
}

fn protocol(site: usize) -> IpAddr {
    let low = u32::try_from(site).unwrap();
    if site == HUB { HUB_PROTOCOL } else { Ipv4Addr::from(0x0A40_0001 + low).into() }
}

fn inside(site: usize) -> IpAddr {
    let low = u32::try_from(site).unwrap();
    if site == HUB { HUB_NBMA } else { Ipv4Addr::from(0x6440_0000 + low).into() }
}

/// An address in the network of a spoke.
fn behind(site: usize) -> Ipv4Addr {
    let [high, low] = u16::try_from(site).unwrap().to_be_bytes();
    [11, high, low, 1].into()
}

fn config(site: usize) -> Config {
    let nhs = NhsConfig { host: HUB_NBMA.into(), protocol: None, priority: 0, cluster: 0 };
    Config {
        addresses: vec![IfAddr::new(protocol(site), 16).unwrap()],
        nbma: inside(site),
        holding_time: HOLDING_TIME,
        registration_interval: None,
        authentication: None,
        unique: false,
        servers: if site == HUB { Vec::new() } else { vec![nhs] },
        clusters: Vec::new(),
        maps: Vec::new(),
        redirect: site == HUB,
        shortcut: site != HUB,
        protected: false,
    }
}

impl World {
    pub(crate) fn new(seed: u64, spokes: u32) -> Self {
        let now = Instant::now();
        let mut world = Self {
            faults: Faults::default(),
            sites: Vec::new(),
            queue: BinaryHeap::new(),
            start: now,
            now,
            serial: 0,
            random: seed,
            digest: 0,
        };
        for site in 0..=usize::try_from(spokes).unwrap() {
            let machine = world.machine(site);
            world.sites.push(machine);
            world.schedule(now, Happening::Timer { site });
        }
        world.schedule(now + Duration::from_secs(5), Happening::Traffic);
        world.schedule(now, Happening::Disturbance);
        world
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.queue.peek().is_some_and(|Reverse((at, ..))| *at <= end) {
            let Some(Reverse((at, _, happening))) = self.queue.pop() else { break };
            self.now = self.now.max(at);
            self.happen(happening);
        }
        self.now = end;
    }

    pub(crate) fn restart_hub(&mut self) {
        self.restart(HUB);
    }

    pub(crate) fn shortcuts(&self) -> usize {
        self.sites.iter().map(|site| site.shortcuts.len()).sum()
    }

    /// What happened, in a number.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn assert_all_registered(&self) {
        let hub = &self.sites[HUB].nhrp;
        assert_eq!(hub.bindings().count(), self.sites.len() - 1);
        for (binding, at) in hub.bindings().zip(1..) {
            assert_eq!((binding.protocol, binding.nbma), (protocol(at), self.sites[at].outside));
            let state = self.sites[at].nhrp.servers().next().map(|server| server.state);
            assert_eq!(state, Some(ServerState::Registered));
        }
    }

    fn machine(&mut self, site: usize) -> Site {
        let mut actions = Vec::new();
        let seed = self.next();
        let nhrp = Nhrp::new(self.now, config(site), seed, &mut actions).unwrap();
        assert!(actions.is_empty());
        Site {
            nhrp,
            overlay: View { site },
            outside: inside(site),
            cut_until: self.now,
            peers: BTreeSet::new(),
            shortcuts: BTreeMap::new(),
        }
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.now;
        let mut out = Vec::new();
        match happening {
            Happening::Timer { site } => {
                let of = &mut self.sites[site];
                // A timer that was replaced by a later one has nothing to do.
                if of.nhrp.poll_timeout().is_some_and(|at| at <= now) {
                    of.nhrp.poll(now, &of.overlay, &mut out);
                }
                self.done(site, out);
            }
            Happening::Packet { from, to, octets } => {
                let Some(site) = self.at(to).filter(|&site| self.sites[site].cut_until <= now)
                else {
                    return;
                };
                let of = &mut self.sites[site];
                of.nhrp.receive(now, from.into(), &octets, &of.overlay, &mut out);
                self.done(site, out);
            }
            Happening::Traffic => {
                self.schedule(now + Duration::from_secs(1), Happening::Traffic);
                self.traffic();
                if self.sites.len() < 100 {
                    (0..self.sites.len()).for_each(|site| self.check(site));
                }
            }
            Happening::Disturbance => {
                self.schedule(now + Duration::from_secs(7), Happening::Disturbance);
                if self.faults.disturbances {
                    self.disturb();
                }
            }
        }
    }

    /// A packet from one spoke's network to another's: by a shortcut, or by the hub, which tells.
    fn traffic(&mut self) {
        let (source, destination) = (self.spoke(), self.spoke());
        let prefix = IpPrefix::containing(behind(destination).into(), 24).unwrap();
        let (now, mut out) = (self.now, Vec::new());
        let of = &mut self.sites[source];
        if of.shortcuts.contains_key(&prefix) {
            of.nhrp.used(now, prefix, &of.overlay, &mut out);
            return self.done(source, out);
        }
        let mut head = vec![0; 28];
        let packet = ip4::Repr::new(behind(source), behind(destination), IpProto::UDP, 8);
        packet.emit(&mut head).unwrap();
        let from = self.sites[source].outside;
        let hub = &mut self.sites[HUB];
        hub.nhrp.sample(now, &head, from.into(), &hub.overlay, &mut out);
        self.done(HUB, out);
    }

    fn disturb(&mut self) {
        let spoke = self.spoke();
        match self.next() % 8 {
            0 => self.restart(HUB),
            1 => self.restart(spoke),
            2 | 3 => {
                // Its NAT gives it another address.
                let low = u32::try_from(self.serial % 0x1_0000).unwrap();
                self.sites[spoke].outside = Ipv4Addr::from(0xCB00_0000 + low).into();
            }
            4 | 5 => self.sites[spoke].cut_until = self.now + Duration::from_secs(40),
            6 => self.sites[HUB].cut_until = self.now + Duration::from_secs(15),
            _ => {
                let mut out = Vec::new();
                self.sites[spoke].nhrp.shutdown(&mut out);
                self.done(spoke, out);
                self.restart(spoke);
            }
        }
    }

    fn restart(&mut self, site: usize) {
        let outside = self.sites[site].outside;
        let machine = self.machine(site);
        self.sites[site] = Site { outside, ..machine };
        self.schedule(self.now, Happening::Timer { site });
    }

    /// Carries out what a site wants, checks it, and sets its timer.
    fn done(&mut self, site: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send { to, octets } => self.send(site, to.nbma, octets),
                Action::Install(binding) => {
                    self.sites[site].peers.insert(binding.protocol);
                }
                Action::Remove { protocol } => {
                    let of = &mut self.sites[site];
                    assert!(of.peers.remove(&protocol), "removed, not installed");
                    let leads = of.shortcuts.values().any(|&next_hop| next_hop == protocol);
                    assert!(!leads, "a shortcut whose peer went before it");
                }
                Action::InstallShortcut(shortcut) => {
                    let of = &mut self.sites[site];
                    assert!(of.peers.contains(&shortcut.next_hop), "a shortcut without a peer");
                    of.shortcuts.insert(shortcut.prefix, shortcut.next_hop);
                }
                Action::RemoveShortcut { prefix } => {
                    let gone = self.sites[site].shortcuts.remove(&prefix);
                    assert!(gone.is_some(), "removed, not installed");
                }
                Action::Expect { .. } | Action::Event(_) => {}
                Action::Relay { .. } => panic!("each site has one tunnel"),
                Action::LookUp { .. } => panic!("the hub has no name"),
            }
        }
        // All of a hub with 10 000 spokes is looked at now and then.
        if self.sites.len() < 100 || site != HUB || self.serial.is_multiple_of(1000) {
            self.check(site);
        }
        if let Some(at) = self.sites[site].nhrp.poll_timeout() {
            self.schedule(at.max(self.now), Happening::Timer { site });
        }
    }

    fn check(&self, at: usize) {
        let site = &self.sites[at];
        let mut peers = BTreeSet::new();
        for binding in site.nhrp.bindings() {
            // Whatever is due is done when its timer rings: it may be due just now.
            assert!(binding.expires.is_none_or(|at| at >= self.now), "outlived: {binding:?}");
            assert!(binding.expires.is_none_or(|at| at <= self.now + HOLDING_TIME));
            assert_eq!(binding.expires.is_none(), binding.origin == Origin::Server);
            assert_ne!(binding.protocol, protocol(at), "itself");
            peers.insert(binding.protocol);
        }
        assert_eq!(peers, site.peers, "what is installed is what is known");
        let mut shortcuts = BTreeMap::new();
        for shortcut in site.nhrp.shortcuts() {
            assert!(peers.contains(&shortcut.next_hop), "without a peer: {shortcut:?}");
            assert!(shortcut.expires >= self.now, "outlived: {shortcut:?}");
            assert!(shortcut.prefix.len() >= 24, "wider than a route: {shortcut:?}");
            shortcuts.insert(shortcut.prefix, shortcut.next_hop);
        }
        assert_eq!(shortcuts, site.shortcuts, "what is installed is what is known");
    }

    /// Packets take 1 to 50 ms, or twice as long, and so overtake each other.
    fn send(&mut self, site: usize, to: IpAddr, octets: Vec<u8>) {
        let from = self.sites[site].outside;
        let copies = 1 + usize::from(self.next() % 100 < self.faults.duplication);
        if self.sites[site].cut_until > self.now {
            return;
        }
        for _ in 0..copies {
            let late = Duration::from_millis(1 + self.next() % 50);
            if self.next() % 100 >= self.faults.loss {
                let octets = octets.clone();
                self.schedule(self.now + late, Happening::Packet { from, to, octets });
            }
        }
    }

    /// Who has an address in the underlay now.
    fn at(&self, nbma: IpAddr) -> Option<usize> {
        // Most have the one that they began with.
        let IpAddr::V4(v4) = nbma else { return None };
        let low = usize::try_from(v4.to_bits().wrapping_sub(0x6440_0000)).unwrap_or(usize::MAX);
        let began = if nbma == HUB_NBMA { HUB } else { low };
        let has = |site: &Site| site.outside == nbma;
        match self.sites.get(began) {
            Some(site) if has(site) => Some(began),
            _ => self.sites.iter().position(has),
        }
    }

    fn spoke(&mut self) -> usize {
        1 + usize::try_from(self.next()).unwrap_or(0) % (self.sites.len() - 1)
    }

    fn schedule(&mut self, at: Instant, happening: Happening) {
        self.serial += 1;
        let since = u64::try_from((at - self.start).as_nanos()).unwrap_or(0);
        self.digest = self.digest.rotate_left(5) ^ since;
        self.queue.push(Reverse((at, self.serial, happening)));
    }

    /// Splitmix64.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }
}
