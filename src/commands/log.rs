//! `pumphouse log`: the commits of a branch.

use catalog::{Commit, Operation, Result};
use clap::Args;
use serde_json::{Value, json};

use super::{open_lake, short, time, title};
use crate::output;
use crate::settings::Settings;

/// Show the commits of a branch, newest first.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse log
  pumphouse log exp -n 5
  pumphouse log main@2026-11-01T00:00:00Z --json")]
pub(crate) struct LogArgs {
    /// A branch, branch@time, branch@commit or a commit
    #[arg(value_name = "REF", default_value = "main")]
    reference: String,
    /// Most commits to show
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 20)]
    number: usize,
    /// Print JSON, with the operations and properties of each commit
    #[arg(long)]
    json: bool,
}

/// Reads the history from the lake itself; no server is needed.
pub(crate) async fn run(args: LogArgs, settings: Settings) -> Result<()> {
    let lake = open_lake(&settings).await?;
    let commits = lake.catalog().log(&args.reference, args.number).await?;
    if args.json {
        return output::print_json(&commits.iter().map(|commit| to_json(commit)).collect());
    }
    let rows: Vec<_> = commits
        .iter()
        .map(|commit| {
            [
                short(commit),
                time(commit),
                commit.author.clone(),
                title(commit),
            ]
        })
        .collect();
    output::print(&output::to_list(
        ["COMMIT", "TIME", "AUTHOR", "MESSAGE"],
        &rows,
    ))
}

fn to_json(commit: &Commit) -> Value {
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
        "time": commit.time,
        "author": commit.author,
        "message": commit.message,
        "operations": operations.collect::<Value>(),
        "properties": commit.properties,
    })
}
