//! Writing manifests: those of the files a commit adds, shortened ones where it removes
//! files, and merged ones as small manifests pile up.

mod merge;
mod promote;
mod remove;

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{Error, Result};
use iceberg::spec::{
    DataContentType, ManifestContentType, ManifestEntry, ManifestFile, ManifestStatus,
    ManifestWriter, ManifestWriterBuilder, PartitionSpecRef, SchemaRef, StructType, TableMetadata,
};
use uuid::Uuid;

use self::promote::promoted;
pub(crate) use self::remove::Removed;
use crate::error;
use crate::metadata::{ManifestEntries, TableFiles};
use crate::producer::AddedFile;

/// Entries a manifest gets at most, so that removing one file rewrites no more than that
/// however large the table is.
const MOST_ENTRIES: usize = 8_192;

/// Writes the manifests of one snapshot to be.
pub(crate) struct Manifests<'a> {
    pub(crate) files: &'a Arc<TableFiles>,
    pub(crate) metadata: &'a TableMetadata,
    pub(crate) snapshot_id: i64,
    pub(crate) sequence_number: i64,
}

impl Manifests<'_> {
    /// The manifests of the files this snapshot adds, data files and delete files apart
    /// and each partition spec by itself.
    pub(crate) async fn added(&self, added: &[AddedFile]) -> Result<Vec<ManifestFile>> {
        let mut groups: BTreeMap<(i32, bool), Vec<&AddedFile>> = BTreeMap::new();
        for file in added {
            let deletes = file.file.content_type() != DataContentType::Data;
            groups
                .entry((file.spec_id, deletes))
                .or_default()
                .push(file);
        }
        let mut manifests = Vec::new();
        for ((spec_id, deletes), files) in groups {
            let content = match deletes {
                true => ManifestContentType::Deletes,
                false => ManifestContentType::Data,
            };
            for files in files.chunks(MOST_ENTRIES) {
                manifests.push(self.added_to_one(spec_id, content, files).await?);
            }
        }
        Ok(manifests)
    }

    async fn added_to_one(
        &self,
        spec_id: i32,
        content: ManifestContentType,
        added: &[&AddedFile],
    ) -> Result<ManifestFile> {
        let mut writer = self.writer(spec_id, content)?;
        for file in added {
            writer.add(file)?;
        }
        let mut manifest = self.write(writer).await?;
        let numbers = added.iter().map(|file| self.number(file));
        manifest.min_sequence_number = numbers.min().unwrap_or(self.sequence_number);
        let entries = added.iter().map(|file| self.added_entry(file)).collect();
        let entries: ManifestEntries = Arc::new(entries);
        self.files.keep_manifest(&manifest.manifest_path, &entries);
        Ok(manifest)
    }

    fn number(&self, file: &AddedFile) -> i64 {
        file.sequence_number.unwrap_or(self.sequence_number)
    }

    /// The entry as a reader of the new manifest would see it.
    fn added_entry(&self, file: &AddedFile) -> Arc<ManifestEntry> {
        let entry = ManifestEntry::builder()
            .status(ManifestStatus::Added)
            .snapshot_id(self.snapshot_id)
            .sequence_number(self.number(file))
            .file_sequence_number(self.sequence_number)
            .data_file(file.file.clone())
            .build();
        Arc::new(entry)
    }

    fn writer(&self, spec_id: i32, content: ManifestContentType) -> Result<Writer> {
        let table = self.metadata.location();
        let location = format!("{table}/metadata/{}-m.avro", Uuid::new_v4());
        let output = self.files.io().new_output(&location);
        let output = output.map_err(error::iceberg("could not name a manifest"))?;
        let (spec, schema) = self.spec(spec_id)?;
        let partition = spec.partition_type(&schema);
        let partition = partition.map_err(error::iceberg("could not read a partition spec"))?;
        let spec = spec.as_ref().clone();
        let builder = ManifestWriterBuilder::new(output, Some(self.snapshot_id), schema, spec);
        let writer = match content {
            ManifestContentType::Data => builder.build_v2_data(),
            ManifestContentType::Deletes => builder.build_v2_deletes(),
        };
        Ok(Writer { writer, partition })
    }

    /// A partition spec and a schema that has its columns: the current one, or for an
    /// old spec the newest that does.
    fn spec(&self, spec_id: i32) -> Result<(&PartitionSpecRef, SchemaRef)> {
        let spec = self.metadata.partition_spec_by_id(spec_id).ok_or_else(|| {
            Error::corrupt(format!(
                "a manifest follows partition spec {spec_id}, which the table lacks"
            ))
        })?;
        let current = self.metadata.current_schema();
        if spec.partition_type(current).is_ok() {
            return Ok((spec, Arc::clone(current)));
        }
        let older = self.metadata.schemas_iter();
        let older = older.filter(|schema| spec.partition_type(schema).is_ok());
        let newest = older.max_by_key(|schema| schema.schema_id());
        let newest = newest.ok_or_else(|| {
            Error::corrupt(format!(
                "no schema of the table has the columns of partition spec {spec_id}"
            ))
        })?;
        Ok((spec, Arc::clone(newest)))
    }

    async fn write(&self, writer: Writer) -> Result<ManifestFile> {
        let written = writer.writer.write_manifest_file().await;
        let mut manifest = written.map_err(error::iceberg("could not write a manifest"))?;
        manifest.sequence_number = self.sequence_number;
        if manifest.min_sequence_number < 0 {
            manifest.min_sequence_number = self.sequence_number;
        }
        Ok(manifest)
    }
}

/// A manifest being written.
struct Writer {
    writer: ManifestWriter,
    partition: StructType,
}

impl Writer {
    /// Without a sequence number of its own an entry takes the snapshot's.
    fn add(&mut self, added: &AddedFile) -> Result<()> {
        let file = promoted(&added.file, &self.partition)?.into_owned();
        let entry = self
            .writer
            .add_file(file, added.sequence_number.unwrap_or(-1));
        entry.map_err(error::iceberg("could not add a file to a manifest"))
    }

    /// The entry keeps the snapshot and sequence numbers it was added with.
    fn keep(&mut self, entry: &ManifestEntry) -> Result<()> {
        let snapshot = entry.snapshot_id().ok_or_else(|| unnumbered(entry))?;
        let sequence = entry.sequence_number().ok_or_else(|| unnumbered(entry))?;
        let file = promoted(entry.data_file(), &self.partition)?.into_owned();
        self.writer
            .add_existing_file(file, snapshot, sequence, entry.file_sequence_number)
            .map_err(error::iceberg("could not keep a file in a manifest"))
    }

    /// Marks the file as deleted by this snapshot.
    fn remove(&mut self, entry: &ManifestEntry) -> Result<()> {
        let sequence = entry.sequence_number().ok_or_else(|| unnumbered(entry))?;
        let file = promoted(entry.data_file(), &self.partition)?.into_owned();
        self.writer
            .add_delete_file(file, sequence, entry.file_sequence_number)
            .map_err(error::iceberg("could not take a file out of a manifest"))
    }
}

fn unnumbered(entry: &ManifestEntry) -> Error {
    let path = entry.file_path();
    Error::corrupt(format!(
        "the manifest entry of {path} has no sequence number"
    ))
}
