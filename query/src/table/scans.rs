//! How the files of a table are read: apart those with equality deletes, and those whose
//! statistics hide NaN.
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::{ColumnStatistics, ScalarValue};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use lake::ScanFile;

use super::barrier::NoLimitExec;
use super::equality::{EqualityDeletes, has_equality_deletes};
use super::files::{FileScan, partitioned_file};
use super::positions::has_position_deletes;
use super::{Candidate, LakeTable};

/// What a scan returns of each row.
pub(super) struct Request<'a> {
    /// Indices of the table's columns.
    pub(super) projection: &'a [usize],
    /// Whether the file's location follows them, as a column of that name.
    pub(super) file: Option<&'a FieldRef>,
    pub(super) limit: Option<usize>,
    /// Whether a filter stands above the scan, which may move into it later.
    pub(super) filtered: bool,
}

impl LakeTable {
    /// Scans of `files`, which together are all their rows that are not deleted: one per
    /// way they must be read.
    pub(super) async fn scans(
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
            let stop_limit =
                request.filtered || files.iter().any(|(file, _)| has_position_deletes(file));
            let scan = match equality {
                true => {
                    self.equality_scan(state, files, request, !hides_nan)
                        .await?
                }
                false => self.plain_scan(state, files, request, !hides_nan).await?,
            };
            scans.push(match stop_limit {
                true => Arc::new(NoLimitExec::new(scan)),
                false => scan,
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
        if data.iter().any(has_position_deletes) {
            self.positions
                .apply(state, &self.store, &data, &mut scan.files)
                .await?;
            scan.limit = None;
        }
        scan.plan(state, &self.store.object_store())
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

/// All rows of `parts`; of none, an empty result of that schema.
pub(super) fn together(
    mut parts: Vec<Arc<dyn ExecutionPlan>>,
    schema: impl FnOnce() -> Result<SchemaRef>,
) -> Result<Arc<dyn ExecutionPlan>> {
    match parts.len() {
        0 => Ok(Arc::new(EmptyExec::new(schema()?))),
        1 => Ok(parts.remove(0)),
        _ => UnionExec::try_new(parts),
    }
}
