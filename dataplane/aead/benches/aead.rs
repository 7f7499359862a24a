//! What sealing and opening cost per packet: all back ends side by side, bursts of 64 and single
//! packets, one key and many, building the jobs included.
//!
//! `cargo bench -p greyhound-aead [-- WORD...]`: all cases, or those that have each word in their
//! line; `-- aes256gcm16 "burst 64"` for instance. TSC cycles on x86-64, nanoseconds elsewhere.
//! Medians over rounds in which all cases take turns, so that a core that changes its clock slows
//! all alike.

#![expect(clippy::expect_used, reason = "a bench that cannot run has nothing to report")]

use std::array;
use std::env;
use std::hint::black_box;

use aead::{Aad, Algorithm, Backend, ICV_LEN, Key, OpenJob, SealJob};

mod clock;

/// Octets of text: what an IPv4 packet of about 24, 64, 128, 256, 512, 1000 and 1400 octets is
/// under GRE.
const TEXT_LENS: [usize; 7] = [48, 80, 144, 272, 528, 1024, 1424];
/// The simple IMIX under GRE, in an order that no branch predictor learns.
const MIX: [usize; 12] = [80, 80, 80, 80, 80, 80, 80, 592, 592, 592, 592, 1424];
/// Keys that take turns, packet by packet, and packets of a burst.
const SETTINGS: [(usize, usize); 4] = [(1, BURST), (64, BURST), (1000, BURST), (1, 1)];
const BURST: usize = 64;
const ROUNDS: usize = 31;
/// Packets that are sealed, and then all opened.
const PACKETS: usize = 1024;
/// How often a round does that.
const PASSES: usize = 4;
/// Packets lie as in mbufs of 2 KiB, behind headroom, Ethernet, IPv4, ESP and IV.
const STRIDE: usize = 2368;
const OFFSET: usize = 178;

fn main() {
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut rows = rows();
    rows.retain(|row| words.iter().all(|word| row.name().contains(word.as_str())));
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        ratios.push(clock::core_ratio());
        rows.iter_mut().flat_map(|row| &mut row.cases).for_each(Case::round);
    }

    let (ratio, ratio_spread) = (median(&ratios), spread(&ratios));
    println!("{} per packet, seal and open: medians of {ROUNDS} rounds", clock::UNIT);
    println!("+- is half of what lies between the quartiles, of the case with most of it");
    println!("core clock {ratio:.2} of that clock (+-{:.0} %)", 100.0 * ratio_spread);
    print!("{:46}", "");
    Backend::ALL.iter().for_each(|backend| print!("{backend:>14}"));
    println!("      +-");
    rows.iter().for_each(Row::print);
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (keys, burst) in SETTINGS {
        for algorithm in Algorithm::ALL {
            let lens = TEXT_LENS.iter().map(slice_of).chain([&MIX[..]]);
            rows.extend(lens.map(|text_lens| Row::new(algorithm, text_lens, keys, burst)));
        }
    }
    rows
}

