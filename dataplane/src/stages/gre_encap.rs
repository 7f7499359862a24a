//! gre_encap: the one rewrite of a packet. Copies the adjacency's template before it and fills
//! what differs from packet to packet: lengths, identification, sequence numbers, checksums, and
//! the ESP padding, so that `esp_seal` only has to seal in place.
//!
//! Owns the sequence counters of the SAs and tunnels whose lane leads here: a counter has one
//! owner, so no two packets can ever get the same (key, IV).

use std::sync::Arc;

use crate::counters::SaCounters;
use crate::drops::DropReason;
use crate::engine::message::Event;
use crate::engine::stage::{
    Context, Outputs, SaCommand, Stage, Verdict, any_undecided, decide_ahead, decide_each,
};
use crate::engine::topology::output::gre_encap;
use crate::packet::{Flags, Layer, NONE, Packet};
use crate::stages::fill::{self, Inner, Sealing, Tail};
use crate::stages::rewrite::halves;
use crate::tables::sa::Lifetime;
use crate::tables::{Adjacency, Encap, FastMap, OutboundSa};
use dpdk::{Mbuf, TxRequest};

/// Adjacencies that stay in the second-level cache with what belongs to them: to fetch costs more
/// there than it saves.
const FEW: usize = 2048;
/// Octets of the outer IPv4 header: templates have no options.
const IP4_LEN: u16 = 20;

/// Steps in which what belongs to a packet is fetched.
const FETCHES: usize = 3;

/// Encapsulates, for IPsec alone and GRE alike.
pub struct GreEncap {
    outbound: Vec<Option<Outbound>>,
    gre_sequences: FastMap<u32, u32>,
    identification: u16,
    /// Distance of identifications: the number of instances, so that no two of them meet.
    stride: u16,
}

/// Run-time state of an outbound SA, apart from what its counters hold: sequence number and octets.
/// One cache line.
#[repr(C, align(64))]
struct Outbound {
    counters: Arc<SaCounters>,
    iv_offset: u64,
    /// It ends when its sequence number, its octets or the clock reach these.
    end: Lifetime,
    sa: Arc<OutboundSa>,
    expired: bool,
}

impl Outbound {
    /// Goes on where the SA's last owner stopped, be it this core or another: no matter how often
    /// an SA is installed, its key sees each IV once.
    fn new(sa: Arc<OutboundSa>) -> Self {
        let mut end = sa.lifetime.or_never();
        end.packets = end.packets.min(last_sequence(&sa));
        let (counters, iv_offset) = (sa.counters.clone(), sa.iv_offset);
        Outbound { counters, iv_offset, end, sa, expired: false }
    }

    /// Whether there is a next sequence number.
    #[inline(always)]
    fn may_send(&self, now: u64) -> bool {
        let counters = &*self.counters;
        counters.sequence.value() < self.end.packets
            && counters.traffic.octets.value() < self.end.octets
            && now < self.end.tsc
    }

    /// The next sequence number and its IV, for a packet of `octets`.
    #[inline(always)]
    fn number(&self, octets: u16) -> Sealing {
        let counters = &*self.counters;
        let sequence = counters.sequence.value().wrapping_add(1);
        counters.traffic.count(octets.into());
        counters.sequence.set(sequence);
        Sealing { sequence, iv: sequence.wrapping_add(self.iv_offset) }
    }

    /// The same, or why there is none. An SA that stopped stays stopped.
    fn next(&mut self, octets: u16, now: u64) -> Result<Sealing, DropReason> {
        if self.may_send(now) { Ok(self.number(octets)) } else { Err(self.stop()) }
    }

    #[cold]
    fn stop(&mut self) -> DropReason {
        // Whatever becomes of the counters and the clock.
        self.end.packets = 0;
        if self.counters.sequence.value() == last_sequence(&self.sa) {
            DropReason::SequenceExhausted
        } else {
            DropReason::SaExpired
        }
    }
}

/// The last sequence number of an SA (RFC 4303 sections 2.2 and 2.2.1).
fn last_sequence(sa: &OutboundSa) -> u64 {
    if sa.esn { u64::MAX } else { u32::MAX.into() }
}

impl GreEncap {
    /// Draws IPv4 identifications from `number` on, `stride` apart.
    pub fn new(number: u16, stride: u16) -> Self {
        let gre_sequences = FastMap::default();
        GreEncap { outbound: Vec::new(), gre_sequences, identification: number, stride }
    }

    /// Fetches what these packets need of their peers and SAs: templates, what those lead to, and
    /// what that leads to.
    fn fetch(&self, context: &Context<'_>, step: usize, packets: &[Packet]) {
        let adjacencies = &context.tables.adjacencies;
        for packet in packets {
            let Some(encap) = template(adjacencies, packet) else { continue };
            if step == 0 {
                encap.prefetch();
                continue;
            }
            let state = self.outbound.get(encap.slot as usize);
            if step == 1 {
                dpdk::prefetch(&encap.sent[context.core]);
                state.into_iter().for_each(dpdk::prefetch);
            } else if let Some(Some(state)) = state {
                dpdk::prefetch(&*state.counters);
            }
        }
    }

