//! Nothing beside a packet is touched, not even read: packets lie at the ends of pages whose
//! neighbours cannot be accessed.

#![expect(unsafe_code, reason = "pages are protected by system calls")]

use std::ptr;
use std::slice;

use super::keys;
use crate::{Aad, ICV_LEN, OpenJob, SealJob};

const PAGE: usize = 4096;
/// Pages between the two that cannot be accessed.
const PAGES: usize = 2;

#[test]
fn packets_at_the_ends_of_pages_do_not_fault() {
    let mut pages = Pages::new();
    for key in keys() {
        for text_len in (0..=300).chain([527, 528, 529, 1424, 4096, PAGES * PAGE - ICV_LEN]) {
            let len = text_len + ICV_LEN;
            for start in [0, PAGES * PAGE - len] {
                let (iv, aad) = ([7; 8], Aad::esn(1, 2, 3));
                let packet = &mut pages.octets()[start..][..len];
                packet.fill(0x33);
                crate::seal(&mut [SealJob::new(&key, iv, aad, packet).unwrap()]);
                let mut jobs = [OpenJob::new(&key, iv, aad, packet)];
                crate::open(&mut jobs);
                assert!(jobs[0].verified());
                assert!(packet[..text_len].iter().all(|&octet| octet == 0x33));
            }
        }
    }
}

/// Two packets may be done at once: one begins where the pages do, one ends there.
#[test]
fn packets_at_both_ends_do_not_fault_together() {
    let mut pages = Pages::new();
    for key in keys() {
        for text_lens in [[49, 49], [49, 80], [80, 49], [64, 72], [80, 80], [96, 49], [81, 96]] {
            let mut burst = |text_lens: [usize; 2], swap: bool| {
                let (iv, aad) = ([7; 8], Aad::esn(1, 2, 3));
                let [first, last] = text_lens.map(|len| len + ICV_LEN);
                let octets = pages.octets();
                octets.fill(0x33);
                let (front, behind) = octets.split_at_mut(first);
                let end = behind.len() - last;
                let mut packets = [front, &mut behind[end..]];
                if swap {
                    packets.reverse();
                }
                let jobs = packets.each_mut().map(|p| SealJob::new(&key, iv, aad, p));
                crate::seal(&mut jobs.map(Result::unwrap));
                let mut jobs = packets.map(|packet| OpenJob::new(&key, iv, aad, packet));
                crate::open(&mut jobs);
                assert!(jobs.iter().all(OpenJob::verified));
                let between = &octets[first..PAGES * PAGE - last];
                assert!(between.iter().all(|&octet| octet == 0x33));
            };
            burst(text_lens, false);
            burst(text_lens, true);
        }
    }
}

/// [`PAGES`] pages with one on either side that cannot be accessed.
struct Pages(*mut u8);

impl Pages {
    fn new() -> Self {
        let (flags, len) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, (PAGES + 2) * PAGE);
        // SAFETY: a new mapping, of which nobody holds anything.
        let all = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(all, libc::MAP_FAILED);
        // SAFETY: the second page of the mapping.
        let first = unsafe { all.add(PAGE) };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: pages of the mapping, which nobody uses yet.
        assert_eq!(unsafe { libc::mprotect(first, PAGES * PAGE, access) }, 0);
        Self(first.cast())
    }

    fn octets(&mut self) -> &mut [u8] {
        // SAFETY: the pages may be read and written, hold zeros at first, and are borrowed from
        // their only owner.
        unsafe { slice::from_raw_parts_mut(self.0, PAGES * PAGE) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the page before is the first of the mapping.
        let all = unsafe { self.0.sub(PAGE) };
        // SAFETY: the whole mapping, of which nothing is borrowed any more.
        unsafe { libc::munmap(all.cast(), (PAGES + 2) * PAGE) };
    }
}
