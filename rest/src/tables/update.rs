//! Applying a client's updates to the metadata of a table, and what must hold of every
//! table afterwards.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use catalog::{Error, Result};
use iceberg::TableUpdate;
use iceberg::spec::{
    FormatVersion, PrimitiveType, Schema, Snapshot, StructType, TableMetadataBuilder, Type,
};
use lake::{GC_ENABLED, Lake, TableMetadata};

use crate::error::commit_failed;

/// Largest id of a column or partition field: whoever adds one counts on from it.
const LARGEST_ID: i32 = 1_000_000_000;
/// How far a client's clock may be ahead of this machine's. Nothing can be committed to a
/// table before the time of its last snapshot.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// Properties that say where an engine puts files.
const PATHS: [&str; 4] = [
    "write.data.path",
    "write.metadata.path",
    "write.object-storage.path",
    "write.folder-storage.path",
];
const FORMAT_VERSION: &str = "format-version";

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
    check(lake, &built.metadata)?;
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
        TableUpdate::UpgradeFormatVersion { format_version } => check_version(*format_version)?,
        TableUpdate::SetLocation { location } => *location = folder(lake, location)?,
        TableUpdate::SetProperties { updates } => {
            check_paths(lake, updates)?;
            take_version(updates)?;
        }
        TableUpdate::AddSchema { schema } => check_types(schema)?,
        TableUpdate::AddSpec { spec } => {
            let mut ids = spec.fields().iter().filter_map(|field| field.field_id);
            if let Some(id) = ids.find(|id| !(0..LARGEST_ID).contains(id)) {
                let message = format!("{id} is no id of a partition field");
                return Err(Error::invalid(message));
            }
        }
        TableUpdate::AddSnapshot { snapshot } => {
            check_sequence(snapshot, *sequence_number)?;
            *sequence_number = snapshot.sequence_number();
            check_snapshot(lake, snapshot)?;
        }
        TableUpdate::AddEncryptionKey { .. } => {
            return Err(Error::invalid("encrypted tables are not supported"));
        }
        _ => {}
    }
    Ok(update)
}

/// A snapshot must come right after the table's last one. An older number means that the
/// client has not seen another commit.
fn check_sequence(snapshot: &Snapshot, last: i64) -> Result<()> {
    let number = snapshot.sequence_number();
    if number <= last {
        return Err(commit_failed(format!(
            "Validation failed, please retry: cannot add snapshot with sequence number {number}, \
             which is not after the table's last sequence number {last}"
        )));
    }
    if number > last + 1 {
        return Err(Error::invalid(format!(
            "cannot add snapshot with sequence number {number}: the table's next is {}",
            last + 1
        )));
    }
    Ok(())
}

fn check_snapshot(lake: &Lake, snapshot: &Snapshot) -> Result<()> {
    lake.store().path(snapshot.manifest_list())?;
    check_time(snapshot.timestamp_ms())
}

/// Refuses a time, in milliseconds since 1970, that is yet to come.
pub(crate) fn check_time(time: i64) -> Result<()> {
    let latest = SystemTime::now() + CLOCK_SKEW;
    let latest = latest.duration_since(UNIX_EPOCH).unwrap_or_default();
    match u128::try_from(time) {
        Ok(time) if time <= latest.as_millis() => Ok(()),
        Ok(_) => {
            let error = Error::invalid(format!("the time {time} ms is in the future"));
            Err(error.with_hint("set the clocks of the client and of the server"))
        }
        Err(_) => Err(Error::invalid(format!("the time {time} ms is before 1970"))),
    }
}

fn check_version(version: FormatVersion) -> Result<()> {
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

/// The properties of a new table, of those that a client asks for.
pub(super) fn new_properties(
    lake: &Lake,
    mut properties: HashMap<String, String>,
) -> Result<HashMap<String, String>> {
    check_paths(lake, &properties)?;
    take_version(&mut properties)?;
    properties
        .entry(GC_ENABLED.to_owned())
        .or_insert_with(|| "false".to_owned());
    Ok(properties)
}

/// The format version may be asked for as a property, but is none.
fn take_version(properties: &mut HashMap<String, String>) -> Result<()> {
    match properties.remove(FORMAT_VERSION).as_deref() {
        None | Some("2") => Ok(()),
        Some("1") => check_version(FormatVersion::V1),
        Some("3") => check_version(FormatVersion::V3),
        Some(other) => Err(Error::invalid(format!(
            "there is no format version {other:?}"
        ))),
    }
}

fn check_paths(lake: &Lake, properties: &HashMap<String, String>) -> Result<()> {
    for name in PATHS {
        if let Some(path) = properties.get(name) {
            let path = lake.store().path(path.trim_end_matches('/'));
            path.map_err(|e| e.context(format!("property {name}")))?;
        }
    }
    Ok(())
}

/// What must hold of every table, whoever wrote its metadata.
pub(super) fn check(lake: &Lake, metadata: &TableMetadata) -> Result<()> {
    check_version(metadata.format_version())?;
    folder(lake, metadata.location())?;
    check_paths(lake, metadata.properties())?;
    check_types(metadata.current_schema())?;
    let ids = [metadata.last_column_id(), metadata.last_partition_id()];
    if let Some(id) = ids.iter().find(|id| **id > LARGEST_ID) {
        let message = format!("the id {id} of a column or partition field is too large");
        return Err(Error::invalid(message));
    }
    Ok(())
}

/// The same of a table that somebody else made, with all its snapshots.
pub(super) fn check_registered(lake: &Lake, metadata: &TableMetadata) -> Result<()> {
    check(lake, metadata)?;
    if metadata.last_sequence_number() > i64::from(i32::MAX) {
        let number = metadata.last_sequence_number();
        let message = format!("the table's last sequence number {number} is too large");
        return Err(Error::invalid(message));
    }
    let mut snapshots = metadata.snapshots();
    snapshots.try_for_each(|snapshot| check_snapshot(lake, snapshot))
}

/// Refuses types that came with a later format version.
pub(super) fn check_types(schema: &Schema) -> Result<()> {
    check_struct(schema.as_struct())
}

fn check_struct(kind: &StructType) -> Result<()> {
    let mut fields = kind.fields().iter();
    fields.try_for_each(|field| check_type(&field.name, &field.field_type))
}

fn check_type(name: &str, kind: &Type) -> Result<()> {
    match kind {
        Type::Primitive(PrimitiveType::TimestampNs | PrimitiveType::TimestamptzNs) => {
            let message = format!("column {name:?} has type {kind}, which needs format version 3");
            Err(Error::invalid(message).with_hint("use microseconds"))
        }
        Type::Primitive(_) => Ok(()),
        Type::Struct(kind) => check_struct(kind),
        Type::List(list) => check_type(name, &list.element_field.field_type),
        Type::Map(map) => {
            check_type(name, &map.key_field.field_type)?;
            check_type(name, &map.value_field.field_type)
        }
    }
}
