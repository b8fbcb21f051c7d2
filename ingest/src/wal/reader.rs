//! Follows the log in order: from memory while the reader keeps up, else from the segment files.

use std::fs::File;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use catalog::{Error, Result};
use tokio::sync::watch;

use super::record::{self, HEADER, Parsed, Record};
use super::segment::{Loss, io_error};
use super::shared::{Shared, Take};
use crate::stats::Counters;

/// Bytes read from a file at a time.
const CHUNK: usize = 1 << 20;

/// Reads durable records in order of position, each once.
pub(crate) struct LogReader {
    shared: Arc<Shared>,
    durable: watch::Receiver<u64>,
    next: u64,
    cursor: Option<Cursor>,
    /// Told what damage has cost.
    counters: Arc<Counters>,
}

/// A place in a segment file.
#[derive(Debug, Clone)]
struct Cursor {
    path: PathBuf,
    offset: u64,
    /// The position of the record at `offset`, unless the file is damaged there.
    expected: u64,
}

impl Cursor {
    fn moved(mut self, bytes: usize) -> Self {
        self.offset += bytes as u64;
        self
    }
}

impl LogReader {
    pub(super) fn new(shared: Arc<Shared>, counters: Arc<Counters>) -> Self {
        Self {
            durable: shared.follow(),
            shared,
            next: 1,
            cursor: None,
            counters,
        }
    }

    /// Goes on at the record after `position`.
    pub(crate) fn seek(&mut self, position: u64) {
        self.next = position + 1;
        self.cursor = None;
    }

    /// The next records, at least one, about `limit` at most; waits for one to become durable.
    /// Cancel safe.
    ///
    /// # Errors
    /// A segment file that cannot be read.
    pub(crate) async fn next(&mut self, limit: usize) -> Result<Vec<Record>> {
        loop {
            let next = self.next;
            let durable = match self.durable.wait_for(|end| *end >= next).await {
                Ok(end) => *end,
                Err(_) => return Err(super::closed()),
            };
            match self.shared.take(next, limit) {
                Take::Records(records) => {
                    self.advance(&records);
                    return Ok(records);
                }
                Take::Skip(position) => self.next = position,
                Take::File {
                    path,
                    start,
                    base,
                    last,
                    until,
                } => {
                    // Beyond its last record a segment may hold the remains of a failed write.
                    let until = until.min(durable + 1).min(last + 1);
                    let cursor = Cursor {
                        path,
                        offset: start,
                        expected: base,
                    };
                    let records = self.read(cursor, last, until).await?;
                    if !records.is_empty() {
                        self.advance(&records);
                        return Ok(records);
                    }
                }
            }
        }
    }

    fn advance(&mut self, records: &[Record]) {
        if let Some(last) = records.last() {
            self.next = last.position + 1;
        }
    }

    /// Reads one chunk of the segment that begins at `start`; none when the chunk held nothing
    /// that is wanted.
    async fn read(&mut self, start: Cursor, last: u64, until: u64) -> Result<Vec<Record>> {
        let cursor = match self.cursor.take() {
            Some(cursor) if cursor.path == start.path => cursor,
            _ => start,
        };
        let from = self.next;
        let chunk = tokio::task::spawn_blocking(move || read_chunk(cursor, from, until))
            .await
            .map_err(|e| Error::internal("reading the log failed").with_source(e))??;
        if let Some(positions) = chunk.lost.filter(|lost| *lost.end() >= from) {
            self.lost(&chunk.cursor, chunk.offset, positions);
        }
        self.cursor = Some(chunk.cursor);
        if chunk.ended && chunk.records.is_empty() {
            self.next = until.min(last + 1);
        }
        Ok(chunk.records)
    }

    fn lost(&self, cursor: &Cursor, offset: u64, positions: RangeInclusive<u64>) {
        let loss = Loss {
            path: cursor.path.clone(),
            offset: offset as usize,
            from: *positions.start(),
            to: *positions.end(),
            acknowledged: true,
        };
        tracing::error!("{loss}");
        self.counters.lost(loss.to_string());
    }
}

/// What the next chunk at a cursor holds.
struct Chunk {
    records: Vec<Record>,
    /// The place after them.
    cursor: Cursor,
    /// Where the chunk began.
    offset: u64,
    /// Whether the file holds no wanted position beyond.
    ended: bool,
    /// Positions that damage at its beginning has cost.
    lost: Option<RangeInclusive<u64>>,
}

/// Records of positions `from..until` in the next chunk at the cursor.
fn read_chunk(mut cursor: Cursor, from: u64, until: u64) -> Result<Chunk> {
    let file = File::open(&cursor.path).map_err(|e| io_error("open", &cursor.path, e))?;
    let mut bytes = read_at(&file, &cursor, CHUNK)?;
    if let Some(len) = record::record_len(&bytes).filter(|len| *len > bytes.len()) {
        bytes = read_at(&file, &cursor, len)?;
    }
    let start = cursor.offset;
    let mut records = Vec::new();
    let mut offset = 0;
    let chunk = |records, cursor: Cursor, by: usize, ended, lost| Chunk {
        records,
        cursor: cursor.moved(by),
        offset: start,
        ended,
        lost,
    };
    while let Parsed::Record(record, end) = record::parse(&bytes, offset) {
        if record.position >= until {
            return Ok(chunk(records, cursor, offset, true, None));
        }
        offset = end;
        cursor.expected = record.position + 1;
        if record.position >= from {
            records.push(record);
        }
    }
    if offset > 0 {
        return Ok(chunk(records, cursor, offset, false, None));
    }
    // Not one record here: step over damage, or be at the end.
    let rest = read_at(&file, &cursor, usize::MAX)?;
    let found = (rest.len() >= HEADER)
        .then(|| record::resync(&rest, 0, cursor.expected))
        .flatten();
    let expected = cursor.expected;
    let missing = |next: u64| (next > expected).then(|| expected..=next - 1);
    match found {
        Some(at) => {
            cursor.expected = record::read_u64(&rest[at..], 8);
            let lost = missing(cursor.expected.min(until));
            Ok(chunk(records, cursor, at, false, lost))
        }
        None => Ok(chunk(records, cursor, 0, true, missing(until))),
    }
}

/// Up to `limit` bytes at the cursor.
fn read_at(file: &File, cursor: &Cursor, limit: usize) -> Result<Bytes> {
    let size = file
        .metadata()
        .map_err(|e| io_error("read", &cursor.path, e))?
        .len();
    let len = size.saturating_sub(cursor.offset).min(limit as u64) as usize;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, cursor.offset)
        .map_err(|e| io_error("read", &cursor.path, e))?;
    Ok(Bytes::from(bytes))
}
