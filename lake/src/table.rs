//! A table at one catalog snapshot, and the files a scan of it reads.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema as ArrowSchema, SchemaRef};
use catalog::{Content, Error, ErrorKind, Key, Result, Snapshot, Store};
use iceberg::spec::{
    DEFAULT_SCHEMA_NAME_MAPPING, DataFile, DataFileFormat, ManifestEntry, ManifestFile,
    MappedField, NameMapping, TableMetadata, TableMetadataRef,
};
use object_store::path::Path;
use uuid::Uuid;

use crate::deletes::{DeleteFile, DeleteIndex};
use crate::metadata::TableFiles;
use crate::{evolve, names, schema};

/// A data file that a scan of a table reads.
#[derive(Debug, Clone)]
pub struct ScanFile {
    /// The file, relative to the store's base.
    pub path: Path,
    /// Size, record count, bounds and null counts by field id. Bounds of strings and
    /// binaries may be truncated, so they enclose the values without being among them;
    /// a float column with NaN has none.
    pub file: Arc<DataFile>,
    /// The partition spec that `file.partition()` follows.
    pub partition_spec_id: i32,
    /// Data sequence number: files of later commits have higher ones.
    pub sequence_number: i64,
    /// The snapshot that added the file.
    pub snapshot_id: Option<i64>,
    /// The row-level deletes a scan of the file must apply, oldest first.
    pub deletes: Arc<[Arc<DeleteFile>]>,
}

impl ScanFile {
    pub(crate) fn new(
        store: &Store,
        manifest: &ManifestFile,
        entry: &ManifestEntry,
        deletes: &DeleteIndex,
    ) -> Result<Self> {
        check_format(entry.data_file())?;
        let spec_id = manifest.partition_spec_id;
        let sequence_number = entry.sequence_number().unwrap_or(manifest.sequence_number);
        Ok(Self {
            path: store.path(entry.file_path())?,
            file: Arc::new(entry.data_file().clone()),
            partition_spec_id: spec_id,
            sequence_number,
            snapshot_id: entry.snapshot_id(),
            deletes: match deletes.is_empty() {
                true => Arc::default(),
                false => deletes.of(entry.data_file(), spec_id, sequence_number),
            },
        })
    }
}

/// Refuses a file that only other engines can read.
fn check_format(file: &DataFile) -> Result<()> {
    let format = file.file_format();
    if format == DataFileFormat::Parquet {
        return Ok(());
    }
    let path = file.file_path();
    Err(Error::unsupported(format!(
        "the file {path} has the format {format}, and only Parquet files are read"
    ))
    .with_hint("rewrite the table as Parquet with the engine that wrote the file"))
}

/// A table as it is in one catalog snapshot. Cheap to clone.
#[derive(Clone)]
pub struct Table {
    key: Key,
    metadata: TableMetadataRef,
    location: Arc<str>,
    arrow_schema: SchemaRef,
    files: Arc<TableFiles>,
}

impl Table {
    pub(crate) async fn load(
        files: &Arc<TableFiles>,
        snapshot: &Snapshot,
        key: &Key,
    ) -> Result<Self> {
        let location = metadata_location(snapshot, key)?;
        let metadata = files.metadata(&location).await?;
        Ok(Self {
            key: key.clone(),
            arrow_schema: schema::arrow_schema(metadata.current_schema())?,
            metadata,
            location: location.into(),
            files: Arc::clone(files),
        })
    }

    /// The table's name in the catalog.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The table's uuid, the same in the catalog and in Iceberg's metadata.
    pub fn uuid(&self) -> Uuid {
        self.metadata.uuid()
    }

    /// The Iceberg metadata.
    pub fn metadata(&self) -> &TableMetadata {
        &self.metadata
    }

    /// Where the metadata file is, as an absolute URL.
    pub fn metadata_location(&self) -> &str {
        &self.location
    }

