//! `DELETE`, `UPDATE`, `MERGE INTO` and `TRUNCATE`: what acts on which rows is asked once, and
//! the files with such rows are written anew from the answer.
use std::collections::{BTreeMap, HashSet};

use catalog::{Error, Result};
use datafusion::sql::sqlparser::ast::{
    Delete, FromTable, Merge, TableFactor, TableWithJoins, Update, UpdateTableFromKind,
};
use futures::StreamExt;
use lake::{Rewrite, RewriteKind};
use object_store::path::Path;

use super::acting::Acting;
use super::clauses::{Action, Changes};
use super::question::Question;
use super::rows::{Rows, Work};
use crate::write::{Staged, Target, WriteContext};

/// Stages `DELETE FROM`.
///
/// # Errors
/// Those of the condition, as a query with it would give.
pub(crate) async fn delete(
    context: &WriteContext,
    target: &Target,
    statement: &Delete,
) -> Result<Staged> {
    check_delete(statement)?;
    let work = Work { context, target };
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &statement.from;
    let [from] = from.as_slice() else {
        return Err(Error::unsupported("DELETE changes one table at a time"));
    };
    if statement.selection.is_none() {
        return everything(&work).await;
    }
    let condition = statement.selection.clone();
    let changes = Changes::of_rows(from.relation.clone(), condition, Action::Delete);
    stage(&work, &changes, RewriteKind::Delete).await
}

/// Stages `TRUNCATE`.
///
/// # Errors
/// Those of the object store.
pub(crate) async fn truncate(context: &WriteContext, target: &Target) -> Result<Staged> {
    everything(&Work { context, target }).await
}

/// Stages `UPDATE`.
///
/// # Errors
/// `InvalidInput` for a column the table lacks or a value that does not fit, and when
/// several rows of FROM would change one row.
pub(crate) async fn update(
    context: &WriteContext,
    target: &Target,
    statement: &Update,
) -> Result<Staged> {
    check_update(statement)?;
    let action = Action::Update(statement.assignments.clone());
    let relation = statement.table.relation.clone();
    let mut changes = Changes::of_rows(relation, statement.selection.clone(), action);
    changes.source = statement.from.as_ref().map(from_source).transpose()?;
    stage(&Work { context, target }, &changes, RewriteKind::Overwrite).await
}

/// Stages `MERGE INTO`.
///
/// # Errors
/// `InvalidInput` when more than one source row acts on a target row, for columns the
/// table lacks, and for values that do not fit.
pub(crate) async fn merge_into(
    context: &WriteContext,
    target: &Target,
    statement: &Merge,
) -> Result<Staged> {
    let changes = Changes::merge(statement)?;
    stage(&Work { context, target }, &changes, RewriteKind::Overwrite).await
}

async fn stage(work: &Work<'_>, changes: &Changes, kind: RewriteKind) -> Result<Staged> {
    let question = Question::new(work, changes)?;
    let reads = question.reads(work)?;
    let asked = question.ask(work).await?;
    let acting = Acting::collect(work, asked).await?;
    if acting.rows() == 0 {
        return Ok(Staged::default());
    }
    let gone = acting.gone().clone();
    let rows = acting.rows();
    let changed = acting.changed()?;
    let mut staged = match gone.is_empty() {
        true => super::insert::append(work, changed).await?,
        false => {
            let others = work.others(&gone).await?;
            let paths = gone.paths()?;
            exchange(work, &paths, others.chain(changed).boxed(), kind).await?
        }
    };
    staged.rows = rows;
    staged.reads = reads;
    Ok(staged)
}

/// Stages that the files `paths` go and `rows` come in their place.
async fn exchange(
    work: &Work<'_>,
    paths: &HashSet<Path>,
    rows: Rows,
    kind: RewriteKind,
) -> Result<Staged> {
    let rewrite = Rewrite {
        removed: work.files(paths).await?,
        added: work.write(rows).await?.0,
        kind,
        summary: BTreeMap::new(),
    };
    let table = &work.target.table;
    let staged = work.context.lake().stage_rewrite(table, rewrite).await?;
    Ok(Staged {
        operations: vec![staged],
        ..Staged::default()
    })
}

/// Stages that all rows go.
async fn everything(work: &Work<'_>) -> Result<Staged> {
    if work.target.table.data_files().await?.is_empty() {
        return Ok(Staged::default());
    }
    let rows = work.count().await?;
    let staged = work.context.lake().stage_truncate(&work.target.table);
    Ok(Staged {
        operations: vec![staged.await?],
        rows,
        ..Staged::default()
    })
}

/// The one table of UPDATE's FROM.
fn from_source(from: &UpdateTableFromKind) -> Result<TableFactor> {
    let (UpdateTableFromKind::BeforeSet(tables) | UpdateTableFromKind::AfterSet(tables)) = from;
    match tables.as_slice() {
        [TableWithJoins { relation, joins }] if joins.is_empty() => Ok(relation.clone()),
        _ => Err(Error::unsupported("FROM in UPDATE takes one table")
            .with_hint("put the join into a subquery: FROM (SELECT ...) AS s")),
    }
}

fn check_delete(statement: &Delete) -> Result<()> {
    let refused = [
        ("USING", statement.using.is_some()),
        ("RETURNING", statement.returning.is_some()),
        ("ORDER BY", !statement.order_by.is_empty()),
        ("LIMIT", statement.limit.is_some()),
    ];
    refuse("DELETE", &refused)
}

fn check_update(statement: &Update) -> Result<()> {
    let refused = [
        ("RETURNING", statement.returning.is_some()),
        ("OR", statement.or.is_some()),
        ("LIMIT", statement.limit.is_some()),
    ];
    refuse("UPDATE", &refused)
}

fn refuse(statement: &str, parts: &[(&str, bool)]) -> Result<()> {
    match parts.iter().find(|(_, there)| *there) {
        Some((what, _)) => Err(Error::unsupported(format!(
            "{what} is not supported in {statement}"
        ))
        .with_hint("use a subquery in WHERE, or MERGE INTO")),
        None => Ok(()),
    }
}
