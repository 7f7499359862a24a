use std::num::NonZeroU64;
use std::path::Path;

use dataplane::tables::SaTable;
use dataplane::tables::sa::Lifetime;
use zeroize::Zeroizing;

use super::*;
use crate::config::KeyMaterial;

const TICKS: u64 = 2_000_000_000;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A gateway with the profiles "corp" and "other", in this order unless swapped, and these SAs:
/// (profile, direction, last octet of the peer, SPI, name of the key).
struct Text<'a> {
    profiles: &'a [(&'a str, &'a str)],
    sas: &'a [(&'a str, &'a str, u8, u32, &'a str)],
}

const PROFILES: &[(&str, &str)] = &[("corp", ""), ("other", "")];

fn config(text: &Text<'_>) -> Config {
    let mut toml = "[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\nrole = \"underlay\"\n\
         addresses = [\"198.51.100.1/24\"]\n"
        .to_owned();
    for (name, more) in text.profiles {
        toml += &format!("[[ipsec.profile]]\nname = \"{name}\"\nesp = [\"aes128gcm16\"]\n{more}\n");
    }
    for (profile, direction, peer, spi, key) in text.sas {
        toml += &format!(
            "[[ipsec.sa]]\nprofile = \"{profile}\"\ndirection = \"{direction}\"\n\
             remote = \"203.0.113.{peer}\"\nspi = {spi}\nkey_file = \"{key}\"\n\
             udp_encap = {}\n",
            *peer >= 100
        );
    }
    let read = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        Ok(Zeroizing::new(material(name)))
    };
    Config::parse(&toml, Path::new("/hub.toml"), &read).unwrap_or_else(|found| {
        panic!("{:?}", found.iter().map(ToString::to_string).collect::<Vec<_>>())
    })
}

/// 16 octets of key and 4 of salt, after the name.
fn material(name: &str) -> Vec<u8> {
    format!("key {name:.>12}salt").into_bytes()
}

fn sas(sas: &[(&str, &str, u8, u32, &str)]) -> Config {
    config(&Text { profiles: PROFILES, sas })
}

fn at(start: Instant, seconds: u64, random: u64) -> Moment {
    let now = start + Duration::from_secs(seconds);
    Moment { now, tsc: seconds * TICKS, ticks_per_second: TICKS, random }
}

/// An SA as the control socket makes it; `like` is the first of a configuration.
fn add(sas: &mut Sas, like: &Config, moment: Moment) -> Result<SaCommand, AddError> {
    let manual = like.sas[0].clone();
    let profile = like.profiles[manual.profile.index()].clone();
    sas.add(manual, profile, true, moment)
}

fn installed(changes: &Changes) -> Vec<(u32, u32)> {
    let of = |command: &SaCommand| match command {
        SaCommand::InstallInbound(sa) => (sa.slot, sa.spi),
        SaCommand::InstallOutbound(sa) => (sa.slot, sa.spi),
        other => panic!("{other:?}"),
    };
    changes.install.iter().map(of).collect()
}

fn retired(changes: &Changes) -> Vec<u32> {
    let of = |command: &SaCommand| match command {
        SaCommand::RetireInbound(slot) | SaCommand::RetireOutbound(slot) => *slot,
        other => panic!("{other:?}"),
    };
    changes.retire.iter().map(of).collect()
}

/// What would be different after a change that should not have been one.
fn state(sas: &Sas) -> Vec<(u32, ManualSa, Option<Endpoint>, bool, bool)> {
    let of = |e: &Entry| (e.slot, e.manual.clone(), e.endpoint, e.added, e.expired);
    sas.iter().map(of).collect()
}

#[test]
fn what_stays_the_same_keeps_its_slot_and_its_counters() {
    let start = Instant::now();
    let mut registry = Sas::default();
    let a = ("corp", "out", 2, 0x1001, "a");
    let b = ("corp", "in", 2, 0x1002, "b");
    let c = ("corp", "out", 3, 0x1003, "c");
    let changes = registry.configure(&sas(&[a, b, c]), at(start, 0, 1)).unwrap();
    assert_eq!(installed(&changes), [(0, 0x1001), (1, 0x1002), (2, 0x1003)]);
    assert!(matches!(changes.install[1], SaCommand::InstallInbound(_)));
    let counters = registry.by_slot(1).unwrap().counters.clone();

    assert!(registry.configure(&sas(&[c, b, a]), at(start, 1, 2)).unwrap().is_empty());

    let fresh = ("corp", "out", 3, 0x1003, "fresh");
    let changes = registry.configure(&sas(&[b, fresh]), at(start, 2, 3)).unwrap();
    assert_eq!((installed(&changes), retired(&changes)), (vec![(3, 0x1003)], vec![0, 2]));
    assert!(matches!(changes.retire[0], SaCommand::RetireOutbound(0)));
    assert!(Arc::ptr_eq(&counters, &registry.by_slot(1).unwrap().counters));
    assert_eq!(registry.by_slot(1).unwrap().installed, start);
    assert!(registry.by_slot(2).is_none());
    let outbound = |peer| registry.outbound(ProfileId(0), ip(peer).into()).map(|e| e.slot);
    assert_eq!((outbound("203.0.113.2"), outbound("203.0.113.3")), (None, Some(3)));
    assert!(registry.outbound(ProfileId(1), ip("203.0.113.3").into()).is_none());
}

