//! Bytes of messages that all sessions keep together, each counting its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One session's part of a sum; given back with it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    sum: Arc<AtomicUsize>,
    mine: usize,
}

impl Tally {
    /// A part of this sum, nothing so far.
    pub(super) fn of(sum: &Arc<AtomicUsize>) -> Self {
        let sum = Arc::clone(sum);
        Self { sum, mine: 0 }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.mine += bytes;
        self.sum.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sub(&mut self, bytes: usize) {
        let bytes = bytes.min(self.mine);
        self.mine -= bytes;
        self.sum.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn mine(&self) -> usize {
        self.mine
    }

    pub(super) fn sum(&self) -> usize {
        self.sum.load(Ordering::Relaxed)
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.sub(self.mine);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_goes_with_its_owner() {
        let sum = Arc::default();
        let mut one = Tally::of(&sum);
        let mut two = Tally::of(&sum);
        one.add(5);
        two.add(7);
        two.sub(3);
        two.sub(100);
        assert_eq!((one.mine(), two.mine(), one.sum()), (5, 0, 5));
        two.add(1);
        drop(one);
        assert_eq!(two.sum(), 1);
    }
}
