//! Raw bindings to the parts of DPDK that Greyhound uses: an allow-list, generated at build time
//! from the installed headers, and a C shim (`shim_*`) for what DPDK has as static inline
//! functions. The `dpdk` crate is the only intended user.

#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    dead_code,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::cast_possible_truncation
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use generated::*;

/// The layout that the accessors of the `dpdk` crate rely on, as Rust sees it; `shim.c` asserts
/// the same numbers as the C compiler sees them.
const _: () = {
    use core::mem::{align_of, offset_of, size_of};

    assert!(size_of::<rte_mbuf>() == SHIM_MBUF_SIZE as usize);
    assert!(align_of::<rte_mbuf>() >= align_of::<u64>());
    assert!(offset_of!(rte_mbuf, buf_addr) == SHIM_MBUF_BUF_ADDR as usize);
    assert!(offset_of!(rte_mbuf, data_off) == SHIM_MBUF_DATA_OFF as usize);
    assert!(offset_of!(rte_mbuf, refcnt) == SHIM_MBUF_REFCNT as usize);
    assert!(offset_of!(rte_mbuf, nb_segs) == SHIM_MBUF_NB_SEGS as usize);
    assert!(offset_of!(rte_mbuf, ol_flags) == SHIM_MBUF_OL_FLAGS as usize);
    assert!(offset_of!(rte_mbuf, pkt_len) == SHIM_MBUF_PKT_LEN as usize);
    assert!(offset_of!(rte_mbuf, data_len) == SHIM_MBUF_DATA_LEN as usize);
    assert!(offset_of!(rte_mbuf, vlan_tci) == SHIM_MBUF_VLAN_TCI as usize);
    assert!(offset_of!(rte_mbuf, buf_len) == SHIM_MBUF_BUF_LEN as usize);
    assert!(offset_of!(rte_mbuf, next) == SHIM_MBUF_NEXT as usize);
};
