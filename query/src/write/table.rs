//! Tables as targets: found, made, and with their types.
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use catalog::{Content, Error, Key, Operation, Result, Snapshot};
use datafusion::sql::sqlparser::ast::DataType as SqlType;
use lake::TableSpec;

use super::{Staged, Target, WriteContext};
use crate::dml;
use crate::grammar::{ColumnSpec, CreateTable};
use crate::names::{FullName, no_such_table};
use crate::statement::{Prepared, QueryResult};

/// The table `name` in `working`.
///
/// # Errors
/// `NotFound`, or `InvalidInput` for a view or a model.
pub(crate) async fn target(
    context: &WriteContext,
    working: &Snapshot,
    name: &FullName,
) -> Result<Target> {
    let key = name.key()?;
    match working.get(&key)? {
        Some(Content::IcebergTable { .. }) => {}
        Some(other) => {
            let what = other.type_name();
            return Err(Error::invalid(format!("{key} is a {what}, not a table")));
        }
        None => return Err(no_such_table(name, working)?),
    }
    Ok(Target {
        table: context.lake().table(working, &key).await?,
        key,
    })
}

/// Stages a new table and the rows of its query, where it has one.
pub(super) async fn create(
    context: &WriteContext,
    working: &Snapshot,
    create: &CreateTable,
) -> Result<Staged> {
    let key = context.scope().full(&create.name).key()?;
    let there = working.get(&key)?;
    if there.is_some() && create.if_not_exists {
        return Ok(Staged::default());
    }
    let base = match create.or_replace {
        true => without(working, &key, there.as_ref())?,
        false => working.clone(),
    };
    let rows = match &create.query {
        Some(query) => Some(context.plan(query.as_ref().clone()).await?),
        None => None,
    };
    let spec = TableSpec {
        schema: schema(context, create, rows.as_ref()).await?,
        partition: create.partition.clone(),
        sort: create.sort.clone(),
        properties: create.properties.clone(),
        ..TableSpec::default()
    };
    let made = context.lake().stage_create(&base, &key, &spec).await?;
    let Some(rows) = rows else {
        return Ok(Staged {
            operations: vec![made],
            ..Staged::default()
        });
    };
    let snapshot = base.with(std::slice::from_ref(&made))?;
    let target = Target {
        table: context.lake().table(&snapshot, &key).await?,
        key,
    };
    filled(context, &target, made, rows.bind(&[]).await?.run()?).await
}

/// `working` without the table `key`, which another is to replace.
///
/// # Errors
/// `AlreadyExists` where a view or a model has the name.
pub(super) fn without(working: &Snapshot, key: &Key, there: Option<&Content>) -> Result<Snapshot> {
    check_replaced(key, there)?;
    match there {
        Some(_) => working.with(&[Operation::Delete { key: key.clone() }]),
        None => Ok(working.clone()),
    }
}

/// Refuses to put a table in the place of something else.
pub(super) fn check_replaced(key: &Key, there: Option<&Content>) -> Result<()> {
    match there {
        None | Some(Content::IcebergTable { .. }) => Ok(()),
        Some(other) => Err(Error::already_exists(format!(
            "{key} is there already: a {}",
            other.type_name()
        ))
        .with_hint("a table replaces tables only: choose another name, or drop what is there")),
    }
}

/// A new table, which `made` makes, with `rows` in it.
pub(super) async fn filled(
    context: &WriteContext,
    target: &Target,
    made: Operation,
    rows: QueryResult,
) -> Result<Staged> {
    let mut staged = dml::append_rows(context, target, rows).await?;
    if staged.operations.is_empty() {
        staged.operations.push(made);
    }
    Ok(staged)
}

async fn schema(
    context: &WriteContext,
    create: &CreateTable,
    rows: Option<&Prepared>,
) -> Result<SchemaRef> {
    if let Some(rows) = rows {
        // Whether a computed column may be null is the planner's guess, not a promise.
        let schema = rows.schema();
        let fields = schema.fields().iter();
        let fields: Vec<Field> = fields
            .map(|field| Field::new(field.name(), nullable(field.data_type()), true))
            .collect();
        return Ok(Arc::new(Schema::new(fields)));
    }
    let types: Vec<&SqlType> = create
        .columns
        .iter()
        .map(|column| &column.data_type)
        .collect();
    let types = context.arrow_types(&types).await?;
    let columns = create.columns.iter().zip(types);
    let fields: Vec<Field> = columns
        .map(|(ColumnSpec { name, nullable, .. }, kind)| Field::new(name, kind, *nullable))
        .collect();
    Ok(Arc::new(Schema::new(fields)))
}

/// The type with everything that is nested in it nullable, but for the keys of maps.
fn nullable(data_type: &DataType) -> DataType {
    let within = |field: &FieldRef| {
        let kind = nullable(field.data_type());
        Arc::new(
            field
                .as_ref()
                .clone()
                .with_data_type(kind)
                .with_nullable(true),
        )
    };
    match data_type {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(within).collect()),
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::FixedSizeList(element, _) => DataType::List(within(element)),
        DataType::Map(entries, ordered) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                let fields = vec![Arc::clone(&fields[0]), within(&fields[1])];
                let kind = DataType::Struct(fields.into());
                let entries = entries.as_ref().clone().with_data_type(kind);
                DataType::Map(Arc::new(entries), *ordered)
            }
            _ => data_type.clone(),
        },
        other => other.clone(),
    }
}
