use std::net::Ipv4Addr;
use std::sync::OnceLock;

use dpdk::{Eal, Mempool, MempoolConfig};
use proptest::prelude::*;

use super::*;
use crate::replay::ReplayWindow;
use crate::stages::tests::{context, ip, sa};
use crate::tables::encap::ICV;
use crate::tables::sa::{Lifetime, SaMode};
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
        let accepted = ours.accept_usual(context.tables.sas.take_gre(), &mut usual, number);
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

    /// The check of the usual packet says what the check of any says, or nothing, and it says
    /// something of what is usual.
    #[test]
    fn the_usual_are_checked_as_any(
        from in prop_oneof![4 => Just(SPOKE), 1 => any::<u32>().prop_map(Into::into)],
        spi in prop_oneof![4 => Just(7_u32), 1 => any::<u32>()],
        (udp, esn) in proptest::option::weighted(0.2, any::<(bool, bool)>())
            .prop_map(|odd| odd.unwrap_or((false, true))),
        (highest, ahead) in (0u64..400, -70i64..200),
        (lifetime, now) in (0u64..3, 0u64..3),
        (l4, len) in prop_oneof![3 => Just((20_u16, 80_usize)), 1 => (0u16..40, 0usize..80)],
    ) {
        let Some(number) = highest.checked_add_signed(ahead) else { return Ok(()) };
        let lifetime = Lifetime { tsc: lifetime, ..Lifetime::default() };
        let window = ReplayWindow::new(64, esn).unwrap();
        let sa = InboundSa { udp, esn, spi: 7, lifetime, window, ..sa(HUB, SPOKE) };
        let (stage, tables) = gateway(sa, highest);
        let mut esp = vec![0; 60];
        esp[..4].copy_from_slice(&spi.to_be_bytes());
        esp[4..8].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
        let data = &ip(from, HUB, 50, 0, &esp)[..len];
        let meta = Meta { sa: 0, l4, ..Meta::default() };

        let usual = stage.check_usual(now, &meta, data).map(|(number, _)| number);
        let mut events = Vec::new();
        let mut context = Context { now, ..context(&tables, &mut events) };
        let any = stage.check_any(&mut context, &meta, data).map(|(number, _)| number);
        if let Some(number) = usual {
            prop_assert_eq!(Ok(number), any);
        }
        let is_usual = l4 == 20 && len >= 36 && !udp && esn && ahead > 0;
        prop_assert_eq!(usual.is_some(), is_usual && any.is_ok());
    }
}
