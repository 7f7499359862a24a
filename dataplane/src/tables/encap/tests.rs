use super::*;

fn esp(mode: SaMode, udp: bool) -> EspSpec {
    EspSpec { slot: 0, spi: 0x1001, mode, udp: udp.then_some((4500, 4500)) }
}

/// facts of the field: GRE over transport ESP on a 1500-octet path leaves 1434 to 1442.
#[test]
fn inner_mtu_of_common_stacks() {
    let transport = esp(SaMode::Transport, false);
    assert_eq!(inner_mtu(1500, false, None, 4), 1476);
    assert_eq!(inner_mtu(1500, false, None, 8), 1472);
    assert_eq!(inner_mtu(1500, false, Some(&transport), 4), 1442);
    assert_eq!(inner_mtu(1500, false, Some(&transport), 8), 1438);
    assert_eq!(inner_mtu(1500, false, Some(&esp(SaMode::Transport, true)), 8), 1430);
    assert_eq!(inner_mtu(1500, false, Some(&esp(SaMode::Tunnel, false)), 4), 1422);
    assert_eq!(inner_mtu(1500, false, Some(&esp(SaMode::Tunnel, false)), 0), 1446);
    assert_eq!(inner_mtu(1500, true, None, 4), 1456);
}

/// Whatever the stack: the largest inner packet fits, one octet more does not.
#[test]
fn inner_mtu_is_exact() {
    for path in 600..2000u16 {
        for mode in [SaMode::Transport, SaMode::Tunnel] {
            for udp in [false, true] {
                for gre in [0usize, 4, 8, 16] {
                    let spec = esp(mode, udp);
                    let outer = |inner: usize| {
                        let ip2 = if gre > 0 && mode == SaMode::Tunnel { 20 } else { 0 };
                        let sealed = (ip2 + gre + inner + 2).next_multiple_of(4);
                        20 + if udp { 8 } else { 0 } + 16 + sealed + 16
                    };
                    let mtu = usize::from(inner_mtu(path, false, Some(&spec), gre));
                    assert!(outer(mtu) <= usize::from(path));
                    assert!(outer(mtu + 1) > usize::from(path));
                }
            }
        }
    }
}
