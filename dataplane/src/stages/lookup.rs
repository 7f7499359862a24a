//! lookup: routes overlay packets.
//!
//! ```text
//! group > replicate;  FIB > adjacency: tunnel peer > [too big > fragment] > gre_encap
//!                                      neighbour   > [too big > fragment] > tx
//!                                      us, unresolved, TTL out, no route  > punt
//! ```

use dpdk::Mbuf;
use wire::eth::EtherType;
use wire::plain::Aged;
use wire::{IpProto, tcp};

use crate::addr::Addr;
use crate::bucket::TokenBucket;
use crate::drops::DropReason;
use crate::engine::message::{Event, REDIRECT_HEAD_MAX, Redirect};
use crate::engine::stage::{Context, Outputs, Stage, Verdict, any_undecided};
use crate::engine::topology::output::lookup;
use crate::ip::IpFacts;
use crate::packet::{Flags, Layer, NONE, Packet, PuntReason};
use crate::stages::rewrite::{age, hop, rewrite_l2};
use crate::tables::fib::Found;
use crate::tables::policy::Action;
use crate::tables::{Adjacency, Encap, L2Rewrite, Tables, Template};

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
    /// Takes samples of the IPv4 packets of a burst that their route leads right into a tunnel.
    fn take_all(&mut self, context: &Context<'_>, packets: &[Packet], found: &[Found]) {
        if !context.tables.tunnels.redirects() || !self.limit(context).has_one(context.now) {
            return;
        }
        for (packet, found) in packets.iter().zip(found) {
            if !is_routed_v4(packet, SPECIAL) {
                continue;
            }
            if let Some(Adjacency::Tunnel(encap)) =
                found_adjacency(&context.tables.adjacencies, *found)
            {
                self.take(context, packet, encap);
            }
        }
    }

    fn limit(&mut self, context: &Context<'_>) -> &mut TokenBucket {
        let (rate, burst) = REDIRECTS;
        self.limit.get_or_insert_with(|| TokenBucket::new(rate, burst, context.ticks_per_second))
    }

    /// Takes a sample of a packet that came by a tunnel of the network that it goes back into, if
    /// it is time for one.
    fn take(&mut self, context: &Context<'_>, packet: &Packet, encap: &Encap) {
        // Tunnels come after the ports, so what hosts send does not get so far.
        if packet.meta.interface < encap.redirect_from {
            return;
        }
        let tunnel = context.tables.tunnels.by_interface(packet.meta.interface);
        if tunnel.and_then(|tunnel| tunnel.redirect) != Some(encap.redirect_from) {
            return;
        }
        if self.limit(context).take(context.now) {
            let head = packet.mbuf.data().iter().copied().take(REDIRECT_HEAD_MAX).collect();
            let sample = Redirect { in_peer: packet.meta.in_peer, head };
            self.taken.push(Event::Redirect(Box::new(sample)));
        }
    }
}

impl Stage for Lookup {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        self.look_up_v4(context.tables, input);
        let (found, mut samples) = (&self.found, &mut self.samples);
        samples.take_all(context, input, found);
        let around = &*context;
        let usual = |_: &mut &mut Samples, packets: &mut [Packet], verdicts: &mut [Verdict]| {
            // The same code each time, so that the usual one does what it needs and no more.
            if around.spread {
                usual::<true>(around.tables, packets, found, verdicts);
            } else {
                usual::<false>(around.tables, packets, found, verdicts);
            }
        };
        out.sort_usual(input, &mut samples, usual, |samples, packet| {
            route((around, samples), packet)
        });
        context.events.append(&mut self.samples.taken);
    }
}

impl Lookup {
    /// Looks all IPv4 destinations of the burst up together, so that cache misses overlap. What is
    /// not IPv4 is looked up as something, and nobody asks for its route.
    fn look_up_v4(&mut self, tables: &Tables, packets: &[Packet]) {
        if self.found.len() < packets.len() {
            self.found.resize(packets.len(), Found::default());
        }
        let found = &mut self.found[..packets.len()];
        tables.overlay.v4.lookup_burst(packets, |packet| packet.meta.destination, found);
    }
}

