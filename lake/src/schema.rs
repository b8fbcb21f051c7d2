//! Arrow schemas to Iceberg's and back.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema as ArrowSchema, SchemaRef};
use catalog::{Error, Result};
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::spec::{ListType, MapType, NestedField, NestedFieldRef, Schema, StructType, Type};

use crate::error;
use crate::types::primitive_type;

/// The Iceberg schema of a new table, field ids counted from 1.
pub(crate) fn new_schema(arrow: &ArrowSchema) -> Result<Schema> {
    if arrow.fields().is_empty() {
        return Err(Error::invalid("a table needs at least one column"));
    }
    let fields = new_fields("", arrow.fields(), &mut 0)?;
    let schema = Schema::builder().with_fields(fields).build();
    // Nothing was read: what Iceberg refuses here was asked for.
    schema.map_err(|e| Error::invalid(format!("cannot make these columns: {}", e.message())))
}

/// Names are the link between batches and columns: each once, none empty.
pub(crate) fn check_names(fields: &Fields) -> Result<()> {
    let mut seen = HashSet::new();
    for field in fields {
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

/// The name of field `name` of the column or struct `path`; `path` is empty for a column.
pub(crate) fn within(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
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

/// New fields of the struct `path`, with ids from `last_id` on: first their own, then
/// those of what they hold.
fn new_fields(path: &str, fields: &Fields, last_id: &mut i32) -> Result<Vec<NestedFieldRef>> {
    check_names(fields)?;
    let own = *last_id;
    *last_id += i32::try_from(fields.len()).map_err(|_| Error::invalid("too many columns"))?;
    let fields = fields.iter().zip(own + 1..).map(|(field, id)| {
        let kind = new_type(&within(path, field.name()), field.data_type(), last_id)?;
        let required = !field.is_nullable();
        Ok(Arc::new(NestedField::new(id, field.name(), kind, required)))
    });
    fields.collect()
}

/// A new column that may be null, with ids from `last_id` on.
pub(crate) fn new_column(
    path: &str,
    name: &str,
    data_type: &DataType,
    last_id: &mut i32,
) -> Result<NestedFieldRef> {
    *last_id += 1;
    let id = *last_id;
    let kind = new_type(&within(path, name), data_type, last_id)?;
    Ok(Arc::new(NestedField::optional(id, name, kind)))
}

/// The Iceberg type of the column `path`, whose nested fields get ids from `last_id` on.
fn new_type(path: &str, data_type: &DataType, last_id: &mut i32) -> Result<Type> {
    let mut id = || {
        *last_id += 1;
        *last_id
    };
    match data_type {
        DataType::Struct(fields) if fields.is_empty() => {
            Err(Error::unsupported(format!("struct {path:?} has no fields"))
                .with_hint("give it a field, or leave the column out"))
        }
        DataType::Struct(fields) => {
            let fields = new_fields(path, fields, last_id)?;
            Ok(Type::Struct(StructType::new(fields)))
        }
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::FixedSizeList(element, _) => {
            let id = id();
            let kind = new_type(&within(path, "element"), element.data_type(), last_id)?;
            let element = NestedField::list_element(id, kind, !element.is_nullable());
            Ok(Type::List(ListType::new(Arc::new(element))))
        }
        DataType::Map(entries, _) => {
            let (key, value) = key_and_value(path, entries)?;
            let (key_id, value_id) = (id(), id());
            let key = new_type(&within(path, "key"), key.data_type(), last_id)?;
            let key = NestedField::map_key_element(key_id, key);
            let required = !value.is_nullable();
            let value = new_type(&within(path, "value"), value.data_type(), last_id)?;
            let value = NestedField::map_value_element(value_id, value, required);
            Ok(Type::Map(MapType::new(Arc::new(key), Arc::new(value))))
        }
        primitive => Ok(Type::Primitive(primitive_type(path, primitive)?)),
    }
}

/// The fields of an Arrow map's entries.
pub(crate) fn key_and_value<'a>(path: &str, entries: &'a Field) -> Result<(&'a Field, &'a Field)> {
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => Ok((&fields[0], &fields[1])),
        other => Err(Error::invalid(format!(
            "map {path:?} has entries of type {other}"
        ))),
    }
}

/// The schema in Arrow terms, with `PARQUET:field_id` on every field.
pub(crate) fn arrow_schema(schema: &Schema) -> Result<SchemaRef> {
    schema_to_arrow_schema(schema)
        .map(Arc::new)
        .map_err(error::iceberg("the table's schema has no Arrow form"))
}

/// The Iceberg type that stores a column of Arrow type `data_type`; the ids of nested
/// fields mean nothing.
///
/// Small and unsigned integers widen; timestamps of every unit are stored in
/// microseconds (Iceberg v2 has no other), with UTC where they have a zone.
///
/// # Errors
/// `Unsupported` for what Iceberg v2 cannot hold.
pub(crate) fn column_type(name: &str, data_type: &DataType) -> Result<Type> {
    new_type(name, data_type, &mut 0)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;
    use catalog::ErrorKind;
    use iceberg::spec::PrimitiveType;

    use super::*;
    use crate::types::fits;

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
        let list = |of| DataType::List(Arc::new(Field::new_list_field(of, true)));
        let empty = DataType::Struct(Fields::empty());
        for data_type in [DataType::UInt64, DataType::Null, list(empty.clone()), empty] {
            let refused = new_schema(&schema(vec![Field::new("x", data_type, true)]));
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
        }
        let twice = vec![Field::new("a", DataType::Int32, true); 2];
        let refused = new_schema(&schema(twice)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(new_schema(&schema(vec![])).is_err());
    }

    #[test]
    fn nested_fields_have_ids_of_their_own() {
        let field = |name: &str, of| Field::new(name, of, true);
        let motor = DataType::Struct(vec![field("temp", DataType::Float32)].into());
        let list = DataType::LargeList(Arc::new(field("item", motor.clone())));
        let entries = DataType::Struct(
            vec![
                Field::new("k", DataType::Utf8, false),
                field("v", DataType::Int16),
            ]
            .into(),
        );
        let map = DataType::Map(Arc::new(Field::new("entries", entries, false)), false);
        let given = schema(vec![
            field("motor", motor),
            field("readings", list),
            field("tags", map),
        ]);
        let made = new_schema(&given).unwrap();
        let mut ids: Vec<i32> = made.field_id_to_fields().keys().copied().collect();
        ids.sort_unstable();
        assert_eq!(ids, (1..=8).collect::<Vec<_>>());
        assert!(made.field_by_name("readings.element.temp").is_some());
        let tags = made.field_by_name("tags.value").unwrap();
        assert_eq!(*tags.field_type, Type::Primitive(PrimitiveType::Int));
        let again = arrow_schema(&made).unwrap();
        let kind = column_type("tags", again.field(2).data_type()).unwrap();
        assert!(fits(&kind, &made.field_by_name("tags").unwrap().field_type));
        let twice = DataType::Struct(vec![field("a", DataType::Int32); 2].into());
        let refused = new_schema(&schema(vec![field("s", twice)])).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
}
