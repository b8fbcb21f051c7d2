//! The log's writer thread: everything queued becomes one write and one `fdatasync`.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use catalog::{Error, ErrorKind, Result};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, watch};
use uuid::Uuid;

use super::dedup::Redeliveries;
use super::header::{self, Header};
use super::record::{self, Record};
use super::recover::Recovered;
use super::segment;
use super::shared::{Room, Shared};
use super::{Acks, Group, Job, LogOptions, remove};
use crate::backoff::Backoff;
use crate::stats::Counters;

/// A batch is closed at this size, so that one sync never waits for an endless queue.
const BATCH_BYTES: usize = 8 << 20;
/// The longest pause between attempts to write to a disk that fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A full log is told once acknowledgements have waited this long for the lake.
const FULL_PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    options: LogOptions,
    shared: Arc<Shared>,
    window: Redeliveries,
    counters: Arc<Counters>,
    /// The segment being written; none when the next batch has to begin one.
    active: Option<Active>,
    /// This opening of the log.
    run: Uuid,
    /// The position of the last durable record, 0 for none.
    last: u64,
    next: u64,
    batch: Batch,
    /// Files that go once there is a newer segment.
    leftover: Vec<PathBuf>,
    stalled: Option<Instant>,
}

struct Active {
    file: File,
    /// Bytes in it.
    written: u64,
}

/// Tells of the writer's end also when it is a panic.
struct Report(watch::Sender<Option<Error>>);

impl Drop for Report {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let error = Error::internal("the log's thread panicked");
            self.0.send_replace(Some(error));
        }
    }
}

/// Groups that share a sync.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    groups: Vec<Vec<Record>>,
    acks: Vec<(Acks, Vec<u16>)>,
    permits: Vec<OwnedSemaphorePermit>,
    records: usize,
    tracked: usize,
    duplicates: usize,
}

impl Writer {
    pub(super) fn new(
        options: LogOptions,
        shared: Arc<Shared>,
        found: Recovered,
        counters: Arc<Counters>,
    ) -> Self {
        counters
            .wal_position
            .store(shared.last_record(), Ordering::Relaxed);
        Self {
            options,
            shared,
            counters,
            active: None,
            run: Uuid::new_v4(),
            last: found.last(),
            next: found.next,
            window: found.window,
            leftover: found.empty,
            batch: Batch::default(),
            stalled: None,
        }
    }

    /// Serves the queue until it is closed or the log is stopped. Where the disk fails, it tries
    /// again until that is mended: nothing is acknowledged meanwhile, and nothing is given up.
    pub(super) fn run(
        mut self,
        mut queue: UnboundedReceiver<Job>,
        report: watch::Sender<Option<Error>>,
    ) {
        let _report = Report(report);
        let mut open = true;
        while open {
            let Some(job) = queue.blocking_recv() else {
                return;
            };
            open = self.add(job);
            while open && self.batch.bytes.len() < BATCH_BYTES {
                match queue.try_recv() {
                    Ok(job) => open = self.add(job),
                    Err(_) => break,
                }
            }
            if !self.wait_for_room() {
                return;
            }
            let mut backoff = Backoff::up_to(LONGEST_PAUSE);
            while let Err(error) = self.write_batch() {
                self.stall(&error);
                let gone = self.shared.give_up_window();
                self.shared.remove(gone);
                if !self.shared.wait_for_change(backoff.next_delay()) {
                    return;
                }
            }
            self.resume();
        }
    }

    /// Waits while uncommitted records fill the log; false when the log is to stop.
    fn wait_for_room(&mut self) -> bool {
        loop {
            match self.shared.wait_for_room(FULL_PATIENCE) {
                Room::Free => return true,
                Room::Stopped => return false,
                Room::Full(bytes) => self.stall(&Error::new(
                    ErrorKind::ResourceExhausted,
                    format!(
                        "the log is full: {bytes} bytes of {} wait for the lake to take their rows",
                        self.options.log_bytes
                    ),
                )),
            }
        }
    }

    /// Says that messages are no longer acknowledged, and why.
    fn stall(&mut self, error: &Error) {
        if self.stalled.is_none() {
            self.stalled = Some(Instant::now());
            tracing::error!(%error, "messages are no longer acknowledged, trying on");
        }
        self.counters.set_stalled(Some(error.to_string()));
    }

