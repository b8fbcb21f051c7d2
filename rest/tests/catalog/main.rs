//! The catalog over HTTP, as the specification words it: statuses, bodies, names of errors.
#![allow(clippy::unwrap_used)]

mod brought;
mod commits;
mod errors;
mod hostile;
mod listing;
mod loading;
mod support;
mod tokens;
mod views;
