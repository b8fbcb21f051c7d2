//! How a table wants its files: columns, partition, sort order, bloom filters.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use catalog::Result;
use iceberg::spec::{
    NestedFieldRef, NullOrder, PrimitiveType, SortDirection, TableMetadata, Transform,
};
use uuid::Uuid;

use super::partition::Partitioning;
use crate::create::BLOOM_PREFIX;
use crate::schema;
use crate::table::Table;

/// One column of the table.
pub(super) struct Column {
    pub(super) field: NestedFieldRef,
    pub(super) kind: PrimitiveType,
    pub(super) bloom: bool,
}

/// A column to sort by.
pub(super) struct SortBy {
    pub(super) column: usize,
    pub(super) options: SortOptions,
}

/// What the writer needs to know of a table.
pub(super) struct Layout {
    pub(super) schema: SchemaRef,
    pub(super) columns: Vec<Column>,
    pub(super) partitioning: Partitioning,
    pub(super) sort: Vec<SortBy>,
    /// The id of `sort` in the table; absent when files are not sorted.
    pub(super) sort_order_id: Option<i32>,
    pub(super) spec_id: i32,
    location: String,
}

impl Layout {
    pub(super) fn of(table: &Table) -> Result<Self> {
        let metadata = table.metadata();
        let sort = sort(metadata);
        let order_id = i32::try_from(metadata.default_sort_order_id()).ok();
        Ok(Self {
            schema: table.arrow_schema(),
            columns: columns(metadata)?,
            partitioning: Partitioning::of(metadata)?,
            sort_order_id: order_id.filter(|_| !sort.is_empty()),
            sort,
            spec_id: metadata.default_partition_spec_id(),
            location: metadata.location().to_owned(),
        })
    }

    /// A new file's location, in a partition's folder.
    pub(super) fn new_location(&self, folder: &str) -> String {
        let (table, name) = (&self.location, Uuid::new_v4());
        match folder {
            "" => format!("{table}/data/{name}.parquet"),
            folder => format!("{table}/data/{folder}/{name}.parquet"),
        }
    }
}

fn columns(metadata: &TableMetadata) -> Result<Vec<Column>> {
    let fields = metadata.current_schema().as_struct().fields();
    let column = |field: &NestedFieldRef| {
        let property = format!("{BLOOM_PREFIX}{}", field.name);
        let bloom = metadata.properties().get(&property);
        Ok(Column {
            kind: schema::primitive(field)?.clone(),
            bloom: bloom.is_some_and(|on| on == "true"),
            field: Arc::clone(field),
        })
    };
    fields.iter().map(column).collect()
}

pub(super) fn position(metadata: &TableMetadata, field_id: i32) -> Option<usize> {
    let mut fields = metadata.current_schema().as_struct().fields().iter();
    fields.position(|field| field.id == field_id)
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
        Some(SortBy { column, options })
    });
    by.collect::<Option<_>>().unwrap_or_default()
}
