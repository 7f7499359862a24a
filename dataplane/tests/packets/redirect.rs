//! Redirect samples: of what leaves by the tunnel that it came from, and of nothing else.

use dataplane::engine::message::{Event, REDIRECT_HEAD_MAX, Redirect};
use dataplane::tables::{Next, tunnel::Tunnel};

use crate::support::frame::udp_packet;
use crate::support::site::{TUNNEL, prefix};
use crate::support::{Lab, Layout, Link, Site};

/// A hub with two spokes, which reach each other by the hub.
fn sites(redirect: bool) -> Vec<Site> {
    let link = Link { redirect, ..Link::dmvpn() };
    let mut sites = vec![Site::new(1, &[2, 3], &link)];
    sites.extend([2, 3].map(|spoke| Site::new(spoke, &[1], &link)));
    for (spoke, other) in [(1, "10.3.0.0"), (2, "10.2.0.0")] {
        let to_hub = Next(sites[spoke].peers[0].1.adjacency);
        sites[spoke].overlay_v4.push((prefix(other, 16), to_hub));
    }
    sites
}

fn lab(redirect: bool) -> Lab {
    Lab::new(&Layout::RunToCompletion(1), sites(redirect))
}

/// The second spoke is a peer of another tunnel of the hub, whose peers are told of shorter ways in
/// this network.
fn two_tunnels(redirect: Option<u16>) -> Lab {
    let mut sites = sites(true);
    let hub = &mut sites[0];
    hub.tunnels.push(Tunnel { interface: TUNNEL + 1, redirect, ..hub.tunnels[0].clone() });
    hub.peers[1].1.tunnel = 1;
    Lab::new(&Layout::RunToCompletion(1), sites)
}

fn samples(lab: &mut Lab, site: u8) -> Vec<Redirect> {
    let events = lab[site].events.drain(..);
    events
        .filter_map(|event| match event {
            Event::Redirect(sample) => Some(*sample),
            _ => None,
        })
        .collect()
}

#[test]
fn a_packet_between_spokes_is_forwarded_and_sampled_at_the_hub() {
    let mut lab = lab(true);
    let packet = udp_packet("10.2.0.10", "10.3.0.10", 64, 400);
    lab.send(2, &[packet]);
    lab.settle();
    assert_eq!(lab.receive(3).len(), 1, "forwarded all the same");
    let from_spoke = lab.site(1).peers[0].1.adjacency;
    let [sample] = samples(&mut lab, 1).try_into().unwrap();
    assert_eq!((sample.in_peer, sample.head.len()), (from_spoke, REDIRECT_HEAD_MAX));
    assert_eq!(sample.head[12..20], [10, 2, 0, 10, 10, 3, 0, 10]);
    assert!(samples(&mut lab, 2).is_empty() && samples(&mut lab, 3).is_empty());
    lab.assert_clean();
}

#[test]
fn nothing_else_is_sampled() {
    let mut silent = lab(false);
    silent.send(2, &[udp_packet("10.2.0.10", "10.3.0.10", 64, 400)]);
    silent.settle();
    assert_eq!((silent.receive(3).len(), samples(&mut silent, 1).len()), (1, 0));

    let mut lab = lab(true);
    lab.send(2, &[udp_packet("10.2.0.10", "10.1.0.10", 64, 400)]);
    lab.send(1, &[udp_packet("10.1.0.10", "10.3.0.10", 64, 400)]);
    lab.settle();
    assert_eq!((lab.receive(1).len(), lab.receive(3).len()), (1, 1));
    assert!(samples(&mut lab, 1).is_empty());
}

#[test]
fn a_flood_is_forwarded_and_few_of_it_are_sampled() {
    let mut lab = lab(true);
    for _ in 0..20 {
        lab.send(2, &vec![udp_packet("10.2.0.10", "10.3.0.10", 64, 100); 50]);
        lab.settle();
    }
    assert_eq!(lab.receive(3).len(), 1000);
    let taken = samples(&mut lab, 1).len();
    assert!((1..1000).contains(&taken), "{taken}");
}

#[test]
fn between_tunnels_the_network_decides() {
    // Of one network; each a network of its own; one whose peers are not told.
    for (redirect, sampled) in [(Some(TUNNEL), 1), (Some(TUNNEL + 1), 0), (None, 0)] {
        let mut lab = two_tunnels(redirect);
        lab.send(3, &[udp_packet("10.3.0.10", "10.2.0.10", 64, 400)]);
        lab.settle();
        assert_eq!((lab.receive(2).len(), samples(&mut lab, 1).len()), (1, sampled));
    }
}
