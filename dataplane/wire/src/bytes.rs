//! Fields of fixed width in a slice, big-endian.
//!
//! These index: a view calls them only with ranges that its `new_checked` has proven.

use core::net::{Ipv4Addr, Ipv6Addr};
use core::ops::Range;

/// Where a field lies, in octets from the start of its header.
pub(crate) type Field = Range<usize>;

#[inline(always)]
pub(crate) fn array<const N: usize>(bytes: &[u8], field: Field) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[field]);
    out
}

#[inline(always)]
pub(crate) fn be16(bytes: &[u8], field: Field) -> u16 {
    u16::from_be_bytes(array(bytes, field))
}

#[inline(always)]
pub(crate) fn be32(bytes: &[u8], field: Field) -> u32 {
    u32::from_be_bytes(array(bytes, field))
}

#[inline(always)]
pub(crate) fn ipv4(bytes: &[u8], field: Field) -> Ipv4Addr {
    Ipv4Addr::from(array::<4>(bytes, field))
}

#[inline(always)]
pub(crate) fn ipv6(bytes: &[u8], field: Field) -> Ipv6Addr {
    Ipv6Addr::from(array::<16>(bytes, field))
}

#[inline(always)]
pub(crate) fn put(bytes: &mut [u8], field: Field, value: &[u8]) {
    bytes[field].copy_from_slice(value);
}
