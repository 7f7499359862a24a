//! A bounded, lock-free ring with one producer and one consumer.
//!
//! ```text
//! head: next to pop          tail: next to push       both count up for ever and wrap as usize
//!   v                          v
//! [ item item item item item . free … ]               slot = cursor & (capacity - 1)
//! ```
//!
//! The producer writes only `tail`, the consumer only `head`, each on a cache line of its own.
//! Each keeps a copy of the other's cursor and looks again only when the copy says that there is
//! not enough; a batch is published by one store. Items are moved by two `memcpy`s at most.
//!
//! Neither end ever waits: a full ring leaves items with the caller, an empty one gives none.

use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;

use crossbeam_utils::CachePadded;

use self::sync::{Arc, AtomicUsize, Ordering, Tracker, UnsafeCell};

mod sync;
#[cfg(test)]
mod tests;

/// A ring with room for `capacity` items, rounded up to a power of two.
///
/// What is in the ring when its second end is dropped is dropped with it.
#[must_use]
pub fn channel<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    starting_at(capacity, 0)
}

/// A ring whose cursors start anywhere, so that tests can see them wrap.
fn starting_at<T>(capacity: usize, cursor: usize) -> (Producer<T>, Consumer<T>) {
    let capacity = capacity.next_power_of_two();
    let shared = Arc::new(Shared {
        head: CachePadded::new(AtomicUsize::new(cursor)),
        tail: CachePadded::new(AtomicUsize::new(cursor)),
        slots: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
        tracker: Tracker::new(capacity),
    });
    let producer = Producer { shared: Arc::clone(&shared), head: cursor, tail: cursor };
    (producer, Consumer { shared, head: cursor, tail: cursor })
}

/// The end that pushes.
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    /// The consumer's cursor when we last looked: never ahead of it.
    head: usize,
    /// Our cursor, equal to `shared.tail`.
    tail: usize,
}

impl<T> Producer<T> {
    /// Pushes one item.
    ///
    /// # Errors
    /// Gives the item back if the ring is full.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.room(1) == 0 {
            return Err(item);
        }
        let item = MaybeUninit::new(item);
        // SAFETY: there is room for one item, and `item`, which will not drop it, is one.
        unsafe { self.shared.write(self.tail, item.as_ptr(), 1) };
        self.publish(1);
        Ok(())
    }

    /// Moves items from the front of `from` as far as there is room, and publishes them at once;
    /// the others stay, in order. Returns how many were moved.
    #[inline]
    pub fn push_batch(&mut self, from: &mut Vec<T>) -> usize {
        let count = self.room(from.len());
        let left = from.len() - count;
        let items = from.as_mut_ptr();
        // SAFETY: `room` is at most `from.len()`, and there is room for as many. `from` forgets
        // these items below; nothing in between can panic.
        unsafe { self.shared.write(self.tail, items, count) };
        // SAFETY: the `left` items from `count` on are the end of `from`, and the start has space.
        unsafe { ptr::copy(items.wrapping_add(count), items, left) };
        // SAFETY: the first `left` items are those that were not moved to the ring.
        unsafe { from.set_len(left) };
        self.publish(count);
        count
    }

    /// Items in the ring; the consumer may take some at any time.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.tail.wrapping_sub(self.shared.head.load(Ordering::Acquire))
    }

    /// Whether the ring is empty, which it stays until the next push.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Free slots, at most `wanted`.
    #[inline]
    fn room(&mut self, wanted: usize) -> usize {
        let capacity = self.shared.slots.len();
        let mut free = capacity - self.tail.wrapping_sub(self.head);
        if free < wanted {
            // Acquire: the consumer has moved the items out before it gave their slots back.
            self.head = self.shared.head.load(Ordering::Acquire);
            free = capacity - self.tail.wrapping_sub(self.head);
        }
        free.min(wanted)
    }

    #[inline]
    fn publish(&mut self, count: usize) {
        if count > 0 {
            self.tail = self.tail.wrapping_add(count);
            // Release: who sees the new cursor sees the items before it.
            self.shared.tail.store(self.tail, Ordering::Release);
        }
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The end that pops.
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    /// Our cursor, equal to `shared.head`.
    head: usize,
    /// The producer's cursor when we last looked: never ahead of it.
    tail: usize,
}

