//! What a writing statement names as its target.
use catalog::{Error, Result};
use datafusion::common::TableReference;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{
    FromTable, ObjectName, Statement, TableFactor, TableObject, TableWithJoins,
};

use crate::error::stream_error;
use crate::grammar::Definition;
use crate::scope::Scope;

/// The one branch that `definition` changes.
///
/// # Errors
/// `InvalidInput` when it names two.
pub(crate) fn branch(definition: &Definition, scope: &Scope) -> Result<String> {
    let of = |name: &TableReference| name.catalog().unwrap_or(&scope.default_ref).to_owned();
    match definition {
        Definition::CreateTable(create) => Ok(of(&create.name)),
        Definition::CreateView(create) => Ok(of(&create.name)),
        Definition::Alter { name, .. } | Definition::Rollback { name, .. } => Ok(of(name)),
        Definition::CreateSchema { reference, .. } | Definition::DropSchema { reference, .. } => {
            Ok(reference.as_ref().unwrap_or(&scope.default_ref).clone())
        }
        Definition::Drop { names, .. } => {
            let mut branches: Vec<String> = names.iter().map(of).collect();
            branches.dedup();
            match branches.as_slice() {
                [one] => Ok(one.clone()),
                _ => Err(Error::invalid("one statement changes one branch")
                    .with_hint("drop the tables of each branch by themselves")),
            }
        }
    }
}

/// What `definition` is about, for messages.
pub(crate) fn subject(definition: &Definition, scope: &Scope) -> String {
    let plain = |name: &TableReference| plain(name, scope);
    match definition {
        Definition::CreateTable(create) => plain(&create.name),
        Definition::CreateView(create) => plain(&create.name),
        Definition::Alter { name, .. } | Definition::Rollback { name, .. } => plain(name),
        Definition::CreateSchema { name, .. } | Definition::DropSchema { name, .. } => name.clone(),
        Definition::Drop { names, .. } => {
            let names: Vec<String> = names.iter().map(plain).collect();
            names.join(", ")
        }
    }
}

/// `name` with its namespace and without its ref: the commit is on it.
pub(crate) fn plain(name: &TableReference, scope: &Scope) -> String {
    let name = scope.full(name);
    format!("{}.{}", name.namespace, name.table)
}

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
fn reference(name: &ObjectName) -> Result<TableReference> {
    object_name_to_table_reference(name.clone(), true).map_err(stream_error)
}

fn no_table(what: &str) -> Error {
    Error::invalid(format!("the target of {what} must be a table"))
        .with_hint("name it table, namespace.table or branch.namespace.table")
}
