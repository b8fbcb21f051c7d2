//! Rows of one table on their way into a record batch.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use catalog::{Error, Result};

use super::Kind;
use super::column::{Builder, Cell};

/// A table's columns as decoding sees them, and the rows collected since the last batch.
pub(super) struct TableRows {
    schema: SchemaRef,
    columns: Vec<Column>,
    index: HashMap<String, usize>,
    builders: Vec<Builder>,
    rows: usize,
}

pub(super) struct Column {
    pub(super) name: String,
    /// None for a type payloads cannot fill.
    pub(super) kind: Option<Kind>,
    pub(super) required: bool,
}

impl TableRows {
    pub(super) fn new(schema: SchemaRef) -> Self {
        let columns: Vec<Column> = schema
            .fields()
            .iter()
            .map(|field| Column {
                name: field.name().clone(),
                kind: Kind::of(field.data_type()),
                required: !field.is_nullable(),
            })
            .collect();
        let index = columns
            .iter()
            .enumerate()
            .map(|(i, column)| (column.name.clone(), i))
            .collect();
        Self {
            schema,
            columns,
            index,
            builders: Vec::new(),
            rows: 0,
        }
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Where the column of that name is; `hint` is where it was in the row before.
    pub(super) fn find(&self, name: &str, hint: usize) -> Option<usize> {
        match self.columns.get(hint) {
            Some(column) if column.name == name => Some(hint),
            _ => self.index.get(name).copied(),
        }
    }

    /// Adds a row of one cell per column; `capacity` is how many rows are to be expected.
    pub(super) fn append(&mut self, cells: Vec<Cell<'_>>, capacity: usize) {
        if self.builders.is_empty() {
            let fields = self.schema.fields().iter();
            self.builders = fields
                .map(|field| Builder::new(field.data_type(), capacity))
                .collect();
        }
        for (builder, cell) in self.builders.iter_mut().zip(cells) {
            builder.append(cell);
        }
        self.rows += 1;
    }

    /// The rows collected, if there are any.
    ///
    /// # Errors
    /// `Internal` when the columns do not make a batch, which is a fault of this crate.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>> {
        if std::mem::take(&mut self.rows) == 0 {
            return Ok(None);
        }
        let columns = std::mem::take(&mut self.builders)
            .into_iter()
            .map(Builder::finish)
            .collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|e| {
            Error::internal("decoded columns do not make a record batch").with_source(e)
        })?;
        Ok(Some(batch))
    }
}
