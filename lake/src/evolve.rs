//! Schema evolution: columns the table lacks are added as nullable ones.

use std::sync::Arc;

use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use async_trait::async_trait;
use catalog::{Change, ChangeSet, Content, Error, Key, Operation, Result, Snapshot};
use iceberg::spec::{NestedFieldRef, Schema, TableMetadata, TableMetadataBuilder};

use crate::error;
use crate::metadata::TableFiles;
use crate::schema;
use crate::table::metadata_location;

/// The table's schema with the columns of `wanted` it lacks; `None` when it has all.
///
/// # Errors
/// `Conflict` when a column is there with a type that cannot hold the wanted one.
pub(crate) fn evolved(
    metadata: &TableMetadata,
    key: &Key,
    wanted: &ArrowSchema,
) -> Result<Option<Schema>> {
    schema::check_names(wanted)?;
    let current = metadata.current_schema();
    let mut fields = current.as_struct().fields().to_vec();
    let known = fields.len();
    let mut next_id = metadata.last_column_id();
    for column in wanted.fields() {
        let kind = schema::column_type(column.name(), column.data_type())?;
        let Some(field) = current.field_by_name(column.name()) else {
            check_case(column.name(), key, &fields)?;
            next_id += 1;
            fields.push(schema::new_field(next_id, column.name(), kind, false));
            continue;
        };
        if !schema::fits(&kind, schema::primitive(field)?) {
            let (name, is) = (column.name(), &field.field_type);
            return Err(Error::conflict(format!(
                "column {name:?} of {key} is {is} and cannot take {kind} values"
            ))
            .with_hint(format!(
                "convert the values to {is}, or name them otherwise"
            )));
        }
    }
    if fields.len() == known {
        return Ok(None);
    }
    let schema = Schema::builder()
        .with_schema_id(current.schema_id())
        .with_identifier_field_ids(current.identifier_field_ids())
        .with_fields(fields)
        .build();
    let schema = schema.map_err(error::iceberg("could not build the evolved schema"))?;
    Ok(Some(schema))
}

/// Engines that fold case could not tell two such columns apart.
fn check_case(name: &str, key: &Key, fields: &[NestedFieldRef]) -> Result<()> {
    let folded = name.to_lowercase();
    match fields.iter().find(|f| f.name.to_lowercase() == folded) {
        Some(other) => Err(Error::conflict(format!(
            "column {name:?} of {key} differs from {:?} only in case",
            other.name
        ))
        .with_hint("spell the name in one way")),
        None => Ok(()),
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

/// With valid names, Iceberg refuses a column only when a partition has its name.
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
