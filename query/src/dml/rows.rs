//! The rows of a statement's target, and writing those that come in their place.
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use arrow::datatypes::Schema;
use catalog::{Error, Result};
use datafusion::catalog::TableProvider;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use lake::{DataFile, ScanFile};
use object_store::path::Path;

use super::assign::Assign;
use super::gone::Gone;
use crate::catalogs::PinnedRefs;
use crate::error::stream_error;
use crate::statement::{Prepared, QueryResult};
use crate::table::TargetRows;
use crate::write::{Target, WriteContext};

/// Rows on their way into a table's files.
pub(super) type Rows = BoxStream<'static, Result<RecordBatch>>;

/// A statement at work on its target.
pub(super) struct Work<'a> {
    pub(super) context: &'a WriteContext,
    pub(super) target: &'a Target,
}

impl Work<'_> {
    /// The target's rows with their places, after its columns; those in the files `only`,
    /// where given.
    pub(super) fn provider(&self, only: Option<HashSet<Path>>) -> Arc<dyn TableProvider> {
        let store = self.context.lake().store();
        Arc::new(TargetRows::new(self.target.table.clone(), store, only))
    }

    async fn scan(&self, only: HashSet<Path>) -> Result<QueryResult> {
        let source = provider_as_source(self.provider(Some(only)));
        let plan = LogicalPlanBuilder::scan("target", source, None);
        let plan = plan.and_then(LogicalPlanBuilder::build);
        let engine = self.context.engine();
        let prepared = Prepared {
            state: Arc::new(engine.state(PinnedRefs::default(), self.context.scope())),
            plan: plan.map_err(stream_error)?,
            commits: Default::default(),
        };
        prepared.bind(&[]).await?.run()
    }

    /// The rows that are in a file with rows in `gone`, and not in it themselves.
    pub(super) async fn others(&self, gone: &Gone) -> Result<Rows> {
        let mut partly = HashSet::new();
        for file in self.files(&gone.paths()?).await? {
            // With delete files, how many rows are left is not known here.
            let all = file.deletes.is_empty().then(|| file.file.record_count());
            if all != Some(gone.count(&file.path)) {
                partly.insert(file.path);
            }
        }
        if partly.is_empty() {
            return Ok(futures::stream::empty().boxed());
        }
        let QueryResult { schema, stream, .. } = self.scan(partly).await?;
        let table = self.columns();
        let width = table.fields().len();
        let assign = Assign::new(&table, &schema, (0..width).map(Some).collect())?;
        let gone = gone.clone();
        let rows = stream.map_err(stream_error).map(move |batch| {
            let batch = batch?;
            let others = gone.others(&batch, [width, width + 1])?;
            assign.batch(&filter_record_batch(&batch, &others).map_err(filtering)?)
        });
        Ok(rows.boxed())
    }

    /// How many rows the target has.
    pub(super) async fn count(&self) -> Result<u64> {
        let mut rows = 0;
        let mut unknown = HashSet::new();
        for file in self.target.table.data_files().await?.iter() {
            match file.deletes.is_empty() {
                true => rows += file.file.record_count(),
                false => {
                    unknown.insert(file.path.clone());
                }
            }
        }
        if !unknown.is_empty() {
            let mut stream = self.scan(unknown).await?.stream;
            while let Some(batch) = stream.next().await {
                rows += batch.map_err(stream_error)?.num_rows() as u64;
            }
        }
        Ok(rows)
    }

    /// The rows of `result` as rows of the target: column by column as `sources` says.
    pub(super) fn assigned(
        &self,
        result: QueryResult,
        sources: Vec<Option<usize>>,
    ) -> Result<Rows> {
        let assign = Assign::new(&self.columns(), &result.schema, sources)?;
        let rows = result.stream.map_err(stream_error);
        let rows = rows.map(move |batch| assign.batch(&batch?));
        Ok(rows.boxed())
    }

    /// The target's columns.
    pub(super) fn columns(&self) -> Arc<Schema> {
        self.target.table.arrow_schema()
    }

    /// Writes `rows` as files of the target, and counts them.
    pub(super) async fn write(&self, rows: Rows) -> Result<(Vec<DataFile>, u64)> {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let rows = rows.inspect_ok(move |batch| {
            counted.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        });
        let lake = self.context.lake();
        let files = lake.write_stream(&self.target.table, rows).await?;
        Ok((files, count.load(Ordering::Relaxed)))
    }

    /// The target's files at `paths`.
    pub(super) async fn files(&self, paths: &HashSet<Path>) -> Result<Vec<ScanFile>> {
        let files = self.target.table.data_files().await?;
        let chosen = files.iter().filter(|file| paths.contains(&file.path));
        Ok(chosen.cloned().collect())
    }
}

/// What a failing filter of a batch means.
pub(super) fn filtering(error: arrow::error::ArrowError) -> Error {
    Error::internal("rows could not be filtered").with_source(error)
}
