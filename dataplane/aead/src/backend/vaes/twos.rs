//! The jobs of a shape, two by two.

use std::slice::IterMut;

use super::Width;
use super::gcm::{Job, Shape, algorithm};

/// Jobs of a burst that are left.
pub(super) struct Twos<'a, J, const ROUNDS: usize, const VECTORS: usize> {
    jobs: IterMut<'a, J>,
    /// The one that has no other.
    pub(super) odd: Option<&'a mut J>,
}

impl<'a, J, const ROUNDS: usize, const VECTORS: usize> Twos<'a, J, ROUNDS, VECTORS> {
    #[inline(always)]
    pub(super) fn of(jobs: &'a mut [J]) -> Self {
        Self { jobs: jobs.iter_mut(), odd: None }
    }

    /// The next two that are [paired](Shape::Paired), of so many vectors.
    #[inline(always)]
    pub(super) fn next<V: Width>(&mut self) -> Option<[&'a mut J; 2]>
    where
        J: Job<V>,
    {
        let a = self.next_job()?;
        match self.next_job() {
            Some(b) => Some([a, b]),
            None => {
                self.odd = Some(a);
                None
            }
        }
    }

    #[inline(always)]
    fn next_job<V: Width>(&mut self) -> Option<&'a mut J>
    where
        J: Job<V>,
    {
        self.jobs.find(|job| job.is_of(algorithm::<ROUNDS>(), Shape::Paired(VECTORS)))
    }
}
