//! Helpers that stand still: what waits is bounded, nothing is lost without a count, and the order
//! holds when they go on.

use super::*;

/// Sends bursts of 64 while only some workers turn; returns how many packets that were.
fn send_to(lab: &mut Lab, workers: &[usize], first: u32, bursts: u32) -> u32 {
    for burst in 0..bursts {
        let packets = packets(&mut Rng::new(burst.into()), first + burst * 64, 64);
        let frames = host_frames(lab, &packets);
        lab[1].send_lan(&frames);
        for worker in workers {
            lab[1].workers[*worker].turn();
        }
    }
    bursts * 64
}

#[test]
fn a_helper_that_stalls_holds_up_a_bounded_number_of_packets() {
    for helpers in 1..=3u16 {
        let mut lab = alone(helpers);
        // The first helper stands still, the others do not.
        let others: Vec<_> = [OWNER].into_iter().chain(2..=usize::from(helpers)).collect();
        let sent = send_to(&mut lab, &others, 0, 40);
        assert_eq!(lab[1].wan.receive().len(), 0, "the first batch is with the helper");
        assert_eq!(held(&lab, 1, StageKind::EspSeal), WAITING_MAX);
        let dropped = u64::from(sent) - WAITING_MAX as u64;
        assert_eq!(lab[1].drops(), [("ring_full", dropped)].into());

        lab[1].settle();
        let waited = sequences(&lab[1].wan.receive());
        assert_eq!(waited, (1..=WAITING_MAX as u64).collect::<Vec<_>>(), "all, and in order");
        assert_eq!(held(&lab, 1, StageKind::EspSeal), 0);

        let more = u64::from(send_to(&mut lab, &others, sent, 2));
        lab[1].settle();
        let sent = u64::from(sent);
        let after = sequences(&lab[1].wan.receive());
        assert_eq!(after, (sent + 1..=sent + more).collect::<Vec<_>>());
        assert_eq!(lab[1].dropped(), dropped, "as before");
    }
}

#[test]
fn a_helper_that_stalls_does_not_stop_who_needs_none() {
    let link = Link::dmvpn();
    let sites = vec![Site::new(1, &[2], &link), Site::new(2, &[1], &link)];
    let mut lab = Lab::new(&Layout::Elephant(2), sites);
    // Outbound traffic of gateway 1 waits; its inbound traffic has lanes of its own.
    send_to(&mut lab, &[OWNER], 0, 4);
    let back: Vec<_> = (0..10)
        .map(|n| crate::support::frame::udp_packet("10.2.0.10", "10.1.0.10", n, 100))
        .collect();
    let frames: Vec<_> = back.iter().map(|packet| lab.site(2).host_frame(packet)).collect();
    lab[2].send_lan(&frames);
    lab[2].settle();
    let sealed = lab[2].wan.receive();
    lab[1].send_wan(&sealed);
    lab[1].workers[OWNER].turn();
    assert_eq!(lab.receive(1).len(), 10);
    assert_eq!(lab[1].wan.receive().len(), 0);
}

#[test]
fn small_batches_behind_a_stalled_helper_are_not_dropped_for_their_number() {
    let mut lab = alone(1);
    send_to(&mut lab, &[OWNER], 0, 1);
    for number in 64..564 {
        let frames = host_frames(&lab, &[numbered(number, 100)]);
        lab[1].send_lan(&frames);
        lab[1].workers[OWNER].turn();
    }
    assert_eq!(held(&lab, 1, StageKind::EspSeal), 564);
    lab[1].settle();
    assert_eq!(sequences(&lab[1].wan.receive()), (1..=564).collect::<Vec<_>>());
    lab.assert_clean();
}

#[test]
fn what_is_on_its_way_when_the_gateway_stops_is_freed() {
    // The lab asserts that no buffer leaks.
    let mut lab = pair(2);
    send_to(&mut lab, &[OWNER], 0, 10);
    lab[1].workers[1].turn();
    assert!(held(&lab, 1, StageKind::EspSeal) > 0);
    let wire = lab[1].wan.receive();
    drop(wire);
    // In either order of the ends.
    let helper = lab[1].workers.pop();
    lab[1].workers.remove(OWNER);
    drop(helper);
    drop(lab);
}
