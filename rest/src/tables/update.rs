//! Applying a client's updates to the metadata of a table.

use catalog::{Error, Result};
use iceberg::TableUpdate;
use iceberg::spec::TableMetadataBuilder;
use lake::{Lake, TableMetadata};

use super::{check, properties, schema, snapshots};

/// The metadata after `updates`; none when they change nothing. `location` is the file
/// that holds `metadata`.
///
/// # Errors
/// `Conflict` for a snapshot that was made on an older state, `InvalidInput` for updates
/// that cannot be made.
pub(super) fn apply(
    lake: &Lake,
    metadata: &TableMetadata,
    location: &str,
    updates: &[TableUpdate],
) -> Result<Option<TableMetadata>> {
    for update in updates {
        match update {
            TableUpdate::AssignUuid { uuid } if *uuid != metadata.uuid() => {
                return Err(Error::invalid("Cannot reassign the uuid of a table"));
            }
            _ => {}
        }
    }
    let previous = Some(location.to_owned());
    let builder = TableMetadataBuilder::new_from_metadata(metadata.clone(), previous);
    build(lake, metadata, builder, updates)
}

/// The metadata that `builder`, which began with `metadata`, makes of `updates`.
pub(super) fn build(
    lake: &Lake,
    metadata: &TableMetadata,
    mut builder: TableMetadataBuilder,
    updates: &[TableUpdate],
) -> Result<Option<TableMetadata>> {
    let mut sequence_number = metadata.last_sequence_number();
    for update in updates {
        let update = checked(lake, update, &mut sequence_number)?;
        builder = update.apply(builder).map_err(refused)?;
    }
    let built = builder.build().map_err(refused)?;
    if built.changes.is_empty() {
        return Ok(None);
    }
    check::table(lake, &built.metadata)?;
    Ok(Some(built.metadata))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: iceberg::Error) -> Error {
    Error::invalid(format!("Cannot update the table: {}", error.message()))
}

/// `update` in the form to apply it in, when it keeps what must hold of tables here.
fn checked(lake: &Lake, update: &TableUpdate, sequence_number: &mut i64) -> Result<TableUpdate> {
    let mut update = update.clone();
    match &mut update {
        TableUpdate::UpgradeFormatVersion { format_version } => {
            check::check_version(*format_version)?;
        }
        TableUpdate::SetLocation { location } => *location = check::folder(lake, location)?,
        TableUpdate::SetProperties { updates } => {
            properties::set(lake, updates)?;
        }
        TableUpdate::RemoveProperties { removals } => properties::remove(removals)?,
        TableUpdate::AddSchema { schema } => schema::check(schema)?,
        TableUpdate::AddSpec { spec } => {
            let mut ids = spec.fields().iter().filter_map(|field| field.field_id);
            if let Some(id) = ids.find(|id| !(0..check::LARGEST_ID).contains(id)) {
                let message = format!("{id} is no id of a partition field");
                return Err(Error::invalid(message));
            }
        }
        TableUpdate::AddSnapshot { snapshot } => {
            snapshots::check_sequence(snapshot, *sequence_number)?;
            *sequence_number = snapshot.sequence_number();
            snapshots::check(lake, snapshot)?;
        }
        TableUpdate::AddEncryptionKey { .. } => {
            return Err(Error::invalid("encrypted tables are not supported"));
        }
        _ => {}
    }
    Ok(update)
}
