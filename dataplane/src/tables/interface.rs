//! Logical interfaces: ports, VLAN sub-interfaces of ports, and tunnels, in one index space.

use wire::mac::MacAddr;

use super::FastMap;
use crate::addr::Addr;

/// On which side of the gateway an interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Carries tunnelled packets between NBMA addresses.
    Underlay,
    /// Carries the packets of hosts.
    Overlay,
}

/// One logical interface on a port.
#[derive(Debug, Clone)]
pub struct Interface {
    /// Index in [`Interfaces`].
    pub index: u16,
    /// Port it is on.
    pub port: u16,
    /// VLAN identifier of a sub-interface.
    pub vlan: Option<u16>,
    /// Its side.
    pub role: Role,
    /// Its MAC address.
    pub mac: MacAddr,
    /// Largest IP packet it carries, in octets.
    pub mtu: u16,
    /// Own IPv4 addresses, as big-endian bits.
    pub addresses_v4: Vec<u32>,
    /// Own IPv6 addresses.
    pub addresses_v6: Vec<u128>,
    /// The port fills in IPv4 header checksums when it is asked to.
    pub tx_checksum: bool,
    /// Policy (index into `Tables::policies`) for cleartext that is not addressed to us.
    pub policy: Option<u32>,
}

/// All interfaces, found by port and VLAN.
#[derive(Debug, Default, Clone)]
pub struct Interfaces {
    list: Vec<Interface>,
    ports: Vec<PortInterfaces>,
    /// Our underlay addresses.
    underlay_locals: Vec<Addr>,
    /// Bit `i` is set if the filter bit of one of them is `i`.
    underlay_filter: u64,
}

#[derive(Debug, Default, Clone)]
struct PortInterfaces {
    untagged: Option<u16>,
    tagged: FastMap<u16, u16>,
}

impl Interfaces {
    /// Builds the look-up; the position of an interface in `list` is its index.
    pub fn new(list: Vec<Interface>) -> Self {
        let mut interfaces = Interfaces::default();
        for interface in &list {
            let port = usize::from(interface.port);
            if interfaces.ports.len() <= port {
                interfaces.ports.resize_with(port + 1, PortInterfaces::default);
            }
            match interface.vlan {
                None => interfaces.ports[port].untagged = Some(interface.index),
                Some(vlan) => {
                    interfaces.ports[port].tagged.insert(vlan, interface.index);
                }
            }
            if interface.role == Role::Underlay {
                let v4 = interface.addresses_v4.iter().map(|bits| Addr::v4(*bits));
                let v6 = interface.addresses_v6.iter().map(|bits| Addr::v6(*bits));
                interfaces.underlay_locals.extend(v4.chain(v6));
            }
        }
        interfaces.underlay_filter =
            interfaces.underlay_locals.iter().fold(0, |filter, a| filter | filter_bit(*a));
        interfaces.list = list;
        interfaces
    }

    /// The interface that frames of `port` with this tag belong to.
    #[inline]
    pub fn find(&self, port: u16, vlan: Option<u16>) -> Option<&Interface> {
        let port = self.ports.get(usize::from(port))?;
        let index = match vlan {
            None => port.untagged?,
            Some(vlan) => *port.tagged.get(&vlan)?,
        };
        self.get(index)
    }

    /// The interface of this index; none for tunnels, which have no port.
    #[inline]
    pub fn get(&self, index: u16) -> Option<&Interface> {
        self.list.get(usize::from(index))
    }

    /// All of them, in order of index.
    pub fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.list.iter()
    }

    /// Whether `address` is one of our underlay (NBMA) addresses.
    #[inline(always)]
    pub fn is_underlay_local(&self, address: Addr) -> bool {
        self.underlay_locals().contain(address)
    }

    /// Our underlay addresses, to look for many others among them.
    #[inline(always)]
    pub fn underlay_locals(&self) -> Locals<'_> {
        Locals { filter: self.underlay_filter, list: &self.underlay_locals }
    }
}

/// Addresses of our own, of which there are few.
#[derive(Debug, Clone, Copy)]
pub struct Locals<'a> {
    filter: u64,
    list: &'a [Addr],
}

impl Locals<'_> {
    /// Whether `address` is one of them. Of those that are not, most are told by one bit.
    #[inline(always)]
    pub fn contain(self, address: Addr) -> bool {
        self.filter & filter_bit(address) != 0 && self.list_has(address)
    }

    #[cold]
    #[inline(never)]
    fn list_has(self, address: Addr) -> bool {
        self.list.contains(&address)
    }
}

/// By the end of the address, where those of neighbours differ.
#[inline(always)]
fn filter_bit(address: Addr) -> u64 {
    1 << (address.v4_bits().wrapping_mul(0x9e37_79b1) >> 26)
}