fn slice_of(len: &'static usize) -> &'static [usize] {
    std::slice::from_ref(len)
}

/// One line of the report.
struct Row {
    algorithm: Algorithm,
    text_lens: &'static [usize],
    keys: usize,
    burst: usize,
    cases: Vec<Case>,
}

impl Row {
    fn new(algorithm: Algorithm, text_lens: &'static [usize], keys: usize, burst: usize) -> Self {
        let backends = Backend::ALL.into_iter().filter(|backend| backend.is_available());
        let case = |backend| Case::new(algorithm, backend, text_lens, keys, burst);
        Self { algorithm, text_lens, keys, burst, cases: backends.map(case).collect() }
    }

    fn name(&self) -> String {
        let Self { algorithm, text_lens, keys, burst, .. } = self;
        let octets = match text_lens {
            [len] => len.to_string(),
            _ => "mix".to_owned(),
        };
        format!("{algorithm} burst {burst:2} keys {keys:4} octets {octets:>4}")
    }

    fn print(&self) {
        print!("{:46}", self.name());
        let mut most = 0.0_f64;
        for backend in Backend::ALL {
            let case = self.cases.iter().find(|case| case.backend == backend);
            let Some(Case { seal, open, .. }) = case else {
                print!("{:>14}", "cannot run");
                continue;
            };
            print!(" {:6.1} {:6.1}", median(seal), median(open));
            most = most.max(spread(seal)).max(spread(open));
        }
        println!(" {:5.1} %", 100.0 * most);
    }
}

/// One back end in a row, with the cost per packet in each round.
struct Case {
    backend: Backend,
    keys: Vec<Key>,
    /// Of packet after packet.
    text_lens: Vec<usize>,
    burst: usize,
    seal: Vec<f64>,
    open: Vec<f64>,
}

impl Case {
    fn new(
        algorithm: Algorithm,
        backend: Backend,
        text_lens: &[usize],
        keys: usize,
        burst: usize,
    ) -> Self {
        let key = |number: usize| {
            let mut material = vec![0x42; algorithm.material_len()];
            material[..8].copy_from_slice(&number.to_be_bytes());
            Key::new(algorithm, backend, &material).expect("available, material of its length")
        };
        let keys = (0..keys).map(key).collect();
        // Multiplicative hashing: an order without a short period.
        let pick = |number: usize| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let text_lens = (0..PACKETS).map(|number| text_lens[pick(number) % text_lens.len()]);
        let text_lens = text_lens.collect();
        Self { backend, keys, text_lens, burst, seal: Vec::new(), open: Vec::new() }
    }

    /// Seals and opens each packet once before the clock counts, so that keys are where they are
    /// while a core works with so many.
    fn round(&mut self) {
        let mut memory = vec![0x33; STRIDE * PACKETS];
        self.pass(&mut memory);
        let (mut seal, mut open) = (0, 0);
        for _ in 0..PASSES {
            let cost = self.pass(&mut memory);
            seal += cost.0;
            open += cost.1;
        }
        let packets = (PASSES * PACKETS) as f64;
        self.seal.push(seal as f64 / packets);
        self.open.push(open as f64 / packets);
    }

    /// Cost of sealing all packets, and of opening them then.
    fn pass(&self, memory: &mut [u8]) -> (u64, u64) {
        let all = |memory: &mut [u8], one: &dyn Fn(usize, &mut [u8]) -> u64| {
            let bursts = memory.chunks_mut(STRIDE * self.burst).enumerate();
            bursts.map(|(number, memory)| one(number * self.burst, memory)).sum()
        };
        if self.burst == 1 {
            let seal = all(memory, &|first, memory| self.seal_burst::<1>(first, memory));
            (seal, all(memory, &|first, memory| self.open_burst::<1>(first, memory)))
        } else {
            let seal = all(memory, &|first, memory| self.seal_burst::<BURST>(first, memory));
            (seal, all(memory, &|first, memory| self.open_burst::<BURST>(first, memory)))
        }
    }

    fn seal_burst<const BURST: usize>(&self, first: usize, memory: &mut [u8]) -> u64 {
        let mut packets = self.packets(first, memory);
        let start = clock::now();
        let mut jobs: [SealJob<'_>; BURST] = array::from_fn(|_| {
            let (key, seq, buffer) = packets.next().expect("a buffer for each job");
            SealJob::new(key, iv(seq), Aad::esn(0x1001, 0, seq), buffer).expect("room")
        });
        aead::seal(black_box(&mut jobs));
        clock::now() - start
    }

    fn open_burst<const BURST: usize>(&self, first: usize, memory: &mut [u8]) -> u64 {
        let mut packets = self.packets(first, memory);
        let start = clock::now();
        let mut jobs: [OpenJob<'_>; BURST] = array::from_fn(|_| {
            let (key, seq, buffer) = packets.next().expect("a buffer for each job");
            OpenJob::new(key, iv(seq), Aad::esn(0x1001, 0, seq), buffer)
        });
        aead::open(black_box(&mut jobs));
        let elapsed = clock::now() - start;
        assert!(jobs.iter().all(OpenJob::verified));
        elapsed
    }

    /// Key, sequence number and buffer of each packet from number `first` on. Reads the packets,
    /// so that they are in the cache, as behind another stage.
    fn packets<'a>(
        &'a self,
        first: usize,
        memory: &'a mut [u8],
    ) -> impl Iterator<Item = (&'a Key, u32, &'a mut [u8])> {
        let lens = &self.text_lens[first..];
        for (mbuf, len) in memory.chunks_exact(STRIDE).zip(lens) {
            let lines = mbuf[OFFSET..][..len + ICV_LEN].iter().step_by(64);
            black_box(lines.fold(0_u8, |sum, &octet| sum.wrapping_add(octet)));
        }
        let keys = self.keys.iter().cycle().skip(first % self.keys.len());
        let mbufs = memory.chunks_exact_mut(STRIDE).zip(lens);
        let buffers = mbufs.map(|(mbuf, len)| &mut mbuf[OFFSET..][..len + ICV_LEN]);
        (1_u32..).zip(keys).zip(buffers).map(|((seq, key), buffer)| (key, seq, buffer))
    }
}

fn iv(seq: u32) -> [u8; 8] {
    u64::from(seq).to_be_bytes()
}

fn median(rounds: &[f64]) -> f64 {
    quartile(rounds, 2)
}

/// Half of what lies between the quartiles, as part of the median.
fn spread(rounds: &[f64]) -> f64 {
    (quartile(rounds, 3) - quartile(rounds, 1)) / 2.0 / median(rounds)
}

fn quartile(rounds: &[f64], number: usize) -> f64 {
    let mut rounds = rounds.to_vec();
    rounds.sort_unstable_by(f64::total_cmp);
    rounds[(rounds.len() - 1) * number / 4]
}
