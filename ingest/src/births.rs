//! Sparkplug birth certificates that outlive the log: data after the watermark has to be decoded by
//! births before it, whose records are gone.
//!
//! Each is kept with the log position up to which rows were decoded when it was learned, so that
//! decoding can begin anew at any watermark since. They are on disk before the commit that passes
//! them; those that no watermark needs any more are dropped when the file is next written.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use catalog::{Error, Result};
use prost::Message;

use crate::decode::Certificate;

const FILE: &str = "births";
const STAGED: &str = "births.new";

/// The certificates of one data folder.
#[derive(Debug)]
pub(crate) struct BirthLog {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order they came.
    births: Vec<Kept>,
    /// How many of them are on disk.
    saved: usize,
}

/// The file: a checksum, and this.
#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(message, repeated, tag = "1")]
    births: Vec<Kept>,
}

#[derive(Clone, PartialEq, Message)]
struct Kept {
    #[prost(uint64, tag = "1")]
    position: u64,
    #[prost(bytes = "bytes", tag = "2")]
    topic: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    payload: Bytes,
}

impl BirthLog {
    /// The certificates in `folder` that hold at `watermark`; none where there is no file. A
    /// damaged file is told and let go: data is then a dead letter until its sender is born again.
    pub(crate) fn open(folder: &Path, watermark: u64) -> Self {
        let mut births = read(&folder.join(FILE)).unwrap_or_else(|why| {
            tracing::error!(
                folder = %folder.display(),
                why,
                "the Sparkplug birth certificates cannot be read and are lost"
            );
            Vec::new()
        });
        // What comes after is decoded again.
        births.retain(|birth| birth.position <= watermark);
        Self {
            folder: folder.to_owned(),
            state: Mutex::new(State {
                saved: births.len(),
                births,
            }),
        }
    }

    /// The state stays consistent at every step, so a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was learned by decoding up to `position`.
    pub(crate) fn add(&self, position: u64, births: Vec<Certificate>) {
        let kept = births.into_iter().map(|birth| Kept {
            position,
            topic: birth.topic,
            payload: birth.payload,
        });
        self.state().births.extend(kept);
    }

    /// What was learned up to `position`, in order.
    pub(crate) fn until(&self, position: u64) -> Vec<Certificate> {
        let state = self.state();
        let births = state.births.iter().filter(|it| it.position <= position);
        births
            .map(|it| Certificate {
                topic: it.topic.clone(),
                payload: it.payload.clone(),
            })
            .collect()
    }

    /// Makes everything added durable; rows are committed up to `watermark`. For one caller at a time.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be written.
    pub(crate) fn save(&self, watermark: u64) -> Result<()> {
        let (births, known) = {
            let state = self.state();
            if state.saved == state.births.len() {
                return Ok(());
            }
            (still_needed(&state.births, watermark), state.births.len())
        };
        write(&self.folder, &births).map_err(|e| {
            let file = self.folder.join(FILE);
            Error::unavailable(format!("cannot write {}: {e}", file.display())).with_source(e)
        })?;
        let mut state = self.state();
        let added = state.births.split_off(known);
        state.saved = births.len();
        state.births = births;
        state.births.extend(added);
        Ok(())
    }
}

/// Without those that a later one, committed too, has replaced, and without those revoked.
fn still_needed(births: &[Kept], watermark: u64) -> Vec<Kept> {
    // By edge node and device, with the level of the message type left out.
    let mut last: HashMap<(Vec<&[u8]>, bool), usize> = HashMap::new();
    let committed = births.iter().enumerate();
    for (at, birth) in committed.filter(|(_, birth)| birth.position <= watermark) {
        last.insert(subject(birth), at);
    }
    let needed = |(at, birth): &(usize, &Kept)| {
        let (levels, _) = subject(birth);
        let node = levels.get(..2).unwrap_or(&levels).to_vec();
        let reborn = last.get(&(node, true)).is_some_and(|node| node > at);
        let replaced = last.get(&subject(birth)).is_some_and(|last| last > at);
        let revoked = birth.payload.is_empty() && birth.position <= watermark;
        !(reborn || replaced || revoked)
    };
    let kept = births.iter().enumerate().filter(needed);
    kept.map(|(_, birth)| birth.clone()).collect()
}

/// Group, edge node and device, and whether it is the edge node itself.
fn subject(birth: &Kept) -> (Vec<&[u8]>, bool) {
    let levels = birth.topic.split(|b| *b == b'/').enumerate();
    let levels = levels.filter(|(at, _)| *at == 1 || *at > 2);
    let levels: Vec<&[u8]> = levels.map(|(_, level)| level).collect();
    let is_node = levels.len() == 2;
    (levels, is_node)
}

