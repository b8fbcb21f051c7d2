//! Which Arrow types Iceberg's primitive types store, and which types fit into which.

use arrow::datatypes::DataType;
use catalog::{Error, Result};
use iceberg::spec::{NestedFieldRef, PrimitiveType, Type};

/// The primitive type that stores values of Arrow type `data_type` of the column `name`.
///
/// # Errors
/// `Unsupported` for what Iceberg v2 cannot hold.
pub(crate) fn primitive_type(name: &str, data_type: &DataType) -> Result<PrimitiveType> {
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
        DataType::Dictionary(_, value) => return primitive_type(name, value),
        _ => {
            let message = format!("column {name:?} has type {data_type}, which tables cannot hold");
            return Err(Error::unsupported(message).with_hint(
                "use a boolean, integer up to 64 bits signed, float, decimal, date, time, \
                 timestamp, string or binary column, or a struct, list or map of these",
            ));
        }
    };
    Ok(kind)
}

/// Whether every value of type `from` can be stored in a column of type `into`. Fields of
/// structs are matched by name; those that `from` lacks are null.
pub(crate) fn fits(from: &Type, into: &Type) -> bool {
    match (from, into) {
        (Type::Primitive(from), Type::Primitive(into)) => primitive_fits(from, into),
        (Type::Struct(from), Type::Struct(into)) => {
            let there = |field: &NestedFieldRef| {
                let own = into.fields().iter().find(|own| own.name == field.name);
                own.is_some_and(|own| fits(&field.field_type, &own.field_type))
            };
            from.fields().iter().all(there)
        }
        (Type::List(from), Type::List(into)) => fits(
            &from.element_field.field_type,
            &into.element_field.field_type,
        ),
        (Type::Map(from), Type::Map(into)) => {
            fits(&from.key_field.field_type, &into.key_field.field_type)
                && fits(&from.value_field.field_type, &into.value_field.field_type)
        }
        _ => false,
    }
}

fn primitive_fits(from: &PrimitiveType, into: &PrimitiveType) -> bool {
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

/// Whether the specification lets a column change from one type to the other.
pub(crate) fn widens(from: &PrimitiveType, into: &PrimitiveType) -> bool {
    use PrimitiveType::{Decimal, Double, Float, Int, Long};
    match (from, into) {
        (Int, Long) | (Float, Double) => true,
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

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;
    use crate::schema::column_type;

    #[test]
    fn narrowing_does_not_fit() {
        let fits = |from, into| fits(&Type::Primitive(from), &Type::Primitive(into));
        assert!(fits(PrimitiveType::Int, PrimitiveType::Double));
        assert!(fits(PrimitiveType::Float, PrimitiveType::Double));
        assert!(!fits(PrimitiveType::Long, PrimitiveType::Double));
        assert!(!fits(PrimitiveType::Double, PrimitiveType::Float));
        assert!(!fits(PrimitiveType::Timestamp, PrimitiveType::Timestamptz));
    }

    #[test]
    fn structs_fit_by_the_names_of_their_fields() {
        let of = |fields: &[(&str, DataType)]| {
            let fields = fields.iter();
            let fields = fields.map(|(name, kind)| Field::new(*name, kind.clone(), true));
            column_type("s", &DataType::Struct(fields.collect())).unwrap()
        };
        let table = of(&[("b", DataType::Float64), ("a", DataType::Int64)]);
        assert!(fits(&of(&[("a", DataType::Int32)]), &table));
        assert!(!fits(&of(&[("c", DataType::Int32)]), &table));
        assert!(!fits(&of(&[("a", DataType::Utf8)]), &table));
        assert!(!fits(&Type::Primitive(PrimitiveType::Int), &table));
    }
}
