//! The log's writer thread: everything queued becomes one write and one `fdatasync`.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use catalog::{Error, Result};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::dedup::DedupWindow;
use super::record::{self, Record};
use super::segment;
use super::shared::Shared;
use super::{Acks, Group, Job, LogOptions};
use crate::stats::Counters;

/// A batch is closed at this size, so that one sync never waits for an endless queue.
const BATCH_BYTES: usize = 8 << 20;

pub(super) struct Writer {
    options: LogOptions,
    shared: Arc<Shared>,
    window: DedupWindow,
    counters: Arc<Counters>,
    file: File,
    /// Bytes in the active segment.
    written: u64,
    next: u64,
    batch: Batch,
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
        window: DedupWindow,
        next: u64,
        counters: Arc<Counters>,
    ) -> Result<Self> {
        let (file, segment) = segment::create(&options.dir, next)?;
        let written = segment.bytes;
        shared.begin_segment(segment);
        let last = shared.last_record();
        counters.wal_position.store(last, Ordering::Relaxed);
        Ok(Self {
            options,
            shared,
            window,
            counters,
            file,
            written,
            next,
            batch: Batch::default(),
        })
    }

    /// Whether this is the file of the segment being written.
    pub(super) fn writes(&self, path: &Path) -> bool {
        segment::path(&self.options.dir, self.next) == path
    }

    /// Serves the queue until it is closed, the log is stopped, or the disk fails.
    pub(super) fn run(
        mut self,
        mut queue: UnboundedReceiver<Job>,
        report: watch::Sender<Option<Error>>,
    ) {
        let report = Report(report);
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
            if !self.shared.wait_for_room() {
                return;
            }
            if let Err(error) = self.write_batch() {
                tracing::error!(%error, "the log cannot be written: messages are no longer acknowledged");
                report.0.send_replace(Some(error));
                return;
            }
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
        let mut batch = std::mem::take(&mut self.batch);
        if batch.records > 0 {
            self.append(&batch.bytes, self.next - batch.records as u64)?;
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

    /// Writes and syncs records that start at position `first`, in a new segment when this one is full.
    fn append(&mut self, bytes: &[u8], first: u64) -> Result<()> {
        if self.written > segment::MAGIC.len() as u64
            && self.written + bytes.len() as u64 > self.options.segment_bytes
        {
            let (file, segment) = segment::create(&self.options.dir, first)?;
            self.file = file;
            self.written = segment.bytes;
            self.shared.begin_segment(segment);
        }
        self.file
            .write_all(bytes)
            .and_then(|()| self.file.sync_data())
            .map_err(|e| segment::io_error("write the log in", &self.options.dir, e))?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}
