//! The SAs that the gateway has: the control thread's truth, from which the tables are made.
//!
//! A slot numbers an SA in all tables and on all cores. It is used again only a while after its
//! SA is gone: packets that still carry it have left by then.

mod entry;

use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aead::{Backend, Key, KeyError};
use dataplane::engine::stage::SaCommand;
use dataplane::tables::{DeviceKey, FastMap, Policy};
use dpdk::crypto::{self, CryptoDevice};
use nhrp::Path;

use crate::config::{AntiReplay, Config, Direction, ManualSa, Profile, ProfileId, Spi};

pub use entry::Entry;

/// How long a slot rests before another SA gets it.
const SLOT_REST: Duration = Duration::from_secs(5);

/// What tells SAs apart in a configuration.
type Identity = (Direction, ProfileId, IpAddr, Spi);
/// A peer as tunnels know it.
type Peer = (ProfileId, Path);
/// A peer as the operator names it.
type Named = (ProfileId, IpAddr, Option<NonZeroU16>);
/// Address and UDP port of a peer behind a NAT.
type Endpoint = (IpAddr, u16);

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
#[derive(Debug, Clone, Default)]
pub struct Sas {
    by_slot: Vec<Option<Entry>>,
    /// Slots of inbound SAs.
    by_spi: HashMap<Spi, u32>,
    /// Slots of outbound SAs.
    by_peer: FastMap<Peer, u32>,
    /// Slots of all SAs of an address.
    by_address: HashMap<(ProfileId, IpAddr), Vec<u32>>,
    /// Hashes of all keys, by a hash that nobody outside can predict: that two keys have the same
    /// one is as likely as to guess half of an AES-128 key, and would only refuse an SA.
    keys: HashSet<u64>,
    hasher: RandomState,
    next_slot: u32,
    /// Slots of SAs that are gone, and when they may be used again; the oldest first.
    resting: VecDeque<(Instant, u32)>,
    /// What does the AEAD, if it is not software.
    device: Option<CryptoDevice>,
}

impl Sas {
    /// None yet; those to come are given to this device.
    pub fn new(device: Option<CryptoDevice>) -> Self {
        Sas { device, ..Sas::default() }
    }

