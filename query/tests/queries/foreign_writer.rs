//! Another engine on a table of ours: data files of several row groups, and row-level
//! deletes, written with the `parquet` and `iceberg` crates.
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use catalog::{Content, Key, Operation};
use iceberg::io::FileIO;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, MAIN_BRANCH, ManifestFile,
    ManifestList, ManifestListWriter, ManifestWriterBuilder, Snapshot, Struct, Summary,
    TableMetadata, TableMetadataBuilder,
};
use lake::{Append, Lake, Table};
use object_store::ObjectStoreExt;
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};
use parquet::file::properties::WriterProperties;
use uuid::Uuid;

use crate::fixture::meta;

/// Rows a row group of its files holds at most.
const ROW_GROUP: usize = 3;

pub(crate) struct ForeignWriter {
    pub(crate) lake: Lake,
    pub(crate) key: Key,
}

impl ForeignWriter {
    pub(crate) async fn table(&self) -> Table {
        let head = self.lake.catalog().head("main").await.unwrap();
        self.lake.table(&head, &self.key).await.unwrap()
    }

    /// A file that holds `rows`; not yet part of the table.
    pub(crate) async fn file(
        &self,
        content: DataContentType,
        rows: &RecordBatch,
        partition: Struct,
    ) -> DataFileBuilder {
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties)).unwrap();
        writer.write(rows).unwrap();
        writer.close().unwrap();
        let location = format!(
            "{}/data/{}.parquet",
            self.table().await.metadata().location(),
            Uuid::new_v4()
        );
        let size = bytes.len() as u64;
        self.put(&location, bytes).await;
        let mut file = DataFileBuilder::default();
        file.content(content)
            .file_path(location)
            .file_format(DataFileFormat::Parquet)
            .partition(partition)
            .record_count(rows.num_rows() as u64)
            .file_size_in_bytes(size);
        file
    }

    /// Commits data files, and returns where they are.
    pub(crate) async fn append(&self, files: Vec<DataFile>) -> Vec<String> {
        let paths = files.iter().map(|file| file.file_path().to_owned());
        let paths = paths.collect();
        let table = self.table().await;
        let append = Append {
            key: self.key.clone(),
            table_uuid: table.uuid(),
            partition_spec_id: table.metadata().default_partition_spec_id(),
            schema: table.metadata().current_schema().clone(),
            files,
        };
        let change = Arc::new(self.lake.append(vec![append]));
        let commit = self.lake.catalog().commit("main", meta("append"), change);
        commit.await.unwrap();
        paths
    }

    /// Position deletes, one row each.
    pub(crate) async fn positions(
        &self,
        rows: &[(String, i64)],
        partition: Struct,
    ) -> DataFileBuilder {
        let field = |name: &str, data_type, id: i32| {
            Field::new(name, data_type, false)
                .with_metadata([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())].into())
        };
        let schema = Schema::new(vec![
            field("file_path", DataType::Utf8, lake::DELETE_FILE_PATH_ID),
            field("pos", DataType::Int64, lake::DELETE_POS_ID),
        ]);
        let paths: StringArray = rows.iter().map(|(path, _)| Some(path)).collect();
        let positions: Int64Array = rows.iter().map(|(_, position)| *position).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(paths), Arc::new(positions)];
        let rows = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
        self.file(DataContentType::PositionDeletes, &rows, partition)
            .await
    }

    /// Equality deletes: `rows` have the columns of fields `ids`, with those ids.
    pub(crate) async fn equality(
        &self,
        rows: &RecordBatch,
        ids: &[i32],
        partition: Struct,
    ) -> DataFileBuilder {
        let mut file = self
            .file(DataContentType::EqualityDeletes, rows, partition)
            .await;
        file.equality_ids(Some(ids.to_vec()));
        file
    }

    /// Commits `deletes`, which follow partition spec `spec_id`, as one snapshot.
    pub(crate) async fn delete(&self, deletes: Vec<DataFile>, spec_id: i32) {
        let table = self.table().await;
        let metadata = table.metadata();
        let io = FileIO::new_with_memory();
        let sequence = metadata.last_sequence_number() + 1;
        let snapshot_id = sequence * 1_000 + 7;
        let manifest = self
            .delete_manifest(&io, metadata, snapshot_id, deletes, spec_id)
            .await;
        let mut manifests = self.manifests(metadata).await;
        manifests.push(manifest);
        let list = format!(
            "{}/metadata/snap-{}.avro",
            metadata.location(),
            Uuid::new_v4()
        );
        let output = io.new_output(&list).unwrap().writer().await.unwrap();
        let parent = metadata.current_snapshot_id();
        let mut writer = ManifestListWriter::v2(output, snapshot_id, parent, sequence);
        writer.add_manifests(manifests.into_iter()).unwrap();
        writer.close().await.unwrap();
        self.copy(&io, &list).await;
        let snapshot = Snapshot::builder()
            .with_snapshot_id(snapshot_id)
            .with_parent_snapshot_id(parent)
            .with_sequence_number(sequence)
            .with_timestamp_ms(metadata.last_updated_ms() + 1)
            .with_manifest_list(list)
            .with_summary(Summary {
                operation: iceberg::spec::Operation::Delete,
                additional_properties: Default::default(),
            })
            .with_schema_id(metadata.current_schema_id())
            .build();
        let built = TableMetadataBuilder::new_from_metadata(metadata.clone(), None)
            .set_branch_snapshot(snapshot, MAIN_BRANCH)
            .unwrap()
            .build()
            .unwrap();
        self.commit(&built.metadata).await;
    }

    /// Makes `metadata` that of the table.
    pub(crate) async fn commit(&self, metadata: &TableMetadata) {
        let location = format!(
            "{}/metadata/00099-{}.metadata.json",
            metadata.location(),
            Uuid::new_v4()
        );
        self.put(&location, serde_json::to_vec(metadata).unwrap())
            .await;
        let operation = Operation::Put {
            key: self.key.clone(),
            content: Content::IcebergTable {
                uuid: metadata.uuid(),
                metadata_location: location,
            },
        };
        let catalog = self.lake.catalog();
        let head = catalog.head("main").await.unwrap();
        let commit = catalog.commit_operations("main", meta("foreign"), head.id(), vec![operation]);
        commit.await.unwrap();
    }

    async fn delete_manifest(
        &self,
        io: &FileIO,
        metadata: &TableMetadata,
        snapshot_id: i64,
        deletes: Vec<DataFile>,
        spec_id: i32,
    ) -> ManifestFile {
        let location = format!("{}/metadata/{}.avro", metadata.location(), Uuid::new_v4());
        let spec = metadata.partition_spec_by_id(spec_id).unwrap();
        let mut writer = ManifestWriterBuilder::new(
            io.new_output(&location).unwrap(),
            Some(snapshot_id),
            Arc::clone(metadata.current_schema()),
            spec.as_ref().clone(),
        )
        .build_v2_deletes();
        for file in deletes {
            writer.add_file(file, -1).unwrap();
        }
        let manifest = writer.write_manifest_file().await.unwrap();
        self.copy(io, &location).await;
        manifest
    }

    async fn manifests(&self, metadata: &TableMetadata) -> Vec<ManifestFile> {
        let Some(snapshot) = metadata.current_snapshot() else {
            return Vec::new();
        };
        let path = self.lake.store().path(snapshot.manifest_list()).unwrap();
        let bytes = self.lake.store().object_store().get(&path).await.unwrap();
        let bytes = bytes.bytes().await.unwrap();
        let list = ManifestList::parse_with_version(&bytes, metadata.format_version()).unwrap();
        list.consume_entries().into_iter().collect()
    }

    /// Copies a file from `io` to the store.
    async fn copy(&self, io: &FileIO, location: &str) {
        let bytes = io.new_input(location).unwrap().read().await.unwrap();
        self.put(location, bytes.to_vec()).await;
    }

    async fn put(&self, location: &str, bytes: Vec<u8>) {
        let path = self.lake.store().path(location).unwrap();
        let store = self.lake.store().object_store();
        store.put(&path, bytes.into()).await.unwrap();
    }
}
