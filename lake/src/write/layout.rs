//! How a table wants its files: columns, partition, sort order, bloom filters.

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use catalog::{Error, Result};
use iceberg::spec::{NullOrder, PrimitiveType, SortDirection, TableMetadata, Transform};
use parquet::arrow::ArrowSchemaConverter;
use parquet::schema::types::{ColumnDescriptor, ColumnPath};
use uuid::Uuid;

use super::partition::Partitioning;
use crate::create::BLOOM_PREFIX;
use crate::error;
use crate::recorded;
use crate::table::Table;

/// A column as Parquet files hold it: one for each field that is not nested itself.
pub(super) struct Leaf {
    pub(super) id: i32,
    pub(super) kind: PrimitiveType,
    pub(super) path: ColumnPath,
    /// Whether a row may have many of its values, being in a list or map.
    pub(super) repeated: bool,
    pub(super) bloom: bool,
}

/// A column to sort by.
pub(crate) struct SortBy {
    /// Where it stands among the table's columns.
    pub(crate) column: usize,
    /// Its field id.
    pub(super) id: i32,
    pub(crate) options: SortOptions,
}

/// What the writer needs to know of a table.
pub(crate) struct Layout {
    pub(crate) schema: SchemaRef,
    /// In the order of the files' columns, which goes depth first.
    pub(super) leaves: Vec<Leaf>,
    pub(super) partitioning: Partitioning,
    pub(crate) sort: Vec<SortBy>,
    /// The id of `sort` in the table; absent when files are not sorted.
    pub(crate) sort_order_id: Option<i32>,
    pub(crate) spec_id: i32,
    location: String,
}

impl Layout {
    pub(crate) fn of(table: &Table) -> Result<Self> {
        Self::new(table, table.arrow_schema())
    }

    /// The same with the time each row was committed as the last column; without it where the
    /// table has a column of that name.
    pub(crate) fn with_times(table: &Table) -> Result<Self> {
        let columns = table.arrow_schema();
        Self::new(table, recorded::with_time(&columns).unwrap_or(columns))
    }

    fn new(table: &Table, schema: SchemaRef) -> Result<Self> {
        let metadata = table.metadata();
        let sort = sort(metadata);
        let order_id = i32::try_from(metadata.default_sort_order_id()).ok();
        Ok(Self {
            leaves: leaves(table, &schema)?,
            schema,
            partitioning: Partitioning::of(metadata)?,
            sort_order_id: order_id.filter(|_| !sort.is_empty()),
            sort,
            spec_id: metadata.default_partition_spec_id(),
            location: metadata.location().to_owned(),
        })
    }

    /// Whether rows come with the time they were committed.
    pub(crate) fn has_times(&self) -> bool {
        let last = self.leaves.last();
        last.is_some_and(|leaf| leaf.id == recorded::COMMITTED_AT_ID)
    }

    /// A new file's location, in a partition's folder.
    pub(super) fn new_location(&self, folder: &str) -> String {
        // Its name tells when it was begun, once the snapshot that added it has expired.
        let (table, name) = (&self.location, Uuid::now_v7());
        match folder {
            "" => format!("{table}/data/{name}.parquet"),
            folder => format!("{table}/data/{folder}/{name}.parquet"),
        }
    }
}

fn leaves(table: &Table, schema: &SchemaRef) -> Result<Vec<Leaf>> {
    let parquet = ArrowSchemaConverter::new().convert(schema);
    let parquet = parquet.map_err(error::parquet("the table's columns have no Parquet form"))?;
    let metadata = table.metadata();
    let leaves = parquet.columns().iter().map(|column| {
        leaf(metadata, column).ok_or_else(|| {
            let path = column.path();
            Error::internal(format!("column {path} of a file is no column of its table"))
        })
    });
    leaves.collect()
}

fn leaf(metadata: &TableMetadata, column: &ColumnDescriptor) -> Option<Leaf> {
    let basic = column.self_type().get_basic_info();
    let id = basic.has_id().then(|| basic.id())?;
    if id == recorded::COMMITTED_AT_ID {
        return Some(Leaf {
            id,
            kind: PrimitiveType::Timestamptz,
            path: column.path().clone(),
            repeated: false,
            bloom: false,
        });
    }
    let schema = metadata.current_schema();
    let name = schema.name_by_field_id(id)?;
    let bloom = metadata.properties().get(&format!("{BLOOM_PREFIX}{name}"));
    Some(Leaf {
        id,
        kind: schema
            .field_by_id(id)?
            .field_type
            .as_primitive_type()?
            .clone(),
        path: column.path().clone(),
        repeated: column.max_rep_level() > 0,
        bloom: bloom.is_some_and(|on| on == "true"),
    })
}

/// Where among the table's columns the field is; `None` for one within another.
pub(super) fn position(metadata: &TableMetadata, field_id: i32) -> Option<usize> {
    let mut fields = metadata.current_schema().as_struct().fields().iter();
    fields.position(|field| field.id == field_id && field.field_type.is_primitive())
}

/// The sort columns; none when the order transforms them, which other engines may do.
fn sort(metadata: &TableMetadata) -> Vec<SortBy> {
    let fields = metadata.default_sort_order().fields.iter();
    let by = fields.map(|field| {
        let plain = field.transform == Transform::Identity;
        let column = position(metadata, field.source_id).filter(|_| plain)?;
        let options = SortOptions {
            descending: field.direction == SortDirection::Descending,
            nulls_first: field.null_order == NullOrder::First,
        };
        let id = field.source_id;
        Some(SortBy {
            column,
            id,
            options,
        })
    });
    by.collect::<Option<_>>().unwrap_or_default()
}
