//! The table against a scan of all routes, and against one map per length.

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The definition of a longest match; of equal prefixes the last counts.
fn scan<A: Address>(routes: &[(A, u8, u32)], address: A) -> Option<u32> {
    let mut best: Option<(u8, u32)> = None;
    for &(bits, length, index) in routes {
        let differing = bits ^ address;
        // Written with slices of one bit, so that it shares no mask with the code under test.
        let covers = (0..u32::from(length)).all(|bit| differing.slice(bit, 1) == 0);
        if covers && best.is_none_or(|(longest, _)| length >= longest) {
            best = Some((length, index));
        }
    }
    best.map(|(_, index)| index)
}

fn fib<A: Address>(routes: &[(A, u8, u32)]) -> Fib<A> {
    let route =
        |&(bits, length, index): &(A, u8, u32)| (Prefix::new(bits, length).unwrap(), Next(index));
    Fib::build(routes.iter().map(route)).unwrap()
}

fn index(next: Option<Next>) -> Option<u32> {
    next.map(|next| next.0)
}

/// Single and burst lookups agree with the scan at each of `addresses`.
fn check<A: Address>(routes: &[(A, u8, u32)], addresses: &[A]) {
    let fib = fib(routes);
    let mut burst = vec![Found(12_345); addresses.len()];
    fib.lookup_burst(addresses, |address| *address, &mut burst);
    for (&address, next) in addresses.iter().zip(burst) {
        let expected = scan(routes, address);
        assert_eq!(index(fib.lookup(address)), expected, "{address:x?} in {routes:x?}");
        assert_eq!(index(next.next()), expected, "burst: {address:x?} in {routes:x?}");
    }
}

