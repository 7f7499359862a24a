//! `[[ipsec.profile]]` and `[[ipsec.policy]]`.

use std::num::NonZeroU64;
use std::time::Duration;

use aead::Algorithm;

use super::names::Names;
use crate::config::reader::{Complaint, Item, Section};
use crate::config::scalar;
use crate::config::{
    Action, AntiReplay, EspMode, Lifetime, Policy, PortRange, Profile, ReplayWindow, Selector,
    UpperLayer,
};

const TCP: u8 = 6;
const UDP: u8 = 17;
const GRE: u8 = 47;
const ICMP: u8 = 1;
/// Protocols whose headers begin with two ports: TCP, UDP, DCCP, SCTP.
const WITH_PORTS: [u8; 4] = [TCP, UDP, 33, 132];

/// A profile.
pub(super) fn read_profile(section: Section<'_>) -> Option<Profile> {
    let name = section.require("name").and_then(|item| item.parse(|text| scalar::name(text, 63)));
    let mode = section.or_default("mode", EspMode::Transport, |item| {
        item.choice(&[("transport", EspMode::Transport), ("tunnel", EspMode::Tunnel)])
    });
    let esp = section.require("esp").and_then(|item| read_algorithms(&item));
    let replay = read_replay(&section);
    let lifetime = match section.take("lifetime") {
        Some(item) => read_lifetime(&item, matches!(replay, Some(AntiReplay::Short(_)))),
        None => Some(Lifetime::default()),
    };
    section.unsupported(&["ike"]);
    section.finish();
    Some(Profile { name: name?, mode, esp: esp?, replay: replay?, lifetime: lifetime? })
}

/// One ESP algorithm, by name.
pub(super) fn read_algorithm(item: &Item<'_>) -> Option<Algorithm> {
    item.choice(&Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm)))
}

fn read_algorithms(item: &Item<'_>) -> Option<Vec<Algorithm>> {
    let mut algorithms = Vec::new();
    let mut is_whole = true;
    for element in item.one_or_list() {
        match read_algorithm(&element) {
            Some(algorithm) if algorithms.contains(&algorithm) => {
                element.error::<()>(format!("{algorithm} is there twice"));
            }
            Some(algorithm) => algorithms.push(algorithm),
            None => is_whole = false,
        }
    }
    if is_whole && algorithms.is_empty() {
        return item.error("the list has no algorithm");
    }
    is_whole.then_some(algorithms)
}

fn read_replay(section: &Section<'_>) -> Option<AntiReplay> {
    let esn = section.or_default("esn", true, Item::boolean);
    let Some(item) = section.take("replay_window") else {
        let window = ReplayWindow::default();
        return Some(if esn {
            AntiReplay::Extended(window)
        } else {
            AntiReplay::Short(Some(window))
        });
    };
    let packets: u32 = item.integer(0..=65_536)?;
    match (ReplayWindow::new(packets), esn) {
        (Some(window), true) => Some(AntiReplay::Extended(window)),
        (Some(window), false) => Some(AntiReplay::Short(Some(window))),
        (None, false) if packets == 0 => Some(AntiReplay::Short(None)),
        (None, true) if packets == 0 => item.error(
            Complaint::from("extended sequence numbers need a replay window").hint("esn = false"),
        ),
        (None, _) => {
            let near = packets.checked_next_power_of_two().unwrap_or(65_536).clamp(64, 65_536);
            let complaint = format!("{packets} is not a power of two of at least 64");
            item.error(Complaint::from(complaint).hint(near.to_string()))
        }
    }
}

fn read_lifetime(item: &Item<'_>, is_short: bool) -> Option<Lifetime> {
    let section = item.table()?;
    let time = section
        .take("time")
        .map(|item| item.duration(Duration::from_secs(1)..=Duration::from_secs(366 * 86_400)));
    let octets = section.take("bytes").map(|item| NonZeroU64::new(item.size_octets(1..=u64::MAX)?));
    // Without extended numbers the last packet is the one with number 2^32 - 1.
    let packets_max = if is_short { u64::from(u32::MAX) } else { u64::MAX };
    let packets =
        section.take("packets").map(|item| NonZeroU64::new(item.integer(1..=packets_max)?));
    section.finish();
    Some(Lifetime { time: present(time)?, octets: present(octets)?, packets: present(packets)? })
}

