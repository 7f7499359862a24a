//! Arbitrary and mutated frames through the whole plan: it never panics, loses or leaks a packet.
//!
//! Runs for GREYHOUND_FUZZ_SECONDS seconds, 1 unless told, from GREYHOUND_FUZZ_SEED on. A failure
//! prints its seed: the same seed alone repeats it.

use std::time::{Duration, Instant};

use dataplane::engine::topology::StageKind;
use dataplane::tables::encap::GreSpec;

use crate::support::frame::{self, ESP, GRE, Ip, UDP, gre, seal_header, udp, udp_packet};
use crate::support::gateway::Gateway;
use crate::support::rng::Rng;
use crate::support::site::oracle_sa;
use crate::support::{Esp, Lab, Layout, Link, Site};

/// Calls `run` with one seed after the other, as long as the environment says.
pub fn for_a_while(mut run: impl FnMut(&mut Rng)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let budget = Duration::from_secs(number("GREYHOUND_FUZZ_SECONDS").unwrap_or(1));
    let first = number("GREYHOUND_FUZZ_SEED").unwrap_or(1);
    let start = Instant::now();
    for seed in first.. {
        run(&mut Rng::new(seed));
        if start.elapsed() >= budget {
            return;
        }
    }
}

fn links() -> [Link; 5] {
    let nat = Some(Esp { udp: true, ..Esp::TRANSPORT });
    let ordered = Some(GreSpec { key: None, checksum: true, sequence: true });
    [
        Link::dmvpn(),
        Link::ipsec(),
        Link { gre: ordered, ordered: true, ..Link::default() },
        Link { esp: nat, underlay_v6: true, ..Link::dmvpn() },
        Link { esp: Some(Esp::TUNNEL), lan_vlan: Some(5), wan_vlan: Some(6), ..Link::default() },
    ]
}

/// An IP packet between hosts, from any of three places.
fn inner(rng: &mut Rng) -> Vec<u8> {
    let ends = *rng.pick(&[
        ("10.2.0.10", "10.1.0.10"),
        ("10.1.0.10", "10.2.0.10"),
        ("fd00:2::a", "fd00:1::a"),
        ("10.2.0.10", "239.0.0.1"),
        ("10.1.0.10", "10.1.0.1"),
        ("10.1.0.10", "255.255.255.255"),
    ]);
    let len = 60 + rng.below(200);
    match rng.below(4) {
        0 => frame::syn_packet(ends.0, ends.1, 1460),
        1 => Ip::new(ends.0, ends.1, GRE).packet(&gre(None, None, 0x0800, &rng.bytes(40))),
        _ => udp_packet(ends.0, ends.1, rng.next() as u16, len),
    }
}

fn mutated(rng: &mut Rng, mut data: Vec<u8>) -> Vec<u8> {
    for _ in 0..rng.below(4) {
        rng.mutate(&mut data);
    }
    // With a valid checksum more of them get past the first look.
    if !rng.chance(4) && data.len() >= 20 && data[0] >> 4 == 4 {
        seal_header(&mut data);
    }
    data
}

/// What the peer, or someone else, may send; mutated in any of its layers, before it is sealed.
fn outer(rng: &mut Rng, link: &Link, sequence: u64) -> Vec<u8> {
    let packet = inner(rng);
    let mut payload = mutated(rng, packet);
    let mut protocol = if rng.chance(2) { 4 } else { 41 };
    if let Some(spec) = link.gre {
        let kind = *rng.pick(&[0x0800, 0x0800, 0x86dd, 0x2001, 0]);
        payload =
            mutated(rng, gre(spec.key, spec.sequence.then_some(sequence as u32), kind, &payload));
        protocol = GRE;
    }
    let (v4, v6) = (("192.0.2.2", "192.0.2.1"), ("2001:db8::2", "2001:db8::1"));
    let ends = if link.underlay_v6 { v6 } else { v4 };
    if let Some(esp) = link.esp {
        let sa = oracle_sa(2, 1, &esp);
        if link.gre.is_some()
            && protocol == GRE
            && esp.mode == dataplane::tables::sa::SaMode::Tunnel
        {
            payload = mutated(rng, Ip::new(ends.0, ends.1, GRE).packet(&payload));
            protocol = 4;
        }
        payload = match rng.below(8) {
            0 => sa.seal_raw(sequence, &payload),
            _ => sa.seal(sequence, protocol, &payload),
        };
        protocol = ESP;
        if esp.udp {
            payload = udp(4500, 4500, &payload);
            protocol = UDP;
        }
    }
    let mut ip = Ip::new(ends.0, ends.1, protocol);
    if rng.chance(10) {
        (ip.id, ip.more, ip.offset) = (rng.below(8) as u16, rng.chance(2), rng.below(40) * 8);
    }
    let packet = ip.packet(&payload);
    if rng.chance(3) { mutated(rng, packet) } else { packet }
}

