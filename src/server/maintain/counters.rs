//! What maintenance has done, for the metrics page.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use catalog::Error;
use lake::collect::Count;
use lake::maintain::{CompactReport, RetainReport};

/// Counters since the start of the process.
#[derive(Debug, Default)]
pub(in crate::server) struct Counters {
    rounds: AtomicU64,
    millis: AtomicU64,
    failures: AtomicU64,
    commits: AtomicU64,
    conflicts: AtomicU64,
    files_removed: AtomicU64,
    files_added: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    repeated_rows: AtomicU64,
    retained_files: AtomicU64,
    retained_rows: AtomicU64,
    snapshots: AtomicU64,
    collected_objects: AtomicU64,
    collected_bytes: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn fail(&self, _: &Error) {
        add(&self.failures, 1);
    }

    pub(super) fn round(&self, took: Duration) {
        add(&self.rounds, 1);
        add(&self.millis, took.as_millis() as u64);
    }

    pub(super) fn compacted(&self, done: &CompactReport) {
        add(&self.commits, done.commits);
        add(&self.conflicts, done.conflicts);
        add(&self.files_removed, done.files_removed);
        add(&self.files_added, done.files_added);
        add(&self.bytes_read, done.bytes_removed);
        add(&self.bytes_written, done.bytes_added);
        add(&self.repeated_rows, done.repeated_rows);
    }

    pub(super) fn retained(&self, done: &RetainReport) {
        add(&self.retained_files, done.files);
        add(&self.retained_rows, done.rows);
    }

    pub(super) fn expired(&self, snapshots: u64) {
        add(&self.snapshots, snapshots);
    }

    pub(super) fn collected(&self, deleted: Count) {
        add(&self.collected_objects, deleted.objects);
        add(&self.collected_bytes, deleted.bytes);
    }

    /// The counters in the Prometheus text format.
    pub(in crate::server) fn render(&self, page: &mut String) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let seconds = get(&self.millis) / 1_000;
        for (name, help, value) in [
            ("rounds_total", "Rounds over all tables.", get(&self.rounds)),
            ("seconds_total", "Seconds that rounds took.", seconds),
            ("failures_total", "Jobs that failed.", get(&self.failures)),
            (
                "commits_total",
                "Commits of compactions.",
                get(&self.commits),
            ),
            (
                "conflicts_total",
                "Compactions given up to others.",
                get(&self.conflicts),
            ),
            (
                "files_removed_total",
                "Files compacted.",
                get(&self.files_removed),
            ),
            (
                "files_added_total",
                "Files that took their place.",
                get(&self.files_added),
            ),
            (
                "read_bytes_total",
                "Size of the files compacted.",
                get(&self.bytes_read),
            ),
            (
                "written_bytes_total",
                "Size of those in their place.",
                get(&self.bytes_written),
            ),
            (
                "repeated_rows_total",
                "Rows left out for their key.",
                get(&self.repeated_rows),
            ),
            (
                "retained_files_total",
                "Files past their age.",
                get(&self.retained_files),
            ),
            (
                "retained_rows_total",
                "Rows past their age.",
                get(&self.retained_rows),
            ),
            (
                "snapshots_total",
                "Snapshots dropped.",
                get(&self.snapshots),
            ),
            (
                "collected_objects_total",
                "Objects deleted.",
                get(&self.collected_objects),
            ),
            (
                "collected_bytes_total",
                "Their size.",
                get(&self.collected_bytes),
            ),
        ] {
            let _ = writeln!(page, "# HELP pumphouse_maintain_{name} {help}");
            let _ = writeln!(page, "# TYPE pumphouse_maintain_{name} counter");
            let _ = writeln!(page, "pumphouse_maintain_{name} {value}");
        }
    }
}
