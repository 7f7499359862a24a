//! Tables and SAs that change while packets are with helpers.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataplane::engine::message::Command;
use dataplane::engine::stage::SaCommand;
use dataplane::tables::{OutboundSa, Tables};

use super::*;
use crate::support::frame::{ESP, GRE, gre};
use crate::support::site::{key, oracle_sa};
use crate::support::{Esp, gateway::Gateway};

/// Packets of a burst that goes to a helper as a whole.
const BURST: u32 = 64;

/// Tables for one worker alone.
fn publish_to(gateway: &mut Gateway, worker: usize, tables: &Arc<Tables>) {
    gateway.links[worker].commands.push(Command::Publish(tables.clone())).unwrap();
}

/// A burst of hosts that gateway 1 has dealt to its only helper.
fn dealt(lab: &mut Lab, first: u32) {
    let packets = packets(&mut Rng::new(first.into()), first, BURST);
    let frames = host_frames(lab, &packets);
    lab[1].send_lan(&frames);
    lab[1].workers[OWNER].turn();
    assert_eq!(held(lab, 1, StageKind::EspSeal), BURST as usize);
}

/// Every frame opens under the SA to peer 2; their numbers.
fn sealed(lab: &mut Lab) -> Vec<u64> {
    let sa = oracle_sa(1, 2, &Esp::TRANSPORT);
    let frames = lab[1].wan.receive();
    frames.iter().map(|frame| sa.open(0, &frame[34..]).sequence).collect()
}

/// Gateway 2 with one helper, and an SA from gateway 1.
fn inbound() -> Lab {
    Lab::new(&Layout::Elephant(2), vec![Site::new(2, &[1], &Link::dmvpn())])
}

/// A burst of gateway 1 that gateway 2 has dealt to its helper.
fn dealt_inbound(lab: &mut Lab, first: u32) {
    let sa = oracle_sa(1, 2, &Esp::TRANSPORT);
    let frames = (first..first + BURST).map(|number| {
        let inner = gre(Some(42), None, 0x0800, &numbered(number, 200));
        let esp = sa.seal(number.into(), GRE, &inner);
        lab.site(2).underlay_frame(&Ip::new("192.0.2.1", "192.0.2.2", ESP).packet(&esp))
    });
    let frames: Vec<_> = frames.collect();
    lab[2].send_wan(&frames);
    lab[2].workers[OWNER].turn();
    assert_eq!(held(lab, 2, StageKind::EspOpen), BURST as usize);
}

fn arrived(lab: &mut Lab) -> Vec<u32> {
    lab.receive(2).iter().map(|packet| number_of(packet)).collect()
}

#[test]
fn a_new_sa_that_a_helper_does_not_know_yet_is_the_owners() {
    let mut lab = pair(1);
    for gateway in [1, 2] {
        publish_to(&mut lab[gateway], 1, &Arc::default());
    }
    let packets = packets(&mut Rng::new(3), 0, 500);
    for burst in packets.chunks(100) {
        lab.send(1, burst);
    }
    assert_eq!(arrived(&mut lab), (0..500).collect::<Vec<_>>());
    assert!(helped(&lab, 1)[0] > 0 && helped(&lab, 2)[0] > 0, "they were there, and came back");
    lab.assert_clean();
}

#[test]
fn of_a_retired_outbound_sa_what_is_with_a_helper_is_still_sealed() {
    let mut lab = alone(1);
    let sa = lab.site(1).outbound[0].clone();
    dealt(&mut lab, 0);
    // As the control thread: all cores have tables without it before its owner gives it up.
    let mut without = lab.site(1).clone();
    without.outbound.clear();
    publish_to(&mut lab[1], OWNER, &without.tables());
    lab[1].workers[OWNER].turn();
    lab[1].workers[1].turn();
    lab[1].settle();
    assert_eq!(sealed(&mut lab), (1..=64).collect::<Vec<_>>(), "the helper had it");
    lab.assert_clean();

    let tables = lab.site(1).tables();
    lab[1].publish(&tables);
    dealt(&mut lab, 64);
    // Now nobody has it any more.
    for worker in [1, OWNER] {
        publish_to(&mut lab[1], worker, &without.tables());
    }
    lab[1].command(StageKind::GreEncap, 2, SaCommand::RetireOutbound(2));
    lab[1].workers[1].turn();
    lab[1].settle();
    assert_eq!(lab[1].wan.receive().len(), 0, "nothing leaves unsealed");
    assert_eq!(lab[1].drops(), [("sa_gone", 64)].into());

    lab[1].publish(&tables);
    lab[1].command(StageKind::GreEncap, 2, SaCommand::InstallOutbound(sa));
    lab[1].workers[OWNER].turn();
    dealt(&mut lab, 128);
    lab[1].settle();
    assert_eq!(sealed(&mut lab), (129..=192).collect::<Vec<_>>(), "no number twice");
}

