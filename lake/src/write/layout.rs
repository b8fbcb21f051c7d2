//! How a table wants its files: columns, partition, sort order, bloom filters.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use catalog::{Error, Result};
use chrono::{DateTime, Days};
use iceberg::spec::{
    NestedFieldRef, NullOrder, PrimitiveType, SortDirection, TableMetadata, Transform,
};
use uuid::Uuid;

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
    /// The column whose day is the partition.
    pub(super) day: Option<Day>,
    pub(super) sort: Vec<SortBy>,
    /// The id of `sort` in the table; absent when files are not sorted.
    pub(super) sort_order_id: Option<i32>,
    pub(super) spec_id: i32,
    location: String,
}

/// The day partition.
pub(super) struct Day {
    pub(super) column: usize,
    folder: String,
}

impl Layout {
    pub(super) fn of(table: &Table) -> Result<Self> {
        let metadata = table.metadata();
        let sort = sort(metadata);
        let order_id = i32::try_from(metadata.default_sort_order_id()).ok();
        Ok(Self {
            schema: table.arrow_schema(),
            columns: columns(metadata)?,
            day: day(metadata)?,
            sort_order_id: order_id.filter(|_| !sort.is_empty()),
            sort,
            spec_id: metadata.default_partition_spec_id(),
            location: metadata.location().to_owned(),
        })
    }

    /// A new file's location, in the folder of partition `day` (days since 1970).
    pub(super) fn new_location(&self, day: Option<i32>) -> String {
        let (table, name) = (&self.location, Uuid::new_v4());
        match &self.day {
            Some(by) => format!("{table}/data/{}={}/{name}.parquet", by.folder, date(day)),
            None => format!("{table}/data/{name}.parquet"),
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

fn position(metadata: &TableMetadata, field_id: i32) -> Option<usize> {
    let mut fields = metadata.current_schema().as_struct().fields().iter();
    fields.position(|field| field.id == field_id)
}

fn day(metadata: &TableMetadata) -> Result<Option<Day>> {
    let by = match metadata.default_partition_spec().fields() {
        [] => return Ok(None),
        [by] if by.transform == Transform::Day => by,
        other => {
            let transforms: Vec<_> = other.iter().map(|by| by.transform.to_string()).collect();
            let message = format!("the table is partitioned by {}", transforms.join(", "));
            let error = Error::unsupported(message);
            return Err(error.with_hint("only a day of one column can be written"));
        }
    };
    let column = position(metadata, by.source_id)
        .ok_or_else(|| Error::corrupt("the table is partitioned by a column it lacks"))?;
    Ok(Some(Day {
        column,
        folder: folder(&by.name),
    }))
}

/// Readers take paths literally or decode `%`; plain characters mean the same to all.
fn folder(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let replaced = name.chars().map(|c| if plain(c) { c } else { '_' });
    replaced.take(100).collect()
}

/// The day as `2026-11-01`, which is how Iceberg names it in paths.
fn date(day: Option<i32>) -> String {
    let Some(day) = day else {
        return "null".into();
    };
    let epoch = DateTime::UNIX_EPOCH.date_naive();
    let distance = Days::new(day.unsigned_abs().into());
    let date = match day < 0 {
        true => epoch.checked_sub_days(distance),
        false => epoch.checked_add_days(distance),
    };
    date.map_or_else(|| format!("day{day}"), |date| date.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates_also_before_1970() {
        assert_eq!(date(Some(20_758)), "2026-11-01");
        assert_eq!(date(Some(-1)), "1969-12-31");
        assert_eq!(date(Some(i32::MAX)), format!("day{}", i32::MAX));
        assert_eq!(date(None), "null");
    }

    #[test]
    fn folders_hold_plain_characters_only() {
        assert_eq!(folder("ts_day"), "ts_day");
        assert_eq!(folder("time %20/ä_day"), "time__20___day");
    }
}
