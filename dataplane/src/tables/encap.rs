//! Rewrite templates: the whole outer header of a tunnel peer or SA, built once by the control
//! thread, copied before each packet in one go. GRE in clear, GRE over transport or tunnel ESP,
//! IPsec alone, NAT traversal, IPv4 and IPv6 underlay differ in their template, not in code.
//!
//! ```text
//! Ethernet [VLAN] | IP | [UDP] | [ESP IV] | [inner IP] | [GRE [checksum] [key] [sequence]]
//!                 ^ip           ^esp        ^inner       ^gre
//! ```

use std::mem::offset_of;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use wire::checksum::Sum;
use wire::eth;

use crate::counters::Traffic;

use super::adjacency::{L2_MAX, L2Rewrite};
use super::sa::SaMode;

/// Longest template: VLAN-tagged Ethernet, IPv6, UDP, ESP with IV, IPv6, GRE with all fields.
pub const TEMPLATE_MAX: usize = 18 + 40 + 8 + 16 + 40 + 16;

/// The index of no interface, and above that of any.
pub const NO_INTERFACE: u16 = u16::MAX - 1;

/// What [`Encap::write_plain`] copies at a time.
pub const HALF: usize = 32;
/// Lengths of plain templates: the two copies reach no further.
const PLAIN: Range<u8> = 32..64;
const _: () = assert!(PLAIN.start as usize == HALF && PLAIN.end as usize == 2 * HALF);
/// Octets of the ESP header and the explicit IV of AES-GCM (RFC 4106 section 3).
pub const ESP_IV: usize = 16;
/// Octets of the ICV of AES-GCM.
pub const ICV: usize = 16;
/// Octets of a VLAN tag: one bit.
const TAG_LEN: usize = L2_MAX - eth::HEADER_LEN;
const _: () = assert!(TAG_LEN.is_power_of_two());
/// Octets of pad length and next header.
pub const ESP_TRAILER: usize = 2;

/// The ECN bits of a TOS octet or traffic class.
const ECN: u8 = 0b11;
/// DF in the word of flags and fragment offset of IPv4.
pub const DF: u16 = 0x4000;
/// The first octet of an IPv4 header: version 4, five words.
const VERSION_4: u8 = 0x45;
const PROTO_UDP: u8 = 17;
const PROTO_GRE: u8 = 47;
const PROTO_ESP: u8 = 50;
const PROTO_IP4: u8 = 4;
const PROTO_IP6: u8 = 41;

/// What the outer DF bit is (RFC 4301 section 8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DfPolicy {
    /// The inner packet's; set for IPv6, which no router fragments (RFC 8200 section 4.5).
    #[default]
    Copy,
    /// Always set.
    Set,
    /// Always clear.
    Clear,
}

impl DfPolicy {
    /// DF, if the policy is this one.
    fn flag_if(self, policy: DfPolicy) -> u16 {
        if self == policy { DF } else { 0 }
    }
}

/// What the outer DSCP is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DscpPolicy {
    /// The inner packet's.
    #[default]
    Copy,
    /// This one, 0 to 63.
    Fixed(u8),
}

impl DscpPolicy {
    /// The bits of a TOS octet that are the inner packet's: ECN always, which is the normal mode of
    /// RFC 6040 section 4.1.
    fn copied(self) -> u8 {
        if self == DscpPolicy::Copy { u8::MAX } else { ECN }
    }

    /// The bits that are set.
    fn set(self) -> u8 {
        match self {
            DscpPolicy::Copy => 0,
            DscpPolicy::Fixed(dscp) => dscp << 2,
        }
    }
}

/// The GRE header of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GreSpec {
    /// Key (RFC 2890).
    pub key: Option<u32>,
    /// With checksum (RFC 2784).
    pub checksum: bool,
    /// With sequence numbers (RFC 2890).
    pub sequence: bool,
}

impl GreSpec {
    /// Octets of the header: 4, and 4 for each optional field.
    pub fn len(&self) -> usize {
        4 + 4 * usize::from(self.key.is_some())
            + 4 * usize::from(self.checksum)
            + 4 * usize::from(self.sequence)
    }

    /// Never: a GRE header has at least four octets.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// The ESP part of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EspSpec {
    /// Slot of the outbound SA.
    pub slot: u32,
    /// SPI that the peer chose.
    pub spi: u32,
    /// Transport or tunnel.
    pub mode: SaMode,
    /// UDP source and destination port (RFC 3948).
    pub udp: Option<(u16, u16)>,
}

