//! Row work: the files a writing statement adds and removes.
//!
//! Changes are copy-on-write. One query tells which rows are acted on, by file and row number,
//! and what they become; its answer is kept, so that functions, ties and limits that come out
//! differently each time decide once. The files with such rows are then written anew, less the
//! rows acted on, and the other files stay as they are.
mod acting;
mod assign;
mod change;
mod clauses;
mod gone;
mod insert;
mod question;
mod rows;
mod sql;

pub(crate) use change::{delete, merge_into, truncate, update};
pub(crate) use insert::{append_rows, insert};
