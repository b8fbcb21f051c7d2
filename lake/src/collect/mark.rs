//! Marking: from what commits point to, down to every file that reading it may need.
//!
//! Of a table that is: the metadata file, and for each snapshot listed in it the manifest list,
//! the manifests and the files that are live there, so that other engines may travel through the
//! snapshots of a metadata file too. What is shared between commits is read once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use catalog::collect::{Missing, PathSet};
use catalog::{CommitId, Content, Error, ErrorKind, Result, Store};
use futures::{StreamExt, TryStreamExt};
use iceberg::io::FileIO;
use iceberg::spec::{FormatVersion, ManifestFile, ManifestList, TableMetadata};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::Deserialize;

use super::kind::Folders;
use crate::{error, storage};

/// Tables, lists and manifests that are read at the same time, each.
const PARALLEL_READS: usize = 16;

/// What was reached so far.
pub(super) struct Marker {
    store: Store,
    io: FileIO,
    reached: Mutex<PathSet>,
    folders: Mutex<Folders>,
}

/// What marking needs of a table's metadata, whichever version wrote it.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    format_version: u8,
    #[serde(default)]
    snapshots: Vec<Snapshot>,
    #[serde(default)]
    statistics: Vec<Statistics>,
    #[serde(default)]
    partition_statistics: Vec<Statistics>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Snapshot {
    snapshot_id: i64,
    manifest_list: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Statistics {
    statistics_path: String,
}

/// What marking needs of a model's manifest.
#[derive(Deserialize)]
struct Model {
    artifact: Artifact,
    lineage: Lineage,
}

#[derive(Deserialize)]
struct Artifact {
    path: String,
}

#[derive(Deserialize)]
struct Lineage {
    commit: CommitId,
}

impl Marker {
    pub(super) fn new(store: Store) -> Self {
        Self {
            io: storage::file_io(store.clone()),
            store,
            reached: Mutex::default(),
            folders: Mutex::default(),
        }
    }

    pub(super) fn reached(&self) -> MutexGuard<'_, PathSet> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn folders(&self) -> MutexGuard<'_, Folders> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reaches everything that `contents` need. Returns the commits that models among them were
    /// trained on.
    ///
    /// # Errors
    /// `Corrupt` for a missing file, unless that is to be skipped.
    pub(super) async fn mark(
        &self,
        contents: Vec<Content>,
        missing: Missing,
    ) -> Result<Vec<CommitId>> {
        let trained: Vec<_> = futures::stream::iter(contents)
            .map(|content| self.content(content, missing))
            .buffer_unordered(PARALLEL_READS)
            .try_collect()
            .await?;
        Ok(trained.into_iter().flatten().collect())
    }

    async fn content(&self, content: Content, missing: Missing) -> Result<Option<CommitId>> {
        let marked = match content {
            Content::IcebergTable {
                metadata_location, ..
            } => self.table(&metadata_location, missing).await.map(|()| None),
            Content::View {
                metadata_location, ..
            } => {
                self.note_folder(&metadata_location);
                self.claim(&metadata_location, missing).map(|_| None)
            }
            Content::Model {
                manifest_location, ..
            } => self.model(&manifest_location, missing).await,
            Content::Namespace { .. } => Ok(None),
        };
        match marked {
            Err(e) if is_missing(&e) && missing == Missing::Skip => Ok(None),
            marked => marked,
        }
    }

    /// Notes that the file at `location` is needed. Its path, when that is news.
    ///
    /// # Errors
    /// `InvalidInput` for a location outside the lakehouse, unless such are to be skipped: the
    /// file may well be inside, under a name that is not understood, and would be deleted.
    fn claim(&self, location: &str, missing: Missing) -> Result<Option<Path>> {
        match self.store.path(location) {
            Ok(path) => Ok(self.reached().insert(&path).then_some(path)),
            Err(_) if missing == Missing::Skip => Ok(None),
            Err(e) => {
                let base = self.store.url();
                let error = Error::invalid(format!(
                    "a table, view or model was written under another base: it needs {location}, \
                     which is not below {base}; nothing is collected"
                ));
                let hint = format!("open the lakehouse as it was created, not as {base}");
                Err(error.with_hint(hint).with_source(e))
            }
        }
    }

    pub(super) fn note_folder(&self, metadata_location: &str) {
        if let Ok(path) = self.store.path(metadata_location) {
            self.folders().note(&path);
        }
    }

    async fn table(&self, location: &str, missing: Missing) -> Result<()> {
        self.note_folder(location);
        let Some(path) = self.claim(location, missing)? else {
            return Ok(());
        };
        let metadata = self.metadata(location, &path).await?;
        let statistics = metadata
            .statistics
            .iter()
            .chain(&metadata.partition_statistics);
        for file in statistics {
            self.claim(&file.statistics_path, missing)?;
        }
        let version = format_version(metadata.format_version, location)?;
        let mut lists = Vec::new();
        for snapshot in metadata.snapshots {
            let list = snapshot.manifest_list.ok_or_else(|| {
                let id = snapshot.snapshot_id;
                Error::unsupported(format!("snapshot {id} in {location} has no manifest list"))
                    .with_hint("nothing is collected before the table is rewritten as format 2")
            })?;
            lists.extend(self.claim(&list, missing)?.map(|_| list));
        }
        futures::stream::iter(lists)
            .map(|list| async move {
                match self.list(&list, version, missing).await {
                    Err(e) if is_missing(&e) && missing == Missing::Skip => Ok(()),
                    done => done,
                }
            })
            .buffer_unordered(PARALLEL_READS)
            .try_collect()
            .await
    }

    async fn metadata(&self, location: &str, path: &Path) -> Result<Metadata> {
        let bytes = self.read(path).await?;
        let json = match bytes.starts_with(&[0x1f, 0x8b]) {
            false => bytes.to_vec(),
            true => {
                let read = TableMetadata::read_from(&self.io, location).await;
                let metadata = read.map_err(error::iceberg("could not read table metadata"))?;
                serde_json::to_vec(&metadata)
                    .map_err(|e| Error::internal("could not encode metadata").with_source(e))?
            }
        };
        serde_json::from_slice(&json).map_err(|e| {
            Error::corrupt(format!("the table metadata {location} cannot be read")).with_source(e)
        })
    }

    async fn list(&self, location: &str, version: FormatVersion, missing: Missing) -> Result<()> {
        let doing = || error::iceberg(format!("could not read the manifest list {location}"));
        let bytes = self.read(&self.store.path(location)?).await?;
        let list = ManifestList::parse_with_version(&bytes, version).map_err(doing())?;
        let mut new = Vec::new();
        for manifest in list.consume_entries() {
            new.extend(
                self.claim(&manifest.manifest_path, missing)?
                    .map(|_| manifest),
            );
        }
        futures::stream::iter(new)
            .map(|manifest| self.manifest(manifest, missing))
            .buffer_unordered(PARALLEL_READS)
            .try_collect()
            .await
    }

    async fn manifest(&self, manifest: ManifestFile, missing: Missing) -> Result<()> {
        let loaded = manifest.load_manifest(&self.io).await;
        let loaded = loaded.map_err(error::iceberg("could not read a manifest"))?;
        for entry in loaded.entries().iter().filter(|entry| entry.is_alive()) {
            self.claim(entry.file_path(), missing)?;
        }
        Ok(())
    }

    /// Reaches a model's manifest and trained bytes; the commit it was trained on.
    async fn model(&self, location: &str, missing: Missing) -> Result<Option<CommitId>> {
        let Some(path) = self.claim(location, missing)? else {
            return Ok(None);
        };
        let bytes = self.read(&path).await?;
        let model: Model = serde_json::from_slice(&bytes).map_err(|e| {
            Error::corrupt(format!("the model manifest {location} cannot be read")).with_source(e)
        })?;
        let artifact = Path::parse(&model.artifact.path)
            .map_err(|e| Error::corrupt(format!("{location} names no artefact")).with_source(e))?;
        self.reached().insert(&artifact);
        Ok(Some(model.lineage.commit))
    }

    async fn read(&self, path: &Path) -> Result<bytes::Bytes> {
        let read = async {
            let found = self.store.object_store().get(path).await?;
            found.bytes().await
        };
        read.await.map_err(|e| match Error::from(e) {
            e if e.kind() == ErrorKind::NotFound => {
                Error::corrupt(format!("{path} is missing, which a commit needs")).with_source(e)
            }
            e => e,
        })
    }
}

/// Whether a file that was to be read is not there.
fn is_missing(error: &Error) -> bool {
    error.kind() == ErrorKind::Corrupt
}

fn format_version(version: u8, location: &str) -> Result<FormatVersion> {
    match version {
        1 => Ok(FormatVersion::V1),
        2 => Ok(FormatVersion::V2),
        3 => Ok(FormatVersion::V3),
        _ => Err(Error::unsupported(format!(
            "{location} has Iceberg format {version}, so what it needs is not known"
        ))
        .with_hint("nothing is collected; use a newer version of pumphouse")),
    }
}
