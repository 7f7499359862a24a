//! Moves packets between vectors and DPDK's arrays of mbuf pointers.

use std::ptr;

use dpdk_sys::rte_mbuf;

use crate::Mbuf;

/// Appends to `out` what `fill` writes: it is given room for `max` pointers, and returns how many
/// packets it wrote to the front.
///
/// # Safety
/// Each pointer that `fill` writes must be a packet that the caller now owns.
pub(crate) unsafe fn take(
    out: &mut Vec<Mbuf>,
    max: usize,
    fill: impl FnOnce(*mut *mut rte_mbuf) -> usize,
) -> usize {
    out.reserve(max);
    let old = out.len();
    // SAFETY: `reserve` made room for `max` more.
    let room = unsafe { out.as_mut_ptr().add(old) };
    // `Mbuf` is a transparent non-null pointer.
    let taken = fill(room.cast());
    debug_assert!(taken <= max);
    // SAFETY: `fill` initialised `taken` entries behind the first `old`.
    unsafe { out.set_len(old + taken) };
    taken
}

/// Lets `send` have the packets, and removes the first n, where n is what it returns.
///
/// # Safety
/// `send` must take the ownership of the first n pointers, n not more than there are.
pub(crate) unsafe fn give(
    packets: &mut Vec<Mbuf>,
    send: impl FnOnce(*mut *mut rte_mbuf, usize) -> usize,
) -> usize {
    let len = packets.len();
    let first = packets.as_mut_ptr();
    let sent = send(first.cast(), len);
    debug_assert!(sent <= len);
    if sent > 0 {
        // SAFETY: `sent` is at most `len`, so this stays within the vector.
        let rest = unsafe { first.add(sent) };
        // SAFETY: both are within the vector; the sent ones are overwritten, not dropped.
        unsafe { ptr::copy(rest, first, len - sent) };
        // SAFETY: the first `len - sent` entries are the unsent packets.
        unsafe { packets.set_len(len - sent) };
    }
    sent
}
