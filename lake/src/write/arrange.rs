//! Splitting rows by partition and sorting them within.

use std::collections::HashMap;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{SortOptions, take_record_batch};
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use catalog::Result;

use super::layout::Layout;
use super::order::{self, By};
use super::partition::Partition;
use crate::error;

/// The sorted rows of one file.
pub(super) struct Part {
    pub(super) partition: Partition,
    pub(super) rows: RecordBatch,
}

/// `rows` sorted by the table's sort order, one part a partition.
pub(super) fn arrange(layout: &Layout, rows: RecordBatch) -> Result<Vec<Part>> {
    let partitions = layout.partitioning.columns(&rows)?;
    let order = order(layout, &rows, &partitions)?;
    let sorted = match &order {
        Some(order) => taken(&rows, order)?,
        None => rows,
    };
    let at = |row: usize| match &order {
        Some(order) => order.value(row) as usize,
        None => row,
    };
    let keys = keys(&partitions)?;
    let mut parts = Vec::new();
    let mut start = 0;
    for end in 1..=sorted.num_rows() {
        let ends = end == sorted.num_rows()
            || keys
                .as_ref()
                .is_some_and(|keys| keys.row(at(end)) != keys.row(at(start)));
        if ends {
            parts.push(Part {
                partition: layout.partitioning.at(&partitions, at(start))?,
                rows: sorted.slice(start, end - start),
            });
            start = end;
        }
    }
    Ok(parts)
}

/// `rows` split by partition, in their order; the keys are those of all batches of one
/// layout. Parts of a partitioned table share no memory.
pub(super) fn split(
    layout: &Layout,
    rows: RecordBatch,
) -> Result<Vec<(Option<OwnedRow>, RecordBatch)>> {
    let partitions = layout.partitioning.columns(&rows)?;
    let Some(keys) = keys(&partitions)? else {
        return Ok(vec![(None, rows)]);
    };
    let mut groups: HashMap<_, Vec<u32>> = HashMap::new();
    for (row, key) in (0..).zip(keys.iter()) {
        groups.entry(key).or_default().push(row);
    }
    let groups = groups.into_iter();
    groups
        .map(|(key, chosen)| Ok((Some(key.owned()), taken(&rows, &chosen.into())?)))
        .collect()
}

fn taken(rows: &RecordBatch, chosen: &UInt32Array) -> Result<RecordBatch> {
    take_record_batch(rows, chosen).map_err(error::arrow("could not sort"))
}

/// Comparable partitions of the rows; `None` for an unpartitioned table.
fn keys(partitions: &[ArrayRef]) -> Result<Option<Rows>> {
    if partitions.is_empty() {
        return Ok(None);
    }
    let fields = partitions.iter().map(partition_field).collect();
    convert(fields, partitions).map(Some)
}

fn partition_field(values: &ArrayRef) -> SortField {
    SortField::new(values.data_type().clone())
}

fn convert(fields: Vec<SortField>, columns: &[ArrayRef]) -> Result<Rows> {
    RowConverter::new(fields)
        .and_then(|converter| converter.convert_columns(columns))
        .map_err(error::arrow("could not sort"))
}

/// The row numbers in sorted order; `None` when the rows stay as they are.
///
/// Equal rows keep their order of arrival.
fn order(
    layout: &Layout,
    rows: &RecordBatch,
    partitions: &[ArrayRef],
) -> Result<Option<UInt32Array>> {
    let partitions = partitions
        .iter()
        .map(|column| (ArrayRef::clone(column), SortOptions::default()));
    let sort = layout.sort.iter().map(|by| {
        let column = rows.column(by.column);
        (ArrayRef::clone(column), by.options)
    });
    let by: Vec<By> = partitions.chain(sort).collect();
    if by.is_empty() {
        return Ok(None);
    }
    let order = order::sorted(&by)?;
    Ok((!order.is_sorted()).then(|| UInt32Array::from(order)))
}
