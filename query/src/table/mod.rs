//! A table of one catalog snapshot as DataFusion scans it: data files that may match,
//! and hot rows on top.
use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use catalog::{Key, Store};
use chrono::DateTime;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::{DFSchema, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_optimizer::pruning::PruningPredicate;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use lake::ScanFile;
use lake::hot::HotRows;
use object_store::{ObjectMeta, ObjectStore};

use crate::bounds::{Columns, FileBounds};
use crate::error::into_datafusion;
use crate::hot;

/// The name the lake's object store has inside a DataFusion runtime.
pub(crate) fn store_url() -> ObjectStoreUrl {
    ObjectStoreUrl::parse("lake://store").expect("a constant URL parses")
}

/// A table pinned to one snapshot, with the rows that snapshot does not hold yet.
pub(crate) struct LakeTable {
    table: lake::Table,
    store: Arc<dyn ObjectStore>,
    hot: Option<HotRows>,
    schema: SchemaRef,
    columns: Columns,
}

impl LakeTable {
    pub(crate) fn new(table: lake::Table, store: &Store, hot: Option<HotRows>) -> Self {
        let with_ids = table.arrow_schema();
        let ids = with_ids
            .fields()
            .iter()
            .map(|field| field_id(field))
            .collect();
        let schema = without_metadata(&with_ids);
        LakeTable {
            store: store.object_store(),
            hot: hot.filter(|rows| rows.batches.iter().any(|batch| batch.num_rows() > 0)),
            columns: Columns::new(Arc::clone(&schema), ids),
            schema,
            table,
        }
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
    ) -> Result<Vec<(ScanFile, Arc<Statistics>)>> {
        let files = self.table.data_files().await.map_err(into_datafusion)?;
        let statistics: Vec<Arc<Statistics>> = files
            .iter()
            .map(|file| Arc::new(self.columns.statistics(&file.file, wanted)))
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

    /// A scan of `files`, spread over the session's target partitions by size.
    fn parquet(
        &self,
        state: &dyn Session,
        files: Vec<(ScanFile, Arc<Statistics>)>,
        args: &Args<'_>,
        prune_inside: bool,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        options.global.pruning &= prune_inside;
        options.global.enable_page_index &= prune_inside;
        let metadata = state.runtime_env().cache_manager.get_file_metadata_cache();
        let reader = CachedParquetFileReaderFactory::new(Arc::clone(&self.store), metadata);
        let source = ParquetSource::new(Arc::clone(&self.schema))
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(reader));
        let statistics = files.iter().map(|(_, statistics)| statistics.as_ref());
        let statistics = Statistics::try_merge_iter(statistics, &self.schema)?;
        let partitions = state.config().target_partitions();
        let config = FileScanConfigBuilder::new(store_url(), Arc::new(source))
            .with_file_groups(groups(files, partitions))
            .with_statistics(statistics)
            .with_projection_indices(args.projection.cloned())?
            .with_limit(args.limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

struct Args<'a> {
    projection: Option<&'a Vec<usize>>,
    limit: Option<usize>,
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
        let args = Args { projection, limit };
        let wanted = self.wanted(projection, filters);
        let files = self.files(state, filters, &wanted).await?;
        let may_hide_nan = |file: &ScanFile| self.columns.may_hide_nan(&file.file, &wanted);
        // Two scans run side by side; on one partition rows must keep their order, so there
        // a single NaN keeps every file from being pruned inside.
        let together = state.config().target_partitions() == 1
            && files.iter().any(|(file, _)| may_hide_nan(file));
        let (with_nan, plain): (Vec<_>, Vec<_>) = files
            .into_iter()
            .partition(|(file, _)| together || may_hide_nan(file));
        let mut parts = Vec::new();
        if !plain.is_empty() {
            parts.push(self.parquet(state, plain, &args, true)?);
        }
        if !with_nan.is_empty() {
            parts.push(self.parquet(state, with_nan, &args, false)?);
        }
        if let Some(rows) = &self.hot {
            let partitions = state.config().target_partitions();
            parts.push(hot::scan(rows, &self.schema, projection, partitions)?);
        }
        match parts.len() {
            0 => Ok(Arc::new(EmptyExec::new(self.projected(projection)?))),
            1 => Ok(parts.remove(0)),
            _ => UnionExec::try_new(parts),
        }
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
    fn wanted(&self, projection: Option<&Vec<usize>>, filters: &[Expr]) -> Vec<usize> {
        let Some(projection) = projection else {
            return (0..self.schema.fields().len()).collect();
        };
        let mut wanted = projection.clone();
        for filter in filters {
            for column in filter.column_refs() {
                wanted.extend(self.schema.index_of(column.name()).ok());
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    fn projected(&self, projection: Option<&Vec<usize>>) -> Result<SchemaRef> {
        match projection {
            Some(indices) => Ok(Arc::new(self.schema.project(indices)?)),
            None => Ok(Arc::clone(&self.schema)),
        }
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

/// `files` in at most `partitions` groups of about the same size, newest file first.
fn groups(files: Vec<(ScanFile, Arc<Statistics>)>, partitions: usize) -> Vec<FileGroup> {
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> =
        vec![(0, Vec::new()); partitions.clamp(1, files.len().max(1))];
    for (file, statistics) in files.into_iter().rev() {
        let size = file.file.file_size_in_bytes();
        if let Some(group) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            group.0 += size;
            group.1.push(partitioned_file(file, size, statistics));
        }
    }
    groups
        .into_iter()
        .map(|(_, files)| FileGroup::new(files))
        .collect()
}

fn partitioned_file(file: ScanFile, size: u64, statistics: Arc<Statistics>) -> PartitionedFile {
    // `PartitionedFile::new` would percent-encode the path; data files are immutable, so
    // one constant time keeps cached footers valid.
    let meta = ObjectMeta {
        location: file.path,
        last_modified: DateTime::UNIX_EPOCH,
        size,
        e_tag: None,
        version: None,
    };
    PartitionedFile::new_from_meta(meta).with_statistics(statistics)
}

fn field_id(field: &Field) -> Option<i32> {
    let id = field
        .metadata()
        .get(parquet::arrow::PARQUET_FIELD_ID_META_KEY)?;
    id.parse().ok()
}

/// Field ids are the storage's business; queries and clients see plain columns.
pub(crate) fn without_metadata(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter();
    let fields: Vec<Field> = fields
        .map(|field| field.as_ref().clone().with_metadata(Default::default()))
        .collect();
    Arc::new(Schema::new(fields))
}
