//! A table that a commit creates: the client made its metadata from the answer of a
//! staged creation, and sends the whole of it as updates.

use std::collections::HashMap;

use catalog::{Error, Key, Result};
use iceberg::TableUpdate;
use iceberg::spec::{Schema, SortOrder, TableMetadataBuilder, UnboundPartitionSpec};
use lake::{Lake, TableMetadata};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{check, properties, schema, update};

/// The first id of a partition field, less one.
const NO_PARTITION_FIELD: i32 = 999;

/// The table that `updates` describe from nothing.
///
/// Files may have been written with the ids the client sends, so those are kept: the
/// builder for new tables would count anew.
pub(super) fn create(lake: &Lake, key: &Key, updates: &[TableUpdate]) -> Result<TableMetadata> {
    let mut parts = Parts::default();
    updates.iter().for_each(|update| parts.take(update));
    let begun = parts.begin(lake, key)?;
    let builder = TableMetadataBuilder::new_from_metadata(begun.clone(), None);
    let mut updates = updates.to_vec();
    // Adds the property that new tables have.
    updates.push(TableUpdate::SetProperties {
        updates: properties::of_new(lake, parts.properties)?,
    });
    let made = update::build(lake, &begun, builder, &updates)?.unwrap_or(begun);
    check::table(lake, &made)?;
    Ok(made)
}

/// What a table cannot be without.
#[derive(Default)]
struct Parts<'a> {
    uuid: Option<Uuid>,
    location: Option<&'a str>,
    schema: Option<&'a Schema>,
    spec: Option<&'a UnboundPartitionSpec>,
    order: Option<&'a SortOrder>,
    properties: HashMap<String, String>,
}

impl<'a> Parts<'a> {
    fn take(&mut self, update: &'a TableUpdate) {
        match update {
            TableUpdate::AssignUuid { uuid } => self.uuid = Some(*uuid),
            TableUpdate::SetLocation { location } => self.location = Some(location),
            TableUpdate::AddSchema { schema } => {
                self.schema.get_or_insert(schema);
            }
            TableUpdate::AddSpec { spec } => {
                self.spec.get_or_insert(spec);
            }
            TableUpdate::AddSortOrder { sort_order } => {
                self.order.get_or_insert(sort_order);
            }
            TableUpdate::SetProperties { updates } => self.properties.extend(updates.clone()),
            _ => {}
        }
    }

    /// The table with its first schema, partition spec and sort order, still empty.
    fn begin(&self, lake: &Lake, key: &Key) -> Result<TableMetadata> {
        let Some(schema) = self.schema else {
            let message = format!("Cannot create {key}: the updates add no schema");
            return Err(Error::invalid(message));
        };
        // Before it is encoded, which defaults of the wrong type do not survive.
        schema::check(schema)?;
        let uuid = self.uuid.unwrap_or_else(Uuid::new_v4);
        let location = match self.location {
            Some(location) => check::folder(lake, location)?,
            None => lake.new_location(key, uuid),
        };
        let (spec, last_partition_id) = self.spec();
        let order = self
            .order
            .map_or_else(SortOrder::unsorted_order, Clone::clone);
        let order_id = i64::from(!order.fields.is_empty());
        let metadata = json!({
            "format-version": 2,
            "table-uuid": uuid,
            "location": location,
            "last-sequence-number": 0,
            "last-updated-ms": 0,
            "last-column-id": schema.highest_field_id(),
            "schemas": [schema.clone().into_builder().with_schema_id(0).build().map_err(wrong)?],
            "current-schema-id": 0,
            "partition-specs": [spec],
            "default-spec-id": 0,
            "last-partition-id": last_partition_id,
            "sort-orders": [{"order-id": order_id, "fields": order.fields}],
            "default-sort-order-id": order_id,
        });
        serde_json::from_value(metadata)
            .map_err(|e| Error::invalid(format!("Cannot create {key}: {e}")))
    }

    /// The first partition spec with ids for all its fields, and the largest of those.
    fn spec(&self) -> (Value, i32) {
        let fields = self.spec.map_or(&[][..], UnboundPartitionSpec::fields);
        let mut last = NO_PARTITION_FIELD;
        let mut bound = Vec::new();
        for field in fields {
            let id = field.field_id.unwrap_or(last.saturating_add(1));
            last = last.max(id);
            bound.push(json!({
                "source-id": field.source_id,
                "field-id": id,
                "name": field.name,
                "transform": field.transform,
            }));
        }
        (json!({"spec-id": 0, "fields": bound}), last)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn wrong(error: iceberg::Error) -> Error {
    Error::invalid(error.message().to_owned())
}
