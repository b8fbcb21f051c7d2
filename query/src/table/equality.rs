//! Equality deletes: rows go whose values a younger delete file of their partition names.
//!
//! One anti join per set of columns does it for all files at once: a deleted key carries
//! the sequence number and the partition of its file, and hits the rows of older files of
//! that partition. Null equals null here, as the Iceberg specification has it.
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use catalog::Error;
use datafusion::catalog::Session;
use datafusion::common::{JoinSide, JoinType, NullEquality, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter, JoinOn};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use lake::{DeleteFile, ScanFile};
use object_store::ObjectStore;

use super::fields::Fields;
use super::files::{FileScan, partitioned_file};
use crate::error::into_datafusion;

/// The data sequence number of a row's file. The first character keeps the names of these
/// columns apart from those of tables.
const SEQUENCE: &str = "\u{1}sequence";
/// The number of the partition a row's file is in.
const PARTITION: &str = "\u{1}partition";

/// The equality deletes of some data files, and what a scan must read to apply them.
pub(super) struct EqualityDeletes {
    /// The table's columns, then key columns the table has dropped since.
    pub(super) fields: Fields,
    /// By key columns (indices into `fields`) and whether the partition does not matter.
    sets: BTreeMap<(Vec<usize>, bool), Vec<Arc<DeleteFile>>>,
    /// The numbers of the data files' partitions, in the files' order.
    partitions: Vec<i64>,
    /// The same of delete files, by path.
    delete_partitions: HashMap<String, i64>,
}

/// Whether a scan of `file` must apply equality deletes.
pub(super) fn has_equality_deletes(file: &ScanFile) -> bool {
    file.deletes.iter().any(|delete| !delete.is_positional())
}

impl EqualityDeletes {
    /// Those of `files`.
    ///
    /// # Errors
    /// When a delete file names no columns, or one the table never had.
    pub(super) fn of(table: &lake::Table, fields: &Fields, files: &[ScanFile]) -> Result<Self> {
        let mut numbers = HashMap::new();
        let mut deletes = EqualityDeletes {
            fields: fields.clone(),
            sets: BTreeMap::new(),
            partitions: Vec::with_capacity(files.len()),
            delete_partitions: HashMap::new(),
        };
        for file in files {
            let next = numbers.len() as i64;
            let partition = (file.partition_spec_id, file.file.partition().clone());
            let number = *numbers.entry(partition).or_insert(next);
            deletes.partitions.push(number);
            for delete in file.deletes.iter().filter(|d| !d.is_positional()) {
                let known = deletes
                    .delete_partitions
                    .insert(delete.file.file_path().to_owned(), number);
                if known.is_none() {
                    let keys = deletes.keys(table, delete)?;
                    let set = deletes.sets.entry((keys, delete.global)).or_default();
                    set.push(Arc::clone(delete));
                }
            }
        }
        Ok(deletes)
    }

    /// The positions of the key columns of `delete`, ascending.
    fn keys(&mut self, table: &lake::Table, delete: &DeleteFile) -> Result<Vec<usize>> {
        let ids = delete.file.equality_ids().unwrap_or_default();
        let mut keys = Vec::with_capacity(ids.len());
        for id in ids {
            if self.fields.position(id).is_none() {
                let field = table.former_column(id).map_err(into_datafusion)?;
                let field = field.ok_or_else(|| unknown_key(delete, id))?;
                let name = format!("\u{1}dropped {id}");
                self.fields = self.fields.and(field.with_name(name), id);
            }
            keys.extend(self.fields.position(id));
        }
        keys.sort_unstable();
        keys.dedup();
        match keys.is_empty() {
            true => Err(no_keys(delete)),
            false => Ok(keys),
        }
    }

    /// The columns a scan of the data files adds, one value per file.
    pub(super) fn constants() -> Vec<FieldRef> {
        [SEQUENCE, PARTITION]
            .map(|name| Arc::new(Field::new(name, DataType::Int64, false)))
            .to_vec()
    }

    /// The values of those columns for the data file at `index`.
    pub(super) fn values(&self, index: usize, file: &ScanFile) -> Vec<ScalarValue> {
        values(file.sequence_number, self.partitions[index])
    }

