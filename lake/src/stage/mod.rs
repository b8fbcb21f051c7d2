//! Changes of tables that are written but not committed: each gives the catalog
//! operation that makes it so.
//!
//! A staged change stands on the table it was given. Several of one table are chained by
//! way of [`catalog::Snapshot::with`], and a commit brings them onto a newer head.

mod history;
mod rows;

use catalog::{Content, Operation, Result, Snapshot};

pub(crate) use self::rows::without_use;
pub use self::rows::{Rewrite, RewriteKind};
use crate::create::{self, TableSpec};
use crate::lake::Lake;
use crate::table::Table;

impl Lake {
    /// A new empty table under `key`.
    ///
    /// # Errors
    /// `AlreadyExists` when `snapshot` has that key, `InvalidInput` or `Unsupported`
    /// when the specification names missing columns or types Iceberg v2 lacks.
    pub async fn stage_create(
        &self,
        snapshot: &Snapshot,
        key: &catalog::Key,
        spec: &TableSpec,
    ) -> Result<Operation> {
        let metadata = create::metadata(self.store(), key, spec)?;
        create::stage(self.files(), snapshot, key, metadata).await
    }
}

/// Puts the metadata at `location` in the place of the table's own.
pub(crate) fn put(table: &Table, location: String) -> Operation {
    Operation::Put {
        key: table.key().clone(),
        content: Content::IcebergTable {
            uuid: table.uuid(),
            metadata_location: location,
        },
    }
}
