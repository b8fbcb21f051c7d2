//! How far a load is, for whoever shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What a load is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reading the files' bytes for their hashes, or bringing them here.
    Hash,
    /// Reading their rows to see which types they have.
    Survey,
    /// Reading them again and writing the table's files.
    Write,
}

/// A load's progress. Cheap to clone; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    phase: AtomicU8,
    total: AtomicU64,
    done: AtomicU64,
}

impl Progress {
    /// The phase, the bytes read in it, and the bytes there are to read.
    pub fn now(&self) -> (Phase, u64, u64) {
        let phase = match self.0.phase.load(Ordering::Relaxed) {
            0 => Phase::Hash,
            1 => Phase::Survey,
            _ => Phase::Write,
        };
        let total = self.0.total.load(Ordering::Relaxed);
        (phase, self.0.done.load(Ordering::Relaxed).min(total), total)
    }

    /// Begins a phase of `total` bytes.
    pub(super) fn begin(&self, phase: Phase, total: u64) {
        self.0.phase.store(phase as u8, Ordering::Relaxed);
        self.0.done.store(0, Ordering::Relaxed);
        self.0.total.store(total, Ordering::Relaxed);
    }

    pub(super) fn add(&self, bytes: usize) {
        self.0.done.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
