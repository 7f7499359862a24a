//! What a device cannot do is the software's, in its turn.

use super::*;

#[test]
fn an_sa_without_a_session_is_done_by_software() {
    for driver in DRIVERS {
        // Of peers 2 and 3, only 2 has sessions, and no right key elsewhere.
        let mut sites = vec![Site::new(1, &[2, 3], &Link::dmvpn())];
        sites.extend([2, 3].map(|spoke| Site::new(spoke, &[1], &Link::dmvpn())));
        let mut with_queues = Vec::new();
        for mut site in sites {
            let Some((device, queues)) = device(driver, &ONE_CORE, DESCRIPTORS) else { return };
            site.use_device(&device);
            let wrong = key(200, site.number, &Esp::TRANSPORT);
            let is_software = |slot| site.number == 3 || slot == 3;
            for sa in site.inbound.iter_mut().map(|sa| Arc::get_mut(sa).unwrap()) {
                if is_software(sa.slot) {
                    sa.device_key = None;
                } else {
                    sa.key = wrong.clone();
                }
            }
            for sa in site.outbound.iter_mut().map(|sa| Arc::get_mut(sa).unwrap()) {
                if is_software(sa.slot) {
                    sa.device_key = None;
                } else {
                    sa.key = wrong.clone();
                }
            }
            with_queues.push((site, queues));
        }
        let mut lab = Lab::with_devices(&ONE_CORE, with_queues);
        // Both in one burst, then each alone.
        let to =
            |number: u32| if number < 64 { 2 + (number % 2) as u8 } else { 2 + number as u8 / 96 };
        let burst: Vec<_> = (0..128).map(|number| numbered_to(to(number), number, 90)).collect();
        lab.send(1, &burst[..64]);
        lab.send(1, &burst[64..96]);
        lab.send(1, &burst[96..]);
        for spoke in [2, 3] {
            let arrived: Vec<_> = lab.receive(spoke).iter().map(|p| number_of(p)).collect();
            let expected: Vec<_> = (0..128).filter(|number| to(*number) == spoke).collect();
            assert_eq!(arrived, expected, "{driver}");
        }
        lab.assert_clean();
    }
}

#[test]
fn what_a_small_queue_has_no_room_for_is_done_by_software() {
    for driver in DRIVERS {
        // Bursts of up to 15 are the device's, larger ones the software's.
        let sites = pair(&Link::dmvpn());
        let Some(mut lab) = lab(driver, &ONE_CORE, 15, sites, Software::Right) else { continue };
        let rng = &mut Rng::new(2);
        let mut number = 0;
        for _ in 0..200 {
            let count = 1 + rng.below(40) as u32;
            let burst = packets(rng, number, count);
            number += count;
            lab.send(1, &burst);
        }
        assert!(lab.receive(2).iter().map(|p| number_of(p)).eq(0..number), "{driver}");
        lab.assert_clean();

        let sites = pair(&Link::dmvpn());
        let Some(mut lab) = super::lab(driver, &ONE_CORE, 15, sites, Software::Wrong) else {
            continue;
        };
        let burst: Vec<_> = (0..15).map(|number| numbered(number, 90)).collect();
        lab.send(1, &burst);
        assert_eq!(lab.receive(2).len(), 15, "{driver}: all fit");
        let burst: Vec<_> = (0..16).map(|number| numbered(number, 90)).collect();
        lab.send(1, &burst);
        assert_eq!(lab.receive(2).len(), 0, "{driver}: software, and its key is wrong here");
        assert_eq!(lab[2].drops(), [("icv_mismatch", 16)].into());
    }
}

#[test]
fn helpers_and_a_device_share_the_work() {
    for driver in DRIVERS {
        let layout = Layout::Elephant(2);
        // Too small for the larger bursts.
        let sites = pair(&Link::dmvpn());
        let Some(mut lab) = lab(driver, &layout, 40, sites, Software::Right) else { continue };
        let rng = &mut Rng::new(4);
        let (mut number, mut arrived) = (0, Vec::new());
        for _ in 0..100 {
            let count = 1 + rng.below(100) as u32;
            let burst = packets(rng, number, count);
            number += count;
            lab.send(1, &burst);
            arrived.extend(lab.receive(2).iter().map(|packet| number_of(packet)));
        }
        assert!(arrived.into_iter().eq(0..number), "{driver}");
        assert!(crate::elephant::helped(&lab, 1)[0] > 0, "the helper had some");
        lab.assert_clean();
    }
}
