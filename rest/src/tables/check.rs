//! What must hold of every table, whoever made its metadata.

use catalog::{Error, Result};
use iceberg::spec::{FormatVersion, MAIN_BRANCH, NestedFieldRef, Transform};
use lake::{Lake, PartitionField, TableMetadata};

use super::{properties, schema, snapshots};

/// Largest id of a column or partition field: whoever adds one counts on from it.
pub(super) const LARGEST_ID: i32 = 1_000_000_000;

/// Refuses metadata that breaks what must hold.
pub(super) fn table(lake: &Lake, metadata: &TableMetadata) -> Result<()> {
    check_version(metadata.format_version())?;
    folder(lake, metadata.location())?;
    properties::check(lake, metadata.properties())?;
    metadata
        .schemas_iter()
        .try_for_each(|one| schema::check(one))?;
    check_transforms(metadata)?;
    let ids = [metadata.last_column_id(), metadata.last_partition_id()];
    if let Some(id) = ids.iter().find(|id| **id > LARGEST_ID) {
        let message = format!("the id {id} of a column or partition field is too large");
        return Err(Error::invalid(message));
    }
    check_form(metadata)
}

/// The same of a table that somebody else made, with all its snapshots.
pub(super) fn registered(lake: &Lake, metadata: &TableMetadata) -> Result<()> {
    table(lake, metadata)?;
    if metadata.last_sequence_number() > i64::from(i32::MAX) {
        let number = metadata.last_sequence_number();
        let message = format!("the table's last sequence number {number} is too large");
        return Err(Error::invalid(message));
    }
    let mut all = metadata.snapshots();
    all.try_for_each(|snapshot| snapshots::check(lake, snapshot))
}

/// Refuses format versions that tables cannot have here.
pub(super) fn check_version(version: FormatVersion) -> Result<()> {
    match version {
        FormatVersion::V2 => Ok(()),
        FormatVersion::V1 => {
            let error = Error::invalid("tables of format version 1 are not supported");
            Err(error.with_hint("use format version 2"))
        }
        FormatVersion::V3 => {
            let error = Error::invalid(
                "tables of format version 3 are not supported: their deletion vectors cannot be read yet",
            );
            Err(error.with_hint("use format version 2"))
        }
    }
}

/// The absolute URL of a folder for a table or view, which must lie in the store.
pub(crate) fn folder(lake: &Lake, location: &str) -> Result<String> {
    let store = lake.store();
    let path = store.path(location.trim_end_matches('/'))?;
    if path.as_ref().is_empty() || path.as_ref().starts_with("_catalog") {
        let error = Error::invalid(format!(
            "{location:?} cannot be the folder of a table or view"
        ));
        return Err(error.with_hint("leave the location out to get a folder of its own"));
    }
    Ok(store.location(&path))
}

/// Refuses partition and sort transforms that nobody can compute.
fn check_transforms(metadata: &TableMetadata) -> Result<()> {
    for spec in metadata.partition_specs_iter() {
        for field in spec.fields() {
            // The column of an older spec may be gone from every schema.
            if let Some(column) = column(metadata, field.source_id) {
                let asked = PartitionField::new(&column.name, field.transform);
                lake::check_transform(&asked, &column.field_type)?;
            }
        }
    }
    let orders = metadata.sort_orders_iter();
    let mut sorted = orders.flat_map(|order| &order.fields);
    let wrong = sorted.find(|field| !is_computable(field.transform));
    wrong.map_or(Ok(()), |field| {
        let transform = field.transform;
        Err(Error::invalid(format!(
            "cannot sort by {transform}: sizes start at 1, and the transform must be known"
        )))
    })
}

fn is_computable(transform: Transform) -> bool {
    !matches!(
        transform,
        Transform::Bucket(0) | Transform::Truncate(0) | Transform::Unknown
    )
}

/// The column of this id in the current schema, or in another one that has it.
fn column(metadata: &TableMetadata, id: i32) -> Option<&NestedFieldRef> {
    let current = metadata.current_schema().field_by_id(id);
    current.or_else(|| metadata.schemas_iter().find_map(|one| one.field_by_id(id)))
}

/// Refuses what would be written and could not be read again, or not be moved on.
fn check_form(metadata: &TableMetadata) -> Result<()> {
    let json = serde_json::to_value(metadata)
        .map_err(|e| Error::internal("could not encode table metadata").with_source(e))?;
    if json["refs"][MAIN_BRANCH]["type"] == "tag" {
        let message = format!("the ref {MAIN_BRANCH} of a table must be a branch, not a tag");
        return Err(Error::invalid(message));
    }
    match serde_json::from_value::<TableMetadata>(json) {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::invalid(format!(
            "the table's metadata would be unreadable: {e}"
        ))),
    }
}
