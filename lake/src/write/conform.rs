//! Bringing batches into the shape of a table: its columns, order and types.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{Field, Schema, SchemaRef};
use catalog::{Error, Key, Result};
use iceberg::arrow::arrow_type_to_type;

use super::layout;
use crate::error;
use crate::schema;
use crate::table::Table;

/// The shape batches are brought into.
pub(super) struct Conform {
    key: Key,
    /// The columns that files hold.
    schema: SchemaRef,
    /// All columns of the table.
    table: SchemaRef,
}

impl Conform {
    pub(super) fn new(table: &Table) -> Result<Self> {
        Ok(Self {
            key: table.key().clone(),
            schema: layout::written_schema(table)?,
            table: table.arrow_schema(),
        })
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
        schema::check_names(&given)?;
        self.refuse_unknown(&given)?;
        if self.schema.fields().len() < self.table.fields().len() {
            self.refuse_nested(batch)?;
        }
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
        let known = |field: &Arc<Field>| self.table.field_with_name(field.name()).is_ok();
        match given.fields().iter().find(|field| !known(field)) {
            None => Ok(()),
            Some(field) => {
                let message = format!("table {} has no column {:?}", self.key, field.name());
                Err(Error::invalid(message).with_hint("evolve the table's schema first"))
            }
        }
    }

    /// Nested columns are left out of files, which is right for null only.
    fn refuse_nested(&self, batch: &RecordBatch) -> Result<()> {
        let fields = self.table.fields().iter();
        for field in fields.filter(|field| field.data_type().is_nested()) {
            if !field.is_nullable() {
                return Err(self.required(field.name()));
            }
            let given = batch.column_by_name(field.name());
            if given.is_some_and(|column| column.logical_null_count() < column.len()) {
                let (name, kind) = (field.name(), field.data_type());
                let message = format!("column {name:?} is nested: {kind}");
                let hint = "nested columns cannot be written yet, only left null";
                return Err(Error::unsupported(message).with_hint(hint));
            }
        }
        Ok(())
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
        let into = arrow_type_to_type(field.data_type());
        let into = into.map_err(error::iceberg(format!("column {name:?} of {key}")))?;
        let fits = into
            .as_primitive_type()
            .is_some_and(|into| schema::fits(&from, into));
        if !fits {
            return Err(Error::invalid(format!(
                "column {name:?} of {key} is {into} and cannot take {from} values"
            )));
        }
        // An unsafe cast fails where a safe one would write null.
        let options = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        cast_with_options(column, field.data_type(), &options).map_err(error::arrow(format!(
            "values of column {name:?} do not fit {key}"
        )))
    }
}
