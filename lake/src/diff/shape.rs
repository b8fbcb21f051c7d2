//! How the schema, partitioning, sort order and properties differ between two states of
//! one table, and how that is said in words.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use iceberg::spec::{
    NestedField, PartitionSpec, Schema, SortDirection, SortOrder, StructType, TableMetadata,
    Transform, Type,
};
use serde::Serialize;

use crate::schema::within;

/// One change of a column. Columns are known by their field id, so a renamed one is the
/// same column. Types are Iceberg's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub enum ColumnChange {
    /// A column that was not there.
    Added { column: String, data_type: String },
    /// A column that is no more.
    Dropped { column: String, data_type: String },
    /// Another name.
    Renamed { column: String, to: String },
    /// Another type.
    Retyped {
        column: String,
        from: String,
        to: String,
    },
    /// Nulls are refused from now on, or allowed.
    Required { column: String, required: bool },
    /// Another description or default.
    Described { column: String },
}

impl fmt::Display for ColumnChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { column, data_type } => write!(f, "added column {column} {data_type}"),
            Self::Dropped { column, .. } => write!(f, "dropped column {column}"),
            Self::Renamed { column, to } => write!(f, "renamed column {column} to {to}"),
            Self::Retyped { column, from, to } => {
                write!(f, "changed column {column} from {from} to {to}")
            }
            Self::Required { column, required } => match required {
                true => write!(f, "made column {column} not null"),
                false => write!(f, "made column {column} nullable"),
            },
            Self::Described { column } => write!(f, "described column {column} otherwise"),
        }
    }
}

/// A property that was set, changed or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PropertyChange {
    /// The property.
    pub name: String,
    /// Its value before; none when it was not set.
    pub before: Option<String>,
    /// Its value after; none when it was removed.
    pub after: Option<String>,
}

impl fmt::Display for PropertyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.after {
            Some(value) => write!(f, "set property {} to {value:?}", self.name),
            None => write!(f, "removed property {}", self.name),
        }
    }
}

/// What changed of a table besides its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ShapeChanges {
    pub(crate) columns: Vec<ColumnChange>,
    /// The new partitioning in words.
    pub(crate) partition: Option<String>,
    /// The new sort order in words.
    pub(crate) sort: Option<String>,
    pub(crate) properties: Vec<PropertyChange>,
}

impl ShapeChanges {
    pub(crate) fn between(before: &TableMetadata, after: &TableMetadata) -> Self {
        let (was, is) = (
            before.default_partition_spec(),
            after.default_partition_spec(),
        );
        let (old, new) = (before.default_sort_order(), after.default_sort_order());
        Self {
            columns: columns(
                "",
                [before, after].map(|side| side.current_schema().as_struct()),
            ),
            partition: (!was.is_compatible_with(is))
                .then(|| partition_words(is, after.current_schema())),
            sort: (old.fields != new.fields).then(|| sort_words(new, after.current_schema())),
            properties: properties(before.properties(), after.properties()),
        }
    }

    /// One phrase a change.
    pub(crate) fn words(&self) -> Vec<String> {
        let columns = self.columns.iter().map(ToString::to_string);
        let partition = self.partition.iter();
        let partition = partition.map(|by| format!("changed the partitioning to {by}"));
        let sort = self.sort.iter();
        let sort = sort.map(|by| format!("changed the sort order to {by}"));
        let properties = self.properties.iter().map(ToString::to_string);
        let all = columns.chain(partition).chain(sort).chain(properties);
        all.collect()
    }
}

/// What changed of the fields of the struct `path`, which is empty for the columns.
fn columns(path: &str, [before, after]: [&StructType; 2]) -> Vec<ColumnChange> {
    let mut changes = Vec::new();
    for field in before.fields() {
        match after.field_by_id(field.id) {
            Some(now) => changes.extend(changed(path, field, now)),
            None => changes.push(ColumnChange::Dropped {
                column: within(path, &field.name),
                data_type: field.field_type.to_string(),
            }),
        }
    }
    let added = after.fields().iter();
    let added = added.filter(|field| before.field_by_id(field.id).is_none());
    changes.extend(added.map(|field| ColumnChange::Added {
        column: within(path, &field.name),
        data_type: field.field_type.to_string(),
    }));
    changes
}

fn changed(path: &str, was: &NestedField, is: &NestedField) -> Vec<ColumnChange> {
    let mut changes = Vec::new();
    let column = within(path, &is.name);
    if was.name != is.name {
        let (column, to) = (within(path, &was.name), is.name.clone());
        changes.push(ColumnChange::Renamed { column, to });
    }
    changes.extend(retyped(&column, &was.field_type, &is.field_type));
    if was.required != is.required {
        let (column, required) = (column.clone(), is.required);
        changes.push(ColumnChange::Required { column, required });
    }
    if changes.is_empty() && was != is {
        changes.push(ColumnChange::Described { column });
    }
    changes
}

/// What changed of the type of `column`, or of what is nested in it.
fn retyped(column: &str, was: &Type, is: &Type) -> Vec<ColumnChange> {
    match (was, is) {
        (was, is) if was == is => Vec::new(),
        (Type::Struct(was), Type::Struct(is)) => columns(column, [was, is]),
        (Type::List(was), Type::List(is)) => changed(column, &was.element_field, &is.element_field),
        (Type::Map(was), Type::Map(is)) => {
            let mut changes = changed(column, &was.key_field, &is.key_field);
            changes.extend(changed(column, &was.value_field, &is.value_field));
            changes
        }
        (was, is) => vec![ColumnChange::Retyped {
            column: column.to_owned(),
            from: was.to_string(),
            to: is.to_string(),
        }],
    }
}

/// What changed between two maps of properties, in the order of their names.
pub(crate) fn properties(
    before: &HashMap<String, String>,
    after: &HashMap<String, String>,
) -> Vec<PropertyChange> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changes = names.into_iter().map(|name| PropertyChange {
        name: name.clone(),
        before: before.get(name).cloned(),
        after: after.get(name).cloned(),
    });
    changes
        .filter(|change| change.before != change.after)
        .collect()
}

fn partition_words(spec: &PartitionSpec, schema: &Schema) -> String {
    let names = by_id(schema);
    let fields = spec.fields().iter();
    let fields = fields.filter(|field| field.transform != Transform::Void);
    let words: Vec<_> = fields
        .map(|field| transformed(&names, field.source_id, field.transform))
        .collect();
    one_of(&words)
}

fn sort_words(order: &SortOrder, schema: &Schema) -> String {
    let names = by_id(schema);
    let words = order.fields.iter().map(|field| {
        let column = transformed(&names, field.source_id, field.transform);
        match field.direction {
            SortDirection::Ascending => column,
            SortDirection::Descending => format!("{column} desc"),
        }
    });
    one_of(&words.collect::<Vec<_>>())
}

fn one_of(words: &[String]) -> String {
    match words {
        [] => "none".to_owned(),
        words => words.join(", "),
    }
}

fn by_id(schema: &Schema) -> BTreeMap<i32, &str> {
    let fields = schema.field_id_to_name_map().iter();
    fields.map(|(id, name)| (*id, name.as_str())).collect()
}

fn transformed(names: &BTreeMap<i32, &str>, source: i32, transform: Transform) -> String {
    let column = names.get(&source).copied().unwrap_or("a dropped column");
    match transform {
        Transform::Identity => column.to_owned(),
        Transform::Bucket(buckets) => format!("bucket({buckets}, {column})"),
        Transform::Truncate(width) => format!("truncate({width}, {column})"),
        other => format!("{other}({column})"),
    }
}
