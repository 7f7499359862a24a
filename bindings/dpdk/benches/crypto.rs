//! TSC cycles per packet of AES-GCM by crypto devices, with `ring` on the same packets beside them:
//! `cargo bench -p dpdk --bench crypto`.
//!
//! Bursts of 64 packets, of one session or of a session each, AAD of 12 octets: pushed, and
//! dequeued until all are back. A burst is encrypted, then decrypted, and so on. Rounds of all
//! cases are interleaved, since the clock of a shared machine swings; medians and, in brackets,
//! quartiles are shown. "empty" is a burst of texts without octets: what handling an op costs
//! beside AES-GCM, and AES-GCM of AAD alone.

#![allow(missing_docs, reason = "a program")]
#![allow(clippy::unwrap_used, reason = "a program that may end when it cannot start")]

use dpdk::crypto::{
    CryptoConfig, CryptoDevice, CryptoDone, CryptoOp, CryptoQueue, CryptoStatus, Direction,
    ICV_LEN, Session,
};
use dpdk::{Eal, EalConfig, Error, Mbuf, Mempool, MempoolConfig, pin_current_thread, tsc};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

const DRIVERS: [&str; 3] = ["crypto_aesni_gcm", "crypto_aesni_mb", "crypto_openssl"];
const BURST: u16 = 64;
/// None; a 64-octet, a 512-octet and a large packet under GRE.
const TEXT_LENS: [usize; 4] = [0, 80, 528, 1424];
const KEY_LENS: [usize; 2] = [16, 32];
const AAD: [u8; 12] = [7; 12];
const SESSIONS: [u8; 2] = [1, 64];
const ROUNDS: usize = 31;
const BURSTS_PER_ROUND: u32 = 64;

/// Encrypts or decrypts a burst in place.
trait Burst {
    fn burst(&mut self, direction: Direction, packets: &mut Vec<Mbuf>);
}

struct Device {
    queue: CryptoQueue,
    /// Of the packets of a burst in turn, to encrypt and to decrypt.
    sessions: Vec<[Session; 2]>,
    done: Vec<CryptoDone>,
}

impl Burst for Device {
    fn burst(&mut self, direction: Direction, packets: &mut Vec<Mbuf>) {
        let sessions = self.sessions.iter().cycle();
        for ((user, mbuf), [encrypt, decrypt]) in (0..).zip(packets.drain(..)).zip(sessions) {
            let session = if direction == Direction::Encrypt { encrypt } else { decrypt };
            let text = 0..mbuf.len() - ICV_LEN;
            let op = CryptoOp { session, mbuf, text, nonce: nonce(user), aad: &AAD, user };
            self.queue.push(op).unwrap();
        }
        while packets.len() < usize::from(BURST) {
            self.queue.dequeue(&mut self.done, usize::from(BURST));
            for done in self.done.drain(..) {
                assert_eq!(done.status, CryptoStatus::Ok);
                packets.push(done.mbuf);
            }
        }
    }
}

impl Burst for LessSafeKey {
    fn burst(&mut self, direction: Direction, packets: &mut Vec<Mbuf>) {
        for (user, packet) in (0..).zip(packets) {
            let nonce = Nonce::assume_unique_for_key(nonce(user));
            let octets = packet.data_mut().unwrap();
            if direction == Direction::Decrypt {
                self.open_in_place(nonce, Aad::from(&AAD), octets).unwrap();
                continue;
            }
            let (text, icv) = octets.split_last_chunk_mut::<ICV_LEN>().unwrap();
            let tag = self.seal_in_place_separate_tag(nonce, Aad::from(&AAD), text).unwrap();
            icv.copy_from_slice(tag.as_ref());
        }
    }
}

/// One line of the report, with its times of each round.
struct Case {
    name: String,
    key_len: usize,
    worker: Box<dyn Burst>,
    packets: Vec<Vec<Mbuf>>,
    /// Of each length, encrypting and decrypting.
    cycles: [[Vec<f64>; 2]; TEXT_LENS.len()],
}

