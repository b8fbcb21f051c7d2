//! `pumphouse log`: the commits of a branch, and the moves of a ref.

use std::collections::HashMap;

use catalog::{Catalog, Commit, CommitId, Operation, RefKind, RefLogEntry, Result};
use chrono::SecondsFormat;
use clap::Args;
use serde_json::{Value, json};

use super::{open_lake, short, time, title};
use crate::output;
use crate::settings::Settings;
use crate::style;

/// Show the commits of a branch, newest first.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse log
  pumphouse log exp --oneline -n 5
  pumphouse log main@2026-11-01T00:00:00Z --json
  pumphouse log --reflog exp                     # also where it was before a reset")]
pub(crate) struct LogArgs {
    /// A branch, tag, commit, or any of these with @time or ~N
    #[arg(value_name = "REF", default_value = catalog::MAIN)]
    reference: String,
    /// Most commits to show
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 20)]
    number: usize,
    /// One line a commit
    #[arg(long)]
    oneline: bool,
    /// List what each commit put and deleted
    #[arg(long)]
    stat: bool,
    /// Show how the branch or tag was moved, by whom, also when it is deleted
    #[arg(long, conflicts_with_all = ["oneline", "stat"])]
    reflog: bool,
    /// Print JSON, with the operations and properties of each commit
    #[arg(long)]
    json: bool,
}

/// Reads the history from the lake itself; no server is needed.
pub(crate) async fn run(args: LogArgs, settings: Settings) -> Result<()> {
    let lake = open_lake(&settings).await?;
    let catalog = lake.catalog();
    if args.reflog {
        let entries = catalog.ref_log(&args.reference, args.number).await?;
        return match args.json {
            true => output::print_json(&entries.iter().map(entry_json).collect()),
            false => output::print(&lines(&entries, entry_line)),
        };
    }
    let commits = catalog.log(&args.reference, args.number).await?;
    let mut names = names(catalog).await?;
    let squashed = catalog.collector().squashed(&commits).await?;
    if !args.json {
        for id in &squashed {
            names.entry(*id).or_default().push("squashed".to_owned());
        }
    }
    let names = |commit: &Commit| names.get(&commit.id).map_or(&[][..], Vec::as_slice);
    if args.json {
        let list = commits.iter().map(|commit| {
            let mut json = to_json(commit, names(commit));
            json["squashed"] = squashed.contains(&commit.id).into();
            json
        });
        return output::print_json(&list.collect());
    }
    output::print(&match args.oneline {
        true => lines(&commits, |commit| oneline(commit, names(commit), args.stat)),
        false => lines(&commits, |commit| full(commit, names(commit), args.stat)),
    })
}

fn lines<T>(items: &[T], line: impl Fn(&T) -> String) -> String {
    items.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The refs at each commit, as git decorates them.
async fn names(catalog: &Catalog) -> Result<HashMap<CommitId, Vec<String>>> {
    let mut names: HashMap<CommitId, Vec<String>> = HashMap::new();
    for it in catalog.refs().await? {
        let name = match it.kind {
            RefKind::Branch => it.name,
            RefKind::Tag => format!("tag: {}", it.name),
        };
        names.entry(it.commit.id).or_default().push(name);
    }
    Ok(names)
}

fn decoration(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!(" ({})", style::green(&names.join(", "))),
    }
}

fn oneline(commit: &Commit, names: &[String], stat: bool) -> String {
    let id = style::commit(&short(commit));
    let line = format!("{id}{} {}", decoration(names), title(commit));
    match stat {
        true => [line]
            .into_iter()
            .chain(stat_lines(commit))
            .collect::<Vec<_>>()
            .join("\n"),
        false => line,
    }
}

/// A commit as `git log` shows it, and an empty line.
fn full(commit: &Commit, names: &[String], stat: bool) -> String {
    let id = style::commit(&format!("commit {}", commit.id));
    let mut lines = vec![format!("{id}{}", decoration(names))];
    if let (Some(parent), Some(merged)) = (commit.parent, commit.merge_parent) {
        lines.push(format!("Merge:  {} {}", parent.short(), merged.short()));
    }
    lines.push(format!("Author: {}", commit.author));
    lines.push(format!("Date:   {}", time(commit)));
    lines.push(String::new());
    lines.extend(commit.message.lines().map(|line| format!("    {line}")));
    if stat && !commit.operations.is_empty() {
        lines.push(String::new());
        lines.extend(stat_lines(commit));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn stat_lines(commit: &Commit) -> impl Iterator<Item = String> {
    commit.operations.iter().map(|operation| match operation {
        Operation::Put { key, content } => {
            format!(" {} {key} ({})", style::green("put"), content.type_name())
        }
        Operation::Delete { key } => format!(" {} {key}", style::red("delete")),
    })
}

fn to_json(commit: &Commit, names: &[String]) -> Value {
    let operations = commit.operations.iter().map(|operation| match operation {
        Operation::Put { key, content } => {
            json!({"put": key.to_string(), "content": content})
        }
        Operation::Delete { key } => json!({"delete": key.to_string()}),
    });
    json!({
        "id": commit.id.to_string(),
        "parent": commit.parent.map(|id| id.to_string()),
        "merge_parent": commit.merge_parent.map(|id| id.to_string()),
        "generation": commit.generation,
        "refs": names,
        "time": commit.time,
        "author": commit.author,
        "message": commit.message,
        "operations": operations.collect::<Value>(),
        "properties": commit.properties,
    })
}

fn entry_line(entry: &RefLogEntry) -> String {
    let id = match entry.commit {
        Some(id) => id.short(),
        None => "deleted     ".to_owned(),
    };
    let time = entry.time.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!(
        "{} {time} {}: {}",
        style::commit(&id),
        entry.author,
        entry.action
    )
}

fn entry_json(entry: &RefLogEntry) -> Value {
    json!({
        "number": entry.number,
        "kind": super::refs::word(entry.kind),
        "commit": entry.commit.map(|id| id.to_string()),
        "protected": entry.protected,
        "time": entry.time,
        "author": entry.author,
        "action": entry.action,
    })
}
