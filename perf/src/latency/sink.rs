//! Who sees frames leave, and tells which packets they are.

use dpdk::{Mbuf, RxQueue};

use super::schedule::Schedule;
use crate::addresses;
use crate::case::Case;
use crate::flows;
use crate::mode::{Mode, Way};

/// Receives what leaves by one way. It polls after each turn of the worker that sends, so a frame
/// counts as gone when that turn is over.
pub(super) struct Sink {
    seen: RxQueue,
    reader: Reader,
    frames: Vec<Mbuf>,
    /// The first so many packets are not recorded.
    warm_up: u64,
    /// TSC ticks from when packets were due to when their frames had left.
    pub(super) latencies: Vec<u64>,
    /// Frames that no packet belongs to.
    pub(super) unknown: u64,
}

impl Sink {
    pub(super) fn new(case: &Case, way: Way, seen: RxQueue, warm_up: u64) -> Self {
        let (reader, frames, latencies) = (Reader::new(case, way), Vec::new(), Vec::new());
        Self { seen, reader, frames, warm_up, latencies, unknown: 0 }
    }

    /// Takes what has left by `now`; returns how many frames that is.
    pub(super) fn poll(&mut self, schedule: &Schedule, now: u64) -> u64 {
        let count = self.seen.burst(&mut self.frames, FRAMES_MAX) as u64;
        for frame in &self.frames {
            match self.reader.number(frame.data()) {
                // What has left before it was due is not what it looks like.
                Some(number) if schedule.due(number) <= now => {
                    if number >= self.warm_up {
                        self.latencies.push(now - schedule.due(number));
                    }
                }
                _ => self.unknown += 1,
            }
        }
        Mbuf::free_bulk(&mut self.frames);
        count
    }
}

/// Frames that are taken at a time.
const FRAMES_MAX: usize = 4096;

/// How the number of a packet is found in its frame.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reader {
    /// It is stamped into the payload, and the frame is in clear.
    Stamp,
    /// Sequence numbers count the packets of each peer's flows, which come round robin.
    Sequence {
        flows: u64,
        /// Peers that send, or are sent to.
        peers: u64,
        /// From the peer that a frame goes to, that of the flow.
        peer_shift: u64,
        /// Frames of each packet.
        frames: u64,
        /// Each packet goes to each peer.
        copies: bool,
    },
}

/// Ethernet and IPv4 are in front of ESP.
const ESP: usize = 14 + 20;

impl Reader {
    fn new(case: &Case, way: Way) -> Self {
        if !way.enters_tunnel() || !case.mode.is_protected() {
            return Self::Stamp;
        }
        let tunnel_peers = u64::from(case.tunnel_peers());
        Self::Sequence {
            flows: case.flows.into(),
            peers: case.peers.into(),
            peer_shift: if case.mode == Mode::Hub { tunnel_peers - 1 } else { 0 },
            frames: if case.mode == Mode::Fragment { case.frames_out() as u64 } else { 1 },
            copies: case.mode == Mode::Replicate,
        }
    }

    fn number(&self, frame: &[u8]) -> Option<u64> {
        let Self::Sequence { flows, peers, peer_shift, frames, copies } = self else {
            return flows::stamp(frame);
        };
        let [spi, sequence] = [ESP, ESP + 4].map(|at| {
            let word = frame.get(at..at + 4)?.first_chunk::<4>()?;
            Some(u32::from_be_bytes(*word))
        });
        let of_peer = u64::from(sequence?).checked_sub(1)? / frames;
        if *copies {
            return Some(of_peer);
        }
        let peer = u64::from(spi?.checked_sub(addresses::spi(0))?);
        // A hub with one sending peer has two, of which the second is sent to.
        let tunnel_peers = *peers.max(&(peer_shift + 1));
        let sender = (peer + peer_shift) % tunnel_peers;
        if peer >= tunnel_peers || sender >= *peers {
            return None;
        }
        let flows_of_peer = (flows - sender).div_ceil(*peers);
        let (round, flow) = (of_peer / flows_of_peer, of_peer % flows_of_peer);
        Some(round * flows + sender + flow * peers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flows::Flow;
    use crate::tests::case;

    fn frame(peer: u32, sequence: u32) -> Vec<u8> {
        let mut frame = vec![0; ESP];
        frame.extend(addresses::spi(peer).to_be_bytes());
        frame.extend(sequence.to_be_bytes());
        frame
    }

    /// Numbers each packet as gateways do, and reads the number back.
    fn assert_found(line: &str) {
        let case = case(line);
        let reader = Reader::new(&case, case.mode.ways()[0]);
        let flows: Vec<_> = Flow::all(case.flows, case.peers).collect();
        let mut sequences = vec![0; case.tunnel_peers() as usize];
        for number in 0..1_000u64 {
            let flow = flows[usize::try_from(number).unwrap() % flows.len()];
            let to = match case.mode {
                Mode::Hub => vec![case.next_peer(flow.peer)],
                Mode::Replicate => (0..case.peers).collect(),
                _ => vec![flow.peer],
            };
            let frames = if case.mode == Mode::Fragment { case.frames_out() } else { 1 };
            for peer in to {
                for _ in 0..frames {
                    sequences[peer as usize] += 1;
                    let frame = frame(peer, sequences[peer as usize]);
                    assert_eq!(reader.number(&frame), Some(number), "{line}, peer {peer}");
                }
            }
        }
    }

    #[test]
    fn a_sequence_number_tells_which_packet_it_is() {
        for line in [
            "--mode encrypt --size 64",
            "--mode encrypt --size 64 --peers 7 --flows 24",
            "--mode bidirectional --size 64 --peers 3 --flows 3",
            "--mode hub --size 64",
            "--mode hub --size 64 --peers 2 --flows 5",
            "--mode hub --size 64 --peers 5",
            "--mode fragment --size 1500 --peers 2",
            "--mode replicate --size 64 --peers 3",
        ] {
            assert_found(line);
        }
    }

    #[test]
    fn what_is_in_clear_has_a_stamp() {
        let stamp = |line: &str| {
            let case = case(line);
            Reader::new(&case, *case.mode.ways().last().unwrap())
        };
        for mode in ["forward", "gre-encap", "gre-decap", "decrypt", "bidirectional"] {
            assert_eq!(stamp(&format!("--mode {mode} --size 64")), Reader::Stamp, "{mode}");
        }
        let mut frame = vec![0; 60];
        frame[52..].copy_from_slice(&77u64.to_be_bytes());
        assert_eq!(Reader::Stamp.number(&frame), Some(77));
    }

    #[test]
    fn strange_frames_have_no_number() {
        let case = case("--mode encrypt --size 64 --peers 2");
        let reader = Reader::new(&case, Way::Out);
        assert_eq!(reader.number(&frame(2, 1)), None);
        assert_eq!(reader.number(&frame(0, 0)), None);
        assert_eq!(reader.number(&[0; 40]), None);
        assert_eq!(Reader::Stamp.number(&[0; 7]), None);
    }
}
