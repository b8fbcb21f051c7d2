//! Encoding sorted rows as one Parquet file.

use std::sync::Arc;

use bytes::Bytes;
use catalog::{Error, Result};
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, PrimitiveType};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{ParquetMetaData, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};

use super::arrange::Part;
use super::layout::{Layout, Leaf};
use super::leaves::leaf_values;
use super::metrics::Metrics;
use super::partition::Partition;
use crate::error;

/// Rows and bytes a row group holds at most.
#[derive(Clone, Copy)]
pub(super) struct Groups {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

const GROUPS: Groups = Groups {
    rows: 1 << 20,
    bytes: 128 << 20,
};

/// A file ready to be put.
pub(super) struct Encoded {
    pub(super) bytes: Bytes,
    pub(super) data_file: DataFile,
}

/// The Parquet file of one part, with its description for the manifest.
pub(super) fn encode(layout: &Layout, part: &Part) -> Result<Encoded> {
    let nans = leaf_values(&part.rows);
    let nans = nans
        .iter()
        .map(|values| values.nan_count().is_some_and(|nans| nans > 0));
    let nans: Vec<bool> = nans.collect();
    let properties = properties(layout, GROUPS, |at| nans[at]);
    let mut bytes = Vec::new();
    let footer = ArrowWriter::try_new(&mut bytes, Arc::clone(&layout.schema), Some(properties))
        .and_then(|mut writer| {
            writer.write(&part.rows)?;
            writer.close()
        })
        .map_err(error::parquet("could not encode a Parquet file"))?;
    let written = Written {
        location: layout.new_location(&part.partition.folder),
        partition: &part.partition,
        rows: part.rows.num_rows() as u64,
        bytes: bytes.len() as u64,
        metrics: Metrics::of(layout, &part.rows, &footer)?,
        footer: &footer,
    };
    Ok(Encoded {
        data_file: written.data_file(layout)?,
        bytes: bytes.into(),
    })
}

/// How Parquet files of the table are written; `nans` tells which columns hold NaN.
pub(super) fn properties(
    layout: &Layout,
    groups: Groups,
    nans: impl Fn(usize) -> bool,
) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(concat!("pumphouse ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(groups.rows))
        .set_max_row_group_bytes(Some(groups.bytes))
        .set_sorting_columns(sorting_columns(layout));
    for (at, leaf) in layout.leaves.iter().enumerate() {
        properties = leaf_properties(properties, leaf, nans(at));
    }
    properties.build()
}

fn leaf_properties(
    mut properties: WriterPropertiesBuilder,
    leaf: &Leaf,
    nans: bool,
) -> WriterPropertiesBuilder {
    let path = leaf.path.clone();
    if nans {
        // Parquet's bounds leave NaN out, but engines order it above all numbers: with
        // bounds, `x > 5` would skip pages whose NaN it should return.
        properties =
            properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
    }
    if matches!(
        leaf.kind,
        PrimitiveType::Timestamp | PrimitiveType::Timestamptz
    ) {
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

/// A file as it was written.
pub(super) struct Written<'a> {
    pub(super) location: String,
    pub(super) partition: &'a Partition,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) metrics: Metrics,
    pub(super) footer: &'a ParquetMetaData,
}

impl Written<'_> {
    /// Its description for the manifest.
    pub(super) fn data_file(self, layout: &Layout) -> Result<DataFile> {
        let metrics = self.metrics;
        let groups = self.footer.row_groups().iter();
        let mut file = DataFileBuilder::default();
        file.content(DataContentType::Data)
            .file_path(self.location)
            .file_format(DataFileFormat::Parquet)
            .partition(self.partition.values.clone())
            .partition_spec_id(layout.spec_id)
            .record_count(self.rows)
            .file_size_in_bytes(self.bytes)
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
}
