//! The S3 store of the tests: one Ceph cluster for the whole run.
//!
//! The first test that needs it starts it, under a lock; the others find it running.
//! It belongs to the program that runs the tests, and a watchdog of `scripts/ceph.sh`
//! stops it when that program is gone, however it ended.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{checkout, run};

/// Where the store is and how to enter it.
#[derive(Clone, Debug)]
pub(crate) struct Ceph {
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    pub(crate) region: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

impl Ceph {
    /// The cluster of this test run.
    pub(crate) fn shared() -> Self {
        let owner = owner();
        let folder = folder_of(owner);
        std::fs::create_dir_all(&folder).unwrap();
        // The lock of the folder itself: held until the end of this function.
        let lock = File::open(&folder).unwrap();
        lock.lock().unwrap();
        let script = checkout().join("scripts/ceph.sh");
        run(Command::new(script)
            .arg("start")
            .arg(&folder)
            .arg(owner.to_string()))
        .ok();
        Self::read(&folder.join("s3.env"))
    }

    fn read(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap();
        let values: HashMap<_, _> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .collect();
        let value = |name: &str| values[name].to_owned();
        Self {
            endpoint: value("endpoint"),
            bucket: value("bucket"),
            region: value("region"),
            access_key: value("access_key"),
            secret_key: value("secret_key"),
        }
    }
}

/// The process whose end is the end of the run: cargo or nextest, which start every test
/// binary, or else this process itself.
fn owner() -> u32 {
    let parent = std::os::unix::process::parent_id();
    let name = std::fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default();
    if name.starts_with("cargo") {
        parent
    } else {
        std::process::id()
    }
}

/// Named by process and start time, because process ids come again.
fn folder_of(owner: u32) -> PathBuf {
    let stat = std::fs::read_to_string(format!("/proc/{owner}/stat")).unwrap();
    // The name, in parentheses, may hold spaces; the start time is the 20th field after it.
    let after_name = stat.rsplit_once(')').unwrap().1;
    let started = after_name.split_whitespace().nth(19).unwrap();
    std::env::temp_dir().join(format!("pumphouse-ceph-{owner}-{started}"))
}
