use std::net::Ipv4Addr;
use std::sync::OnceLock;

use dpdk::{Eal, Mempool, MempoolConfig};
use proptest::prelude::*;

use super::*;
use crate::stages::tests::{context, ip, sa};
use crate::tables::encap::ICV;
use crate::tables::sa::SaMode;
use crate::tables::{SaTable, Tables};

const HUB: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SPOKE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// A gateway with this SA, which has accepted the numbers up to `highest`.
fn gateway(sa: InboundSa, highest: u64) -> (EspOpen, Tables) {
    let sa = Arc::new(sa);
    let sas = Arc::new(SaTable::new([sa.clone()], []));
    let tables = Tables { sas, ..Tables::default() };
    let mut stage = EspOpen::default();
    stage.install(sa, &mut context(&tables, &mut Vec::new()));
    let state = stage.inbound[0].as_mut().unwrap();
    let _ = (highest > 0).then(|| state.window.advance(highest));
    (stage, tables)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What is done with the usual packet is what is done with any, and others are left alone.
    #[test]
    fn the_usual_are_accepted_as_any(
        payload in 0usize..60,
        trailer in proptest::collection::vec(0u8..5, 0..5),
        next_header in prop_oneof![4 => Just(47u8), 1 => Just(4), 1 => Just(59), 1 => any::<u8>()],
        (udp, allows_gre, tunnel) in proptest::option::weighted(0.2, any::<(bool, bool, bool)>())
            .prop_map(|odd| odd.unwrap_or((false, true, false))),
        (highest, ahead) in (0u64..400, -70i64..200),
    ) {
        static POOL: OnceLock<Mempool> = OnceLock::new();
        let pool = POOL.get_or_init(|| {
            let config = MempoolConfig { mbufs: 63, cache: 0, ..MempoolConfig::default() };
            Mempool::new(Eal::for_tests(), "esp_open_usual", config).unwrap()
        });
        let Some(number) = highest.checked_add_signed(ahead) else { return Ok(()) };
        // What a verified packet is: plaintext between the headers and the ICV.
        let mut esp = vec![0x45; ESP_IV + payload];
        esp.extend(&trailer);
        esp.push(next_header);
        esp.extend([0xcc; ICV]);
        let octets = ip(SPOKE, HUB, 50, 0, &esp);
        let arrive = || {
            let mut mbuf = pool.alloc().unwrap();
            assert!(mbuf.write(&octets));
            let mut packet = Packet::new(mbuf);
            (packet.meta.sa, packet.meta.l4) = (0, 20);
            packet
        };
        let mode = if tunnel { SaMode::Tunnel } else { SaMode::Transport };
        let sa = || InboundSa { udp, allows_gre, mode, ..sa(HUB, SPOKE) };
        let (mut ours, tables) = gateway(sa(), highest);
        let (mut theirs, _) = gateway(sa(), highest);
        let (mut usual, mut any) = (arrive(), arrive());
        let mut events = Vec::new();
        let mut context = context(&tables, &mut events);
        let accepted = ours.accept_usual(&context, &mut usual, number);
        if let Some(verdict) = accepted {
            let by_any = theirs.accept(&mut context, &mut any, number);
            prop_assert_eq!(verdict, Verdict::from(by_any));
        }
        // The usual way looks at the last eight octets of a plaintext.
        let is_long = payload + trailer.len() + 1 >= 8;
        let simple = trailer.last() == Some(&0) && next_header == 47 && is_long;
        if simple && (udp, allows_gre, tunnel) == (false, true, false) && (1..64).contains(&ahead) {
            prop_assert!(accepted.is_some());
        }
        prop_assert_eq!(usual.mbuf.data(), any.mbuf.data());
        prop_assert_eq!(format!("{:?}", usual.meta), format!("{:?}", any.meta));
        let left = |stage: &EspOpen| {
            let state = stage.inbound[0].as_ref().unwrap();
            (format!("{:?}", state.counters), state.window.clone())
        };
        prop_assert_eq!(left(&ours), left(&theirs));
    }
}
