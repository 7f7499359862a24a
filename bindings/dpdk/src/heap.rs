//! The heap of the process, on transparent huge pages.

use std::ffi::c_int;
use std::hint::black_box;

/// How much of the heap is on huge pages: several times what 10 000 peers take; what is beyond is
/// on ordinary ones. Memory that nobody touches is not taken.
const RESERVED: c_int = 256 << 20;
/// Allocations up to this come from the heap, so that large tables are on huge pages, too. More is
/// not possible.
const LARGEST: c_int = 32 << 20;

/// Has the heap on huge pages, where the kernel gives them to whoever asks (`madvise`): with very
/// many peers, most cache misses are TLB misses as well. To be called by the thread that will make
/// tables and SAs, before it does, and it must be the process's first: others have heaps of their
/// own. Changes nothing where there are no huge pages.
pub fn heap_on_huge_pages() {
    let options = [
        (libc::M_TOP_PAD, RESERVED),
        (libc::M_TRIM_THRESHOLD, c_int::MAX),
        (libc::M_MMAP_THRESHOLD, LARGEST),
    ];
    for (option, value) in options {
        // SAFETY: sets a number.
        unsafe { libc::mallopt(option, value) };
    }
    let start = end_of_heap();
    drop(black_box(Vec::<u8>::with_capacity(1 << 20)));
    let grown = end_of_heap().wrapping_sub(start);
    // SAFETY: advice about pages that belong to the heap, from its former end to its new one.
    unsafe { libc::madvise(start as *mut libc::c_void, grown, libc::MADV_HUGEPAGE) };
}

fn end_of_heap() -> usize {
    // SAFETY: moves nothing.
    unsafe { libc::sbrk(0) as usize }
}
