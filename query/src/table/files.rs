//! A scan of Parquet files as DataFusion runs it: columns by field id, constants per file,
//! statistics, groups of about the same size.
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use chrono::DateTime;
use datafusion::catalog::Session;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::ExecutionPlan;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::fields::Fields;

/// The name the lake's object store has inside a DataFusion runtime.
pub(crate) fn store_url() -> ObjectStoreUrl {
    ObjectStoreUrl::parse("lake://store").expect("a constant URL parses")
}

/// Files to scan, all read as the same columns.
pub(super) struct FileScan {
    /// The columns of the files.
    pub(super) fields: Fields,
    /// Columns with one value per file, which follow those of the files.
    pub(super) constants: Vec<FieldRef>,
    pub(super) files: Vec<PartitionedFile>,
    /// Indices into the files' columns and the constants; `None` is all of them.
    pub(super) projection: Option<Vec<usize>>,
    pub(super) limit: Option<usize>,
    /// Whether row groups and pages may be skipped by their Parquet statistics.
    pub(super) prune_inside: bool,
}

impl FileScan {
    /// The scan over at most the session's target partitions, newest file first.
    pub(super) fn plan(
        self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        options.global.pruning &= self.prune_inside;
        options.global.enable_page_index &= self.prune_inside;
        let schema = TableSchema::new(Arc::clone(&self.fields.schema), self.constants);
        let unknown = Statistics::new_unknown(schema.table_schema());
        let all = self.files.iter();
        let all = all.map(|file| file.statistics.as_deref().unwrap_or(&unknown));
        let statistics = Statistics::try_merge_iter(all, schema.table_schema())?;
        let source = ParquetSource::new(schema)
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(reader_factory(state, store)));
        let partitions = state.config().target_partitions();
        let config = FileScanConfigBuilder::new(store_url(), Arc::new(source))
            .with_file_groups(groups(self.files, partitions))
            .with_statistics(statistics)
            .with_projection_indices(self.projection)?
            .with_limit(self.limit)
            .with_expr_adapter(Some(Arc::new(self.fields)))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// Readers that keep footers in the runtime's cache.
pub(super) fn reader_factory(
    state: &dyn Session,
    store: &Arc<dyn ObjectStore>,
) -> CachedParquetFileReaderFactory {
    let metadata = state.runtime_env().cache_manager.get_file_metadata_cache();
    CachedParquetFileReaderFactory::new(Arc::clone(store), metadata)
}

/// A file of `size` bytes with the values of a scan's constants; statistics last, since
/// they take the constants in.
pub(super) fn partitioned_file(
    location: Path,
    size: u64,
    constants: Vec<ScalarValue>,
    statistics: Option<Arc<Statistics>>,
) -> PartitionedFile {
    // `PartitionedFile::new` would percent-encode the path; data files are immutable, so
    // one constant time keeps cached footers valid.
    let meta = ObjectMeta {
        location,
        last_modified: DateTime::UNIX_EPOCH,
        size,
        e_tag: None,
        version: None,
    };
    let file = PartitionedFile::new_from_meta(meta).with_partition_values(constants);
    match statistics {
        Some(statistics) => file.with_statistics(statistics),
        None => file,
    }
}

/// `files` in at most `partitions` groups of about the same size, last file first.
fn groups(files: Vec<PartitionedFile>, partitions: usize) -> Vec<FileGroup> {
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> =
        vec![(0, Vec::new()); partitions.clamp(1, files.len().max(1))];
    for file in files.into_iter().rev() {
        if let Some(group) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            group.0 += file.object_meta.size;
            group.1.push(file);
        }
    }
    groups
        .into_iter()
        .map(|(_, files)| FileGroup::new(files))
        .collect()
}
