//! What the catalog records: keys, their contents, commits, and the state at a commit.

mod commit;
mod content;
mod key;
mod snapshot;

pub use commit::{Commit, CommitId, CommitMeta, Skip};
pub use content::{Content, Operation};
pub use key::Key;
pub use snapshot::Snapshot;

pub(crate) use commit::{FORMAT, check_format};
pub(crate) use snapshot::State;
