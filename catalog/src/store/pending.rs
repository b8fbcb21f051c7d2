//! What has its name but may not be on disk yet, and bringing it there at a commit point.
//!
//! A commit writes five files and more before the one that makes them visible. Syncing each as
//! it is written costs a disk flush for every file and its folder; here they wait, and one pass
//! syncs all that the commits of the moment have written.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// From this many files on, one sync of the whole file system is cheaper than one for each.
/// Below it, a commit does not pay for what other programs have written.
const MANY: usize = 16;

/// The files and folders under one root that await their sync.
#[derive(Debug)]
pub(super) struct Pending {
    root: PathBuf,
    /// The root, opened once: what fails to be written is reported to who had the file
    /// system open by then.
    open: File,
    files: Mutex<Vec<PathBuf>>,
    /// Folders whose own entry in their parent is known to be on disk. Held while syncing, so
    /// that nobody passes while another thread still syncs what it took from the list.
    durable: Mutex<Durable>,
}

#[derive(Debug, Default)]
struct Durable {
    folders: BTreeSet<PathBuf>,
    /// After a failed sync the system forgets what it could not write: a second try would
    /// seem to succeed, so there is none.
    failed: bool,
}

impl Pending {
    pub(super) fn new(root: PathBuf) -> io::Result<Self> {
        Ok(Self {
            open: File::open(&root)?,
            root,
            files: Mutex::default(),
            durable: Mutex::default(),
        })
    }

    /// Notes that `file` has been written and named, but not synced.
    pub(super) fn add(&self, file: PathBuf) {
        lock(&self.files).push(file);
    }

    /// Notes that `folder` is not there, and that those it is in may not have been for a while:
    /// the collector removes empty ones.
    pub(super) fn forget(&self, folder: &Path) {
        let mut durable = lock(&self.durable);
        durable.folders.retain(|known| !folder.starts_with(known));
    }

    /// Returns once everything added before the call is on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        let mut durable = lock(&self.durable);
        durable.check()?;
        let files = std::mem::take(&mut *lock(&self.files));
        let done = self.sync_all(&files, &mut durable.folders);
        durable.noted(done)
    }

    fn sync_all(&self, files: &[PathBuf], durable: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        if files.len() >= MANY && self.sync_file_system()? {
            return Ok(());
        }
        self.sync_each(files, durable)
    }

    /// False where the system has no such call.
    #[cfg(target_os = "linux")]
    fn sync_file_system(&self) -> io::Result<bool> {
        rustix::fs::syncfs(&self.open)?;
        Ok(true)
    }

    #[cfg(not(target_os = "linux"))]
    fn sync_file_system(&self) -> io::Result<bool> {
        Ok(false)
    }

    fn sync_each(&self, files: &[PathBuf], durable: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        let mut folders = BTreeSet::new();
        for file in files {
            match File::open(file) {
                Ok(open) => open.sync_all()?,
                // Collected or overwritten meanwhile: nothing is left to keep.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            }
            folders.insert(parent(file));
        }
        for folder in folders {
            self.sync_names(folder, durable)?;
        }
        Ok(())
    }

    /// Syncs `folder`, and every folder up to the root that may be new.
    fn sync_names(&self, mut folder: &Path, durable: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        sync_folder(folder)?;
        while folder != self.root && !durable.contains(folder) {
            sync_folder(parent(folder))?;
            durable.insert(folder.to_path_buf());
            folder = parent(folder);
        }
        Ok(())
    }

    /// Syncs the folder of `file`, and every folder up to the root that may be new.
    pub(super) fn sync_name_of(&self, file: &Path) -> io::Result<()> {
        let mut durable = lock(&self.durable);
        durable.check()?;
        let done = self.sync_names(parent(file), &mut durable.folders);
        durable.noted(done)
    }
}

impl Durable {
    fn check(&self) -> io::Result<()> {
        match self.failed {
            false => Ok(()),
            true => Err(io::Error::other(
                "an earlier write to this disk failed: check the disk, then start again",
            )),
        }
    }

    /// `done`, remembered when it failed. A folder that is not there was not lost by a sync.
    fn noted(&mut self, done: io::Result<()>) -> io::Result<()> {
        let failed = |e: &io::Error| e.kind() != ErrorKind::NotFound;
        self.failed |= done.as_ref().is_err_and(failed);
        done
    }
}

pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_gone_are_skipped_and_folders_are_synced_once() {
        let folder = tempfile::tempdir().unwrap();
        let pending = Pending::new(folder.path().to_path_buf()).unwrap();
        let inner = folder.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        for n in 0..MANY / 2 {
            let file = inner.join(n.to_string());
            std::fs::write(&file, "x").unwrap();
            pending.add(file);
        }
        pending.add(inner.join("gone"));
        pending.sync().unwrap();
        assert!(lock(&pending.files).is_empty());
        assert_eq!(lock(&pending.durable).folders.len(), 2);
    }

    #[test]
    fn after_a_failed_sync_nothing_is_reported_durable_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let pending = Pending::new(folder.path().to_path_buf()).unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        // A path through a file is no folder, and no missing file either.
        pending.add(file.join("below"));
        assert!(pending.sync().is_err());
        assert!(pending.sync().is_err());
    }

    #[test]
    fn a_name_that_could_not_be_synced_is_not_reported_durable_by_the_next_try() {
        let folder = tempfile::tempdir().unwrap();
        let pending = Pending::new(folder.path().to_path_buf()).unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        pending.sync_name_of(&file).unwrap();
        assert!(pending.sync_name_of(&file.join("below/it")).is_err());
        assert!(pending.sync_name_of(&file).is_err());
        assert!(pending.sync().is_err());
    }
}
