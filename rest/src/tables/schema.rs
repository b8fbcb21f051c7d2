//! Schemas that clients send: what format version 2 has no room for is refused.

use catalog::{Error, Result};
use iceberg::spec::{NestedField, PrimitiveType, Schema, StructType, Type};

/// Refuses types and default values, which came with a later format version.
pub(super) fn check(schema: &Schema) -> Result<()> {
    visit(schema.as_struct(), &|field| {
        check_default(field)?;
        check_type(field)
    })
}

/// Refuses default values, which the columns of a view cannot have.
pub(crate) fn check_defaults(schema: &Schema) -> Result<()> {
    visit(schema.as_struct(), &check_default)
}

type Check<'a> = &'a dyn Fn(&NestedField) -> Result<()>;

/// Checks every field, those inside of others too.
fn visit(kind: &StructType, check: Check<'_>) -> Result<()> {
    let mut fields = kind.fields().iter();
    fields.try_for_each(|field| visit_field(field, check))
}

fn visit_field(field: &NestedField, check: Check<'_>) -> Result<()> {
    check(field)?;
    match &*field.field_type {
        Type::Primitive(_) => Ok(()),
        Type::Struct(kind) => visit(kind, check),
        Type::List(list) => visit_field(&list.element_field, check),
        Type::Map(map) => {
            visit_field(&map.key_field, check)?;
            visit_field(&map.value_field, check)
        }
    }
}

/// A default that does not fit its type could not even be written.
fn check_default(field: &NestedField) -> Result<()> {
    if field.initial_default.is_none() && field.write_default.is_none() {
        return Ok(());
    }
    let name = &field.name;
    let message = format!("column {name:?} has a default value, which needs format version 3");
    Err(Error::invalid(message).with_hint("leave the default out"))
}

fn check_type(field: &NestedField) -> Result<()> {
    let (name, kind) = (&field.name, &field.field_type);
    match **kind {
        Type::Primitive(PrimitiveType::TimestampNs | PrimitiveType::TimestamptzNs) => {
            let message = format!("column {name:?} has type {kind}, which needs format version 3");
            Err(Error::invalid(message).with_hint("use microseconds"))
        }
        _ => Ok(()),
    }
}
