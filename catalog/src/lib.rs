//! The catalog: branches, commits and merges as a commit log on object storage.
//!
//! The bucket (or folder) is the system of record. A [`Catalog`] names what the lakehouse holds
//! by [`Key`]; every change is a [`Commit`] named by its hash; a branch is a log of numbered
//! entries written with put-if-absent, so any number of processes may share one store.
//!
//! ```
//! use catalog::{Catalog, CommitMeta, Content, Key, Operation, Store};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let catalog = Catalog::open(Store::memory()).await?;
//! let key = Key::new("pumps", "daily")?;
//! let view = Content::View { uuid: uuid::Uuid::new_v4(), sql: "select 1".into() };
//! let base = catalog.head("main").await?.id();
//! let operations = vec![Operation::Put { key: key.clone(), content: view }];
//! let meta = CommitMeta::new("ada", "add a view");
//! let snapshot = catalog.commit_operations("main", meta, base, operations).await?;
//! assert!(snapshot.get(&key).is_some());
//! # Ok::<(), catalog::Error>(())
//! # }).unwrap();
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod branches;
mod cache;
mod catalog;
mod commits;
mod committer;
pub mod error;
mod history;
mod merge;
pub mod model;
mod refs;
mod resolve;
mod snapshots;
pub mod store;

pub use branches::BranchInfo;
pub use catalog::Catalog;
pub use committer::{Change, ChangeSet};
pub use error::{Error, ErrorKind, Result};
pub use merge::MergeOutcome;
pub use model::{Commit, CommitId, CommitMeta, Content, Key, Operation, Snapshot};
pub use store::{S3Config, Store, StoreConfig};

/// The branch every lakehouse has; it cannot be deleted.
pub const MAIN: &str = "main";
