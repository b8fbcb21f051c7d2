//! The write-ahead log: messages are durable here before anyone hears that they arrived.
//!
//! Sources hand in groups of messages; one writer thread gives them positions, writes everything
//! queued with one `fdatasync`, and only then completes their acknowledgements. The decoder follows
//! the log with a [`LogReader`]: from memory while it keeps up, from the files when it does not, so
//! that a slow or absent lake costs disk and not memory.

mod dedup;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod header;
mod reader;
mod record;
mod recover;
mod segment;
mod shared;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use catalog::{Error, Result};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::lineage::Stretch;
use crate::stats::Counters;
use dedup::Redeliveries;
pub(crate) use shared::Fill;
use shared::Shared;

#[cfg(any(test, fuzzing))]
pub use fuzz::replay as fuzz_replay;
pub(crate) use reader::LogReader;
pub(crate) use record::{Message, Record};
pub(crate) use segment::Loss;

/// Where packet ids go once their messages are durable, in the order they were handed in.
pub(crate) type Acks = UnboundedSender<Vec<u16>>;

/// Logged messages with a packet id that a restart knows of at least, for which committed segments
/// are kept. It covers every acknowledgement that can be lost on its way to a client.
pub(crate) const DEDUP_WINDOW: usize = 262_144;
/// The same behind an external broker. Mosquitto up to 2.0.11 sends its whole backlog at once, far
/// beyond the receive maximum, and reads no acknowledgement meanwhile: they wait in the sockets'
/// buffers, which hold some hundred thousand and are lost with this process.
pub(crate) const EXTERNAL_WINDOW: usize = 1 << 20;
/// Messages with the same packet id that such a broker may have under way at once.
pub(crate) const MOST_PER_ID: usize = EXTERNAL_WINDOW / u16::MAX as usize + 1;
/// Bytes of messages that may wait for the writer thread; more wait at the source.
const QUEUE_BYTES: usize = 64 << 20;
/// The semaphore counts in blocks, since its permits are 32-bit.
const BLOCK: usize = 1024;

/// How a log is kept.
#[derive(Debug, Clone)]
pub(crate) struct LogOptions {
    pub(crate) dir: PathBuf,
    /// Size at which a new segment begins.
    pub(crate) segment_bytes: u64,
    /// Uncommitted bytes at which writing waits for a commit; also the most that is kept for the
    /// dedup window.
    pub(crate) log_bytes: u64,
    /// Messages with a packet id that a restart reads again, to recognise redeliveries.
    pub(crate) window: usize,
    /// Messages of one session and packet id that a redelivery is compared with.
    pub(crate) depth: usize,
}

/// What the writer thread is asked to do.
enum Job {
    Group(Group, OwnedSemaphorePermit),
    /// Finish what was handed in before, then end.
    Close,
}

/// Messages handed in together, and where their acknowledgements go.
pub(crate) struct Group {
    pub(crate) messages: Vec<Message>,
    pub(crate) acks: Acks,
}

/// An open log. Dropping it stops the writer at once, as a crash would.
pub(crate) struct Log {
    shared: Arc<Shared>,
    writer: LogWriter,
    thread: Option<JoinHandle<()>>,
    losses: Vec<Loss>,
    counters: Arc<Counters>,
    before: Option<u64>,
    failed: watch::Receiver<Option<Error>>,
}

/// A source's way into the log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LogWriter {
    jobs: UnboundedSender<Job>,
    room: Arc<Semaphore>,
}

/// Room for a group, to be used without waiting.
pub(crate) struct Permit<'a> {
    writer: &'a LogWriter,
    permit: OwnedSemaphorePermit,
}

impl Log {
    /// Opens the log in `options.dir`, creating it when there is none.
    ///
    /// # Errors
    /// File errors, and `Unsupported` for a log of another version.
    pub(crate) fn open(options: LogOptions, counters: Arc<Counters>) -> Result<Self> {
        create_dir(&options.dir).map_err(|e| segment::io_error("create", &options.dir, e))?;
        let mut found = recover::recover(&options.dir, Redeliveries::new(options.depth))?;
        for loss in &found.losses {
            tracing::error!("{loss}");
        }
        let (jobs, queue) = mpsc::unbounded_channel();
        let (report, failed) = watch::channel(None);
        let segments = std::mem::take(&mut found.segments);
        let losses = std::mem::take(&mut found.losses);
        let before = found.before;
        let shared = Arc::new(Shared::new(segments, found.next, &options));
        let told = Arc::clone(&counters);
        let writer = writer::Writer::new(options, Arc::clone(&shared), found, counters);
        let thread = std::thread::Builder::new()
            .name("ingest-log".into())
            .spawn(move || writer.run(queue, report))
            .map_err(|e| Error::internal("cannot start the log's thread").with_source(e))?;
        Ok(Self {
            shared,
            writer: LogWriter {
                jobs,
                room: Arc::new(Semaphore::new(QUEUE_BYTES / BLOCK)),
            },
            thread: Some(thread),
            losses,
            counters: told,
            before,
            failed,
        })
    }