    fn resume(&mut self) {
        if let Some(since) = self.stalled.take() {
            let seconds = since.elapsed().as_secs_f64();
            tracing::warn!(seconds, "messages are acknowledged again");
            self.counters.set_stalled(None);
        }
    }

    /// Encodes a group into the batch; false when this was the last one.
    fn add(&mut self, job: Job) -> bool {
        let Job::Group(Group { messages, acks }, permit) = job else {
            return false;
        };
        let batch = &mut self.batch;
        let mut records = Vec::with_capacity(messages.len());
        let mut packet_ids = Vec::with_capacity(messages.len());
        for message in messages {
            if message.packet_id != 0 {
                packet_ids.push(message.packet_id);
            }
            if self.window.is_duplicate(&message) {
                batch.duplicates += 1;
                continue;
            }
            self.window.insert(&message);
            batch.tracked += usize::from(message.packet_id != 0);
            record::encode(self.next, &message, &mut batch.bytes);
            records.push(Record {
                position: self.next,
                message,
            });
            self.next += 1;
        }
        batch.records += records.len();
        batch.groups.push(records);
        batch.permits.push(permit);
        if !packet_ids.is_empty() {
            batch.acks.push((acks, packet_ids));
        }
        true
    }

    /// Makes the batch durable, shows it to the reader, and completes its acknowledgements.
    fn write_batch(&mut self) -> Result<()> {
        if self.batch.records > 0 {
            self.append(self.next - self.batch.records as u64)?;
        }
        let mut batch = std::mem::take(&mut self.batch);
        if batch.records > 0 {
            self.last = self.next - 1;
            let groups = std::mem::take(&mut batch.groups);
            let size = batch.bytes.len() as u64;
            self.shared
                .publish(size, batch.tracked, self.next - 1, groups);
            self.counters
                .wal_position
                .store(self.next - 1, Ordering::Relaxed);
        }
        Counters::add(&self.counters.logged, batch.records);
        Counters::add(&self.counters.duplicates_dropped, batch.duplicates);
        for (acks, packet_ids) in batch.acks.drain(..) {
            Counters::add(&self.counters.acked, packet_ids.len());
            // A connection that is gone gets its messages again, marked as redelivered.
            let _ = acks.send(packet_ids);
        }
        batch.bytes.clear();
        batch.permits.clear();
        batch.groups.clear();
        (batch.records, batch.tracked, batch.duplicates) = (0, 0, 0);
        // The buffer is kept for the next batch unless one huge message blew it up.
        batch.bytes.shrink_to(2 * BATCH_BYTES);
        self.batch = batch;
        Ok(())
    }

    /// Writes and syncs the batch, whose records start at position `first`, in a new segment when
    /// this one is full or has failed.
    fn append(&mut self, first: u64) -> Result<()> {
        let bytes = self.batch.bytes.len() as u64;
        let fits = |active: &Active| active.written + bytes <= self.options.segment_bytes;
        let mut active = match self.active.take() {
            Some(active) if active.is_empty() || fits(&active) => active,
            _ => self.begin(first)?,
        };
        let done = active.file.write_all(&self.batch.bytes);
        if let Err(error) = done.and_then(|()| active.file.sync_data()) {
            // After a failed sync nobody knows what is on disk, and a second one would seem to
            // succeed: the segment ends before this batch, which goes to a new one. Should this
            // fail too, readers and the next start still end it there.
            let _ = active.file.set_len(active.written);
            return Err(segment::io_error(
                "write the log in",
                &self.options.dir,
                error,
            ));
        }
        active.written += bytes;
        self.active = Some(active);
        Ok(())
    }

    /// Begins the segment whose first position is `base`.
    fn begin(&mut self, base: u64) -> Result<Active> {
        let header = Header {
            previous: self.last,
            run: self.run,
        };
        let (file, segment) = segment::create(&self.options.dir, base, header)?;
        let written = segment.bytes;
        for path in self.leftover.drain(..).filter(|path| *path != segment.path) {
            remove(&path);
        }
        self.shared.begin_segment(segment);
        Ok(Active { file, written })
    }
}

impl Active {
    fn is_empty(&self) -> bool {
        self.written <= header::BYTES as u64
    }
}
