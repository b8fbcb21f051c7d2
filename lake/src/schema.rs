//! Arrow schemas to Iceberg's and back, and which types fit into which.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema as ArrowSchema, SchemaRef};
use catalog::{Error, Result};
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::spec::{NestedField, NestedFieldRef, PrimitiveType, Schema, Type};

use crate::error;

/// The Iceberg schema of a new table, field ids counted from 1.
pub(crate) fn new_schema(arrow: &ArrowSchema) -> Result<Schema> {
    if arrow.fields().is_empty() {
        return Err(Error::invalid("a table needs at least one column"));
    }
    check_names(arrow)?;
    let fields = arrow.fields().iter().zip(1..).map(|(field, id)| {
        let kind = column_type(field.name(), field.data_type())?;
        Ok(new_field(id, field.name(), kind, !field.is_nullable()))
    });
    Schema::builder()
        .with_fields(fields.collect::<Result<Vec<_>>>()?)
        .build()
        .map_err(error::iceberg("could not build the table's schema"))
}

/// Names are the link between batches and columns: each once, none empty.
pub(crate) fn check_names(arrow: &ArrowSchema) -> Result<()> {
    let mut seen = HashSet::new();
    for field in arrow.fields() {
        if field.name().is_empty() {
            return Err(Error::invalid("a column has an empty name"));
        }
        if !seen.insert(field.name()) {
            let message = format!("column {:?} is there twice", field.name());
            return Err(Error::invalid(message));
        }
    }
    Ok(())
}

/// The column `name`, whose part in what is being done is `role`.
///
/// # Errors
/// `InvalidInput` naming the columns there are.
pub(crate) fn column<'a>(schema: &'a Schema, name: &str, role: &str) -> Result<&'a NestedField> {
    let found = schema.as_struct().fields().iter().find(|f| f.name == name);
    let field = found.ok_or_else(|| {
        let columns: Vec<_> = schema.as_struct().fields().iter().collect();
        let columns: Vec<_> = columns.iter().map(|field| field.name.as_str()).collect();
        Error::invalid(format!("the {role} column {name:?} is not in the schema"))
            .with_hint(format!("the columns are {}", columns.join(", ")))
    })?;
    Ok(field)
}

pub(crate) fn new_field(
    id: i32,
    name: &str,
    kind: PrimitiveType,
    required: bool,
) -> NestedFieldRef {
    Arc::new(NestedField::new(id, name, Type::Primitive(kind), required))
}

/// The schema in Arrow terms, with `PARQUET:field_id` on every field.
pub(crate) fn arrow_schema(schema: &Schema) -> Result<SchemaRef> {
    schema_to_arrow_schema(schema)
        .map(Arc::new)
        .map_err(error::iceberg("the table's schema has no Arrow form"))
}

/// The Iceberg type that stores a column of Arrow type `data_type`.
///
/// Small and unsigned integers widen; timestamps of every unit are stored in
/// microseconds (Iceberg v2 has no other), with UTC where they have a zone.
///
/// # Errors
/// `Unsupported` for nested types and those Iceberg v2 cannot hold.
pub(crate) fn column_type(name: &str, data_type: &DataType) -> Result<PrimitiveType> {
    let kind = match data_type {
        DataType::Boolean => PrimitiveType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            PrimitiveType::Int
        }
        DataType::Int64 | DataType::UInt32 => PrimitiveType::Long,
        DataType::Float16 | DataType::Float32 => PrimitiveType::Float,
        DataType::Float64 => PrimitiveType::Double,
        DataType::Date32 | DataType::Date64 => PrimitiveType::Date,
        DataType::Time32(_) | DataType::Time64(_) => PrimitiveType::Time,
        DataType::Timestamp(_, None) => PrimitiveType::Timestamp,
        DataType::Timestamp(_, Some(_)) => PrimitiveType::Timestamptz,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => PrimitiveType::String,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => PrimitiveType::Binary,
        DataType::FixedSizeBinary(width) => PrimitiveType::Fixed(width.unsigned_abs().into()),
        DataType::Decimal128(precision, scale) if *scale >= 0 => PrimitiveType::Decimal {
            precision: u32::from(*precision),
            scale: u32::from(scale.unsigned_abs()),
        },
        DataType::Dictionary(_, value) => return column_type(name, value),
        _ => {
            let message = format!("column {name:?} has type {data_type}, which tables cannot hold");
            return Err(Error::unsupported(message).with_hint(
                "use a boolean, integer up to 64 bits signed, float, decimal, date, time, \
                 timestamp, string or binary column; nested values can be stored as JSON text",
            ));
        }
    };
    Ok(kind)
}

/// Whether every value of type `from` can be stored in a column of type `into`.
pub(crate) fn fits(from: &PrimitiveType, into: &PrimitiveType) -> bool {
    use PrimitiveType::{Binary, Decimal, Double, Fixed, Float, Int, Long, Uuid};
    match (from, into) {
        (Int, Long | Double) | (Float, Double) | (Fixed(_), Binary) | (Fixed(16), Uuid) => true,
        (
            Decimal { precision, scale },
            Decimal {
                precision: wider,
                scale: same,
            },
        ) => precision <= wider && scale == same,
        _ => from == into,
    }
}

/// The primitive type of a table's column.
///
/// # Errors
/// `Unsupported` for the nested columns that other engines may have made.
pub(crate) fn primitive(field: &NestedField) -> Result<&PrimitiveType> {
    field.field_type.as_primitive_type().ok_or_else(|| {
        let message = format!("column {:?} is nested: {}", field.name, field.field_type);
        Error::unsupported(message).with_hint("nested columns cannot be written yet")
    })
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, TimeUnit};
    use catalog::ErrorKind;

    use super::*;

    fn schema(fields: Vec<Field>) -> ArrowSchema {
        ArrowSchema::new(fields)
    }

    #[test]
    fn types_are_widened_and_carry_field_ids() {
        let given = schema(vec![
            Field::new("small", DataType::UInt16, true),
            Field::new(
                "ts",
                DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Berlin".into())),
                false,
            ),
            Field::new("text", DataType::Utf8View, true),
        ]);
        let arrow = arrow_schema(&new_schema(&given).unwrap()).unwrap();
        assert_eq!(arrow.field(0).data_type(), &DataType::Int32);
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
        assert_eq!(arrow.field(1).data_type(), &utc);
        assert!(!arrow.field(1).is_nullable());
        assert_eq!(arrow.field(2).data_type(), &DataType::Utf8);
        assert_eq!(arrow.field(2).metadata()["PARQUET:field_id"], "3");
    }

    #[test]
    fn refuses_what_iceberg_cannot_hold() {
        let nested = DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true)));
        for data_type in [DataType::UInt64, DataType::Null, nested] {
            let refused = new_schema(&schema(vec![Field::new("x", data_type, true)]));
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
        }
        let twice = vec![Field::new("a", DataType::Int32, true); 2];
        let refused = new_schema(&schema(twice)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(new_schema(&schema(vec![])).is_err());
    }

    #[test]
    fn narrowing_does_not_fit() {
        assert!(fits(&PrimitiveType::Int, &PrimitiveType::Double));
        assert!(fits(&PrimitiveType::Float, &PrimitiveType::Double));
        assert!(!fits(&PrimitiveType::Long, &PrimitiveType::Double));
        assert!(!fits(&PrimitiveType::Double, &PrimitiveType::Float));
        assert!(!fits(
            &PrimitiveType::Timestamp,
            &PrimitiveType::Timestamptz
        ));
    }
}
