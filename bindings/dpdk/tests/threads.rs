//! Pools, packets and rings between threads.

#![expect(clippy::unwrap_used, reason = "also in what tests share")]

use std::sync::mpsc;
use std::thread;

use dpdk::{Eal, Error, Mbuf, Mempool, MempoolConfig, mbuf_ring, pin_current_thread, tsc};

fn config(mbufs: u32, cache: u32) -> MempoolConfig {
    MempoolConfig { mbufs, cache, ..MempoolConfig::default() }
}

fn numbered(pool: &Mempool, range: std::ops::Range<u64>) -> Vec<Mbuf> {
    range
        .map(|number| {
            let mut packet = pool.alloc().unwrap();
            assert!(packet.write(&number.to_be_bytes()));
            packet
        })
        .collect()
}

fn number(packet: &Mbuf) -> u64 {
    u64::from_be_bytes(packet.data().try_into().unwrap())
}

#[test]
fn a_ring_keeps_the_order_and_frees_what_is_left() {
    let eal = Eal::for_tests();
    let pool = Mempool::new(eal, "ring", config(255, 0)).unwrap();
    let (mut sender, mut receiver) = mbuf_ring(eal, "ring", 100).unwrap();
    let mut packets = numbered(&pool, 0..150);
    assert_eq!(sender.push(&mut packets), 100, "as many as it was made for");
    assert_eq!((packets.len(), number(&packets[0]), receiver.len()), (50, 100, 100));
    let mut popped = Vec::new();
    assert_eq!(receiver.pop(&mut popped, 30), 30);
    assert_eq!(sender.push(&mut packets), 30);
    assert_eq!(receiver.pop(&mut popped, 1000), 100);
    assert!(popped.iter().map(number).eq(0..130));
    assert!(receiver.is_empty());
    assert_eq!(sender.push(&mut packets), 20);
    popped.clear();
    drop(sender);
    assert_eq!(pool.in_use(), 20, "the receiver may still pop them");
    drop(receiver);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn registered_threads_pass_packets_through_a_ring() {
    const PACKETS: u64 = 200_000;
    let eal = Eal::for_tests();
    let pool = Mempool::new(eal, "ring_threads", config(1023, 64)).unwrap();
    let (mut sender, mut receiver) = mbuf_ring(eal, "ring_threads", 128).unwrap();
    let producer = {
        let pool = pool.clone();
        thread::spawn(move || {
            let _lcore = eal.register_thread().unwrap();
            let (mut next, mut packets) = (0, Vec::new());
            while next < PACKETS || !packets.is_empty() {
                if packets.is_empty() && pool.alloc_bulk(32, &mut packets) > 0 {
                    for packet in &mut packets {
                        assert!(packet.write(&next.to_be_bytes()));
                        next += 1;
                    }
                }
                if sender.push(&mut packets) == 0 {
                    thread::yield_now();
                }
            }
        })
    };
    let consumer = thread::spawn(move || {
        let _lcore = eal.register_thread().unwrap();
        let (mut next, mut packets) = (0, Vec::new());
        while next < PACKETS {
            if receiver.pop(&mut packets, 32) == 0 {
                thread::yield_now();
            }
            for packet in packets.drain(..) {
                assert_eq!(number(&packet), next);
                next += 1;
            }
        }
    });
    producer.join().unwrap();
    consumer.join().unwrap();
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_pool_goes_when_its_last_packet_has_come_home() {
    let eal = Eal::for_tests();
    let again = || Mempool::new(eal, "home", config(255, 32));
    let pool = again().unwrap();
    assert!(matches!(again(), Err(Error::Dpdk { .. })), "the name is taken");
    let packet = numbered(&pool, 0..1).remove(0);
    drop(pool);
    assert!(again().is_err(), "a packet is out");
    assert_eq!(number(&packet), 0);
    drop(packet);
    // Retired pools are looked at when the next one goes.
    drop(Mempool::new(eal, "home_other", config(1, 0)).unwrap());
    assert!(again().is_ok());
}

#[test]
fn the_cache_of_a_thread_that_ends_holds_no_pool() {
    let eal = Eal::for_tests();
    let again = || Mempool::new(eal, "cached", config(255, 32));
    let pool = again().unwrap();
    let (freed, wait_freed) = mpsc::channel();
    let (end, wait_end) = mpsc::channel::<()>();
    let worker = thread::spawn(move || {
        let lcore = eal.register_thread().unwrap();
        assert_eq!(eal.register_thread().unwrap_err(), Error::ThreadRegistered);
        drop(numbered(&pool, 0..10));
        assert_eq!(pool.in_use(), 0);
        thread::spawn(move || drop(pool)).join().unwrap();
        freed.send(lcore.id()).unwrap();
        wait_end.recv().unwrap();
    });
    assert_ne!(wait_freed.recv().unwrap(), 0, "0 is the main lcore");
    assert!(again().is_err(), "packets are in the cache of a thread that lives");
    end.send(()).unwrap();
    worker.join().unwrap();
    assert!(again().is_ok());
}

#[test]
fn pools_that_cannot_be_are_refused() {
    let eal = Eal::for_tests();
    let ok = config(255, 0);
    for name in ["", "a\0b", "twenty-six octets, which is"] {
        assert!(matches!(Mempool::new(eal, name, ok), Err(Error::Name { .. })), "{name:?}");
    }
    for wrong in [
        MempoolConfig { mbufs: 0, ..ok },
        MempoolConfig { cache: 513, mbufs: 8191, ..ok },
        MempoolConfig { cache: 200, ..ok },
        MempoolConfig { headroom: 127, ..ok },
        MempoolConfig { data_room: 0, ..ok },
        MempoolConfig { headroom: 256, data_room: 65_300, ..ok },
    ] {
        let error = Mempool::new(eal, "refused", wrong).unwrap_err();
        assert!(matches!(error, Error::Range { .. }), "{wrong:?}: {error}");
    }
    let huge = MempoolConfig { mbufs: 10_000_000, ..ok };
    let error = Mempool::new(eal, "huge", huge).unwrap_err();
    assert!(matches!(error, Error::Dpdk { operation: "rte_mempool_create", .. }), "{error}");
}

#[test]
fn the_clock_runs_as_fast_as_it_says() {
    let (eal, start) = (Eal::for_tests(), std::time::Instant::now());
    let first = tsc();
    thread::sleep(std::time::Duration::from_millis(100));
    let (ticks, seconds) = (tsc() - first, start.elapsed().as_secs_f64());
    let ratio = ticks as f64 / (eal.tsc_hz() as f64 * seconds);
    assert!((0.98..1.02).contains(&ratio), "{ratio}");
}

#[test]
fn a_thread_is_pinned_to_cores_that_exist() {
    thread::spawn(|| {
        pin_current_thread(0).unwrap();
        assert_eq!(pin_current_thread(1023), Err(Error::Affinity(1023)));
    })
    .join()
    .unwrap();
}