/// The adjacency that a route leads to.
#[inline(always)]
fn found_adjacency(adjacencies: &[Adjacency], found: Found) -> Option<&Adjacency> {
    adjacencies.get(found.index() as usize)
}

/// Whether this is an IPv4 packet to one destination: then its route was looked up, if it has none
/// of these flags.
#[inline(always)]
fn is_routed_v4(packet: &Packet, except: Flags) -> bool {
    packet.meta.ether_type == EtherType::IPV4.0
        && !packet.meta.flags.any(except)
        && packet.meta.destination < FIRST_GROUP
}

/// What is routed otherwise.
const SPECIAL: Flags = Flags::FRAME.or(Flags::RESOLVED).or(Flags::UNDERLAY);

/// 224.0.0.0: groups and broadcast are no smaller numbers.
const FIRST_GROUP: u32 = 0xe000_0000;

/// Decides about packets as nearly all are: IPv4, by a route that leads right into a tunnel, to a
/// neighbour or to one on a connected subnet, with nothing to be done but that. About all others,
/// [`route`] decides; of these it would say the same.
#[inline(never)]
fn usual<const SPREAD: bool>(
    tables: &Tables,
    packets: &mut [Packet],
    found: &[Found],
    verdicts: &mut [Verdict],
) {
    let adjacencies = &tables.adjacencies[..];
    for ((packet, found), verdict) in packets.iter_mut().zip(found).zip(&mut *verdicts) {
        if let Some(decided) =
            along::<SPREAD>(packet, *found, || found_adjacency(adjacencies, *found))
        {
            *verdict = decided;
        }
    }
    if any_undecided(verdicts) {
        connected(tables, packets, found, verdicts);
    }
}

/// The same for what is left, if it goes to a neighbour on a connected subnet: in a loop of its
/// own, so that the other one is spared.
#[inline(never)]
fn connected(tables: &Tables, packets: &mut [Packet], found: &[Found], verdicts: &mut [Verdict]) {
    let adjacencies = &tables.adjacencies[..];
    for ((packet, verdict), found) in packets.iter_mut().zip(verdicts).zip(found) {
        if *verdict != Verdict::UNDECIDED {
            continue;
        }
        let destination = Addr::v4(packet.meta.destination);
        let neighbor = || match found_adjacency(adjacencies, *found)? {
            Adjacency::Connected { interface } => {
                let index = tables.neighbors.find(*interface, destination)?;
                adjacencies.get(index as usize)
            }
            _ => None,
        };
        if let Some(decided) = along::<false>(packet, *found, neighbor) {
            *verdict = decided;
        }
    }
}

/// Sends a packet along an adjacency, if it is IPv4, and nothing is to be done but that; `found` is
/// its route.
#[inline(always)]
fn along<'a, const SPREAD: bool>(
    packet: &mut Packet,
    found: Found,
    adjacency: impl FnOnce() -> Option<&'a Adjacency>,
) -> Option<Verdict> {
    if !is_routed_v4(packet, SPECIAL.or(Flags::ORIGINATED)) {
        return None;
    }
    debug_assert_eq!(
        IpFacts::parse(packet.mbuf.data(), true).map(|facts| facts.dst),
        Ok(Addr::v4(packet.meta.destination)),
    );
    match adjacency()? {
        Adjacency::Tunnel(encap) => {
            let data = packet.mbuf.data_mut()?;
            let aged = Aged::new(data.first_chunk()?)?;
            if may_be_syn(data) {
                return None;
            }
            aged.write(data.first_chunk_mut()?);
            if SPREAD {
                packet.meta.lane = lane(packet, encap);
            }
            packet.meta.adjacency = found.index();
            Some(Verdict::output(into(packet, encap)))
        }
        Adjacency::Neighbor(l2) => {
            let data = packet.mbuf.data();
            let aged = Aged::new(data.first_chunk()?)?;
            let fits = data.len() <= usize::from(l2.mtu);
            if !fits || packet.meta.mss != 0 && may_be_syn(data) {
                return None;
            }
            hop(packet, l2, aged).then(|| Verdict::output(lookup::TX))
        }
        _ => None,
    }
}

