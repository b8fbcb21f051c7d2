//! Schema evolution: columns and nested fields the table lacks are added as nullable ones,
//! and types that hold less than they should are widened.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use async_trait::async_trait;
use catalog::{Change, ChangeSet, Content, Error, Key, Operation, Result, Snapshot};
use iceberg::spec::{
    ListType, MapType, NestedField, NestedFieldRef, Schema, StructType, TableMetadata,
    TableMetadataBuilder, Type,
};

use crate::metadata::TableFiles;
use crate::schema;
use crate::table::metadata_location;
use crate::types::{fits, widens};

/// The table's schema with what `wanted` has beyond it; `None` when it has all.
///
/// Columns, and fields of structs wherever they are nested, that the table lacks are added,
/// null in the rows there are. An int becomes a long and a float a double where one is
/// wanted.
///
/// # Errors
/// `Conflict` when a column is there with a type that cannot hold the wanted one.
pub(crate) fn evolved(
    metadata: &TableMetadata,
    key: &Key,
    wanted: &ArrowSchema,
) -> Result<Option<Schema>> {
    let current = metadata.current_schema();
    let mut evolving = Evolving {
        key,
        last_id: metadata.last_column_id(),
    };
    let wanted = wanted.fields().iter().map(AsRef::as_ref);
    let fields = current.as_struct().fields();
    let Some(fields) = evolving.fields("", fields, &wanted.collect::<Vec<_>>())? else {
        return Ok(None);
    };
    let schema = Schema::builder()
        .with_schema_id(current.schema_id())
        .with_identifier_field_ids(current.identifier_field_ids())
        .with_fields(fields)
        .build();
    schema.map(Some).map_err(refused)
}

struct Evolving<'a> {
    key: &'a Key,
    last_id: i32,
}

impl Evolving<'_> {
    /// The fields of the struct `path` with those of `wanted`; `None` when nothing is new.
    fn fields(
        &mut self,
        path: &str,
        fields: &[NestedFieldRef],
        wanted: &[&Field],
    ) -> Result<Option<Vec<NestedFieldRef>>> {
        let mut new = fields.to_vec();
        let mut changed = false;
        for (at, column) in wanted.iter().enumerate() {
            let (name, data_type) = (column.name(), column.data_type());
            check_name(path, column, &wanted[..at])?;
            let known = new.iter().position(|field| field.name == *name);
            let Some(known) = known else {
                self.check_case(path, name, &new)?;
                let field = schema::new_column(path, name, data_type, &mut self.last_id)?;
                new.push(field);
                changed = true;
                continue;
            };
            if let Some(evolved) = self.field(path, &new[known], data_type)? {
                new[known] = evolved;
                changed = true;
            }
        }
        Ok(changed.then_some(new))
    }

    /// A field that takes values of type `wanted`; `None` when it does already.
    fn field(
        &mut self,
        path: &str,
        field: &NestedField,
        wanted: &DataType,
    ) -> Result<Option<NestedFieldRef>> {
        let path = schema::within(path, &field.name);
        let evolved = self.evolve(&path, &field.field_type, wanted)?;
        Ok(evolved.map(|kind| {
            let mut field = field.clone();
            *field.field_type = kind;
            Arc::new(field)
        }))
    }

    /// Type `current` of the column `path` so that it takes values of type `wanted`; `None`
    /// when it does already.
    fn evolve(&mut self, path: &str, current: &Type, wanted: &DataType) -> Result<Option<Type>> {
        match (current, wanted) {
            (Type::Struct(current), DataType::Struct(wanted)) => {
                let wanted: Vec<&Field> = wanted.iter().map(AsRef::as_ref).collect();
                let fields = self.fields(path, current.fields(), &wanted)?;
                Ok(fields.map(|fields| Type::Struct(StructType::new(fields))))
            }
            (
                Type::List(current),
                DataType::List(wanted)
                | DataType::LargeList(wanted)
                | DataType::FixedSizeList(wanted, _),
            ) => {
                let element = self.field(path, &current.element_field, wanted.data_type())?;
                Ok(element.map(|element| Type::List(ListType::new(element))))
            }
            (Type::Map(current), DataType::Map(entries, _)) => {
                let (key, value) = schema::key_and_value(path, entries)?;
                let name = schema::within(path, "key");
                if !fits(
                    &schema::column_type(&name, key.data_type())?,
                    &current.key_field.field_type,
                ) {
                    return Err(self.clash(&name, &current.key_field.field_type, key.data_type()));
                }
                let value = self.field(path, &current.value_field, value.data_type())?;
                let key = Arc::clone(&current.key_field);
                Ok(value.map(|value| Type::Map(MapType::new(key, value))))
            }
            (current, wanted) => self.widen(path, current, wanted),
        }
    }

    fn widen(&self, path: &str, current: &Type, wanted: &DataType) -> Result<Option<Type>> {
        let kind = schema::column_type(path, wanted)?;
        if fits(&kind, current) {
            return Ok(None);
        }
        match (current, &kind) {
            (Type::Primitive(from), Type::Primitive(into)) if widens(from, into) => Ok(Some(kind)),
            _ => Err(self.clash(path, current, wanted)),
        }
    }

    fn clash(&self, path: &str, current: &Type, wanted: &DataType) -> Error {
        let key = self.key;
        let kind = schema::column_type(path, wanted)
            .map_or_else(|_| wanted.to_string(), |kind| kind.to_string());
        Error::conflict(format!(
            "column {path:?} of {key} is {current} and cannot take {kind} values"
        ))
        .with_hint(format!(
            "convert the values to {current}, or name them otherwise"
        ))
    }

    /// Engines that fold case could not tell two such columns apart.
    fn check_case(&self, path: &str, name: &str, fields: &[NestedFieldRef]) -> Result<()> {
        let folded = name.to_lowercase();
        match fields.iter().find(|f| f.name.to_lowercase() == folded) {
            Some(other) => Err(Error::conflict(format!(
                "column {:?} of {} differs from {:?} only in case",
                schema::within(path, name),
                self.key,
                other.name
            ))
            .with_hint("spell the name in one way")),
            None => Ok(()),
        }
    }
}