#[test]
fn a_slot_rests_before_it_is_used_again() {
    let start = Instant::now();
    let mut registry = Sas::default();
    let one = |spi, key| sas(&[("corp", "in", 2, spi, key)]);
    let slot = |registry: &mut Sas, spi, key, seconds| {
        let changes = registry.configure(&one(spi, key), at(start, seconds, 1)).unwrap();
        installed(&changes)[0].0
    };
    assert_eq!(slot(&mut registry, 0x1000, "a", 0), 0);
    assert_eq!(slot(&mut registry, 0x1001, "b", 1), 1, "slot 0 rests from now");
    assert_eq!(slot(&mut registry, 0x1002, "c", 5), 2);
    assert_eq!(slot(&mut registry, 0x1003, "d", 6), 0);
    assert_eq!(slot(&mut registry, 0x1004, "e", 6), 3, "slots 1, 2 and 0 rest");
}

#[test]
fn a_change_of_the_profile_makes_its_sas_anew() {
    let start = Instant::now();
    let mut registry = Sas::default();
    let list = [("corp", "out", 2, 0x1001, "a"), ("other", "out", 2, 0x1002, "b")];
    registry.configure(&sas(&list), at(start, 0, 1)).unwrap();
    let profiles = &[("corp", "esn = false"), ("other", "")];
    let changes =
        registry.configure(&config(&Text { profiles, sas: &list }), at(start, 1, 2)).unwrap();
    assert_eq!((installed(&changes), retired(&changes)), (vec![(2, 0x1001)], vec![0]));
    assert!(!registry.by_slot(2).unwrap().outbound().esn);
}

/// Profiles are told apart by name: where they stand in the file is nothing to an SA.
#[test]
fn the_order_of_profiles_is_no_change() {
    let start = Instant::now();
    let mut registry = Sas::default();
    let list = [("corp", "out", 2, 0x1001, "a"), ("other", "in", 2, 0x1002, "b")];
    registry.configure(&sas(&list), at(start, 0, 1)).unwrap();
    add(&mut registry, &sas(&[("corp", "out", 9, 0x1009, "z")]), at(start, 0, 2)).unwrap();
    let profiles = &[("new", ""), ("other", ""), ("corp", "")];
    let swapped = config(&Text { profiles, sas: &list });
    assert!(registry.configure(&swapped, at(start, 1, 3)).unwrap().is_empty());
    let corp = ProfileId(2);
    assert_eq!(registry.outbound(corp, ip("203.0.113.2").into()).unwrap().slot, 0);
    assert_eq!(registry.outbound(corp, ip("203.0.113.9").into()).unwrap().slot, 2);
    assert!(registry.outbound(ProfileId(0), ip("203.0.113.2").into()).is_none());
    assert_eq!(registry.by_slot(1).unwrap().inbound(false, Policy::default()).profile, 1);
}

#[test]
fn clashes_are_refused_and_change_nothing() {
    let start = Instant::now();
    let mut registry = Sas::default();
    let list = [("corp", "out", 2, 0x1001, "a"), ("corp", "in", 2, 0x1002, "b")];
    registry.configure(&sas(&list), at(start, 0, 1)).unwrap();
    let before = state(&registry);
    let mut refused = |sa| add(&mut registry, &sas(&[sa]), at(start, 1, 2)).unwrap_err();
    assert!(matches!(refused(("corp", "out", 9, 0x1009, "a")), AddError::KeyInUse));
    assert!(matches!(refused(("corp", "in", 9, 0x1009, "a")), AddError::KeyInUse));
    assert!(matches!(refused(("other", "in", 9, 0x1002, "c")), AddError::SpiInUse(0x1002)));
    let peer = ip("203.0.113.2");
    assert!(
        matches!(refused(("corp", "out", 2, 0x1009, "c")), AddError::PeerInUse(p) if p == peer)
    );
    assert_eq!(state(&registry), before);
    // Another profile, or the other direction, is no clash; an outbound SPI is the peer's affair.
    for sa in [("other", "out", 2, 0x1001, "c"), ("corp", "in", 2, 0x1003, "d")] {
        add(&mut registry, &sas(&[sa]), at(start, 1, 2)).unwrap();
    }
}

