//! For writers that remember the rows of a table by some of their columns: reading only those, and
//! telling whether rows have gone since.

use catalog::Result;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use iceberg::spec::Operation as SnapshotKind;
use std::sync::Arc;
use uuid::Uuid;

use crate::lake::Lake;
use crate::read::{Gone, Reader};
use crate::table::{ScanFile, Table};
use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema};

/// Bytes of deletes that are held for the rows of one file.
const MOST_DELETES: u64 = 256 << 20;

/// A table with the snapshot that it stood at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    table: Uuid,
    snapshot: Option<i64>,
}

impl Table {
    /// Where the table stands.
    pub fn place(&self) -> Place {
        Place {
            table: self.uuid(),
            snapshot: self.metadata().current_snapshot_id(),
        }
    }

    /// Whether the table holds no row at all.
    pub fn is_bare(&self) -> bool {
        self.metadata().current_snapshot_id().is_none()
    }

    /// Whether every row that the table had at `place` is still in it. False also where that cannot
    /// be told, as after the expiry of the snapshots in between.
    pub fn only_added_since(&self, place: Place) -> bool {
        let metadata = self.metadata();
        let mut at = metadata.current_snapshot_id();
        // Parents in damaged metadata may go round in circles.
        for _ in 0..=metadata.snapshots().len() {
            if at == place.snapshot {
                return self.uuid() == place.table;
            }
            let Some(snapshot) = at.and_then(|id| metadata.snapshot_by_id(id)) else {
                return false;
            };
            match snapshot.summary().operation {
                SnapshotKind::Append | SnapshotKind::Replace => at = snapshot.parent_snapshot_id(),
                SnapshotKind::Overwrite | SnapshotKind::Delete => return false,
            }
        }
        false
    }
}

impl Lake {
    /// The rows of `file` of `table` that no delete takes out, with `columns` only and in the order
    /// in which they are in the file. Nothing where the table has not all the columns.
    ///
    /// # Errors
    /// `Corrupt` when the file is missing, is not Parquet or holds other types; those of the object
    /// store.
    pub async fn columns_of(
        &self,
        table: &Table,
        file: &ScanFile,
        columns: &[String],
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let schema = table.arrow_schema();
        let fields = columns.iter().map(|name| {
            let (_, field) = schema.fields().find(name)?;
            Some(Arc::clone(field))
        });
        let Some(fields) = fields.collect::<Option<Vec<FieldRef>>>() else {
            return Ok(stream::empty().boxed());
        };
        let reader = Reader::new(self.store(), table);
        let files = std::slice::from_ref(file);
        let gone = Gone::of(&reader, self.store(), table, files, MOST_DELETES).await?;
        let columns = Arc::new(Schema::new(fields));
        reader.rows(file, &columns, &Arc::new(gone)).await
    }
}
