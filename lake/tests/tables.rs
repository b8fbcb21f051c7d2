//! Tables from creation to reading back, over a real catalog and object store.

#![allow(clippy::unwrap_used)]

#[path = "tables/altering.rs"]
mod altering;
#[path = "tables/appending.rs"]
mod appending;
#[path = "tables/branching.rs"]
mod branching;
#[path = "tables/collecting/mod.rs"]
mod collecting;
#[path = "tables/diffing.rs"]
mod diffing;
#[path = "tables/evolving.rs"]
mod evolving;
#[path = "tables/files.rs"]
mod files;
#[path = "tables/maintaining/mod.rs"]
mod maintaining;
#[path = "tables/merging.rs"]
mod merging;
#[path = "tables/merging_again.rs"]
mod merging_again;
#[path = "tables/merging_property.rs"]
mod merging_property;
#[path = "tables/nested.rs"]
mod nested;
#[path = "tables/partitioning.rs"]
mod partitioning;
#[path = "tables/picking.rs"]
mod picking;
#[path = "tables/pyiceberg.rs"]
mod pyiceberg;
#[path = "tables/rebasing.rs"]
mod rebasing;
#[path = "tables/staging.rs"]
mod staging;
#[path = "tables/staging_property.rs"]
mod staging_property;
#[path = "tables/support.rs"]
mod support;
#[path = "tables/views.rs"]
mod views;
