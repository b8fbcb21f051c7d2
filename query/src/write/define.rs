//! `CREATE`, `DROP` and `CALL rollback`, staged on the state of a branch.
use catalog::{CommitId, Content, Error, Key, Operation, Result, Snapshot};
use datafusion::common::TableReference;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use lake::Lake;

use super::{Staged, WriteContext, alter, table, views};
use crate::Engine;
use crate::grammar::{Change, Definition};
use crate::names::{FullName, no_such_table};
use crate::scope::Scope;

/// Stages `definition` on `working`, the state of `branch`.
pub(super) async fn stage(
    context: &WriteContext,
    branch: &str,
    working: &Snapshot,
    definition: &Definition,
) -> Result<Staged> {
    let operations = match definition {
        Definition::CreateTable(create) => {
            return table::create(context, working, create).await;
        }
        Definition::CreateView(create) => views::create(context, branch, working, create).await?,
        Definition::Alter {
            name,
            if_exists,
            changes,
        } => alter::stage(context, working, name, *if_exists, changes).await?,
        Definition::Drop {
            view,
            names,
            if_exists,
        } => drop_all(context, working, *view, names, *if_exists)?,
        Definition::CreateSchema {
            name,
            if_not_exists,
            properties,
            ..
        } => {
            let content = Content::Namespace {
                properties: properties.clone(),
            };
            create_schema(working, name, *if_not_exists, content)?
        }
        Definition::DropSchema {
            name,
            if_exists,
            cascade,
            ..
        } => drop_schema(working, name, *if_exists, *cascade)?,
        Definition::Rollback { name, to, at } => {
            rollback(context, working, name, to, at.as_ref()).await?
        }
    };
    Ok(Staged {
        operations,
        ..Staged::default()
    })
}