    /// Lays out the headers of the usual packets: those with a plain template, nothing wrong, and
    /// room for them. Of all others, [`any`](Self::any) takes care.
    fn usual(&mut self, context: &Context<'_>, packets: &mut [Packet], verdicts: &mut [Verdict]) {
        let adjacencies = &context.tables.adjacencies[..];
        let first = packets.iter().find_map(|packet| template(adjacencies, packet));
        // Most packets that come together are of one kind, and have a loop that needs few
        // registers.
        if first.is_some_and(|encap| encap.slot != NONE) {
            self.plain::<true>(context, packets, verdicts);
            if any_undecided(verdicts) {
                self.plain::<false>(context, packets, verdicts);
            }
        } else {
            self.plain::<false>(context, packets, verdicts);
            if any_undecided(verdicts) {
                self.plain::<true>(context, packets, verdicts);
            }
        }
    }

    /// The same of those whose template has an SA as the parameter says; others are left alone.
    #[inline(never)]
    fn plain<const SEALED: bool>(
        &mut self,
        context: &Context<'_>,
        packets: &mut [Packet],
        verdicts: &mut [Verdict],
    ) {
        let adjacencies = &context.tables.adjacencies[..];
        let lay = |packet: &mut Packet| -> Option<Verdict> {
            let encap = template(adjacencies, packet)?;
            if SEALED != (encap.slot != NONE) {
                return None;
            }
            let inner = Inner::of(packet.mbuf.data());
            if inner.octets < encap.plain_from {
                return None;
            }
            let tail = if SEALED { Tail::of(encap, &inner) } else { Tail::default() };
            let state = if SEALED {
                let state = self.outbound.get(encap.slot as usize)?.as_ref()?;
                Some(state.may_send(context.now).then_some(state)?)
            } else {
                None
            };
            let data = packet.mbuf.grow(encap.len.into(), tail.len)?;
            self.identification = self.identification.wrapping_add(self.stride);
            let id = self.identification;
            let sealing = state.map(|state| state.number(inner.octets)).unwrap_or_default();
            if SEALED {
                tail.write(data, encap, &inner);
            }
            let protocol = packet.meta.ether_type;
            let outer_len = encap.overhead + inner.octets + tail.len;
            let fields = (outer_len, id, protocol);
            fill::plain::<SEALED>(data.first_chunk_mut()?, encap, &inner, fields, sealing);
            let output = laid::<SEALED>(context, packet, encap, (&inner, outer_len, sealing));
            Some(Verdict::output(output))
        };
        decide_each(packets, verdicts, lay);
    }

    #[inline(never)]
    fn any(&mut self, context: &mut Context<'_>, packet: &mut Packet) -> Result<usize, DropReason> {
        match context.tables.adjacencies.get(packet.meta.adjacency as usize) {
            Some(Adjacency::Tunnel(encap)) if encap.slot == NONE => {
                self.lay::<false>(context, packet, encap)
            }
            Some(Adjacency::Tunnel(encap)) => self.lay::<true>(context, packet, encap),
            Some(Adjacency::Drop(reason)) => Err(*reason),
            _ => Err(DropReason::Unresolved),
        }
    }

    /// Lays out the headers of `encap`, which has an SA as the parameter says.
    fn lay<const SEALED: bool>(
        &mut self,
        context: &mut Context<'_>,
        packet: &mut Packet,
        encap: &Encap,
    ) -> Result<usize, DropReason> {
        let inner = Inner::of(packet.mbuf.data());
        let (sealing, tail) = if SEALED {
            (self.number(encap, &inner, context)?, Tail::of(encap, &inner))
        } else {
            (Sealing::default(), Tail::default())
        };
        self.identification = self.identification.wrapping_add(self.stride);
        let data = packet.mbuf.grow(encap.len.into(), tail.len).ok_or(DropReason::NoRoom)?;
        if SEALED {
            tail.write(data, encap, &inner);
        }
        let outer_len = encap.overhead + inner.octets + tail.len;
        self.headers(packet, encap, &inner, sealing)?;
        Ok(laid::<SEALED>(context, packet, encap, (&inner, outer_len, sealing)))
    }