    /// Every column of `fields` that some delete file has as a key, ascending.
    pub(super) fn key_columns(&self) -> Vec<usize> {
        let mut keys: Vec<usize> = self
            .sets
            .keys()
            .flat_map(|(keys, _)| keys.clone())
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// `rows` without the deleted ones, and only their first `columns` columns.
    pub(super) fn apply(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        rows: Arc<dyn ExecutionPlan>,
        columns: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut rows = rows;
        for ((keys, global), files) in &self.sets {
            let deleted = self.deleted(state, store, keys, files)?;
            rows = anti_join(deleted, rows, *global)?;
        }
        let schema = rows.schema();
        let kept = schema.fields().iter().take(columns).enumerate();
        let kept = kept.map(|(index, field)| {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
            (column, field.name().clone())
        });
        Ok(Arc::new(ProjectionExec::try_new(
            kept.collect::<Vec<_>>(),
            rows,
        )?))
    }

    /// A scan of the delete files' key columns, sequence number and partition.
    fn deleted(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        keys: &[usize],
        files: &[Arc<DeleteFile>],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = files.iter().map(|delete| {
            let partition = self.delete_partitions.get(delete.file.file_path());
            let constants = values(delete.sequence_number, partition.copied().unwrap_or(-1));
            let size = delete.file.file_size_in_bytes();
            partitioned_file(delete.path.clone(), size, constants, None)
        });
        let scan = FileScan {
            fields: self.fields.project(keys)?,
            constants: Self::constants(),
            files: files.collect(),
            projection: None,
            limit: None,
            // Filters on keys reach this side too, and other writers' statistics hide NaN.
            prune_inside: false,
        };
        scan.plan(state, store)
    }
}

fn values(sequence: i64, partition: i64) -> Vec<ScalarValue> {
    vec![
        ScalarValue::Int64(Some(sequence)),
        ScalarValue::Int64(Some(partition)),
    ]
}

/// `rows` that no row of `deleted` with a higher sequence number equals; `deleted` holds
/// the keys, then sequence number and partition.
fn anti_join(
    deleted: Arc<dyn ExecutionPlan>,
    rows: Arc<dyn ExecutionPlan>,
    global: bool,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (left, right) = (deleted.schema(), rows.schema());
    let mut on: JoinOn = Vec::new();
    for field in left.fields() {
        let name = field.name();
        if name == SEQUENCE || (global && name == PARTITION) {
            continue;
        }
        let pair = (column(name, &left)?, column(name, &right)?);
        on.push(pair);
    }
    let sequence = |schema: &Schema, side| -> Result<ColumnIndex> {
        let index = schema.index_of(SEQUENCE)?;
        Ok(ColumnIndex { index, side })
    };
    let sides = vec![
        sequence(&left, JoinSide::Left)?,
        sequence(&right, JoinSide::Right)?,
    ];
    let sequences = ["deleted", "written"].map(|name| Field::new(name, DataType::Int64, false));
    let younger = BinaryExpr::new(
        Arc::new(Column::new("deleted", 0)),
        Operator::Gt,
        Arc::new(Column::new("written", 1)),
    );
    let younger = JoinFilter::new(
        Arc::new(younger),
        sides,
        Arc::new(Schema::new(sequences.to_vec())),
    );
    Ok(Arc::new(HashJoinExec::try_new(
        // Also where no optimizer comes by to gather the side that is held in memory.
        Arc::new(CoalescePartitionsExec::new(deleted)),
        rows,
        on,
        Some(younger),
        &JoinType::RightAnti,
        None,
        PartitionMode::CollectLeft,
        NullEquality::NullEqualsNull,
        false,
    )?))
}

fn column(name: &str, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    Ok(Arc::new(Column::new_with_schema(name, schema)?))
}

fn no_keys(delete: &DeleteFile) -> datafusion::error::DataFusionError {
    into_datafusion(Error::corrupt(format!(
        "equality delete file {} names no columns",
        delete.path
    )))
}

fn unknown_key(delete: &DeleteFile, id: i32) -> datafusion::error::DataFusionError {
    into_datafusion(Error::corrupt(format!(
        "equality delete file {} deletes by field {id}, which the table never had",
        delete.path
    )))
}
