//! The SAs that the gateway has: the control thread's truth, from which the tables are made.
//!
//! A slot numbers an SA in all tables and on all cores. It is used again only a while after its
//! SA is gone: packets that still carry it have left by then.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aead::{Backend, Key, KeyError};
use dataplane::counters::SaCounters;
use dataplane::engine::stage::SaCommand;
use dataplane::replay::ReplayWindow;
use dataplane::tables::Policy;
use dataplane::tables::sa::{InboundSa, Lifetime, OutboundSa, SaMode};

use crate::config::{AntiReplay, Config, Direction, EspMode, ManualSa, Profile, ProfileId, Spi};

/// How long a slot rests before another SA gets it.
const SLOT_REST: Duration = Duration::from_secs(5);

/// One SA.
#[derive(Debug)]
pub struct Entry {
    /// Its number.
    pub slot: u32,
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
    pub endpoint: Option<(IpAddr, u16)>,
    /// Came over the control socket: a reload leaves it alone.
    pub added: bool,
    key: Key,
    iv_offset: u64,
    expires_tsc: u64,
}

impl Entry {
    /// Where packets of an outbound SA go, and from and to which UDP ports.
    pub fn udp_ports(&self) -> Option<(u16, u16)> {
        let udp = self.manual.udp_encap?;
        let seen = self.endpoint.map(|(_, port)| port);
        Some((udp.local_port.get(), seen.unwrap_or(udp.remote_port.get())))
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

    /// As the cores see it, outbound.
    pub fn outbound(&self) -> Arc<OutboundSa> {
        Arc::new(OutboundSa {
            slot: self.slot,
            spi: self.manual.spi.value(),
            esn: self.replay().0,
            iv_offset: self.iv_offset,
            key: self.key.clone(),
            lifetime: self.lifetime(),
            counters: self.counters.clone(),
        })
    }

    /// As the cores see it, inbound. `selectors` are those of the policies that it serves.
    pub fn inbound(&self, allows_gre: bool, selectors: Policy) -> Arc<InboundSa> {
        Arc::new(InboundSa {
            slot: self.slot,
            spi: self.manual.spi.value(),
            local: self.manual.local,
            remote: self.manual.remote,
            udp: self.manual.udp_encap.is_some(),
            mode: self.mode(),
            esn: self.replay().0,
            window: self.window(),
            profile: self.manual.profile.0,
            allows_gre,
            selectors,
            key: self.key.clone(),
            lifetime: self.lifetime(),
            counters: self.counters.clone(),
        })
    }
}

/// What a change of the SAs asks of the cores, before new tables are published and after.
#[derive(Debug, Default)]
pub struct Changes {
    /// To be installed before tables name them.
    pub install: Vec<SaCommand>,
    /// To be retired after no table names them.
    pub retire: Vec<SaCommand>,
}

impl Changes {
    /// Whether there is anything to do.
    pub fn is_empty(&self) -> bool {
        self.install.is_empty() && self.retire.is_empty()
    }
}

/// A source of numbers and times, so that this module has neither clock nor randomness.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Now.
    pub now: Instant,
    /// The TSC at `now`.
    pub tsc: u64,
    /// Ticks per second.
    pub ticks_per_second: u64,
    /// 64 random bits.
    pub random: u64,
}

/// Why an SA was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// An inbound SA has this SPI already.
    #[error("an inbound SA with SPI {0:#x} exists")]
    SpiInUse(u32),
    /// The peer has an outbound SA of this profile already.
    #[error("an outbound SA of this profile to {0} exists; delete it first")]
    PeerInUse(IpAddr),
    /// The same key under another outbound SA would repeat (key, IV) pairs.
    #[error("another SA uses this key")]
    KeyInUse,
    /// The random number generator failed.
    #[error("no randomness")]
    Random,
    /// The key does not fit the algorithm.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// All SAs.
#[derive(Debug, Default)]
pub struct Sas {
    entries: Vec<Entry>,
    next_slot: u32,
    resting: Vec<(Instant, u32)>,
}

