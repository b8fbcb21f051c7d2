//! `ALTER TABLE`, staged on the state of a branch.
use std::collections::HashMap;

use catalog::{Error, Key, Operation, Result, Snapshot};
use datafusion::common::TableReference;
use lake::{Alter, PartitionField, Table};

use super::{WriteContext, table};
use crate::grammar::Change;

/// Stages `changes` of the table `name`, all or none.
pub(super) async fn stage(
    context: &WriteContext,
    working: &Snapshot,
    name: &TableReference,
    if_exists: bool,
    changes: &[Change],
) -> Result<Vec<Operation>> {
    let full = context.scope().full(name);
    if if_exists && !working.contains(&full.key()?)? {
        return Ok(Vec::new());
    }
    let target = table::target(context, working, &full).await?;
    if let [Change::RenameTo(to)] = changes {
        return rename(working, &target.key, &full.reference, to);
    }
    let mut alters = Vec::new();
    let mut partition = None;
    for change in changes {
        match change {
            Change::AddPartition(field) => {
                let fields = partition.get_or_insert(current_partition(&target.table)?);
                if !fields.contains(field) {
                    fields.push(field.clone());
                }
            }
            Change::DropPartition(field) => {
                let fields = partition.get_or_insert(current_partition(&target.table)?);
                let before = fields.len();
                fields.retain(|existing| existing != field);
                if fields.len() == before {
                    return Err(Error::not_found(format!(
                        "{} is not partitioned by {field}",
                        target.key
                    )));
                }
            }
            change => alters.extend(alter(context, &target.table, change).await?),
        }
    }
    alters.extend(partition.map(Alter::SetPartition));
    if alters.is_empty() {
        return Ok(Vec::new());
    }
    let staged = context.lake().stage_alter(&target.table, &alters).await?;
    Ok(vec![staged])
}

/// What the lake is asked for; `None` when `IF` says that nothing is to be done.
async fn alter(context: &WriteContext, table: &Table, change: &Change) -> Result<Option<Alter>> {
    let schema = table.arrow_schema();
    let has = |name: &str| schema.field_with_name(name).is_ok();
    Ok(Some(match change {
        Change::AddColumn {
            name,
            if_not_exists: true,
            ..
        } if has(name) => return Ok(None),
        Change::AddColumn {
            name, data_type, ..
        } => Alter::AddColumn {
            name: name.clone(),
            data_type: context.arrow_type(data_type).await?,
        },
        Change::DropColumn {
            name,
            if_exists: true,
        } if !has(name) => return Ok(None),
        Change::DropColumn { name, .. } => Alter::DropColumn(name.clone()),
        Change::RenameColumn { from, to } => Alter::RenameColumn {
            from: from.clone(),
            to: to.clone(),
        },
        Change::Widen { name, data_type } => Alter::WidenColumn {
            name: name.clone(),
            to: context.arrow_type(data_type).await?,
        },
        Change::DropNotNull(name) => Alter::DropNotNull(name.clone()),
        Change::SetPartition(fields) => Alter::SetPartition(fields.clone()),
        Change::SetProperties(properties) => Alter::SetProperties(properties.clone()),
        Change::RemoveProperties(keys) => Alter::RemoveProperties(keys.clone()),
        Change::RenameTo(_) => {
            return Err(Error::invalid("RENAME TO stands alone in ALTER TABLE"));
        }
        Change::AddPartition(_) | Change::DropPartition(_) => return Ok(None),
    }))
}

fn rename(
    working: &Snapshot,
    key: &Key,
    branch: &str,
    to: &TableReference,
) -> Result<Vec<Operation>> {
    if to.catalog().is_some_and(|other| other != branch) {
        return Err(
            Error::invalid("a table cannot be renamed onto another branch")
                .with_hint("MERGE BRANCH brings tables from branch to branch"),
        );
    }
    // A bare name stays in the table's namespace.
    let namespace = to.schema().unwrap_or(&key.namespace);
    let new = Key::new(namespace, to.table())?;
    if working.contains(&new)? {
        return Err(Error::already_exists(format!("{new} is there already")));
    }
    let content = working.get(key)?;
    let content = content.ok_or_else(|| Error::internal("the table to rename is gone"))?;
    Ok(vec![
        Operation::Delete { key: key.clone() },
        Operation::Put { key: new, content },
    ])
}

/// What new files of the table are split by.
fn current_partition(table: &Table) -> Result<Vec<PartitionField>> {
    let metadata = table.metadata();
    let names: HashMap<i32, &str> = metadata
        .current_schema()
        .as_struct()
        .fields()
        .iter()
        .map(|field| (field.id, field.name.as_str()))
        .collect();
    let fields = metadata.default_partition_spec().fields().iter();
    fields
        .map(|field| match names.get(&field.source_id) {
            Some(column) => Ok(PartitionField {
                column: (*column).to_owned(),
                transform: field.transform,
            }),
            None => Err(Error::unsupported(format!(
                "partition field {} is of a nested or dropped column",
                field.name
            ))
            .with_hint("use SET PARTITIONED BY (...)")),
        })
        .collect()
}
