//! A packet: one segment or a chain of them.

mod offload;
mod segment;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::{fmt, slice};

use dpdk_sys as sys;

pub use self::offload::{Checksum, TxRequest};
use self::segment::Segment;
use crate::{Mempool, prefetch};

/// A packet, owned. Dropping it gives its mbufs back to their pools.
///
/// Octets that [`prepend`](Self::prepend) and [`append`](Self::append) open are stale: they hold
/// what an earlier packet left there, and must be written over.
///
/// A segment is *exclusive* when its buffer is its own and nobody else refers to it. Only such
/// segments give out writable octets; the rest can be read, trimmed and copied. Packets from
/// [`Mempool::alloc`] and from drivers are exclusive until [`clone_indirect`](Self::clone_indirect)
/// is called, and again when all the clones are gone.
#[repr(transparent)]
pub struct Mbuf(NonNull<sys::rte_mbuf>);

// SAFETY: the owner of a packet is the only one who touches its mbufs, but for the count of
// references, which is atomic; pools take packets back from any thread.
unsafe impl Send for Mbuf {}

/// Why a chain could not be made contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinearizeError {
    /// The first segment is not exclusive.
    #[error("the first segment is shared")]
    Shared,
    /// The packet does not fit behind the first segment's headroom.
    #[error("the packet does not fit its first segment")]
    NoRoom,
}

/// What a packet holds, as one slice a segment. Made by [`Mbuf::segments`].
#[derive(Clone)]
pub struct Segments<'a> {
    next: Option<Segment>,
    packet: PhantomData<&'a Mbuf>,
}

/// Reading.
impl Mbuf {
    /// Octets in all segments.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.first().pkt_len() as usize
    }

    /// Whether the packet has no octets.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first segment's octets: all of the packet, if it [is contiguous](Self::is_contiguous).
    #[inline]
    #[must_use]
    pub fn data(&self) -> &[u8] {
        let first = self.first();
        // SAFETY: the data lies within the buffer, which lives as long as the packet, and which
        // is written only through a mutable borrow of the one packet that refers to it.
        unsafe { slice::from_raw_parts(first.start(), usize::from(first.data_len())) }
    }

    /// The octets of each segment in turn.
    #[must_use]
    pub fn segments(&self) -> Segments<'_> {
        Segments { next: Some(self.first()), packet: PhantomData }
    }

    /// How many segments there are, at least 1.
    #[inline]
    #[must_use]
    pub fn segment_count(&self) -> usize {
        usize::from(self.first().nb_segs())
    }

    /// Whether there is only one segment.
    #[inline]
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        self.first().nb_segs() == 1
    }

    /// Whether each segment is exclusive.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        let mut segment = Some(self.first());
        while let Some(this) = segment {
            if !this.is_exclusive() {
                return false;
            }
            segment = this.next();
        }
        true
    }

    /// Whether the first segment is exclusive: then [`Self::data_mut`] and [`Self::prepend`] work.
    #[inline]
    #[must_use]
    pub fn is_head_exclusive(&self) -> bool {
        self.first().is_exclusive()
    }

    /// Octets free before the data.
    #[inline]
    #[must_use]
    pub fn headroom(&self) -> usize {
        usize::from(self.first().headroom())
    }

    /// Octets free behind the data, in the last segment.
    #[inline]
    #[must_use]
    pub fn tailroom(&self) -> usize {
        usize::from(self.first().last().tailroom())
    }

    /// Asks the processor to fetch the packet's first octets. It looks at the mbuf for that.
    #[inline]
    pub fn prefetch(&self) {
        prefetch::address(self.first().start());
    }
}

