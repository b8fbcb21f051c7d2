//! A table of one catalog snapshot as DataFusion scans it: data files that may match, less
//! their deleted rows, and hot rows on top.
mod barrier;
mod equality;
mod fields;
mod files;
mod positions;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use async_trait::async_trait;
use catalog::{Key, Store};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{ColumnStatistics, DFSchema, ScalarValue, Statistics};
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_optimizer::pruning::PruningPredicate;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use lake::ScanFile;
use lake::hot::HotRows;

use self::barrier::NoLimitExec;
use self::equality::{EqualityDeletes, has_equality_deletes};
use self::fields::Fields;
pub(crate) use self::fields::without_metadata;
pub(crate) use self::files::store_url;
use self::files::{FileScan, partitioned_file};
use self::positions::{PositionDeletes, has_position_deletes};
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

/// What a scan returns of each row.
struct Request<'a> {
    /// Indices of the table's columns.
    projection: &'a [usize],
    /// Whether the file's location follows them, as a column of that name.
    file: Option<&'a FieldRef>,
    limit: Option<usize>,
}

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

    /// Scans of `files`, which together are all their rows that are not deleted: one per
    /// way they must be read.
    async fn scans(
        &self,
        state: &dyn Session,
        files: Vec<Candidate>,
        wanted: &[usize],
        request: &Request<'_>,
    ) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
        let mut ways: BTreeMap<(bool, bool), Vec<Candidate>> = BTreeMap::new();
        for candidate in files {
            let hides_nan = self.columns.may_hide_nan(&candidate.0.file, wanted);
            let way = (has_equality_deletes(&candidate.0), hides_nan);
            ways.entry(way).or_default().push(candidate);
        }
        // Several scans run side by side; on one partition rows must keep their order, so
        // there all files are read in the way the most demanding one needs.
        if state.config().target_partitions() == 1 && ways.len() > 1 {
            let way = ways
                .keys()
                .fold((false, false), |all, one| (all.0 || one.0, all.1 || one.1));
            let mut files: Vec<Candidate> = ways.into_values().flatten().collect();
            files.sort_by_key(|(file, _)| file.sequence_number);
            ways = BTreeMap::from([(way, files)]);
        }
        let mut scans = Vec::with_capacity(ways.len());
        for ((equality, hides_nan), files) in ways {
            scans.push(match equality {
                true => {
                    self.equality_scan(state, files, request, !hides_nan)
                        .await?
                }
                false => self.plain_scan(state, files, request, !hides_nan).await?,
            });
        }
        Ok(scans)
    }

    /// A scan of files without equality deletes.
    async fn plain_scan(
        &self,
        state: &dyn Session,
        files: Vec<Candidate>,
        request: &Request<'_>,
        prune_inside: bool,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut projection = request.projection.to_vec();
        projection.extend(request.file.map(|_| self.fields.ids.len()));
        let scan = FileScan {
            fields: self.fields.clone(),
            constants: request.file.cloned().into_iter().collect(),
            files: Vec::new(),
            projection: Some(projection),
            limit: request.limit,
            prune_inside,
        };
        self.data_scan(state, scan, files, |_, file| request.constants(file))
            .await
    }

    /// A scan of files that have equality deletes.
    async fn equality_scan(
        &self,
        state: &dyn Session,
        files: Vec<Candidate>,
        request: &Request<'_>,
        prune_inside: bool,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let data: Vec<ScanFile> = files.iter().map(|(file, _)| file.clone()).collect();
        let deletes = EqualityDeletes::of(&self.table, &self.fields, &data)?;
        let mut constants: Vec<FieldRef> = request.file.cloned().into_iter().collect();
        let mut projection = request.projection.to_vec();
        projection.extend(request.file.map(|_| deletes.fields.ids.len()));
        let columns = projection.len();
        let mut keys = deletes.key_columns();
        keys.retain(|key| !projection.contains(key));
        projection.extend(keys);
        let first = deletes.fields.ids.len() + constants.len();
        constants.extend(EqualityDeletes::constants());
        projection.extend(first..deletes.fields.ids.len() + constants.len());
        let scan = FileScan {
            fields: deletes.fields.clone(),
            constants,
            files: Vec::new(),
            projection: Some(projection),
            limit: None,
            prune_inside,
        };
        let values = |index, file: &ScanFile| {
            let mut values = request.constants(file);
            values.extend(deletes.values(index, file));
            values
        };
        let rows = self.data_scan(state, scan, files, values).await?;
        deletes.apply(state, &self.store.object_store(), rows, columns)
    }

    /// `scan` of `files` with the `constants` of each, without the rows that position
    /// deletes name.
    async fn data_scan(
        &self,
        state: &dyn Session,
        mut scan: FileScan,
        files: Vec<Candidate>,
        constants: impl Fn(usize, &ScanFile) -> Vec<ScalarValue>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let width = scan.fields.ids.len();
        let mut data = Vec::with_capacity(files.len());
        for (index, (file, mut statistics)) in files.into_iter().enumerate() {
            if statistics.column_statistics.len() < width {
                let columns = &mut Arc::make_mut(&mut statistics).column_statistics;
                columns.resize_with(width, ColumnStatistics::new_unknown);
            }
            let size = file.file.file_size_in_bytes();
            let values = constants(index, &file);
            let path = file.path.clone();
            scan.files
                .push(partitioned_file(path, size, values, Some(statistics)));
            data.push(file);
        }
        let positions = data.iter().any(has_position_deletes);
        if positions {
            self.positions
                .apply(state, &self.store, &data, &mut scan.files)
                .await?;
            scan.limit = None;
        }
        let plan = scan.plan(state, &self.store.object_store())?;
        Ok(match positions {
            true => Arc::new(NoLimitExec::new(plan)),
            false => plan,
        })
    }
}

impl Request<'_> {
    fn constants(&self, file: &ScanFile) -> Vec<ScalarValue> {
        let location = |_| {
            let location = ScalarValue::from(file.path.as_ref());
            ScalarValue::Dictionary(Box::new(DataType::Int32), Box::new(location))
        };
        self.file.map(location).into_iter().collect()
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

/// All rows of `parts`; of none, an empty result of that schema.
fn together(
    mut parts: Vec<Arc<dyn ExecutionPlan>>,
    schema: impl FnOnce() -> Result<SchemaRef>,
) -> Result<Arc<dyn ExecutionPlan>> {
    match parts.len() {
        0 => Ok(Arc::new(EmptyExec::new(schema()?))),
        1 => Ok(parts.remove(0)),
        _ => UnionExec::try_new(parts),
    }
}
