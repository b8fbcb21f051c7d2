//! What the catalog records: keys, their contents, commits, and the state at a commit.

mod commit;
mod content;
mod flat;
mod key;
mod snapshot;
mod state;

pub use commit::{Commit, CommitId, CommitMeta, Skip};
pub use content::{Content, Operation};
pub use key::Key;
pub use snapshot::{KeyDiff, Snapshot};

pub(crate) use commit::{FORMAT, check_format};
pub(crate) use flat::Flat;
pub(crate) use state::{State, WATERMARK};