/// Writing, and moving the edges. All of it is O(1) for packets of one segment.
impl Mbuf {
    /// The first segment's octets; `None` if it is not exclusive.
    #[inline]
    #[must_use]
    pub fn data_mut(&mut self) -> Option<&mut [u8]> {
        let first = self.first();
        if !first.is_exclusive() {
            return None;
        }
        // SAFETY: the data lies within the buffer; nobody else refers to it, and no indirect mbuf
        // can be made while the packet is borrowed.
        Some(unsafe { slice::from_raw_parts_mut(first.start(), usize::from(first.data_len())) })
    }

    /// Opens `count` stale octets before the data; `None`, and no change, if there is less
    /// headroom, or the first segment is not exclusive.
    #[inline(always)]
    #[must_use]
    pub fn prepend(&mut self, count: usize) -> Option<&mut [u8]> {
        let first = self.first();
        let count = u16::try_from(count).ok()?;
        if count > first.headroom() || !first.is_exclusive() {
            return None;
        }
        first.set_data_off(first.data_off() - count);
        first.set_data_len(first.data_len() + count);
        first.set_pkt_len(first.pkt_len() + u32::from(count));
        // SAFETY: `count` octets of headroom lie there, and nobody else refers to them.
        Some(unsafe { slice::from_raw_parts_mut(first.start(), usize::from(count)) })
    }

    /// Opens `count` stale octets behind the data, in the last segment; `None`, and no change, if
    /// there is less tailroom, or the last segment is not exclusive.
    #[inline]
    #[must_use]
    pub fn append(&mut self, count: usize) -> Option<&mut [u8]> {
        let (first, last) = (self.first(), self.first().last());
        let count = u16::try_from(count).ok()?;
        if count > last.tailroom() || !last.is_exclusive() {
            return None;
        }
        let old = last.data_len();
        last.set_data_len(old + count);
        first.set_pkt_len(first.pkt_len() + u32::from(count));
        // SAFETY: the data ends within the buffer.
        let end = unsafe { last.start().add(usize::from(old)) };
        // SAFETY: `count` octets of tailroom lie there, and nobody else refers to them.
        Some(unsafe { slice::from_raw_parts_mut(end, usize::from(count)) })
    }

    /// Removes `count` octets from the front. `false`, and no change, if the first segment has
    /// fewer.
    #[inline]
    #[must_use]
    pub fn adj(&mut self, count: usize) -> bool {
        let first = self.first();
        let Some(count) = u16::try_from(count).ok().filter(|&count| count <= first.data_len())
        else {
            return false;
        };
        first.set_data_off(first.data_off() + count);
        first.set_data_len(first.data_len() - count);
        first.set_pkt_len(first.pkt_len() - u32::from(count));
        true
    }

    /// Removes `count` octets from the end. `false`, and no change, if the last segment has fewer.
    #[inline]
    #[must_use]
    pub fn trim(&mut self, count: usize) -> bool {
        let (first, last) = (self.first(), self.first().last());
        let Some(count) = u16::try_from(count).ok().filter(|&count| count <= last.data_len())
        else {
            return false;
        };
        last.set_data_len(last.data_len() - count);
        first.set_pkt_len(first.pkt_len() - u32::from(count));
        true
    }

    /// Opens `front` stale octets before the data and `back` behind it, and gives the whole packet;
    /// `None`, and no change, if it lacks the room, has more than one segment, or is shared.
    #[inline(always)]
    #[must_use]
    pub fn grow(&mut self, front: u16, back: u16) -> Option<&mut [u8]> {
        let first = self.first();
        // Read once: the compiler reads again behind the look at the count of references.
        let (off, len) = (first.data_off(), first.data_len());
        let room = front <= off && back <= first.tailroom();
        if !room || first.nb_segs() != 1 || !first.is_exclusive() {
            return None;
        }
        let (off, grown) = (off - front, len + front + back);
        first.set_data_off(off);
        first.set_data_len(grown);
        first.set_pkt_len(grown.into());
        // As a sum, so that the compiler sees that what was opened is there.
        let grown = usize::from(len) + usize::from(front) + usize::from(back);
        // SAFETY: `front` octets of headroom and `back` of tailroom lie around the data, and nobody
        // else refers to them.
        Some(unsafe { slice::from_raw_parts_mut(first.start(), grown) })
    }

