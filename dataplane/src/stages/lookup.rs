//! lookup: routes overlay packets.
//!
//! ```text
//! group > replicate;  FIB > adjacency: tunnel peer > [too big > fragment] > gre_encap
//!                                      neighbour   > [too big > fragment] > tx
//!                                      us, unresolved, TTL out, no route  > punt
//! ```

use dpdk::Mbuf;
use wire::eth::EtherType;
use wire::{IpProto, tcp};

use crate::addr::Addr;
use crate::bucket::TokenBucket;
use crate::drops::DropReason;
use crate::engine::message::{Event, REDIRECT_HEAD_MAX, Redirect};
use crate::engine::stage::{Context, Outputs, Stage, Verdict};
use crate::engine::topology::output::lookup;
use crate::ip::{IpFacts, is_plain_v4};
use crate::packet::{Flags, Layer, NONE, Packet, PuntReason};
use crate::stages::rewrite::{age, hop, rewrite_l2};
use crate::tables::fib::{Found, Next};
use crate::tables::policy::Action;
use crate::tables::{Adjacency, Encap, L2Rewrite, Tables};

/// Adjacencies that may lead to each other: a policy to a group to a peer.
const DEPTH_MAX: usize = 4;
/// Difference between the TCP MSS of IPv4 and IPv6 on the same MTU.
const MSS_V6_LESS: u16 = 20;

/// Redirects that a core asks for in a second, and at once: what the control thread does with them
/// is limited again, by peer and destination.
const REDIRECTS: (u64, u64) = (500, 100);

/// Routes.
#[derive(Default)]
pub struct Lookup {
    destinations: Vec<u32>,
    found: Vec<Found>,
    samples: Samples,
}

/// Packets whose sender is to be told of a shorter way.
#[derive(Default)]
struct Samples {
    limit: Option<TokenBucket>,
    taken: Vec<Event>,
}

impl Samples {
    /// Takes a sample of a packet that came by a tunnel of this network, if it is time for one.
    #[cold]
    fn take(&mut self, context: &Context<'_>, packet: &Packet, network: u16) {
        let tunnel = context.tables.tunnels.by_interface(packet.meta.interface);
        if tunnel.and_then(|tunnel| tunnel.redirect) != Some(network) {
            return;
        }
        let (rate, burst) = REDIRECTS;
        let bucket = || TokenBucket::new(rate, burst, context.ticks_per_second);
        if self.limit.get_or_insert_with(bucket).take(context.now) {
            let head = packet.mbuf.data().iter().copied().take(REDIRECT_HEAD_MAX).collect();
            let sample = Redirect { in_peer: packet.meta.in_peer, head };
            self.taken.push(Event::Redirect(Box::new(sample)));
        }
    }
}

impl Stage for Lookup {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        self.look_up_v4(context.tables, input);
        let (mut found, samples) = (self.found.iter(), &mut self.samples);
        out.sort(input, |packet| {
            let found = found.next().copied().unwrap_or_default();
            route((context, samples), packet, found)
        });
        context.events.append(&mut samples.taken);
    }
}

impl Lookup {
    /// Looks all IPv4 destinations of the burst up together, so that cache misses overlap. What is
    /// not IPv4 is looked up as something, and nobody asks for its route.
    fn look_up_v4(&mut self, tables: &Tables, packets: &[Packet]) {
        self.destinations.clear();
        self.destinations.extend(packets.iter().map(|packet| packet.meta.destination));
        if self.found.len() < packets.len() {
            self.found.resize(packets.len(), Found::default());
        }
        let found = &mut self.found[..packets.len()];
        tables.overlay.v4.lookup_burst(&self.destinations, found);
    }
}

