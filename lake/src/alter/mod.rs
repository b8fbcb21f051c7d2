//! Altering a table: columns, partitioning and properties, in one new metadata file.
//!
//! Columns are known by field id, so no data file is touched: older files show renamed
//! columns under their new name, lack added ones, and have their values widened.

mod columns;

use std::collections::{BTreeMap, HashMap};

use arrow::datatypes::DataType;
use catalog::{Error, Key, Operation, Result};
use iceberg::spec::{Schema, SortOrder, TableMetadata, TableMetadataBuilder, Transform};

use self::columns::Columns;
use crate::lake::Lake;
use crate::maintain::DEDUP;
use crate::partition::{self, PartitionField};
use crate::stage;
use crate::table::Table;

/// One alteration of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Alter {
    /// A new column at the end, null in the rows there are.
    AddColumn {
        /// Its name.
        name: String,
        /// Its type; small integers and timestamps widen as in a new table.
        data_type: DataType,
    },
    /// Another name for a column.
    RenameColumn {
        /// The name it has.
        from: String,
        /// The name it gets.
        to: String,
    },
    /// Takes a column away; one of the same name added later is another column.
    DropColumn(String),
    /// A wider type: integer to long, float to double, decimal of more digits.
    WidenColumn {
        /// The column.
        name: String,
        /// Its new type.
        to: DataType,
    },
    /// Lets a required column be null.
    DropNotNull(String),
    /// How files written from now on are split.
    SetPartition(Vec<PartitionField>),
    /// Table properties to add or change.
    SetProperties(BTreeMap<String, String>),
    /// Table properties to take away; absent ones are let be.
    RemoveProperties(Vec<String>),
}

impl Lake {
    /// Makes `alters` in their order.
    ///
    /// # Errors
    /// `InvalidInput`, naming the column, for what the table's schema does not allow;
    /// `AlreadyExists` for the name of another column.
    pub async fn stage_alter(&self, table: &Table, alters: &[Alter]) -> Result<Operation> {
        let location = table.metadata_location();
        let altered = altered(table.metadata(), location, table.key(), alters)?;
        let staged = self.files().write_metadata(altered, Some(location));
        Ok(stage::put(table, staged.await?))
    }
}

fn altered(
    metadata: &TableMetadata,
    location: &str,
    key: &Key,
    alters: &[Alter],
) -> Result<TableMetadata> {
    let mut columns = Columns::of(metadata, key);
    let mut partition = None;
    let mut properties = Properties::of(metadata);
    for alter in alters {
        match alter {
            Alter::SetPartition(fields) => partition = Some(fields),
            Alter::SetProperties(set) => properties.set(set),
            Alter::RemoveProperties(names) => properties.remove(names),
            columnar => {
                columns.alter(columnar)?;
                properties.follow(columnar, key)?;
            }
        }
    }
    let schema = columns.schema()?;
    check_partition_columns(metadata, key, &schema, partition.is_some())?;
    let spec = match partition {
        Some(fields) => Some(partition::unbound(&schema, fields)?),
        None => None,
    };
    let order = order_without_dropped(metadata, &schema)?;
    let (set, removed) = properties.changes(metadata);
    let build = || {
        let previous = Some(location.to_owned());
        let mut builder = TableMetadataBuilder::new_from_metadata(metadata.clone(), previous)
            .add_current_schema(schema)?;
        if let Some(spec) = spec {
            builder = builder.add_default_partition_spec(spec)?;
        }
        if let Some(order) = order {
            builder = builder.add_sort_order(order)?.set_default_sort_order(-1)?;
        }
        builder
            .set_properties(set)?
            .remove_properties(&removed)?
            .build()
    };
    build().map(|built| built.metadata).map_err(|e| {
        // Nothing was read: what Iceberg refuses here was asked for.
        Error::invalid(format!("cannot alter {key}: {}", e.message())).with_source(e)
    })
}