    /// The current schema in Arrow terms, with `PARQUET:field_id` on every field;
    /// timestamps are microseconds, with zone "+00:00" where they have one.
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::clone(&self.arrow_schema)
    }

    /// Refuses columns that [`crate::Lake::evolve`] would refuse.
    ///
    /// # Errors
    /// `Conflict` naming the column that is there with a type that cannot hold the wanted one.
    pub fn check_evolve(&self, wanted: &ArrowSchema) -> Result<()> {
        evolve::evolved(&self.metadata, &self.key, wanted).map(drop)
    }

    /// The column of field `id` in the current schema or, when it was dropped, in the
    /// youngest schema that had it; in Arrow terms. `None` when there never was one.
    ///
    /// # Errors
    /// `Unsupported` when a schema has no Arrow form.
    pub fn former_column(&self, id: i32) -> Result<Option<Field>> {
        let mut schemas: Vec<_> = self.metadata.schemas_iter().collect();
        schemas.sort_by_key(|schema| {
            let current = schema.schema_id() == self.metadata.current_schema_id();
            std::cmp::Reverse((current, schema.schema_id()))
        });
        for schema in schemas {
            let names = schema.as_struct().fields().iter();
            let at = names.into_iter().position(|field| field.id == id);
            if let Some(at) = at {
                let arrow = schema::arrow_schema(schema)?;
                return Ok(Some(arrow.field(at).clone()));
            }
        }
        Ok(None)
    }

    /// Field ids of the columns of data files that carry none, by name, and of what is nested
    /// in them, by the id of what holds it and its name: the table's name mapping. Empty
    /// without one; a mapping that cannot be read counts as none.
    pub fn name_mapping(&self) -> HashMap<(Option<i32>, String), i32> {
        let mapping = self.metadata.properties().get(DEFAULT_SCHEMA_NAME_MAPPING);
        let mapping = mapping.and_then(|json| serde_json::from_str::<NameMapping>(json).ok());
        let mut ids = HashMap::new();
        let fields = mapping.iter().flat_map(|mapping| mapping.fields());
        fields.for_each(|field| map_names(None, field, &mut ids));
        ids
    }

    /// The live data files of the current Iceberg snapshot, oldest first. Manifests are
    /// read once and kept.
    ///
    /// # Errors
    /// `Unsupported` when the table has deletion vectors or files other than Parquet; those
    /// of the object store.
    pub async fn data_files(&self) -> Result<Arc<Vec<ScanFile>>> {
        let files = self.files.scan_files(&self.metadata).await;
        files.map_err(|e| match e.kind() {
            ErrorKind::Unsupported => e.context(format!("table {}", self.key)),
            _ => e,
        })
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("key", &self.key)
            .field("metadata_location", &self.location)
            .finish_non_exhaustive()
    }
}

fn map_names(
    parent: Option<i32>,
    field: &MappedField,
    ids: &mut HashMap<(Option<i32>, String), i32>,
) {
    let Some(id) = field.field_id() else {
        return;
    };
    let names = field.names().iter();
    ids.extend(names.map(|name| ((parent, name.clone()), id)));
    let nested = field.fields().iter();
    nested.for_each(|field| map_names(Some(id), field, ids));
}

/// Where the metadata of table `key` is in `snapshot`.
pub(crate) fn metadata_location(snapshot: &Snapshot, key: &Key) -> Result<String> {
    match snapshot.get(key)? {
        Some(Content::IcebergTable {
            metadata_location, ..
        }) => Ok(metadata_location),
        Some(other) => {
            let what = other.type_name();
            Err(Error::invalid(format!("{key} is a {what}, not a table")))
        }
        None => Err(not_found(snapshot, key)?),
    }
}

fn not_found(snapshot: &Snapshot, key: &Key) -> Result<Error> {
    let commit = snapshot.commit().id.to_string();
    let commit = commit.get(..12).unwrap_or(&commit);
    let error = Error::not_found(format!("there is no table {key} at commit {commit}"));
    let entries = snapshot.entries()?;
    let tables = entries.iter();
    let tables = tables.filter(|(_, content)| matches!(content, Content::IcebergTable { .. }));
    Ok(
        match names::near(key, tables.map(|(key, _)| key)).as_slice() {
            [] => error.with_hint("it has no tables of a similar name; check the branch too"),
            near => error.with_hint(format!("did you mean {}?", near.join(" or "))),
        },
    )
}
