//! `pumphouse maintain status`, and what the other jobs show in a dry run.

use catalog::{ErrorKind, Key, Result};
use chrono::SecondsFormat;
use lake::Lake;
use lake::maintain::{Compactable, MaintenanceStatus};
use serde_json::{Value, json};

use super::{Scope, Wanted, tables};
use crate::commands::gc::bytes;
use crate::output;
use crate::settings::format_duration;

/// Prints the state of the tables, and what is due of them.
pub(super) async fn show(lake: &Lake, of: &Scope, wanted: &Wanted) -> Result<()> {
    let head = lake.catalog().head(&of.branch).await?;
    let (mut rows, mut json, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for key in tables(lake, of).await? {
        let status = async {
            let table = lake.table(&head, &key).await?;
            let (compact, expire) = (&wanted.compact, wanted.expire);
            let status = lake.maintenance_status(&table, compact, expire, wanted.retain);
            status.await
        };
        match status.await {
            Ok(status) => {
                rows.push(row(&key, &status));
                json.push(to_json(&key, &status));
                notes.extend(due(&key, &status));
            }
            Err(e) if e.kind() == ErrorKind::Unsupported => notes.push(format!("{key}: {e}")),
            Err(e) => return Err(e),
        }
    }
    if of.json {
        return output::print_json(&Value::Array(json));
    }
    let header = [
        "TABLE",
        "FILES",
        "SMALL",
        "SIZE",
        "MEAN",
        "ROWS",
        "DELETE FILES",
        "MANIFESTS",
        "SNAPSHOTS",
        "OLDEST ROW",
        "KEPT FOR",
    ];
    let mut lines = vec![output::to_list(header, &rows)];
    if notes.is_empty() {
        notes.push(format!("nothing is due on branch {}", of.branch));
    }
    lines.extend(notes);
    output::print(&lines.join("\n"))
}

fn row(key: &Key, status: &MaintenanceStatus) -> [String; 11] {
    let oldest = status.oldest_row;
    let oldest = oldest.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    [
        key.to_string(),
        status.files.to_string(),
        status.small_files.to_string(),
        bytes(status.bytes),
        bytes(status.bytes / status.files.max(1)),
        status.rows.to_string(),
        status.delete_files.to_string(),
        status.manifests.to_string(),
        status.snapshots.to_string(),
        oldest.unwrap_or_else(|| "-".to_owned()),
        status
            .retain
            .map_or_else(|| "ever".to_owned(), format_duration),
    ]
}

/// What maintenance would do of a table, in words.
fn due(key: &Key, status: &MaintenanceStatus) -> Vec<String> {
    let mut due = Vec::new();
    let Compactable {
        commits,
        files,
        bytes: size,
        ..
    } = status.compact;
    if commits > 0 {
        let size = bytes(size);
        due.push(format!(
            "{key}: compact rewrites {files} files ({size}) in {commits} commits"
        ));
    }
    let Compactable {
        files,
        rows,
        bytes: size,
        ..
    } = status.over_age;
    if files > 0 {
        due.push(format!(
            "{key}: retain removes {files} files ({rows} rows, {})",
            bytes(size)
        ));
    }
    if status.partly_over_age > 0 {
        due.push(format!(
            "{key}: retain --exact reads {} more files, and rewrites those with older rows",
            status.partly_over_age
        ));
    }
    if status.expired_snapshots > 0 {
        due.push(format!(
            "{key}: expire drops {} snapshots",
            status.expired_snapshots
        ));
    }
    due
}

fn to_json(key: &Key, status: &MaintenanceStatus) -> Value {
    let due = |due: Compactable| {
        json!({
            "commits": due.commits, "files": due.files, "rows": due.rows, "bytes": due.bytes,
        })
    };
    json!({
        "table": key.to_string(),
        "files": status.files,
        "small_files": status.small_files,
        "bytes": status.bytes,
        "rows": status.rows,
        "delete_files": status.delete_files,
        "manifests": status.manifests,
        "snapshots": status.snapshots,
        "oldest_row": status.oldest_row,
        "retain_seconds": status.retain.map(|age| age.as_secs()),
        "compact": due(status.compact),
        "retain": due(status.over_age),
        "partly_over_age": status.partly_over_age,
        "expire": {"snapshots": status.expired_snapshots},
    })
}
