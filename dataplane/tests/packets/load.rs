//! Many packets: nothing leaks, nothing is lost.

use crate::support::frame::{hops, udp_packet};
use crate::support::{Lab, Link};

const ROUNDS: usize = 4096;
const PACKETS: usize = 256;

/// 1 048 576 packets through encryption and decryption. Some 3 s optimised, ten times that not.
#[test]
#[cfg_attr(debug_assertions, ignore = "for optimised builds")]
fn a_million_packets_there_and_none_is_leaked() {
    let mut lab = Lab::pair(&Link::dmvpn());
    let packets: Vec<_> = (0..8)
        .map(|i| udp_packet("10.1.0.10", "10.2.0.10", i, 60 + 150 * usize::from(i)))
        .collect();
    let frames: Vec<_> = packets.iter().map(|packet| lab.site(1).host_frame(packet)).collect();
    let expected: Vec<_> = packets.iter().map(|packet| hops(packet, 2)).collect();
    let in_use = [1, 2].map(|n| lab[n].in_use());
    let mut arrived = 0;
    for _ in 0..ROUNDS {
        let burst = (0..PACKETS).map(|i| lab[1].mbuf(&frames[i % 8])).collect();
        lab[1].lan.send_mbufs(burst);
        lab[1].settle();
        let sealed = lab[1].wan.receive_mbufs();
        lab[2].wan.send_mbufs(sealed);
        lab[2].settle();
        for (i, mbuf) in lab[2].lan.receive_mbufs().iter().enumerate() {
            assert_eq!(mbuf.data()[14..], expected[i % 8]);
            arrived += 1;
        }
    }
    assert_eq!(arrived, ROUNDS * PACKETS);
    assert_eq!([1, 2].map(|n| lab[n].in_use()), in_use);
    lab.assert_clean();
}
