//! Row-level deletes: which delete files apply to which data file, as the Iceberg
//! specification says under "Scan Planning".

use std::collections::HashMap;
use std::sync::Arc;

use catalog::{Error, Result, Store};
use iceberg::spec::{
    DataContentType, DataFile, DataFileFormat, Datum, ManifestEntry, ManifestFile,
    PrimitiveLiteral, Struct, TableMetadata,
};
use object_store::path::Path;

/// The reserved field id of a position delete's `file_path` column.
pub const DELETE_FILE_PATH_ID: i32 = 2_147_483_546;
/// The reserved field id of a position delete's `pos` column.
pub const DELETE_POS_ID: i32 = 2_147_483_545;

/// A file of row-level deletes.
#[derive(Debug, Clone)]
pub struct DeleteFile {
    /// The file, relative to the store's base.
    pub path: Path,
    /// Its manifest entry: [`DataFile::content_type`] tells position from equality deletes,
    /// [`DataFile::equality_ids`] the columns of the latter.
    pub file: Arc<DataFile>,
    /// The partition spec that `file.partition()` follows.
    pub partition_spec_id: i32,
    /// Data sequence number.
    pub sequence_number: i64,
    /// Whether an equality delete applies whatever a data file's partition is.
    pub global: bool,
}

impl DeleteFile {
    /// Whether rows are named by file and position, not by values.
    pub fn is_positional(&self) -> bool {
        self.file.content_type() == DataContentType::PositionDeletes
    }

    fn new(
        store: &Store,
        metadata: &TableMetadata,
        manifest: &ManifestFile,
        entry: &ManifestEntry,
    ) -> Result<Self> {
        let file = entry.data_file();
        if file.file_format() != DataFileFormat::Parquet {
            return Err(unreadable(metadata, file));
        }
        let spec = metadata.partition_spec_by_id(manifest.partition_spec_id);
        let positional = file.content_type() == DataContentType::PositionDeletes;
        Ok(Self {
            path: store.path(entry.file_path())?,
            partition_spec_id: manifest.partition_spec_id,
            sequence_number: entry.sequence_number().unwrap_or(manifest.sequence_number),
            global: !positional && spec.is_some_and(|spec| spec.is_unpartitioned()),
            file: Arc::new(file.clone()),
        })
    }

    /// Whether the file's rows are younger than what the delete is about.
    fn covers_sequence(&self, data: i64) -> bool {
        match self.is_positional() {
            true => data <= self.sequence_number,
            false => data < self.sequence_number,
        }
    }
}

/// No only when the bounds of the paths that a position delete names rule `path` out.
pub(crate) fn may_name(delete: &DataFile, path: &str) -> bool {
    let bound = |bounds: &HashMap<i32, Datum>| match bounds.get(&DELETE_FILE_PATH_ID) {
        Some(datum) => match datum.literal() {
            PrimitiveLiteral::String(text) => Some(text.clone()),
            _ => None,
        },
        None => None,
    };
    let above = bound(delete.lower_bounds()).is_none_or(|lower| lower.as_str() <= path);
    let below = bound(delete.upper_bounds()).is_none_or(|upper| path <= upper.as_str());
    above && below
}

/// The live delete files of a table, by what they apply to.
#[derive(Default)]
pub(crate) struct DeleteIndex {
    by_path: HashMap<String, Vec<Arc<DeleteFile>>>,
    by_partition: HashMap<(i32, Struct), Vec<Arc<DeleteFile>>>,
    global: Vec<Arc<DeleteFile>>,
}

impl DeleteIndex {
    /// Adds the live entry of a delete manifest.
    ///
    /// # Errors
    /// `Unsupported` for deletion vectors and files that are not Parquet.
    pub(crate) fn add(
        &mut self,
        store: &Store,
        metadata: &TableMetadata,
        manifest: &ManifestFile,
        entry: &ManifestEntry,
    ) -> Result<()> {
        let delete = Arc::new(DeleteFile::new(store, metadata, manifest, entry)?);
        let list = match delete.file.referenced_data_file() {
            Some(path) if delete.is_positional() => self.by_path.entry(path).or_default(),
            _ if delete.global => &mut self.global,
            _ => {
                let partition = delete.file.partition().clone();
                let key = (delete.partition_spec_id, partition);
                self.by_partition.entry(key).or_default()
            }
        };
        list.push(delete);
        Ok(())
    }

    /// The delete files that apply to `file`, oldest first.
    pub(crate) fn of(
        &self,
        file: &DataFile,
        spec_id: i32,
        sequence_number: i64,
    ) -> Arc<[Arc<DeleteFile>]> {
        let by_path = self.by_path.get(file.file_path()).into_iter().flatten();
        let key = (spec_id, file.partition().clone());
        let by_partition = self.by_partition.get(&key).into_iter().flatten();
        let all = by_path.chain(by_partition).chain(&self.global);
        let mut applying: Vec<Arc<DeleteFile>> = all
            .filter(|delete| delete.covers_sequence(sequence_number))
            .filter(|delete| !delete.is_positional() || may_name(&delete.file, file.file_path()))
            .cloned()
            .collect();
        applying.sort_by_key(|delete| delete.sequence_number);
        applying.into()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_path.is_empty() && self.by_partition.is_empty() && self.global.is_empty()
    }
}

fn unreadable(metadata: &TableMetadata, file: &DataFile) -> Error {
    let what = match file.file_format() {
        DataFileFormat::Puffin => "deletion vectors",
        DataFileFormat::Avro => "delete files in Avro",
        DataFileFormat::Orc => "delete files in ORC",
        DataFileFormat::Parquet => "delete files",
    };
    let table = metadata.location();
    Error::unsupported(format!(
        "the table at {table} has {what}, which cannot be read: {}",
        file.file_path()
    ))
    .with_hint(
        "compact the table with the engine that wrote them, and set its format version to 2 \
         and `write.format.default` to parquet before it writes again",
    )
}
