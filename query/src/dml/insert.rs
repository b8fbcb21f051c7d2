//! `INSERT INTO`, and appending the rows of a query.
use std::collections::BTreeMap;

use arrow::datatypes::Schema;
use catalog::{Error, Result};
use datafusion::sql::sqlparser::ast::{Ident, Insert};
use lake::{Rewrite, RewriteKind};

use super::rows::{Rows, Work};
use super::sql::normal;
use crate::statement::QueryResult;
use crate::write::{Staged, Target, WriteContext};

/// Stages `INSERT INTO` and `INSERT OVERWRITE`.
///
/// Columns that are not named become null; values are converted to the columns' types.
///
/// # Errors
/// `InvalidInput` for a column the table lacks, a wrong number of values, or a value
/// that does not fit.
pub(crate) async fn insert(
    context: &WriteContext,
    target: &Target,
    statement: &Insert,
) -> Result<Staged> {
    check(statement)?;
    let work = Work { context, target };
    let source = statement.source.as_deref().ok_or_else(|| {
        Error::unsupported("INSERT without rows is not supported")
            .with_hint("use INSERT INTO table VALUES (...) or INSERT INTO table SELECT ...")
    })?;
    let table = work.columns();
    let result = context.run(source.clone()).await?;
    let sources = sources(&table, &statement.columns, result.schema.fields().len())?;
    let rows = work.assigned(result, sources)?;
    let mut staged = match statement.overwrite {
        true => overwrite(&work, rows).await?,
        false => append(&work, rows).await?,
    };
    staged.reads = work.reads(source.clone())?;
    Ok(staged)
}

/// Stages the rows of `rows` as an append to `target`, columns matched by name and cast to
/// the table's types: for `CREATE TABLE AS` and bulk loads.
///
/// # Errors
/// `InvalidInput` for a column the table lacks or a value that does not fit.
pub(crate) async fn append_rows(
    context: &WriteContext,
    target: &Target,
    rows: QueryResult,
) -> Result<Staged> {
    let work = Work { context, target };
    let table = work.columns();
    for field in rows.schema.fields() {
        position(&table, field.name())?;
    }
    let fields = table.fields().iter();
    let sources = fields.map(|field| rows.schema.index_of(field.name()).ok());
    let sources = sources.collect();
    let rows = work.assigned(rows, sources)?;
    append(&work, rows).await
}

pub(super) async fn append(work: &Work<'_>, rows: Rows) -> Result<Staged> {
    let (files, rows) = work.write(rows).await?;
    if files.is_empty() {
        return Ok(Staged::default());
    }
    let table = &work.target.table;
    let staged = work
        .context
        .lake()
        .stage_append(table, files, BTreeMap::new());
    Ok(Staged {
        operations: vec![staged.await?],
        rows,
        ..Staged::default()
    })
}

async fn overwrite(work: &Work<'_>, rows: Rows) -> Result<Staged> {
    let (added, rows) = work.write(rows).await?;
    let removed = work.target.table.data_files().await?.to_vec();
    if added.is_empty() && removed.is_empty() {
        return Ok(Staged::default());
    }
    let rewrite = Rewrite {
        removed,
        added,
        kind: RewriteKind::Overwrite,
        summary: BTreeMap::new(),
    };
    let table = &work.target.table;
    let staged = work.context.lake().stage_rewrite(table, rewrite);
    Ok(Staged {
        operations: vec![staged.await?],
        rows,
        ..Staged::default()
    })
}

/// For each column of the table, which of the `given` values of a row it takes.
pub(super) fn sources(table: &Schema, names: &[Ident], given: usize) -> Result<Vec<Option<usize>>> {
    let fields = table.fields();
    let columns = match names {
        [] => (0..fields.len()).collect(),
        names => positions(table, names)?,
    };
    // Without names, the last columns may be left out, as other databases have it.
    if given > columns.len() || (!names.is_empty() && given < columns.len()) {
        return Err(Error::invalid(format!(
            "INSERT names {} column(s), and its rows have {given} value(s)",
            columns.len()
        )));
    }
    let mut sources = vec![None; fields.len()];
    for (value, column) in columns.into_iter().take(given).enumerate() {
        sources[column] = Some(value);
    }
    Ok(sources)
}

fn positions(table: &Schema, names: &[Ident]) -> Result<Vec<usize>> {
    let mut positions = Vec::with_capacity(names.len());
    for name in names {
        let at = position(table, &normal(name))?;
        if positions.contains(&at) {
            let message = format!("column {:?} is named twice", normal(name));
            return Err(Error::invalid(message));
        }
        positions.push(at);
    }
    Ok(positions)
}

/// Where the column `name` stands in `table`.
///
/// # Errors
/// `InvalidInput` listing the columns there are.
pub(super) fn position(table: &Schema, name: &str) -> Result<usize> {
    table.index_of(name).map_err(|_| {
        let columns: Vec<&str> = table.fields().iter().map(|f| f.name().as_str()).collect();
        Error::invalid(format!("the table has no column {name:?}"))
            .with_hint(format!("its columns are {}", columns.join(", ")))
    })
}

/// Refuses what this INSERT does not do, lest a part of a statement is passed over.
fn check(statement: &Insert) -> Result<()> {
    let refused = [
        ("ON CONFLICT", statement.on.is_some()),
        ("RETURNING", statement.returning.is_some()),
        ("SET", !statement.assignments.is_empty()),
        ("PARTITION", statement.partitioned.is_some()),
        ("OR", statement.or.is_some()),
        ("IGNORE", statement.ignore),
        ("REPLACE", statement.replace_into),
        (
            "columns after PARTITION",
            !statement.after_columns.is_empty(),
        ),
        ("SETTINGS", statement.settings.is_some()),
        ("FORMAT", statement.format_clause.is_some()),
    ];
    match refused.iter().find(|(_, there)| *there) {
        Some((what, _)) => Err(
            Error::unsupported(format!("{what} is not supported in INSERT"))
                .with_hint("MERGE INTO updates rows that are there and inserts the others"),
        ),
        None => Ok(()),
    }
}
