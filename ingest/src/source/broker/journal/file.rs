//! Journal files: `journal-<n>`, of which the highest counts. Records are
//! `len u32 | crc u32 | entries`; the CRC covers the length and the entries.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use catalog::{Error, Result};

use super::entry::{self, Entries, Entry};
use super::model::Model;

/// First bytes of a journal: a name and a format version.
const MAGIC: &[u8; 8] = b"PHBRK001";
const PREFIX: &str = "journal-";
const HEADER: usize = 8;

/// A journal as it was found.
pub(super) struct Found {
    pub(super) model: Model,
    /// The number of its file, 0 for none.
    pub(super) number: u64,
    pub(super) file: Option<File>,
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
    let file = OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|file| {
            file.set_len(found.bytes)?;
            file.sync_all()?;
            Ok(file)
        })
        .map_err(|e| io_error("truncate", &path, e))?;
    (found.file, found.number) = (Some(file), number);
    Ok(found)
}

/// Adds up the records of a journal's bytes.
pub(super) fn replay(bytes: &Bytes) -> Found {
    let mut found = Found {
        model: Model::default(),
        number: 0,
        file: None,
        bytes: bytes.len().min(MAGIC.len()) as u64,
        losses: Vec::new(),
    };
    let mut at = bytes.len().min(MAGIC.len());
    while at < bytes.len() {
        let Some(end) = record_end(bytes, at) else {
            // Whole records after it tell damage from a torn tail, which was never acknowledged.
            let Some(next) = (at + 1..bytes.len()).find(|at| record_end(bytes, *at).is_some())
            else {
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

/// The end of the record at this offset, if it is whole.
fn record_end(bytes: &[u8], at: usize) -> Option<usize> {
    let len: [u8; 4] = *bytes.get(at..)?.first_chunk()?;
    let crc: [u8; 4] = *bytes.get(at + 4..)?.first_chunk()?;
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
pub(super) fn encode(entries: &[Entry], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    for entry in entries {
        entry::encode(entry, out);
    }
    let len = ((out.len() - start - HEADER) as u32).to_le_bytes();
    let crc = checksum(len, &out[start + HEADER..]).to_le_bytes();
    out[start..start + 4].copy_from_slice(&len);
    out[start + 4..start + HEADER].copy_from_slice(&crc);
}

/// Writes a new journal that says what the model says; durable with its name.
pub(super) fn create(folder: &Path, number: u64, model: &Model) -> Result<(File, u64)> {
    let target = path(folder, number);
    let temporary = target.with_extension("tmp");
    let mut bytes = MAGIC.to_vec();
    for entry in model.entries() {
        encode(std::slice::from_ref(&entry), &mut bytes);
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