fn read(file: &Path) -> Result<Vec<Kept>, String> {
    let bytes = match fs::read(file) {
        Ok(bytes) => Bytes::from(bytes),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e.to_string()),
    };
    let (sum, _) = bytes.split_first_chunk().ok_or("the file is cut off")?;
    let body = bytes.slice(4..);
    if crc32fast::hash(&body) != u32::from_le_bytes(*sum) {
        return Err("the file is damaged".into());
    }
    let stored = Stored::decode(body).map_err(|e| e.to_string())?;
    Ok(stored.births)
}

fn write(folder: &Path, births: &[Kept]) -> std::io::Result<()> {
    let stored = Stored {
        births: births.to_vec(),
    };
    let body = stored.encode_to_vec();
    let staged = folder.join(STAGED);
    let mut file = File::create(&staged)?;
    file.write_all(&crc32fast::hash(&body).to_le_bytes())?;
    file.write_all(&body)?;
    file.sync_all()?;
    fs::rename(&staged, folder.join(FILE))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn birth(topic: &'static str, payload: &'static str) -> Certificate {
        Certificate {
            topic: Bytes::from_static(topic.as_bytes()),
            payload: Bytes::from_static(payload.as_bytes()),
        }
    }

    fn payloads(log: &BirthLog, until: u64) -> Vec<Bytes> {
        log.until(until).into_iter().map(|it| it.payload).collect()
    }

    #[test]
    fn births_come_back_as_of_a_watermark() {
        let folder = tempfile::tempdir().unwrap();
        let log = BirthLog::open(folder.path(), 0);
        log.add(
            5,
            vec![
                birth("spBv1.0/g/NBIRTH/n", "n1"),
                birth("spBv1.0/g/DBIRTH/n/d", "d1"),
            ],
        );
        log.add(9, vec![birth("spBv1.0/g/NBIRTH/n", "n2")]);
        log.save(0).unwrap();
        // The commit of position 9 may fail: both states are there.
        assert_eq!(
            payloads(&BirthLog::open(folder.path(), 5), 99),
            ["n1", "d1"]
        );
        assert_eq!(payloads(&BirthLog::open(folder.path(), 4), 99), [""; 0]);
        let log = BirthLog::open(folder.path(), 9);
        assert_eq!(payloads(&log, 9), ["n1", "d1", "n2"]);
        assert_eq!(payloads(&log, 5), ["n1", "d1"]);
        // Now it cannot: an edge node born anew has no devices.
        log.add(
            12,
            vec![
                birth("spBv1.0/g/DBIRTH/n/d", "d2"),
                birth("spBv1.0/g/NBIRTH/m", "m1"),
            ],
        );
        log.save(9).unwrap();
        assert_eq!(payloads(&log, 99), ["n2", "d2", "m1"]);
        assert_eq!(
            payloads(&BirthLog::open(folder.path(), 12), 99),
            ["n2", "d2", "m1"]
        );
        assert_eq!(payloads(&BirthLog::open(folder.path(), 9), 99), ["n2"]);
    }

    #[test]
    fn what_was_revoked_does_not_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let log = BirthLog::open(folder.path(), 0);
        let device = birth("spBv1.0/g/DBIRTH/n/d", "d1");
        log.add(5, vec![birth("spBv1.0/g/NBIRTH/n", "n1"), device.clone()]);
        log.add(7, vec![device.revoked()]);
        log.save(5).unwrap();
        // Before the commit of 7 it holds.
        assert_eq!(
            payloads(&BirthLog::open(folder.path(), 5), 99),
            ["n1", "d1"]
        );
        let log = BirthLog::open(folder.path(), 7);
        assert_eq!(payloads(&log, 7), ["n1", "d1", ""]);
        log.add(8, vec![birth("spBv1.0/g/NBIRTH/m", "m1")]);
        log.save(7).unwrap();
        assert_eq!(payloads(&log, 99), ["n1", "m1"]);
    }

    #[test]
    fn a_damaged_file_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let log = BirthLog::open(folder.path(), 0);
        log.add(1, vec![birth("spBv1.0/g/NBIRTH/n", "n1")]);
        log.save(0).unwrap();
        let file = folder.path().join(FILE);
        let mut bytes = fs::read(&file).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        for damaged in [&bytes[..], &bytes[..2], &[]] {
            fs::write(&file, damaged).unwrap();
            assert!(BirthLog::open(folder.path(), 1).until(1).is_empty());
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let log = BirthLog::open(&folder.path().join("gone"), 0);
        log.save(0).unwrap();
        log.add(1, vec![birth("spBv1.0/g/NBIRTH/n", "n1")]);
        assert!(log.save(0).is_err());
    }
}