/// The same AES key is refused also with another salt, as in the configuration.
#[test]
fn a_key_is_the_same_whatever_its_salt() {
    let mut registry = Sas::default();
    let moment = at(Instant::now(), 0, 1);
    let mut like = sas(&[("corp", "out", 2, 0x1001, "a")]);
    add(&mut registry, &like, moment).unwrap();
    let mut contents = material("a");
    contents[19] ^= 1;
    let algorithm = like.sas[0].algorithm;
    like.sas[0].key = KeyMaterial::from_file_contents(&contents, algorithm).unwrap();
    like.sas[0].remote = ip("203.0.113.9");
    assert!(matches!(add(&mut registry, &like, moment), Err(AddError::KeyInUse)));
}

#[test]
fn a_configuration_that_is_refused_leaves_everything_as_it_was() {
    let start = Instant::now();
    let mut registry = Sas::default();
    let a = ("corp", "out", 2, 0x1001, "a");
    let b = ("corp", "in", 2, 0x1002, "b");
    registry.configure(&sas(&[a, b]), at(start, 0, 1)).unwrap();
    add(&mut registry, &sas(&[("corp", "out", 9, 0x1009, "z")]), at(start, 0, 2)).unwrap();
    let before = state(&registry);
    let clash = ("corp", "out", 9, 0x100a, "y");
    let new = ("corp", "in", 4, 0x1004, "d");
    let error = registry.configure(&sas(&[new, clash]), at(start, 1, 3)).unwrap_err();
    assert!(matches!(error, AddError::PeerInUse(_)));
    assert_eq!(state(&registry), before);
    assert!(registry.configure(&sas(&[a, b]), at(start, 2, 4)).unwrap().is_empty());
    let changes = registry.configure(&sas(&[a, b, new]), at(start, 3, 5)).unwrap();
    assert_eq!(installed(&changes), [(3, 0x1004)], "no slot was taken");
}

#[test]
fn what_the_control_socket_added_survives_a_reload() {
    let start = Instant::now();
    let mut registry = Sas::default();
    let added = ("corp", "out", 9, 0x1009, "z");
    registry.configure(&sas(&[("corp", "in", 2, 0x1000, "a")]), at(start, 0, 1)).unwrap();
    add(&mut registry, &sas(&[added]), at(start, 0, 2)).unwrap();
    let changes = registry.configure(&sas(&[]), at(start, 1, 3)).unwrap();
    assert_eq!((installed(&changes), retired(&changes)), (vec![], vec![0]));
    assert_eq!(registry.by_slot(1).unwrap().manual.spi.value(), 0x1009);

    // Its profile has changed: made anew.
    let profiles = &[("corp", "esn = false")];
    let changes = registry.configure(&config(&Text { profiles, sas: &[] }), at(start, 2, 4));
    let changes = changes.unwrap();
    assert_eq!((installed(&changes), retired(&changes)), (vec![(2, 0x1009)], vec![1]));
    assert!(registry.by_slot(2).unwrap().added);
    // Once it is in the file, it belongs to the file.
    let with = config(&Text { profiles, sas: &[added] });
    assert!(registry.configure(&with, at(start, 3, 5)).unwrap().is_empty());
    let without = config(&Text { profiles, sas: &[] });
    assert_eq!(retired(&registry.configure(&without, at(start, 4, 6)).unwrap()), [2]);
    assert_eq!(registry.iter().count(), 0);
}

#[test]
fn an_added_sa_goes_with_its_profile() {
    let start = Instant::now();
    let mut registry = Sas::default();
    add(&mut registry, &sas(&[("corp", "out", 9, 0x1009, "z")]), at(start, 0, 2)).unwrap();
    let profiles = &[("other", "")];
    let changes = registry.configure(&config(&Text { profiles, sas: &[] }), at(start, 1, 3));
    assert_eq!(retired(&changes.unwrap()), [0]);
}