/// Names are the link between rows and columns: each once, none empty.
fn check_name(path: &str, field: &Field, earlier: &[&Field]) -> Result<()> {
    let name = field.name();
    if name.is_empty() {
        return Err(Error::invalid("a column has an empty name"));
    }
    match earlier.iter().any(|other| other.name() == name) {
        true => Err(Error::invalid(format!(
            "column {:?} is there twice",
            schema::within(path, name)
        ))),
        false => Ok(()),
    }
}

/// Adds the columns of a schema to a table, whatever the head holds by then.
pub(crate) struct EvolveChange {
    files: Arc<TableFiles>,
    key: Key,
    wanted: SchemaRef,
}

impl EvolveChange {
    pub(crate) fn new(files: Arc<TableFiles>, key: Key, wanted: SchemaRef) -> Self {
        Self { files, key, wanted }
    }

    async fn evolve(&self, location: &str, metadata: &TableMetadata) -> Result<Vec<Operation>> {
        // Another writer may have added the same columns meanwhile.
        let Some(schema) = evolved(metadata, &self.key, &self.wanted)? else {
            return Ok(Vec::new());
        };
        let previous = Some(location.to_owned());
        let evolved = TableMetadataBuilder::new_from_metadata(metadata.clone(), previous)
            .add_current_schema(schema)
            .and_then(|builder| builder.build())
            .map_err(refused)?
            .metadata;
        let content = Content::IcebergTable {
            uuid: metadata.uuid(),
            metadata_location: self.files.write_metadata(evolved, Some(location)).await?,
        };
        Ok(vec![Operation::Put {
            key: self.key.clone(),
            content,
        }])
    }
}

/// With valid names, Iceberg refuses a column only when a partition has its name, or when
/// a nested one has the same path.
fn refused(error: iceberg::Error) -> Error {
    Error::conflict(format!("could not add the columns: {}", error.message()))
        .with_hint("name the column otherwise")
        .with_source(error)
}

#[async_trait]
impl Change for EvolveChange {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        let location = metadata_location(head, &self.key)?;
        let metadata = self.files.metadata(&location).await?;
        Ok(ChangeSet {
            operations: self.evolve(&location, &metadata).await?,
            ..ChangeSet::default()
        })
    }
}
