//! The catalog: branches, tags, commits and merges as a commit log on object storage.
//!
//! The bucket (or folder) is the system of record. A [`Catalog`] names what the lakehouse holds
//! by [`Key`]; every change is a [`Commit`] named by its hash; a ref is a log of numbered
//! entries written with put-if-absent, so any number of processes may share one store.
//!
//! ```
//! use catalog::{Catalog, CommitMeta, Content, Key, Operation, Store};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let catalog = Catalog::open(Store::memory()).await?;
//! let key = Key::of_namespace("pumps")?;
//! let namespace = Content::Namespace { properties: [("owner".into(), "ada".into())].into() };
//! let base = catalog.head("main").await?.id();
//! let operations = vec![Operation::Put { key: key.clone(), content: namespace }];
//! let meta = CommitMeta::new("ada", "create pumps");
//! let snapshot = catalog.commit_operations("main", meta, base, operations).await?;
//! assert!(snapshot.get(&key)?.is_some());
//! # Ok::<(), catalog::Error>(())
//! # }).unwrap();
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod base;
mod cache;
mod catalog;
pub mod collect;
mod commits;
mod committer;
pub mod error;
mod history;
mod merge;
pub mod model;
mod rebase;
mod references;
mod refs;
mod reset;
mod resolve;
mod snapshots;
pub mod store;

pub use catalog::{Catalog, CatalogOptions};
pub use committer::{Change, ChangeSet};
pub use error::{Error, ErrorKind, Result};
pub use merge::{
    BothChanged, ChangeKind, ContentMerge, KeyChange, KeyConflict, KeysOnly, MergeOptions,
    MergeOutcome, MergeReport, MergeRule, Merged, Side,
};
pub use model::{Commit, CommitId, CommitMeta, Content, Key, KeyDiff, Operation, Snapshot};
pub use references::RefInfo;
pub use refs::{RefKind, RefLogEntry};
pub use store::{S3Config, Store, StoreConfig};

/// Commit property of the lakehouse's own upkeep (compaction, retention, expiry); its value names
/// the job. Such commits are squashed like those of ingest.
pub const MAINTENANCE: &str = "maintain.job";

/// The branch every lakehouse has; it cannot be deleted.
pub const MAIN: &str = "main";