impl<T> Consumer<T> {
    /// The oldest item, if there is one.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.available(1) == 0 {
            return None;
        }
        let mut item = MaybeUninit::uninit();
        // SAFETY: there is an item, and `item` has space for it.
        unsafe { self.shared.read(self.head, item.as_mut_ptr(), 1) };
        self.release(1);
        // SAFETY: it was just moved here.
        Some(unsafe { item.assume_init() })
    }

    /// Moves at most `max` of the oldest items to the end of `into`, in order, and gives their
    /// slots back at once. Returns how many were moved.
    #[inline]
    pub fn pop_batch(&mut self, into: &mut Vec<T>, max: usize) -> usize {
        let count = self.available(max);
        into.reserve(count);
        let end = into.spare_capacity_mut().as_mut_ptr().cast();
        // SAFETY: there are `count` items, and `into` has just reserved space for them. The ring
        // forgets them below; nothing in between can panic.
        unsafe { self.shared.read(self.head, end, count) };
        // SAFETY: the items were just moved behind the length.
        unsafe { into.set_len(into.len() + count) };
        self.release(count);
        count
    }

    /// Items in the ring; the producer may add some at any time.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.tail.load(Ordering::Acquire).wrapping_sub(self.head)
    }

    /// Whether the ring is empty; once it is not, it stays so until the next pop.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Items that can be taken, at most `wanted`.
    #[inline]
    fn available(&mut self, wanted: usize) -> usize {
        let mut items = self.tail.wrapping_sub(self.head);
        if items < wanted {
            // Acquire: the producer has moved the items in before it published them.
            self.tail = self.shared.tail.load(Ordering::Acquire);
            items = self.tail.wrapping_sub(self.head);
        }
        items.min(wanted)
    }

    #[inline]
    fn release(&mut self, count: usize) {
        if count > 0 {
            self.head = self.head.wrapping_add(count);
            // Release: who sees the new cursor may write over the items before it.
            self.shared.head.store(self.head, Ordering::Release);
        }
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("len", &self.len()).finish_non_exhaustive()
    }
}

struct Shared<T> {
    /// Written by the consumer.
    head: CachePadded<AtomicUsize>,
    /// Written by the producer.
    tail: CachePadded<AtomicUsize>,
    /// A power of two. Those from `head` to `tail` hold items.
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    /// Tells loom which slots are touched.
    tracker: Tracker,
}

// SAFETY: a slot is touched by one end at a time, handed over by the cursors, and there is one
// `Producer` and one `Consumer`, whose methods that touch slots need `&mut`. Items are only ever
// moved from one to the other, so `T: Send` suffices.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Moves `count` items into the slots from `cursor` on.
    ///
    /// # Safety
    /// The caller is the producer, these slots are free, `items` points to as many items, and the
    /// caller forgets them.
    #[inline]
    unsafe fn write(&self, cursor: usize, items: *const T, count: usize) {
        self.tracker.write(cursor, count);
        let (at, first) = self.split(cursor, count);
        let slots = self.base();
        // SAFETY: slots `at..at + first` exist and are free.
        unsafe { ptr::copy_nonoverlapping(items, slots.wrapping_add(at), first) };
        // SAFETY: what did not fit before the end goes to the start, which is free.
        unsafe { ptr::copy_nonoverlapping(items.wrapping_add(first), slots, count - first) };
    }

    /// Moves `count` items out of the slots from `cursor` on.
    ///
    /// # Safety
    /// The caller is the consumer, these slots hold items, `items` points to space for as many,
    /// and the caller gives the slots back without dropping what is in them.
    #[inline]
    unsafe fn read(&self, cursor: usize, items: *mut T, count: usize) {
        self.tracker.read(cursor, count);
        let (at, first) = self.split(cursor, count);
        let slots = self.base();
        // SAFETY: slots `at..at + first` exist and hold items.
        unsafe { ptr::copy_nonoverlapping(slots.wrapping_add(at), items, first) };
        // SAFETY: the others are in the slots from the start on.
        unsafe { ptr::copy_nonoverlapping(slots, items.wrapping_add(first), count - first) };
    }

    /// The slot of a cursor, and how many of `count` items fit before the last slot.
    #[inline]
    fn split(&self, cursor: usize, count: usize) -> (usize, usize) {
        let capacity = self.slots.len();
        let at = cursor & (capacity - 1);
        (at, count.min(capacity - at))
    }

    /// The first slot. `UnsafeCell` and `MaybeUninit` are transparent.
    #[inline]
    fn base(&self) -> *mut T {
        self.slots.as_ptr().cast::<T>().cast_mut()
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Both ends are gone, and the count of references has ordered what they did before this.
        let tail = self.tail.load(Ordering::Relaxed);
        let mut cursor = self.head.load(Ordering::Relaxed);
        while cursor != tail {
            self.tracker.read(cursor, 1);
            let (at, _) = self.split(cursor, 1);
            // SAFETY: slots from head to tail hold items, and each is visited once.
            unsafe { ptr::drop_in_place(self.base().wrapping_add(at)) };
            cursor = cursor.wrapping_add(1);
        }
    }
}
