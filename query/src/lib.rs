//! SQL over the lakehouse: DataFusion reads catalog snapshots of Iceberg tables
//! together with the rows still in ingest's hot buffer, and Flight SQL serves it.
//!
//! A statement names tables as `namespace.table` or `ref.namespace.table`, where
//! the ref is a branch, a commit, or `"branch@time-or-commit"`. Every ref is
//! resolved once per statement, so one statement sees one commit of each.
//!
//! ```
//! use catalog::{Catalog, Store};
//! use lake::Lake;
//! use query::{Engine, EngineConfig};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let lake = Lake::new(Catalog::open(Store::memory()).await?);
//! let engine = Engine::new(lake, None, EngineConfig::default());
//! let (schema, batches) = engine.collect("select 1 + 1 as two", None).await?;
//! assert_eq!((schema.field(0).name().as_str(), batches[0].num_rows()), ("two", 1));
//! # Ok::<(), catalog::Error>(())
//! # }).unwrap();
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod flight;

mod bounds;
mod catalogs;
mod diff;
mod dml;
mod engine;
mod error;
mod fit;
mod functions;
mod grammar;
mod hot;
mod names;
mod output;
mod pin;
mod scope;
mod series;
mod session;
mod sql;
mod statement;
mod table;
mod views;
mod write;

pub use datafusion::common::ScalarValue;
pub use datafusion::execution::SendableRecordBatchStream;
pub use engine::{Engine, EngineConfig};
pub use error::stream_error;
pub use functions::{LakeFunction, States, function_error};
pub use session::{Outcome, Session, SessionOptions};
pub use statement::{Bound, Prepared, QueryOptions, QueryResult};
