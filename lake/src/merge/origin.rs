//! What two tables of one identity both began as: the empty table of their first columns.
//!
//! Where each side of a merge created the table (see [`TableSpec::uuid`]) no commit holds
//! that state, so it is put together from what the metadata of both still says.
//!
//! [`TableSpec::uuid`]: crate::TableSpec::uuid

use std::collections::HashMap;

use catalog::{Error, Result};
use iceberg::spec::{SortOrder, TableMetadata, TableMetadataBuilder};

use crate::error;

/// The table before its first row: the first columns and partitioning of `ours`, and the
/// properties that both sides have.
///
/// # Errors
/// `Corrupt` for metadata without a schema.
pub(super) fn of(ours: &TableMetadata, theirs: &TableMetadata) -> Result<TableMetadata> {
    let schema = ours.schemas_iter().min_by_key(|schema| schema.schema_id());
    let spec = ours.partition_specs_iter().min_by_key(|it| it.spec_id());
    let (Some(schema), Some(spec)) = (schema, spec) else {
        return Err(Error::corrupt("a table's metadata names no columns"));
    };
    let shared =
        |(name, value): &(&String, &String)| theirs.properties().get(*name) == Some(*value);
    let properties: HashMap<String, String> = ours
        .properties()
        .iter()
        .filter(shared)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    TableMetadataBuilder::new(
        schema.as_ref().clone(),
        spec.as_ref().clone().into_unbound(),
        SortOrder::unsorted_order(),
        ours.location().to_owned(),
        ours.format_version(),
        properties,
    )
    .and_then(|builder| builder.assign_uuid(ours.uuid()).build())
    .map(|built| built.metadata)
    .map_err(error::iceberg("could not tell what a table began as"))
}
