//! Partitioning as it is asked for, by column names, and as Iceberg's specs hold it.

use std::fmt;
use std::str::FromStr;

use arrow::datatypes::Schema as ArrowSchema;
use catalog::{Error, Result};
use iceberg::spec::{Schema, Transform, UnboundPartitionSpec};

use crate::error;
use crate::schema;

/// One field of a table's partitioning: a transform of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionField {
    /// The column's name.
    pub column: String,
    /// What is made of its values; files are split by the outcome.
    pub transform: Transform,
}

impl PartitionField {
    /// Files split by `transform` of `column`.
    pub fn new(column: impl Into<String>, transform: Transform) -> Self {
        Self {
            column: column.into(),
            transform,
        }
    }

    /// One partition a UTC day of a timestamp or date column.
    pub fn day(column: impl Into<String>) -> Self {
        Self::new(column, Transform::Day)
    }

    /// Whether Iceberg sees no use in both, such as the day and the hour of one column.
    fn repeats(&self, other: &Self) -> bool {
        let kinds = [self, other].map(|field| match field.transform {
            Transform::Year | Transform::Month | Transform::Day => Transform::Hour,
            kind => kind,
        });
        self.column == other.column && kinds[0] == kinds[1]
    }

    /// The field's name as Iceberg's other writers would choose it.
    fn name(&self) -> String {
        let column = &self.column;
        match self.transform {
            Transform::Identity => column.clone(),
            Transform::Bucket(count) => format!("{column}_bucket_{count}"),
            Transform::Truncate(width) => format!("{column}_trunc_{width}"),
            Transform::Void => format!("{column}_null"),
            other => format!("{column}_{other}"),
        }
    }
}

impl fmt::Display for PartitionField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = &self.column;
        match self.transform {
            Transform::Identity => f.write_str(column),
            Transform::Bucket(count) => write!(f, "bucket({count}, {column})"),
            Transform::Truncate(width) => write!(f, "truncate({width}, {column})"),
            other => write!(f, "{other}({column})"),
        }
    }
}

impl FromStr for PartitionField {
    type Err = Error;

    /// Reads `pump`, `day(ts)` or `bucket(16, pump)`, as [`fmt::Display`] writes them.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid(format!("{text:?} is no partition field")).with_hint(
                "write a column, such as pump, or a transform of one: year(ts), month(ts), \
                 day(ts), hour(ts), bucket(16, pump), truncate(4, pump)",
            )
        };
        let (transform, column) = match text.trim().split_once('(') {
            None => (Transform::Identity, text.trim()),
            Some((name, rest)) => {
                let inner = rest.strip_suffix(')').ok_or_else(wrong)?;
                let (size, column) = match inner.split_once(',') {
                    Some((size, column)) => (size.trim().parse::<u32>().ok(), column),
                    None => (None, inner),
                };
                let sized = inner.contains(',');
                let transform = match (name.trim().to_ascii_lowercase().as_str(), size) {
                    ("identity", None) => Transform::Identity,
                    ("year", None) => Transform::Year,
                    ("month", None) => Transform::Month,
                    ("day", None) => Transform::Day,
                    ("hour", None) => Transform::Hour,
                    ("bucket", Some(count)) => Transform::Bucket(count),
                    ("truncate", Some(width)) => Transform::Truncate(width),
                    _ => return Err(wrong()),
                };
                if sized && size.is_none() {
                    return Err(wrong());
                }
                (transform, column.trim())
            }
        };
        match column.is_empty() || column.contains(['(', ')', ',']) {
            true => Err(wrong()),
            false => Ok(Self::new(column, transform)),
        }
    }
}

/// Refuses a partitioning that a new table of these columns cannot have.
///
/// # Errors
/// `InvalidInput` for a column that is not there, a transform that does not go with its
/// type, or two fields that would be one.
pub fn check_partition(columns: &ArrowSchema, fields: &[PartitionField]) -> Result<()> {
    unbound(&schema::new_schema(columns)?, fields).map(drop)
}