    /// The headers of a packet that has room for them already.
    #[inline(never)]
    fn headers(
        &mut self,
        packet: &mut Packet,
        encap: &Encap,
        inner: &Inner,
        sealing: Sealing,
    ) -> Result<(), DropReason> {
        let front = usize::from(encap.len);
        let flow_label = if encap.outer_v6 { packet.flow_at(front) & 0xf_ffff } else { 0 };
        let id = self.identification;
        let data = packet.mbuf.data_mut().ok_or(DropReason::NoRoom)?;
        encap.write_to(data);
        if encap.gre != 0 {
            let sequence = self.gre_sequence(encap);
            fill::gre(data, encap, packet.meta.ether_type, sequence, inner.octets.into());
        }
        if encap.inner != 0 {
            fill::tunnelled_ip(data, encap, inner, id);
        }
        if encap.esp != 0 {
            fill::esp(data, encap, sealing);
        }
        fill::outer_ip(data, encap, inner, (id, flow_label), encap.tx_checksum);
        if encap.tx_checksum && !request_checksum(&mut packet.mbuf, encap) {
            return Err(DropReason::NoRoom);
        }
        Ok(())
    }

    fn install(&mut self, sa: Arc<OutboundSa>, context: &mut Context<'_>) {
        let slot = sa.slot as usize;
        if self.outbound.len() <= slot {
            self.outbound.resize_with(slot + 1, || None);
        }
        if let Some(old) = self.outbound[slot].replace(Outbound::new(sa)) {
            context.events.push(Event::RetiredOutbound(old.sa));
        }
    }

    /// Sequence number and IV under the SA of a template.
    fn number(
        &mut self,
        encap: &Encap,
        inner: &Inner,
        context: &mut Context<'_>,
    ) -> Result<Sealing, DropReason> {
        let state = self.outbound.get_mut(encap.slot as usize).and_then(Option::as_mut);
        let state = state.ok_or(DropReason::SaGone)?;
        let next = state.next(inner.octets, context.now);
        if next.is_err() && !state.expired {
            state.expired = true;
            context.events.push(Event::Expired { slot: encap.slot, inbound: false });
        }
        next
    }

    fn gre_sequence(&mut self, encap: &Encap) -> u32 {
        if !encap.gre_fields.sequence {
            return 0;
        }
        let next = self.gre_sequences.entry(encap.peer).or_insert(0);
        let sequence = *next;
        *next = next.wrapping_add(1);
        sequence
    }
}

impl Stage for GreEncap {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        let mut state = (self, context);
        out.sort_usual(
            input,
            &mut state,
            |(this, context), packets, verdicts| {
                if context.tables.adjacencies.len() <= FEW {
                    return this.usual(context, packets, verdicts);
                }
                let mut state = (&mut **this, &**context);
                let fetch = |(this, context): &(&mut Self, &_), step, group: &[_]| {
                    this.fetch(context, step, group);
                };
                let usual =
                    |(this, context): &mut (&mut Self, &_), group: &mut _, verdicts: &mut _| {
                        this.usual(context, group, verdicts);
                    };
                decide_ahead(packets, verdicts, &mut state, (FETCHES, fetch), usual);
            },
            |(this, context), packet| this.any(context, packet),
        );
    }

    fn apply(&mut self, command: SaCommand, context: &mut Context<'_>) {
        match command {
            SaCommand::InstallOutbound(sa) => self.install(sa, context),
            SaCommand::RetireOutbound(slot) => {
                if let Some(state) = self.outbound.get_mut(slot as usize).and_then(Option::take) {
                    context.events.push(Event::RetiredOutbound(state.sa));
                }
            }
            SaCommand::InstallInbound(_) | SaCommand::RetireInbound(_) => {}
        }
    }
}

/// The template of a packet that goes into a tunnel.
#[inline(always)]
fn template<'a>(adjacencies: &'a [Adjacency], packet: &Packet) -> Option<&'a Encap> {
    match adjacencies.get(packet.meta.adjacency as usize)? {
        Adjacency::Tunnel(encap) => Some(encap),
        _ => None,
    }
}

/// Notes and counts a packet whose headers are there; says where it goes.
#[inline(always)]
fn laid<const SEALED: bool>(
    context: &Context<'_>,
    packet: &mut Packet,
    encap: &Encap,
    (inner, outer_len, sealing): (&Inner, u16, Sealing),
) -> usize {
    encap.sent[context.core].count(inner.octets.into());
    packet.meta.layer = Layer::Ethernet;
    packet.meta.port = encap.port;
    let fits = outer_len <= encap.path_mtu;
    if !fits {
        packet.meta.mtu = encap.path_mtu;
    }
    if SEALED {
        packet.meta.l4 = u16::from(encap.esp);
        packet.meta.sa = encap.slot;
        (packet.meta.sequence_high, _) = halves(sealing.sequence);
        if !fits {
            packet.meta.flags.set(Flags::OVERSIZE);
        }
        gre_encap::SEAL
    } else if fits {
        gre_encap::TX
    } else {
        gre_encap::FRAGMENT
    }
}

/// Asks the port for the checksum of the outer header. Refused only if the headers were longer than
/// DPDK can say, which no template's are.
fn request_checksum(mbuf: &mut Mbuf, encap: &Encap) -> bool {
    mbuf.request_tx(TxRequest {
        l2_len: encap.ip,
        l3_len: IP4_LEN,
        ipv4_checksum: true,
        vlan_insert: None,
    })
}
