//! Queues: full, dropped, on several threads.

use std::collections::VecDeque;
use std::thread;

use dpdk::crypto::{CryptoConfig, CryptoQueue, CryptoStatus, Direction, ICV_LEN, Session};
use dpdk::{Eal, Mempool};

use super::{Op, PREFIX, Rig, SUFFIX, each, job, octets, opened, push, push_all, run, split};

const KEY: [u8; 16] = [0x24; 16];

#[test]
fn a_full_queue_leaves_the_rest() {
    for descriptors in [1, 20, 31, 32] {
        let config = CryptoConfig { descriptors, ..CryptoConfig::default() };
        each(&format!("full{descriptors}"), config, |rig| fill_up(rig, usize::from(descriptors)));
    }
}

fn fill_up(rig: &mut Rig, room: usize) {
    const OPS: u64 = 100;
    let encrypt = rig.session(Direction::Encrypt, &KEY, 8);
    let decrypt = rig.session(Direction::Decrypt, &KEY, 8);
    let text = |user: u64| octets(user, 10 * user as usize);
    let mut ops: VecDeque<_> = (0..OPS)
        .map(|user| rig.op(&encrypt, &job(user, 8), &text(user), [0; ICV_LEN], user))
        .collect();
    let queue = &mut rig.queues[0];
    assert_eq!((queue.room(), queue.in_flight()), (room, 0));
    assert_eq!(push_all(queue, &mut ops), room);
    assert_eq!((queue.room(), queue.in_flight(), ops[0].user), (0, room, room as u64));
    assert_eq!(push_all(queue, &mut ops), 0);
    assert_eq!(ops.len(), OPS as usize - room);
    let mut done = Vec::new();
    assert_eq!(queue.dequeue(&mut done, 0), 0);
    let some = queue.dequeue(&mut done, room.div_ceil(2));
    assert_eq!((some, done.len()), (room.div_ceil(2), room.div_ceil(2)));
    assert_eq!(push_all(queue, &mut ops), some, "as many as there is room for again");
    while done.len() < OPS as usize {
        queue.dequeue(&mut done, 7);
        push_all(queue, &mut ops);
    }
    assert!(done.iter().map(|done| done.user).eq(0..OPS));
    // None was worked on twice, or not at all.
    for done in done {
        assert_eq!(done.status, CryptoStatus::Ok);
        let (ciphertext, icv) = split(&done.mbuf);
        let opened = rig.open(&decrypt, &job(done.user, 8), &ciphertext, icv);
        assert_eq!(opened, Some(text(done.user)));
    }
}

#[test]
fn a_queue_dropped_with_ops_on_their_way_gives_all_back() {
    each("dropped", CryptoConfig::default(), |rig| {
        let session = rig.session(Direction::Encrypt, &KEY, 8);
        let op = |user| rig.op(&session, &job(user, 8), &[1; 500], [0; ICV_LEN], user);
        let mut ops: VecDeque<_> = (0..290).map(op).collect();
        let more = (290..300).map(op).collect::<Vec<_>>();
        drop(session);
        let mut queue = rig.queues.remove(0);
        assert_eq!(push_all(&mut queue, &mut ops), 290);
        let mut done = Vec::new();
        queue.dequeue(&mut done, 10);
        // Those that no driver has seen are among them.
        for op in more {
            assert!(push(&mut queue, op).is_ok());
        }
        assert_eq!((done.len(), rig.pool.in_use()), (10, 300));
        assert_eq!(rig.device.sessions_in_use(), 1, "its ops hold the session");
        drop(queue);
        assert_eq!(rig.pool.in_use(), 10);
        assert_eq!(rig.device.sessions_in_use(), 0);
    });
}

#[test]
fn a_session_lasts_until_its_ops_are_done() {
    each("lasts", CryptoConfig::default(), |rig| {
        let sessions = [KEY, [0x25; 16]].map(|key| rig.session(Direction::Encrypt, &key, 8));
        for user in [0, 1, 2] {
            let session = &sessions[user as usize % 2];
            let op = rig.op(session, &job(user, 8), &[1; 100], [0; ICV_LEN], user);
            assert!(push(&mut rig.queues[0], op).is_ok());
        }
        drop(sessions);
        let mut done = Vec::new();
        // The first session is needed again after the second.
        for in_use in [2, 1, 0] {
            while rig.queues[0].dequeue(&mut done, 1) == 0 {}
            assert_eq!(rig.device.sessions_in_use(), in_use);
        }
        // Another may have its memory now, and what it encrypted is as it should be.
        let decrypt = rig.session(Direction::Decrypt, &KEY, 8);
        let (ciphertext, icv) = split(&done[2].mbuf);
        assert_eq!(rig.open(&decrypt, &job(2, 8), &ciphertext, icv), Some(vec![1; 100]));
        done.clear();
    });
}

#[test]
fn queues_on_two_threads_share_sessions() {
    const ROUNDS: u64 = 100;
    let config = CryptoConfig { queues: 2, ..CryptoConfig::default() };
    each("threads", config, |rig| {
        let encrypt = rig.session(Direction::Encrypt, &KEY, 12);
        let decrypt = rig.session(Direction::Decrypt, &KEY, 12);
        let device = rig.device.clone();
        let control = thread::spawn(move || {
            // Sessions come and go meanwhile.
            for round in 0..2000 {
                let key = octets(round, 32);
                drop(device.session(Direction::Encrypt, &key, 8).unwrap());
            }
        });
        let workers: Vec<_> = rig
            .queues
            .drain(..)
            .map(|queue| {
                let (pool, sessions) = (rig.pool.clone(), [encrypt.clone(), decrypt.clone()]);
                thread::spawn(move || work(queue, &pool, &sessions, ROUNDS))
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
        control.join().unwrap();
    });
}

/// Seals bursts, opens what was sealed, forges some between.
fn work(mut queue: CryptoQueue, pool: &Mempool, sessions: &[Session; 2], rounds: u64) {
    let _lcore = Eal::for_tests().register_thread().unwrap();
    let [encrypt, decrypt] = sessions;
    let index = u64::from(queue.index());
    for round in 0..rounds {
        let case = |user: u64| {
            let seed = round << 32 | index << 16 | user;
            (job(seed, 12), octets(seed, user as usize * 20))
        };
        let op = |session: &Session, mbuf, user| {
            let (session, job) = (session.clone(), case(user).0);
            Op { session, mbuf, job, user }
        };
        let plain = (0..64).map(|user| {
            let mut mbuf = pool.alloc().unwrap();
            assert!(mbuf.write(&[&PREFIX[..], &case(user).1, &[0; ICV_LEN], &SUFFIX].concat()));
            op(encrypt, mbuf, user)
        });
        let sealed = run(&mut queue, plain.collect());
        let icvs: Vec<_> = sealed.iter().map(|done| split(&done.mbuf).1).collect();
        let sealed = sealed.into_iter().map(|mut done| {
            assert_eq!(done.status, CryptoStatus::Ok);
            if done.user % 9 == 0 {
                done.mbuf.data_mut().unwrap()[PREFIX.len()] ^= 1;
            }
            op(decrypt, done.mbuf, done.user)
        });
        for (done, icv) in run(&mut queue, sealed.collect()).iter().zip(icvs) {
            let forged = done.user % 9 == 0;
            assert_eq!(opened(done, icv), (!forged).then(|| case(done.user).1));
        }
    }
}
