//! One EAL from its start to its end, so one test.

#![expect(clippy::unwrap_used, reason = "also in what tests share")]

use std::thread;

use dpdk::{Eal, EalConfig, Error, Hugepages, Mempool, MempoolConfig, Port, PortConfig};

fn affinity() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    status.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap().to_owned()
}

#[test]
fn the_eal_starts_once_and_ends_with_its_last_user() {
    let config = EalConfig { hugepages: Hugepages::Off, ..EalConfig::default() };
    let unrealistic =
        EalConfig { hugepages: Hugepages::Require, memory_mib: u32::MAX, ..config.clone() };
    assert!(matches!(Eal::init(&unrealistic), Err(Error::NoHugepages { .. })));
    let nul = EalConfig { program: "a\0b".into(), ..config.clone() };
    assert!(matches!(Eal::init(&nul), Err(Error::Name { .. })));

    let before = affinity();
    let eal = Eal::init(&config).expect("errors before DPDK is called leave the way open");
    assert_eq!(affinity(), before, "of the thread that called");
    assert_eq!(thread::spawn(affinity).join().unwrap(), before, "and of those it starts");
    assert!(!eal.hugepages());
    assert_eq!(Eal::init(&config).unwrap_err(), Error::AlreadyInitialised);

    let pool = Mempool::new(&eal, "life", MempoolConfig::default()).unwrap();
    let mut port = Port::attach(&eal, "net_null0,size=64").unwrap();
    let mut queues = port.start(&PortConfig::new(&pool)).unwrap();
    drop((eal, pool, port));

    // The queues keep the port, that the pool and the EAL.
    let mut packets = Vec::new();
    assert_eq!(queues.rx[0].burst(&mut packets, 8), 8);
    drop(queues);
    // A packet that outlives everything keeps the memory.
    let packet = packets.pop().unwrap();
    drop(packets);
    assert_eq!(packet.data().len(), 64);
    drop(packet);
}
