//! Maintenance: what keeps a table quick to read and its files few, however long it is
//! written to in small commits.
//!
//! - [`Lake::compact`] merges small files within their partition into larger ones, sorted
//!   by the table's order; deletes of other engines are applied on the way and rows that
//!   repeat a key of [`DEDUP`] are left out.
//! - [`Lake::retain`] removes rows that are older than the table keeps them ([`RETAIN`]).
//! - [`Lake::expire`] drops old snapshots from the table's metadata.
//! - [`Lake::maintenance_status`] says what there is, and what these would do.
//!
//! All of them commit like everybody else, by a rebase, and give way: a statement that
//! changed the same files first makes a compaction conflict, never the other way round.

mod compact;
mod dedup;
mod expire;
mod merge_files;
mod plan;
mod retain;
mod rewrite;
mod status;
mod tiers;

use catalog::CommitMeta;

pub use compact::{CompactOptions, CompactReport, GoOn};
pub use expire::{ExpireOptions, ExpireReport};
pub use retain::{RETAIN, RetainOptions, RetainReport, parse_age};
pub use status::{Compactable, MaintenanceStatus};

/// Table property: the columns, separated by commas, that no two rows may share. Of the
/// rows that do, a compaction keeps the one committed first.
pub const DEDUP: &str = "pumphouse.dedup";

/// The metadata of a maintenance commit by `author`. It passes protected branches, and
/// squashing treats it like a commit of ingest.
pub fn commit_meta(author: &str, job: &str, message: String) -> CommitMeta {
    CommitMeta::new(author, message)
        .with_property(catalog::MAINTENANCE, job)
        .automatic()
}
