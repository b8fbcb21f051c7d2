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
use crate::error;
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
///
/// Files hold the columns of primitive types. Nested ones, which other engines may have
/// added, are left out: a column that a file lacks reads as null.
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
            schema: written_schema(table)?,
            columns: columns(metadata),
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

/// The columns that files hold, as they come in the table.
pub(super) fn written_schema(table: &Table) -> Result<SchemaRef> {
    let fields = table.metadata().current_schema().as_struct().fields();
    let at: Vec<usize> = (0..fields.len())
        .filter(|at| fields[*at].field_type.is_primitive())
        .collect();
    let schema = table.arrow_schema();
    if at.len() == fields.len() {
        return Ok(schema);
    }
    let written = schema.project(&at);
    let written = written.map_err(error::arrow("could not choose the columns to write"))?;
    Ok(Arc::new(written))
}

fn written(metadata: &TableMetadata) -> impl Iterator<Item = (&NestedFieldRef, &PrimitiveType)> {
    let fields = metadata.current_schema().as_struct().fields().iter();
    fields.filter_map(|field| Some((field, field.field_type.as_primitive_type()?)))
}

fn columns(metadata: &TableMetadata) -> Vec<Column> {
    let columns = written(metadata).map(|(field, kind)| {
        let property = format!("{BLOOM_PREFIX}{}", field.name);
        let bloom = metadata.properties().get(&property);
        Column {
            kind: kind.clone(),
            bloom: bloom.is_some_and(|on| on == "true"),
            field: Arc::clone(field),
        }
    });
    columns.collect()
}

/// Where among the columns of a file the field is.
pub(super) fn position(metadata: &TableMetadata, field_id: i32) -> Option<usize> {
    written(metadata).position(|(field, _)| field.id == field_id)
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
