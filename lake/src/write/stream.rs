//! Writing a stream of rows with bounded memory.
//!
//! Rows gather by partition. A partition that has a file's worth of them is written;
//! when all together take more than the budget, the largest are written until half of
//! it is free, so that many open partitions make as few and as large files as the
//! memory allows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::row::OwnedRow;
use catalog::{Result, Store};
use futures::{Stream, StreamExt};
use iceberg::spec::DataFile;

use super::conform::Conform;
use super::layout::Layout;
use super::{arrange, slice_bytes, slices, write_chunk};
use crate::table::Table;

/// How much may gather, in rows and in bytes of Arrow memory.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// A file is written of so many rows.
    pub(crate) file_rows: usize,
    /// A file is written of so many bytes; Parquet makes less of them.
    pub(crate) file_bytes: usize,
    /// All partitions together keep so many bytes.
    pub(crate) budget: usize,
}

pub(super) const BOUNDS: Bounds = Bounds {
    file_rows: 4 << 20,
    file_bytes: 256 << 20,
    budget: 512 << 20,
};

/// What a batch takes beside its values, for each column.
const COLUMN_BYTES: usize = 256;

/// Rows that wait for more of their partition.
#[derive(Default)]
struct Waiting {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

struct Gathering<'a> {
    store: &'a Store,
    layout: Arc<Layout>,
    conform: Arc<Conform>,
    bounds: Bounds,
    waiting: HashMap<Option<OwnedRow>, Waiting>,
    bytes: usize,
    files: Vec<DataFile>,
}

/// Writes the rows of `batches` as files of `table`.
pub(super) async fn write(
    store: &Store,
    table: &Table,
    layout: Layout,
    batches: impl Stream<Item = Result<RecordBatch>>,
    bounds: Bounds,
) -> Result<Vec<DataFile>> {
    let mut gathering = Gathering {
        store,
        conform: Arc::new(Conform::new(table, &layout)),
        layout: Arc::new(layout),
        bounds,
        waiting: HashMap::new(),
        bytes: 0,
        files: Vec::new(),
    };
    let mut batches = std::pin::pin!(batches);
    while let Some(batch) = batches.next().await {
        for slice in slices(&batch?) {
            gathering.push(slice).await?;
        }
    }
    gathering.finish().await
}

impl Gathering<'_> {
    async fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let batch = self.conform.concat(&[batch])?;
        for (partition, rows) in arrange::split(&self.layout, batch)? {
            let bytes = slice_bytes(&rows) + COLUMN_BYTES * rows.num_columns();
            let waiting = self.waiting.entry(partition.clone()).or_default();
            waiting.rows += rows.num_rows();
            waiting.bytes += bytes;
            waiting.batches.push(rows);
            self.bytes += bytes;
            if waiting.rows >= self.bounds.file_rows || waiting.bytes >= self.bounds.file_bytes {
                self.flush(&partition).await?;
            }
        }
        if self.bytes > self.bounds.budget {
            self.make_room().await?;
        }
        Ok(())
    }

    async fn make_room(&mut self) -> Result<()> {
        let mut sizes: Vec<_> = self.waiting.iter().map(|(of, w)| (w.bytes, of)).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let mut left = self.bytes;
        let largest = sizes.into_iter().take_while(|(bytes, _)| {
            let crowded = left > self.bounds.budget / 2;
            left = left.saturating_sub(*bytes);
            crowded
        });
        let largest: Vec<_> = largest.map(|(_, of)| of.clone()).collect();
        for partition in largest {
            self.flush(&partition).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, partition: &Option<OwnedRow>) -> Result<()> {
        let Some(waiting) = self.waiting.remove(partition) else {
            return Ok(());
        };
        self.bytes -= waiting.bytes;
        let (layout, conform) = (Arc::clone(&self.layout), Arc::clone(&self.conform));
        let files = write_chunk(self.store, layout, conform, waiting.batches);
        self.files.extend(files.await?);
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<DataFile>> {
        let partitions: Vec<_> = self.waiting.keys().cloned().collect();
        for partition in partitions {
            self.flush(&partition).await?;
        }
        Ok(self.files)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use catalog::{Catalog, CommitMeta};
    use iceberg::spec::Transform;

    use super::*;
    use crate::{Lake, PartitionField, TableSpec};

    fn rows(from: i64) -> RecordBatch {
        let numbers = from..from + 100;
        let pumps = numbers.clone().map(|n| format!("p{}", n % 10));
        let columns: [(&str, ArrayRef); 2] = [
            ("n", Arc::new(Int64Array::from_iter_values(numbers))),
            ("pump", Arc::new(StringArray::from_iter_values(pumps))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    /// Files written of 50 batches of 100 rows in `partitions`, and their rows.
    async fn written(partition: Vec<PartitionField>, bounds: Bounds) -> (usize, u64) {
        let lake = Lake::new(Catalog::open(Store::memory()).await.unwrap());
        let key = "pumps.t".parse().unwrap();
        let spec = TableSpec {
            schema: rows(0).schema(),
            partition,
            ..TableSpec::default()
        };
        let meta = CommitMeta::new("test", "test");
        let table = lake.create_table("main", &key, &spec, meta).await.unwrap();
        let batches = futures::stream::iter((0..50).map(|n| Ok(rows(n * 100))));
        let layout = Layout::of(&table).unwrap();
        let files = write(lake.store(), &table, layout, batches, bounds);
        let files = files.await.unwrap();
        (files.len(), files.iter().map(DataFile::record_count).sum())
    }

    #[tokio::test]
    async fn files_are_cut_by_rows_bytes_and_budget() {
        let by_pump = vec![PartitionField::new("pump", Transform::Identity)];
        assert_eq!(written(by_pump.clone(), BOUNDS).await, (10, 5_000));
        let few_rows = Bounds {
            file_rows: 1_000,
            ..BOUNDS
        };
        assert_eq!(written(vec![], few_rows).await, (5, 5_000));
        assert_eq!(written(by_pump.clone(), few_rows).await, (10, 5_000));
        let small = Bounds {
            budget: 20_000,
            ..BOUNDS
        };
        let (files, rows) = written(by_pump, small).await;
        assert_eq!(rows, 5_000);
        assert!(files > 20, "only {files} files in a small memory");
        let tiny = Bounds {
            file_bytes: 1,
            ..BOUNDS
        };
        assert_eq!(written(vec![], tiny).await, (50, 5_000));
    }
}
