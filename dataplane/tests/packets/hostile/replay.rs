//! Replays, windows and extended sequence numbers.

use dataplane::engine::stage::SaCommand;
use dataplane::engine::topology::StageKind;

use super::Target;
use crate::support::frame::{GRE, gre, udp_packet};
use crate::support::{Esp, Link};

fn link(esn: bool, window: u32, start: u64) -> Link {
    Link { esp: Some(Esp { esn, window, start, ..Esp::TRANSPORT }), ..Link::dmvpn() }
}

impl Target {
    fn numbered(&self, sequence: u64) -> Vec<u8> {
        let inner = udp_packet("10.1.0.10", "10.2.0.10", 7, 60);
        self.esp(&self.sa().seal(sequence, GRE, &gre(Some(42), None, 0x0800, &inner)))
    }

    /// Sends these numbers in one burst; how many arrive.
    fn burst(&mut self, sequences: &[u64]) -> usize {
        let packets: Vec<_> = sequences.iter().map(|sequence| self.numbered(*sequence)).collect();
        self.deliver(&packets);
        self.lab.receive(2).len()
    }
}

#[test]
fn hostile_exact_replay() {
    for esn in [false, true] {
        let mut target = Target::new(&link(esn, 64, 0));
        assert_eq!(target.burst(&[1, 2, 3]), 3);
        target.sequence = 4;
        let replays = [1, 2, 3].map(|sequence| target.numbered(sequence));
        target.assert_dropped(&replays, "replay_duplicate");
        assert_eq!(target.lab.site(2).inbound[0].counters.replays.value(), 3);
    }
}

#[test]
fn hostile_duplicates_in_one_burst() {
    for esn in [false, true] {
        let mut target = Target::new(&link(esn, 64, 0));
        assert_eq!(target.burst(&[5, 5, 5, 6, 5, 6]), 2);
        assert_eq!(target.drops(), [("replay_duplicate", 4)].into());
    }
}

#[test]
fn hostile_left_of_the_window_and_its_edges() {
    for esn in [false, true] {
        let mut target = Target::new(&link(esn, 64, 0));
        assert_eq!(target.burst(&[1000]), 1);
        target.sequence = 1001;
        // The window is 937 … 1000.
        assert_eq!(target.burst(&[936]), 0);
        assert_eq!(target.burst(&[937]), 1);
        assert_eq!(target.burst(&[937, 938, 999]), 2);
        assert_eq!(target.burst(&[1001]), 1);
        assert_eq!(target.burst(&[937]), 0, "now left of it");
        let drops = target.drops();
        if esn {
            // Far left is the same as the next epoch, under which the ICV does not verify.
            assert_eq!(drops, [("icv_mismatch", 2), ("replay_duplicate", 1)].into());
        } else {
            assert_eq!(drops, [("replay_too_old", 2), ("replay_duplicate", 1)].into());
        }
        target.sequence = 1002;
        target.assert_alive();
    }
}

/// What comes first has its turn first, however many in order come behind it.
#[test]
fn hostile_the_left_edge_in_front_of_what_moves_it() {
    for esn in [false, true] {
        let mut target = Target::new(&link(esn, 64, 0));
        assert_eq!(target.burst(&[1000]), 1);
        let burst: Vec<u64> = [937, 1001, 938, 1002, 937].into_iter().chain(1003..1030).collect();
        assert_eq!(target.burst(&burst), burst.len() - 1, "937 was seen, and is out of it");
    }
}

#[test]
fn hostile_sequence_0() {
    for esn in [false, true] {
        let mut target = Target::new(&link(esn, 64, 0));
        assert_eq!(target.burst(&[0]), 0);
        assert_eq!(target.drops(), [("replay_sequence", 1)].into());
        target.assert_alive();
    }
}

#[test]
fn hostile_forged_far_future_sequence_does_not_move_the_window() {
    for esn in [false, true] {
        let mut target = Target::new(&link(esn, 64, 0));
        assert_eq!(target.burst(&[10]), 1);
        target.sequence = 11;
        let forged: Vec<_> = [11u64, 100, 1 << 20, 0x7fff_ffff, 0xfff0_0000]
            .iter()
            .map(|sequence| {
                let mut packet = target.numbered(*sequence);
                *packet.last_mut().unwrap() ^= 1;
                packet
            })
            .collect();
        target.assert_dropped(&forged, "icv_mismatch");
        assert_eq!(target.burst(&[2, 9]), 2, "the window is where it was");
    }
}

#[test]
fn hostile_esn_wrap_with_reordering() {
    const WRAP: u64 = 1 << 32;
    let mut target = Target::new(&link(true, 64, WRAP - 10));
    let order =
        [WRAP - 3, WRAP + 2, WRAP - 1, WRAP, WRAP - 9, WRAP + 1, WRAP - 2, WRAP + 5, WRAP + 3];
    assert_eq!(target.burst(&order), order.len());
    target.lab.assert_clean();
    assert_eq!(target.burst(&order), 0, "each of them only once");
    assert_eq!(target.drops(), [("replay_duplicate", order.len() as u64)].into());
    assert_eq!(target.lab.site(2).inbound[0].counters.sequence.value(), WRAP + 5);
}

#[test]
fn hostile_esn_forged_high_half() {
    const WRAP: u64 = 1 << 32;
    let mut target = Target::new(&link(true, 64, 5 * WRAP));
    target.sequence = 5 * WRAP + 20;
    // Sealed under other high halves than the receiver infers from the low one.
    let forged = [3u64, 4, 6, 7, 0xffff_ffff].map(|high| target.numbered(high * WRAP + 10));
    target.assert_dropped(&forged, "icv_mismatch");
}

#[test]
fn hostile_without_esn_nothing_follows_the_last_number() {
    let last = u64::from(u32::MAX);
    let mut target = Target::new(&link(false, 64, last - 2));
    assert_eq!(target.burst(&[last - 1, last]), 2);
    assert_eq!(target.burst(&[0]), 0, "a wrapped counter");
    assert_eq!(target.burst(&[1]), 0);
    assert_eq!(target.drops(), [("replay_sequence", 1), ("replay_too_old", 1)].into());
}

#[test]
fn hostile_installed_twice_the_window_is_kept() {
    let mut target = Target::new(&link(true, 64, 0));
    assert_eq!(target.burst(&[1, 2, 3]), 3);
    let sa = target.lab.site(2).inbound[0].clone();
    target.lab[2].command(StageKind::EspOpen, 1, SaCommand::InstallInbound(sa));
    assert_eq!(target.burst(&[1, 2, 3]), 0);
    assert_eq!(target.drops(), [("replay_duplicate", 3)].into());
}
