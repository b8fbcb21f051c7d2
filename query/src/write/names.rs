//! The table that a writing statement names as its target.
use catalog::{Error, Result};
use datafusion::common::TableReference;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{
    FromTable, ObjectName, Statement, TableFactor, TableObject, TableWithJoins,
};

use crate::error::stream_error;

/// The name of the one table `statement` changes.
///
/// # Errors
/// `InvalidInput` or `Unsupported` for a target that is no plain table name.
pub(crate) fn target_name(statement: &Statement) -> Result<TableReference> {
    match statement {
        Statement::Insert(insert) => match &insert.table {
            TableObject::TableName(name) => reference(name),
            TableObject::TableFunction(_) => Err(no_table("INSERT")),
        },
        Statement::Delete(delete) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            match from.as_slice() {
                [one] if delete.tables.is_empty() => of_join("DELETE", one),
                _ => Err(Error::unsupported("DELETE changes one table at a time")),
            }
        }
        Statement::Update(update) => of_join("UPDATE", &update.table),
        Statement::Merge(merge) => of_factor("MERGE", &merge.table),
        Statement::Truncate(truncate) => match truncate.table_names.as_slice() {
            [one] => reference(&one.name),
            _ => Err(Error::unsupported("TRUNCATE empties one table at a time")),
        },
        _ => Err(Error::internal("a statement without a target was to write")),
    }
}

fn of_join(what: &str, table: &TableWithJoins) -> Result<TableReference> {
    if !table.joins.is_empty() {
        return Err(Error::unsupported(format!("{what} cannot change a join"))
            .with_hint("use a subquery in WHERE, or MERGE INTO"));
    }
    of_factor(what, &table.relation)
}

fn of_factor(what: &str, factor: &TableFactor) -> Result<TableReference> {
    match factor {
        TableFactor::Table {
            name, args: None, ..
        } => reference(name),
        _ => Err(no_table(what)),
    }
}

/// `name` as a reference: unquoted parts in lower case.
///
/// # Errors
/// `InvalidInput` for more than three parts.
pub(crate) fn reference(name: &ObjectName) -> Result<TableReference> {
    object_name_to_table_reference(name.clone(), true).map_err(stream_error)
}

fn no_table(what: &str) -> Error {
    Error::invalid(format!("the target of {what} must be a table"))
        .with_hint("name it table, namespace.table or branch.namespace.table")
}
