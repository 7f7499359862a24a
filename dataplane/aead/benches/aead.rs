//! Time per packet of sealing and opening bursts, for each back end, algorithm and length.
//!
//! `cargo bench -p greyhound-aead`; with `TSC_MHZ` set, TSC cycles beside nanoseconds. Medians over
//! rounds in which all cases take turns, so that a core that changes its clock slows all alike.

#![expect(clippy::expect_used, reason = "a bench that cannot run has nothing to report")]

use std::array;
use std::env;
use std::hint::black_box;
use std::time::{Duration, Instant};

use aead::{Aad, Algorithm, Backend, ICV_LEN, Key, OpenJob, SealJob};

const BURST: usize = 64;
/// A 64-octet, a 512-octet and a large packet under GRE.
const TEXT_LENS: [usize; 3] = [80, 528, 1424];
const ROUNDS: usize = 31;
const BURSTS_PER_ROUND: u32 = 64;

fn main() {
    let tsc_mhz = env::var("TSC_MHZ").ok().and_then(|mhz| mhz.parse::<f64>().ok());
    let mut cases: Vec<Case> = Vec::new();
    for algorithm in Algorithm::ALL {
        for text_len in TEXT_LENS {
            cases.extend(Backend::ALL.map(|backend| Case::new(algorithm, backend, text_len)));
        }
    }
    for _ in 0..ROUNDS {
        cases.iter_mut().for_each(Case::round);
    }

    let unit = if tsc_mhz.is_some() { "TSC cycles" } else { "ns" };
    println!("{unit} per packet, bursts of {BURST}, median of {ROUNDS} rounds");
    println!("{:12} {:9} {:>6} {:>8} {:>8}", "algorithm", "back end", "octets", "seal", "open");
    for case in cases {
        let (algorithm, backend) = (case.key.algorithm(), case.key.backend());
        let [seal, open] = [case.seal, case.open].map(|times| per_packet(times, tsc_mhz));
        println!("{algorithm:12} {backend:9} {:6} {seal:8.1} {open:8.1}", case.text_len);
    }
}

/// One line of the report, with its times of each round.
struct Case {
    key: Key,
    text_len: usize,
    seal: Vec<Duration>,
    open: Vec<Duration>,
}

impl Case {
    fn new(algorithm: Algorithm, backend: Backend, text_len: usize) -> Self {
        let key = Key::new(algorithm, backend, &vec![0x42; algorithm.material_len()])
            .expect("material of the right length");
        Self { key, text_len, seal: Vec::new(), open: Vec::new() }
    }

    fn round(&mut self) {
        let mut buffers = vec![vec![0x33; self.text_len + ICV_LEN]; BURST];
        let (mut seal, mut open) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..BURSTS_PER_ROUND {
            seal += self.seal_burst(&mut buffers);
            // What was sealed is opened, so that the next burst has plaintext again.
            open += self.open_burst(&mut buffers);
        }
        self.seal.push(seal);
        self.open.push(open);
    }

    fn seal_burst(&self, buffers: &mut [Vec<u8>]) -> Duration {
        let start = Instant::now();
        let mut packets = (1_u32..).zip(buffers);
        let mut jobs: [SealJob<'_>; BURST] = array::from_fn(|_| {
            let (seq, buffer) = packets.next().expect("a buffer for each job");
            SealJob::new(&self.key, iv(seq), Aad::esn(0x1001, 0, seq), buffer).expect("room")
        });
        aead::seal(black_box(&mut jobs));
        start.elapsed()
    }

    fn open_burst(&self, buffers: &mut [Vec<u8>]) -> Duration {
        let start = Instant::now();
        let mut packets = (1_u32..).zip(buffers);
        let mut jobs: [OpenJob<'_>; BURST] = array::from_fn(|_| {
            let (seq, buffer) = packets.next().expect("a buffer for each job");
            OpenJob::new(&self.key, iv(seq), Aad::esn(0x1001, 0, seq), buffer)
        });
        aead::open(black_box(&mut jobs));
        let elapsed = start.elapsed();
        assert!(jobs.iter().all(OpenJob::verified));
        elapsed
    }
}

fn iv(seq: u32) -> [u8; 8] {
    u64::from(seq).to_be_bytes()
}

/// The median round, as time of one packet.
fn per_packet(mut rounds: Vec<Duration>, tsc_mhz: Option<f64>) -> f64 {
    rounds.sort_unstable();
    let packets = f64::from(BURSTS_PER_ROUND) * BURST as f64;
    let ns = rounds[rounds.len() / 2].as_secs_f64() * 1e9 / packets;
    tsc_mhz.map_or(ns, |mhz| ns * mhz / 1e3)
}
