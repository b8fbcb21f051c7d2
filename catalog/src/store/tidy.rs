//! What only a local folder gathers: files that a killed writer left half written, which no
//! listing shows, and folders that are empty since their objects were deleted.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::Store;
use crate::{Error, Result};

/// What half-written files are called, before a number.
const STAGED: &str = "staged#";

/// What [`Store::tidy`] found, and took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Half-written files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Empty folders.
    pub folders: u64,
}

impl Store {
    /// Removes half-written files and empty folders that were last changed before `before`; only
    /// counts them when `dry_run`. Does nothing to stores that are no local folder: buckets have
    /// no folders, and a rule of the bucket ends unfinished uploads.
    pub async fn tidy(&self, before: SystemTime, dry_run: bool) -> Result<Tidied> {
        let Some(folder) = self.url().strip_prefix("file://").map(str::to_owned) else {
            return Ok(Tidied::default());
        };
        let walk = move || {
            let mut tidied = Tidied::default();
            tidy(Path::new(&folder), before, dry_run, &mut tidied).map(|_| tidied)
        };
        tokio::task::spawn_blocking(walk)
            .await
            .map_err(|e| Error::internal("tidying the folder was stopped").with_source(e))?
            .map_err(|e| Error::unavailable(format!("cannot tidy the folder: {e}")).with_source(e))
    }
}

/// Tidies what is below `folder`; whether nothing is left in it.
fn tidy(folder: &Path, before: SystemTime, dry_run: bool, tidied: &mut Tidied) -> io::Result<bool> {
    let mut empty = true;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        empty &= ignore_missing(tidy_entry(&entry, before, dry_run, tidied))?.unwrap_or(true);
    }
    Ok(empty)
}

/// Whether the entry is gone.
fn tidy_entry(
    entry: &DirEntry,
    before: SystemTime,
    dry_run: bool,
    tidied: &mut Tidied,
) -> io::Result<bool> {
    // Before anything in it is removed, which would make it young.
    let metadata = entry.metadata()?;
    let old = metadata.modified()? < before;
    if metadata.is_dir() {
        let empty = tidy(&entry.path(), before, dry_run, tidied)?;
        if !(empty && old) {
            return Ok(false);
        }
        // Fails, rightly, when a writer was faster.
        let removed = dry_run || fs::remove_dir(entry.path()).is_ok();
        tidied.folders += u64::from(removed);
        return Ok(removed);
    }
    let name = entry.file_name();
    let number = name.to_str().and_then(|name| name.strip_prefix(STAGED));
    if !old || !number.is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())) {
        return Ok(false);
    }
    if !dry_run {
        fs::remove_file(entry.path())?;
    }
    tidied.files += 1;
    tidied.bytes += metadata.len();
    Ok(true)
}

/// None for what another process has removed meanwhile.
fn ignore_missing<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::StoreConfig;

    #[tokio::test]
    async fn old_leftovers_go_and_all_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig {
            url: folder.path().to_str().unwrap().to_owned(),
            ..StoreConfig::default()
        };
        let store = Store::open(&config).await.unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("a/b/c")).unwrap();
        fs::create_dir_all(path("d")).unwrap();
        fs::write(path("d/staged#17"), "half").unwrap();
        fs::write(path("d/staged#x"), "mine").unwrap();
        fs::write(path("d/whole.parquet"), "whole").unwrap();

        let now = SystemTime::now();
        let young = store
            .tidy(now - Duration::from_secs(60), false)
            .await
            .unwrap();
        assert_eq!(young, Tidied::default());
        let later = now + Duration::from_secs(60);
        let (files, bytes, folders) = (1, 4, 3);
        let all = Tidied {
            files,
            bytes,
            folders,
        };
        assert_eq!(store.tidy(later, true).await.unwrap(), all);
        assert_eq!(store.tidy(later, false).await.unwrap(), all);
        assert!(!path("a").exists() && !path("d/staged#17").exists());
        assert!(path("d/staged#x").exists() && path("d/whole.parquet").exists());
        assert_eq!(store.tidy(later, false).await.unwrap(), Tidied::default());
    }
}