#[test]
fn deletes_by_direction_spi_and_peer() {
    let start = Instant::now();
    let mut registry = Sas::default();
    let list = [
        ("corp", "out", 2, 0x1001, "a"),
        ("corp", "out", 3, 0x1001, "b"),
        ("corp", "in", 2, 0x1001, "c"),
    ];
    registry.configure(&sas(&list), at(start, 0, 1)).unwrap();
    let spi = Spi::new(0x1001).unwrap();
    let mut delete = |direction, peer: Option<&str>| {
        let retire = registry.delete(direction, spi, peer.map(ip), start);
        retired(&Changes { install: Vec::new(), retire })
    };
    assert_eq!(delete(Direction::Out, Some("203.0.113.9")), [0; 0]);
    assert_eq!(delete(Direction::Out, Some("203.0.113.3")), [1]);
    assert_eq!(delete(Direction::In, None), [2]);
    assert_eq!(delete(Direction::In, None), [0; 0]);
    assert_eq!(registry.iter().count(), 1);
    // Key, SPI and peer are free again.
    for sa in [list[1], list[2]] {
        add(&mut registry, &sas(&[sa]), at(start, 1, 2)).unwrap();
    }
}

fn iv_offset(command: &SaCommand) -> u64 {
    match command {
        SaCommand::InstallOutbound(sa) => sa.iv_offset,
        other => panic!("{other:?}"),
    }
}

/// (key, IV) pairs must not repeat when a process starts again with the same keys.
#[test]
fn ivs_begin_elsewhere_for_each_sa_and_each_run() {
    let start = Instant::now();
    let list = sas(&[("corp", "out", 2, 0x1001, "a"), ("corp", "out", 3, 0x1002, "b")]);
    let mut offsets = Vec::new();
    for random in [1, 2, u64::MAX] {
        let mut registry = Sas::default();
        let changes = registry.configure(&list, at(start, 0, random)).unwrap();
        offsets.extend(changes.install.iter().map(iv_offset));
        // The tables say the same as the core was told.
        let tables = SaTable::new([], registry.iter().map(Entry::outbound));
        assert_eq!(tables.outbound(0).unwrap().iv_offset, iv_offset(&changes.install[0]));
        // The same key, deleted and added again.
        registry.delete(Direction::Out, Spi::new(0x1001).unwrap(), None, start);
        let again = add(&mut registry, &list, at(start, 1, random ^ 0x5555)).unwrap();
        offsets.push(iv_offset(&again));
    }
    let distinct: HashSet<&u64> = offsets.iter().collect();
    assert_eq!(distinct.len(), offsets.len(), "{offsets:?}");
}

#[test]
fn lifetimes_are_ticks_after_the_installation() {
    let start = Instant::now();
    let mut registry = Sas::default();
    let lifetime = "lifetime = { time = \"90s\", bytes = 5000, packets = 7 }";
    let text = Text {
        profiles: &[("corp", lifetime), ("other", "")],
        sas: &[("corp", "out", 2, 0x1001, "a"), ("other", "out", 2, 0x1002, "b")],
    };
    registry.configure(&config(&text), at(start, 10, 1)).unwrap();
    let expected = Lifetime { packets: 7, octets: 5000, tsc: 100 * TICKS };
    assert_eq!(registry.by_slot(0).unwrap().outbound().lifetime, expected);
    assert_eq!(registry.by_slot(1).unwrap().outbound().lifetime, Lifetime::default());
    let inbound = registry.by_slot(0).unwrap().inbound(false, Policy::default());
    assert_eq!(inbound.lifetime, expected);

    // A lifetime beyond what the TSC counts is one that does not end, not one that has ended.
    let mut long = config(&text);
    long.profiles[0].lifetime.time = Some(Duration::MAX);
    long.profiles[0].lifetime.packets = NonZeroU64::new(1);
    let mut registry = Sas::default();
    registry.configure(&long, at(start, 10, 1)).unwrap();
    assert_eq!(registry.by_slot(0).unwrap().outbound().lifetime.tsc, u64::MAX);
}

