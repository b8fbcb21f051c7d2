//! Creating a table: its schema, partition, sort order and write properties.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalog::{Change, ChangeSet, Content, Error, Key, Operation, Result, Snapshot};
use iceberg::spec::{
    FormatVersion, NestedField, NullOrder, PrimitiveType, Schema, SortDirection, SortField,
    SortOrder, TableMetadata, TableMetadataBuilder, TableProperties, Transform,
    UnboundPartitionSpec,
};
use object_store::path::Path;
use uuid::Uuid;

use crate::error;
use crate::metadata::TableFiles;
use crate::schema;

/// Table property that turns a column's bloom filter on, as Iceberg's other writers
/// know it.
pub(crate) const BLOOM_PREFIX: &str = "write.parquet.bloom-filter-enabled.column.";

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
    /// A timestamp or date column to partition by, one partition a UTC day.
    pub partition_day: Option<String>,
    /// Columns every file is sorted by, ascending, nulls first.
    pub sort: Vec<String>,
    /// Columns that get a bloom filter in every file.
    pub bloom: Vec<String>,
}

/// Puts a new empty table under a key that is free.
pub(crate) struct CreateChange {
    files: Arc<TableFiles>,
    key: Key,
    metadata: TableMetadata,
}

impl CreateChange {
    pub(crate) fn new(files: Arc<TableFiles>, key: Key, spec: &TableSpec) -> Result<Self> {
        let uuid = Uuid::new_v4();
        // File systems take names of 255 bytes, which a key's name may have by itself.
        let name = key.name.get(..LONGEST_FOLDER).unwrap_or(&key.name);
        let name = format!("{name}-{}", &uuid.simple().to_string()[..8]);
        let path = Path::from_iter([key.namespace.as_str(), name.as_str()]);
        let location = files.store().location(&path);
        let metadata = metadata(spec, uuid, location)?;
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
        if head.contains(&self.key)? {
            let message = format!("{} is there already", self.key);
            return Err(Error::already_exists(message).with_hint("choose another name"));
        }
        let metadata = self.metadata.clone();
        let content = Content::IcebergTable {
            uuid: metadata.uuid(),
            metadata_location: self.files.write_metadata(metadata, None).await?,
        };
        Ok(ChangeSet {
            operations: vec![Operation::Put {
                key: self.key.clone(),
                content,
            }],
            ..ChangeSet::default()
        })
    }
}

fn metadata(spec: &TableSpec, uuid: Uuid, location: String) -> Result<TableMetadata> {
    let schema = schema::new_schema(&spec.schema)?;
    let partition = partition(&schema, spec.partition_day.as_deref())?;
    let order = sort_order(&schema, &spec.sort)?;
    let properties = properties(&schema, &spec.bloom)?;
    let version = FormatVersion::V2;
    TableMetadataBuilder::new(schema, partition, order, location, version, properties)
        .and_then(|builder| builder.assign_uuid(uuid).build())
        .map(|built| built.metadata)
        .map_err(error::iceberg("could not build the table's metadata"))
}

fn column<'a>(schema: &'a Schema, name: &str, role: &str) -> Result<&'a NestedField> {
    let field = schema.field_by_name(name).ok_or_else(|| {
        let columns: Vec<_> = schema.as_struct().fields().iter().collect();
        let columns: Vec<_> = columns.iter().map(|field| field.name.as_str()).collect();
        Error::invalid(format!("the {role} column {name:?} is not in the schema"))
            .with_hint(format!("the columns are {}", columns.join(", ")))
    })?;
    Ok(field)
}

fn partition(schema: &Schema, day: Option<&str>) -> Result<UnboundPartitionSpec> {
    let Some(day) = day else {
        return Ok(UnboundPartitionSpec::builder().build());
    };
    let field = column(schema, day, "partition")?;
    let kind = schema::primitive(field)?;
    if !matches!(
        kind,
        PrimitiveType::Timestamp | PrimitiveType::Timestamptz | PrimitiveType::Date
    ) {
        let message = format!("cannot partition by the day of {day:?}, which is {kind}");
        return Err(Error::invalid(message).with_hint("use a timestamp or date column"));
    }
    // The specification wants partition names apart from column names.
    let mut name = format!("{day}_day");
    while schema.field_by_name(&name).is_some() {
        name.push_str("_partition");
    }
    UnboundPartitionSpec::builder()
        .add_partition_field(field.id, name, Transform::Day)
        .map(|builder| builder.build())
        .map_err(error::iceberg("could not build the partition spec"))
}

fn sort_order(schema: &Schema, columns: &[String]) -> Result<SortOrder> {
    let mut order = SortOrder::builder();
    for name in columns {
        let field = SortField::builder()
            .source_id(column(schema, name, "sort")?.id)
            .transform(Transform::Identity)
            .direction(SortDirection::Ascending)
            .null_order(NullOrder::First)
            .build();
        order.with_sort_field(field);
    }
    let order = order.build(schema);
    order.map_err(error::iceberg("could not build the sort order"))
}

fn properties(schema: &Schema, bloom: &[String]) -> Result<HashMap<String, String>> {
    let mut properties = HashMap::from([
        ("write.parquet.compression-codec".into(), "zstd".into()),
        (
            TableProperties::PROPERTY_METADATA_PREVIOUS_VERSIONS_MAX.into(),
            METADATA_LOG.into(),
        ),
    ]);
    for name in bloom {
        let field = column(schema, name, "bloom filter")?;
        properties.insert(format!("{BLOOM_PREFIX}{}", field.name), "true".into());
    }
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
            partition_day: Some("ts".into()),
            sort: vec!["pump".into(), "ts".into()],
            bloom: vec!["pump".into()],
        }
    }

    fn build(spec: &TableSpec) -> Result<TableMetadata> {
        metadata(spec, Uuid::new_v4(), "memory://lake/t".into())
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
        bad.partition_day = Some("pump".into());
        assert!(build(&bad).unwrap_err().message().contains("string"));

        let mut bad = spec();
        bad.bloom = vec!["nothing".into()];
        assert!(build(&bad).is_err());
    }
}
