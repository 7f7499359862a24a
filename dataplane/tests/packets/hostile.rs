//! What the gateway must survive: each attack is dropped with a reason of its own, changes no
//! state, leaks no buffer, and the packet after it arrives.

mod esp;
mod fragments;
mod gre;
mod icmp;
mod inner;
mod ip;
mod keys;
mod outbound;
mod replay;

use std::collections::BTreeMap;

use crate::support::frame::{self, Ip, hops, udp_packet};
use crate::support::oracle;
use crate::support::site::oracle_sa;
use crate::support::{Lab, Layout, Link, Site};

/// Gateway 2, attacked from where gateway 1 should be.
struct Target {
    lab: Lab,
    link: Link,
    sa: Option<oracle::Sa>,
    /// The next sequence number of gateway 1.
    sequence: u64,
    /// Good packets that were sent.
    good: u16,
}

impl Target {
    fn new(link: &Link) -> Self {
        Target::with(link, |_| {})
    }

    fn with(link: &Link, change: impl FnOnce(&mut Site)) -> Self {
        let mut site = Site::new(2, &[1], link);
        change(&mut site);
        let lab = Lab::new(&Layout::RunToCompletion(1), vec![site]);
        let sa = link.esp.map(|esp| oracle_sa(1, 2, &esp));
        let sequence = link.esp.map_or(1, |esp| esp.start + 1);
        Target { lab, link: link.clone(), sa, sequence, good: 0 }
    }

    fn sa(&self) -> oracle::Sa {
        self.sa.clone().unwrap()
    }

    fn sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence - 1
    }

    /// An outer packet from gateway 1, or who claims to be it.
    fn outer(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        Ip::new("192.0.2.1", "192.0.2.2", protocol).packet(payload)
    }

    fn esp(&self, esp: &[u8]) -> Vec<u8> {
        if self.link.esp.is_some_and(|esp| esp.udp) {
            self.outer(frame::UDP, &frame::udp(4500, 4500, esp))
        } else {
            self.outer(frame::ESP, esp)
        }
    }

    /// ESP around GRE around a packet, or what else the link is made of.
    fn wrap(&mut self, inner: &[u8]) -> Vec<u8> {
        let gre =
            self.link.gre.map(|gre| frame::gre(gre.key, None, frame::ether_type(inner), inner));
        match (self.sa.clone(), gre) {
            (Some(sa), Some(gre)) => {
                let sealed = sa.seal(self.sequence(), frame::GRE, &gre);
                self.esp(&sealed)
            }
            (Some(sa), None) => {
                let next_header = if inner[0] >> 4 == 4 { 4 } else { 41 };
                let sealed = sa.seal(self.sequence(), next_header, inner);
                self.esp(&sealed)
            }
            (None, Some(gre)) => self.outer(frame::GRE, &gre),
            (None, None) => inner.to_vec(),
        }
    }

    fn deliver(&mut self, packets: &[Vec<u8>]) {
        let site = self.lab.site(2);
        let frames: Vec<_> = packets.iter().map(|packet| site.underlay_frame(packet)).collect();
        self.lab[2].send_wan(&frames);
        self.lab.settle();
    }

    /// A packet of the real peer arrives.
    fn assert_alive(&mut self) {
        self.good += 1;
        let packet = udp_packet("10.1.0.10", "10.2.0.10", self.good, 100);
        let outer = self.wrap(&packet);
        let before = self.lab[2].drops();
        self.deliver(&[outer]);
        assert_eq!(self.lab[2].drops(), before, "the good packet is not dropped");
        assert_eq!(self.lab.receive(2), [hops(&packet, 1)], "the good packet arrives");
    }

    /// All of the packets are dropped for this reason; nothing else happens.
    fn assert_dropped(&mut self, packets: &[Vec<u8>], reason: &'static str) {
        self.assert_outcome(packets, &[(reason, packets.len() as u64)]);
    }

    /// The packets are dropped for these reasons; nothing else happens.
    fn assert_outcome(&mut self, packets: &[Vec<u8>], reasons: &[(&'static str, u64)]) {
        let counters = self.lab.site(2).inbound.first().map(|sa| sa.counters.clone());
        let state = || counters.as_ref().map(|c| (c.traffic.packets.value(), c.sequence.value()));
        let (before, in_use, state_before) = (self.lab[2].drops(), self.lab[2].in_use(), state());
        self.deliver(packets);
        let mut expected = before;
        for (reason, count) in reasons {
            *expected.entry(reason).or_insert(0) += count;
        }
        assert_eq!(self.lab[2].drops(), expected);
        assert_eq!(self.lab[2].take_punts(), [], "nothing is punted");
        assert_eq!(self.lab.receive(2), Vec::<Vec<u8>>::new(), "nothing is forwarded");
        assert!(self.lab.outer().is_empty(), "nothing is answered");
        assert_eq!(self.lab[2].in_use(), in_use, "no buffer is kept");
        assert_eq!(state(), state_before, "the SA is as before");
        self.assert_alive();
    }

    fn drops(&self) -> BTreeMap<&'static str, u64> {
        self.lab[2].drops()
    }
}
