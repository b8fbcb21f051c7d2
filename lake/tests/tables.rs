//! Tables from creation to reading back, over a real catalog and object store.

#![allow(clippy::unwrap_used)]

#[path = "tables/altering.rs"]
mod altering;
#[path = "tables/appending.rs"]
mod appending;
#[path = "tables/evolving.rs"]
mod evolving;
#[path = "tables/files.rs"]
mod files;
#[path = "tables/staging.rs"]
mod staging;
#[path = "tables/support.rs"]
mod support;
