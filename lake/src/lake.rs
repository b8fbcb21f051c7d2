//! The entry point: tables of a catalog, read and written through one object store.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use catalog::{Catalog, CommitMeta, Key, Result, Snapshot, Store};
use futures::Stream;
use iceberg::spec::{
    DataFile, FormatVersion, ManifestFile, TableMetadata, TableMetadataRef, ViewMetadata,
};
use uuid::Uuid;

use crate::append::{Append, AppendChange};
use crate::create::{self, CreateChange, TableSpec};
use crate::evolve::{self, EvolveChange};
use crate::metadata::TableFiles;
use crate::table::Table;
use crate::write;

/// The tables of one catalog. Cheap to clone; clones share their caches.
#[derive(Clone)]
pub struct Lake {
    catalog: Catalog,
    files: Arc<TableFiles>,
}

impl Lake {
    /// The tables of `catalog`, in its store.
    pub fn new(catalog: Catalog) -> Self {
        let files = Arc::new(TableFiles::new(catalog.store().clone()));
        Self { catalog, files }
    }

    /// The catalog the tables are listed in.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The object store that holds the tables' files.
    pub fn store(&self) -> &Store {
        self.catalog.store()
    }

    pub(crate) fn files(&self) -> &Arc<TableFiles> {
        &self.files
    }

    /// Creates an empty table under `key` on `branch`, in one commit.
    ///
    /// # Errors
    /// `AlreadyExists` when the branch has that key, `InvalidInput` or `Unsupported`
    /// when the specification names missing columns or types Iceberg v2 lacks.
    pub async fn create_table(
        &self,
        branch: &str,
        key: &Key,
        spec: &TableSpec,
        meta: CommitMeta,
    ) -> Result<Table> {
        let change = CreateChange::new(Arc::clone(&self.files), key.clone(), spec)?;
        let snapshot = self.catalog.commit(branch, meta, Arc::new(change)).await?;
        self.table(&snapshot, key).await
    }

    /// The table `key` as it is in `snapshot`.
    ///
    /// # Errors
    /// `NotFound` naming the commit and near names, `InvalidInput` when the key holds
    /// something else (a view, a model).
    pub async fn table(&self, snapshot: &Snapshot, key: &Key) -> Result<Table> {
        Table::load(&self.files, snapshot, key).await
    }

    /// The table metadata in the file at `location`, which the store must hold.
    ///
    /// # Errors
    /// `InvalidInput` for a location outside the store, `Corrupt` for a file that is
    /// missing or holds something else.
    pub async fn read_metadata(&self, location: &str) -> Result<TableMetadataRef> {
        self.files.metadata(location).await
    }

    /// The manifests in the manifest list at `location`, which the store must hold.
    ///
    /// # Errors
    /// `InvalidInput` for a location outside the store, `Corrupt` for a file that is
    /// missing or holds something else.
    pub async fn read_manifest_list(&self, location: &str) -> Result<Arc<Vec<ManifestFile>>> {
        self.files.list_at(location, FormatVersion::V2).await
    }

    /// Writes `metadata` as the version after the file `previous` and returns the new
    /// file's location. Only writes the file: a commit that puts it makes it the table's.
    ///
    /// # Errors
    /// `InvalidInput` when the table's location is outside the store.
    pub async fn write_metadata(
        &self,
        metadata: TableMetadata,
        previous: Option<&str>,
    ) -> Result<String> {
        self.files.write_metadata(metadata, previous).await
    }

    /// The view metadata in the file at `location`, which the store must hold.
    ///
    /// # Errors
    /// Those of [`Lake::read_metadata`].
    pub async fn read_view(&self, location: &str) -> Result<Arc<ViewMetadata>> {
        self.files.view(location).await
    }

    /// Writes `metadata` as the version after the file `previous` and returns the new
    /// file's location. Only writes the file, as [`Lake::write_metadata`] does.
    ///
    /// # Errors
    /// `InvalidInput` when the view's location is outside the store.
    pub async fn write_view(
        &self,
        metadata: &ViewMetadata,
        previous: Option<&str>,
    ) -> Result<String> {
        self.files.write_view(metadata, previous).await
    }

    /// The folder of a new table or view `key` with this uuid, as an absolute URL. No two tables
    /// share one, so that a name can be dropped and used again.
    pub fn new_location(&self, key: &Key, uuid: Uuid) -> String {
        create::new_location(self.store(), key, uuid)
    }

    /// Adds the columns of `schema` that the table lacks, as nullable columns, in one
    /// commit; commits nothing when there are none.
    ///
    /// # Errors
    /// `Conflict` naming the column and both types when a column exists with a type
    /// that cannot hold the new one's values.
    pub async fn evolve(
        &self,
        branch: &str,
        key: &Key,
        schema: &SchemaRef,
        meta: CommitMeta,
    ) -> Result<Table> {
        let head = self.catalog.head(branch).await?;
        let table = self.table(&head, key).await?;
        if evolve::evolved(table.metadata(), key, schema)?.is_none() {
            return Ok(table);
        }
        let change = EvolveChange::new(Arc::clone(&self.files), key.clone(), Arc::clone(schema));
        let snapshot = self.catalog.commit(branch, meta, Arc::new(change)).await?;
        self.table(&snapshot, key).await
    }

    /// Writes `batches` as Parquet files of `table`: split by partition, sorted by the
    /// table's sort order. Columns, and fields of structs, are matched by name; missing
    /// nullable ones become null. Only writes files: [`Lake::append`] commits them.
    ///
    /// # Errors
    /// `InvalidInput` for a column the table lacks (call [`Lake::evolve`] first), a type
    /// that does not fit, or a null in a required column.
    pub async fn write(&self, table: &Table, batches: Vec<RecordBatch>) -> Result<Vec<DataFile>> {
        write::write(self.store(), table, batches).await
    }

    /// Like [`Lake::write`], for rows that come one batch at a time: at most half a
    /// gigabyte of them is kept in memory, and files get as large as that allows.
    ///
    /// # Errors
    /// Those of [`Lake::write`], and the stream's own. Files written before are left to
    /// garbage collection.
    pub async fn write_stream(
        &self,
        table: &Table,
        batches: impl Stream<Item = Result<RecordBatch>> + Send,
    ) -> Result<Vec<DataFile>> {
        write::write_stream(self.store(), table, batches).await
    }

    /// A change that adds files to tables, for [`Catalog::commit`].
    pub fn append(&self, appends: Vec<Append>) -> AppendChange {
        AppendChange::new(Arc::clone(&self.files), appends)
    }

    /// Writes `batches` and commits them to the table `key` on `branch`.
    ///
    /// # Errors
    /// Those of [`Lake::table`], [`Lake::write`] and [`Catalog::commit`].
    pub async fn append_batches(
        &self,
        branch: &str,
        key: &Key,
        batches: Vec<RecordBatch>,
        meta: CommitMeta,
    ) -> Result<Snapshot> {
        let head = self.catalog.head(branch).await?;
        let table = self.table(&head, key).await?;
        let files = self.write(&table, batches).await?;
        let change = self.append(vec![Append::to(&table, files)]);
        self.catalog.commit(branch, meta, Arc::new(change)).await
    }
}