    /// Removes `front` octets from the front, and `back` from the end. `false`, and no change, if
    /// the packet has fewer, or more than one segment.
    #[inline(always)]
    #[must_use]
    pub fn shrink(&mut self, front: u16, back: u16) -> bool {
        let first = self.first();
        let off = u32::from(front) + u32::from(back);
        if first.nb_segs() != 1 || off > first.data_len().into() {
            return false;
        }
        let len = first.data_len() - front - back;
        first.set_data_off(first.data_off() + front);
        first.set_data_len(len);
        first.set_pkt_len(len.into());
        true
    }

    /// Keeps `len` octets from `front` on. `false`, and no change, if the packet does not reach so
    /// far or has more than one segment.
    #[inline(always)]
    #[must_use]
    pub fn narrow(&mut self, front: usize, len: usize) -> bool {
        let first = self.first();
        let old = usize::from(first.data_len());
        if first.nb_segs() != 1 || front > old || len > old - front {
            return false;
        }
        let (Ok(front), Ok(len)) = (u16::try_from(front), u16::try_from(len)) else { return false };
        first.set_data_off(first.data_off() + front);
        first.set_data_len(len);
        first.set_pkt_len(len.into());
        true
    }

    /// Empties the packet, and frees all segments but the first. The headroom stays as it is.
    pub fn clear(&mut self) {
        self.drop_tail();
        let first = self.first();
        first.set_data_len(0);
        first.set_pkt_len(0);
    }

    /// Makes `octets` the contents. `false`, and an empty packet, if they do not fit behind the
    /// headroom of the first segment, or it is not exclusive.
    #[must_use]
    pub fn write(&mut self, octets: &[u8]) -> bool {
        self.clear();
        let Some(room) = self.append(octets.len()) else { return false };
        room.copy_from_slice(octets);
        true
    }

    /// Makes sure that there are `count` octets of headroom, if need be by moving the first
    /// segment's data back. `false`, and no change, if it has no room for that, or is not
    /// exclusive.
    #[must_use]
    pub fn reserve_headroom(&mut self, count: usize) -> bool {
        let first = self.first();
        if count <= usize::from(first.headroom()) {
            return true;
        }
        let Ok(offset) = u16::try_from(count) else { return false };
        let shift = offset - first.headroom();
        if shift > first.tailroom() || !first.is_exclusive() {
            return false;
        }
        let from = first.start();
        first.set_data_off(offset);
        // SAFETY: both places lie within the buffer, which nobody else refers to.
        unsafe { ptr::copy(from, first.start(), usize::from(first.data_len())) };
        true
    }
}

/// Chains, copies and clones.
impl Mbuf {
    /// Puts the segments of `tail` behind those of this packet.
    ///
    /// # Errors
    /// Gives `tail` back if there would be more than 65535 segments.
    pub fn chain(&mut self, tail: Self) -> Result<(), Self> {
        let (first, second) = (self.first(), tail.first());
        let Some(count) = first.nb_segs().checked_add(second.nb_segs()) else {
            return Err(tail);
        };
        // The tail's segments are this packet's from here on.
        let _ = ManuallyDrop::new(tail);
        first.last().set_next(Some(second));
        first.set_nb_segs(count);
        first.set_pkt_len(first.pkt_len() + second.pkt_len());
        Ok(())
    }

    /// Moves all data into the first segment, and frees the others.
    ///
    /// # Errors
    /// [`LinearizeError`]; the packet is unchanged then.
    pub fn linearize(&mut self) -> Result<(), LinearizeError> {
        if self.is_contiguous() {
            return Ok(());
        }
        if !self.is_head_exclusive() {
            return Err(LinearizeError::Shared);
        }
        // SAFETY: the packet is live, and its first buffer nobody else's.
        match unsafe { sys::shim_pktmbuf_linearize(self.0.as_ptr()) } {
            0 => Ok(()),
            _ => Err(LinearizeError::NoRoom),
        }
    }

