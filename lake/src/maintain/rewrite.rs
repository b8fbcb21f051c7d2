//! Rewriting a group of files: the same rows, fewer files, sorted, deletes applied.
//!
//! Rows that fit in memory are sorted there: that they do is found by reading them, as no
//! file tells how wide its rows are once decoded. More of them are merged, if their files
//! are sorted, which takes a row group of each; if not, they are sorted in pieces, which
//! later compactions merge.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use catalog::{Error, Operation, Result, Store};
use futures::{Stream, StreamExt, TryStreamExt};
use iceberg::spec::{DataFile, Operation as SnapshotKind, PrimitiveType, Type};
use tokio::runtime::Handle;

use super::merge_files::{self, Failure};
use super::{CompactOptions, dedup};
use crate::lake::Lake;
use crate::producer::{AddedFile, SnapshotChange};
use crate::read::{Gone, Reader, RowStream};
use crate::recorded::{self, committed_at};
use crate::stage::without_use;
use crate::table::{ScanFile, Table};
use crate::write::{self, Bounds, Layout, Sink};

/// Rows sorted at once at most; more would not be counted in 32 bits some day.
const SORTED_ROWS: usize = 4 << 20;
/// Files merged at once at most, as each holds a row group, pages and a batch.
pub(super) const FAN_IN: usize = 64;
/// What a value of unknown width takes at least.
const TEXT_BYTES: u64 = 8;

/// What came of a group.
pub(super) struct Rewritten {
    pub(super) added: Vec<DataFile>,
    /// The files they replace: the first of the group, if it was too much at once.
    pub(super) files: Vec<ScanFile>,
    /// Rows left out because an earlier one has their key.
    pub(super) repeated: u64,
    /// The data sequence number of the rows.
    number: i64,
}

/// Writes the rows of `files` anew: those of `table`, of one partition, in the order of
/// their commits. What `gone` takes out is left out. With `moved` the rows count as
/// committed now.
pub(super) async fn rewrite(
    lake: &Lake,
    table: &Table,
    files: &[ScanFile],
    gone: Gone,
    moved: bool,
    options: &CompactOptions,
) -> Result<Rewritten> {
    let (store, table, files) = (lake.store().clone(), table.clone(), files.to_vec());
    let memory = options.memory_bytes;
    let work = async move {
        let reader = Reader::new(&store, &table);
        let mut gone = Arc::new(gone);
        let key = dedup::key_columns(&table);
        let repeated = match key.is_empty() {
            true => Vec::new(),
            false => dedup::take_repeated(&reader, &key, &files, &mut gone).await?,
        };
        let mut group = Work {
            store,
            table: table.clone(),
            reader,
            gone,
            files,
            memory,
        };
        let added = group.write(&table).await?;
        let files = group.files;
        Ok(Rewritten {
            added,
            repeated: repeated.iter().take(files.len()).sum(),
            number: match moved {
                true => table.metadata().last_sequence_number(),
                false => number(&table, &files),
            },
            files,
        })
    };
    // Decoding, sorting and encoding would hold up whatever shares the thread.
    let handle = Handle::current();
    let task = tokio::task::spawn_blocking(move || handle.block_on(work));
    task.await
        .map_err(|e| Error::internal("rewriting files was interrupted").with_source(e))?
}

/// All deletes up to the newest snapshot were applied if there were any, and those of the
/// partition spec of today never meant rows of another. Otherwise the rows keep the highest
/// number they had: so files stay in the order of their commits.
fn number(table: &Table, files: &[ScanFile]) -> i64 {
    let spec = table.metadata().default_partition_spec_id();
    let mut files_of = files.iter();
    match files_of.any(|file| !file.deletes.is_empty() || file.partition_spec_id != spec) {
        true => table.metadata().last_sequence_number(),
        false => files
            .iter()
            .map(|file| file.sequence_number)
            .max()
            .unwrap_or(0),
    }
}

struct Work {
    store: Store,
    table: Table,
    reader: Reader,
    gone: Arc<Gone>,
    files: Vec<ScanFile>,
    memory: u64,
}

impl Work {
    async fn write(&mut self, table: &Table) -> Result<Vec<DataFile>> {
        let layout = Layout::with_times(table)?;
        let memory = usize::try_from(self.memory).unwrap_or(usize::MAX);
        let rows: u64 = self.files.iter().map(|file| file.file.record_count()).sum();
        let large = rows.saturating_mul(row_bytes(&layout.schema)) > self.memory / 4;
        if !large && let Some(held) = self.held(&layout, memory / 4).await? {
            let bounds = Bounds {
                file_rows: usize::MAX,
                file_bytes: usize::MAX,
                budget: usize::MAX,
            };
            let held = futures::stream::iter(held.into_iter().map(Ok));
            return write::write_bounded(&self.store, table, layout, held, bounds).await;
        }
        self.files.truncate(FAN_IN);
        if self.is_sorted(&layout) {
            match self.merge(table, &layout).await {
                Ok(added) => return Ok(added),
                Err(Failure::Other(error)) => return Err(error),
                Err(Failure::Unsorted) => tracing::warn!(
                    table = %table.key(),
                    "a file is not in the order it claims: the files are sorted in pieces"
                ),
            }
        }
        let bounds = Bounds {
            file_rows: SORTED_ROWS,
            file_bytes: memory / 4,
            budget: memory / 2,
        };
        let rows = self.rows(&layout);
        write::write_bounded(&self.store, table, Layout::with_times(table)?, rows, bounds).await
    }

