//! Adding files to tables, with an ingester's watermark, in one catalog commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use catalog::{Change, ChangeSet, Content, Error, Key, Operation, Result, Snapshot};
use futures::future::try_join_all;
use iceberg::spec::{DataFile, NestedField, NestedFieldRef, Schema, SchemaRef, TableMetadata};
use uuid::Uuid;

use crate::metadata::TableFiles;
use crate::producer::{self, AddedFile, SnapshotChange};
use crate::table::{Table, metadata_location};

/// Files to add to one table.
#[derive(Debug, Clone)]
pub struct Append {
    /// The table.
    pub key: Key,
    /// The uuid of the table the files were written for, so that a table dropped and
    /// created anew under the same name does not take them.
    pub table_uuid: Uuid,
    /// Files from [`crate::Lake::write`]; with none the table stays as it is.
    pub files: Vec<DataFile>,
    /// The partition spec the files follow: the table's default when they were written.
    pub partition_spec_id: i32,
    /// The columns the files were written with.
    pub schema: SchemaRef,
}

impl Append {
    /// `files` that were written for `table`.
    pub fn to(table: &Table, files: Vec<DataFile>) -> Self {
        Self {
            key: table.key().clone(),
            table_uuid: table.uuid(),
            files,
            partition_spec_id: table.metadata().default_partition_spec_id(),
            schema: Arc::clone(table.metadata().current_schema()),
        }
    }
}

/// A change that adds files to tables. Made by [`crate::Lake::append`].
///
/// Appends commute, so it is applied to whatever the branch's head holds by then: each
/// time it writes new manifests and metadata, whose names never repeat.
pub struct AppendChange {
    files: Arc<TableFiles>,
    tables: BTreeMap<Key, Added>,
    watermark: Option<Watermark>,
    /// A fault of the call that `apply` reports.
    refused: Option<String>,
}

struct Added {
    uuid: Uuid,
    files: Vec<(AddedFile, SchemaRef)>,
}

struct Watermark {
    ingester: String,
    expected: Option<u64>,
    new: u64,
}

impl AppendChange {
    pub(crate) fn new(files: Arc<TableFiles>, appends: Vec<Append>) -> Self {
        let mut tables: BTreeMap<Key, Added> = BTreeMap::new();
        let mut refused = None;
        for append in appends {
            let uuid = append.table_uuid;
            let added = tables.entry(append.key.clone()).or_insert(Added {
                uuid,
                files: Vec::new(),
            });
            if added.uuid != uuid {
                let key = append.key;
                refused = Some(format!("files of two tables were given for {key}"));
                continue;
            }
            let files = AddedFile::all(append.files, append.partition_spec_id);
            let schema = &append.schema;
            let files = files.into_iter().map(|file| (file, Arc::clone(schema)));
            added.files.extend(files);
        }
        tables.retain(|_, added| !added.files.is_empty());
        Self {
            files,
            tables,
            watermark: None,
            refused,
        }
    }

    /// Advances the watermark of `ingester` from `expected` to `new` in the same commit.
    ///
    /// When the branch's head has another watermark than `expected`, the commit fails
    /// with `Conflict`: another process has committed as this ingester.
    #[must_use]
    pub fn with_watermark(mut self, ingester: &str, expected: Option<u64>, new: u64) -> Self {
        self.watermark = Some(Watermark {
            ingester: ingester.to_owned(),
            expected,
            new,
        });
        self
    }

    async fn append(&self, head: &Snapshot, key: &Key, added: &Added) -> Result<Operation> {
        let location = metadata_location(head, key)?;
        let metadata = self.files.metadata(&location).await?;
        check(key, &metadata, added)?;
        let change = SnapshotChange {
            added: added.files.iter().map(|(file, _)| file.clone()).collect(),
            ..SnapshotChange::default()
        };
        let content = Content::IcebergTable {
            uuid: metadata.uuid(),
            metadata_location: producer::produce(&self.files, &metadata, &location, change).await?,
        };
        Ok(Operation::Put {
            key: key.clone(),
            content,
        })
    }
}

