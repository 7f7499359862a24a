//! What is forged, replayed, gone, or shared.

use std::collections::BTreeMap;

use dataplane::engine::stage::SaCommand;
use dataplane::engine::topology::StageKind;

use super::*;
use crate::support::frame::{ESP, GRE, Ip, gre};

/// Gateway 2 alone, whose SA from gateway 1 only a device can open.
fn inbound(driver: &str, esn: bool) -> Option<Lab> {
    let link = Link { esp: Some(Esp { esn, ..Esp::TRANSPORT }), ..Link::dmvpn() };
    lab(driver, &ONE_CORE, DESCRIPTORS, vec![Site::new(2, &[1], &link)], Software::Wrong)
}

fn sealed(number: u32, esn: bool) -> Vec<u8> {
    let sa = oracle_sa(1, 2, &Esp { esn, ..Esp::TRANSPORT });
    let len = 40 + number as usize % 400;
    let esp = sa.seal(number.into(), GRE, &gre(Some(42), None, 0x0800, &numbered(number, len)));
    Ip::new("192.0.2.1", "192.0.2.2", ESP).packet(&esp)
}

fn deliver(lab: &mut Lab, packets: &[Vec<u8>]) -> Vec<u32> {
    let frames: Vec<_> = packets.iter().map(|packet| lab.site(2).underlay_frame(packet)).collect();
    lab[2].send_wan(&frames);
    lab[2].settle();
    lab.receive(2).iter().map(|packet| number_of(packet)).collect()
}

#[test]
fn forgeries_and_replays_are_told_apart_and_counted() {
    for driver in DRIVERS {
        for esn in [false, true] {
            let Some(mut lab) = inbound(driver, esn) else { break };
            let mut packets: Vec<_> = (1..=60).map(|number| sealed(number, esn)).collect();
            // Text, ICV, IV and sequence number, each of another packet.
            let len = packets[9].len();
            packets[9][60] ^= 1;
            packets[19].last_mut().map(|octet| *octet ^= 0x80).unwrap();
            packets[29][20 + 15] ^= 4;
            packets[39][20 + 7] = 200;
            assert_eq!(packets[9].len(), len);
            // A replay within the burst, which only the second look finds.
            packets.push(packets[4].clone());
            let arrived = deliver(&mut lab, &packets);
            let genuine = |number: &u32| ![10, 20, 30, 40].contains(number);
            assert_eq!(arrived, (1..=60).filter(genuine).collect::<Vec<_>>(), "{driver}");
            let drops = [("icv_mismatch", 4), ("replay_duplicate", 1)];
            assert_eq!(lab[2].drops(), BTreeMap::from(drops), "{driver}");
            // The forged ones used up no number; the others did.
            let again: Vec<_> = (1..=60).map(|number| sealed(number, esn)).collect();
            assert_eq!(deliver(&mut lab, &again), [10, 20, 30, 40]);
            let counters = &lab.site(2).inbound[0].counters;
            assert_eq!((counters.forgeries.value(), counters.replays.value()), (4, 57));
        }
    }
}

#[test]
fn a_shared_buffer_is_not_opened_under_the_eyes_of_others() {
    for driver in DRIVERS {
        let Some(mut lab) = inbound(driver, true) else { continue };
        let frames = [1, 2].map(|number| lab.site(2).underlay_frame(&sealed(number, true)));
        let mbufs = lab[2].mbufs(&frames);
        let other = mbufs[0].clone_indirect(&lab[2].pool).unwrap();
        lab[2].wan.send_mbufs(mbufs);
        lab[2].settle();
        assert_eq!(lab.receive(2).iter().map(|p| number_of(p)).collect::<Vec<_>>(), [2]);
        assert_eq!(other.data(), frames[0]);
        assert_eq!(lab[2].drops(), [("no_room", 1)].into());
    }
}

#[test]
fn of_a_retired_sa_nothing_is_accepted_and_nothing_sent() {
    for driver in DRIVERS {
        let Some(mut lab) = inbound(driver, true) else { continue };
        lab[2].command(StageKind::EspOpen, 1, SaCommand::RetireInbound(1));
        lab[2].settle();
        assert_eq!(deliver(&mut lab, &[sealed(1, true)]), []);
        assert_eq!(lab[2].drops(), [("sa_gone", 1)].into());

        let sites = vec![Site::new(1, &[2], &Link::dmvpn())];
        let Some(mut lab) = super::lab(driver, &ONE_CORE, DESCRIPTORS, sites, Software::Right)
        else {
            continue;
        };
        let mut without = lab.site(1).clone();
        without.outbound.clear();
        lab[1].publish(&without.tables());
        let frames = host_frames(&lab, &[numbered(1, 100)]);
        lab[1].send_lan(&frames);
        lab[1].settle();
        assert_eq!(lab[1].wan.receive().len(), 0);
        assert_eq!(lab[1].drops(), [("sa_gone", 1)].into());
    }
}

#[test]
fn sessions_go_with_their_sas() {
    let mut site = Site::new(1, &[2, 3], &Link::dmvpn());
    let Some((device, queues)) = device("crypto_aesni_gcm", &ONE_CORE, DESCRIPTORS) else { return };
    site.use_device(&device);
    assert_eq!(device.sessions_in_use(), 4);
    let shown = format!("{:?}", site.inbound[0].device_key);
    assert_eq!(shown, "Some(DeviceKey { .. })");
    let mut lab = Lab::with_devices(&ONE_CORE, [(site, queues)]);
    let frames = host_frames(&lab, &(0..70).map(|n| numbered(n, 100)).collect::<Vec<_>>());
    lab[1].send_lan(&frames);
    // Stopped while packets are on their way.
    lab[1].workers[0].turn();
    drop(lab);
    assert_eq!(device.sessions_in_use(), 0);
}