    /// What damage cost, found when the log was opened.
    pub(crate) fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// The position of the last record before the first one found here, where that is known.
    pub(crate) fn before(&self) -> Option<u64> {
        self.before
    }

    /// How full the log is.
    pub(crate) fn fill(&self) -> Fill {
        self.shared.fill()
    }

    /// The way in for a source.
    pub(crate) fn writer(&self) -> LogWriter {
        self.writer.clone()
    }

    /// Follows the log from its first record.
    pub(crate) fn reader(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.shared), Arc::clone(&self.counters))
    }

    /// The last durable record's position, 0 for none.
    pub(crate) fn last_record(&self) -> u64 {
        self.shared.last_record()
    }

    /// The highest position that may have been given to a record.
    pub(crate) fn end(&self) -> u64 {
        self.shared.durable()
    }

    /// Who wrote what is in the log.
    pub(crate) fn history(&self) -> History {
        History(Arc::clone(&self.shared))
    }

    /// What the flush tells about commits, so that segments can go.
    pub(crate) fn retention(&self) -> Retention {
        Retention(Arc::clone(&self.shared))
    }

    /// Changes to the error that ended the writer, which is a fault of its own.
    pub(crate) fn failed(&self) -> watch::Receiver<Option<Error>> {
        self.failed.clone()
    }

    /// Finishes every group handed in so far, then ends the writer. Later groups are refused.
    pub(crate) async fn close(&mut self) {
        // The thread may have ended by itself; then there is nothing to finish.
        let _ = self.writer.jobs.send(Job::Close);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by its own message.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.stop();
        let _ = self.writer.jobs.send(Job::Close);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl LogWriter {
    /// Waits for room for `bytes` of messages. Cancel safe.
    ///
    /// # Errors
    /// `Unavailable` when the log has closed.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<Permit<'_>> {
        let permit = Arc::clone(&self.room)
            .acquire_many_owned(blocks(bytes))
            .await
            .map_err(|_| closed())?;
        Ok(Permit {
            writer: self,
            permit,
        })
    }

    /// Room for `bytes` of messages if it is there now.
    pub(crate) fn try_reserve(&self, bytes: usize) -> Option<Permit<'_>> {
        let permit = Arc::clone(&self.room)
            .try_acquire_many_owned(blocks(bytes))
            .ok()?;
        Some(Permit {
            writer: self,
            permit,
        })
    }
}

impl Permit<'_> {
    /// Hands the group to the writer thread.
    ///
    /// # Errors
    /// `Unavailable` when the log has closed: nothing of the group is or will be logged.
    pub(crate) fn submit(self, group: Group) -> Result<()> {
        self.writer
            .jobs
            .send(Job::Group(group, self.permit))
            .map_err(|_| closed())
    }
}

fn blocks(bytes: usize) -> u32 {
    (bytes / BLOCK + 1).min(QUEUE_BYTES / BLOCK) as u32
}

fn closed() -> Error {
    Error::unavailable("the write-ahead log is closed")
}

/// Tells who wrote what is in the log.
#[derive(Clone)]
pub(crate) struct History(Arc<Shared>);

impl History {
    /// The records of this log by the run that wrote them, oldest first.
    pub(crate) fn stretches(&self) -> Vec<Stretch> {
        self.0.stretches()
    }

    /// Those of the positions after `from` up to `to`.
    pub(crate) fn between(&self, from: u64, to: u64) -> Vec<Stretch> {
        let mut stretches = self.stretches();
        stretches.retain(|s| s.last > from && s.base <= to);
        for stretch in &mut stretches {
            stretch.last = stretch.last.min(to);
        }
        stretches
    }

    /// The highest position that may have been given to a record.
    pub(crate) fn end(&self) -> u64 {
        self.0.durable()
    }
}

/// Tells the log what is committed.
pub(crate) struct Retention(Arc<Shared>);

impl Retention {
    /// Everything up to `position` is in the lake: segments that are neither needed for replay nor
    /// for the dedup window go.
    pub(crate) fn committed(&self, position: u64) {
        let gone = self.0.commit(position);
        self.0.remove(gone);
    }
}

/// Creates the log's folder, durable with its name.
fn create_dir(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => std::fs::File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

/// Removes a file of the log; false when it is still there.
fn remove(path: &Path) -> bool {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(file = %path.display(), %error, "cannot remove a log segment");
            false
        }
        _ => true,
    }
}