#[async_trait]
impl Change for AppendChange {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        if let Some(refused) = &self.refused {
            return Err(Error::invalid(refused.clone()));
        }
        let mut properties = BTreeMap::new();
        if let Some(watermark) = &self.watermark {
            watermark.check(head)?;
            let name = format!("watermark.{}", watermark.ingester);
            properties.insert(name, watermark.new.to_string());
        }
        let appends = self.tables.iter();
        let appends = appends.map(|(key, added)| self.append(head, key, added));
        Ok(ChangeSet {
            operations: try_join_all(appends).await?,
            properties,
        })
    }

    fn keys(&self) -> Option<BTreeSet<Key>> {
        let alone = self.watermark.is_some();
        (!alone).then(|| self.tables.keys().cloned().collect())
    }
}

impl Watermark {
    fn check(&self, head: &Snapshot) -> Result<()> {
        let actual = head.watermark(&self.ingester);
        if actual == self.expected {
            return Ok(());
        }
        let show = |position: Option<u64>| position.map_or("none".into(), |at| at.to_string());
        let (ingester, actual, expected) = (&self.ingester, show(actual), show(self.expected));
        Err(Error::conflict(format!(
            "the watermark of ingester {ingester} is {actual}, not {expected}"
        ))
        .with_hint(
            "another process committed as this ingester; \
             let only one process use a data directory",
        ))
    }
}

/// The files must still mean in the head's table what they were written as.
fn check(key: &Key, metadata: &TableMetadata, added: &Added) -> Result<()> {
    if metadata.uuid() != added.uuid {
        let message =
            format!("table {key} was dropped and created anew since the files were written");
        return Err(Error::conflict(message).with_hint("write the rows again"));
    }
    for (added, schema) in &added.files {
        let ids = added.file.value_counts().keys();
        if let Some(id) = ids.copied().find(|id| !has_column(metadata, *id, schema)) {
            let name = schema.name_by_field_id(id).unwrap_or("of the files");
            let message = format!("table {key} never had column {name} with field id {id}");
            return Err(Error::conflict(message).with_hint("write the rows again"));
        }
        if let Some(field) = required(metadata).find(|field| !has_all(&added.file, field, schema)) {
            let message = format!(
                "column {:?} of {key} has become required, and the files lack values of it",
                field.name
            );
            return Err(Error::conflict(message).with_hint("write the rows again"));
        }
        let spec = metadata.partition_spec_by_id(added.spec_id);
        let fields = added.file.partition().fields().len();
        if spec.is_none_or(|spec| spec.fields().len() != fields) {
            let id = added.spec_id;
            let message = format!("table {key} has no such partitioning as the files' ({id})");
            return Err(Error::conflict(message).with_hint("write the rows again"));
        }
    }
    Ok(())
}

fn required(metadata: &TableMetadata) -> impl Iterator<Item = &NestedFieldRef> {
    let fields = metadata.current_schema().as_struct().fields().iter();
    fields.filter(|field| field.required && field.initial_default.is_none())
}

/// Whether every row of the file has a value in the column. Nulls of nested columns are not
/// counted: there it counts what the column was when the file was written.
fn has_all(file: &DataFile, field: &NestedField, written: &Schema) -> bool {
    let id = field.id;
    match field.field_type.is_primitive() {
        true => {
            file.value_counts().contains_key(&id) && file.null_value_counts().get(&id) == Some(&0)
        }
        false => written.field_by_id(id).is_some_and(|then| then.required),
    }
}

/// Whether field `id` was once the column here that it is in `written`. Files may have
/// columns that were dropped meanwhile: nobody reads them there.
fn has_column(metadata: &TableMetadata, id: i32, written: &Schema) -> bool {
    let written = written.field_by_id(id);
    let mut schemas = metadata.schemas_iter();
    schemas.any(|schema| {
        schema.field_by_id(id).is_some_and(|here| {
            written.is_none_or(|there| {
                (&here.name, &here.field_type) == (&there.name, &there.field_type)
            })
        })
    })
}
