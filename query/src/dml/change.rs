//! `DELETE` and `UPDATE`: the files with matching rows are found, and only those written anew.
use std::collections::{BTreeMap, HashSet};

use catalog::{Error, Result};
use datafusion::sql::sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, Query, TableFactor, TableWithJoins,
    Update, UpdateTableFromKind,
};
use futures::StreamExt;
use lake::{Rewrite, RewriteKind};
use object_store::path::Path;

use super::clauses::Changes;
use super::insert::position;
use super::merge;
use super::rows::{Rows, Work};
use super::sql::{
    column, has_subquery, item, last_part, name_of, nested, query, select_mut, shorten, target_as,
};
use crate::table::{FILE, ROW};
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
    let work = Work::new(context, target);
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &statement.from;
    let [from] = from.as_slice() else {
        return Err(Error::unsupported("DELETE changes one table at a time"));
    };
    let Some(condition) = &statement.selection else {
        return everything(&work).await;
    };
    let matching = Matching::new(&from.relation, &target.key.name, condition)?;
    let found = work.counts(matching.count()?).await?;
    let (whole, partly) = split(&work, &found).await?;
    let rows = match partly.is_empty() {
        true => None,
        false => Some(matching.others(&work, &partly).await?),
    };
    let mut paths = partly;
    paths.extend(whole);
    let deleted = found.values().sum();
    exchange(&work, &paths, rows, RewriteKind::Delete, deleted).await
}

/// Stages `TRUNCATE`.
///
/// # Errors
/// Those of the object store.
pub(crate) async fn truncate(context: &WriteContext, target: &Target) -> Result<Staged> {
    everything(&Work::new(context, target)).await
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
    let work = Work::new(context, target);
    let always = Expr::value(datafusion::sql::sqlparser::ast::Value::Boolean(true));
    let condition = statement.selection.clone().unwrap_or(always);
    let target_factor = &statement.table.relation;
    if let Some(from) = &statement.from {
        let changes = Changes::update(from_source(from)?, condition, &statement.assignments);
        return merge::stage(&work, target_factor, &changes).await;
    }
    let matching = Matching::new(target_factor, &target.key.name, &condition)?;
    let values = assigned(&work, &matching.alias, &statement.assignments)?;
    let found = work.counts(matching.count()?).await?;
    let paths: HashSet<Path> = found.keys().cloned().collect();
    if paths.is_empty() {
        return Ok(Staged::default());
    }
    let changed = work.run(matching.select(values)?, Some(&paths)).await?;
    let changed = work.assigned(changed, None)?;
    let others = matching.others(&work, &paths).await?;
    let rows = changed.chain(others).boxed();
    let updated = found.values().sum();
    exchange(&work, &paths, Some(rows), RewriteKind::Overwrite, updated).await
}

/// For each column of the target, the expression an UPDATE gives it; the column itself
/// where it is not assigned.
pub(super) fn assigned(
    work: &Work<'_>,
    alias: &str,
    assignments: &[Assignment],
) -> Result<Vec<Expr>> {
    let table = work.columns();
    let mut values: Vec<Option<Expr>> = vec![None; table.fields().len()];
    for assignment in assignments {
        let AssignmentTarget::ColumnName(name) = &assignment.target else {
            return Err(Error::unsupported(format!(
                "{assignment}: columns are set one by one"
            )));
        };
        let at = position(&table, &last_part(name)?)?;
        let mut value = assignment.value.clone();
        shorten(&mut value, alias);
        if values[at].replace(value).is_some() {
            return Err(Error::invalid(format!("column {name} is set twice")));
        }
    }
    let columns = table.fields().iter().zip(values);
    Ok(columns
        .map(|(field, value)| value.unwrap_or_else(|| column(alias, field.name())))
        .collect())
}

/// The rows of the target that a condition holds for.
struct Matching {
    alias: String,
    condition: Expr,
}

impl Matching {
    fn new(factor: &TableFactor, table: &str, condition: &Expr) -> Result<Self> {
        let mut condition = condition.clone();
        shorten(&mut condition, table);
        Ok(Matching {
            alias: name_of(factor)?,
            condition,
        })
    }

    /// The rows, as `values` each.
    fn select(&self, values: Vec<Expr>) -> Result<Query> {
        let mut made = query("SELECT 1")?;
        let select = select_mut(&mut made)?;
        select.from = vec![target_as(&self.alias)?];
        select.selection = Some(self.condition.clone());
        let values = values.into_iter().enumerate();
        select.projection = values
            .map(|(at, value)| item(value, &format!("c{at}")))
            .collect();
        Ok(made)
    }

