//! Journal files: `journal-<n>`, of which the highest counts. A header of `magic | mark`, and records
//! of `mark | len u32 | crc u32 | entries`; the CRC covers the length and the entries.
//!
//! The mark is eight random bytes, another in each file. No client knows it, so no payload can have a
//! record in it that is taken for one of the broker's when the file is damaged; and what is left by
//! an older file on the same blocks has another.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use catalog::{Error, Result};

use super::entry::{self, Entries, Entry};
use super::model::Model;

/// First bytes of a journal: a name and a format version.
const MAGIC: &[u8; 8] = b"PHBRK002";
const PREFIX: &str = "journal-";
/// Bytes before a record's entries.
const HEADER: usize = MARK + 8;
const MARK: usize = 8;
/// Bytes before the first record.
const START: usize = MAGIC.len() + MARK;

/// What the records of one file begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark([u8; MARK]);

/// A journal as it was found.
pub(super) struct Found {
    pub(super) model: Model,
    /// The number of its file, 0 for none.
    pub(super) number: u64,
    pub(super) file: Option<File>,
    pub(super) mark: Mark,
    /// Bytes of whole records, the header included.
    pub(super) bytes: u64,
    /// Byte ranges that are damaged.
    pub(super) losses: Vec<std::ops::Range<usize>>,
}

/// Reads the newest journal in the folder, cuts its torn tail, and removes older ones.
///
/// # Errors
/// File errors, and `Unsupported` for a journal of another version.
pub(super) fn open(folder: &Path) -> Result<Found> {
    std::fs::create_dir_all(folder).map_err(|e| io_error("create", folder, e))?;
    let mut numbers = list(folder)?;
    let Some(number) = numbers.pop() else {
        return Ok(Found {
            model: Model::default(),
            number: 0,
            file: None,
            mark: Mark::random(),
            bytes: 0,
            losses: Vec::new(),
        });
    };
    for old in numbers {
        remove(&path(folder, old));
    }
    let path = path(folder, number);
    let bytes = std::fs::read(&path).map_err(|e| io_error("read", &path, e))?;
    check_version(&bytes, &path)?;
    let mut found = replay(&Bytes::from(bytes));
    for loss in &found.losses {
        tracing::error!(
            file = %path.display(),
            from = loss.start,
            to = loss.end,
            "the broker's journal is damaged: changes of sessions are lost"
        );
    }
    found.number = number;
    if found.bytes < START as u64 {
        // Not even a header: the next change begins a new file.
        return Ok(found);
    }
    let file = OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|file| {
            file.set_len(found.bytes)?;
            file.sync_all()?;
            Ok(file)
        })
        .map_err(|e| io_error("truncate", &path, e))?;
    found.file = Some(file);
    Ok(found)
}

/// Adds up the records of a journal's bytes.
pub(super) fn replay(bytes: &Bytes) -> Found {
    let mut found = Found {
        model: Model::default(),
        number: 0,
        file: None,
        mark: mark_of(bytes),
        bytes: bytes.len().min(START) as u64,
        losses: Vec::new(),
    };
    let mark = found.mark;
    let mut at = bytes.len().min(START);
    while at < bytes.len() {
        let Some(end) = record_end(bytes, at, mark) else {
            // Whole records after it tell damage from a torn tail, which was never acknowledged.
            let Some(next) = next_record(bytes, at + 1, mark) else {
                tracing::warn!(
                    bytes = bytes.len() - at,
                    "the broker's journal has a torn tail: cut"
                );
                break;
            };
            found.losses.push(at..next);
            at = next;
            continue;
        };
        for entry in Entries::new(bytes.slice(at + HEADER..end)) {
            found.model.apply(entry);
        }
        at = end;
        found.bytes = end as u64;
    }
    found
}

/// The mark of a file: that of its header, or where the header is damaged, of its first record.
fn mark_of(bytes: &[u8]) -> Mark {
    let at = |at: usize| Some(Mark(*bytes.get(at..)?.first_chunk()?));
    let first = at(START).filter(|mark| record_end(bytes, START, *mark).is_some());
    first.or(at(MAGIC.len())).unwrap_or_else(Mark::random)
}

