//! What `SHOW` commands list, as rows.
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use catalog::{Commit, Error, MergeOutcome, MergeReport, RefInfo, Result};

use crate::grammar::Command;

/// The columns of what `command` lists; `None` where it lists nothing.
pub(super) fn columns(command: &Command) -> Result<Option<SchemaRef>> {
    let empty = match command {
        Command::ShowRefs(_) => refs(&[])?,
        Command::ShowLog { .. } => log(&[])?,
        Command::Merge { dry_run: true, .. } => changes(&[])?,
        _ => return Ok(None),
    };
    Ok(Some(empty.schema()))
}

/// `name, commit, protected, time, author, message`
pub(super) fn refs(refs: &[RefInfo]) -> Result<RecordBatch> {
    let protected: BooleanArray = refs.iter().map(|found| Some(found.protected)).collect();
    let times = refs.iter().map(|found| found.updated.timestamp_micros());
    batch([
        ("name", text(refs.iter().map(|found| found.name.as_str()))),
        ("commit", text(refs.iter().map(|r| r.commit.id.to_string()))),
        ("protected", Arc::new(protected)),
        ("updated", moments(times)),
        (
            "author",
            text(refs.iter().map(|r| r.commit.author.as_str())),
        ),
        (
            "message",
            text(refs.iter().map(|r| r.commit.message.as_str())),
        ),
    ])
}

/// `commit, time, author, message`, newest first.
pub(super) fn log(commits: &[Arc<Commit>]) -> Result<RecordBatch> {
    let times = commits.iter().map(|commit| commit.time.timestamp_micros());
    batch([
        ("commit", text(commits.iter().map(|c| c.id.to_string()))),
        ("time", moments(times)),
        ("author", text(commits.iter().map(|c| c.author.as_str()))),
        ("message", text(commits.iter().map(|c| c.message.as_str()))),
    ])
}

/// `key, change, detail` of what a merge would do; conflicts have change `conflict`.
pub(super) fn merge(report: &MergeReport) -> Result<RecordBatch> {
    let mut rows: Vec<[String; 3]> = Vec::new();
    for change in &report.changes {
        let kind = format!("{:?}", change.kind).to_lowercase();
        let how = change.how.clone().unwrap_or_default();
        rows.push([change.key.to_string(), kind, how]);
    }
    for conflict in &report.conflicts {
        let detail = format!("ours {}; theirs {}", conflict.ours, conflict.theirs);
        rows.push([conflict.key.to_string(), "conflict".to_owned(), detail]);
    }
    changes(&rows)
}

fn changes(rows: &[[String; 3]]) -> Result<RecordBatch> {
    batch([
        ("key", text(rows.iter().map(|row| &row[0]))),
        ("change", text(rows.iter().map(|row| &row[1]))),
        ("detail", text(rows.iter().map(|row| &row[2]))),
    ])
}

/// What a merge did, in a few words.
pub(super) fn outcome(report: &MergeReport) -> String {
    let keys = match report.changes.len() {
        1 => "1 key changed".to_owned(),
        count => format!("{count} keys changed"),
    };
    match report.outcome {
        MergeOutcome::AlreadyUpToDate => "already up to date".to_owned(),
        MergeOutcome::FastForward => format!("fast-forward, {keys}"),
        MergeOutcome::Merged => keys,
        MergeOutcome::Conflicts => "conflicts".to_owned(),
    }
}

fn text(values: impl Iterator<Item = impl AsRef<str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn moments(micros: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("+00:00"))
}

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> Result<RecordBatch> {
    RecordBatch::try_from_iter(columns)
        .map_err(|error| Error::internal("cannot list this").with_source(error))
}
