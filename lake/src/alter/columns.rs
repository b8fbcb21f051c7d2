//! The columns of a table while they are altered.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use catalog::{Error, Key, Result};
use iceberg::spec::{NestedField, NestedFieldRef, Schema, TableMetadata, Type};

use super::Alter;
use crate::error;
use crate::schema;
use crate::types::widens;

pub(super) struct Columns<'a> {
    key: &'a Key,
    schema_id: i32,
    fields: Vec<NestedFieldRef>,
    identifiers: HashSet<i32>,
    last_id: i32,
}

impl<'a> Columns<'a> {
    pub(super) fn of(metadata: &TableMetadata, key: &'a Key) -> Self {
        let schema = metadata.current_schema();
        Self {
            key,
            schema_id: schema.schema_id(),
            fields: schema.as_struct().fields().to_vec(),
            identifiers: schema.identifier_field_ids().collect(),
            last_id: metadata.last_column_id(),
        }
    }

    pub(super) fn schema(&self) -> Result<Schema> {
        let schema = Schema::builder()
            .with_schema_id(self.schema_id)
            .with_identifier_field_ids(self.identifiers.iter().copied())
            .with_fields(self.fields.clone())
            .build();
        schema.map_err(error::iceberg("could not build the altered schema"))
    }

    /// Makes an alteration of columns; others change nothing here.
    pub(super) fn alter(&mut self, alter: &Alter) -> Result<()> {
        match alter {
            Alter::AddColumn { name, data_type } => self.add(name, data_type),
            Alter::RenameColumn { from, to } => self.rename(from, to),
            Alter::DropColumn(name) => self.drop(name),
            Alter::WidenColumn { name, to } => self.widen(name, to),
            Alter::DropNotNull(name) => self.drop_not_null(name),
            Alter::SetPartition(_) | Alter::SetProperties(_) | Alter::RemoveProperties(_) => Ok(()),
        }
    }

    fn add(&mut self, name: &str, data_type: &DataType) -> Result<()> {
        self.check_free(name, None)?;
        let field = schema::new_column("", name, data_type, &mut self.last_id)?;
        self.fields.push(field);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let at = self.position(from)?;
        self.check_free(to, Some(at))?;
        self.change(at, |field| field.name = to.to_owned());
        Ok(())
    }

    fn drop(&mut self, name: &str) -> Result<()> {
        let at = self.position(name)?;
        self.check_not_identifier(at, "dropped")?;
        if self.fields.len() == 1 {
            let message = format!("{name:?} is the only column of {}", self.key);
            return Err(Error::invalid(message).with_hint("drop the table instead"));
        }
        self.fields.remove(at);
        Ok(())
    }

    fn widen(&mut self, name: &str, to: &DataType) -> Result<()> {
        let at = self.position(name)?;
        let into = schema::column_type(name, to)?;
        let from = &self.fields[at].field_type;
        let wider = match (from.as_ref(), &into) {
            (Type::Primitive(from), Type::Primitive(into)) => widens(from, into),
            _ => false,
        };
        if !wider {
            let message = format!(
                "column {name:?} of {} is {from} and cannot become {into}",
                self.key
            );
            return Err(Error::invalid(message).with_hint(
                "int widens to long, float to double, a decimal to one of more digits; \
                 for others add a column and fill it",
            ));
        }
        self.change(at, |field| *field.field_type = into);
        Ok(())
    }

    fn drop_not_null(&mut self, name: &str) -> Result<()> {
        let at = self.position(name)?;
        self.check_not_identifier(at, "null")?;
        self.change(at, |field| field.required = false);
        Ok(())
    }

    fn change(&mut self, at: usize, change: impl FnOnce(&mut NestedField)) {
        let mut field = self.fields[at].as_ref().clone();
        change(&mut field);
        self.fields[at] = Arc::new(field);
    }

    fn position(&self, name: &str) -> Result<usize> {
        let found = self.fields.iter().position(|field| field.name == name);
        found.ok_or_else(|| {
            let names: Vec<_> = self.fields.iter().map(|f| f.name.as_str()).collect();
            Error::invalid(format!("table {} has no column {name:?}", self.key))
                .with_hint(format!("its columns are {}", names.join(", ")))
        })
    }

    /// Engines that fold case could not tell names apart that differ only in it.
    fn check_free(&self, name: &str, except: Option<usize>) -> Result<()> {
        if name.is_empty() {
            return Err(Error::invalid("a column has an empty name"));
        }
        let folded = name.to_lowercase();
        let others = self.fields.iter().enumerate();
        let mut others = others.filter(|(at, _)| Some(*at) != except);
        match others.find(|(_, other)| other.name.to_lowercase() == folded) {
            None => Ok(()),
            Some((_, other)) => {
                let (other, key) = (&other.name, self.key);
                let message = format!("table {key} has a column {other:?} already");
                Err(Error::already_exists(message).with_hint("choose another name"))
            }
        }
    }

    fn check_not_identifier(&self, at: usize, what: &str) -> Result<()> {
        let field = &self.fields[at];
        if !self.identifiers.contains(&field.id) {
            return Ok(());
        }
        let (name, key) = (&field.name, self.key);
        let message =
            format!("column {name:?} identifies the rows of {key}, so it cannot be {what}");
        Err(Error::invalid(message))
    }
}