    /// Copies data and received facts into packets of `pool`, with the headroom of the pool: one
    /// segment if all fits there. `None` if the pool runs out.
    #[must_use]
    pub fn copy(&self, pool: &Mempool) -> Option<Self> {
        let mut copy = pool.alloc()?;
        copy.copy_facts_of(self);
        for mut octets in self.segments() {
            while !octets.is_empty() {
                let count = octets.len().min(copy.tailroom());
                if count == 0 {
                    copy.chain(pool.alloc_at(0)?).ok()?;
                    continue;
                }
                let (now, later) = octets.split_at(count);
                copy.append(count)?.copy_from_slice(now);
                octets = later;
            }
        }
        Some(copy)
    }

    /// Another packet of the same data, which is not copied: its mbufs, out of `pool`, refer to
    /// this one's buffers. Neither is exclusive then. `None` if the pool runs out.
    ///
    /// To send the same data under several headers, put each header into a packet of its own and
    /// [chain](Self::chain) a clone to it.
    #[must_use]
    pub fn clone_indirect(&self, pool: &Mempool) -> Option<Self> {
        // SAFETY: both are live; the references are counted.
        let raw = unsafe { sys::rte_pktmbuf_clone(self.0.as_ptr(), pool.raw()) };
        // SAFETY: if not null, it is a packet that nobody else owns.
        NonNull::new(raw).map(|raw| unsafe { Self::from_raw(raw) })
    }

    /// Frees many packets at once, which is several times cheaper than dropping each.
    #[inline]
    pub fn free_bulk(packets: &mut Vec<Self>) {
        let free = |first, len: usize| {
            let count = u32::try_from(len).unwrap_or(u32::MAX);
            // SAFETY: `first` holds `count` packets, which are given up.
            unsafe { sys::shim_pktmbuf_free_bulk(first, count) };
            count as usize
        };
        // SAFETY: DPDK owns the first `count` after that.
        unsafe { crate::burst::give(packets, free) };
    }

    /// # Safety
    /// `raw` is a packet, live, and nobody else owns it.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<sys::rte_mbuf>) -> Self {
        Self(raw)
    }

    /// The pointer that DPDK knows the packet by. [`Self::from_raw`] makes it a packet again.
    #[inline]
    pub(crate) fn into_raw(self) -> *mut sys::rte_mbuf {
        ManuallyDrop::new(self).0.as_ptr()
    }

    #[inline]
    fn first(&self) -> Segment {
        // SAFETY: the packet is live and owned by `self`; no `Segment` outlives the calls here.
        unsafe { Segment::new(self.0) }
    }

    fn drop_tail(&mut self) {
        let first = self.first();
        if let Some(second) = first.next() {
            first.set_next(None);
            first.set_nb_segs(1);
            // SAFETY: unlinked from the first segment, the others have no owner but this. DPDK
            // follows their links when freeing, and needs no right count in the first of them.
            drop(unsafe { Self::from_raw(second.raw()) });
        }
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the packet is live and owned, and not used after this.
        unsafe { sys::shim_pktmbuf_free(self.0.as_ptr()) };
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mbuf")
            .field("len", &self.len())
            .field("segments", &self.segment_count())
            .field("headroom", &self.headroom())
            .field("tailroom", &self.tailroom())
            .finish_non_exhaustive()
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let this = self.next?;
        self.next = this.next();
        // SAFETY: the data lies within the buffer, which lives as long as the packet is borrowed.
        Some(unsafe { slice::from_raw_parts(this.start(), usize::from(this.data_len())) })
    }
}

impl fmt::Debug for Segments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone().map(<[u8]>::len)).finish()
    }
}
