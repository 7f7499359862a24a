//! The EAL cleaned up in full, so a process of its own.

#![expect(clippy::unwrap_used, reason = "also in what tests share")]

use dpdk::{Eal, EalConfig, Hugepages, Mempool, MempoolConfig, Port, PortConfig};

/// Address space of this process, in MiB.
fn mapped_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmSize")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn memory_is_given_back_when_all_is_dropped() {
    let config = EalConfig { hugepages: Hugepages::Off, ..EalConfig::default() };
    let eal = Eal::init(&config).unwrap();
    let pool = Mempool::new(&eal, "cleanup", MempoolConfig::default()).unwrap();
    let (mut a, mut b) = Port::connected_pair(&eal, "cleanup", 64).unwrap();
    let mut queues =
        (a.start(&PortConfig::new(&pool)).unwrap(), b.start(&PortConfig::new(&pool)).unwrap());
    let lcore = std::thread::spawn({
        let (eal, pool) = (eal.clone(), pool.clone());
        move || {
            let lcore = eal.register_thread().unwrap();
            let mut packets = Vec::new();
            pool.alloc_bulk(32, &mut packets);
            assert_eq!(queues.0.tx[0].burst(&mut packets), 32);
            queues.1.rx[0].burst(&mut packets, 16);
            drop((packets, lcore));
            queues
        }
    });
    let queues = lcore.join().unwrap();
    let before = mapped_mib();
    drop((eal, pool, a, b));
    assert!(mapped_mib() + 64 > before, "the queues keep it");
    drop(queues);
    let after = mapped_mib();
    assert!(after + 500 < before, "{before} MiB before, {after} MiB after");
}
