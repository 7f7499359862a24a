//! Crypto devices: each driver that is installed, against published vectors and against `ring`.

#![expect(clippy::unwrap_used, reason = "also in what tests share")]
#![expect(clippy::cast_possible_truncation, reason = "numbers of tests are small")]

mod devices;
mod hostile;
mod oracle;
mod queues;
mod vectors;

use std::collections::VecDeque;
use std::io::Write;

use dpdk::crypto::{
    CryptoConfig, CryptoDevice, CryptoDone, CryptoOp, CryptoQueue, CryptoStatus, Direction,
    ICV_LEN, NONCE_LEN, OpError, RefusedOp, Session,
};
use dpdk::{Eal, Error, Mbuf, Mempool, MempoolConfig};

const DRIVERS: [&str; 3] = ["crypto_aesni_gcm", "crypto_aesni_mb", "crypto_openssl"];

/// Stands before the text of each packet, and must stay as it is.
const PREFIX: [u8; 21] = *b"outer headers, ESP, I";

/// Stands behind the ICV, and must stay as it is.
const SUFFIX: [u8; 3] = *b"end";

/// A device with its queue pairs, and packets for it.
struct Rig {
    device: CryptoDevice,
    queues: Vec<CryptoQueue>,
    pool: Mempool,
}

/// Runs `check` with a device of each driver. Nothing of it may be left at the end.
fn each(test: &str, config: CryptoConfig, check: impl Fn(&mut Rig)) {
    let eal = Eal::for_tests();
    for driver in DRIVERS {
        let name = format!("{driver}_{test}");
        let (device, queues) = match CryptoDevice::attach(eal, &name, &config) {
            Ok(attached) => attached,
            Err(Error::NoSuchDevice(_)) => {
                // Not by `eprintln!`, which a test that passes does not show.
                let line = format!("SKIPPED: {test} with {driver}, which is not installed\n");
                std::io::stderr().write_all(line.as_bytes()).unwrap();
                continue;
            }
            Err(error) => panic!("{name}: {error}"),
        };
        let pool_config = MempoolConfig { mbufs: 2047, cache: 0, ..MempoolConfig::default() };
        let pool = Mempool::new(eal, &format!("{test}_{}", &driver[7..]), pool_config).unwrap();
        let mut rig = Rig { device, queues, pool };
        println!("with {driver}:");
        check(&mut rig);
        rig.queues.clear();
        assert_eq!(rig.pool.in_use(), 0, "{name} leaks packets");
        assert_eq!(rig.device.sessions_in_use(), 0, "{name} leaks sessions");
    }
}

impl Rig {
    fn session(&self, direction: Direction, key: &[u8], aad_len: usize) -> Session {
        self.device.session(direction, key, aad_len).unwrap()
    }

    /// A packet with this text and what follows it.
    fn packet(&self, text: &[u8], icv: [u8; ICV_LEN]) -> Mbuf {
        let mut packet = self.pool.alloc().unwrap();
        assert!(packet.write(&[&PREFIX, text, &icv, &SUFFIX].concat()));
        packet
    }

    fn op(&self, session: &Session, job: &Job, text: &[u8], icv: [u8; ICV_LEN], user: u64) -> Op {
        Op { session: session.clone(), mbuf: self.packet(text, icv), job: job.clone(), user }
    }

    /// Encrypts, and gives ciphertext and ICV.
    fn seal(&mut self, session: &Session, job: &Job, text: &[u8]) -> (Vec<u8>, [u8; ICV_LEN]) {
        let op = self.op(session, job, text, [0xa5; ICV_LEN], 0);
        let done = run(&mut self.queues[0], vec![op]).remove(0);
        assert_eq!(done.status, CryptoStatus::Ok);
        split(&done.mbuf)
    }

    /// Decrypts, and gives the text if it is genuine. Otherwise nothing of it may be left.
    fn open(
        &mut self,
        session: &Session,
        job: &Job,
        text: &[u8],
        icv: [u8; ICV_LEN],
    ) -> Option<Vec<u8>> {
        let op = self.op(session, job, text, icv, 0);
        let done = run(&mut self.queues[0], vec![op]).remove(0);
        opened(&done, icv)
    }
}

/// What is beside the text.
#[derive(Clone, Debug)]
struct Job {
    nonce: [u8; NONCE_LEN],
    aad: Vec<u8>,
}

/// An op that is not yet in a queue.
struct Op {
    session: Session,
    mbuf: Mbuf,
    job: Job,
    user: u64,
}

/// Pushes one, whose text lies between [`PREFIX`] and what follows texts.
fn push(queue: &mut CryptoQueue, op: Op) -> Result<(), (OpError, Op)> {
    let Op { session, mbuf, job, user } = op;
    let text = PREFIX.len()..mbuf.len() - ICV_LEN - SUFFIX.len();
    let op = CryptoOp { session: &session, mbuf, text, nonce: job.nonce, aad: &job.aad, user };
    match queue.push(op) {
        Ok(()) => Ok(()),
        Err(RefusedOp { mbuf, reason }) => Err((reason, Op { session, mbuf, job, user })),
    }
}

/// Pushes from the front while there is room, and flushes. Returns how many.
fn push_all(queue: &mut CryptoQueue, ops: &mut VecDeque<Op>) -> usize {
    let before = ops.len();
    while let Some(op) = ops.pop_front() {
        if let Err((reason, op)) = push(queue, op) {
            assert_eq!((reason, queue.room()), (OpError::Full, 0));
            ops.push_front(op);
            break;
        }
    }
    queue.flush();
    before - ops.len()
}

/// Takes all ops through the queue, which must keep their order and have no other ops.
fn run(queue: &mut CryptoQueue, ops: Vec<Op>) -> Vec<CryptoDone> {
    let mut ops = VecDeque::from(ops);
    let users: Vec<_> = ops.iter().map(|op| op.user).collect();
    let (mut done, mut idle) = (Vec::new(), 0);
    while done.len() < users.len() {
        let moved = push_all(queue, &mut ops) + queue.dequeue(&mut done, 48);
        idle = if moved == 0 { idle + 1 } else { 0 };
        assert!(idle < 1_000_000, "{} of {} ops came back", done.len(), users.len());
    }
    assert!(done.iter().map(|done| done.user).eq(users));
    assert_eq!(queue.in_flight(), 0);
    done
}

/// Text and ICV of a packet. What is beside them must be as it was.
fn split(packet: &Mbuf) -> (Vec<u8>, [u8; ICV_LEN]) {
    let body = packet.data().strip_prefix(&PREFIX).unwrap();
    let (text, icv) = body.strip_suffix(&SUFFIX).unwrap().split_last_chunk().unwrap();
    (text.to_vec(), *icv)
}

/// The text of a packet that was decrypted with this ICV; `None`, and zeros, if it was refused.
fn opened(done: &CryptoDone, icv: [u8; ICV_LEN]) -> Option<Vec<u8>> {
    let (text, icv_after) = split(&done.mbuf);
    match done.status {
        CryptoStatus::Ok => {
            assert_eq!(icv_after, icv, "a genuine packet keeps its ICV");
            Some(text)
        }
        CryptoStatus::AuthenticationFailed => {
            assert_eq!((icv_after, text.iter().any(|&octet| octet != 0)), ([0; ICV_LEN], false));
            None
        }
        CryptoStatus::Error => panic!("the driver failed"),
    }
}

/// Octets that look random, the same in each run.
fn octets(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(step).collect()
}

fn job(seed: u64, aad_len: usize) -> Job {
    Job { nonce: octets(!seed, NONCE_LEN).try_into().unwrap(), aad: octets(seed, aad_len) }
}