/// The spec that partitions a table of `schema` by `fields`, to be bound by its builder.
///
/// # Errors
/// `InvalidInput` for a column the schema lacks, a transform that does not go with its
/// type, or two fields that would be one.
pub(crate) fn unbound(schema: &Schema, fields: &[PartitionField]) -> Result<UnboundPartitionSpec> {
    let mut spec = UnboundPartitionSpec::builder();
    for (at, field) in fields.iter().enumerate() {
        if let Some(earlier) = fields.iter().take(at).find(|other| field.repeats(other)) {
            let message = format!("a table partitioned by {earlier} cannot be by {field} too");
            return Err(Error::invalid(message).with_hint("keep the finer one of the two"));
        }
        let column = schema::column(schema, &field.column, "partition")?;
        check_transform(field, &column.field_type)?;
        spec = spec
            .add_partition_field(column.id, free_name(schema, field), field.transform)
            .map_err(error::iceberg("could not build the partition spec"))?;
    }
    Ok(spec.build())
}

/// Refuses a transform of a column of type `kind` that files cannot be split by.
///
/// # Errors
/// `InvalidInput` for one that does not go with the type, that is not known, or whose size is 0.
pub fn check_transform(field: &PartitionField, kind: &iceberg::spec::Type) -> Result<()> {
    let sized = !matches!(
        field.transform,
        Transform::Bucket(0) | Transform::Truncate(0)
    );
    if sized && field.transform != Transform::Unknown && field.transform.result_type(kind).is_ok() {
        return Ok(());
    }
    let message = format!("cannot partition by {field}, as the column is {kind}");
    Err(Error::invalid(message).with_hint(
        "year, month, day and hour take a timestamp, the first three a date too; bucket \
         takes all but floats and booleans, truncate numbers and text; sizes start at 1",
    ))
}

/// The specification wants partition names apart from column names, but for the column
/// itself where its values are taken as they are.
fn free_name(schema: &Schema, field: &PartitionField) -> String {
    let mut name = field.name();
    while field.transform != Transform::Identity && schema.field_by_name(&name).is_some() {
        name.push_str("_partition");
    }
    name
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use catalog::ErrorKind;
    use iceberg::spec::{NestedField, PrimitiveType, Type};

    use super::*;

    fn schema() -> Schema {
        let field = |id, name, kind| NestedField::optional(id, name, Type::Primitive(kind));
        let fields = [
            field(1, "ts", PrimitiveType::Timestamptz),
            field(2, "pump", PrimitiveType::String),
            field(3, "level", PrimitiveType::Double),
            field(4, "ts_day", PrimitiveType::Int),
        ];
        let fields = fields.map(Arc::new);
        Schema::builder().with_fields(fields).build().unwrap()
    }

    #[test]
    fn names_are_those_of_other_writers_and_apart_from_columns() {
        let fields = [
            PartitionField::day("ts"),
            PartitionField::new("pump", Transform::Identity),
            PartitionField::new("pump", Transform::Bucket(16)),
            PartitionField::new("pump", Transform::Truncate(3)),
        ];
        let spec = unbound(&schema(), &fields).unwrap();
        let names = spec.fields().iter().map(|field| field.name.as_str());
        let expected = ["ts_day_partition", "pump", "pump_bucket_16", "pump_trunc_3"];
        assert_eq!(names.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn fields_are_read_as_they_are_written() {
        for text in [
            "pump",
            "year(ts)",
            "month(ts)",
            "day(ts)",
            "hour(ts)",
            "bucket(16, pump)",
            "truncate(4, pump)",
        ] {
            let field: PartitionField = text.parse().unwrap();
            assert_eq!(field.to_string(), text);
        }
        let spaced: PartitionField = " Bucket ( 16 ,pump )".parse().unwrap();
        assert_eq!(spaced.to_string(), "bucket(16, pump)");
        for text in [
            "",
            "()",
            "day()",
            "day(ts",
            "day(3, ts)",
            "bucket(pump)",
            "bucket(x, pump)",
            "bucket(-1, pump)",
            "week(ts)",
            "day(ts))",
            "a, b",
            "bucket(1, a, b)",
        ] {
            let error = text.parse::<PartitionField>().unwrap_err();
            assert!(error.hint().unwrap().contains("bucket(16"), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_column() {
        let refused = [
            PartitionField::day("pump"),
            PartitionField::day("nothing"),
            PartitionField::new("level", Transform::Bucket(4)),
            PartitionField::new("pump", Transform::Bucket(0)),
            PartitionField::new("pump", Transform::Unknown),
        ];
        for field in refused {
            let error = unbound(&schema(), std::slice::from_ref(&field)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.message().contains(&field.column), "{error}");
        }
        let hour = PartitionField::new("ts", Transform::Hour);
        let twice = [PartitionField::day("ts"), hour];
        let error = unbound(&schema(), &twice).unwrap_err();
        assert!(error.message().contains("day(ts)"), "{error}");
    }
}