/// Everything that decides a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncapSpec {
    /// Interface index of the tunnel, or of the underlay port of an IPsec policy.
    pub interface: u16,
    /// Link-layer header of the underlay next hop.
    pub link: L2Rewrite,
    /// Outer source.
    pub local: IpAddr,
    /// Outer destination; of the same family as `local`.
    pub remote: IpAddr,
    /// Ends of the GRE packet in tunnel mode: source and destination of its own header, of the
    /// same family as `local`.
    pub inner: (IpAddr, IpAddr),
    /// Outer TTL or hop limit.
    pub ttl: u8,
    /// Outer DSCP.
    pub dscp: DscpPolicy,
    /// Outer DF.
    pub df: DfPolicy,
    /// Protected.
    pub esp: Option<EspSpec>,
    /// Tunnelled in GRE; none for IPsec alone.
    pub gre: Option<GreSpec>,
    /// Largest inner packet if configured; else what fits `path_mtu`.
    pub mtu: Option<u16>,
    /// Largest outer packet that the path carries.
    pub path_mtu: u16,
    /// Fragment the outer packet after encapsulation instead of the inner one before it.
    pub fragment_after: bool,
    /// TCP MSS of IPv4 to clamp to; `None`: off. Computed from the MTU by [`mss_for`].
    pub clamp_mss: bool,
    /// Interface index of the first tunnel of the tunnel's NHRP network, if peers are told of
    /// shorter ways there; see [`super::tunnel::Tunnel::redirect`].
    pub redirect: Option<u16>,
    /// Ordering domain; `None`: by flow, for tunnels without any sequence.
    pub lane: Option<u32>,
    /// Index of the peer's own adjacency. Templates for one peer, such as a shortcut's, draw from
    /// one GRE sequence, known by this.
    pub peer: u32,
    /// Counters of what is sent, a shard a core.
    pub sent: Arc<[Traffic]>,
}

/// A template, ready to be applied. What most packets need of it lies together, in two cache lines
/// of fields and header.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub struct Encap {
    /// What was sent, a shard a core.
    pub sent: Arc<[Traffic]>,
    /// What the outer IP header begins with, see [`ip_start`]: the bits of the inner one that are
    /// copied,
    pub ip_keep: u64,
    /// and those that are set.
    pub ip_set: u64,
    /// Slot of the outbound SA, or [`crate::packet::NONE`].
    pub slot: u32,
    /// One's complement sum of the outer IPv4 header from its TTL on; see [`Sum`].
    pub ip_sum: Sum,
    /// Largest outer IP packet; bigger ones are fragmented after encapsulation.
    pub path_mtu: u16,
    /// Port to send on.
    pub port: u16,
    /// Octets that the template adds to an outer IP packet: all but the link-layer header.
    pub overhead: u16,
    /// Octets of the smallest inner packet that [`Self::write_plain`] may be used for; more than
    /// any has, unless the template is plain: IPv4, then ESP, GRE with a key at most, or both, of
    /// 32 to 63 octets, so that no field but these differs from packet to packet.
    pub plain_from: u16,
    /// Octets of the template.
    pub len: u8,
    /// Offset of the outer IP header: 14 or 18.
    pub ip: u8,
    /// Offset of the ESP header, or 0.
    pub esp: u8,
    /// Offset of the GRE header, or 0.
    pub gre: u8,
    /// ESP next header; 0: by version of the inner packet.
    pub next_header: u8,
    /// The header; per-packet fields are zero.
    pub template: [u8; TEMPLATE_MAX],
    /// Offset of the UDP header, or 0.
    pub udp: u8,
    /// Offset of the IP header of tunnel-mode GRE, or 0.
    pub inner: u8,
    /// GRE fields.
    pub gre_fields: GreSpec,
    /// Outer header is IPv6.
    pub outer_v6: bool,
    /// The port fills in the checksum of the outer header, which is IPv4.
    pub tx_checksum: bool,
    /// Index of the peer's own adjacency, which the GRE sequence is known by.
    pub peer: u32,
    /// Ordering domain, or [`crate::packet::NONE`]: by flow.
    pub lane: u32,
    /// Largest inner IP packet.
    pub mtu: u16,
    /// TCP MSS to clamp to for IPv4; 20 less for IPv6. 0: off.
    pub mss: u16,
    /// Interface index of the tunnel.
    pub interface: u16,
    /// Interface index of the first tunnel of the NHRP network. Packets that came by it, or by a
    /// later one that turns out to be of the same network, are sampled for a redirect;
    /// [`NO_INTERFACE`]: none.
    pub redirect_from: u16,
}

const _: () = assert!(offset_of!(Encap, template) + 2 * HALF <= 2 * align_of::<Encap>());

/// Octets of IP and TCP headers without options, IPv4.
const TCP_OVERHEAD_V4: u16 = 40;
/// Largest IP packet.
const IP_MAX: u16 = u16::MAX;

