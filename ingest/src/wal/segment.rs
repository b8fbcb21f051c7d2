//! Segment files of the log: names, the header, and reading records with damage noticed.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use catalog::{Error, Result};

use super::record::{self, Parsed, Record};

/// First bytes of every segment: a name and a format version.
pub(super) const MAGIC: &[u8; 8] = b"PHWAL001";
const MAGIC_NAME: usize = 5;

/// What is known of a segment without reading it again.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// The position its first record has, or would have.
    pub(super) base: u64,
    /// The position of its last record; `base - 1` when it holds none.
    pub(super) last: u64,
    /// Bytes on disk.
    pub(super) bytes: u64,
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
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the log is damaged at {} byte {}: positions {} to {} are lost",
            self.path.display(),
            self.offset,
            self.from,
            self.to
        )
    }
}

/// The file of the segment that starts at `base`.
pub(super) fn path(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.wal"))
}

/// Creates the segment that starts at `base`, durable with its name.
pub(super) fn create(dir: &Path, base: u64) -> Result<(File, Segment)> {
    let path = path(dir, base);
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(&path)
        .and_then(|mut file| {
            file.write_all(MAGIC)?;
            file.sync_all()?;
            Ok(file)
        })
        .map_err(|e| io_error("create", &path, e))?;
    sync_dir(dir)?;
    let segment = Segment {
        base,
        last: base - 1,
        bytes: MAGIC.len() as u64,
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

/// Makes names created in or removed from `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(|e| io_error("sync", dir, e))
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
    /// Reads a whole segment that starts at `base`.
    ///
    /// # Errors
    /// `Unsupported` for a segment of another format version.
    pub(super) fn new(bytes: Bytes, base: u64, path: &Path) -> Result<Self> {
        let magic = &bytes[..bytes.len().min(MAGIC.len())];
        if magic.len() == MAGIC.len()
            && magic != MAGIC
            && magic[..MAGIC_NAME] == MAGIC[..MAGIC_NAME]
        {
            return Err(Error::unsupported(format!(
                "{} is a log segment of another version",
                path.display()
            ))
            .with_hint(
                "start the version of pumphouse that wrote it, let it flush, then upgrade",
            ));
        }
        // A damaged header costs nothing: the first record is found all the same.
        let offset = MAGIC.len().min(bytes.len());
        Ok(Self {
            bytes,
            offset,
            expected: base,
        })
    }

    /// The position the next record should have.
    pub(super) fn expected(&self) -> u64 {
        self.expected
    }
}

impl Iterator for Scanner {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
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
        Some(Step::Lost {
            offset,
            from,
            to: self.expected.saturating_sub(1).max(from),
        })
    }
}
