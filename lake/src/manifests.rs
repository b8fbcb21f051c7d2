//! Writing manifests: one for the files a commit adds, and merged ones as small
//! manifests pile up.
//!
//! Manifests are merged in tiers, like the levels of a log-structured tree: as soon as
//! [`FANOUT`] manifests of about the same size have gathered they become one of the
//! next size. An entry is so rewritten at most [`LAST_TIER`] times in a table's life and
//! a commit costs the same however old the table is, while a manifest list holds some
//! fifty manifests and one more for every few thousand files.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{Error, Result};
use iceberg::spec::{
    DataFile, ManifestContentType, ManifestEntry, ManifestFile, ManifestStatus, ManifestWriter,
    ManifestWriterBuilder, PartitionSpecRef, TableMetadata,
};
use uuid::Uuid;

use crate::error;
use crate::metadata::{ManifestEntries, TableFiles};

/// Manifests of one tier that are merged into one of the next.
const FANOUT: usize = 16;
/// Manifests of this tier (4,096 files and more) stay as they are.
const LAST_TIER: u32 = 3;

/// Writes the manifests of one snapshot to be.
pub(crate) struct Manifests<'a> {
    pub(crate) files: &'a Arc<TableFiles>,
    pub(crate) metadata: &'a TableMetadata,
    pub(crate) snapshot_id: i64,
    pub(crate) sequence_number: i64,
}

impl Manifests<'_> {
    /// The manifest of the files this snapshot adds.
    pub(crate) async fn added(&self, added: &[DataFile]) -> Result<ManifestFile> {
        let spec = self.metadata.default_partition_spec();
        let mut writer = self.writer(spec)?;
        for file in added {
            // Without a number of its own an entry takes the snapshot's.
            let entry = writer.add_file(file.clone(), -1);
            entry.map_err(error::iceberg("could not add a file to a manifest"))?;
        }
        let mut manifest = self.write(writer).await?;
        manifest.sequence_number = self.sequence_number;
        manifest.min_sequence_number = self.sequence_number;
        let entries = added.iter().map(|file| self.added_entry(file)).collect();
        let entries: ManifestEntries = Arc::new(entries);
        self.files.keep_manifest(&manifest.manifest_path, &entries);
        Ok(manifest)
    }

    /// The entry as a reader of the new manifest would see it.
    fn added_entry(&self, file: &DataFile) -> Arc<ManifestEntry> {
        let entry = ManifestEntry::builder()
            .status(ManifestStatus::Added)
            .snapshot_id(self.snapshot_id)
            .sequence_number(self.sequence_number)
            .file_sequence_number(self.sequence_number)
            .data_file(file.clone())
            .build();
        Arc::new(entry)
    }

    /// `current` with every full tier of data manifests merged into one manifest.
    pub(crate) async fn merged(&self, current: &[ManifestFile]) -> Result<Vec<ManifestFile>> {
        let mut tiers: BTreeMap<(i32, u32), Vec<ManifestFile>> = BTreeMap::new();
        let mut merged = Vec::with_capacity(current.len());
        for manifest in current {
            match tier(manifest) {
                Some(tier) => tiers
                    .entry((manifest.partition_spec_id, tier))
                    .or_default()
                    .push(manifest.clone()),
                None => merged.push(manifest.clone()),
            }
        }
        for ((spec_id, _), manifests) in tiers {
            if manifests.len() < FANOUT {
                merged.extend(manifests);
            } else if let Some(manifest) = self.merge(spec_id, &manifests).await? {
                merged.push(manifest);
            }
        }
        Ok(merged)
    }

    /// One manifest with the live entries of `manifests`; `None` when none lives.
    async fn merge(
        &self,
        spec_id: i32,
        manifests: &[ManifestFile],
    ) -> Result<Option<ManifestFile>> {
        let spec = self.metadata.partition_spec_by_id(spec_id).ok_or_else(|| {
            Error::corrupt(format!(
                "a manifest follows partition spec {spec_id}, which the table lacks"
            ))
        })?;
        let mut writer = self.writer(spec)?;
        let mut live = 0;
        for entries in self.files.manifests(manifests).await? {
            for entry in entries.iter().filter(|entry| entry.is_alive()) {
                add_existing(&mut writer, entry)?;
                live += 1;
            }
        }
        if live == 0 {
            return Ok(None);
        }
        tracing::debug!(
            manifests = manifests.len(),
            files = live,
            "merging manifests"
        );
        let mut manifest = self.write(writer).await?;
        manifest.sequence_number = self.sequence_number;
        Ok(Some(manifest))
    }

    fn writer(&self, spec: &PartitionSpecRef) -> Result<ManifestWriter> {
        let table = self.metadata.location();
        let location = format!("{table}/metadata/{}-m.avro", Uuid::new_v4());
        let output = self.files.io().new_output(&location);
        let output = output.map_err(error::iceberg("could not name a manifest"))?;
        Ok(ManifestWriterBuilder::new(
            output,
            Some(self.snapshot_id),
            Arc::clone(self.metadata.current_schema()),
            spec.as_ref().clone(),
        )
        .build_v2_data())
    }

    async fn write(&self, writer: ManifestWriter) -> Result<ManifestFile> {
        let written = writer.write_manifest_file().await;
        written.map_err(error::iceberg("could not write a manifest"))
    }
}

/// An existing entry keeps the snapshot and sequence numbers it was added with.
fn add_existing(writer: &mut ManifestWriter, entry: &ManifestEntry) -> Result<()> {
    let (Some(snapshot), Some(sequence)) = (entry.snapshot_id(), entry.sequence_number()) else {
        let message = format!(
            "the manifest entry of {} has no sequence number",
            entry.file_path()
        );
        return Err(Error::corrupt(message));
    };
    let file = entry.data_file().clone();
    writer
        .add_existing_file(file, snapshot, sequence, entry.file_sequence_number)
        .map_err(error::iceberg("could not add a file to a merged manifest"))
}

/// The size class of a manifest that may be merged.
fn tier(manifest: &ManifestFile) -> Option<u32> {
    if manifest.content != ManifestContentType::Data {
        return None;
    }
    let added = manifest.added_files_count.unwrap_or(0);
    let files = added + manifest.existing_files_count.unwrap_or(0);
    let tier = files.max(1).ilog(FANOUT as u32);
    (tier < LAST_TIER).then_some(tier)
}