    /// All rows, if they take no more than `most` bytes and can be sorted at once.
    async fn held(&self, layout: &Layout, most: usize) -> Result<Option<Vec<RecordBatch>>> {
        let (mut held, mut bytes, mut count) = (Vec::new(), 0, 0);
        let mut rows = std::pin::pin!(self.rows(layout));
        while let Some(batch) = rows.try_next().await? {
            bytes += write::slice_bytes(&batch);
            count += batch.num_rows();
            if bytes > most || count > SORTED_ROWS {
                return Ok(None);
            }
            held.push(batch);
        }
        Ok(Some(held))
    }

    /// Whether the files can be merged: each sorted, and split as files are today.
    fn is_sorted(&self, layout: &Layout) -> bool {
        let sorted = |file: &ScanFile| {
            layout.sort.is_empty() || file.file.sort_order_id() == layout.sort_order_id
        };
        let split = |file: &ScanFile| file.partition_spec_id == layout.spec_id;
        self.files.iter().all(|file| sorted(file) && split(file))
    }

    /// The rows, file after file.
    fn rows<'a>(&'a self, layout: &Layout) -> impl Stream<Item = Result<RecordBatch>> + 'a {
        let (schema, times) = (Arc::clone(&layout.schema), layout.has_times());
        let files = futures::stream::iter(&self.files);
        files
            .then(move |file| {
                let schema = Arc::clone(&schema);
                async move { self.file(file, &schema, times).await }
            })
            .try_flatten()
    }

    /// The rows of one file.
    async fn file(&self, file: &ScanFile, schema: &SchemaRef, times: bool) -> Result<RowStream> {
        let rows = self.reader.rows(file, schema, &self.gone).await?;
        Ok(match times {
            true => recorded::filled(rows, committed_at(self.table.metadata(), file)),
            false => rows,
        })
    }

    async fn merge(&self, table: &Table, layout: &Layout) -> Result<Vec<DataFile>, Failure> {
        let mut sink = Sink::new(&self.store, layout, maybe_nan(table, &self.files));
        let merged = match layout.sort.is_empty() {
            true => self.append(layout, &mut sink).await,
            false => self.merge_into(layout, &mut sink).await,
        };
        match merged {
            Ok(()) => Ok(sink.finish().await?.into_iter().collect()),
            Err(failure) => {
                sink.abandon().await;
                Err(failure)
            }
        }
    }

    async fn append(&self, layout: &Layout, sink: &mut Sink<'_>) -> Result<(), Failure> {
        let mut rows = std::pin::pin!(self.rows(layout));
        while let Some(batch) = rows.try_next().await? {
            sink.push(&batch).await?;
        }
        Ok(())
    }

    async fn merge_into(&self, layout: &Layout, sink: &mut Sink<'_>) -> Result<(), Failure> {
        let mut streams = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let rows = self.file(file, &layout.schema, layout.has_times());
            streams.push(rows.await?);
        }
        merge_files::merge(layout, streams, sink).await
    }
}

/// The columns that hold NaN in one of the files, or may.
fn maybe_nan(table: &Table, files: &[ScanFile]) -> Vec<i32> {
    let fields = table
        .metadata()
        .current_schema()
        .field_id_to_fields()
        .iter();
    let floats = fields.filter_map(|(id, field)| match field.field_type.as_ref() {
        Type::Primitive(PrimitiveType::Float | PrimitiveType::Double) => Some(*id),
        _ => None,
    });
    let clean = |id: i32, file: &DataFile| {
        let counted = file.value_counts();
        let lacks = !counted.is_empty() && !counted.contains_key(&id);
        lacks || file.nan_value_counts().get(&id) == Some(&0)
    };
    let may = |id: &i32| !files.iter().all(|file| clean(*id, &file.file));
    floats.filter(may).collect()
}

/// What a row takes in memory at least.
fn row_bytes(schema: &Schema) -> u64 {
    let fields = schema.fields().iter();
    fields.map(|field| width(field.data_type())).sum()
}

fn width(data_type: &DataType) -> u64 {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(|field| width(field.data_type())).sum(),
        other => other
            .primitive_width()
            .map_or(TEXT_BYTES, |width| width as u64),
    }
}

impl Rewritten {
    /// The exchange of the files for what came of them, as a snapshot of `kind`. Delete
    /// files that applied to nothing else go too.
    pub(super) async fn stage(
        self,
        lake: &Lake,
        table: &Table,
        kind: SnapshotKind,
    ) -> Result<Operation> {
        let files = &self.files;
        let removed = files.iter().map(|file| file.file.file_path().to_owned());
        let removed: HashSet<String> = removed.collect();
        let spec_id = table.metadata().default_partition_spec_id();
        let mut added = AddedFile::all(self.added, spec_id);
        for file in &mut added {
            file.sequence_number = Some(self.number);
        }
        let change = SnapshotChange {
            operation: kind,
            added,
            removed_deletes: without_use(table, files, &removed).await?,
            removed,
            ..SnapshotChange::default()
        };
        lake.stage_snapshot(table, change).await
    }
}
