//! Rows of one table on their way into a record batch.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use catalog::{Error, Result};

use super::builder::Builder;
use super::kind::Column;
use super::rows::Cells;

/// Bytes of rows at which a batch is full: the offsets of its texts have 31 bits.
const BATCH_BYTES: usize = 256 << 20;

/// A table's columns as decoding sees them, and the rows collected since the last batch.
pub(super) struct TableRows {
    schema: SchemaRef,
    columns: Vec<Column>,
    leaves: usize,
    index: HashMap<String, usize>,
    /// Batches that are full.
    full: Vec<Vec<Builder>>,
    builders: Vec<Builder>,
    bytes: usize,
}

impl TableRows {
    pub(super) fn new(schema: SchemaRef) -> Self {
        let fields = schema.fields().iter();
        let columns: Vec<Column> = fields.map(|field| Column::of(field)).collect();
        let index = columns
            .iter()
            .enumerate()
            .map(|(i, column)| (column.name.clone(), i))
            .collect();
        Self {
            schema,
            leaves: columns.iter().map(Column::leaves).sum(),
            columns,
            index,
            full: Vec::new(),
            builders: Vec::new(),
            bytes: 0,
        }
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Columns of plain values, those in structs among them.
    pub(super) fn leaves(&self) -> usize {
        self.leaves
    }

    /// Where the column of that name is; `hint` is where it was in the row before.
    pub(super) fn find(&self, name: &str, hint: usize) -> Option<usize> {
        match self.columns.get(hint) {
            Some(column) if column.name == name => Some(hint),
            _ => self.index.get(name).copied(),
        }
    }

    /// Adds whole rows; `capacity` is how many are to be expected.
    pub(super) fn append(&mut self, rows: Cells<'_>, capacity: usize) {
        if self.builders.is_empty() {
            let fields = self.schema.fields().iter();
            self.builders = fields
                .map(|field| Builder::new(field.data_type(), capacity))
                .collect();
        }
        self.bytes += rows.bytes;
        let mut cells = rows.cells.into_iter();
        while cells.len() > 0 {
            for (builder, cell) in self.builders.iter_mut().zip(&mut cells) {
                builder.append(cell);
            }
        }
        if self.bytes > BATCH_BYTES {
            self.full.push(std::mem::take(&mut self.builders));
            self.bytes = 0;
        }
    }

    /// The rows collected; mostly one batch, none where there are none.
    ///
    /// # Errors
    /// `Internal` when the columns do not make a batch, which is a fault of this crate.
    pub(super) fn take(&mut self) -> Result<Vec<RecordBatch>> {
        self.bytes = 0;
        let mut parts = std::mem::take(&mut self.full);
        parts.push(std::mem::take(&mut self.builders));
        let parts = parts.into_iter().filter(|builders| !builders.is_empty());
        parts.map(|builders| self.batch(builders)).collect()
    }

    fn batch(&self, builders: Vec<Builder>) -> Result<RecordBatch> {
        let columns = builders.into_iter().map(Builder::finish);
        let columns = columns.collect::<Result<Vec<_>, _>>();
        columns
            .and_then(|columns| RecordBatch::try_new(Arc::clone(&self.schema), columns))
            .map_err(|e| {
                Error::internal("decoded columns do not make a record batch").with_source(e)
            })
    }
}
