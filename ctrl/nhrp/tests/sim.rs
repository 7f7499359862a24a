//! A hub and its spokes on a bad network, from one seed: loss, duplication, reordering, NATs that
//! change, partitions, restarts. After each step the invariants hold; after quiet each spoke is
//! registered.

#![expect(clippy::unwrap_used, reason = "a test as a whole")]

#[path = "sim/world.rs"]
mod world;

use std::time::{Duration, Instant};

use world::{Faults, World};

const S: Duration = Duration::from_secs(1);

/// Ten minutes of trouble, then as much quiet as the longest pause of a client and a holding time.
fn trouble_and_quiet(seed: u64, spokes: u32) {
    let mut world = World::new(seed, spokes);
    world.faults = Faults { loss: 20, duplication: 10, disturbances: true };
    world.run(600 * S);
    world.faults = Faults::default();
    world.run(200 * S);
    world.assert_all_registered();
}

#[test]
fn seeds() {
    for seed in 0..24 {
        trouble_and_quiet(seed, 8);
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| {
        let mut world = World::new(seed, 6);
        world.faults = Faults { loss: 20, duplication: 10, disturbances: true };
        world.run(300 * S);
        world.digest()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn without_faults_nothing_is_lost() {
    let mut world = World::new(1, 20);
    world.run(20 * S);
    world.assert_all_registered();
    assert!(world.shortcuts() > 0, "spokes have found each other");
}

/// Each of 10 000 spokes registers and renews, then the hub restarts.
#[test]
fn ten_thousand_spokes() {
    let start = Instant::now();
    let mut world = World::new(1, 10_000);
    world.run(30 * S);
    world.assert_all_registered();
    world.restart_hub();
    world.run(30 * S);
    world.assert_all_registered();
    let took = start.elapsed();
    // Some seconds; work that grows with the square of the spokes would take many minutes.
    assert!(took < 60 * S, "{took:?}");
}
