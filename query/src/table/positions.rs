//! Position deletes: which rows of a data file are gone, as a selection of the rest.
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use catalog::Store;
use datafusion::catalog::Session;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccess};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::{StreamExt, TryStreamExt};
use lake::{DELETE_FILE_PATH_ID, DELETE_POS_ID, DeleteFile, ScanFile};
use object_store::path::Path;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use tokio::sync::OnceCell;

use super::fields::Fields;
use super::files::{FileScan, partitioned_file, reader_factory};
use crate::error::into_datafusion;

/// Delete files and footers read at once.
const PARALLEL_READS: usize = 16;

/// Whether a scan of `file` must apply position deletes.
pub(super) fn has_position_deletes(file: &ScanFile) -> bool {
    file.deletes.iter().any(|delete| delete.is_positional())
}

/// The position deletes of one table in one statement: each delete file is read once,
/// however many data files and scans it is about.
#[derive(Default)]
pub(super) struct PositionDeletes {
    read: Mutex<HashMap<Path, Arc<OnceCell<Deleted>>>>,
}

/// The rows one delete file names, by data file.
struct Deleted {
    rows: HashMap<Path, Vec<u64>>,
    /// What they take of the engine's memory.
    _memory: MemoryReservation,
}

impl PositionDeletes {
    /// Gives every file of `files` that has position deletes a plan that leaves those rows
    /// out; `scan` holds the same files as DataFusion reads them.
    pub(super) async fn apply(
        &self,
        state: &dyn Session,
        store: &Store,
        files: &[ScanFile],
        scan: &mut [PartitionedFile],
    ) -> Result<()> {
        let mut applying = Vec::new();
        for (file, scan) in files.iter().zip(scan) {
            if has_position_deletes(file) {
                applying.push(self.apply_to(state, store, file, scan));
            }
        }
        futures::stream::iter(applying)
            .buffer_unordered(PARALLEL_READS)
            .try_collect()
            .await
    }

    async fn apply_to(
        &self,
        state: &dyn Session,
        store: &Store,
        file: &ScanFile,
        scan: &mut PartitionedFile,
    ) -> Result<()> {
        let rows = self.rows(state, store, file).await?;
        if !rows.is_empty() {
            let groups = row_groups(state, store, scan.clone()).await?;
            scan.extensions = Some(Arc::new(access_plan(&rows, &groups)));
        }
        Ok(())
    }

    /// The deleted rows of `file`, ascending.
    async fn rows(&self, state: &dyn Session, store: &Store, file: &ScanFile) -> Result<Vec<u64>> {
        let mut rows = Vec::new();
        for delete in file.deletes.iter().filter(|d| d.is_positional()) {
            let cell = {
                let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(read.entry(delete.path.clone()).or_default())
            };
            let deleted = cell.get_or_try_init(|| read(state, store, delete)).await?;
            rows.extend(deleted.rows.get(&file.path).into_iter().flatten());
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }
}

impl fmt::Debug for PositionDeletes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PositionDeletes").finish_non_exhaustive()
    }
}

async fn read(state: &dyn Session, store: &Store, delete: &DeleteFile) -> Result<Deleted> {
    let scan = FileScan {
        fields: columns(),
        constants: Vec::new(),
        files: vec![partitioned_file(
            delete.path.clone(),
            delete.file.file_size_in_bytes(),
            Vec::new(),
            None,
        )],
        projection: None,
        limit: None,
        prune_inside: true,
    };
    let plan = scan.plan(state, &store.object_store())?;
    let mut batches = execute_stream(plan, state.task_ctx())?;
    let memory = MemoryConsumer::new("position deletes").register(&state.runtime_env().memory_pool);
    let mut rows = HashMap::new();
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        memory.try_grow(batch.num_rows() * size_of::<u64>())?;
        gather(store, delete, &batch, &mut rows)?;
    }
    Ok(Deleted {
        rows,
        _memory: memory,
    })
}

fn columns() -> Fields {
    let field = |name: &str, data_type, id: i32| {
        let metadata = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]);
        Field::new(name, data_type, true).with_metadata(metadata)
    };
    Fields::new(&Schema::new(vec![
        field("file_path", DataType::Utf8, DELETE_FILE_PATH_ID),
        field("pos", DataType::Int64, DELETE_POS_ID),
    ]))
}

