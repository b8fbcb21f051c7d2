//! Files into tables and dead letters into rows, on a lake in a folder.
#![allow(clippy::unwrap_used)]

mod clashes;
mod deadletters;
mod formats;
mod once;
mod support;
