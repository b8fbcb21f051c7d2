//! Queries over the rows of a statement's target, and writing what they give.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, Schema};
use catalog::{Error, Result};
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::sql::sqlparser::ast::Query;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use lake::{DataFile, ScanFile};
use object_store::path::Path;

use super::assign::Assign;
use crate::error::stream_error;
use crate::statement::QueryResult;
use crate::table::TargetRows;
use crate::write::{Target, WriteContext};

/// The name of the target among a statement's own tables.
pub(super) const TARGET: &str = "target";

/// Rows on their way into a table's files.
pub(super) type Rows = BoxStream<'static, Result<RecordBatch>>;

/// A statement at work on its target.
pub(super) struct Work<'a> {
    pub(super) context: &'a WriteContext,
    pub(super) target: &'a Target,
    /// What `now()` is in all queries of the statement: were it later in the one that
    /// keeps rows than in the one that changes them, some would be in neither.
    started: DateTime<Utc>,
}

impl<'a> Work<'a> {
    pub(super) fn new(context: &'a WriteContext, target: &'a Target) -> Self {
        Work {
            context,
            target,
            started: Utc::now(),
        }
    }

    /// Runs `query`, to which the target is a table of its own; of the target's rows it
    /// sees those in the files `only`, where given.
    pub(super) async fn run(
        &self,
        query: Query,
        only: Option<&HashSet<Path>>,
    ) -> Result<QueryResult> {
        let store = self.context.lake().store();
        let rows = TargetRows::new(self.target.table.clone(), store, only.cloned());
        let rows: Arc<dyn TableProvider> = Arc::new(rows);
        let own = HashMap::from([(TARGET.to_owned(), rows)]);
        let mut prepared = self.context.plan_with(query, own).await?;
        super::refuse_volatile(&prepared)?;
        let mut state = prepared.state.as_ref().clone();
        state.execution_props_mut().query_execution_start_time = Some(self.started);
        prepared.state = Arc::new(state);
        prepared.bind(&[]).await?.run()
    }

    /// Runs `query`, whose rows are paths of files and a count each.
    pub(super) async fn counts(&self, query: Query) -> Result<BTreeMap<Path, u64>> {
        let mut batches = self.run(query, None).await?.stream;
        let mut counts = BTreeMap::new();
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(stream_error)?;
            let paths = batch.column(0).as_string::<i32>();
            let rows = batch.column(1).as_primitive::<Int64Type>();
            for (path, count) in paths.iter().flatten().zip(rows.values()) {
                let path = Path::parse(path)
                    .map_err(|e| Error::internal("a file's path changed").with_source(e))?;
                *counts.entry(path).or_default() += count.unsigned_abs();
            }
        }
        Ok(counts)
    }

    /// The rows of `result` as rows of the target: by position when `sources` is `None`.
    pub(super) fn assigned(
        &self,
        result: QueryResult,
        sources: Option<Vec<Option<usize>>>,
    ) -> Result<Rows> {
        let schema = self.columns();
        let sources = sources.unwrap_or_else(|| (0..schema.fields().len()).map(Some).collect());
        let assign = Assign::new(&schema, &result.schema, sources)?;
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
