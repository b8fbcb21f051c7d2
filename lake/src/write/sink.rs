//! Writing rows that come sorted, batch by batch, to one file of a partition, with little
//! memory: a row group is encoded while it grows and goes out when it is full.

use std::sync::Arc;

use arrow::array::RecordBatch;
use catalog::{Result, Store};
use iceberg::spec::DataFile;
use object_store::buffered::BufWriter;
use parquet::arrow::AsyncArrowWriter;
use parquet::arrow::async_writer::ParquetObjectWriter;

use super::encode::{Groups, Written, properties};
use super::layout::Layout;
use super::metrics::Metrics;
use super::partition::Partition;
use crate::error;

/// Smaller than those of files encoded at once: merging holds a row group of every file it
/// reads, and one of the file it writes.
const GROUPS: Groups = Groups {
    rows: 1 << 18,
    bytes: 32 << 20,
};
/// A file goes up in parts of this size, so many at once.
const PART_BYTES: usize = 8 << 20;
const PARALLEL_PARTS: usize = 2;

/// The file being written.
pub(crate) struct Sink<'a> {
    store: &'a Store,
    layout: &'a Layout,
    /// Field ids of the columns that may hold NaN, and so get no statistics.
    nans: Vec<i32>,
    open: Option<Open>,
}

struct Open {
    writer: AsyncArrowWriter<ParquetObjectWriter>,
    partition: Partition,
    location: String,
    metrics: Metrics,
    rows: u64,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(store: &'a Store, layout: &'a Layout, nans: Vec<i32>) -> Self {
        Self {
            store,
            layout,
            nans,
            open: None,
        }
    }

    /// Writes rows of the table's columns that follow those before in the table's order,
    /// and are of the same partition.
    pub(crate) async fn push(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(Open::new(self.store, self.layout, &self.nans, rows)?),
        };
        let written = open.writer.write(rows).await;
        written.map_err(error::writing(&open.location))?;
        open.metrics.count(self.layout, rows);
        open.rows += rows.num_rows() as u64;
        Ok(())
    }

    /// Ends the file; none when there were no rows.
    pub(crate) async fn finish(self) -> Result<Option<DataFile>> {
        let Some(mut open) = self.open else {
            return Ok(None);
        };
        let footer = open.writer.finish().await;
        let footer = footer.map_err(error::writing(&open.location))?;
        open.metrics.bound(self.layout, &footer)?;
        let written = Written {
            bytes: open.writer.bytes_written() as u64,
            location: open.location,
            partition: &open.partition,
            rows: open.rows,
            metrics: open.metrics,
            footer: &footer,
        };
        written.data_file(self.layout).map(Some)
    }

    /// Gives up what was written; what cannot be taken back is left to garbage collection.
    pub(crate) async fn abandon(self) {
        if let Some(open) = self.open {
            let mut upload = open.writer.into_inner().into_inner();
            if let Err(error) = upload.abort().await {
                tracing::debug!(file = open.location, %error, "could not abandon a file");
            }
        }
    }
}

impl Open {
    fn new(store: &Store, layout: &Layout, nans: &[i32], first: &RecordBatch) -> Result<Self> {
        let columns = layout.partitioning.columns(first)?;
        let partition = layout.partitioning.at(&columns, 0)?;
        let location = layout.new_location(&partition.folder);
        let upload =
            BufWriter::with_capacity(store.object_store(), store.path(&location)?, PART_BYTES)
                .with_max_concurrency(PARALLEL_PARTS);
        let nans = |at: usize| nans.contains(&layout.leaves[at].id);
        let properties = properties(layout, GROUPS, nans);
        let schema = Arc::clone(&layout.schema);
        let writer = ParquetObjectWriter::from_buf_writer(upload);
        let writer = AsyncArrowWriter::try_new(writer, schema, Some(properties));
        Ok(Self {
            writer: writer.map_err(error::writing(&location))?,
            partition,
            location,
            metrics: Metrics::default(),
            rows: 0,
        })
    }
}
