//! Loading files into a table: CSV, Excel sheets, JSON lines and Parquet, in one commit.
//!
//! A load goes through the modules in this order: `gather` (find the files, hash them) ->
//! `format` (what each of them is) -> `survey` over `profile` (read everything once: which types
//! do the columns have) -> `plan` (settle that with the table, and leave out what it has
//! already, by `ledger`) -> `run` (read again, write, commit). A value that does not fit is an
//! error that names file, line, column and value, and then nothing is changed.

mod build;
mod cell;
mod column;
mod csv_file;
mod delimiter;
mod format;
mod gather;
mod input;
mod jsonl;
mod layout;
mod ledger;
mod options;
mod parquet_file;
mod plan;
mod profile;
mod progress;
mod reading;
mod remote;
mod rows;
mod run;
mod survey;
mod text;
mod time;
mod xlsx;

pub use column::{Column, Standing, name as type_name};
pub use delimiter::Delimiter;
pub use format::Format;
pub use gather::{Gathered, Sources, gather};
pub use input::Input;
pub use layout::Layout;
pub use options::{Declared, LoadOptions, Split};
pub use plan::{Destination, Plan};
pub use progress::{Phase, Progress};
pub use reading::{PlannedFile, Reading};
pub use run::{Loaded, Outcome};
pub use text::Notation;
