//! One SA sealed and opened by several cores: in order, complete, under the right keys, whatever
//! the cores' turns and stalls.

mod changes;
mod order;
mod stalls;

use dataplane::engine::topology::StageKind;

use crate::support::frame::{Ip, UDP, udp};
use crate::support::rng::Rng;
use crate::support::{Lab, Layout, Link, Site};

/// Packets that may wait in a stage that deals: the rings' size in these tests.
const WAITING_MAX: usize = 1024;
/// The worker that owns all state; the others are helpers.
const OWNER: usize = 0;

/// Gateways 1 and 2 around one SA in each direction, each with so many helpers.
fn pair(helpers: u16) -> Lab {
    let link = Link::dmvpn();
    let sites = vec![Site::new(1, &[2], &link), Site::new(2, &[1], &link)];
    Lab::new(&Layout::Elephant(1 + helpers), sites)
}

/// Gateway 1 of two, alone with its helpers.
fn alone(helpers: u16) -> Lab {
    Lab::new(&Layout::Elephant(1 + helpers), vec![Site::new(1, &[2], &Link::dmvpn())])
}

/// A packet from a host of site 1 to one of site 2 that tells its number; `len` from 32 octets on.
pub fn numbered(number: u32, len: usize) -> Vec<u8> {
    numbered_to(2, number, len)
}

pub fn numbered_to(site: u8, number: u32, len: usize) -> Vec<u8> {
    let payload = [&number.to_be_bytes()[..], &vec![number as u8; len - 32]].concat();
    Ip::new("10.1.0.10", &format!("10.{site}.0.10"), UDP).packet(&udp(1000, 53, &payload))
}

/// The number that a packet tells, whose octets are all as they were sent.
pub fn number_of(packet: &[u8]) -> u32 {
    let number = u32::from_be_bytes(packet[28..32].try_into().unwrap());
    assert!(packet[32..].iter().all(|octet| *octet == number as u8), "payload of {number}");
    number
}

/// Packets of any length, numbered from `first` on.
pub fn packets(rng: &mut Rng, first: u32, count: u32) -> Vec<Vec<u8>> {
    (first..first + count).map(|number| numbered(number, 32 + rng.below(1300))).collect()
}

/// Frames of as many packets as gateway 1 would get from its hosts.
pub fn host_frames(lab: &Lab, packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    packets.iter().map(|packet| lab.site(1).host_frame(packet)).collect()
}

/// Packets that each worker of a gateway sealed or opened for its owner.
pub fn helped(lab: &Lab, gateway: u8) -> Vec<u64> {
    let places = lab[gateway].plan.instances(StageKind::Cipher).into_iter();
    let packets = places.map(|(at, node)| lab[gateway].links[at].stages[node].packets.value());
    packets.collect()
}

/// Packets that wait in a stage of the owner.
pub fn held(lab: &Lab, gateway: u8, stage: StageKind) -> usize {
    let (at, node) = lab[gateway].plan.instances(stage)[0];
    lab[gateway].links[at].stages[node].held.value() as usize
}

/// Sequence numbers of frames on the underlay, which are their IVs.
pub fn sequences(frames: &[Vec<u8>]) -> Vec<u64> {
    let iv = |frame: &Vec<u8>| u64::from_be_bytes(frame[42..50].try_into().unwrap());
    frames.iter().map(iv).collect()
}