    /// All entries, by slot.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.by_slot.iter().flatten()
    }

    /// The entry in this slot.
    pub fn by_slot(&mut self, slot: u32) -> Option<&mut Entry> {
        self.by_slot.get_mut(slot as usize)?.as_mut()
    }

    fn at(&self, slot: u32) -> Option<&Entry> {
        self.by_slot.get(slot as usize)?.as_ref()
    }

    /// Notes where the peer of an inbound SA was seen, for the SA to it; says whether that is new.
    pub fn moved(&mut self, slot: u32, endpoint: Endpoint) -> bool {
        let inbound = self.at(slot).filter(|e| e.manual.direction == Direction::In);
        let Some(inbound) = inbound else { return false };
        let outbound = self.by_peer.get(&inbound.peer()).copied();
        let mut moved = false;
        for slot in [Some(slot), outbound].into_iter().flatten() {
            let Some(entry) = self.by_slot(slot) else { continue };
            let Some(configured) = entry.configured() else { continue };
            moved |= entry.endpoint.unwrap_or(configured) != endpoint;
            entry.endpoint = Some(endpoint);
        }
        moved
    }

    /// The SA by which packets of `profile` go to `peer`.
    pub fn outbound(&self, profile: ProfileId, peer: Path) -> Option<&Entry> {
        self.at(*self.by_peer.get(&(profile, peer))?)
    }

    /// The SAs of a profile with a peer, both ways.
    pub fn with(&self, profile: ProfileId, peer: Path) -> impl Iterator<Item = &Entry> {
        self.of_address(profile, peer.nbma).filter(move |entry| entry.path == peer)
    }

    /// Who is at an address, by the SAs of the profile that protects a tunnel: several, if they are
    /// behind one NAT. Without an SA, the address says all.
    pub fn peers_at(&self, profile: Option<ProfileId>, address: IpAddr) -> BTreeSet<Path> {
        let peers = self.by_peer.iter().filter(|((of, _), _)| Some(*of) == profile);
        let at = |slot: &u32| self.at(*slot).map(Entry::peer_address);
        let peers = peers.filter(|(_, slot)| at(slot) == Some(address));
        let peers: BTreeSet<Path> = peers.map(|((_, path), _)| *path).collect();
        if peers.is_empty() { [address.into()].into() } else { peers }
    }

    /// Makes the configured SAs those of `config`. An SA that stays as it was keeps its slot, its
    /// counters and its window. One that came over the control socket stays too, is made anew if
    /// its profile has changed, and goes if the profile is gone or does not allow its algorithm.
    ///
    /// # Errors
    /// An SA of `config` cannot be together with one that was added. Nothing has changed then.
    pub fn configure(&mut self, config: &Config, moment: Moment) -> Result<Changes, AddError> {
        let mut next = self.clone();
        let changes = next.follow(config, moment)?;
        *self = next;
        Ok(changes)
    }

    fn follow(&mut self, config: &Config, moment: Moment) -> Result<Changes, AddError> {
        let names = config.profiles.iter().map(|profile| profile.name.as_str());
        let profiles: HashMap<&str, ProfileId> = names.zip((0..).map(ProfileId)).collect();
        let wanted: HashMap<Identity, &ManualSa> =
            config.sas.iter().map(|sa| (identity(sa), sa)).collect();
        let (mut gone, mut endpoints, mut again) = (Vec::new(), HashMap::new(), Vec::new());
        let Sas { hasher, next_slot, resting, by_slot, device, .. } = std::mem::take(self);
        *self = Sas { hasher, next_slot, resting, device, ..Sas::default() };
        for mut entry in by_slot.into_iter().flatten() {
            // The profile may have another number now.
            let profile = profiles.get(entry.profile.name.as_str()).copied();
            entry.manual.profile = profile.unwrap_or(entry.manual.profile);
            let settings = profile.map(|profile| &config.profiles[profile.index()]);
            let is_configured = wanted.get(&identity(&entry.manual)) == Some(&&entry.manual);
            endpoints.extend(entry.endpoint.map(|endpoint| (named(&entry.manual), endpoint)));
            if settings == Some(&entry.profile) && (is_configured || entry.added) {
                entry.added &= !is_configured;
                self.insert(entry);
                continue;
            }
            gone.push((entry.slot, entry.manual.direction));
            let algorithm = entry.manual.algorithm;
            if entry.added
                && !is_configured
                && settings.is_some_and(|profile| profile.esp.contains(&algorithm))
            {
                again.push((entry.manual, true));
            }
        }
        let new = config.sas.iter().filter(|sa| !self.has(sa)).map(|sa| (sa.clone(), false));
        let new: Vec<(ManualSa, bool)> = new.chain(again).collect();
        let mut changes = Changes::default();
        changes.retire.extend(gone.into_iter().map(|sa| self.retire(sa, moment.now)));
        for ((sa, added), index) in new.into_iter().zip(0u64..) {
            let random = moment.random.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let profile = config.profiles[sa.profile.index()].clone();
            let seen = endpoints.get(&named(&sa)).copied();
            let moment = Moment { random, ..moment };
            changes.install.push(self.make((sa, profile), added, seen, moment)?);
        }
        Ok(changes)
    }

    /// Adds one SA.
    ///
    /// # Errors
    /// It cannot be together with another one. Nothing has changed then.
    pub fn add(
        &mut self,
        manual: ManualSa,
        profile: Profile,
        added: bool,
        moment: Moment,
    ) -> Result<SaCommand, AddError> {
        let of_peer =
            self.namesakes(&manual).filter(|entry| named(&entry.manual) == named(&manual));
        let seen = of_peer.filter_map(|entry| entry.endpoint).next();
        self.make((manual, profile), added, seen, moment)
    }

    /// Makes one SA. `seen` is where its peer was seen, if it is behind a NAT.
    fn make(
        &mut self,
        (manual, profile): (ManualSa, Profile),
        added: bool,
        seen: Option<Endpoint>,
        moment: Moment,
    ) -> Result<SaCommand, AddError> {
        self.check(&manual)?;
        let key = Key::new(manual.algorithm, Backend::detect(), manual.key.octets())?;
        let device_key = self.device_key(&manual, &profile);
        let slot = self.take_slot(moment.now);
        let ticks = |time: Duration| {
            let ticks = time.as_millis() * u128::from(moment.ticks_per_second) / 1000;
            moment.tsc.saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX))
        };
        let entry = Entry {
            slot,
            path: self.path_of(&manual),
            expires_tsc: profile.lifetime.time.map_or(0, ticks),
            // What an inbound SA has not seen itself, it has still to report.
            endpoint: seen
                .filter(|_| manual.direction == Direction::Out && manual.udp_encap.is_some()),
            manual,
            profile,
            installed: moment.now,
            counters: Arc::default(),
            expired: false,
            added,
            key,
            device_key,
            // A manual key outlives the process, and its counter with it starts again: a random
            // start of the IVs keeps (key, IV) pairs from repeating (RFC 4106 section 2).
            iv_offset: moment.random,
        };
        let install = match entry.manual.direction {
            Direction::Out => SaCommand::InstallOutbound(entry.outbound()),
            Direction::In => SaCommand::InstallInbound(entry.inbound(false, Policy::default())),
        };
        self.insert(entry);
        Ok(install)
    }

    /// The SAs whose peer has the same address.
    fn namesakes(&self, sa: &ManualSa) -> impl Iterator<Item = &Entry> {
        self.of_address(sa.profile, sa.remote)
    }

    /// The SAs whose peer has this address by the configuration.
    fn of_address(&self, profile: ProfileId, address: IpAddr) -> impl Iterator<Item = &Entry> {
        let slots = self.by_address.get(&(profile, address)).into_iter().flatten();
        slots.filter_map(|slot| self.at(*slot))
    }

    /// The peer of an SA: see [`Entry::path`].
    fn path_of(&self, sa: &ManualSa) -> Path {
        let mut others = self.namesakes(sa);
        if let Some(same) = others.find(|entry| named(&entry.manual) == named(sa)) {
            return same.path;
        }
        let is_first = self.namesakes(sa).all(|entry| entry.path.port.is_some());
        let (_, nbma, port) = named(sa);
        Path { nbma, port: port.filter(|_| !is_first) }
    }

    /// The SA's key in the device; none without one, or if it has no room for more: software does
    /// the work then.
    fn device_key(&self, sa: &ManualSa, profile: &Profile) -> Option<DeviceKey> {
        let device = self.device.as_ref()?;
        let direction = match sa.direction {
            Direction::Out => crypto::Direction::Encrypt,
            Direction::In => crypto::Direction::Decrypt,
        };
        let esn = matches!(profile.replay, AntiReplay::Extended(_));
        DeviceKey::new(device, direction, sa.key.octets(), esn)
            .inspect_err(|error| {
                let spi = sa.spi.value();
                log::warn!("SA {spi:#x}, {}: software does its AEAD: {error}", sa.remote);
            })
            .ok()
    }

    fn check(&self, new: &ManualSa) -> Result<(), AddError> {
        if self.keys.contains(&self.key_hash(new)) {
            return Err(AddError::KeyInUse);
        }
        match new.direction {
            Direction::In if self.by_spi.contains_key(&new.spi) => {
                Err(AddError::SpiInUse(new.spi.value()))
            }
            Direction::Out if self.by_peer.contains_key(&(new.profile, self.path_of(new))) => {
                Err(AddError::PeerInUse(new.remote))
            }
            Direction::In | Direction::Out => Ok(()),
        }
    }

    /// Of the key without its salt: whoever shares a key is refused, whatever the salts.
    fn key_hash(&self, sa: &ManualSa) -> u64 {
        self.hasher.hash_one(sa.key.key())
    }

    fn has(&self, sa: &ManualSa) -> bool {
        let slot = match sa.direction {
            Direction::In => self.by_spi.get(&sa.spi),
            Direction::Out => self.by_peer.get(&(sa.profile, self.path_of(sa))),
        };
        slot.and_then(|slot| self.at(*slot)).is_some_and(|entry| entry.manual == *sa)
    }

    fn insert(&mut self, entry: Entry) {
        self.keys.insert(self.key_hash(&entry.manual));
        match entry.manual.direction {
            Direction::In => self.by_spi.insert(entry.manual.spi, entry.slot),
            Direction::Out => self.by_peer.insert(entry.peer(), entry.slot),
        };
        let of_address = (entry.manual.profile, entry.manual.remote);
        self.by_address.entry(of_address).or_default().push(entry.slot);
        let slot = entry.slot as usize;
        if self.by_slot.len() <= slot {
            self.by_slot.resize_with(slot + 1, || None);
        }
        self.by_slot[slot] = Some(entry);
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
        let slots: Vec<u32> = self.iter().filter(matches).map(|entry| entry.slot).collect();
        slots.into_iter().filter_map(|slot| self.remove(slot, now)).collect()
    }

    fn remove(&mut self, slot: u32, now: Instant) -> Option<SaCommand> {
        let entry = self.by_slot.get_mut(slot as usize)?.take()?;
        self.keys.remove(&self.key_hash(&entry.manual));
        match entry.manual.direction {
            Direction::In => self.by_spi.remove(&entry.manual.spi),
            Direction::Out => self.by_peer.remove(&entry.peer()),
        };
        let of_address = (entry.manual.profile, entry.manual.remote);
        if let Some(slots) = self.by_address.get_mut(&of_address) {
            slots.retain(|other| *other != slot);
            if slots.is_empty() {
                self.by_address.remove(&of_address);
            }
        }
        Some(self.retire((slot, entry.manual.direction), now))
    }

    fn retire(&mut self, (slot, direction): (u32, Direction), now: Instant) -> SaCommand {
        self.resting.push_back((now + SLOT_REST, slot));
        match direction {
            Direction::Out => SaCommand::RetireOutbound(slot),
            Direction::In => SaCommand::RetireInbound(slot),
        }
    }

    fn take_slot(&mut self, now: Instant) -> u32 {
        match self.resting.front() {
            Some(&(until, slot)) if until <= now => {
                self.resting.pop_front();
                slot
            }
            _ => {
                self.next_slot += 1;
                self.next_slot - 1
            }
        }
    }
}

fn identity(sa: &ManualSa) -> Identity {
    (sa.direction, sa.profile, sa.remote, sa.spi)
}

fn named(sa: &ManualSa) -> Named {
    (sa.profile, sa.remote, sa.udp_encap.map(|udp| udp.remote_port))
}

#[cfg(test)]
mod tests;
