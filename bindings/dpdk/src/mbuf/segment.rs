//! Single fields of an mbuf segment. All raw access to `rte_mbuf` is here.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use dpdk_sys as sys;

/// A pointer to a live segment. No reference to the whole struct is ever made: the count of
/// references in it is shared with other threads while there are indirect mbufs.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Segment(NonNull<sys::rte_mbuf>);

/// A field that only the owner of the packet reads and writes.
macro_rules! field {
    ($field:ident: $type:ty, $get:ident $(, $set:ident)?) => {
        #[inline]
        pub(super) fn $get(self) -> $type {
            // SAFETY: the segment is live, by the contract of `new`.
            unsafe { (*self.0.as_ptr()).$field }
        }
        $(
            #[inline]
            pub(super) fn $set(self, value: $type) {
                // SAFETY: the segment is live, by the contract of `new`.
                unsafe { (*self.0.as_ptr()).$field = value };
            }
        )?
    };
}

impl Segment {
    /// # Safety
    /// `raw` is live for as long as the result is used, and its owner is the one who uses it.
    #[inline]
    pub(super) unsafe fn new(raw: NonNull<sys::rte_mbuf>) -> Self {
        Self(raw)
    }

    field!(data_off: u16, data_off, set_data_off);
    field!(data_len: u16, data_len, set_data_len);
    field!(pkt_len: u32, pkt_len, set_pkt_len);
    field!(nb_segs: u16, nb_segs, set_nb_segs);
    field!(ol_flags: u64, flags, set_flags);
    field!(vlan_tci: u16, vlan_tci, set_vlan_tci);
    field!(port: u16, port, set_port);
    field!(buf_len: u16, buf_len);

    pub(super) fn raw(self) -> NonNull<sys::rte_mbuf> {
        self.0
    }

    #[inline]
    pub(super) fn rss(self) -> u32 {
        // SAFETY: the segment is live, and any bits are a valid number.
        unsafe { (*self.0.as_ptr()).__bindgen_anon_2.hash.rss }
    }

    pub(super) fn set_rss(self, hash: u32) {
        // SAFETY: the segment is live.
        unsafe { (*self.0.as_ptr()).__bindgen_anon_2.hash.rss = hash };
    }

    pub(super) fn set_tx_offload(self, lengths: u64) {
        // SAFETY: the segment is live.
        unsafe { (*self.0.as_ptr()).__bindgen_anon_3.tx_offload = lengths };
    }

    #[cfg(test)]
    pub(super) fn tx_offload(self) -> u64 {
        // SAFETY: the segment is live, and any bits are a valid number.
        unsafe { (*self.0.as_ptr()).__bindgen_anon_3.tx_offload }
    }

    #[inline]
    pub(super) fn next(self) -> Option<Self> {
        // SAFETY: the segment is live.
        let next = unsafe { (*self.0.as_ptr()).next };
        NonNull::new(next).map(Self)
    }

    pub(super) fn set_next(self, next: Option<Self>) {
        let next = next.map_or(std::ptr::null_mut(), |next| next.0.as_ptr());
        // SAFETY: the segment is live.
        unsafe { (*self.0.as_ptr()).next = next };
    }

    /// The last of the segments from here on.
    #[inline]
    pub(super) fn last(self) -> Self {
        let mut last = self;
        while let Some(next) = last.next() {
            last = next;
        }
        last
    }

    #[inline]
    pub(super) fn headroom(self) -> u16 {
        self.data_off()
    }

    #[inline]
    pub(super) fn tailroom(self) -> u16 {
        self.buf_len() - self.data_off() - self.data_len()
    }

    /// The first octet of the data.
    #[inline]
    pub(super) fn start(self) -> *mut u8 {
        // SAFETY: the segment is live.
        let buffer: *mut u8 = unsafe { (*self.0.as_ptr()).buf_addr }.cast();
        // SAFETY: each segment has a buffer. Said, so that nobody looks whether it has.
        unsafe { std::hint::assert_unchecked(!buffer.is_null()) };
        // SAFETY: data begins within the buffer, or at its end.
        unsafe { buffer.add(usize::from(self.data_off())) }
    }

    /// Whether the buffer is the segment's own, and nobody else refers to it.
    #[inline]
    pub(super) fn is_exclusive(self) -> bool {
        const FOREIGN: u64 = sys::SHIM_MBUF_F_INDIRECT | sys::SHIM_MBUF_F_EXTERNAL;
        // SAFETY: the segment is live.
        let count = unsafe { &raw mut (*self.0.as_ptr()).refcnt };
        // SAFETY: aligned, live, and every access that may be concurrent is atomic.
        let count = unsafe { AtomicU16::from_ptr(count) };
        // Acquire: what others read through their references happened before they let go.
        self.flags() & FOREIGN == 0 && count.load(Ordering::Acquire) == 1
    }
}