/// The tables whose rows `definition` depends on.
pub(super) fn reads(
    definition: &Definition,
    engine: &Engine,
    scope: &Scope,
    base: &Snapshot,
) -> Result<Vec<FullName>> {
    // Rows on their way belong to what is rolled back, dropped, replaced or renamed.
    match definition {
        Definition::CreateTable(create) => {
            let mut names = match &create.query {
                Some(query) => {
                    let query = SqlStatement::Query(query.clone());
                    engine.names(&Statement::Statement(Box::new(query)), scope)?
                }
                None => Vec::new(),
            };
            names.extend(create.or_replace.then(|| scope.full(&create.name)));
            Ok(names)
        }
        Definition::Alter { name, changes, .. }
            if matches!(changes.as_slice(), [Change::RenameTo(_)]) =>
        {
            Ok(vec![scope.full(name)])
        }
        Definition::Rollback { name, .. } => Ok(vec![scope.full(name)]),
        Definition::Drop { names, .. } => Ok(names.iter().map(|name| scope.full(name)).collect()),
        Definition::DropSchema {
            reference, name, ..
        } => {
            let reference = reference.as_ref().unwrap_or(&scope.default_ref);
            let entries = base.entries_in(name)?.into_iter();
            let tables = entries.filter(|(key, _)| !key.is_namespace());
            let tables = tables.map(|(key, _)| FullName {
                reference: reference.clone(),
                namespace: key.namespace,
                table: key.name,
            });
            Ok(tables.collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// Finds the commit of a rollback before rows on their way become a commit after it.
pub(super) async fn settle(definition: &mut Definition, lake: &Lake) -> Result<()> {
    if let Definition::Rollback { to, at, .. } = definition
        && to.parse::<i64>().is_err()
    {
        *at = Some(lake.catalog().resolve_commit(to).await?.id);
    }
    Ok(())
}

fn drop_all(
    context: &WriteContext,
    working: &Snapshot,
    view: bool,
    names: &[TableReference],
    if_exists: bool,
) -> Result<Vec<Operation>> {
    let mut operations = Vec::new();
    for name in names {
        let name = context.scope().full(name);
        let key = name.key()?;
        match (working.get(&key)?, view) {
            (Some(Content::IcebergTable { .. }), false) | (Some(Content::View { .. }), true) => {
                operations.push(Operation::Delete { key });
            }
            (Some(Content::IcebergTable { .. }), true) => {
                return Err(wrong_kind(&key, "a table", "DROP TABLE"));
            }
            (Some(Content::View { .. }), false) => {
                return Err(wrong_kind(&key, "a view", "DROP VIEW"));
            }
            (Some(other), _) => {
                let what = other.type_name();
                return Err(Error::invalid(format!(
                    "{key} is a {what}: SQL cannot drop it"
                )));
            }
            (None, _) if if_exists => {}
            (None, _) => return Err(no_such_table(&name, working)?),
        }
    }
    Ok(operations)
}

fn wrong_kind(key: &Key, what: &str, statement: &str) -> Error {
    Error::invalid(format!("{key} is {what}")).with_hint(format!("use {statement} {key}"))
}

fn create_schema(
    working: &Snapshot,
    name: &str,
    if_not_exists: bool,
    content: Content,
) -> Result<Vec<Operation>> {
    let key = Key::of_namespace(name)?;
    let there = working.contains(&key)? || !working.entries_in(name)?.is_empty();
    match (there, if_not_exists) {
        (true, true) => Ok(Vec::new()),
        (true, false) => Err(Error::already_exists(format!(
            "namespace {name} is there already"
        ))),
        (false, _) => Ok(vec![Operation::Put { key, content }]),
    }
}

fn drop_schema(
    working: &Snapshot,
    name: &str,
    if_exists: bool,
    cascade: bool,
) -> Result<Vec<Operation>> {
    let namespace = Key::of_namespace(name)?;
    let entries = working.entries_in(name)?;
    let explicit = working.contains(&namespace)?;
    let keys: Vec<Key> = entries
        .into_iter()
        .map(|(key, _)| key)
        .filter(|key| *key != namespace)
        .collect();
    if keys.is_empty() && !explicit {
        return match if_exists {
            true => Ok(Vec::new()),
            false => Err(Error::not_found(format!("there is no namespace {name}"))),
        };
    }
    if !keys.is_empty() && !cascade {
        return Err(Error::conflict(format!(
            "namespace {name} is not empty: it holds {} table(s), views or models",
            keys.len()
        ))
        .with_hint("DROP SCHEMA ... CASCADE drops all of them"));
    }
    let own = explicit.then_some(namespace);
    let keys = keys.into_iter().chain(own);
    Ok(keys.map(|key| Operation::Delete { key }).collect())
}

/// A table as it was: at a snapshot of its own, or whole, at another ref.
async fn rollback(
    context: &WriteContext,
    working: &Snapshot,
    name: &TableReference,
    to: &str,
    at: Option<&CommitId>,
) -> Result<Vec<Operation>> {
    let name = context.scope().full(name);
    let key = name.key()?;
    let lake = context.lake();
    table::check_replaced(&key, working.get(&key)?.as_ref())?;
    if let Ok(snapshot_id) = to.parse::<i64>() {
        if !working.contains(&key)? {
            return Err(no_such_table(&name, working)?);
        }
        let table = lake.table(working, &key).await?;
        return Ok(vec![lake.stage_rollback(&table, snapshot_id).await?]);
    }
    let then = match at {
        Some(commit) => lake.catalog().resolve(&commit.to_string()).await?,
        None => lake.catalog().resolve(to).await?,
    };
    let content = then.get(&key)?;
    match content {
        Some(content @ Content::IcebergTable { .. })
            if working.get(&key)?.as_ref() == Some(&content) =>
        {
            Ok(Vec::new())
        }
        Some(content @ Content::IcebergTable { .. }) => Ok(vec![Operation::Put { key, content }]),
        _ => Err(
            Error::not_found(format!("there was no table {key} at {to}"))
                .with_hint("SHOW LOG lists the commits; DROP TABLE drops a table"),
        ),
    }
}
