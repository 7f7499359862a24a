//! Virtual ports in one process: no privileges, no hugepages.

#![expect(clippy::unwrap_used, reason = "also in what tests share")]

use std::fs;
use std::path::PathBuf;

use dpdk::{
    Eal, Error, Mbuf, Mempool, MempoolConfig, Port, PortConfig, Queues, RxOffloads, TxOffloads,
};

fn pool(name: &str, mbufs: u32) -> Mempool {
    let config = MempoolConfig { mbufs, cache: 0, ..MempoolConfig::default() };
    Mempool::new(Eal::for_tests(), name, config).unwrap()
}

fn started_pair(name: &str, capacity: u32, pool: &Mempool) -> (Queues, Queues) {
    let (mut a, mut b) = Port::connected_pair(Eal::for_tests(), name, capacity).unwrap();
    // The queues keep their ports when the handles go.
    (a.start(&PortConfig::new(pool)).unwrap(), b.start(&PortConfig::new(pool)).unwrap())
}

/// `count` frames of 64 octets, each with its number in the first eight.
fn numbered(pool: &Mempool, from: u64, count: u32) -> Vec<Mbuf> {
    let mut packets = Vec::new();
    assert_eq!(pool.alloc_bulk(count, &mut packets), count as usize);
    for (packet, number) in packets.iter_mut().zip(from..) {
        let mut frame = [0; 64];
        frame[..8].copy_from_slice(&number.to_be_bytes());
        assert!(packet.write(&frame));
    }
    packets
}

fn numbers(packets: &[Mbuf]) -> Vec<u64> {
    packets
        .iter()
        .map(|packet| u64::from_be_bytes(packet.data()[..8].try_into().unwrap()))
        .collect()
}

#[test]
fn the_unsent_tail_stays_in_order() {
    let pool = pool("tail", 255);
    let (mut a, mut b) = started_pair("tail", 64, &pool);
    let mut packets = numbered(&pool, 0, 100);
    assert_eq!(a.tx[0].burst(&mut packets), 64);
    assert_eq!(numbers(&packets), (64..100).collect::<Vec<_>>());
    assert_eq!(a.tx[0].burst(&mut packets), 0, "it is full");
    assert_eq!((packets.len(), pool.in_use()), (36, 100));

    let mut received = Vec::new();
    assert_eq!(b.rx[0].burst(&mut received, 10), 10);
    assert_eq!(a.tx[0].burst(&mut packets), 10);
    while b.rx[0].burst(&mut received, 32) > 0 {}
    assert_eq!(numbers(&received), (0..74).collect::<Vec<_>>());
    assert_eq!(a.rx[0].burst(&mut received, 32), 0, "nothing comes back");
    drop(received);
    assert_eq!(pool.in_use(), 26);
    packets.clear();
    assert_eq!(pool.in_use(), 0);
    assert_eq!(a.tx[0].burst(&mut packets), 0, "an empty burst");
}

#[test]
fn a_million_packets_arrive_in_order_and_none_is_leaked() {
    const PACKETS: u64 = 1_000_000;
    let pool = pool("million", 1023);
    let (mut a, mut b) = started_pair("million", 256, &pool);
    let (mut packets, mut received) = (Vec::new(), Vec::new());
    let (mut sent, mut next) = (0, 0);
    while next < PACKETS {
        if packets.is_empty() && sent < PACKETS {
            packets = numbered(&pool, sent, 32);
            sent += 32;
        }
        a.tx[0].burst(&mut packets);
        b.rx[0].burst(&mut received, 32);
        for number in numbers(&received) {
            assert_eq!(number, next);
            next += 1;
        }
        // Both ways of freeing.
        if next.is_multiple_of(64) {
            Mbuf::free_bulk(&mut received);
        } else {
            received.clear();
        }
    }
    assert_eq!((packets.len(), pool.in_use()), (0, 0));
}

