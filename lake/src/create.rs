//! Creating a table: its schema, partition, sort order and write properties.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use async_trait::async_trait;
use catalog::{Change, ChangeSet, Content, Error, Key, Operation, Result, Snapshot, Store};
use iceberg::spec::{
    FormatVersion, NullOrder, Schema, SortDirection, SortField, SortOrder, TableMetadata,
    TableMetadataBuilder, TableProperties, Transform,
};
use object_store::path::Path;
use uuid::Uuid;

use crate::error;
use crate::metadata::TableFiles;
use crate::partition::{self, PartitionField};
use crate::schema;

/// Table property that turns a column's bloom filter on, as Iceberg's other writers
/// know it.
pub(crate) const BLOOM_PREFIX: &str = "write.parquet.bloom-filter-enabled.column.";

/// Table property that lets engines delete files. It is false here: other branches and
/// past commits may need them.
pub const GC_ENABLED: &str = "gc.enabled";

/// Older metadata files stay in the catalog's history; the log in the metadata itself
/// only serves tools that look one or two versions back.
const METADATA_LOG: &str = "20";

/// Of a key's name, this much is in its folder's name.
const LONGEST_FOLDER: usize = 200;

/// What a new table shall look like.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// Columns by name and type; timestamps become microseconds, with UTC where they
    /// have a zone.
    pub schema: SchemaRef,
    /// What files are split by; not at all when empty.
    pub partition: Vec<PartitionField>,
    /// Columns every file is sorted by, ascending, nulls first.
    pub sort: Vec<String>,
    /// Columns that get a bloom filter in every file.
    pub bloom: Vec<String>,
    /// Table properties, beside those that follow from the other fields.
    pub properties: BTreeMap<String, String>,
    /// The table's folder as an absolute URL in the store; a fresh one by default.
    pub location: Option<String>,
    /// Which table it is; a fresh identity by default. Tables that were created apart on two
    /// branches under one identity are one table to a merge, which began empty.
    pub uuid: Option<Uuid>,
}

impl Default for TableSpec {
    /// No columns yet, and nothing else asked for.
    fn default() -> Self {
        Self {
            schema: Arc::new(ArrowSchema::empty()),
            partition: Vec::new(),
            sort: Vec::new(),
            bloom: Vec::new(),
            properties: BTreeMap::new(),
            location: None,
            uuid: None,
        }
    }
}

/// Puts a new empty table under a key that is free.
pub(crate) struct CreateChange {
    files: Arc<TableFiles>,
    key: Key,
    metadata: TableMetadata,
}

impl CreateChange {
    pub(crate) fn new(files: Arc<TableFiles>, key: Key, spec: &TableSpec) -> Result<Self> {
        let metadata = metadata(files.store(), &key, spec)?;
        Ok(Self {
            files,
            key,
            metadata,
        })
    }
}

#[async_trait]
impl Change for CreateChange {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        let metadata = self.metadata.clone();
        Ok(ChangeSet {
            operations: vec![stage(&self.files, head, &self.key, metadata).await?],
            ..ChangeSet::default()
        })
    }
}

/// Writes the first metadata file of a new table.
pub(crate) async fn stage(
    files: &TableFiles,
    snapshot: &Snapshot,
    key: &Key,
    metadata: TableMetadata,
) -> Result<Operation> {
    check_free(snapshot, key)?;
    let content = Content::IcebergTable {
        uuid: metadata.uuid(),
        metadata_location: files.write_metadata(metadata, None).await?,
    };
    Ok(Operation::Put {
        key: key.clone(),
        content,
    })
}

/// # Errors
/// `AlreadyExists` when something has this key.
pub(crate) fn check_free(snapshot: &Snapshot, key: &Key) -> Result<()> {
    if snapshot.contains(key)? {
        let error = Error::already_exists(format!("{key} is there already"));
        return Err(error.with_hint("choose another name"));
    }
    Ok(())
}

/// A fresh folder for what `key` names.
pub(crate) fn new_location(store: &Store, key: &Key, uuid: Uuid) -> String {
    // File systems take names of 255 bytes, which a key's name may have by itself.
    let cut = key.name.floor_char_boundary(LONGEST_FOLDER);
    let name = format!("{}-{}", &key.name[..cut], &uuid.simple().to_string()[..8]);
    store.location(&Path::from_iter([key.namespace.as_str(), name.as_str()]))
}

/// The metadata of a new table.
pub(crate) fn metadata(store: &Store, key: &Key, spec: &TableSpec) -> Result<TableMetadata> {
    let uuid = spec.uuid.unwrap_or_else(Uuid::new_v4);
    let location = match &spec.location {
        Some(location) => {
            let location = location.trim_end_matches('/');
            store.path(location)?;
            location.to_owned()
        }
        None => new_location(store, key, uuid),
    };
    build(spec, uuid, location)
}