impl Case {
    fn new(name: String, key_len: usize, worker: impl Burst + 'static, pool: &Mempool) -> Self {
        let packets = TEXT_LENS.map(|len| {
            let mut packets = Vec::new();
            assert_eq!(pool.alloc_bulk(BURST.into(), &mut packets), usize::from(BURST));
            assert!(packets.iter_mut().all(|packet| packet.write(&vec![0x33; len + ICV_LEN])));
            packets
        });
        let (worker, packets) = (Box::new(worker), packets.into());
        Case { name, key_len, worker, packets, cycles: Default::default() }
    }

    fn round(&mut self) {
        for (packets, times) in self.packets.iter_mut().zip(&mut self.cycles) {
            let mut cycles = [0; 2];
            for _ in 0..BURSTS_PER_ROUND {
                let start = tsc();
                self.worker.burst(Direction::Encrypt, packets);
                let middle = tsc();
                self.worker.burst(Direction::Decrypt, packets);
                cycles = [cycles[0] + middle - start, cycles[1] + tsc() - middle];
            }
            for (times, cycles) in times.iter_mut().zip(cycles) {
                times.push(cycles as f64 / f64::from(BURSTS_PER_ROUND * u32::from(BURST)));
            }
        }
    }

    fn print(self) {
        for (direction, index) in [("encrypt", 0), ("decrypt", 1)] {
            print!("{:<24}{:>4}  {direction}", self.name, 8 * self.key_len);
            for times in &self.cycles {
                print!("{:>17}", spread(&times[index]));
            }
            println!();
        }
    }
}

fn nonce(user: u64) -> [u8; 12] {
    let mut nonce = [5; 12];
    nonce[4..].copy_from_slice(&user.to_be_bytes());
    nonce
}

fn spread(rounds: &[f64]) -> String {
    let mut rounds = rounds.to_vec();
    rounds.sort_by(f64::total_cmp);
    let [low, middle, high] = [1, 2, 3].map(|quarter| rounds[(rounds.len() - 1) * quarter / 4]);
    format!("{middle:.0} ({low:.0}-{high:.0})")
}

fn main() {
    pin_current_thread(0).unwrap();
    let eal = Eal::init(&EalConfig::default()).unwrap();
    let pool = Mempool::new(&eal, "packets", MempoolConfig::default()).unwrap();
    let mut cases = Vec::new();
    for key_len in KEY_LENS {
        for driver in DRIVERS {
            let name = format!("{driver}{key_len}");
            let config = CryptoConfig { queues: 2, ..CryptoConfig::default() };
            let attached = CryptoDevice::attach(&eal, &name, &config);
            let (device, mut queues) = match attached {
                Err(Error::NoSuchDevice(_)) => {
                    println!("{driver} is not installed");
                    continue;
                }
                attached => attached.unwrap(),
            };
            for count in SESSIONS {
                let session = |key| {
                    [Direction::Encrypt, Direction::Decrypt].map(|direction| {
                        device.session(direction, &vec![key; key_len], AAD.len()).unwrap()
                    })
                };
                let sessions = (0..count).map(session).collect();
                let worker = Device { queue: queues.remove(0), sessions, done: Vec::new() };
                cases.push(Case::new(format!("{driver}, {count} SA"), key_len, worker, &pool));
            }
        }
        let algorithm = if key_len == 16 { &AES_128_GCM } else { &AES_256_GCM };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, &vec![1; key_len]).unwrap());
        cases.push(Case::new("ring, 1 SA".into(), key_len, key, &pool));
    }
    for _ in 0..ROUNDS {
        cases.iter_mut().for_each(Case::round);
    }
    println!("TSC cycles per packet, bursts of {BURST}, medians of {ROUNDS} rounds (quartiles)");
    println!("{:<30}{:>24}{:>17}{:>17}{:>17}", "", "empty", "80", "528", "1424 octets");
    cases.into_iter().for_each(Case::print);
}
