//! Which keys differ between two commits.

use catalog::{Content, KeyDiff, Result, Snapshot};
use futures::{StreamExt, TryStreamExt};
use lake::{Lake, Table, TableDiff};
use serde_json::{Value, json};

use super::Ends;
use crate::output;
use crate::style;

/// Tables looked into at once.
const PARALLEL_TABLES: usize = 16;

/// A key that differs, and how where it is a table.
struct Change {
    diff: KeyDiff,
    table: Option<TableDiff>,
}

pub(super) async fn show(lake: &Lake, ends: &Ends, stat: bool, as_json: bool) -> Result<()> {
    let differing = ends.before.diff(&ends.after)?;
    let changes: Vec<_> = differing
        .into_iter()
        .map(|diff| look_into(lake, ends, diff))
        .collect();
    let changes: Vec<Change> = futures::stream::iter(changes)
        .buffered(PARALLEL_TABLES)
        .try_collect()
        .await?;
    if as_json {
        return output::print_json(&json!({
            "from": ends.before.id().to_string(),
            "to": ends.after.id().to_string(),
            "changes": changes.iter().map(to_json).collect::<Value>(),
        }));
    }
    if changes.is_empty() {
        return Ok(());
    }
    let lines = changes.iter().map(|change| line(change, stat));
    let mut lines: Vec<String> = lines.collect();
    if stat {
        lines.push(total(&changes));
    }
    output::print(&lines.join("\n"))
}

async fn look_into(lake: &Lake, ends: &Ends, diff: KeyDiff) -> Result<Change> {
    let before = table(lake, &ends.before, &diff, diff.before.as_ref()).await?;
    let after = table(lake, &ends.after, &diff, diff.after.as_ref()).await?;
    let table = match (&before, &after) {
        (None, None) => None,
        (before, after) => Some(lake.diff_table(before.as_ref(), after.as_ref()).await?),
    };
    Ok(Change { diff, table })
}

async fn table(
    lake: &Lake,
    at: &Snapshot,
    diff: &KeyDiff,
    content: Option<&Content>,
) -> Result<Option<Table>> {
    match content {
        Some(Content::IcebergTable { .. }) => lake.table(at, &diff.key).await.map(Some),
        _ => Ok(None),
    }
}

impl Change {
    /// `A`, `D` or `M`, as git has it.
    fn letter(&self) -> &'static str {
        match (&self.diff.before, &self.diff.after) {
            (None, _) => "A",
            (_, None) => "D",
            _ => "M",
        }
    }

    fn kind(&self) -> &'static str {
        let content = self.diff.after.as_ref().or(self.diff.before.as_ref());
        content.map_or("", Content::type_name)
    }
}

fn line(change: &Change, stat: bool) -> String {
    let letter = match change.letter() {
        "A" => style::green("A"),
        "D" => style::red("D"),
        other => other.to_owned(),
    };
    let what = match &change.table {
        Some(table) if stat => numbers(table),
        Some(table) => table.summary().to_owned(),
        None => change.kind().to_owned(),
    };
    format!("{letter}  {}  {what}", change.diff.key)
}

fn numbers(table: &TableDiff) -> String {
    let (added, removed) = (table.files_added.len(), table.files_removed.len());
    format!(
        "{} {} files, {} {} rows",
        style::green(&format!("+{added}")),
        style::red(&format!("-{removed}")),
        style::green(&format!("+{}", table.rows_added)),
        style::red(&format!("-{}", table.rows_removed)),
    )
}

fn total(changes: &[Change]) -> String {
    let count = |letter| changes.iter().filter(|it| it.letter() == letter).count();
    format!(
        "{} added, {} changed, {} deleted",
        count("A"),
        count("M"),
        count("D")
    )
}

fn to_json(change: &Change) -> Value {
    let what = match change.letter() {
        "A" => "added",
        "D" => "deleted",
        _ => "changed",
    };
    json!({
        "key": change.diff.key.to_string(),
        "change": what,
        "type": change.kind(),
        "before": change.diff.before,
        "after": change.diff.after,
        "table": change.table.as_ref().map(super::table::to_json),
    })
}
