//! Encoding sorted rows as one Parquet file.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use bytes::Bytes;
use catalog::{Error, Result};
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{ParquetMetaData, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};

use super::arrange::Part;
use super::layout::{Layout, Leaf};
use super::leaves::{LeafValues, leaf_values};
use super::metrics::Metrics;
use crate::error;

/// Rows and bytes a row group holds at most.
const GROUP_ROWS: usize = 1 << 20;
const GROUP_BYTES: usize = 128 << 20;

/// A file ready to be put.
pub(super) struct Encoded {
    pub(super) bytes: Bytes,
    pub(super) data_file: DataFile,
}

/// The Parquet file of one part, with its description for the manifest.
pub(super) fn encode(layout: &Layout, part: &Part) -> Result<Encoded> {
    let properties = properties(layout, &part.rows);
    let mut bytes = Vec::new();
    let footer = ArrowWriter::try_new(&mut bytes, Arc::clone(&layout.schema), Some(properties))
        .and_then(|mut writer| {
            writer.write(&part.rows)?;
            writer.close()
        })
        .map_err(error::parquet("could not encode a Parquet file"))?;
    Ok(Encoded {
        data_file: data_file(layout, part, &footer, bytes.len())?,
        bytes: bytes.into(),
    })
}

fn properties(layout: &Layout, rows: &RecordBatch) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(concat!("pumphouse ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        .set_sorting_columns(sorting_columns(layout));
    for (leaf, values) in layout.leaves.iter().zip(leaf_values(rows)) {
        properties = leaf_properties(properties, leaf, &values);
    }
    properties.build()
}

fn leaf_properties(
    mut properties: WriterPropertiesBuilder,
    leaf: &Leaf,
    values: &LeafValues,
) -> WriterPropertiesBuilder {
    let path = leaf.path.clone();
    if values.nan_count().is_some_and(|nans| nans > 0) {
        // Parquet's bounds leave NaN out, but engines order it above all numbers: with
        // bounds, `x > 5` would skip pages whose NaN it should return.
        properties =
            properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
    }
    if matches!(values.array.data_type(), DataType::Timestamp(..)) {
        // Times hardly repeat and differ by little within a device.
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED);
    }
    if leaf.bloom {
        properties = properties.set_column_bloom_filter_enabled(path, true);
    }
    properties
}

fn sorting_columns(layout: &Layout) -> Option<Vec<SortingColumn>> {
    let by = layout.sort.iter().map(|by| {
        let at = layout.leaves.iter().position(|leaf| leaf.id == by.id)?;
        Some(SortingColumn {
            column_idx: i32::try_from(at).ok()?,
            descending: by.options.descending,
            nulls_first: by.options.nulls_first,
        })
    });
    let by: Vec<_> = by.collect::<Option<_>>()?;
    (!by.is_empty()).then_some(by)
}

fn data_file(
    layout: &Layout,
    part: &Part,
    footer: &ParquetMetaData,
    size: usize,
) -> Result<DataFile> {
    let metrics = Metrics::of(layout, &part.rows, footer)?;
    let groups = footer.row_groups().iter();
    let mut file = DataFileBuilder::default();
    file.content(DataContentType::Data)
        .file_path(layout.new_location(&part.partition.folder))
        .file_format(DataFileFormat::Parquet)
        .partition(part.partition.values.clone())
        .partition_spec_id(layout.spec_id)
        .record_count(part.rows.num_rows() as u64)
        .file_size_in_bytes(size as u64)
        .column_sizes(metrics.column_sizes)
        .value_counts(metrics.value_counts)
        .null_value_counts(metrics.null_counts)
        .nan_value_counts(metrics.nan_counts)
        .lower_bounds(metrics.lower_bounds)
        .upper_bounds(metrics.upper_bounds)
        .split_offsets(Some(
            groups.filter_map(|group| group.file_offset()).collect(),
        ));
    if let Some(order) = layout.sort_order_id {
        file.sort_order_id(order);
    }
    file.build()
        .map_err(|e| Error::internal(format!("could not describe a data file: {e}")))
}
