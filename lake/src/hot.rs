//! What the query engine sees of rows that are ingested but not committed yet.
//!
//! An ingester implements [`HotBuffer`]; the query engine reads it together with a
//! catalog snapshot. Both meet at the ingester's watermark in that snapshot: rows up to
//! it are in the table's files, rows after it are in the buffer, so that no row is
//! missed and none is seen twice.

use arrow::array::RecordBatch;
use async_trait::async_trait;
use catalog::{Key, Result, Snapshot};

/// Rows of one table that are not in its files yet.
#[derive(Debug, Clone)]
pub struct HotRows {
    /// The rows, in the order of arrival. Each batch has the schema that the table had when
    /// its rows came; the table may have gained, lost or changed columns since.
    pub batches: Vec<RecordBatch>,
}

/// What a buffer holds beyond a catalog snapshot.
#[derive(Debug, Clone)]
pub enum HotCut {
    /// These rows come on top of the snapshot's.
    Rows(HotRows),
    /// The snapshot already holds all rows of this table.
    Empty,
    /// The buffer has dropped rows that a later commit holds and this snapshot does
    /// not: load the branch's head again and ask again.
    Gone,
}

/// The uncommitted rows of an ingester.
#[async_trait]
pub trait HotBuffer: Send + Sync {
    /// The branch these rows will be committed to. They belong to its head only.
    fn branch(&self) -> &str;

    /// Rows of `key` after the ingester's watermark in `snapshot`.
    ///
    /// Must not block: it runs on the query path.
    fn rows_after(&self, key: &Key, snapshot: &Snapshot) -> HotCut;

    /// Commits the rows held now, so that a statement that changes the table finds them in
    /// its files.
    ///
    /// # Errors
    /// Why they could not be committed; they stay in the buffer.
    async fn flush(&self) -> Result<()>;
}
