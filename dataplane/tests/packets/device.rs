//! ESP by crypto devices: the processor's instructions behind DPDK's interface. In most tests the
//! software keys are wrong, so that whatever is right was the device's work.

mod faults;
mod mixed;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dpdk::crypto::{CryptoConfig, CryptoDevice, CryptoQueue};
use dpdk::{Eal, Error};

use crate::elephant::{host_frames, number_of, numbered, numbered_to, packets, sequences};
use crate::support::frame::{hops, udp_packet};
use crate::support::rng::Rng;
use crate::support::site::{key, oracle_sa};
use crate::support::{Esp, Lab, Layout, Link, Site};

const DRIVERS: [&str; 3] = ["crypto_aesni_gcm", "crypto_aesni_mb", "crypto_openssl"];
const DESCRIPTORS: u16 = 1023;
const ONE_CORE: Layout = Layout::RunToCompletion(1);

static DEVICES: AtomicU32 = AtomicU32::new(0);

/// A device with a queue for each stage that may use one; none, and a word, without its driver.
fn device(
    driver: &str,
    layout: &Layout,
    descriptors: u16,
) -> Option<(CryptoDevice, Vec<CryptoQueue>)> {
    let number = DEVICES.fetch_add(1, Ordering::Relaxed);
    let queues = layout.plan().dealers().try_into().unwrap();
    let config = CryptoConfig { queues, descriptors, sessions: 64 };
    match CryptoDevice::attach(Eal::for_tests(), &format!("{driver}_packets{number}"), &config) {
        Err(Error::NoSuchDevice(_)) => {
            eprintln!("skipped: no driver {driver}");
            None
        }
        attached => Some(attached.unwrap()),
    }
}

/// Whether software could do the work as well.
#[derive(Clone, Copy, PartialEq)]
enum Software {
    Right,
    Wrong,
}

/// Gateways around these sites, each with a device of its own.
fn lab(
    driver: &str,
    layout: &Layout,
    descriptors: u16,
    sites: Vec<Site>,
    software: Software,
) -> Option<Lab> {
    let mut with_queues = Vec::new();
    for mut site in sites {
        let (device, queues) = device(driver, layout, descriptors)?;
        site.use_device(&device);
        if software == Software::Wrong {
            spoil(&mut site);
        }
        with_queues.push((site, queues));
    }
    Some(Lab::with_devices(layout, with_queues))
}

/// Makes the software keys wrong, at each site in another way.
fn spoil(site: &mut Site) {
    let wrong = key(200, site.number, &Esp::TRANSPORT);
    for sa in &mut site.inbound {
        Arc::get_mut(sa).unwrap().key = wrong.clone();
    }
    for sa in &mut site.outbound {
        Arc::get_mut(sa).unwrap().key = wrong.clone();
    }
}

fn pair(link: &Link) -> Vec<Site> {
    vec![Site::new(1, &[2], link), Site::new(2, &[1], link)]
}

#[test]
fn devices_and_the_oracle_agree_in_every_mode() {
    for driver in DRIVERS {
        for bits in 0..16u8 {
            let esp = Esp::combination(bits);
            let link = Link { esp: Some(esp), ..Link::dmvpn() };
            let sites = pair(&link);
            let Some(mut lab) = lab(driver, &ONE_CORE, DESCRIPTORS, sites, Software::Wrong) else {
                return;
            };
            // From none in the last block to a whole one, and one packet alone.
            let packets: Vec<_> =
                (0..40).map(|i| udp_packet("10.1.0.10", "10.2.0.10", i, 60 + i as usize)).collect();
            lab.send(1, &packets[..39]);
            lab.send(1, &packets[39..]);
            let arrived: Vec<_> = packets.iter().map(|packet| hops(packet, 2)).collect();
            assert_eq!(lab.receive(2), arrived, "{driver} {esp:?}");
            lab.assert_clean();
            let sa = oracle_sa(1, 2, &esp);
            let at = if esp.udp { 28 } else { 20 };
            for (number, outer) in (1..).zip(lab.outer()) {
                let opened = sa.open(0, &outer[at..]);
                assert_eq!((opened.sequence, opened.iv), (number, number));
            }
        }
    }
}