fn gather(
    store: &Store,
    delete: &DeleteFile,
    batch: &RecordBatch,
    rows: &mut HashMap<Path, Vec<u64>>,
) -> Result<()> {
    let (paths, positions) = (batch.column(0), batch.column(1));
    if paths.null_count() + positions.null_count() > 0 {
        let error = catalog::Error::corrupt(format!(
            "position delete file {} has a null path or position",
            delete.path
        ));
        return Err(into_datafusion(error));
    }
    let paths = paths.as_string::<i32>();
    let positions = positions.as_primitive::<Int64Type>().values();
    let mut at = 0;
    // Rows are sorted by path, so one look-up serves a run of them.
    while at < batch.num_rows() {
        let path = paths.value(at);
        let run = (at..batch.num_rows()).take_while(|row| paths.value(*row) == path);
        let end = at + run.count();
        // A file outside the store cannot be one of ours.
        if let Ok(path) = store.path(path) {
            let run = positions[at..end].iter();
            let run = run.filter_map(|position| u64::try_from(*position).ok());
            rows.entry(path).or_default().extend(run);
        }
        at = end;
    }
    Ok(())
}

/// How many rows each row group of `file` has.
async fn row_groups(state: &dyn Session, store: &Store, file: PartitionedFile) -> Result<Vec<u64>> {
    let metrics = ExecutionPlanMetricsSet::new();
    let factory = reader_factory(state, &store.object_store());
    let mut reader = factory.create_reader(0, file, None, &metrics)?;
    let footer = reader.get_metadata(None).await;
    let footer = footer.map_err(DataFusionError::from)?;
    let groups = footer.row_groups().iter();
    Ok(groups
        .map(|group| group.num_rows().unsigned_abs())
        .collect())
}

/// The rows of a file of these row groups without `deleted`, which ascend.
fn access_plan(deleted: &[u64], row_groups: &[u64]) -> ParquetAccessPlan {
    let mut first = 0;
    let groups = row_groups.iter().map(|rows| {
        let end = first + rows;
        let from = deleted.partition_point(|row| *row < first);
        let to = deleted.partition_point(|row| *row < end);
        let access = access(&deleted[from..to], first, *rows);
        first = end;
        access
    });
    ParquetAccessPlan::new(groups.collect())
}

fn access(deleted: &[u64], first: u64, rows: u64) -> RowGroupAccess {
    if deleted.is_empty() {
        return RowGroupAccess::Scan;
    }
    if deleted.len() as u64 == rows {
        return RowGroupAccess::Skip;
    }
    let mut selectors = Vec::new();
    let mut next = first;
    for row in deleted {
        selectors.push(RowSelector::select((row - next) as usize));
        selectors.push(RowSelector::skip(1));
        next = row + 1;
    }
    selectors.push(RowSelector::select((first + rows - next) as usize));
    RowGroupAccess::Selection(RowSelection::from(selectors))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows a plan reads, counted from the start of the file.
    fn read_rows(plan: &ParquetAccessPlan, row_groups: &[u64]) -> Vec<u64> {
        let mut read = Vec::new();
        let mut first = 0;
        for (access, rows) in plan.inner().iter().zip(row_groups) {
            match access {
                RowGroupAccess::Skip => {}
                RowGroupAccess::Scan => read.extend(first..first + rows),
                RowGroupAccess::Selection(selection) => {
                    let mut at = first;
                    for selector in selection.iter() {
                        let count = selector.row_count as u64;
                        if !selector.skip {
                            read.extend(at..at + count);
                        }
                        at += count;
                    }
                    assert_eq!(at, first + rows, "a selection spans its row group");
                }
            }
            first += rows;
        }
        read
    }

    #[test]
    fn what_is_not_deleted_is_read() {
        let row_groups = [3, 1, 4];
        for bits in 0..1_u64 << 8 {
            let (deleted, kept): (Vec<u64>, Vec<u64>) =
                (0..8).partition(|row| bits & (1 << row) != 0);
            let mut beyond = deleted.clone();
            beyond.push(99);
            let plan = access_plan(&beyond, &row_groups);
            assert_eq!(read_rows(&plan, &row_groups), kept, "{deleted:?}");
        }
    }
}