/// What a packet is routed with.
type Around<'a, 'b> = (&'a Context<'b>, &'a mut Samples);

/// Headers are validated before a packet comes here: by `classify`, by `gre_decap` and `esp_open`
/// for what was inside a tunnel, and the control thread builds valid ones.
#[inline]
fn route((context, samples): Around<'_, '_>, packet: &mut Packet, found: Found) -> Verdict {
    const SPECIAL: Flags = Flags::FRAME.or(Flags::RESOLVED).or(Flags::UNDERLAY);
    packet.meta.layer = Layer::Ip;
    if packet.meta.flags.any(SPECIAL) || packet.meta.ether_type != EtherType::IPV4.0 {
        return route_special((context, samples), packet).into();
    }
    debug_assert_eq!(
        IpFacts::parse(packet.mbuf.data(), true).map(|facts| facts.dst),
        Ok(Addr::v4(packet.meta.destination)),
    );
    let destination = packet.meta.destination;
    if !is_plain_v4(destination) && Addr::v4(destination).is_group() {
        return Verdict::output(to_group(packet));
    }
    let Some(Next(index)) = found.next() else {
        return Verdict::output(punt(packet, PuntReason::NoRoute));
    };
    packet.meta.adjacency = index;
    // Most routes lead to one of these at once.
    match context.tables.adjacencies.get(index as usize) {
        Some(Adjacency::Tunnel(encap)) => into_tunnel((context, samples), packet, encap).into(),
        Some(Adjacency::Neighbor(l2)) => to_neighbor(packet, l2).into(),
        _ => send((context, samples), packet, index).into(),
    }
}

/// What was routed already, what belongs to the underlay, and IPv6.
#[inline(never)]
fn route_special(
    (context, samples): Around<'_, '_>,
    packet: &mut Packet,
) -> Result<usize, DropReason> {
    let tables = context.tables;
    let flags = packet.meta.flags;
    if flags.has(Flags::FRAME) {
        return Ok(lookup::TX);
    }
    if flags.has(Flags::RESOLVED) {
        return send((context, samples), packet, packet.meta.adjacency);
    }
    let facts = IpFacts::parse(packet.mbuf.data(), true)?;
    if facts.is_group() {
        return Ok(to_group(packet));
    }
    let fib = if flags.has(Flags::UNDERLAY) { &tables.underlay } else { &tables.overlay };
    match fib.lookup(facts.dst) {
        Some(adjacency) => send((context, samples), packet, adjacency),
        None => Ok(punt(packet, PuntReason::NoRoute)),
    }
}

fn is_ip(packet: &Packet) -> bool {
    matches!(EtherType(packet.meta.ether_type), EtherType::IPV4 | EtherType::IPV6)
}

fn to_group(packet: &mut Packet) -> usize {
    packet.meta.adjacency = NONE;
    lookup::REPLICATE
}

fn punt(packet: &mut Packet, reason: PuntReason) -> usize {
    packet.meta.punt = reason;
    lookup::PUNT
}

/// Follows an adjacency to where it ends.
#[inline(never)]
fn send(
    (context, samples): Around<'_, '_>,
    packet: &mut Packet,
    adjacency: u32,
) -> Result<usize, DropReason> {
    let tables = context.tables;
    packet.meta.adjacency = adjacency;
    for _ in 0..DEPTH_MAX {
        let index = packet.meta.adjacency;
        let Some(adjacency) = tables.adjacencies.get(index as usize) else { break };
        match adjacency {
            Adjacency::Tunnel(encap) => return into_tunnel((context, samples), packet, encap),
            Adjacency::Neighbor(l2) => return to_neighbor(packet, l2),
            Adjacency::Drop(reason) => return Err(*reason),
            Adjacency::Local => return Ok(punt(packet, PuntReason::Local)),
            Adjacency::Unresolved { .. } => return Ok(punt(packet, PuntReason::Unresolved)),
            Adjacency::Replicate(_) => return Ok(lookup::REPLICATE),
            Adjacency::Group(members) => {
                let member = (packet.flow() as usize).checked_rem(members.len());
                let Some(member) = member else { break };
                packet.meta.adjacency = members[member];
            }
            Adjacency::Connected { interface } => {
                let facts = IpFacts::parse(packet.mbuf.data(), true)?;
                match tables.neighbors.get(&(*interface, facts.dst)) {
                    Some(neighbor) => packet.meta.adjacency = *neighbor,
                    None => return Ok(punt(packet, PuntReason::Unresolved)),
                }
            }
            Adjacency::Policy(policy) => {
                packet.meta.adjacency = by_policy(tables, packet, *policy)?;
            }
        }
    }
    Err(DropReason::NoRoute)
}

fn by_policy(tables: &Tables, packet: &Packet, policy: u32) -> Result<u32, DropReason> {
    let policy = tables.policies.get(policy as usize).ok_or(DropReason::NoRoute)?;
    let facts = IpFacts::parse(packet.mbuf.data(), true)?;
    match policy.classify(&facts.flow_key(packet.mbuf.data())) {
        None => Err(DropReason::NoRoute),
        Some((_, Action::Discard)) => Err(DropReason::PolicyDiscard),
        Some((_, Action::Bypass)) => tables.underlay.lookup(facts.dst).ok_or(DropReason::NoRoute),
        Some((_, Action::Protect { adjacency })) => Ok(adjacency),
    }
}

/// As [`into_any_tunnel`] says; what nearly every packet needs is said here.
#[inline(always)]
fn into_tunnel(
    (context, samples): Around<'_, '_>,
    packet: &mut Packet,
    encap: &Encap,
) -> Result<usize, DropReason> {
    if context.spread {
        packet.meta.lane = if encap.lane == NONE { packet.flow() } else { encap.lane };
    }
    // Tunnels come after the ports, so what hosts send does not get so far.
    if packet.meta.interface >= encap.redirect_from {
        samples.take(context, packet, encap.redirect_from);
    }
    let fits = packet.mbuf.len() <= usize::from(encap.mtu);
    if fits && !may_be_syn(packet) && age(packet) {
        return Ok(lookup::ENCAP);
    }
    into_any_tunnel(packet, encap)
}

#[inline(never)]
fn into_any_tunnel(packet: &mut Packet, encap: &Encap) -> Result<usize, DropReason> {
    if !is_ip(packet) {
        // What the control thread sends to a tunnel peer itself: NHRP, keepalives.
        return Ok(lookup::ENCAP);
    }
    if !age(packet) {
        return Ok(punt(packet, PuntReason::TtlExceeded));
    }
    clamp_mss(packet, encap.mss)?;
    if packet.mbuf.len() > usize::from(encap.mtu) {
        packet.meta.mtu = encap.mtu;
        return Ok(lookup::FRAGMENT);
    }
    Ok(lookup::ENCAP)
}

/// As [`to_any_neighbor`] says; what nearly every packet needs is said here.
#[inline(always)]
fn to_neighbor(packet: &mut Packet, l2: &L2Rewrite) -> Result<usize, DropReason> {
    let fits = packet.mbuf.len() <= usize::from(l2.mtu);
    let clamps = packet.meta.mss != 0 && may_be_syn(packet);
    if fits && !l2.broadcast && !clamps && hop(packet, l2) {
        return Ok(lookup::TX);
    }
    to_any_neighbor(packet, l2)
}

#[inline(never)]
fn to_any_neighbor(packet: &mut Packet, l2: &L2Rewrite) -> Result<usize, DropReason> {
    if is_ip(packet) {
        if l2.broadcast && l2.interface == packet.meta.interface {
            // A broadcast to the subnet it came from: its hosts have it already.
            return Err(DropReason::NoMulticastRule);
        }
        if !age(packet) {
            return Ok(punt(packet, PuntReason::TtlExceeded));
        }
        clamp_mss(packet, 0)?;
    }
    if packet.mbuf.len() > usize::from(l2.mtu) {
        packet.meta.mtu = l2.mtu;
        return Ok(lookup::FRAGMENT);
    }
    rewrite_l2(packet, l2)?;
    Ok(lookup::TX)
}

/// Whether a packet can be a TCP SYN, as whatever is not IPv4 can. Fields are looked at where they
/// usually are: of what has options or is a fragment it only matters that no SYN is overlooked.
#[inline(always)]
fn may_be_syn(packet: &Packet) -> bool {
    let data = packet.mbuf.data();
    packet.meta.ether_type != EtherType::IPV4.0
        || data.get(9) == Some(&IpProto::TCP.0)
            && (data[0] != 0x45 || data.get(33).is_none_or(|flags| flags & 2 != 0))
}

/// Lowers the MSS option of a TCP SYN to what the tunnels on its way carry in one piece: the one
/// that it came from, and the one that it goes into, whose MSS this is. 0: there is none.
fn clamp_mss(packet: &mut Packet, mss: u16) -> Result<(), DropReason> {
    match (mss, packet.meta.mss) {
        (0, 0) => Ok(()),
        (0, mss) | (mss, 0) => clamp_tcp(&mut packet.mbuf, mss),
        (a, b) => clamp_tcp(&mut packet.mbuf, a.min(b)),
    }
}

fn clamp_tcp(mbuf: &mut Mbuf, mss: u16) -> Result<(), DropReason> {
    let facts = IpFacts::parse(mbuf.data(), true)?;
    if facts.protocol != IpProto::TCP || facts.later_fragment {
        return Ok(());
    }
    let mss = if facts.src.is_v4() { mss } else { mss.saturating_sub(MSS_V6_LESS) };
    let is_syn = tcp::Packet::new_checked(&mbuf.data()[facts.upper..]).is_ok_and(|t| t.is_syn());
    if is_syn && let Some(data) = mbuf.data_mut() {
        tcp::clamp_mss(&mut data[facts.upper..], mss);
    }
    Ok(())
}
