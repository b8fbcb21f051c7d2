//! The journal's thread: everything handed in becomes one write and one `fdatasync`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use catalog::Result;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use super::file::{self, Found, Mark};
use super::model::Model;
use super::{Entry, Job};

/// A batch is closed at this size, so that one sync never waits for an endless queue.
const BATCH_BYTES: usize = 4 << 20;
/// A journal is not written anew before it has this size.
const COMPACT_BYTES: u64 = 16 << 20;
/// How long to wait before a disk that failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Writer {
    folder: PathBuf,
    model: Model,
    file: Option<File>,
    mark: Mark,
    number: u64,
    bytes: u64,
    /// Size at which the journal is written anew.
    compact_at: u64,
    synced: watch::Sender<u64>,
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    pub(super) fn new(
        folder: &Path,
        found: Found,
        synced: watch::Sender<u64>,
        waiting: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            folder: folder.to_owned(),
            compact_at: COMPACT_BYTES.max(2 * found.bytes),
            model: found.model,
            file: found.file,
            mark: found.mark,
            number: found.number,
            bytes: found.bytes,
            synced,
            waiting,
        }
    }

    /// Serves the queue until it is closed and empty, or closed while the disk fails.
    pub(super) fn run(mut self, mut queue: UnboundedReceiver<Job>) {
        while let Some(job) = queue.blocking_recv() {
            let mut bytes = Vec::new();
            let mut jobs = vec![job];
            file::encode(self.mark, &jobs[0].entries, &mut bytes);
            while bytes.len() < BATCH_BYTES
                && let Ok(job) = queue.try_recv()
            {
                file::encode(self.mark, &job.entries, &mut bytes);
                jobs.push(job);
            }
            while let Err(error) = self.write(&mut bytes, &jobs) {
                tracing::error!(%error, "the broker's journal cannot be written: what rests on it is not acknowledged");
                if queue.is_closed() {
                    // Nothing of it was acknowledged, and no shutdown waits for a disk.
                    return;
                }
                std::thread::sleep(RETRY);
            }
            self.finish(jobs);
        }
    }

    /// Writes the records of these jobs. A new file has another mark, and so other records.
    fn write(&mut self, bytes: &mut Vec<u8>, jobs: &[Job]) -> Result<()> {
        if self.file.is_none() || self.bytes + bytes.len() as u64 > self.compact_at {
            self.compact()?;
            bytes.clear();
            for job in jobs {
                file::encode(self.mark, &job.entries, bytes);
            }
        }
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let written = file.write_all(bytes).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // Half a record would be damage in the middle once the disk is well again.
            self.file = None;
            return Err(
                catalog::Error::unavailable(format!("cannot write the journal: {error}"))
                    .with_source(error),
            );
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Begins a new file with the state as it is.
    fn compact(&mut self) -> Result<()> {
        let mark = Mark::random();
        let (file, bytes) = file::create(&self.folder, self.number + 1, mark, &self.model)?;
        let old = file::path(&self.folder, self.number);
        if self.number > 0 {
            file::remove(&old);
        }
        (self.file, self.mark) = (Some(file), mark);
        (self.number, self.bytes) = (self.number + 1, bytes);
        self.compact_at = COMPACT_BYTES.max(3 * bytes);
        Ok(())
    }

    fn finish(&mut self, jobs: Vec<Job>) {
        let mut last = 0;
        let mut done = 0;
        for job in jobs {
            last = job.sequence;
            done += job.entries.len();
            job.entries
                .into_iter()
                .for_each(|entry: Entry| self.model.apply(entry));
        }
        self.waiting.fetch_sub(done, Ordering::Relaxed);
        self.synced.send_replace(last);
    }
}