/// The first two words of an IPv4 header: version and length, TOS, the flags with the fragment
/// offset, and zero for total length and identification.
#[inline(always)]
pub const fn ip_start(version: u8, tos: u8, flags: u16) -> u64 {
    (version as u64) << 56 | (tos as u64) << 48 | flags as u64
}

/// TCP MSS for an inner MTU, IPv4; IPv6 has 20 less.
pub fn mss_for(mtu: u16) -> u16 {
    mtu.saturating_sub(TCP_OVERHEAD_V4)
}

/// Largest inner packet whose outer packet fits `path_mtu` octets.
pub fn inner_mtu(path_mtu: u16, outer_v6: bool, esp: Option<&EspSpec>, gre_len: usize) -> u16 {
    let ip = ip_len(outer_v6);
    let room = usize::from(path_mtu).saturating_sub(ip);
    let room = match esp {
        None => room.saturating_sub(gre_len),
        Some(esp) => {
            let udp = if esp.udp.is_some() { 8 } else { 0 };
            let inner_ip = if gre_len > 0 && esp.mode == SaMode::Tunnel { ip } else { 0 };
            // Payload, pad and trailer are a multiple of four octets (RFC 4303 section 2.4).
            let sealed = room.saturating_sub(udp + ESP_IV + ICV) & !3;
            sealed.saturating_sub(ESP_TRAILER + inner_ip + gre_len)
        }
    };
    u16::try_from(room).unwrap_or(u16::MAX)
}

fn ip_len(v6: bool) -> usize {
    if v6 { 40 } else { 20 }
}

impl Encap {
    /// Fetches the fields and the header.
    #[inline]
    pub fn prefetch(&self) {
        dpdk::prefetch(self);
        dpdk::prefetch(&self.template[HALF]);
    }

    /// Copies the template to the start of `data`, which is at least as long.
    #[inline]
    pub fn write_to(&self, data: &mut [u8]) {
        let len = usize::from(self.len);
        data[..len].copy_from_slice(&self.template[..len]);
    }

    /// The same for a [plain](Self::plain_from) template: two copies of fixed length, which
    /// overlap, are several times cheaper than one of a length that the compiler does not know.
    #[inline(always)]
    pub fn write_plain(&self, data: &mut [u8; 2 * HALF]) {
        let second = usize::from(self.len) % HALF;
        let (to, from) = (&mut data[second..second + HALF], &self.template[second..second + HALF]);
        to.copy_from_slice(from);
        data[..HALF].copy_from_slice(&self.template[..HALF]);
    }

    /// Where the outer IP header of a [plain](Self::plain_from) template begins, said in a way that
    /// the compiler knows how far it reaches.
    #[inline(always)]
    pub fn plain_ip(&self) -> usize {
        eth::HEADER_LEN + (usize::from(self.ip).wrapping_sub(eth::HEADER_LEN) & TAG_LEN)
    }

    /// Lays the template out. `spec.local` and `spec.remote` must be of one family.
    pub fn new(spec: &EncapSpec) -> Self {
        let outer_v6 = spec.remote.is_ipv6();
        let gre = spec.gre.unwrap_or_default();
        let gre_len = spec.gre.map_or(0, |gre| gre.len());
        let fits = inner_mtu(spec.path_mtu, outer_v6, spec.esp.as_ref(), gre_len);
        let mtu = if spec.fragment_after {
            let largest = inner_mtu(IP_MAX, outer_v6, spec.esp.as_ref(), gre_len);
            spec.mtu.unwrap_or(spec.path_mtu).min(largest)
        } else {
            spec.mtu.unwrap_or(fits).min(fits)
        };
        let mut encap = Encap {
            template: [0; TEMPLATE_MAX],
            ip_sum: Sum::default(),
            overhead: 0,
            plain_from: u16::MAX,
            len: 0,
            ip: 0,
            udp: 0,
            esp: 0,
            inner: 0,
            gre: 0,
            gre_fields: gre,
            outer_v6,
            tx_checksum: spec.link.tx_checksum && !outer_v6,
            next_header: 0,
            slot: spec.esp.map_or(crate::packet::NONE, |esp| esp.slot),
            ip_keep: ip_start(0, spec.dscp.copied(), spec.df.flag_if(DfPolicy::Copy)),
            ip_set: ip_start(VERSION_4, spec.dscp.set(), spec.df.flag_if(DfPolicy::Set)),
            port: spec.link.port,
            interface: spec.interface,
            redirect_from: spec.redirect.unwrap_or(NO_INTERFACE),
            mtu,
            path_mtu: spec.path_mtu,
            // Segments are kept small enough to need no fragments of either kind.
            mss: if spec.clamp_mss { mss_for(mtu.min(fits)) } else { 0 },
            lane: spec.lane.unwrap_or(crate::packet::NONE),
            peer: spec.peer,
            sent: spec.sent.clone(),
        };
        encap.lay_out(spec);
        let fields = [outer_v6, encap.tx_checksum, gre.checksum, gre.sequence];
        let is_plain = !fields.contains(&true)
            && (encap.udp, encap.inner) == (0, 0)
            && PLAIN.contains(&encap.len);
        if is_plain {
            encap.plain_from = (PLAIN.end - encap.len).into();
        }
        encap.overhead = (encap.len - encap.ip).into();
        encap
    }

