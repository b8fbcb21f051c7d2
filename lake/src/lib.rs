//! Iceberg v2 tables on object storage: creating and evolving them, writing sorted
//! Parquet files, and committing those files through the catalog.
//!
//! Apache `iceberg` supplies the specification types and the Avro and JSON forms. The
//! commit producer is this crate's own, because a table here lives under a branch of
//! [`catalog::Catalog`] and several tables may change in one catalog commit together
//! with an ingester's watermark.
//!
//! What changes a table is *staged* first: `Lake::stage_append`, `stage_rewrite`,
//! `stage_alter` and their like write new metadata files next to the old ones and give
//! the [`catalog::Operation`] that makes them current.
//!
//! ```no_run
//! # async fn example(lake: lake::Lake, batches: Vec<arrow::array::RecordBatch>) -> catalog::Result<()> {
//! use catalog::{CommitMeta, Key};
//!
//! let key: Key = "pumps.telemetry".parse()?;
//! lake.append_batches("main", &key, batches, CommitMeta::new("me", "first rows")).await?;
//! let table = lake.table(&lake.catalog().head("main").await?, &key).await?;
//! for file in table.data_files().await?.iter() {
//!     println!("{} holds {} rows", file.path, file.file.record_count());
//! }
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod alter;
mod append;
mod cache;
pub mod collect;
mod create;
mod deletes;
mod diff;
mod error;
mod evolve;
mod history;
pub mod hot;
mod keys;
mod lake;
pub mod maintain;
mod manifests;
mod merge;
mod metadata;
mod names;
mod partition;
mod producer;
mod read;
mod rebase;
mod recorded;
mod schema;
pub mod shape;
mod stage;
mod storage;
mod summary;
mod table;
mod types;
mod view;
mod view_files;
mod write;

pub use alter::Alter;
pub use append::{Append, AppendChange};
pub use create::{GC_ENABLED, TableSpec};
pub use deletes::{DELETE_FILE_PATH_ID, DELETE_POS_ID, DeleteFile};
pub use diff::{ColumnChange, PropertyChange, TableDiff};
pub use iceberg::spec::{DataFile, Datum, PrimitiveLiteral, TableMetadata, Transform};
pub use keys::Place;
pub use lake::Lake;
pub use merge::TableMerge;
pub use partition::{PartitionField, check_partition, check_transform};
pub use recorded::COMMITTED_AT;
pub use stage::{Rewrite, RewriteKind};
pub use table::{ScanFile, Table};
pub use view::{DIALECT, View, ViewSpec};
