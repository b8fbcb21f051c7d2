//! SQL over the lakehouse: DataFusion reads catalog snapshots of Iceberg tables
//! together with the rows still in ingest's hot buffer, and Flight SQL serves it.
//!
//! A statement names tables as `namespace.table` or `ref.namespace.table`, where
//! the ref is a branch, a commit, or `"branch@time-or-commit"`. Every ref is
//! resolved once per statement, so one statement sees one commit of each.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod flight;

mod bounds;
mod catalogs;
mod engine;
mod error;
mod hot;
mod names;
mod output;
mod pin;
mod sql;
mod statement;
mod table;

pub use datafusion::common::ScalarValue;
pub use datafusion::execution::SendableRecordBatchStream;
pub use engine::{Engine, EngineConfig};
pub use error::stream_error;
pub use statement::{Bound, Prepared, QueryOptions, QueryResult};