#[test]
fn extended_numbers_go_beyond_32_bits() {
    for driver in DRIVERS {
        let start = (5 << 32) - 20;
        let link = Link { esp: Some(Esp { start, ..Esp::TRANSPORT }), ..Link::dmvpn() };
        let sites = pair(&link);
        let Some(mut lab) = lab(driver, &ONE_CORE, DESCRIPTORS, sites, Software::Wrong) else {
            continue;
        };
        let packets: Vec<_> = (0..50).map(|number| numbered(number, 100)).collect();
        lab.send(1, &packets);
        assert!(lab.receive(2).iter().map(|p| number_of(p)).eq(0..50), "{driver}");
        let sa = oracle_sa(1, 2, &Esp::TRANSPORT);
        for (number, outer) in (start + 1..).zip(lab.outer()) {
            assert_eq!(sa.open((number >> 32) as u32, &outer[20..]).sequence, number);
        }
        lab.assert_clean();
    }
}

#[test]
fn thousands_of_packets_keep_their_order() {
    for driver in DRIVERS {
        for layout in [Layout::RunToCompletion(1), Layout::RunToCompletion(3), Layout::Pipeline(3)]
        {
            let sites = pair(&Link::dmvpn());
            let Some(mut lab) = lab(driver, &layout, DESCRIPTORS, sites, Software::Wrong) else {
                break;
            };
            let rng = &mut Rng::new(9);
            let (mut sent, mut on_wire) = (0, Vec::new());
            while sent < 4000 {
                let count = 1 + rng.below(200) as u32;
                let packets = packets(rng, sent, count);
                sent += count;
                let frames = host_frames(&lab, &packets);
                lab[1].send_lan(&frames);
                for _ in 0..rng.below(3) {
                    let worker = rng.below(lab[1].workers.len());
                    lab[1].workers[worker].turn();
                }
                if rng.chance(3) {
                    lab[1].settle();
                }
                on_wire.extend(lab[1].wan.receive());
            }
            lab[1].settle();
            on_wire.extend(lab[1].wan.receive());
            assert!(sequences(&on_wire).into_iter().eq(1..=u64::from(sent)));
            let mut arrived = Vec::new();
            for frames in on_wire.chunks(300) {
                lab[2].send_wan(frames);
                lab[2].settle();
                arrived.extend(lab.receive(2));
            }
            assert!(arrived.iter().map(|packet| number_of(packet)).eq(0..sent), "{driver}");
            lab.assert_clean();
        }
    }
}

#[test]
fn many_sas_at_once() {
    for driver in DRIVERS {
        let spokes = [2, 3, 4, 5, 6];
        let mut sites = vec![Site::new(1, &spokes, &Link::dmvpn())];
        sites.extend(spokes.map(|spoke| Site::new(spoke, &[1], &Link::dmvpn())));
        let Some(mut lab) = lab(driver, &ONE_CORE, DESCRIPTORS, sites, Software::Wrong) else {
            continue;
        };
        let rng = &mut Rng::new(3);
        let mut expected = [(); 7].map(|()| Vec::new());
        for number in (0..600).step_by(60) {
            let burst: Vec<_> = (number..number + 60)
                .map(|number| {
                    let to = *rng.pick(&spokes);
                    expected[usize::from(to)].push(number);
                    numbered_to(to, number, 32 + rng.below(500))
                })
                .collect();
            lab.send(1, &burst);
        }
        for spoke in spokes {
            let arrived: Vec<_> = lab.receive(spoke).iter().map(|p| number_of(p)).collect();
            assert_eq!(arrived, expected[usize::from(spoke)], "{driver}, spoke {spoke}");
        }
        lab.assert_clean();
    }
}
