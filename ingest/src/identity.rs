//! The data folder: one process at a time, and the ingester id that its log belongs to.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use catalog::{Error, Result};
use uuid::Uuid;

const LOCK_FILE: &str = "lock";
const ID_FILE: &str = "ingester-id";
const AFTER: &str = "after ";
const LOG_FOLDER: &str = "log";

/// A data folder that this process holds.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    lock: File,
    identity: Identity,
}

/// Under which name the records of this log are in the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The ingester id, which names this log's watermark in the catalog.
    pub(crate) id: Uuid,
    /// Records up to here are in the lake under an earlier id, 0 for none.
    pub(crate) floor: u64,
}

impl DataDir {
    /// Takes the folder, creating it and its ingester id when they are not there.
    ///
    /// # Errors
    /// `AlreadyExists` when another process holds the folder, `Corrupt` when the id file is not a
    /// uuid, `InvalidInput` when the folder cannot be created or written.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let unusable = |e: std::io::Error| {
            Error::invalid(format!("cannot use the folder {}: {e}", path.display()))
                .with_hint("name a folder this process may create files in")
                .with_source(e)
        };
        fs::create_dir_all(path).map_err(unusable)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK_FILE))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::already_exists(format!(
                    "another process ingests into {}",
                    path.display()
                ))
                .with_hint("stop that process, or give this one its own data folder"));
            }
            Err(TryLockError::Error(e)) => return Err(unusable(e)),
        }
        let identity = read_or_create_id(path, unusable)?;
        Ok(Self {
            path: path.to_owned(),
            lock,
            identity,
        })
    }

    /// The identity this folder ingests under.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Takes a new id, durably, for the records after `floor`.
    ///
    /// # Errors
    /// `InvalidInput` when the folder cannot be written.
    pub(crate) fn part(&mut self, floor: u64) -> Result<()> {
        let identity = Identity {
            id: Uuid::new_v4(),
            floor,
        };
        write_id(&self.path, &self.path.join(ID_FILE), identity).map_err(|e| {
            Error::invalid(format!("cannot write to {}: {e}", self.path.display()))
                .with_hint("name a folder this process may create files in")
                .with_source(e)
        })?;
        self.identity = identity;
        Ok(())
    }

    /// The folder of the write-ahead log.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join(LOG_FOLDER)
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Closing the file would do it too, but only once every duplicate of it is closed.
        let _ = self.lock.unlock();
    }
}

fn read_or_create_id(path: &Path, unusable: impl Fn(std::io::Error) -> Error) -> Result<Identity> {
    let file = path.join(ID_FILE);
    match fs::read_to_string(&file) {
        Ok(text) => parse(&text).ok_or_else(|| {
            Error::corrupt(format!("{} holds no ingester id", file.display())).with_hint(
                "restore the file; without it the lake cannot tell which logged rows it has",
            )
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            if path.join(LOG_FOLDER).exists() {
                return Err(Error::corrupt(format!(
                    "{} is missing, and there is a log beside it",
                    file.display()
                ))
                .with_hint("restore the file, or move the log folder away to start anew"));
            }
            let identity = Identity {
                id: Uuid::new_v4(),
                floor: 0,
            };
            write_id(path, &file, identity).map_err(unusable)?;
            Ok(identity)
        }
        Err(e) => Err(unusable(e)),
    }
}

/// The id, and perhaps on a second line from where it holds.
fn parse(text: &str) -> Option<Identity> {
    let mut lines = text.trim().lines();
    let id = lines.next()?.trim().parse().ok()?;
    let floor = match lines.next() {
        Some(line) => line.strip_prefix(AFTER)?.trim().parse().ok()?,
        None => 0,
    };
    lines.next().is_none().then_some(Identity { id, floor })
}

/// Writes the id so that a crash leaves either no id or a whole one.
fn write_id(folder: &Path, file: &Path, identity: Identity) -> std::io::Result<()> {
    let fresh = folder.join(format!("{ID_FILE}.new"));
    let mut out = File::create(&fresh)?;
    writeln!(out, "{}", identity.id)?;
    if identity.floor > 0 {
        writeln!(out, "{AFTER}{}", identity.floor)?;
    }
    out.sync_all()?;
    fs::rename(&fresh, file)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays_and_the_folder_is_held_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::open(folder.path()).unwrap();
        let error = DataDir::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
        let identity = first.identity();
        drop(first);
        let mut again = DataDir::open(folder.path()).unwrap();
        assert_eq!(again.identity(), identity);
        again.part(7).unwrap();
        let parted = again.identity();
        assert_eq!((parted.floor, parted.id == identity.id), (7, false));
        drop(again);
        assert_eq!(DataDir::open(folder.path()).unwrap().identity(), parted);
    }

    #[test]
    fn a_broken_id_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(ID_FILE), "nonsense").unwrap();
        assert!(DataDir::open(folder.path()).is_err());
    }

    #[test]
    fn a_log_without_its_id_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(LOG_FOLDER)).unwrap();
        assert!(DataDir::open(folder.path()).is_err());
    }
}
