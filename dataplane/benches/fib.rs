//! What a lookup costs, in ns, median of several runs, and what a table costs to build:
//! `cargo bench -p greyhound-dataplane --bench fib`.
//!
//! `one`: a chain of single lookups in a loop; `burst`: 64 addresses a call, as the core loop has
//! them. Addresses are random: `within` lies in a random route, `anywhere` in the whole space.

#![allow(missing_docs, reason = "a program")]
#![allow(clippy::expect_used, reason = "a program that may end when it cannot start")]
#![allow(clippy::cast_possible_truncation, reason = "random bits are cut to size")]

use std::hint::black_box;
use std::time::Instant;

use dataplane::tables::fib::{Address, Fib, Found, Next, Prefix};

const BURST: usize = 64;
/// 512 KB of IPv4 addresses: a stream that the prefetchers bring, not a set that caches hold.
const ADDRESSES: usize = 1 << 17;
const RUNS: usize = 15;

fn main() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    println!("{:<24}{:>9}{:>9}{:>18}{:>18}", "", "build", "memory", "within", "anywhere");
    println!(
        "{:<24}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "", "ms", "KB", "one", "burst", "one", "burst"
    );
    for routes in [1, 10, 1_000, 10_000, 100_000, 500_000] {
        let table: Vec<_> = (0..routes).map(|_| random.route4()).collect();
        report("IPv4", &table, &mut random, |random| random.next() as u32, |a, b| a | b);
    }
    for routes in [10, 10_000, 200_000] {
        let table: Vec<_> = (0..routes).map(|_| random.route6()).collect();
        report("IPv6", &table, &mut random, Random::address6, |a, b| a | b);
    }
}

fn report<A: Address>(
    family: &str,
    prefixes: &[Prefix<A>],
    random: &mut Random,
    address: impl Fn(&mut Random) -> A,
    or: impl Fn(A, A) -> A,
) {
    let next = |i: usize| Next(i as u32 % 10_000);
    let routes: Vec<_> = prefixes.iter().enumerate().map(|(i, p)| (*p, next(i))).collect();
    let mut builds: Vec<_> = (0..RUNS)
        .map(|_| {
            let routes = routes.clone();
            let start = Instant::now();
            black_box(Fib::build(routes).expect("few enough"));
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    let fib = Fib::build(routes).expect("few enough");
    let within: Vec<A> = (0..ADDRESSES)
        .map(|_| {
            let prefix = prefixes[random.next() as usize % prefixes.len()];
            let host = A::mask(A::WIDTH) ^ A::mask(prefix.length());
            or(prefix.bits(), address(random) & host)
        })
        .collect();
    let anywhere: Vec<A> = (0..ADDRESSES).map(|_| address(random)).collect();
    println!(
        "{:<24}{:>9.2}{:>9}{:>9.1}{:>9.1}{:>9.1}{:>9.1}",
        format!("{family}, {} routes", prefixes.len()),
        median(&mut builds),
        fib.memory_bytes() / 1024,
        single(&fib, &within),
        burst(&fib, &within),
        single(&fib, &anywhere),
        burst(&fib, &anywhere),
    );
}

fn single<A: Address>(fib: &Fib<A>, addresses: &[A]) -> f64 {
    per_address(|| {
        for address in addresses {
            black_box(fib.lookup(*address));
        }
    })
}

fn burst<A: Address>(fib: &Fib<A>, addresses: &[A]) -> f64 {
    let mut out = [Found::default(); BURST];
    per_address(|| {
        for burst in addresses.chunks_exact(BURST) {
            fib.lookup_burst(burst, |address| *address, &mut out);
            black_box(&out);
        }
    })
}

fn per_address(mut run: impl FnMut()) -> f64 {
    run();
    let mut times: Vec<_> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e9 / ADDRESSES as f64
        })
        .collect();
    median(&mut times)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// xorshift64*: the same tables and addresses each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// Lengths about as BGP has them, addresses without any clustering: the hard case.
    fn route4(&mut self) -> Prefix<u32> {
        let length = match self.next() % 100 {
            0..60 => 24,
            60..70 => 23,
            70..81 => 22,
            81..86 => 21,
            86..90 => 20,
            90..93 => 19,
            93..97 => 12 + (self.next() % 7) as u8,
            97..99 => 25 + (self.next() % 7) as u8,
            _ => 32,
        };
        Prefix::new(self.next() as u32, length).expect("a length")
    }

    fn route6(&mut self) -> Prefix<u128> {
        let length = match self.next() % 100 {
            0..48 => 48,
            48..63 => 32,
            63..75 => 40 + (self.next() % 8) as u8,
            75..92 => 33 + (self.next() % 7) as u8,
            92..98 => 20 + (self.next() % 12) as u8,
            _ => 64,
        };
        Prefix::new(self.address6(), length).expect("a length")
    }

    /// In 2000::/3, with 16 bits of it in use, as registries have handed them out.
    fn address6(&mut self) -> u128 {
        let (high, low) = (self.next() << 16, self.next());
        (u128::from(high) << 64 | u128::from(low)) & (u128::MAX >> 6) | 0x20 << 120
    }
}
