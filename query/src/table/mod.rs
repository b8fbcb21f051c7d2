//! A table of one catalog snapshot as DataFusion scans it: data files that may match, less
//! their deleted rows, and hot rows on top.
mod barrier;
mod equality;
mod fields;
mod files;
mod nested;
mod numbered;
mod positions;
mod scans;
mod target;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalog::{Key, Store};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Statistics};
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_optimizer::pruning::PruningPredicate;
use datafusion::physical_plan::ExecutionPlan;
use lake::ScanFile;
use lake::hot::HotRows;

use self::fields::Fields;
pub(crate) use self::fields::without_metadata;
pub(crate) use self::files::store_url;
use self::positions::PositionDeletes;
use self::scans::{Request, together};
pub(crate) use self::target::{FILE, ROW, TargetRows};
use crate::bounds::{Columns, FileBounds};
use crate::error::into_datafusion;
use crate::hot;

/// A table pinned to one snapshot, with the rows that snapshot does not hold yet.
pub(crate) struct LakeTable {
    table: lake::Table,
    store: Store,
    hot: Option<HotRows>,
    schema: SchemaRef,
    fields: Fields,
    columns: Columns,
    positions: PositionDeletes,
    /// The files to read instead of the table's.
    only: Option<Arc<Vec<ScanFile>>>,
}

/// A file that a scan must read, with what its manifest says about the columns asked for.
pub(crate) type Candidate = (ScanFile, Arc<Statistics>);

impl LakeTable {
    pub(crate) fn new(table: lake::Table, store: &Store, hot: Option<HotRows>) -> Self {
        let fields = Fields::new(&table.arrow_schema()).with_mapping(table.name_mapping());
        let schema = Arc::clone(&fields.schema);
        LakeTable {
            store: store.clone(),
            hot: hot.filter(|rows| rows.batches.iter().any(|batch| batch.num_rows() > 0)),
            columns: Columns::new(Arc::clone(&schema), fields.ids.clone()),
            positions: PositionDeletes::default(),
            fields,
            schema,
            table,
            only: None,
        }
    }

    /// Reads `files`, of whatever state of the table, instead of those it has.
    pub(crate) fn with_files(mut self, files: Vec<ScanFile>) -> Self {
        self.only = Some(Arc::new(files));
        self
    }

    pub(crate) fn key(&self) -> &Key {
        self.table.key()
    }

    /// The files a query with `filters` must read, with the statistics of columns `wanted`.
    async fn files(
        &self,
        state: &dyn Session,
        filters: &[Expr],
        wanted: &[usize],
    ) -> Result<Vec<Candidate>> {
        let files = match &self.only {
            Some(files) => Arc::clone(files),
            None => self.table.data_files().await.map_err(into_datafusion)?,
        };
        let statistics: Vec<Arc<Statistics>> = files
            .iter()
            .map(|file| {
                let statistics = self.columns.statistics(&file.file, wanted);
                Arc::new(match file.deletes.is_empty() {
                    true => statistics,
                    false => statistics.to_inexact(),
                })
            })
            .collect();
        let keep = self.prune(state, filters, &statistics)?;
        let kept = files.iter().cloned().zip(statistics).zip(keep);
        Ok(kept
            .filter(|(_, keep)| *keep)
            .map(|(file, _)| file)
            .collect())
    }

    /// Which files may hold a row that passes all `filters`.
    fn prune(
        &self,
        state: &dyn Session,
        filters: &[Expr],
        statistics: &[Arc<Statistics>],
    ) -> Result<Vec<bool>> {
        let all = || vec![true; statistics.len()];
        let Some(filter) = conjunction(filters.to_vec()) else {
            return Ok(all());
        };
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let predicate = state.create_physical_expr(filter, &schema)?;
        // Pruning is an aid: a predicate it cannot be built for keeps every file.
        let Ok(predicate) = PruningPredicate::try_new(predicate, Arc::clone(&self.schema)) else {
            return Ok(all());
        };
        let bounds = FileBounds::new(statistics, &self.schema);
        Ok(predicate.prune(&bounds).unwrap_or_else(|error| {
            tracing::debug!(table = %self.key(), %error, "file pruning skipped");
            all()
        }))
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let columns = projection.unwrap_or(&all);
        let wanted = self.wanted(columns, filters);
        let files = self.files(state, filters, &wanted).await?;
        let request = Request {
            projection: columns,
            file: None,
            limit,
            filtered: !filters.is_empty(),
        };
        let mut parts = self.scans(state, files, &wanted, &request).await?;
        if let Some(rows) = &self.hot {
            let partitions = state.config().target_partitions();
            parts.push(hot::scan(rows, &self.schema, projection, partitions)?);
        }
        together(parts, || Ok(Arc::new(self.schema.project(columns)?)))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

impl LakeTable {
    /// The columns a query reads or filters on.
    fn wanted(&self, projection: &[usize], filters: &[Expr]) -> Vec<usize> {
        let mut wanted = projection.to_vec();
        for filter in filters {
            for column in filter.column_refs() {
                wanted.extend(self.schema.index_of(column.name()).ok());
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }
}

impl fmt::Debug for LakeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeTable")
            .field("key", &self.key().to_string())
            .field("metadata", &self.table.metadata_location())
            .finish_non_exhaustive()
    }
}