/// What a packet is routed with.
type Around<'a, 'b> = (&'a Context<'b>, &'a mut Samples);

/// Routes any packet. Headers are validated before a packet comes here: by `classify`, by
/// `gre_decap` and `esp_open` for what was inside a tunnel, and the control thread builds valid
/// ones.
#[inline(never)]
fn route((context, samples): Around<'_, '_>, packet: &mut Packet) -> Result<usize, DropReason> {
    let tables = context.tables;
    let flags = packet.meta.flags;
    packet.meta.layer = Layer::Ip;
    if flags.has(Flags::FRAME) {
        return Ok(lookup::TX);
    }
    if flags.has(Flags::RESOLVED) {
        return send((context, samples), packet, packet.meta.adjacency);
    }
    let dst = destination(packet)?;
    if dst.is_group() {
        return Ok(to_group(packet));
    }
    let fib = if flags.has(Flags::UNDERLAY) { &tables.underlay } else { &tables.overlay };
    match fib.lookup(dst) {
        Some(adjacency) => send((context, samples), packet, adjacency),
        None => Ok(punt(packet, PuntReason::NoRoute)),
    }
}

/// Where an IP packet is to go.
#[inline]
fn destination(packet: &Packet) -> Result<Addr, DropReason> {
    if packet.meta.ether_type == EtherType::IPV4.0 {
        return Ok(Addr::v4(packet.meta.destination));
    }
    IpFacts::parse(packet.mbuf.data(), true).map(|facts| facts.dst)
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
    for followed in 0..DEPTH_MAX {
        let index = packet.meta.adjacency;
        let Some(adjacency) = tables.adjacencies.get(index as usize) else { break };
        match adjacency {
            Adjacency::Tunnel(encap) => {
                if context.spread {
                    packet.meta.lane = lane(packet, encap);
                }
                // Of what its route led here at once, samples were taken before.
                if followed > 0 || !is_routed_v4(packet, SPECIAL) {
                    samples.take(context, packet, encap);
                }
                return into_tunnel(packet, encap);
            }
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
                match tables.neighbors.find(*interface, destination(packet)?) {
                    Some(neighbor) => packet.meta.adjacency = neighbor,
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

/// Where the order of packets is kept.
#[inline(always)]
fn lane(packet: &Packet, encap: &Template) -> u32 {
    if encap.lane == NONE { packet.flow() } else { encap.lane }
}

fn into_tunnel(packet: &mut Packet, encap: &Template) -> Result<usize, DropReason> {
    if !is_ip(packet) {
        // What the control thread sends to a tunnel peer itself: NHRP, keepalives.
        return Ok(lookup::ENCAP);
    }
    if !age(packet) {
        return Ok(punt(packet, PuntReason::TtlExceeded));
    }
    clamp_mss(packet, encap.mss)?;
    Ok(into(packet, encap))
}

/// Into a tunnel at once if it fits, or in pieces.
#[inline(always)]
fn into(packet: &mut Packet, encap: &Template) -> usize {
    if packet.mbuf.len() <= usize::from(encap.mtu) {
        return lookup::ENCAP;
    }
    packet.meta.mtu = encap.mtu;
    lookup::FRAGMENT
}

fn to_neighbor(packet: &mut Packet, l2: &L2Rewrite) -> Result<usize, DropReason> {
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

/// Whether an IPv4 packet can be a TCP SYN. Fields are looked at where they usually are: of what
/// has options or is a fragment it only matters that no SYN is overlooked.
#[inline(always)]
fn may_be_syn(data: &[u8]) -> bool {
    data.get(9) == Some(&IpProto::TCP.0)
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

#[cfg(test)]
mod tests;
