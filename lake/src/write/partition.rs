//! The partition each row belongs to, and the folder of its files.

use arrow::array::{ArrayRef, RecordBatch};
use catalog::{Error, Result};
use chrono::{DateTime, Days};
use iceberg::arrow::arrow_primitive_to_literal;
use iceberg::spec::{
    Literal, PrimitiveLiteral, PrimitiveType, Struct, TableMetadata, Transform, Type,
};

use super::transform::transformed;
use crate::error;

/// Characters of a partition value in its folder's name.
const LONGEST_VALUE: usize = 64;

/// A table's default partitioning.
pub(super) struct Partitioning {
    fields: Vec<Field>,
}

struct Field {
    column: usize,
    transform: Transform,
    /// The type of the transformed values.
    kind: Type,
    folder: String,
}

/// What the rows of one file have in common.
pub(super) struct Partition {
    pub(super) values: Struct,
    /// `name=value` for each field; empty for an unpartitioned table.
    pub(super) folder: String,
}

impl Partitioning {
    pub(super) fn of(metadata: &TableMetadata) -> Result<Self> {
        let fields = metadata.default_partition_spec().fields().iter();
        let kinds = metadata.default_partition_type().fields().iter();
        let fields = fields.zip(kinds).map(|(field, kind)| {
            let column = super::layout::position(metadata, field.source_id);
            Ok(Field {
                column: column.ok_or_else(|| {
                    Error::unsupported(
                        "the table is partitioned by a column that cannot be written",
                    )
                })?,
                transform: field.transform,
                kind: kind.field_type.as_ref().clone(),
                folder: plain(&field.name, 100),
            })
        });
        Ok(Self {
            fields: fields.collect::<Result<_>>()?,
        })
    }

    /// A column of partition values for every field; none for an unpartitioned table.
    pub(super) fn columns(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let fields = self.fields.iter();
        fields
            .map(|field| transformed(field.transform, rows.column(field.column)))
            .collect()
    }

    /// The partition of row `row`, whose values are in `columns`.
    pub(super) fn at(&self, columns: &[ArrayRef], row: usize) -> Result<Partition> {
        let mut values = Vec::with_capacity(self.fields.len());
        let mut folders = Vec::with_capacity(self.fields.len());
        for (field, column) in self.fields.iter().zip(columns) {
            let value = arrow_primitive_to_literal(&column.slice(row, 1), &field.kind)
                .map_err(error::iceberg("could not take a partition value"))?;
            let value = value.into_iter().next().flatten();
            folders.push(format!("{}={}", field.folder, shown(&value, &field.kind)));
            values.push(value);
        }
        Ok(Partition {
            values: Struct::from_iter(values),
            folder: folders.join("/"),
        })
    }
}

fn shown(value: &Option<Literal>, kind: &Type) -> String {
    let Some(Literal::Primitive(value)) = value else {
        return "null".into();
    };
    let text = match (value, kind.as_primitive_type()) {
        (PrimitiveLiteral::Int(day), Some(PrimitiveType::Date)) => date(*day),
        (PrimitiveLiteral::Boolean(value), _) => value.to_string(),
        (PrimitiveLiteral::Int(value), _) => value.to_string(),
        (PrimitiveLiteral::Long(value), _) => value.to_string(),
        (PrimitiveLiteral::Float(value), _) => value.to_string(),
        (PrimitiveLiteral::Double(value), _) => value.to_string(),
        (PrimitiveLiteral::String(value), _) => value.clone(),
        (PrimitiveLiteral::Int128(value), _) => value.to_string(),
        (PrimitiveLiteral::UInt128(value), _) => format!("{value:032x}"),
        (PrimitiveLiteral::Binary(value), _) => {
            let bytes = value.iter().take(LONGEST_VALUE / 2);
            bytes.map(|byte| format!("{byte:02x}")).collect()
        }
        (PrimitiveLiteral::AboveMax | PrimitiveLiteral::BelowMin, _) => "out-of-range".into(),
    };
    plain(&text, LONGEST_VALUE)
}

/// Readers take paths literally or decode `%`; plain characters mean the same to all.
fn plain(name: &str, longest: usize) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let replaced = name.chars().map(|c| if plain(c) { c } else { '_' });
    replaced.take(longest).collect()
}

/// The day as `2026-11-01`, which is how Iceberg names it in paths.
fn date(day: i32) -> String {
    let epoch = DateTime::UNIX_EPOCH.date_naive();
    let distance = Days::new(day.unsigned_abs().into());
    let date = match day < 0 {
        true => epoch.checked_sub_days(distance),
        false => epoch.checked_add_days(distance),
    };
    date.map_or_else(|| format!("day{day}"), |date| date.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates_also_before_1970() {
        assert_eq!(date(20_758), "2026-11-01");
        assert_eq!(date(-1), "1969-12-31");
        assert_eq!(date(i32::MAX), format!("day{}", i32::MAX));
    }

    #[test]
    fn folders_hold_plain_characters_only() {
        assert_eq!(plain("ts_day", 100), "ts_day");
        assert_eq!(plain("time %20/ä_day", 100), "time__20___day");
        assert_eq!(plain(&"x".repeat(1_000), 100).len(), 100);
        let text = Some(Literal::string("../a"));
        let kind = Type::Primitive(PrimitiveType::String);
        assert_eq!(shown(&text, &kind), ".._a");
        assert_eq!(shown(&None, &kind), "null");
    }
}
