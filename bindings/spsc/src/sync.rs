//! The primitives under the ring: those of std, or loom's under `--cfg loom`.

pub(crate) use std::cell::UnsafeCell;

pub(crate) use self::primitives::{Arc, AtomicUsize, Ordering, Tracker};

#[cfg(not(loom))]
mod primitives {
    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};

    /// Tells loom which slots are touched; nothing without it.
    pub(crate) struct Tracker;

    impl Tracker {
        pub(crate) fn new(_slots: usize) -> Self {
            Self
        }

        #[inline]
        pub(crate) fn write(&self, _cursor: usize, _count: usize) {}

        #[inline]
        pub(crate) fn read(&self, _cursor: usize, _count: usize) {}
    }
}

#[cfg(loom)]
mod primitives {
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};

    /// A shadow of the slots: loom fails if two threads touch one without an order between them.
    /// The items themselves are moved by the same code with and without loom. Moving an item out
    /// counts as a write, since its slot is free from then on.
    pub(crate) struct Tracker(Box<[loom::cell::UnsafeCell<()>]>);

    impl Tracker {
        pub(crate) fn new(slots: usize) -> Self {
            Self((0..slots).map(|_| loom::cell::UnsafeCell::new(())).collect())
        }

        pub(crate) fn write(&self, cursor: usize, count: usize) {
            for offset in 0..count {
                let slot = cursor.wrapping_add(offset) & (self.0.len() - 1);
                self.0[slot].with_mut(|_| ());
            }
        }

        pub(crate) fn read(&self, cursor: usize, count: usize) {
            self.write(cursor, count);
        }
    }
}