/// Of an optional key: absent, or read; `None` if it was refused.
fn present<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    read.map_or(Some(None), |value| value.map(Some))
}

/// A policy.
pub(super) fn read_policy(section: Section<'_>, names: &Names) -> Option<Policy> {
    let port = section.require("port").and_then(|item| names.port(&item));
    let select = section.require("select").and_then(|item| read_selector(&item));
    let action = read_action(&section, names);
    section.finish();
    Some(Policy { port: port?, select: select?, action: action? })
}

fn read_action(section: &Section<'_>, names: &Names) -> Option<Action> {
    #[derive(Clone, Copy)]
    enum Verb {
        Protect,
        Bypass,
        Discard,
    }
    let verb = section.require("action").and_then(|item| {
        item.choice(&[
            ("protect", Verb::Protect),
            ("bypass", Verb::Bypass),
            ("discard", Verb::Discard),
        ])
    });
    let action = match verb {
        Some(Verb::Protect) => {
            let why = ": action = \"protect\" needs it";
            let profile = section.require_because("profile", why);
            let remote = section.require_because("remote", why);
            let profile = profile.and_then(|item| names.profile(&item));
            let remote = remote.and_then(|item| item.parse(scalar::unicast));
            return Some(Action::Protect { profile: profile?, remote: remote? });
        }
        Some(Verb::Bypass) => Some(Action::Bypass),
        Some(Verb::Discard) => Some(Action::Discard),
        None => None,
    };
    for key in ["profile", "remote"] {
        if action.is_some() {
            section.refuse(key, "only action = \"protect\" has it");
        } else {
            section.take(key);
        }
    }
    action
}

fn read_selector(item: &Item<'_>) -> Option<Selector> {
    let section = item.table()?;
    let [src, dst] =
        ["src", "dst"].map(|key| section.require(key).and_then(|item| item.parse(scalar::prefix)));
    let protocol = match section.take("proto") {
        Some(item) => read_protocol(&item),
        None => Some(None),
    };
    let mut has_ports = false;
    let [src_port, dst_port] = ["src_port", "dst_port"].map(|key| {
        let Some(item) = section.take(key) else { return Some(PortRange::ANY) };
        has_ports = true;
        if let Some(protocol) = protocol
            && !protocol.is_some_and(|protocol| WITH_PORTS.contains(&protocol))
        {
            let complaint = Complaint::from("only a protocol with ports can be told by them");
            return item.error(complaint.hint("proto = \"tcp\" or \"udp\""));
        }
        read_port_range(&item)
    });
    section.finish();
    let (src, dst, src_port, dst_port) = (src?, dst?, src_port?, dst_port?);
    let upper = match protocol? {
        None => UpperLayer::Any,
        Some(protocol) if has_ports => UpperLayer::Ports { protocol, src: src_port, dst: dst_port },
        Some(protocol) => UpperLayer::Protocol(protocol),
    };
    if src.network().is_ipv4() != dst.network().is_ipv4() {
        return item.error("src and dst are of different families");
    }
    Some(Selector { src, dst, upper })
}

fn read_protocol(item: &Item<'_>) -> Option<Option<u8>> {
    if item.is_integer() {
        return item.integer(1..=255).map(Some);
    }
    item.choice(&[
        ("any", None),
        ("gre", Some(GRE)),
        ("tcp", Some(TCP)),
        ("udp", Some(UDP)),
        ("icmp", Some(ICMP)),
    ])
}

fn read_port_range(item: &Item<'_>) -> Option<PortRange> {
    if item.is_integer() {
        let port = item.integer(0..=u16::MAX)?;
        return PortRange::new(port, port);
    }
    item.parse(scalar::port_range)
}
