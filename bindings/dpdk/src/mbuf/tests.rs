use proptest::prelude::*;

use super::*;
use crate::{Eal, MempoolConfig};

const HEADROOM: usize = 192;
const ROOM: usize = 512;

fn pool(name: &str) -> Mempool {
    let config = MempoolConfig { mbufs: 255, cache: 0, headroom: 192, data_room: 512 };
    Mempool::new(Eal::for_tests(), name, config).unwrap()
}

/// Different from one octet to the next, and from one seed to the next.
fn octets(seed: u8, len: usize) -> Vec<u8> {
    (0_u8..251).cycle().skip(seed.into()).take(len).collect()
}

fn packet(pool: &Mempool, octets: &[u8]) -> Mbuf {
    let mut packet = pool.alloc().unwrap();
    assert!(packet.write(octets));
    packet
}

fn chain_of(pool: &Mempool, parts: &[&[u8]]) -> Mbuf {
    let mut chain = packet(pool, parts[0]);
    for part in &parts[1..] {
        chain.chain(packet(pool, part)).unwrap();
    }
    chain
}

fn contents(packet: &Mbuf) -> Vec<u8> {
    packet.segments().flatten().copied().collect()
}

#[test]
fn a_fresh_packet_is_empty_and_has_all_its_room() {
    let pool = pool("fresh");
    let packet = pool.alloc().unwrap();
    assert!(packet.is_empty() && packet.is_contiguous() && packet.is_exclusive());
    assert_eq!((packet.headroom(), packet.tailroom()), (HEADROOM, ROOM));
    assert_eq!((pool.in_use(), pool.available()), (1, 254));
    drop(packet);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn edges_move_to_their_bounds_and_not_beyond() {
    let pool = pool("edges");
    let mut packet = packet(&pool, &octets(0, 100));
    for count in [HEADROOM + 1, 65_536, usize::MAX] {
        assert!(packet.prepend(count).is_none());
    }
    for count in [ROOM - 100 + 1, 65_536, usize::MAX] {
        assert!(packet.append(count).is_none());
    }
    for count in [101, 65_536 + 1, usize::MAX] {
        assert!(!packet.adj(count) && !packet.trim(count));
    }
    assert_eq!(contents(&packet), octets(0, 100), "refusals change nothing");

    packet.prepend(HEADROOM).unwrap().fill(1);
    packet.append(ROOM - 100).unwrap().fill(2);
    assert_eq!((packet.headroom(), packet.tailroom()), (0, 0));
    let all = [vec![1; HEADROOM], octets(0, 100), vec![2; ROOM - 100]].concat();
    assert_eq!(packet.data(), all);
    assert!(packet.prepend(1).is_none() && packet.append(1).is_none());

    assert!(packet.adj(HEADROOM) && packet.trim(ROOM - 100));
    assert_eq!(packet.data(), octets(0, 100));
    assert!(packet.adj(100) && packet.is_empty());
    assert!(packet.adj(0) && packet.trim(0) && !packet.adj(1) && !packet.trim(1));
}

#[test]
fn both_edges_grow_and_narrow_at_once() {
    let pool = pool("grow");
    let mut packet = packet(&pool, &octets(0, 100));
    let room = |room: usize| u16::try_from(room).unwrap();
    let (headroom, tailroom) = (room(packet.headroom()), room(packet.tailroom()));
    for (front, back) in [(headroom + 1, 0), (0, tailroom + 1), (u16::MAX, u16::MAX)] {
        assert!(packet.grow(front, back).is_none());
    }
    for (front, len) in [(101, 0), (0, 101), (1, 100), (65_536, 0), (0, 65_536)] {
        assert!(!packet.narrow(front, len));
    }
    assert_eq!(contents(&packet), octets(0, 100), "refusals change nothing");

    let data = packet.grow(headroom, tailroom).unwrap();
    assert_eq!(data[HEADROOM..][..100], octets(0, 100));
    data[..HEADROOM].fill(1);
    assert_eq!((packet.headroom(), packet.tailroom(), packet.len()), (0, 0, HEADROOM + ROOM));
    assert!(packet.narrow(HEADROOM, 100));
    assert_eq!(contents(&packet), octets(0, 100));
    assert!(packet.narrow(100, 0) && packet.is_empty());

    let mut chain = chain_of(&pool, &[&[1; 10], &[2; 10]]);
    assert!(chain.grow(1, 1).is_none() && !chain.narrow(0, 5), "not of several segments");
    let mut shared = self::packet(&pool, &octets(0, 10));
    let _clone = shared.clone_indirect(&pool).unwrap();
    assert!(shared.grow(1, 0).is_none(), "not when somebody else reads it");
}

#[test]
fn write_replaces_and_clear_frees_the_tail() {
    let pool = pool("write");
    let mut packet = chain_of(&pool, &[&[1; 10], &[2; 10], &[3; 10]]);
    assert_eq!((pool.in_use(), packet.len(), packet.segment_count()), (3, 30, 3));
    assert!(packet.write(&[9; ROOM]));
    assert_eq!((pool.in_use(), packet.len(), packet.segment_count()), (1, ROOM, 1));
    assert!(!packet.write(&[9; ROOM + 1]), "it does not fit");
    assert!(packet.is_empty());
    assert_eq!(packet.headroom(), HEADROOM);
}

#[test]
fn headroom_is_reserved_by_moving_the_data_back() {
    let pool = pool("reserve");
    let mut packet = packet(&pool, &octets(3, 400));
    packet.prepend(HEADROOM).unwrap().fill(7);
    let all = contents(&packet);
    assert!(packet.reserve_headroom(0));
    assert_eq!(packet.headroom(), 0, "there was enough");
    let tailroom = packet.tailroom();
    assert!(!packet.reserve_headroom(tailroom + 1) && !packet.reserve_headroom(usize::MAX));
    assert!(packet.reserve_headroom(tailroom));
    assert_eq!((packet.headroom(), packet.tailroom()), (tailroom, 0));
    assert_eq!(contents(&packet), all);

    let mut shared = self::packet(&pool, &octets(0, 10));
    let clone = shared.clone_indirect(&pool).unwrap();
    assert!(!shared.reserve_headroom(HEADROOM + 1));
    drop(clone);
    assert!(shared.reserve_headroom(HEADROOM + 1));
}

#[test]
fn chains_split_at_each_point_become_contiguous() {
    let pool = pool("linearize");
    let all = octets(0, 100);
    for first in 0..=100 {
        for second in [first, (first + 100) / 2, 100] {
            let parts = [&all[..first], &all[first..second], &all[second..]];
            let mut chain = chain_of(&pool, &parts);
            assert!(!chain.is_contiguous());
            assert_eq!(chain.linearize(), Ok(()));
            assert!(chain.is_contiguous());
            assert_eq!((chain.data(), chain.len()), (&all[..], 100));
            assert_eq!(pool.in_use(), 1);
        }
    }
}

#[test]
fn what_cannot_be_made_contiguous_stays_as_it_is() {
    let pool = pool("linearize_not");
    let mut long = chain_of(&pool, &[&octets(0, 300), &octets(1, 213)]);
    assert_eq!(long.linearize(), Err(LinearizeError::NoRoom));
    assert_eq!(contents(&long), [octets(0, 300), octets(1, 213)].concat());

    let original = packet(&pool, &octets(2, 50));
    let mut chain = original.clone_indirect(&pool).unwrap();
    chain.chain(packet(&pool, &octets(3, 50))).unwrap();
    assert_eq!(chain.linearize(), Err(LinearizeError::Shared));
    assert_eq!(contents(&chain), [octets(2, 50), octets(3, 50)].concat());
}

#[test]
fn a_clone_and_its_original_cannot_be_written_until_one_is_gone() {
    let pool = pool("clone");
    let mut original = packet(&pool, &octets(0, 100));
    let mut clone = original.clone_indirect(&pool).unwrap();
    for packet in [&mut original, &mut clone] {
        assert!(!packet.is_exclusive() && !packet.is_head_exclusive());
        assert!(packet.data_mut().is_none());
        assert!(packet.prepend(1).is_none() && packet.append(1).is_none());
        assert!(!packet.write(&[1]) && packet.is_empty());
    }
    // Both were emptied, each for itself; the octets are where they were.
    drop(clone);
    assert!(original.is_exclusive() && original.data_mut().is_some());
    assert_eq!(original.append(100).unwrap(), octets(0, 100));
    assert_eq!(pool.in_use(), 1);
}

#[test]
fn a_clone_has_edges_of_its_own_and_outlives_its_original() {
    let pool = pool("clone_edges");
    let original = chain_of(&pool, &[&octets(0, 60), &octets(60, 40)]);
    let mut clone = original.clone_indirect(&pool).unwrap();
    let second = clone.clone_indirect(&pool).unwrap();
    assert_eq!(pool.in_use(), 6);
    assert!(clone.adj(20) && clone.trim(20));
    assert_eq!(contents(&original), octets(0, 100));
    assert_eq!(contents(&clone), octets(20, 60));
    drop(original);
    assert_eq!(contents(&clone), octets(20, 60));
    assert_eq!(contents(&second), octets(0, 100));
    std::thread::spawn(move || drop(clone)).join().unwrap();
    assert_eq!(contents(&second), octets(0, 100));
    assert!(!second.is_exclusive(), "an indirect mbuf never is");
    drop(second);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_header_before_a_clone_can_be_written() {
    let pool = pool("header");
    let payload = packet(&pool, &octets(0, 100));
    let mut sent = packet(&pool, &[0; 20]);
    sent.chain(payload.clone_indirect(&pool).unwrap()).unwrap();
    assert!(sent.is_head_exclusive() && !sent.is_exclusive());
    sent.data_mut().unwrap().fill(0x45);
    sent.prepend(14).unwrap().fill(0xee);
    assert!(sent.append(1).is_none(), "the last segment is shared");
    assert_eq!(contents(&sent), [vec![0xee; 14], vec![0x45; 20], octets(0, 100)].concat());
    assert_eq!(payload.data(), octets(0, 100));
}

#[test]
fn a_copy_is_exclusive_and_has_fresh_headroom() {
    let pool = pool("copy");
    for len in [0, 1, ROOM, ROOM + 1, 3000] {
        let all = octets(5, len);
        let parts: Vec<&[u8]> = if len == 0 { vec![&[]] } else { all.chunks(173).collect() };
        let original = chain_of(&pool, &parts);
        let shared = original.clone_indirect(&pool).unwrap();
        let mut copy = shared.copy(&pool).unwrap();
        drop((original, shared));
        assert_eq!(contents(&copy), all);
        assert_eq!(copy.len(), len);
        assert!(copy.is_exclusive());
        assert_eq!(copy.is_contiguous(), len <= ROOM);
        assert!(copy.prepend(HEADROOM).is_some());
    }
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn an_empty_pool_gives_none_and_leaks_nothing() {
    let (pool, small) = (pool("full"), {
        let config = MempoolConfig { mbufs: 2, cache: 0, headroom: 128, data_room: 64 };
        Mempool::new(Eal::for_tests(), "small", config).unwrap()
    });
    let original = chain_of(&pool, &[&[1; 200], &[2; 100]]);
    assert!(original.copy(&small).is_none(), "it takes three");
    assert_eq!(small.in_use(), 0);
    let one = small.alloc().unwrap();
    assert!(original.clone_indirect(&small).is_none(), "it takes two");
    assert_eq!(small.in_use(), 1);
    assert!(original.is_exclusive());
    let two = small.alloc().unwrap();
    assert!(small.alloc().is_none());
    drop((one, two));
    assert_eq!(small.in_use(), 0);
}

#[test]
fn bulk_allocation_is_all_or_nothing() {
    let pool = pool("bulk");
    let mut packets = vec![pool.alloc().unwrap()];
    assert_eq!(pool.alloc_bulk(255, &mut packets), 0);
    assert_eq!(pool.alloc_bulk(254, &mut packets), 254);
    assert_eq!((packets.len(), pool.available()), (255, 0));
    assert!(packets.iter().all(|packet| packet.headroom() == HEADROOM && packet.is_empty()));
    packets.truncate(200);
    assert_eq!(pool.in_use(), 200);
    Mbuf::free_bulk(&mut packets);
    assert_eq!((packets.len(), pool.in_use()), (0, 0));
    Mbuf::free_bulk(&mut packets);
}

#[test]
fn a_chain_has_at_most_65535_segments() {
    let config = MempoolConfig { mbufs: 65_536, cache: 0, headroom: 128, data_room: 1 };
    let pool = Mempool::new(Eal::for_tests(), "long_chain", config).unwrap();
    let mut chains = Vec::new();
    pool.alloc_bulk(65_536, &mut chains);
    while chains.len() > 2 {
        let tails = chains.split_off(chains.len() / 2);
        for (head, tail) in chains.iter_mut().zip(tails) {
            head.chain(tail).unwrap();
        }
    }
    let tail = chains.pop().unwrap();
    let mut head = chains.pop().unwrap();
    let tail = head.chain(tail).unwrap_err();
    assert_eq!((head.segment_count(), tail.segment_count()), (32_768, 32_768));
    drop(head);
    assert_eq!(pool.in_use(), 32_768);
    drop(tail);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn received_facts_are_read_and_copied() {
    let pool = pool("facts");
    let packet = packet(&pool, &[0; 60]);
    assert_eq!(packet.rx_ip_checksum(), Checksum::Unknown);
    assert_eq!((packet.rss_hash(), packet.vlan_stripped()), (None, None));
    // The bits as rte_mbuf_core.h has them.
    for (bits, ip, l4) in [
        (1 << 4 | 1 << 8, Checksum::Bad, Checksum::Good),
        (1 << 7 | 1 << 3, Checksum::Good, Checksum::Bad),
        (1 << 4 | 1 << 7 | 1 << 3 | 1 << 8, Checksum::None, Checksum::None),
    ] {
        let first = packet.first();
        first.set_flags(bits | 1 << 1 | 1 << 6);
        first.set_rss(0xdead_beef);
        first.set_vlan_tci(0x2064);
        let copy = packet.copy(&pool).unwrap();
        for packet in [&packet, &copy] {
            assert_eq!((packet.rx_ip_checksum(), packet.rx_l4_checksum()), (ip, l4));
            assert_eq!(packet.rss_hash(), Some(0xdead_beef));
            assert_eq!(packet.vlan_stripped(), Some(0x2064));
        }
    }
}

#[test]
fn a_request_replaces_the_facts_and_is_checked() {
    let pool = pool("request");
    let mut packet = packet(&pool, &[0; 60]);
    packet.first().set_flags(1 << 1 | 1 << 6);
    let request = TxRequest { l2_len: 14, l3_len: 20, ipv4_checksum: true, vlan_insert: Some(100) };
    assert!(packet.request_tx(request));
    // TX_VLAN, TX_IPV4, TX_IP_CKSUM as rte_mbuf_core.h has them.
    assert_eq!(packet.first().flags(), 1 << 57 | 1 << 55 | 1 << 54);
    assert_eq!(packet.first().vlan_tci(), 100);
    assert_eq!(packet.first().tx_offload(), 14 | 20 << 7);
    for wrong in [
        TxRequest { l2_len: 128, ..request },
        TxRequest { l3_len: 512, ..request },
        TxRequest { l3_len: u16::MAX, ..request },
        TxRequest { l3_len: 47, ..request },
    ] {
        assert!(!packet.request_tx(wrong));
        assert_eq!(packet.first().flags(), 0);
    }
    assert!(packet.request_tx(TxRequest { l3_len: 46, ..request }));
    packet.clear_offloads();
    assert_eq!(packet.first().flags(), 0);

    let mut clone = packet.clone_indirect(&pool).unwrap();
    assert!(clone.request_tx(request));
    clone.clear_offloads();
    assert!(!clone.is_exclusive(), "whose the buffer is, is not forgotten");
}

#[derive(Clone, Debug)]
enum Edit {
    Prepend(Vec<u8>),
    Append(Vec<u8>),
    Adj(usize),
    Trim(usize),
    Reserve(usize),
    Chain(Vec<u8>),
    Linearize,
    Copy,
    CloneAndDropOriginal,
    Write(Vec<u8>),
}

fn edit() -> impl Strategy<Value = Edit> {
    let octets = || prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        octets().prop_map(Edit::Prepend),
        octets().prop_map(Edit::Append),
        (0_usize..400).prop_map(Edit::Adj),
        (0_usize..400).prop_map(Edit::Trim),
        (0_usize..400).prop_map(Edit::Reserve),
        octets().prop_map(Edit::Chain),
        Just(Edit::Linearize),
        Just(Edit::Copy),
        Just(Edit::CloneAndDropOriginal),
        octets().prop_map(Edit::Write),
    ]
}

/// Does one edit to the packet, and to the model what the packet should have become.
fn apply(pool: &Mempool, packet: &mut Mbuf, model: &mut Vec<u8>, edit: Edit) {
    let first_len = packet.data().len();
    let last_len = packet.segments().last().unwrap().len();
    let last_exclusive = packet.first().last().is_exclusive();
    match edit {
        Edit::Prepend(octets) => {
            let fits = octets.len() <= packet.headroom() && packet.is_head_exclusive();
            let room = packet.prepend(octets.len());
            assert_eq!(room.is_some(), fits);
            if let Some(room) = room {
                room.copy_from_slice(&octets);
                model.splice(..0, octets);
            }
        }
        Edit::Append(octets) => {
            let fits = octets.len() <= packet.tailroom() && last_exclusive;
            let room = packet.append(octets.len());
            assert_eq!(room.is_some(), fits);
            if let Some(room) = room {
                room.copy_from_slice(&octets);
                model.extend(octets);
            }
        }
        Edit::Adj(count) => {
            assert_eq!(packet.adj(count), count <= first_len);
            model.drain(..if count <= first_len { count } else { 0 });
        }
        Edit::Trim(count) => {
            assert_eq!(packet.trim(count), count <= last_len);
            model.truncate(model.len() - if count <= last_len { count } else { 0 });
        }
        Edit::Reserve(count) => {
            if packet.reserve_headroom(count) {
                assert!(packet.headroom() >= count);
            }
        }
        Edit::Chain(octets) => {
            packet.chain(self::packet(pool, &octets)).unwrap();
            model.extend(octets);
        }
        Edit::Linearize => {
            if packet.linearize().is_ok() {
                assert!(packet.is_contiguous());
            }
        }
        Edit::Copy => {
            *packet = packet.copy(pool).unwrap();
            assert!(packet.is_exclusive());
        }
        Edit::CloneAndDropOriginal => *packet = packet.clone_indirect(pool).unwrap(),
        Edit::Write(octets) => {
            let fits = packet.write(&octets);
            *model = if fits { octets } else { Vec::new() };
        }
    }
}

#[test]
fn any_edits_do_to_a_packet_what_they_do_to_a_vector() {
    let pool = pool("edits");
    proptest!(|(edits in prop::collection::vec(edit(), 0..24))| {
        let mut packet = pool.alloc().unwrap();
        let mut model = Vec::new();
        for edit in edits {
            apply(&pool, &mut packet, &mut model, edit);
            prop_assert_eq!(contents(&packet), &model[..]);
            prop_assert_eq!(packet.len(), model.len());
            prop_assert_eq!(packet.segments().count(), packet.segment_count());
            prop_assert_eq!(packet.segments().next().unwrap(), packet.data());
        }
        drop(packet);
        prop_assert_eq!(pool.in_use(), 0);
    });
}