#[test]
fn a_helper_whose_slot_has_another_sa_does_not_seal_with_its_key() {
    let mut lab = alone(1);
    dealt(&mut lab, 0);
    let mut other = lab.site(1).clone();
    let old = &other.outbound[0];
    other.outbound = vec![Arc::new(OutboundSa {
        slot: old.slot,
        spi: old.spi + 0x100,
        esn: true,
        iv_offset: 0,
        key: key(3, 1, &Esp::TRANSPORT),
        device_key: None,
        lifetime: old.lifetime,
        counters: Arc::default(),
    })];
    publish_to(&mut lab[1], 1, &other.tables());
    lab[1].settle();
    assert_eq!(sealed(&mut lab), (1..=64).collect::<Vec<_>>(), "by the owner, with the right key");
    // Nor does the owner, when it has come to have the other one.
    dealt(&mut lab, 64);
    publish_to(&mut lab[1], OWNER, &other.tables());
    lab[1].settle();
    assert_eq!(lab[1].wan.receive().len(), 0);
    assert_eq!(lab[1].drops(), [("sa_gone", 64)].into());
}

#[test]
fn an_inbound_sa_retired_while_a_helper_opens_accepts_nothing_more() {
    for opened_before in [false, true] {
        let mut lab = inbound();
        dealt_inbound(&mut lab, 1);
        if opened_before {
            lab[2].workers[1].turn();
        }
        lab[2].command(StageKind::EspOpen, 1, SaCommand::RetireInbound(1));
        lab[2].settle();
        assert_eq!(arrived(&mut lab), []);
        assert_eq!(lab[2].drops(), [("sa_gone", 64)].into());
        assert_eq!(lab.site(2).inbound[0].counters.traffic.packets.value(), 0);
    }
}

#[test]
fn an_inbound_sa_installed_anew_knows_nothing_of_what_was_checked_before() {
    let mut lab = inbound();
    let sa = lab.site(2).inbound[0].clone();
    dealt_inbound(&mut lab, 1);
    // As one core does with an SA that is there already: nothing.
    lab[2].command(StageKind::EspOpen, 1, SaCommand::InstallInbound(sa.clone()));
    lab[2].settle();
    assert_eq!(arrived(&mut lab), (1..=64).collect::<Vec<_>>());
    assert_eq!(lab[2].drops(), BTreeMap::new());

    dealt_inbound(&mut lab, 100);
    lab[2].command(StageKind::EspOpen, 1, SaCommand::RetireInbound(1));
    lab[2].command(StageKind::EspOpen, 1, SaCommand::InstallInbound(sa));
    lab[2].settle();
    assert_eq!(arrived(&mut lab), []);
    assert_eq!(lab[2].drops(), [("sa_gone", 64)].into());
    assert_eq!(lab.site(2).inbound[0].counters.forgeries.value(), 0);

    dealt_inbound(&mut lab, 200);
    lab[2].settle();
    assert_eq!(arrived(&mut lab), (200..264).collect::<Vec<_>>());
}

#[test]
fn a_helper_whose_slot_has_another_inbound_sa_leaves_packets_as_they_are() {
    let mut lab = inbound();
    let other = Site::new(2, &[3], &Link::dmvpn());
    let mut tables = (*lab.site(2).tables()).clone();
    let mut stranger = Arc::into_inner(other.inbound.into_iter().next().unwrap()).unwrap();
    stranger.slot = 1;
    tables.sas = Arc::new(dataplane::tables::SaTable::new([Arc::new(stranger)], []));
    publish_to(&mut lab[2], 1, &Arc::new(tables));
    dealt_inbound(&mut lab, 1);
    lab[2].settle();
    assert_eq!(arrived(&mut lab), (1..=64).collect::<Vec<_>>());
    lab.assert_clean();
}
