//! What differs inside one table.

use catalog::{Key, Result, Snapshot};
use futures::TryStreamExt;
use lake::{ColumnChange, Lake, Table, TableDiff};
use query::Engine;
use serde_json::{Value, json};

use super::{Ends, What};
use crate::output::{self, Format};
use crate::style;

pub(super) async fn show(lake: &Lake, ends: &Ends, key: &Key, as_json: bool) -> Result<()> {
    let before = table(lake, &ends.before, key).await?;
    let after = table(lake, &ends.after, key).await?;
    if before.is_none() && after.is_none() {
        // Says what tables there are.
        lake.table(&ends.after, key).await?;
    }
    let diff = lake.diff_table(before.as_ref(), after.as_ref()).await?;
    if as_json {
        return output::print_json(&to_json(&diff));
    }
    output::print(&text(&ends.what, key, &diff))
}

async fn table(lake: &Lake, at: &Snapshot, key: &Key) -> Result<Option<Table>> {
    match at.contains(key)? {
        true => lake.table(at, key).await.map(Some),
        false => Ok(None),
    }
}

fn text(what: &What, key: &Key, diff: &TableDiff) -> String {
    let mut lines = vec![
        style::red(&format!("--- {}.{key}", what.from)),
        style::green(&format!("+++ {}.{key}", what.to)),
    ];
    lines.extend(diff.columns.iter().map(column));
    let word = |name: &str, by: &Option<String>| {
        let by = by.as_ref()?;
        Some(format!("{name}: {by}"))
    };
    lines.extend(word("partitioned by", &diff.partition));
    lines.extend(word("sorted by", &diff.sort));
    lines.extend(diff.properties.iter().map(ToString::to_string));
    let files = |sign: char, files: usize, rows: u64, deletes: usize| {
        let deletes = match deletes {
            0 => String::new(),
            deletes => format!(", {deletes} delete files"),
        };
        format!("{sign} {files} files with {rows} rows{deletes}")
    };
    if diff.files_removed.len() + diff.deletes_removed > 0 {
        let (count, rows) = (diff.files_removed.len(), diff.rows_removed);
        lines.push(style::red(&files('-', count, rows, diff.deletes_removed)));
    }
    if diff.files_added.len() + diff.deletes_added > 0 {
        let (count, rows) = (diff.files_added.len(), diff.rows_added);
        lines.push(style::green(&files('+', count, rows, diff.deletes_added)));
    }
    if lines.len() == 2 {
        return format!("{key} is the same in {} and {}", what.from, what.to);
    }
    lines.join("\n")
}

fn column(change: &ColumnChange) -> String {
    match change {
        ColumnChange::Added { column, data_type } => {
            style::green(&format!("+ {column} {data_type}"))
        }
        ColumnChange::Dropped { column, data_type } => {
            style::red(&format!("- {column} {data_type}"))
        }
        other => format!("~ {other}"),
    }
}

pub(super) fn to_json(diff: &TableDiff) -> Value {
    let files = |files: &[lake::ScanFile]| {
        let files = files.iter().map(|file| {
            json!({
                "path": file.path.as_ref(),
                "rows": file.file.record_count(),
                "bytes": file.file.file_size_in_bytes(),
            })
        });
        files.collect::<Value>()
    };
    json!({
        "summary": diff.summary(),
        "columns": diff.columns,
        "partition": diff.partition,
        "sort": diff.sort,
        "properties": diff.properties,
        "files_added": files(&diff.files_added),
        "files_removed": files(&diff.files_removed),
        "rows_added": diff.rows_added,
        "rows_removed": diff.rows_removed,
        "deletes_added": diff.deletes_added,
        "deletes_removed": diff.deletes_removed,
    })
}

/// Prints the rows that differ; `_change` says which way.
pub(super) async fn rows(engine: &Engine, key: &Key, what: &What, format: Format) -> Result<()> {
    let result = engine.diff_rows(key, &what.from, &what.to).await?;
    let rows = result.stream.map_err(query::stream_error);
    output::print_rows(format, result.schema, rows).await?;
    Ok(())
}