#[test]
fn packets_left_in_a_port_come_home_when_it_goes() {
    let pool = pool("left", 255);
    let (mut a, b) = started_pair("left", 64, &pool);
    let mut packets = numbered(&pool, 0, 50);
    assert_eq!(a.tx[0].burst(&mut packets), 50);
    drop(a);
    assert_eq!(pool.in_use(), 50, "the other side may still fetch them");
    drop(b);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn chains_and_clones_cross_a_port() {
    let pool = pool("chains", 255);
    let (mut a, mut b) = started_pair("chains", 64, &pool);
    let payload = numbered(&pool, 7, 1).remove(0);
    let mut packet = pool.alloc().unwrap();
    assert!(packet.write(b"header"));
    packet.chain(payload.clone_indirect(&pool).unwrap()).unwrap();
    assert_eq!(a.tx[0].burst(&mut vec![packet]), 1);
    drop(payload);
    let mut received = Vec::new();
    assert_eq!(b.rx[0].burst(&mut received, 32), 1);
    assert_eq!((received[0].len(), received[0].segment_count()), (70, 2));
    assert_eq!(received[0].segments().next().unwrap(), b"header");
    received[0].linearize().unwrap();
    assert!(received[0].is_exclusive());
    assert_eq!(received[0].data()[6..14], 7_u64.to_be_bytes());
    received.clear();
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_running_port_stops_only_when_its_queues_are_back() {
    let pool = pool("stop", 255);
    let (mut port, _other) = Port::connected_pair(Eal::for_tests(), "stop", 64).unwrap();
    assert_eq!(port.stop(), Ok(()), "it did not run");
    let queues = port.start(&PortConfig::new(&pool)).unwrap();
    let held = Error::QueuesHeld("stopa".into());
    assert_eq!(port.stop(), Err(held.clone()));
    let Queues { rx, tx, .. } = queues;
    drop(rx);
    assert_eq!(port.start(&PortConfig::new(&pool)).unwrap_err(), held);
    drop(tx);
    // Another pool, and started while it runs.
    let other = self::pool("stop2", 255);
    drop(port.start(&PortConfig::new(&other)).unwrap());
    assert!(port.link().unwrap().up);
    assert_eq!(port.stop(), Ok(()));
    assert!(!port.link().unwrap().up);
}

#[test]
fn what_the_device_lacks_is_not_granted_or_refused() {
    let pool = pool("lacks", 255);
    let (mut port, _other) = Port::connected_pair(Eal::for_tests(), "lacks", 64).unwrap();
    assert_eq!(port.info().driver, "net_ring");
    assert_eq!((port.info().max_rx_queues, port.info().max_tx_queues), (1, 1));
    let wanted = PortConfig {
        rx_offloads: RxOffloads::all(),
        tx_offloads: TxOffloads::all(),
        rss: true,
        promiscuous: true,
        all_multicast: true,
        ..PortConfig::new(&pool)
    };
    let granted = port.start(&wanted).unwrap().granted;
    assert_eq!(granted.rx_offloads, RxOffloads::MULTI_SEGMENT);
    assert_eq!(granted.tx_offloads, TxOffloads::MULTI_SEGMENT);
    assert!(!granted.rss);

    let range = |what, wanted, min, max| Error::Range { what, wanted, min, max };
    let refused = |config: PortConfig, port: &mut Port| port.start(&config).unwrap_err();
    let two = PortConfig { rx_queues: 2, ..wanted.clone() };
    assert_eq!(refused(two, &mut port), range("receive queues", 2, 1, 1));
    let none = PortConfig { tx_queues: 0, ..wanted.clone() };
    assert_eq!(refused(none, &mut port), range("transmit queues", 0, 1, 1));
    let least = u64::from(port.info().min_mtu);
    let short = PortConfig { mtu: 10, ..wanted.clone() };
    assert_eq!(refused(short, &mut port), range("MTU", 10, least, 65_535));
    assert!(port.start(&wanted).is_ok(), "a refusal leaves the port usable");
}

#[test]
fn devices_that_cannot_be_attached_say_why() {
    let eal = Eal::for_tests();
    for missing in ["", "a\0b"] {
        assert!(matches!(Port::attach(eal, missing), Err(Error::Name { .. })), "{missing:?}");
    }
    for missing in ["net_bogus0", "no such thing", "0000:ff:1f.7", ","] {
        let error = Port::attach(eal, missing).unwrap_err();
        assert_eq!(error, Error::NoSuchDevice(missing.into()));
    }
    for wrong in ["net_pcap_wrong,rx_pcap=/nonexistent/file.pcap", "net_null_wrong,nonsense=1"] {
        let error = Port::attach(eal, wrong).unwrap_err();
        assert!(matches!(&error, Error::Dpdk { operation: "rte_dev_probe", .. }), "{error}");
        assert!(error.to_string().contains(wrong));
    }
    let long = "x".repeat(1000);
    assert!(matches!(Port::attach(eal, &long), Err(Error::Name { max: 511, .. })));
    let long = "nineteen_octets_or_more";
    assert!(matches!(Port::connected_pair(eal, long, 64), Err(Error::Name { max: 19, .. })));
}

#[test]
fn a_device_has_one_owner_and_can_be_attached_again() {
    let eal = Eal::for_tests();
    for _ in 0..3 {
        let port = Port::attach(eal, "net_null_owner,size=64").unwrap();
        let busy = Port::attach(eal, "net_null_owner").unwrap_err();
        assert_eq!(busy, Error::DeviceBusy("net_null_owner".into()));
        drop(port);
    }
    let (a, _b) = Port::connected_pair(eal, "twice", 64).unwrap();
    assert!(Port::connected_pair(eal, "twice", 64).is_err());
    assert!(a.link().is_ok(), "the first pair is unharmed");
}

#[test]
fn net_null_is_a_source_and_a_sink() {
    let pool = pool("null", 1023);
    let mut port = Port::attach(Eal::for_tests(), "net_null_test,size=300,copy=1").unwrap();
    assert_eq!(port.info().driver, "net_null");
    let mut queues = port.start(&PortConfig::new(&pool)).unwrap();
    let mut packets = Vec::new();
    assert_eq!(queues.rx[0].burst(&mut packets, 32), 32);
    assert!(packets.iter().all(|packet| packet.len() == 300 && packet.is_exclusive()));
    assert_eq!(queues.tx[0].burst(&mut packets), 32);
    assert_eq!(pool.in_use(), 0);
    let stats = port.stats().unwrap();
    assert_eq!((stats.rx_packets, stats.tx_packets), (32, 32));
}

#[test]
fn net_ring_of_a_device_string_loops() {
    let pool = pool("loop", 255);
    let mut port = Port::attach(Eal::for_tests(), "net_ring_loop").unwrap();
    let mut config = PortConfig::new(&pool);
    (config.rx_queues, config.tx_queues) = (port.info().max_rx_queues, port.info().max_tx_queues);
    let mut queues = port.start(&config).unwrap();
    let (mut sent, mut received) = (numbered(&pool, 0, 32), Vec::new());
    assert_eq!(queues.tx[0].burst(&mut sent), 32);
    assert_eq!(queues.rx[0].burst(&mut received, 64), 32);
    assert_eq!(numbers(&received), (0..32).collect::<Vec<_>>());
}

struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("dpdk-{}-{name}", std::process::id())))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A capture file of microsecond, little-endian, Ethernet kind.
fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 2 | 4 << 16, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for frame in frames {
        let len = u32::try_from(frame.len()).unwrap();
        for word in [0, 0, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// The frames of such a file.
fn frames(file: &[u8]) -> Vec<Vec<u8>> {
    let (mut frames, mut rest) = (Vec::new(), &file[24..]);
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        frames.push(rest[16..16 + len].to_vec());
        rest = &rest[16 + len..];
    }
    frames
}

#[test]
fn net_pcap_replays_and_records() {
    let pool = pool("pcap", 1023);
    let (source, sink) = (TempFile::new("in.pcap"), TempFile::new("out.pcap"));
    let sent: Vec<Vec<u8>> = (60_u8..160).map(|len| (0..len).rev().collect()).collect();
    fs::write(&source.0, pcap(&sent)).unwrap();
    let device =
        format!("net_pcap_test,rx_pcap={},tx_pcap={}", source.0.display(), sink.0.display());
    let mut port = Port::attach(Eal::for_tests(), &device).unwrap();
    let mut queues = port.start(&PortConfig::new(&pool)).unwrap();
    let (mut packets, mut forwarded) = (Vec::new(), 0);
    while queues.rx[0].burst(&mut packets, 32) > 0 {
        forwarded += queues.tx[0].burst(&mut packets);
        assert!(packets.is_empty());
    }
    assert_eq!((forwarded, pool.in_use()), (100, 0));
    drop((port, queues));
    assert_eq!(frames(&fs::read(&sink.0).unwrap()), sent);
}

#[test]
fn net_pcap_repeats_for_ever_and_gives_its_packets_back() {
    let pool = pool("pcap_loop", 1023);
    let source = TempFile::new("loop.pcap");
    fs::write(&source.0, pcap(&[vec![1; 64], vec![2; 300]])).unwrap();
    let device = format!("net_pcap_loop,rx_pcap={},infinite_rx=1", source.0.display());
    let mut port = Port::attach(Eal::for_tests(), &device).unwrap();
    let mut queues = port.start(&PortConfig::new(&pool)).unwrap();
    for _ in 0..100 {
        let mut packets = Vec::new();
        assert_eq!(queues.rx[0].burst(&mut packets, 32), 32);
        let lengths: Vec<_> = packets.iter().map(Mbuf::len).collect();
        assert_eq!(lengths, [64, 300].repeat(16));
    }
    drop((port, queues));
    assert_eq!(pool.in_use(), 0);
}
