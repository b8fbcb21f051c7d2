//! What the broker must not forget: a file of changes, synced before what rests on them is told.
//!
//! One thread writes the changes that were handed in with one `fdatasync` and keeps the state they
//! add up to, so that it can begin a new file with a snapshot when the old one has grown. Sessions
//! that end with their connection are not in it, so a broker of publishers alone writes nothing.

mod entry;
mod file;
mod model;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use catalog::{Error, Result};
use tokio::sync::{mpsc, watch};

pub(crate) use entry::{Entry, Target};
pub(crate) use model::{Model, SessionImage};

/// Changes that wait for the disk; beyond it clients are not read.
const MOST_WAITING: usize = 262_144;

/// Where changes are handed in. Dropping it ends the writer once all is written.
#[derive(Debug)]
pub(crate) struct Journal {
    queue: Mutex<Queue>,
    durable: watch::Receiver<u64>,
    waiting: Arc<AtomicUsize>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Queue {
    last: u64,
    jobs: Option<mpsc::UnboundedSender<Job>>,
}

/// Changes that count together, and their number.
#[derive(Debug)]
struct Job {
    sequence: u64,
    entries: Vec<Entry>,
}

impl Journal {
    /// Opens the journal in the folder, and says what it holds.
    ///
    /// # Errors
    /// File errors, and `Unsupported` for a journal of another version.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Model)> {
        let found = file::open(folder)?;
        let model = found.model.clone();
        let (jobs, queue) = mpsc::unbounded_channel();
        let (synced, durable) = watch::channel(0);
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = writer::Writer::new(folder, found, synced, Arc::clone(&waiting));
        let thread = std::thread::Builder::new()
            .name("broker-journal".into())
            .spawn(move || writer.run(queue))
            .map_err(|e| Error::internal("cannot start the journal's thread").with_source(e))?;
        let journal = Self {
            queue: Mutex::new(Queue {
                last: 0,
                jobs: Some(jobs),
            }),
            durable,
            waiting,
            thread: Mutex::new(Some(thread)),
        };
        Ok((journal, model))
    }

    /// Hands in changes that count together; returns the number that tells when they are durable,
    /// 0 when there is nothing to wait for.
    pub(crate) fn append(&self, entries: Vec<Entry>) -> u64 {
        if entries.is_empty() {
            return 0;
        }
        self.waiting.fetch_add(entries.len(), Ordering::Relaxed);
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.last += 1;
        let sequence = queue.last;
        if let Some(jobs) = &queue.jobs {
            // The thread ends only when the journal is closed.
            let _ = jobs.send(Job { sequence, entries });
        }
        sequence
    }

    /// The number of what was handed in last.
    pub(crate) fn last(&self) -> u64 {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.last
    }

    /// Writes what was handed in, and ends. What comes later never becomes durable.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.jobs = None;
        drop(queue);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // A panic of the thread has been reported by its own message.
            let _ = thread.join();
        }
    }

    /// Follows the number of the last durable change.
    pub(crate) fn durable(&self) -> watch::Receiver<u64> {
        self.durable.clone()
    }

    /// Waits while the disk is behind.
    pub(crate) async fn room(&self) {
        if self.waiting.load(Ordering::Relaxed) < MOST_WAITING {
            return;
        }
        let mut durable = self.durable.clone();
        while self.waiting.load(Ordering::Relaxed) >= MOST_WAITING {
            if durable.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}
