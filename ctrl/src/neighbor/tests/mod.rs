//! The tests of the table: transitions, scenes, limits, and what comes from strangers.

mod hostile;
mod limits;
mod samples;
mod scenes;
mod transitions;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use wire::arp::{self, Operation};
use wire::eth::EtherType;
use wire::icmp6::nd;
use wire::{IfAddr, IpProto, MacAddr, eth, ip6};

use super::*;

/// We are the station that answers in the captures; the neighbour is the one that asks.
const OUR_MAC: MacAddr = MacAddr([0x02, 0, 0x5E, 0, 0x53, 2]);
const MAC: MacAddr = MacAddr([0x02, 0, 0x5E, 0, 0x53, 1]);
const OTHER_MAC: MacAddr = MacAddr([0x02, 0, 0x5E, 0, 0x53, 9]);
/// The interface in most tests.
const LAN: u16 = 3;

type Table = Neighbors<u32>;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn config() -> InterfaceConfig {
    let address = |text: &str| text.parse::<IfAddr>().unwrap();
    InterfaceConfig {
        index: LAN,
        mac: OUR_MAC,
        vlan: None,
        addresses: vec![address("192.0.2.2/24"), address("2001:db8:1::2/64")],
        link_local: Some(ip6::link_local(OUR_MAC)),
        neighbors: Vec::new(),
    }
}

fn table_at(now: Instant) -> Table {
    let mut table = Table::new(1);
    assert_eq!(table.set_interfaces(now, vec![config()]), []);
    table
}

fn arp(operation: Operation, mac: MacAddr, sender: &str, target: &str) -> Vec<u8> {
    let ip4 = |text: &str| text.parse().unwrap();
    let mut frame = vec![0; 60];
    let dst = if operation == Operation::Request { MacAddr::BROADCAST } else { OUR_MAC };
    eth::Repr { dst, src: mac, ethertype: EtherType::ARP }.emit(&mut frame).unwrap();
    let (sender_ip, target_ip) = (ip4(sender), ip4(target));
    let packet =
        arp::Repr { operation, sender_mac: mac, sender_ip, target_mac: OUR_MAC, target_ip };
    packet.emit(&mut frame[14..]).unwrap();
    frame
}

fn nd(mac: MacAddr, src: &str, dst: &str, message: nd::Message) -> Vec<u8> {
    let (src, dst) = (src.parse().unwrap(), dst.parse::<std::net::Ipv6Addr>().unwrap());
    let link_dst = if dst.is_multicast() { MacAddr::multicast_v6(dst) } else { OUR_MAC };
    let mut frame = vec![0; 54 + message.wire_len()];
    let ethertype = EtherType::IPV6;
    eth::Repr { dst: link_dst, src: mac, ethertype }.emit(&mut frame).unwrap();
    let len = u16::try_from(message.wire_len()).unwrap();
    let header = ip6::Repr { hop_limit: 255, ..ip6::Repr::new(src, dst, IpProto::ICMPV6, len) };
    header.emit(&mut frame[14..]).unwrap();
    message.emit(src, dst, &mut frame[54..]).unwrap();
    frame
}

fn advertisement(target: &str, target_mac: Option<MacAddr>, flags: &str) -> nd::Message {
    nd::Message::NeighborAdvertisement {
        target: target.parse().unwrap(),
        target_mac,
        router: false,
        solicited: flags.contains('S'),
        override_entry: flags.contains('O'),
    }
}

fn solicitation(target: &str, source_mac: Option<MacAddr>) -> nd::Message {
    nd::Message::NeighborSolicitation { target: target.parse().unwrap(), source_mac }
}

fn send(frame: &[u8]) -> Action<u32> {
    Action::Send { interface: LAN, frame: frame.to_vec() }
}

fn resolved(address: &str, mac: MacAddr, packets: &[u32]) -> Action<u32> {
    let packets = packets.to_vec();
    Action::Resolved { interface: LAN, address: ip(address), mac, packets }
}

fn changed(address: &str, mac: MacAddr) -> Action<u32> {
    Action::Changed { interface: LAN, address: ip(address), mac }
}

fn lost(address: &str) -> Action<u32> {
    Action::Lost { interface: LAN, address: ip(address) }
}

fn failed(address: &str, packets: &[u32]) -> Action<u32> {
    Action::Failed { interface: LAN, address: ip(address), packets: packets.to_vec() }
}

fn state(table: &Table, address: &str) -> Option<state::State> {
    table.entries().find(|entry| entry.address == ip(address)).map(|entry| entry.state)
}

/// Resolves an IPv4 neighbour.
fn reachable(table: &mut Table, now: Instant, address: &str) {
    table.resolve(now, LAN, ip(address), None);
    let reply = arp(Operation::Reply, MAC, address, "192.0.2.2");
    assert_eq!(table.handle_frame(now, LAN, &reply), [resolved(address, MAC, &[])]);
}

/// Polls at each deadline up to and at `until`; what happened and when, without what was sent.
fn run(table: &mut Table, until: Instant) -> (Vec<(Instant, Action<u32>)>, usize) {
    let (mut happened, mut sent) = (Vec::new(), 0);
    while let Some(at) = table.poll_timeout().filter(|&at| at <= until) {
        for action in table.poll(at) {
            match action {
                Action::Send { .. } => sent += 1,
                action => happened.push((at, action)),
            }
        }
    }
    (happened, sent)
}
