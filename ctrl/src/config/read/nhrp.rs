//! `[tunnel.nhrp]`.

use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use crate::config::reader::{Complaint, Item, Section};
use crate::config::scalar;
use crate::config::{Multicast, Nhrp, NhrpMap, Nhs};

/// What Cisco and FRR use.
const HOLDTIME: Duration = Duration::from_secs(600);
/// As long as its field of the packet allows, which is in seconds.
const HOLDTIME_MAX: Duration = Duration::from_secs(65_535);
/// A shorter one could not be renewed in time.
const HOLDTIME_MIN: Duration = Duration::from_secs(3);

/// What `[tunnel.nhrp]` has.
pub(super) struct Read {
    pub(super) map: Vec<NhrpMap>,
    pub(super) multicast: Multicast,
    pub(super) nhrp: Nhrp,
    /// The first underlay address, which decides on the family.
    pub(super) first_nbma: Option<IpAddr>,
}

pub(super) fn read(section: Section<'_>) -> Option<Read> {
    let map = list(&section, "map", |entry| {
        let [protocol, nbma] = ["protocol", "nbma"].map(|key| address(entry.require(key)));
        Some(NhrpMap { protocol: protocol?, nbma: nbma? })
    });
    let nhs = list(&section, "nhs", |entry| {
        let host = entry.require("nbma").and_then(|item| item.parse(scalar::host));
        let protocol = entry.take("protocol").map(|item| item.parse(scalar::unicast));
        let [priority, group] =
            ["priority", "group"].map(|key| entry.or_default(key, 0, |item| item.integer(0..=255)));
        // One that is there and wrong was reported.
        let protocol = protocol.map_or(Some(None), |protocol| protocol.map(Some))?;
        Some(Nhs { host: host?, protocol, priority, group })
    });
    let multicast = match section.take("multicast") {
        Some(item) => read_multicast(&item),
        None => Some(Multicast::Off),
    };
    let network_id = section.take("network_id").and_then(|item| item.integer(1..=u32::MAX));
    let authentication = section.take("authentication").map(|item| item.parse(password));
    let holdtime =
        section.or_default("holdtime", HOLDTIME, |item| item.duration(HOLDTIME_MIN..=HOLDTIME_MAX));
    let registration =
        section.take("registration").map(|item| item.duration(Duration::from_secs(1)..=holdtime));
    let active = section.take("active").map(|item| item.integer(1..=255));
    let unique = section.or_default("unique", true, Item::boolean);
    let [redirect, shortcut] =
        ["redirect", "shortcut"].map(|key| section.or_default(key, false, Item::boolean));
    section.finish();

    let (map, nhs, multicast) = (map?, nhs?, multicast?);
    let authentication = authentication.map_or(Some(None), |password| password.map(Some))?;
    let registration = registration.map_or(Some(None), |interval| interval.map(Some))?;
    let active = active.map_or(Some(None), |active| active.map(NonZeroU8::new))?;
    let listed = match &multicast {
        Multicast::Peers(peers) => peers.first().copied(),
        Multicast::Off | Multicast::EveryPeer | Multicast::Servers => None,
    };
    let mapped = map.first().map(|entry| entry.nbma);
    let server = nhs.iter().find_map(|server| server.host.address());
    let first_nbma = mapped.or(server).or(listed);
    let nhrp = Nhrp {
        network_id: network_id.and_then(NonZeroU32::new),
        authentication,
        holdtime,
        registration,
        unique,
        nhs,
        active,
        redirect,
        shortcut,
    };
    Some(Read { map, multicast, nhrp, first_nbma })
}

/// The tables of a list; none if one of them is wrong, which was reported.
fn list<T>(
    section: &Section<'_>,
    key: &'static str,
    read: impl Fn(&Section<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let items = section.take(key);
    let entries = items.iter().flat_map(Item::list).map(|item| {
        let entry = item.table()?;
        let read = read(&entry);
        entry.finish();
        read
    });
    // All are read, so that each mistake is reported.
    entries.collect::<Vec<Option<T>>>().into_iter().collect()
}

fn address(item: Option<Item<'_>>) -> Option<IpAddr> {
    item.and_then(|item| item.parse(scalar::unicast))
}

/// The complaint does not repeat it.
fn password(text: &str) -> Result<nhrp::Secret, Complaint> {
    nhrp::Secret::new(text.as_bytes()).map_err(|error| error.to_string().into())
}

fn read_multicast(item: &Item<'_>) -> Option<Multicast> {
    if !item.is_list() {
        let to_servers = item.choice(&[("dynamic", false), ("nhs", true)])?;
        return Some(if to_servers { Multicast::Servers } else { Multicast::EveryPeer });
    }
    let mut peers = Vec::new();
    let mut is_whole = true;
    for element in item.list() {
        match element.parse(scalar::unicast) {
            Some(nbma) if peers.contains(&nbma) => {
                element.error::<()>(format!("{nbma} is there twice"));
            }
            Some(nbma) => peers.push(nbma),
            None => is_whole = false,
        }
    }
    if is_whole && peers.is_empty() {
        return item.error("the list has no address; without the key no peer gets multicast");
    }
    is_whole.then_some(Multicast::Peers(peers))
}
