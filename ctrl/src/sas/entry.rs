//! One SA, as the control thread knows it and as the cores see it.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Instant;

use aead::Key;
use dataplane::counters::SaCounters;
use dataplane::replay::ReplayWindow;
use dataplane::tables::sa::{InboundSa, Lifetime, OutboundSa, SaMode};
use dataplane::tables::{DeviceKey, Policy};
use nhrp::Path;

use super::{Endpoint, Peer};
use crate::config::{AntiReplay, EspMode, ManualSa, Profile};

/// One SA.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its number.
    pub slot: u32,
    /// Its peer, as tunnels know it: the first of an address by the address alone, which is how
    /// configurations name it; any other, behind the same NAT, by its UDP port as well.
    pub path: Path,
    /// What it was made of; the key in it prints nothing.
    pub manual: ManualSa,
    /// The profile as it was when the SA was made.
    pub profile: Profile,
    /// When it was made.
    pub installed: Instant,
    /// What the cores count.
    pub counters: Arc<SaCounters>,
    /// A core has said that its lifetime is over.
    pub expired: bool,
    /// Where the peer behind a NAT was last seen: address and UDP port.
    pub endpoint: Option<Endpoint>,
    /// Came over the control socket: it stays at a reload, as long as its profile does.
    pub added: bool,
    pub(super) key: Key,
    /// Kept here as well, so that the device's memory of it is wiped on this thread.
    pub(super) device_key: Option<DeviceKey>,
    pub(super) iv_offset: u64,
    pub(super) expires_tsc: u64,
}

impl Entry {
    /// Where packets of an outbound SA go, and from and to which UDP ports.
    pub fn udp_ports(&self) -> Option<(u16, u16)> {
        let udp = self.manual.udp_encap?;
        let seen = self.endpoint.map(|(_, port)| port);
        Some((udp.local_port.get(), seen.unwrap_or(udp.remote_port.get())))
    }

    /// Whether its peer is seen elsewhere than where it is configured: it is behind a NAT.
    pub fn has_moved(&self) -> bool {
        self.endpoint.is_some() && self.endpoint != self.configured()
    }

    /// Where its peer is by the configuration; none if not under UDP.
    pub(super) fn configured(&self) -> Option<Endpoint> {
        self.manual.udp_encap.map(|udp| (self.manual.remote, udp.remote_port.get()))
    }

    /// The address that its peer is at.
    pub fn peer_address(&self) -> IpAddr {
        self.endpoint.map_or(self.manual.remote, |(address, _)| address)
    }

    /// Whether the crypto device does its work.
    pub fn uses_device(&self) -> bool {
        self.device_key.is_some()
    }

    pub(super) fn peer(&self) -> Peer {
        (self.manual.profile, self.path)
    }

    fn mode(&self) -> SaMode {
        match self.profile.mode {
            EspMode::Transport => SaMode::Transport,
            EspMode::Tunnel => SaMode::Tunnel,
        }
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime {
            packets: self.profile.lifetime.packets.map_or(0, |n| n.get()),
            octets: self.profile.lifetime.octets.map_or(0, |n| n.get()),
            tsc: self.expires_tsc,
        }
    }

    /// Whether sequence numbers are extended, and the window in packets; 0: replays are accepted.
    pub fn replay(&self) -> (bool, u32) {
        match self.profile.replay {
            AntiReplay::Extended(window) => (true, window.packets()),
            AntiReplay::Short(window) => (false, window.map_or(0, |w| w.packets())),
        }
    }

    fn window(&self) -> ReplayWindow {
        let (esn, size) = self.replay();
        // The configuration admits only sizes that there are; 0 has no window.
        ReplayWindow::new(size, esn).unwrap_or_else(|_| ReplayWindow::off())
    }

    /// Whether `sa` was made of it, as it is: nothing else but the number of the profile changes
    /// while an SA lives, and no two have the same counters.
    pub fn has_made(&self, sa: &InboundSa) -> bool {
        Arc::ptr_eq(&sa.counters, &self.counters) && sa.profile == self.manual.profile.0
    }

    /// As the cores see it, outbound.
    pub fn outbound(&self) -> Arc<OutboundSa> {
        Arc::new(OutboundSa {
            slot: self.slot,
            spi: self.manual.spi.value(),
            esn: self.replay().0,
            iv_offset: self.iv_offset,
            key: self.key.clone(),
            device_key: self.device_key.clone(),
            lifetime: self.lifetime(),
            counters: self.counters.clone(),
        })
    }

    /// As the cores see it, inbound. `selectors` are those of the policies that it serves.
    pub fn inbound(&self, allows_gre: bool, selectors: Policy) -> Arc<InboundSa> {
        Arc::new(InboundSa {
            slot: self.slot,
            spi: self.manual.spi.value(),
            local: self.manual.local.into(),
            remote: self.path.nbma.into(),
            peer_port: self.path.port.map_or(0, NonZeroU16::get),
            udp: self.manual.udp_encap.is_some(),
            mode: self.mode(),
            esn: self.replay().0,
            window: self.window(),
            profile: self.manual.profile.0,
            allows_gre,
            selectors,
            key: self.key.clone(),
            device_key: self.device_key.clone(),
            lifetime: self.lifetime(),
            counters: self.counters.clone(),
        })
    }
}
