//! Bringing batches into the shape of a table: its columns, order and types.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema, SchemaRef};
use catalog::{Error, Key, Result};
use iceberg::spec::SchemaRef as TableSchemaRef;

use super::layout::Layout;
use crate::error;
use crate::schema;
use crate::shape::Shape;
use crate::table::Table;
use crate::types::fits;

/// The shape batches are brought into.
pub(super) struct Conform {
    key: Key,
    schema: SchemaRef,
    table: TableSchemaRef,
}

impl Conform {
    /// Into the columns of `layout`.
    pub(super) fn new(table: &Table, layout: &Layout) -> Self {
        Self {
            key: table.key().clone(),
            schema: Arc::clone(&layout.schema),
            table: Arc::clone(table.metadata().current_schema()),
        }
    }

    /// All rows of `batches` in one batch of the table's schema.
    pub(super) fn concat(&self, batches: &[RecordBatch]) -> Result<RecordBatch> {
        let conformed = batches.iter().map(|batch| self.batch(batch));
        let conformed: Vec<RecordBatch> = conformed.collect::<Result<_>>()?;
        concat_batches(&self.schema, &conformed).map_err(error::arrow(format!(
            "rows for {} do not go together",
            self.key
        )))
    }

    fn batch(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let given = batch.schema();
        schema::check_names(given.fields())?;
        self.refuse_unknown(&given)?;
        let columns = self.schema.fields().iter().map(|field| {
            let column = match batch.column_by_name(field.name()) {
                Some(column) => self.column(field, column)?,
                None => new_null_array(field.data_type(), batch.num_rows()),
            };
            match !field.is_nullable() && column.null_count() > 0 {
                true => Err(self.required(field.name())),
                false => Ok(column),
            }
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(error::arrow(format!("rows do not fit {}", self.key)))
    }

    fn refuse_unknown(&self, given: &Schema) -> Result<()> {
        let known = |field: &Arc<Field>| self.schema.field_with_name(field.name()).is_ok();
        match given.fields().iter().find(|field| !known(field)) {
            None => Ok(()),
            Some(field) => {
                let message = format!("table {} has no column {:?}", self.key, field.name());
                Err(Error::invalid(message).with_hint("evolve the table's schema first"))
            }
        }
    }

    fn required(&self, name: &str) -> Error {
        let key = &self.key;
        Error::invalid(format!(
            "column {name:?} of {key} is required, but rows lack it"
        ))
    }

    fn column(&self, field: &Field, column: &ArrayRef) -> Result<ArrayRef> {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        let (name, key) = (field.name(), &self.key);
        let from = schema::column_type(name, column.data_type())?;
        let into = &schema::column(&self.table, name, "written")?.field_type;
        if !fits(&from, into) {
            return Err(Error::invalid(format!(
                "column {name:?} of {key} is {into} and cannot take {from} values"
            ))
            .with_hint("evolve the table's schema first, or convert the values"));
        }
        Shape::by_name(column.data_type(), field.data_type())
            .and_then(|shape| shape.cast(column, field.data_type()))
            .map_err(error::arrow(format!(
                "values of column {name:?} do not fit {key}"
            )))
    }
}