/// A column that splits files cannot go before the partitioning does.
fn check_partition_columns(
    metadata: &TableMetadata,
    key: &Key,
    schema: &Schema,
    set_anew: bool,
) -> Result<()> {
    let spec = metadata.default_partition_spec();
    let fields = spec.fields().iter();
    let mut in_use = fields.filter(|field| field.transform != Transform::Void && !set_anew);
    match in_use.find(|field| schema.field_by_id(field.source_id).is_none()) {
        None => Ok(()),
        Some(field) => {
            let old = metadata.current_schema();
            let name = old.name_by_field_id(field.source_id).unwrap_or("?");
            let message = format!("cannot drop column {name:?}, as {key} is partitioned by it");
            Err(Error::invalid(message).with_hint("partition the table otherwise first"))
        }
    }
}

/// The sort order without columns the schema lacks; `None` when it stays as it is.
fn order_without_dropped(metadata: &TableMetadata, schema: &Schema) -> Result<Option<SortOrder>> {
    let fields = &metadata.default_sort_order().fields;
    let kept = fields.iter();
    let kept = kept.filter(|field| schema.field_by_id(field.source_id).is_some());
    let kept: Vec<_> = kept.cloned().collect();
    if kept.len() == fields.len() {
        return Ok(None);
    }
    let order = SortOrder::builder().with_fields(kept).build(schema);
    let order = order.map_err(crate::error::iceberg("could not build the sort order"))?;
    Ok(Some(order))
}

/// The table's properties as they will be.
struct Properties(HashMap<String, String>);

impl Properties {
    fn of(metadata: &TableMetadata) -> Self {
        Self(metadata.properties().clone())
    }

    fn set(&mut self, set: &BTreeMap<String, String>) {
        self.0.extend(set.clone());
    }

    fn remove(&mut self, names: &[String]) {
        self.0.retain(|name, _| !names.contains(name));
    }

    /// Properties of a single column, such as its bloom filter, end in its name.
    fn follow(&mut self, alter: &Alter, key: &Key) -> Result<()> {
        let (from, to) = match alter {
            Alter::RenameColumn { from, to } => (from, Some(to)),
            Alter::DropColumn(name) => (name, None),
            _ => return Ok(()),
        };
        self.follow_key(from, to, key)?;
        let ending = format!(".column.{from}");
        let names = self.0.keys().filter(|name| name.ends_with(&ending));
        for name in names.cloned().collect::<Vec<_>>() {
            let value = self.0.remove(&name);
            if let (Some(value), Some(to)) = (value, to) {
                let stem = name.strip_suffix(from.as_str()).unwrap_or(&name);
                self.0.insert(format!("{stem}{to}"), value);
            }
        }
        Ok(())
    }

    /// The key that no two rows share names its columns; with fewer of them other rows would
    /// be the same.
    fn follow_key(&mut self, from: &str, to: Option<&String>, key: &Key) -> Result<()> {
        let Some(columns) = self.0.get_mut(DEDUP) else {
            return Ok(());
        };
        let names: Vec<&str> = columns.split(',').map(str::trim).collect();
        if !names.contains(&from) {
            return Ok(());
        }
        let Some(to) = to else {
            let message = format!("cannot drop column {from:?}: {DEDUP} of {key} names it");
            let hint = format!("change or remove the property {DEDUP} first");
            return Err(Error::invalid(message).with_hint(hint));
        };
        let names = names.into_iter();
        let names = names.map(|name| if name == from { to.as_str() } else { name });
        *columns = names.collect::<Vec<_>>().join(",");
        Ok(())
    }

    /// Those that differ from the table's, and the names of those that went.
    fn changes(self, metadata: &TableMetadata) -> (HashMap<String, String>, Vec<String>) {
        let before = metadata.properties();
        let gone = before.keys().filter(|name| !self.0.contains_key(*name));
        let gone = gone.cloned().collect();
        let set = self.0.into_iter();
        let set = set.filter(|(name, value)| before.get(name) != Some(value));
        (set.collect(), gone)
    }
}