fn build(spec: &TableSpec, uuid: Uuid, location: String) -> Result<TableMetadata> {
    let schema = schema::new_schema(&spec.schema)?;
    let partition = partition::unbound(&schema, &spec.partition)?;
    let order = sort_order(&schema, &spec.sort)?;
    let properties = properties(&schema, spec)?;
    let version = FormatVersion::V2;
    TableMetadataBuilder::new(schema, partition, order, location, version, properties)
        .and_then(|builder| builder.assign_uuid(uuid).build())
        .map(|built| built.metadata)
        // Nothing was read: what Iceberg refuses here was asked for.
        .map_err(|e| Error::invalid(format!("cannot create the table: {}", e.message())))
}

fn sort_order(schema: &Schema, columns: &[String]) -> Result<SortOrder> {
    let mut order = SortOrder::builder();
    for name in columns {
        let column = schema::column(schema, name, "sort")?;
        if column.field_type.is_nested() {
            let message = format!("cannot sort by {name:?}, as it is {}", column.field_type);
            return Err(Error::invalid(message));
        }
        let field = SortField::builder()
            .source_id(column.id)
            .transform(Transform::Identity)
            .direction(SortDirection::Ascending)
            .null_order(NullOrder::First)
            .build();
        order.with_sort_field(field);
    }
    let order = order.build(schema);
    order.map_err(error::iceberg("could not build the sort order"))
}

fn properties(schema: &Schema, spec: &TableSpec) -> Result<HashMap<String, String>> {
    let mut properties = HashMap::from([
        ("write.parquet.compression-codec".into(), "zstd".into()),
        (
            TableProperties::PROPERTY_METADATA_PREVIOUS_VERSIONS_MAX.into(),
            METADATA_LOG.into(),
        ),
        (GC_ENABLED.into(), "false".into()),
    ]);
    for name in &spec.bloom {
        let field = schema::column(schema, name, "bloom filter")?;
        properties.insert(format!("{BLOOM_PREFIX}{}", field.name), "true".into());
    }
    properties.extend(spec.properties.clone());
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, TimeUnit};
    use catalog::ErrorKind;

    use super::*;

    fn spec() -> TableSpec {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        TableSpec {
            schema: Arc::new(ArrowSchema::new(vec![
                Field::new("ts", time, true),
                Field::new("pump", DataType::Utf8, true),
                Field::new("ts_day", DataType::Int32, true),
            ])),
            partition: vec![PartitionField::day("ts")],
            sort: vec!["pump".into(), "ts".into()],
            bloom: vec!["pump".into()],
            ..TableSpec::default()
        }
    }

    fn build(spec: &TableSpec) -> Result<TableMetadata> {
        metadata(&Store::memory(), &"pumps.telemetry".parse().unwrap(), spec)
    }

    #[test]
    fn metadata_follows_the_spec() {
        let metadata = build(&spec()).unwrap();
        assert_eq!(metadata.format_version(), FormatVersion::V2);
        let partition = metadata.default_partition_spec();
        assert_eq!(partition.fields()[0].name, "ts_day_partition");
        assert_eq!(partition.fields()[0].transform, Transform::Day);
        let order = metadata.default_sort_order();
        let sources: Vec<i32> = order.fields.iter().map(|field| field.source_id).collect();
        assert_eq!(sources, [2, 1]);
        assert_eq!(
            metadata.properties()[&format!("{BLOOM_PREFIX}pump")],
            "true"
        );
    }

    #[test]
    fn columns_that_are_missing_or_of_a_wrong_type_are_named() {
        let mut bad = spec();
        bad.sort = vec!["pmup".into()];
        let error = build(&bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains("pmup"), "{error}");
        assert!(error.hint().unwrap().contains("pump"));

        let mut bad = spec();
        bad.partition = vec![PartitionField::day("pump")];
        assert!(build(&bad).unwrap_err().message().contains("string"));

        let mut bad = spec();
        bad.bloom = vec!["nothing".into()];
        assert!(build(&bad).is_err());
    }

    #[test]
    fn a_location_is_taken_in_the_store_only() {
        let store = Store::memory();
        let place = |location: &str| TableSpec {
            location: Some(location.to_owned()),
            ..spec()
        };
        let inside = format!("{}/elsewhere/t/", store.url());
        let inside = build(&place(&inside)).unwrap();
        assert_eq!(inside.location(), format!("{}/elsewhere/t", store.url()));
        assert!(build(&place("s3://another/t")).is_err());
    }

    #[test]
    fn given_properties_stand_beside_the_usual_ones() {
        let mut spec = spec();
        spec.properties.insert("owner".into(), "me".into());
        let metadata = build(&spec).unwrap();
        assert_eq!(metadata.properties()["owner"], "me");
        let codec = &metadata.properties()["write.parquet.compression-codec"];
        assert_eq!(codec, "zstd");
        spec.properties.insert("format-version".into(), "3".into());
        let error = build(&spec).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains("format-version"), "{error}");
    }
}
