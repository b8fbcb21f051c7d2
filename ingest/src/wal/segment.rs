//! Segment files of the log: names, the header, and reading records with damage noticed.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use catalog::{Error, Result};
use uuid::Uuid;

use super::header::{self, Header};
use super::record::{self, Parsed, Record};

/// What is known of a segment without reading it again.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// The position its first record has, or would have.
    pub(super) base: u64,
    /// The position of its last record; `base - 1` when it holds none.
    pub(super) last: u64,
    /// Bytes on disk.
    pub(super) bytes: u64,
    /// Where its records begin, in bytes.
    pub(super) start: u64,
    /// The run of the log that wrote it; none for one of an old version or with a damaged header.
    pub(super) run: Option<Uuid>,
    /// Records with a packet id, which is what the dedup window counts.
    pub(super) tracked: usize,
    pub(super) path: PathBuf,
}

/// Positions that a damaged log has lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loss {
    /// The damaged segment.
    pub(crate) path: PathBuf,
    /// Where in it the damage begins, in bytes.
    pub(crate) offset: usize,
    /// First lost position.
    pub(crate) from: u64,
    /// Last lost position.
    pub(crate) to: u64,
    /// Whether somebody was told that they are safe. At the end of the last segment that cannot
    /// be known.
    pub(crate) acknowledged: bool,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            offset, from, to, ..
        } = self;
        let path = self.path.display();
        let condition = match self.acknowledged {
            true => "",
            false => ", if they were acknowledged",
        };
        write!(
            f,
            "the log is damaged at {path} byte {offset}: positions {from} to {to} are lost{condition}"
        )
    }
}

/// The file of the segment that starts at `base`.
pub(super) fn path(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.wal"))
}

/// Creates the segment that starts at `base`, durable with its name.
pub(super) fn create(dir: &Path, base: u64, header: Header) -> Result<(File, Segment)> {
    let path = path(dir, base);
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(&path)
        .and_then(|mut file| {
            file.write_all(&header.encode())?;
            file.sync_all()?;
            Ok(file)
        })
        .and_then(|file| File::open(dir)?.sync_all().map(|()| file))
        .map_err(|e| io_error("create", &path, e))?;
    let segment = Segment {
        base,
        last: base - 1,
        bytes: header::BYTES as u64,
        start: header::BYTES as u64,
        run: Some(header.run),
        tracked: 0,
        path,
    };
    Ok((file, segment))
}

/// The segments in `dir` by position: base and path.
pub(super) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(dir).map_err(|e| io_error("list", dir, e))?;
    for entry in entries {
        let path = entry.map_err(|e| io_error("list", dir, e))?.path();
        let base = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".wal"))
            .and_then(|number| number.parse().ok());
        if let Some(base) = base.filter(|base| *base > 0) {
            found.push((base, path));
        }
    }
    found.sort();
    Ok(found)
}

/// A file error of the log, as users see it.
pub(super) fn io_error(what: &str, path: &Path, source: std::io::Error) -> Error {
    Error::internal(format!("cannot {what} {}: {source}", path.display()))
        .with_hint("check the disk's space, health and permissions; logged messages are kept")
        .with_source(source)
}

/// One thing found while reading a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Record(Record),
    /// Damage was stepped over at this offset; these positions are missing.
    Lost {
        offset: usize,
        from: u64,
        to: u64,
    },
    /// No whole record follows this offset.
    Torn {
        offset: usize,
    },
}

/// Reads the records of one segment's bytes, in order.
pub(super) struct Scanner {
    bytes: Bytes,
    offset: usize,
    expected: u64,
}

impl Scanner {
    /// Reads a whole segment whose first record stands at `start` and has position `base`.
    pub(super) fn new(bytes: Bytes, start: usize, base: u64) -> Self {
        // A damaged header costs nothing: the first record is found all the same.
        let offset = start.min(bytes.len());
        Self {
            bytes,
            offset,
            expected: base,
        }
    }

    /// The position the next record should have.
    pub(super) fn expected(&self) -> u64 {
        self.expected
    }
}

impl Iterator for Scanner {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            let offset = self.offset;
            if offset == self.bytes.len() {
                return None;
            }
            if let Parsed::Record(record, end) = record::parse(&self.bytes, offset)
                && record.position == self.expected
            {
                self.offset = end;
                self.expected += 1;
                return Some(Step::Record(record));
            }
            let Some(at) = record::resync(&self.bytes, offset, self.expected) else {
                self.offset = self.bytes.len();
                return Some(Step::Torn { offset });
            };
            let from = self.expected;
            self.offset = at;
            self.expected = record::read_u64(&self.bytes[at..], 8);
            if self.expected > from {
                let to = self.expected - 1;
                return Some(Step::Lost { offset, from, to });
            }
        }
    }
}