/// The next whole record from this offset on. Only where the mark is, a checksum is computed.
fn next_record(bytes: &[u8], from: usize, mark: Mark) -> Option<usize> {
    let places = bytes.get(from..)?.windows(MARK).enumerate();
    let mut marked = places.filter(|(_, window)| *window == mark.0);
    marked.find_map(|(at, _)| record_end(bytes, from + at, mark).map(|_| from + at))
}

/// The end of the record at this offset, if it is whole.
fn record_end(bytes: &[u8], at: usize, mark: Mark) -> Option<usize> {
    let rest = bytes.get(at..)?.strip_prefix(&mark.0)?;
    let len: [u8; 4] = *rest.first_chunk()?;
    let crc: [u8; 4] = *rest.get(4..)?.first_chunk()?;
    let end = (at + HEADER).checked_add(u32::from_le_bytes(len) as usize)?;
    let body = bytes.get(at + HEADER..end)?;
    (!body.is_empty() && checksum(len, body) == u32::from_le_bytes(crc)).then_some(end)
}

fn checksum(len: [u8; 4], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len);
    hasher.update(body);
    hasher.finalize()
}

/// Appends entries as one record: all of them count, or none.
pub(super) fn encode(mark: Mark, entries: &[Entry], out: &mut Vec<u8>) {
    out.extend_from_slice(&mark.0);
    let start = out.len();
    out.extend_from_slice(&[0; HEADER - MARK]);
    for entry in entries {
        entry::encode(entry, out);
    }
    let body = start + HEADER - MARK;
    let len = ((out.len() - body) as u32).to_le_bytes();
    let crc = checksum(len, &out[body..]).to_le_bytes();
    out[start..start + 4].copy_from_slice(&len);
    out[start + 4..body].copy_from_slice(&crc);
}

impl Mark {
    pub(super) fn random() -> Self {
        Self(uuid::Uuid::new_v4().as_u64_pair().1.to_le_bytes())
    }
}

/// What a journal begins with.
pub(super) fn start(mark: Mark) -> Vec<u8> {
    [MAGIC.as_slice(), &mark.0].concat()
}

/// Writes a new journal that says what the model says; durable with its name.
pub(super) fn create(folder: &Path, number: u64, mark: Mark, model: &Model) -> Result<(File, u64)> {
    let target = path(folder, number);
    let temporary = target.with_extension("tmp");
    let mut bytes = start(mark);
    for entry in model.entries() {
        encode(mark, std::slice::from_ref(&entry), &mut bytes);
    }
    let written = || -> std::io::Result<File> {
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &target)?;
        File::open(folder)?.sync_all()?;
        Ok(file)
    };
    let file = written().map_err(|e| io_error("write", &target, e))?;
    Ok((file, bytes.len() as u64))
}

/// The file of a journal.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{number:010}"))
}

/// Removes a file that is of no use any more.
pub(super) fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(file = %path.display(), %error, "cannot remove an old journal");
    }
}

/// The numbers of the journals, ascending; a half-written new one is removed.
fn list(folder: &Path) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| io_error("list", folder, e))? {
        let entry = entry.map_err(|e| io_error("list", folder, e))?;
        let name = entry.file_name();
        let Some(number) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        if number.ends_with(".tmp") {
            remove(&entry.path());
        }
        numbers.extend(number.parse::<u64>().ok());
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn check_version(bytes: &[u8], path: &Path) -> Result<()> {
    let magic = bytes.first_chunk::<{ MAGIC.len() }>();
    if magic.is_some_and(|m| m != MAGIC && m[..5] == MAGIC[..5]) {
        return Err(Error::unsupported(format!(
            "{} is a broker's journal of another version",
            path.display()
        ))
        .with_hint("start the version of pumphouse that wrote it"));
    }
    Ok(())
}

fn io_error(what: &str, path: &Path, source: std::io::Error) -> Error {
    Error::internal(format!("cannot {what} {}: {source}", path.display()))
        .with_hint("check the disk's space, health and permissions")
        .with_source(source)
}
