//! The query crate against a real catalog and lake in memory, and over a real socket.
#![allow(clippy::unwrap_used)]

#[path = "queries/columns.rs"]
mod columns;
#[path = "queries/deletes.rs"]
mod deletes;
#[path = "queries/diff.rs"]
mod diff;
#[path = "queries/dml.rs"]
mod dml;
#[path = "queries/dml_hostile.rs"]
mod dml_hostile;
#[path = "queries/dml_property.rs"]
mod dml_property;
#[path = "queries/fixture.rs"]
mod fixture;
#[path = "queries/flight.rs"]
mod flight;
#[path = "queries/flight_metadata.rs"]
mod flight_metadata;
#[path = "queries/flight_sessions.rs"]
mod flight_sessions;
#[path = "queries/flight_writes.rs"]
mod flight_writes;
#[path = "queries/foreign.rs"]
mod foreign;
#[path = "queries/foreign_writer.rs"]
mod foreign_writer;
#[path = "queries/golden.rs"]
mod golden;
#[path = "queries/hot.rs"]
mod hot;
#[path = "queries/hot_writes.rs"]
mod hot_writes;
#[path = "queries/limits.rs"]
mod limits;
#[path = "queries/nested.rs"]
mod nested;
#[path = "queries/property.rs"]
mod property;
#[path = "queries/pruning.rs"]
mod pruning;