    /// How many there are in each file that has one.
    fn count(&self) -> Result<Query> {
        let mut counted = query(&format!(
            "SELECT \"{FILE}\", count(*) FROM x GROUP BY \"{FILE}\""
        ))?;
        let select = select_mut(&mut counted)?;
        select.from = vec![target_as(&self.alias)?];
        select.selection = Some(self.condition.clone());
        Ok(counted)
    }

    /// The other rows in the files `paths`: those the condition is false or null for.
    async fn others(&self, work: &Work<'_>, paths: &HashSet<Path>) -> Result<Rows> {
        let columns = work.columns();
        let columns = columns.fields().iter();
        let columns: Vec<Expr> = columns.map(|f| column(&self.alias, f.name())).collect();
        let query = match has_subquery(&self.condition) {
            false => {
                let mut query = self.select(columns)?;
                let condition = Box::new(nested(self.condition.clone()));
                select_mut(&mut query)?.selection = Some(Expr::IsNotTrue(condition));
                query
            }
            // Subqueries can be in a WHERE only as it was written.
            true => {
                let places = [FILE, ROW].map(|name| column(&self.alias, name));
                let gone = self.select(places.to_vec())?;
                let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
                query(&without(&columns, &self.alias, &[gone])?)?
            }
        };
        let rows = work.run(query, Some(paths)).await?;
        work.assigned(rows, None)
    }
}

/// The text of a query for `columns` of the target's rows, as `alias`, that are in none of
/// `gone`, which give file and row number.
pub(super) fn without(columns: &[String], alias: &str, gone: &[Query]) -> Result<String> {
    let from = target_as(alias)?;
    let mut text = format!("SELECT {} FROM {from}", columns.join(", "));
    let alias = super::sql::quoted(alias);
    for (at, gone) in gone.iter().enumerate() {
        text.push_str(&format!(
            " LEFT ANTI JOIN ({gone}) AS \"\u{1}gone{at}\" \
             ON {alias}.\"{FILE}\" = \"\u{1}gone{at}\".c0 \
             AND {alias}.\"{ROW}\" = \"\u{1}gone{at}\".c1"
        ));
    }
    Ok(text)
}

/// The files of `found` all of whose rows match, and the others.
async fn split(
    work: &Work<'_>,
    found: &BTreeMap<Path, u64>,
) -> Result<(HashSet<Path>, HashSet<Path>)> {
    let paths: HashSet<Path> = found.keys().cloned().collect();
    let mut whole = HashSet::new();
    for file in work.files(&paths).await? {
        // With delete files, how many rows are left is not known here.
        let rows = file.deletes.is_empty().then(|| file.file.record_count());
        if rows.is_some_and(|rows| found.get(&file.path) == Some(&rows)) {
            whole.insert(file.path);
        }
    }
    let partly = paths.difference(&whole).cloned().collect();
    Ok((whole, partly))
}

/// Stages that the files `paths` go and `rows` come in their place; `changed` rows are
/// reported.
pub(super) async fn exchange(
    work: &Work<'_>,
    paths: &HashSet<Path>,
    rows: Option<Rows>,
    kind: RewriteKind,
    changed: u64,
) -> Result<Staged> {
    if paths.is_empty() && rows.is_none() {
        return Ok(Staged::default());
    }
    let added = match rows {
        Some(rows) => work.write(rows).await?.0,
        None => Vec::new(),
    };
    let rewrite = Rewrite {
        removed: work.files(paths).await?,
        added,
        kind,
        summary: BTreeMap::new(),
    };
    let table = &work.target.table;
    let staged = work.context.lake().stage_rewrite(table, rewrite).await?;
    Ok(Staged {
        operations: vec![staged],
        rows: changed,
    })
}

/// Stages that all rows go.
async fn everything(work: &Work<'_>) -> Result<Staged> {
    let mut all = query(&format!(
        "SELECT \"{FILE}\", count(*) FROM x GROUP BY \"{FILE}\""
    ))?;
    select_mut(&mut all)?.from = vec![target_as("t")?];
    let rows = work.counts(all).await?.values().sum();
    if work.target.table.data_files().await?.is_empty() {
        return Ok(Staged::default());
    }
    let staged = work.context.lake().stage_truncate(&work.target.table);
    Ok(Staged {
        operations: vec![staged.await?],
        rows,
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
