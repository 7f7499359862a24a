//! What a device says about a received packet, and what it is asked to do to a sent one.

use dpdk_sys as sys;

use super::Mbuf;

/// What a device found out about a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing: check it.
    Unknown,
    /// It is right.
    Good,
    /// It is wrong.
    Bad,
    /// The field is not right, but the data was checked otherwise (a virtual link).
    None,
}

/// What the device shall do when it sends the packet. The port must have been
/// [granted](crate::Granted) each of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxRequest {
    /// Length of the link header, in octets, at most 127.
    pub l2_len: u8,
    /// Length of the network header, in octets, at most 511.
    pub l3_len: u16,
    /// Fill in the IPv4 header checksum. Its field must be 0.
    pub ipv4_checksum: bool,
    /// Insert a VLAN tag: priority, DEI and id.
    pub vlan_insert: Option<u16>,
}

impl Mbuf {
    /// The checksum of the IPv4 header, where the device looked at it.
    #[inline]
    #[must_use]
    pub fn rx_ip_checksum(&self) -> Checksum {
        match self.first().flags() & sys::SHIM_MBUF_F_RX_IP_CKSUM_MASK {
            0 => Checksum::Unknown,
            sys::SHIM_MBUF_F_RX_IP_CKSUM_GOOD => Checksum::Good,
            sys::SHIM_MBUF_F_RX_IP_CKSUM_BAD => Checksum::Bad,
            _ => Checksum::None,
        }
    }

    /// The checksum of UDP or TCP, where the device looked at it.
    #[inline]
    #[must_use]
    pub fn rx_l4_checksum(&self) -> Checksum {
        match self.first().flags() & sys::SHIM_MBUF_F_RX_L4_CKSUM_MASK {
            0 => Checksum::Unknown,
            sys::SHIM_MBUF_F_RX_L4_CKSUM_GOOD => Checksum::Good,
            sys::SHIM_MBUF_F_RX_L4_CKSUM_BAD => Checksum::Bad,
            _ => Checksum::None,
        }
    }

    /// The flow hash that the device computed.
    #[inline]
    #[must_use]
    pub fn rss_hash(&self) -> Option<u32> {
        let first = self.first();
        (first.flags() & sys::SHIM_MBUF_F_RX_RSS_HASH != 0).then(|| first.rss())
    }

    /// The VLAN tag that the device took off: priority, DEI and id.
    #[inline]
    #[must_use]
    pub fn vlan_stripped(&self) -> Option<u16> {
        let first = self.first();
        (first.flags() & sys::SHIM_MBUF_F_RX_VLAN_STRIPPED != 0).then(|| first.vlan_tci())
    }

    /// Forgets what was received, and asks for this when the packet is sent. `false`, and nothing
    /// asked for, if the headers are longer than DPDK can say, or than the first segment.
    #[inline]
    #[must_use]
    pub fn request_tx(&mut self, request: TxRequest) -> bool {
        let first = self.first();
        let mut flags = first.flags() & OWN;
        let headers = u16::from(request.l2_len) + request.l3_len.min(L3_LEN_MAX + 1);
        if request.l2_len > L2_LEN_MAX || request.l3_len > L3_LEN_MAX || headers > first.data_len()
        {
            first.set_flags(flags);
            return false;
        }
        if request.ipv4_checksum {
            flags |= sys::SHIM_MBUF_F_TX_IPV4 | sys::SHIM_MBUF_F_TX_IP_CKSUM;
        }
        if let Some(tag) = request.vlan_insert {
            flags |= sys::SHIM_MBUF_F_TX_VLAN;
            first.set_vlan_tci(tag);
        }
        first.set_tx_offload(
            u64::from(request.l2_len) | u64::from(request.l3_len) << sys::SHIM_MBUF_L3_LEN_SHIFT,
        );
        first.set_flags(flags);
        true
    }

    /// Forgets what was received and what was asked for: for a packet whose headers were taken
    /// off, so that they no longer describe it.
    #[inline]
    pub fn clear_offloads(&mut self) {
        let first = self.first();
        first.set_flags(first.flags() & OWN);
    }

    pub(super) fn copy_facts_of(&mut self, other: &Self) {
        let (to, from) = (self.first(), other.first());
        to.set_port(from.port());
        to.set_vlan_tci(from.vlan_tci());
        to.set_rss(from.rss());
        to.set_flags(to.flags() & OWN | from.flags() & RX_FACTS);
    }
}

/// The flags that say whose the buffer is.
const OWN: u64 = sys::SHIM_MBUF_F_INDIRECT | sys::SHIM_MBUF_F_EXTERNAL;

/// The flags behind the facts above.
const RX_FACTS: u64 = sys::SHIM_MBUF_F_RX_IP_CKSUM_MASK
    | sys::SHIM_MBUF_F_RX_L4_CKSUM_MASK
    | sys::SHIM_MBUF_F_RX_RSS_HASH
    | sys::SHIM_MBUF_F_RX_VLAN_STRIPPED;

const L2_LEN_MAX: u8 = 127;
const L3_LEN_MAX: u16 = 511;
