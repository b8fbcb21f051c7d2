//! Reading and writing the metadata files of tables, through caches: all of them are
//! immutable once written.

use std::sync::Arc;

use catalog::{Error, Result, Store};
use futures::{StreamExt, TryStreamExt};
use iceberg::io::FileIO;
use iceberg::spec::{
    FormatVersion, ManifestContentType, ManifestEntryRef, ManifestFile, ManifestList,
    TableMetadata, TableMetadataRef, ViewMetadata,
};
use object_store::ObjectStoreExt;
use uuid::Uuid;

use crate::cache::Cache;
use crate::deletes::DeleteIndex;
use crate::error;
use crate::storage;
use crate::table::ScanFile;

/// Weighed by snapshots: some hundred tables with a hundred snapshots each.
const METADATA_CACHE: usize = 30_000;
/// Weighed by manifests.
const LIST_CACHE: usize = 50_000;
/// Weighed by files; an entry with its column statistics takes one to three kilobytes.
const MANIFEST_CACHE: usize = 200_000;
/// Weighed by files, which are shared with the manifest cache.
const SCAN_CACHE: usize = 500_000;
/// Views.
const VIEW_CACHE: usize = 2_000;
/// Manifests read at once from an object store.
const PARALLEL_READS: usize = 16;

pub(crate) type ManifestFiles = Arc<Vec<ManifestFile>>;
pub(crate) type ManifestEntries = Arc<Vec<ManifestEntryRef>>;

/// The metadata files of all tables in one store.
pub(crate) struct TableFiles {
    store: Store,
    io: FileIO,
    metadata: Cache<TableMetadataRef>,
    lists: Cache<ManifestFiles>,
    manifests: Cache<ManifestEntries>,
    scans: Cache<Arc<Vec<ScanFile>>>,
    views: Cache<Arc<ViewMetadata>>,
}

impl TableFiles {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            io: storage::file_io(store.clone()),
            store,
            metadata: Cache::new(METADATA_CACHE),
            lists: Cache::new(LIST_CACHE),
            manifests: Cache::new(MANIFEST_CACHE),
            scans: Cache::new(SCAN_CACHE),
            views: Cache::new(VIEW_CACHE),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn io(&self) -> &FileIO {
        &self.io
    }

    pub(crate) fn views(&self) -> &Cache<Arc<ViewMetadata>> {
        &self.views
    }

    /// The table metadata at `location`.
    pub(crate) async fn metadata(&self, location: &str) -> Result<TableMetadataRef> {
        if let Some(metadata) = self.metadata.get(location) {
            return Ok(metadata);
        }
        let metadata = TableMetadata::read_from(&self.io, location)
            .await
            .map_err(error::iceberg("could not read the table metadata"))?;
        let metadata = Arc::new(metadata);
        self.keep_metadata(location, &metadata);
        Ok(metadata)
    }

    /// Writes `metadata` as the version after `previous` and returns its location.
    pub(crate) async fn write_metadata(
        &self,
        metadata: TableMetadata,
        previous: Option<&str>,
    ) -> Result<String> {
        let version = previous.map_or(0, |location| version_of(location) + 1);
        let table = metadata.location();
        let name = format!("{version:05}-{}.metadata.json", Uuid::new_v4());
        let location = format!("{table}/metadata/{name}");
        let json = serde_json::to_vec(&metadata)
            .map_err(|e| Error::internal("could not encode table metadata").with_source(e))?;
        let path = self.store.path(&location)?;
        self.store.object_store().put(&path, json.into()).await?;
        self.keep_metadata(&location, &Arc::new(metadata));
        Ok(location)
    }

    fn keep_metadata(&self, location: &str, metadata: &TableMetadataRef) {
        let weight = 1 + metadata.snapshots().len();
        self.metadata.insert(location, Arc::clone(metadata), weight);
    }

    /// The manifests of the current snapshot; none for an empty table.
    pub(crate) async fn manifest_list(&self, metadata: &TableMetadata) -> Result<ManifestFiles> {
        let Some(snapshot) = metadata.current_snapshot() else {
            return Ok(Arc::default());
        };
        let version = metadata.format_version();
        self.list_at(snapshot.manifest_list(), version).await
    }