#[test]
fn a_peer_that_moves_is_followed() {
    let start = Instant::now();
    let mut registry = Sas::default();
    let list = [
        ("corp", "in", 100, 0x1000, "a"),
        ("corp", "out", 100, 0x1001, "b"),
        ("other", "out", 100, 0x1002, "c"),
        ("corp", "out", 101, 0x1003, "d"),
        ("corp", "in", 2, 0x1004, "e"),
        ("corp", "out", 2, 0x1005, "f"),
    ];
    registry.configure(&sas(&list), at(start, 0, 1)).unwrap();
    let configured = (ip("203.0.113.100"), 4500);
    assert!(!registry.moved(0, configured), "seen where it was expected");
    let seen = (ip("192.0.2.33"), 31_000);
    assert!(registry.moved(0, seen));
    assert!(!registry.moved(0, seen));
    let endpoints: Vec<_> = registry.iter().map(|entry| entry.endpoint).collect();
    assert_eq!(endpoints, [Some(seen), Some(seen), None, None, None, None]);
    assert_eq!(registry.by_slot(1).unwrap().udp_ports(), Some((4500, 31_000)));
    assert_eq!(registry.by_slot(3).unwrap().udp_ports(), Some((4500, 4500)));
    assert!(!registry.moved(4, seen), "not under UDP");
    assert!(!registry.moved(1, configured), "outbound");
    assert!(!registry.moved(77, configured), "gone");

    // A fresh outbound key goes on to where the peer is; a fresh inbound one has to see it.
    let mut fresh = list;
    (fresh[0].3, fresh[0].4) = (0x2000, "x");
    (fresh[1].3, fresh[1].4) = (0x2001, "y");
    registry.configure(&sas(&fresh), at(start, 1, 2)).unwrap();
    let find = |spi| registry.iter().find(|entry| entry.manual.spi.value() == spi).unwrap();
    assert_eq!((find(0x2000).endpoint, find(0x2001).endpoint), (None, Some(seen)));
    assert!(registry.moved(6, configured), "back");
}

#[test]
fn a_peer_that_is_not_at_the_configured_port_has_moved() {
    let mut registry = Sas::default();
    let list = [("corp", "in", 100, 0x1000, "a"), ("corp", "out", 100, 0x1001, "b")];
    let mut config = sas(&list);
    for udp in config.sas.iter_mut().filter_map(|sa| sa.udp_encap.as_mut()) {
        udp.remote_port = 31_000.try_into().unwrap();
    }
    registry.configure(&config, at(Instant::now(), 0, 1)).unwrap();
    assert!(registry.moved(0, (ip("203.0.113.100"), 4500)));
    assert_eq!(registry.by_slot(1).unwrap().udp_ports(), Some((4500, 4500)));
}

#[test]
fn nothing_of_a_key_is_shown() {
    let mut registry = Sas::default();
    let moment = at(Instant::now(), 0, 1);
    registry.configure(&sas(&[("corp", "out", 2, 0x1001, "secret")]), moment).unwrap();
    let shown = format!("{registry:?}");
    let numbers = format!("{:?}", material("secret"));
    assert!(!shown.contains("secret") && !shown.contains(numbers.trim_matches(['[', ']'])));
}

#[test]
fn sas_beyond_the_sessions_of_a_device_are_done_by_software() {
    let config = crypto::CryptoConfig { sessions: 3, ..crypto::CryptoConfig::default() };
    let eal = dpdk::Eal::for_tests();
    let attached = CryptoDevice::attach(eal, "crypto_aesni_gcm_sas", &config);
    let (device, _queues) = match attached {
        Err(dpdk::Error::NoSuchDevice(_)) => return eprintln!("skipped: no driver"),
        attached => attached.unwrap(),
    };
    let start = Instant::now();
    let mut registry = Sas::new(Some(device.clone()));
    let four = [
        ("corp", "out", 1, 0x1001, "a"),
        ("corp", "in", 1, 0x2001, "b"),
        ("corp", "out", 2, 0x1002, "c"),
        ("corp", "in", 2, 0x2002, "d"),
    ];
    let changes = registry.configure(&sas(&four), at(start, 0, 1)).unwrap();
    let uses_device = |command: &SaCommand| match command {
        SaCommand::InstallInbound(sa) => sa.device_key.is_some(),
        SaCommand::InstallOutbound(sa) => sa.device_key.is_some(),
        other => panic!("{other:?}"),
    };
    let given: Vec<_> = changes.install.iter().map(uses_device).collect();
    assert_eq!(given, [true, true, true, false]);
    assert_eq!(registry.iter().filter(|entry| entry.uses_device()).count(), 3);
    assert_eq!(device.sessions_in_use(), 3);

    // The configuration goes, then what the cores had: the session is free for the next SA.
    registry.configure(&sas(&four[2..]), at(start, 10, 2)).unwrap();
    assert_eq!(device.sessions_in_use(), 3, "the cores have them");
    drop(changes);
    assert_eq!(device.sessions_in_use(), 1);
    let changes = registry.configure(&sas(&four), at(start, 20, 3)).unwrap();
    assert!(changes.install.iter().all(uses_device));
    assert_eq!(device.sessions_in_use(), 3);
    drop((changes, registry));
    assert_eq!(device.sessions_in_use(), 0);
}