/// The first and last address of a v4 network, and their neighbours outside.
fn edges4(bits: u32, length: u8) -> [u32; 4] {
    let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
    let (first, last) = (bits & !host, bits | host);
    [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
}

fn edges6(bits: u128, length: u8) -> [u128; 4] {
    let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
    let (first, last) = (bits & !host, bits | host);
    [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
}

const LENGTHS4: [u8; 16] = [0, 1, 8, 15, 16, 17, 18, 19, 22, 23, 24, 25, 29, 30, 31, 32];
const LENGTHS6: [u8; 18] =
    [0, 1, 3, 16, 17, 18, 19, 24, 32, 48, 56, 63, 64, 65, 120, 126, 127, 128];

#[test]
fn an_empty_table_misses_everything() {
    check::<u32>(&[], &[0, 1, 0x0a00_0001, u32::MAX]);
    assert_eq!(Fib4::default().lookup(0), None);
    check::<u128>(&[], &[0, 1, 1 << 127, u128::MAX]);
}

#[test]
fn a_default_route_covers_everything() {
    check(&[(0, 0, 7)], &[0_u32, 0x7fff_ffff, 0x8000_0000, u32::MAX]);
    check(&[(0, 0, 7)], &[0_u128, u128::MAX >> 1, 1 << 127, u128::MAX]);
}

#[test]
fn one_route_of_every_length_ends_where_it_should() {
    for bits in [0, 0x0a01_0203, 0x5555_5555, 0xaaaa_aaaa, u32::MAX] {
        for length in 0..=32 {
            check(&[(bits, length, 3)], &edges4(bits, length));
        }
    }
    let pattern = 0x2001_0db8_a5a5_5a5a_0123_4567_89ab_cdef;
    for bits in [0, pattern, !pattern, u128::MAX] {
        for length in 0..=128 {
            check(&[(bits, length, 3)], &edges6(bits, length));
        }
    }
}

#[test]
fn prefixes_nested_at_every_length_each_keep_their_part() {
    for bits in [0, 0xc0a8_7f80, 0xdead_beef, u32::MAX] {
        for skip in [1, 2, 5] {
            let routes: Vec<_> = (0..=32).step_by(skip).map(|n| (bits, n, u32::from(n))).collect();
            let addresses: Vec<_> = (0..=32).flat_map(|length| edges4(bits, length)).collect();
            check(&routes, &addresses);
        }
    }
    for bits in [0, 0x2001_0db8_a5a5_5a5a_0123_4567_89ab_cdef, u128::MAX] {
        let routes: Vec<_> = (0..=128).map(|n| (bits, n, u32::from(n))).collect();
        let addresses: Vec<_> = (0..=128).flat_map(|length| edges6(bits, length)).collect();
        check(&routes, &addresses);
    }
}

#[test]
fn the_edge_lengths_together_in_any_order() {
    let mut routes = Vec::new();
    for (i, bits) in [0_u32, 0x0a00_0000, 0x0a00_ffff, 0x7fff_ffff, u32::MAX].iter().enumerate() {
        for (j, &length) in LENGTHS4.iter().enumerate() {
            routes.push((*bits & u32::mask(length), length, u32::try_from(16 * i + j).unwrap()));
        }
    }
    let addresses: Vec<_> = routes.iter().flat_map(|&(b, n, _)| edges4(b, n)).collect();
    check(&routes, &addresses);
    routes.reverse();
    check(&routes, &addresses);
}

#[test]
fn a_full_block_of_host_routes() {
    let routes: Vec<_> = (0..256).map(|i| (0xc000_0200 + i, 32, i)).collect();
    check(&routes, &(0xc000_01f0..0xc000_0310).collect::<Vec<u32>>());
    let base = 0xfd00 << 112;
    let routes: Vec<_> = (0..256).map(|i| (base + u128::from(i), 128, i)).collect();
    check(&routes, &(base..base + 300).collect::<Vec<u128>>());
}

#[test]
fn the_last_of_equal_prefixes_counts() {
    check(
        &[(0x0a00_0000_u32, 24, 1), (0x0a00_0000, 24, 2), (0, 0, 9), (0x0a00_0000, 24, 0)],
        &[0x0a00_0001, 0x0a00_0101],
    );
}

#[test]
fn routes_that_change_nothing_take_no_memory() {
    let plain = fib(&[(0x0a00_0000_u32, 8, 1)]);
    let redundant: Vec<_> =
        (8..=32).map(|length| (0x0a01_0203 & u32::mask(length), length, 1)).collect();
    assert_eq!(fib(&redundant).memory_bytes(), plain.memory_bytes());
}

#[test]
fn host_bits_are_cleared_and_lengths_checked() {
    let prefix = Prefix::new(0x0a01_0203_u32, 16).unwrap();
    assert_eq!((prefix.bits(), prefix.length()), (0x0a01_0000, 16));
    assert_eq!(Prefix::new(0_u32, 33), None);
    assert_eq!(Prefix::new(u128::MAX, 0).unwrap().bits(), 0);
    assert_eq!(Prefix::new(u128::MAX, 128).unwrap().bits(), u128::MAX);
    assert_eq!(Prefix::new(0_u128, 129), None);
}

#[test]
fn the_whole_range_of_indices_survives() {
    let last = Next::LIMIT - 1;
    check(&[(0, 1, last), (1 << 31, 1, 0), (1, 32, last - 1)], &[0_u32, 1, 2, 1 << 31, u32::MAX]);
}

#[test]
fn bursts_of_every_length() {
    let routes: Vec<_> =
        (0..64).map(|i| (i << 22, 10 + u8::try_from(i % 20).unwrap(), i)).collect();
    for length in 0..=3 * u32::try_from(LANES).unwrap() + 1 {
        check(&routes, &(0..length).map(|i| i << 21 | i).collect::<Vec<u32>>());
    }
}

#[test]
#[should_panic(expected = "one result for each address")]
fn a_burst_without_room_for_its_results_is_a_bug() {
    fib::<u32>(&[]).lookup_burst(&[1, 2], |address| *address, &mut [Found::default()]);
}

#[test]
fn too_many_routes_and_indices_beyond_the_limit_are_refused() {
    let route = |index| (Prefix::new(0_u32, 0).unwrap(), Next(index));
    let error = Fib::build(std::iter::repeat_n(route(1), ROUTES_MAX + 1)).unwrap_err();
    assert_eq!(error, BuildError::TooManyRoutes);
    for index in [Next::LIMIT, 1 << 31, u32::MAX] {
        assert_eq!(Fib::build([route(0), route(index)]).unwrap_err(), BuildError::IndexTooLarge);
    }
}

/// One map per length: an oracle that is fast enough for a full table.
struct Maps<A>(Vec<BTreeMap<A, u32>>);

impl<A: Address> Maps<A> {
    fn new(routes: &[(A, u8, u32)]) -> Self {
        let mut maps = vec![BTreeMap::new(); usize::from(A::WIDTH) + 1];
        for &(bits, length, index) in routes {
            maps[usize::from(length)].insert(bits, index);
        }
        Self(maps)
    }

    fn lookup(&self, address: A) -> Option<u32> {
        let longest_first = (0..=A::WIDTH).rev();
        longest_first
            .filter_map(|n| self.0[usize::from(n)].get(&(address & A::mask(n))))
            .copied()
            .next()
    }
}

/// xorshift64*: the same table each time.
fn random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

fn compare_with_maps<A: Address + Debug>(routes: &[(A, u8, u32)], addresses: &[A]) {
    let (fib, maps) = (fib(routes), Maps::new(routes));
    let mut burst = vec![Found::default(); addresses.len()];
    fib.lookup_burst(addresses, |address| *address, &mut burst);
    let mut hits = 0;
    for (&address, next) in addresses.iter().zip(burst) {
        let expected = maps.lookup(address);
        assert_eq!(index(next.next()), expected, "{address:x?}");
        assert_eq!(index(fib.lookup(address)), expected, "{address:x?}");
        hits += usize::from(expected.is_some());
    }
    assert!(hits > addresses.len() / 2, "the table was hardly met: {hits}");
}

#[test]
fn half_a_million_ipv4_routes() {
    let mut seed = 0x1357_9bdf;
    let routes: Vec<_> = (0..500_000)
        .map(|index| {
            // Per cent, about as in BGP: 60 of /24, 21 of /22 and /23, the rest shorter; and some
            // longer ones, as a gateway has them from its own sites.
            let length = match random(&mut seed) % 100 {
                0..60 => 24,
                60..70 => 23,
                70..81 => 22,
                81..86 => 21,
                86..90 => 20,
                90..93 => 19,
                93..98 => 8 + u8::try_from(random(&mut seed) % 11).unwrap(),
                _ => 25 + u8::try_from(random(&mut seed) % 8).unwrap(),
            };
            ((random(&mut seed) >> 32) as u32 & u32::mask(length), length, index)
        })
        .collect();
    let mut addresses: Vec<_> = (0..50_000).map(|_| (random(&mut seed) >> 32) as u32).collect();
    addresses.extend(routes.iter().step_by(40).flat_map(|&(bits, n, _)| edges4(bits, n)));
    compare_with_maps(&routes, &addresses);
}

#[test]
fn two_hundred_thousand_ipv6_routes() {
    let mut seed = 0x2468_ace0;
    let routes: Vec<_> = (0..200_000)
        .map(|index| {
            let length = match random(&mut seed) % 100 {
                0..48 => 48,
                48..63 => 32,
                63..75 => 40 + u8::try_from(random(&mut seed) % 8).unwrap(),
                75..92 => 33 + u8::try_from(random(&mut seed) % 7).unwrap(),
                92..96 => 20 + u8::try_from(random(&mut seed) % 12).unwrap(),
                _ => 49 + u8::try_from(random(&mut seed) % 80).unwrap(),
            };
            let low = u128::from(random(&mut seed));
            let bits = u128::from(random(&mut seed) >> 3 | 1 << 61) << 64 | low;
            (bits & u128::mask(length), length, index)
        })
        .collect();
    let addresses: Vec<_> =
        routes.iter().step_by(20).flat_map(|&(bits, n, _)| edges6(bits, n)).collect();
    compare_with_maps(&routes, &addresses);
}

/// Few bits that differ, so that prefixes nest and collide.
fn dense4() -> impl Strategy<Value = u32> {
    (any::<u32>(), any::<u32>(), any::<u32>())
        .prop_map(|(a, b, c)| 0x0a5a_a500 ^ (a & b & c & 0x8061_0f0f))
}

fn dense6() -> impl Strategy<Value = u128> {
    (any::<u128>(), any::<u128>(), any::<u128>()).prop_map(|(a, b, c)| {
        (0x2001_0db8 << 96) ^ (a & b & c & (0x8003_8001 << 96 | 7 << 62 | 0xf))
    })
}

fn table4() -> impl Strategy<Value = Vec<(u32, u8, u32)>> {
    let length = prop_oneof![0..=32_u8, proptest::sample::select(LENGTHS4.to_vec())];
    let route = (prop_oneof![dense4(), any::<u32>()], length, 0..8_u32);
    vec(route.prop_map(|(bits, n, next)| (bits & u32::mask(n), n, next)), 0..80)
}

fn table6() -> impl Strategy<Value = Vec<(u128, u8, u32)>> {
    let length = prop_oneof![0..=128_u8, proptest::sample::select(LENGTHS6.to_vec())];
    let route = (prop_oneof![dense6(), any::<u128>()], length, 0..8_u32);
    vec(route.prop_map(|(bits, n, next)| (bits & u128::mask(n), n, next)), 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_ipv4_table_agrees_with_the_scan(routes in table4(), more in vec(dense4(), 0..80)) {
        let edges = routes.iter().flat_map(|&(bits, n, _)| edges4(bits, n));
        check(&routes, &edges.chain(more).collect::<Vec<_>>());
    }

    #[test]
    fn any_ipv6_table_agrees_with_the_scan(routes in table6(), more in vec(dense6(), 0..80)) {
        let edges = routes.iter().flat_map(|&(bits, n, _)| edges6(bits, n));
        check(&routes, &edges.chain(more).collect::<Vec<_>>());
    }
}