    /// The manifests in the list at `location`, which is written as `version` has it.
    pub(crate) async fn list_at(
        &self,
        location: &str,
        version: FormatVersion,
    ) -> Result<ManifestFiles> {
        if let Some(list) = self.lists.get(location) {
            return Ok(list);
        }
        let list = self.read_list(location, version).await;
        let list = Arc::new(list.map_err(error::iceberg("could not read a manifest list"))?);
        self.keep_list(location, &list);
        Ok(list)
    }

    async fn read_list(
        &self,
        location: &str,
        version: FormatVersion,
    ) -> iceberg::Result<Vec<ManifestFile>> {
        let bytes = self.io.new_input(location)?.read().await?;
        let list = ManifestList::parse_with_version(&bytes, version)?;
        Ok(list.consume_entries().into_iter().collect())
    }

    pub(crate) fn keep_list(&self, location: &str, list: &ManifestFiles) {
        self.lists
            .insert(location, Arc::clone(list), 1 + list.len());
    }

    /// The entries of each manifest, in the order given, with the sequence numbers they
    /// inherit from the manifest list.
    pub(crate) async fn manifests(
        self: &Arc<Self>,
        manifests: &[ManifestFile],
    ) -> Result<Vec<ManifestEntries>> {
        futures::stream::iter(manifests.iter().cloned())
            .map(|manifest| Arc::clone(self).manifest(manifest))
            .buffered(PARALLEL_READS)
            .try_collect()
            .await
    }

    async fn manifest(self: Arc<Self>, manifest: ManifestFile) -> Result<ManifestEntries> {
        if let Some(entries) = self.manifests.get(&manifest.manifest_path) {
            return Ok(entries);
        }
        // Decoding is the larger part of the work, so each manifest gets its own task.
        let task = tokio::spawn(async move {
            let loaded = manifest.load_manifest(&self.io).await;
            let loaded = loaded.map_err(error::iceberg("could not read a manifest"))?;
            let entries = Arc::new(loaded.into_parts().0);
            self.keep_manifest(&manifest.manifest_path, &entries);
            Ok(entries)
        });
        task.await
            .map_err(|e| Error::internal("reading a manifest was interrupted").with_source(e))?
    }

    pub(crate) fn keep_manifest(&self, location: &str, entries: &ManifestEntries) {
        self.manifests
            .insert(location, Arc::clone(entries), 1 + entries.len());
    }

    /// The live data files of the current snapshot, oldest first.
    pub(crate) async fn scan_files(
        self: &Arc<Self>,
        metadata: &TableMetadata,
    ) -> Result<Arc<Vec<ScanFile>>> {
        let Some(snapshot) = metadata.current_snapshot() else {
            return Ok(Arc::default());
        };
        if let Some(files) = self.scans.get(snapshot.manifest_list()) {
            return Ok(files);
        }
        let list = self.manifest_list(metadata).await?;
        let manifests = self.manifests(&list).await?;
        let live = |content: ManifestContentType| {
            let manifests = list.iter().zip(&manifests);
            manifests
                .filter(move |(manifest, _)| manifest.content == content)
                .flat_map(|(manifest, entries)| entries.iter().map(move |entry| (manifest, entry)))
                .filter(|(_, entry)| entry.is_alive())
        };
        let mut deletes = DeleteIndex::default();
        for (manifest, entry) in live(ManifestContentType::Deletes) {
            deletes.add(&self.store, metadata, manifest, entry)?;
        }
        let mut files = Vec::new();
        for (manifest, entry) in live(ManifestContentType::Data) {
            files.push(ScanFile::new(&self.store, manifest, entry, &deletes)?);
        }
        files.sort_by_key(|file| file.sequence_number);
        let files = Arc::new(files);
        self.scans.insert(
            snapshot.manifest_list(),
            Arc::clone(&files),
            1 + files.len(),
        );
        Ok(files)
    }
}

/// The number a metadata file's name starts with; 0 for names of other shapes.
pub(crate) fn version_of(location: &str) -> u32 {
    let name = location.rsplit('/').next().unwrap_or_default();
    let digits = name.split(['-', '.']).next().unwrap_or_default();
    digits.trim_start_matches('v').parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::version_of;

    #[test]
    fn reads_versions_from_metadata_names() {
        assert_eq!(version_of("file:///t/metadata/00012-abc.metadata.json"), 12);
        assert_eq!(version_of("file:///t/metadata/v3.metadata.json"), 3);
        assert_eq!(version_of("elsewhere"), 0);
    }
}