impl Sas {
    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The entry in this slot.
    pub fn by_slot(&mut self, slot: u32) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.slot == slot)
    }

    /// Notes where the peer of an inbound SA was seen, for the SAs to it; says whether that is new.
    pub fn moved(&mut self, slot: u32, endpoint: (IpAddr, u16)) -> bool {
        let Some(inbound) = self.by_slot(slot) else { return false };
        let (profile, remote) = (inbound.manual.profile, inbound.manual.remote);
        let known = Some((remote, inbound.manual.udp_encap.map_or(0, |udp| udp.remote_port.get())));
        let mut moved = false;
        for entry in &mut self.entries {
            let sa = &entry.manual;
            if (sa.profile, sa.remote) == (profile, remote) && sa.udp_encap.is_some() {
                moved |= entry.endpoint.or(known) != Some(endpoint);
                entry.endpoint = Some(endpoint);
            }
        }
        moved
    }

    /// The SA by which packets of `profile` go to `remote`.
    pub fn outbound(&self, profile: ProfileId, remote: IpAddr) -> Option<&Entry> {
        self.entries.iter().find(|entry| {
            let sa = &entry.manual;
            sa.direction == Direction::Out && sa.profile == profile && sa.remote == remote
        })
    }

    /// Makes the configured SAs those of `config`. An SA that stays as it was keeps its slot, its
    /// counters and its window.
    pub fn configure(&mut self, config: &Config, moment: Moment) -> Result<Changes, AddError> {
        let mut changes = Changes::default();
        let wanted = |entry: &Entry| {
            let profile = config.profiles.get(entry.manual.profile.index());
            let same_profile = profile == Some(&entry.profile);
            same_profile && (entry.added || config.sas.contains(&entry.manual))
        };
        let gone: Vec<u32> = self.entries.iter().filter(|e| !wanted(e)).map(|e| e.slot).collect();
        for slot in gone {
            changes.retire.extend(self.remove(slot, moment.now));
        }
        for (index, sa) in (0u64..).zip(&config.sas) {
            if self.entries.iter().any(|entry| entry.manual == *sa) {
                continue;
            }
            let random = moment.random.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let profile = config.profiles[sa.profile.index()].clone();
            let install = self.add(sa.clone(), profile, false, Moment { random, ..moment })?;
            changes.install.push(install);
        }
        Ok(changes)
    }

    /// Adds one SA.
    pub fn add(
        &mut self,
        manual: ManualSa,
        profile: Profile,
        added: bool,
        moment: Moment,
    ) -> Result<SaCommand, AddError> {
        self.check(&manual)?;
        let key = Key::new(manual.algorithm, Backend::detect(), manual.key.octets())?;
        let slot = self.take_slot(moment.now);
        let ticks = |time: Duration| {
            let ticks = time.as_millis() * u128::from(moment.ticks_per_second) / 1000;
            moment.tsc.saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX))
        };
        let entry = Entry {
            slot,
            expires_tsc: profile.lifetime.time.map_or(0, ticks),
            manual,
            profile,
            installed: moment.now,
            counters: Arc::default(),
            expired: false,
            endpoint: None,
            added,
            key,
            // A manual key outlives the process, and its counter with it starts again: a random
            // start of the IVs keeps (key, IV) pairs from repeating (RFC 4106 section 2).
            iv_offset: moment.random,
        };
        let install = match entry.manual.direction {
            Direction::Out => SaCommand::InstallOutbound(entry.outbound()),
            Direction::In => SaCommand::InstallInbound(entry.inbound(false, Policy::default())),
        };
        self.entries.push(entry);
        Ok(install)
    }

    fn check(&self, new: &ManualSa) -> Result<(), AddError> {
        for sa in self.entries.iter().map(|entry| &entry.manual) {
            if sa.key == new.key {
                return Err(AddError::KeyInUse);
            }
            if sa.direction != new.direction {
                continue;
            }
            match new.direction {
                Direction::In if sa.spi == new.spi => {
                    return Err(AddError::SpiInUse(new.spi.value()));
                }
                Direction::Out if (sa.profile, sa.remote) == (new.profile, new.remote) => {
                    return Err(AddError::PeerInUse(new.remote));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Deletes the SAs with this SPI and direction, of this peer if one is named.
    pub fn delete(
        &mut self,
        direction: Direction,
        spi: Spi,
        remote: Option<IpAddr>,
        now: Instant,
    ) -> Vec<SaCommand> {
        let matches = |entry: &&Entry| {
            let sa = &entry.manual;
            (sa.direction, sa.spi) == (direction, spi) && remote.is_none_or(|r| r == sa.remote)
        };
        let slots: Vec<u32> = self.entries.iter().filter(matches).map(|e| e.slot).collect();
        slots.into_iter().filter_map(|slot| self.remove(slot, now)).collect()
    }

    fn remove(&mut self, slot: u32, now: Instant) -> Option<SaCommand> {
        let at = self.entries.iter().position(|entry| entry.slot == slot)?;
        let entry = self.entries.swap_remove(at);
        self.resting.push((now + SLOT_REST, slot));
        Some(match entry.manual.direction {
            Direction::Out => SaCommand::RetireOutbound(slot),
            Direction::In => SaCommand::RetireInbound(slot),
        })
    }

    fn take_slot(&mut self, now: Instant) -> u32 {
        if let Some(at) = self.resting.iter().position(|(until, _)| *until <= now) {
            return self.resting.swap_remove(at).1;
        }
        self.next_slot += 1;
        self.next_slot - 1
    }
}