    fn lay_out(&mut self, spec: &EncapSpec) {
        let l2 = usize::from(spec.link.len);
        self.push(&spec.link.header[..l2]);
        let ether_type = if self.outer_v6 { [0x86, 0xdd] } else { [0x08, 0x00] };
        self.template[l2 - 2..l2].copy_from_slice(&ether_type);
        let outer_protocol = match spec.esp {
            None => PROTO_GRE,
            Some(EspSpec { udp: None, .. }) => PROTO_ESP,
            Some(EspSpec { udp: Some(_), .. }) => PROTO_UDP,
        };
        self.ip = self.push_ip((spec.local, spec.remote), spec.ttl, outer_protocol);
        self.ip_sum = Sum::of(&self.template[usize::from(self.ip) + 8..usize::from(self.len)]);
        if let Some(esp) = &spec.esp {
            if let Some((source, destination)) = esp.udp {
                let mut udp = [0; 8];
                udp[..2].copy_from_slice(&source.to_be_bytes());
                udp[2..4].copy_from_slice(&destination.to_be_bytes());
                self.udp = self.push(&udp);
            }
            let mut header = [0; ESP_IV];
            header[..4].copy_from_slice(&esp.spi.to_be_bytes());
            self.esp = self.push(&header);
            self.next_header = match (spec.gre, esp.mode) {
                (None, _) => 0,
                (Some(_), SaMode::Transport) => PROTO_GRE,
                (Some(_), SaMode::Tunnel) if self.outer_v6 => PROTO_IP6,
                (Some(_), SaMode::Tunnel) => PROTO_IP4,
            };
            if spec.gre.is_some() && esp.mode == SaMode::Tunnel {
                self.inner = self.push_ip(spec.inner, spec.ttl, PROTO_GRE);
            }
        }
        if let Some(gre) = spec.gre {
            self.gre = self.push_gre(gre);
        }
    }

    fn push(&mut self, octets: &[u8]) -> u8 {
        let start = self.len;
        let range = usize::from(start)..usize::from(start) + octets.len();
        self.template[range.clone()].copy_from_slice(octets);
        self.len = u8::try_from(range.end).unwrap_or(u8::MAX);
        start
    }

    fn push_ip(&mut self, ends: (IpAddr, IpAddr), ttl: u8, protocol: u8) -> u8 {
        match ends {
            (IpAddr::V6(local), IpAddr::V6(remote)) => {
                let mut header = [0; 40];
                header[0] = 0x60;
                header[6] = protocol;
                header[7] = ttl;
                header[8..24].copy_from_slice(&local.octets());
                header[24..40].copy_from_slice(&remote.octets());
                self.push(&header)
            }
            (local, remote) => {
                let mut header = [0; 20];
                header[0] = VERSION_4;
                header[8] = ttl;
                header[9] = protocol;
                header[12..16].copy_from_slice(&v4_octets(local));
                header[16..20].copy_from_slice(&v4_octets(remote));
                self.push(&header)
            }
        }
    }

    fn push_gre(&mut self, gre: GreSpec) -> u8 {
        let mut header = [0; 16];
        let mut flags = 0u8;
        let mut at = 4;
        if gre.checksum {
            flags |= 0x80;
            at += 4;
        }
        if let Some(key) = gre.key {
            flags |= 0x20;
            header[at..at + 4].copy_from_slice(&key.to_be_bytes());
            at += 4;
        }
        if gre.sequence {
            flags |= 0x10;
            at += 4;
        }
        header[0] = flags;
        self.push(&header[..at])
    }
}

/// IPv4 octets; an IPv6 address here would be a mix of families, which the control thread refuses
/// before it builds a template.
fn v4_octets(address: IpAddr) -> [u8; 4] {
    match address {
        IpAddr::V4(a) => a.octets(),
        IpAddr::V6(_) => [0; 4],
    }
}

#[cfg(test)]
mod tests;