/// What hosts send to gateway 1, or, `towards` it, what comes by the underlay.
fn batch(rng: &mut Rng, site: &Site, round: u64, towards: bool) -> Vec<Vec<u8>> {
    let frames = (0..32).map(|number| {
        let packet = match towards {
            true => outer(rng, &site.link, round * 32 + number + 1),
            false => {
                let packet = inner(rng);
                mutated(rng, packet)
            }
        };
        let packet = if packet.is_empty() { vec![0] } else { packet };
        let frame = if towards { site.underlay_frame(&packet) } else { site.host_frame(&packet) };
        match rng.below(16) {
            0 => mutated(rng, frame),
            1 => {
                let count = 1 + rng.below(100);
                rng.bytes(count)
            }
            _ => frame,
        }
    });
    frames.filter(|frame| !frame.is_empty()).collect()
}

/// `classify` has a shortcut for plain frames in one piece. The same frames in two pieces take the
/// long way, and must fare the same: what leaves, what is punted, and each drop with its reason.
#[test]
fn fuzz_the_shortcut_decides_as_the_long_way() {
    for_a_while(|rng| {
        let link = rng.pick(&links()).clone();
        let layout = Layout::RunToCompletion(1);
        let mut labs = [0, 1].map(|_| Lab::new(&layout, vec![Site::new(1, &[2], &link)]));
        let site = labs[0].site(1).clone();
        for round in 0..20 {
            for towards in [false, true] {
                let frames = batch(rng, &site, round, towards);
                let mut halves = |gateway: &Gateway, frame: &Vec<u8>| {
                    let at = rng.below(frame.len() + 1);
                    let mut first = gateway.mbuf(&frame[..at]);
                    first.chain(gateway.mbuf(&frame[at..])).unwrap();
                    first
                };
                let whole = labs[0][1].mbufs(&frames);
                let gateway = &labs[1][1];
                let split = frames.iter().map(|frame| halves(gateway, frame)).collect();
                for (lab, mbufs) in labs.iter_mut().zip([whole, split]) {
                    let gateway = &mut lab[1];
                    let port = if towards { &mut gateway.wan } else { &mut gateway.lan };
                    port.send_mbufs(mbufs);
                    gateway.settle();
                }
            }
            let [short, long] = labs.each_mut().map(|lab| {
                let gateway = &mut lab[1];
                let left = (gateway.lan.receive(), gateway.wan.receive());
                (left, gateway.take_punts(), gateway.drops())
            });
            assert_eq!(short, long);
        }
    });
}

#[test]
fn fuzz_frames() {
    for_a_while(|rng| {
        let layouts = [Layout::RunToCompletion(1), Layout::RunToCompletion(2), Layout::Pipeline(3)];
        let link = rng.pick(&links()).clone();
        let layout = rng.pick(&layouts).clone();
        let mut lab = Lab::new(&layout, vec![Site::new(1, &[2], &link)]);
        let site = lab.site(1).clone();
        for round in 0..20 {
            let [hosts, underlay] = [false, true].map(|towards| batch(rng, &site, round, towards));
            lab[1].send_lan(&hosts);
            lab[1].send_wan(&underlay);
            lab[1].settle();
        }
        assert_balance(&mut lab);
    });
}

/// Each frame that went in came out, was dropped with a reason, was punted, or is held for
/// reassembly; what was copied or put together makes the difference, and its stages say so.
fn assert_balance(lab: &mut Lab) {
    let gateway = &mut lab[1];
    let out = gateway.lan.receive_mbufs().len() + gateway.wan.receive_mbufs().len();
    let punts = gateway.punts.drain(..).count();
    let ended = out as u64 + punts as u64 + gateway.dropped();
    let held = u64::from(gateway.in_use());
    let met = |kind: StageKind| {
        let places = gateway.plan.instances(kind);
        places.iter().map(|(p, n)| gateway.links[*p].stages[*n].packets.value()).sum::<u64>()
    };
    let changed = met(StageKind::Replicate) + met(StageKind::Reassemble) + met(StageKind::Fragment);
    let difference = (gateway.sent as i64 - (ended + held) as i64).unsigned_abs();
    assert!(difference <= changed, "{} in, {ended} ended, {held} held", gateway.sent);
    assert!(changed < gateway.sent / 2, "the balance says something");
    assert!(out > 0, "some packets are good ones");
}
