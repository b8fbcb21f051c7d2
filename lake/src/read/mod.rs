//! Reading a table's files row by row, as maintenance needs them: in the table's columns of
//! today, in the order they are in, without the rows that deletes take out.
//!
//! Queries have their own scans on DataFusion; here a file is streamed from its start to
//! its end, so that rows can be numbered.

mod columns;
mod gone;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use catalog::{Result, Store};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::ParquetObjectReader;
use parquet::file::metadata::ParquetMetaData;

use self::columns::{Columns, Names};
pub(crate) use self::gone::Gone;
use crate::error;
use crate::table::{ScanFile, Table};

/// Rows of one batch at most.
pub(crate) const BATCH_ROWS: usize = 8_192;
/// What a batch takes, about, when its rows are wide.
pub(crate) const BATCH_BYTES: usize = 4 << 20;

/// Rows of one file, batch by batch.
pub(crate) type RowStream = BoxStream<'static, Result<RecordBatch>>;

/// Reads files of one table.
#[derive(Clone)]
pub(crate) struct Reader {
    store: Store,
    /// Field ids of the columns of files that carry none.
    names: Arc<Names>,
}

impl Reader {
    pub(crate) fn new(store: &Store, table: &Table) -> Self {
        Self {
            store: store.clone(),
            names: Arc::new(table.name_mapping()),
        }
    }

    /// All rows of the Parquet file at `path`, as `columns`, whose fields name their ids.
    ///
    /// # Errors
    /// `Corrupt` when the file is missing, is not Parquet or holds other types; those of
    /// the object store.
    pub(crate) async fn file(
        &self,
        path: &Path,
        size: u64,
        columns: &SchemaRef,
    ) -> Result<RowStream> {
        let store = self.store.object_store();
        let reader = ParquetObjectReader::new(store, path.clone()).with_file_size(size);
        let builder = ParquetRecordBatchStreamBuilder::new(reader).await;
        let builder = builder.map_err(error::reading(path))?;
        let columns = Columns::new(columns, builder.schema(), &self.names);
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns.read());
        let rows = batch_rows(builder.metadata());
        let stream = builder.with_projection(mask).with_batch_size(rows);
        let stream = stream.build().map_err(error::reading(path))?;
        let path = path.clone();
        let batches = stream.map(move |batch| {
            let batch = batch.map_err(error::reading(&path))?;
            columns.batch(&batch).map_err(|e| e.context(&path))
        });
        Ok(batches.boxed())
    }

    /// The rows of a data file that `gone` leaves, as `columns`.
    ///
    /// # Errors
    /// Those of [`Reader::file`].
    pub(crate) async fn rows(
        &self,
        file: &ScanFile,
        columns: &SchemaRef,
        gone: &Arc<Gone>,
    ) -> Result<RowStream> {
        let numbered = self.numbered(file, columns, gone).await?;
        let rows = numbered.map_ok(|(_, rows)| rows);
        let rows = rows.try_filter(|rows| futures::future::ready(rows.num_rows() > 0));
        Ok(rows.boxed())
    }

    /// The same, each batch with the positions its rows have in the file.
    pub(crate) async fn numbered(
        &self,
        file: &ScanFile,
        columns: &SchemaRef,
        gone: &Arc<Gone>,
    ) -> Result<BoxStream<'static, Result<(Vec<u64>, RecordBatch)>>> {
        let read = and(columns, gone.key_columns());
        let rows = self.file(&file.path, file.file.file_size_in_bytes(), &read);
        let (gone, file, width) = (Arc::clone(gone), file.clone(), columns.fields().len());
        let mut first = 0_u64;
        let kept = rows.await?.map(move |batch| {
            let batch = batch?;
            let start = first;
            first += batch.num_rows() as u64;
            let keep = gone.kept(&file, start, &batch)?;
            let wanted = batch.project(&(0..width).collect::<Vec<_>>());
            let wanted = wanted.map_err(error::arrow("could not choose columns"))?;
            let Some(keep) = keep else {
                return Ok(((start..first).collect(), wanted));
            };
            let positions = (start..first).zip(keep.values()).filter(|(_, keep)| *keep);
            let positions = positions.map(|(at, _)| at).collect();
            let rows = filter_record_batch(&wanted, &keep);
            Ok((
                positions,
                rows.map_err(error::arrow("could not filter rows"))?,
            ))
        });
        Ok(kept.boxed())
    }
}

/// Fewer rows where they are wide.
fn batch_rows(file: &ParquetMetaData) -> usize {
    let groups = file.row_groups().iter();
    let bytes = groups.fold(0_i64, |all, group| {
        all.saturating_add(group.total_byte_size())
    });
    let rows = usize::try_from(file.file_metadata().num_rows()).unwrap_or(0);
    let width = usize::try_from(bytes).unwrap_or(0) / rows.max(1);
    (BATCH_BYTES / width.max(1)).clamp(1, BATCH_ROWS)
}

/// `columns` and then `more`.
fn and(columns: &SchemaRef, more: &[FieldRef]) -> SchemaRef {
    if more.is_empty() {
        return Arc::clone(columns);
    }
    let all = columns.fields().iter().chain(more).cloned();
    Arc::new(Schema::new(all.collect::<Vec<_>>()))
}
