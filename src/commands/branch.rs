//! `pumphouse branch`: list, create and delete branches.

use catalog::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{open_lake, short, time, title};
use crate::output;
use crate::settings::Settings;

/// List, create and delete branches.
///
/// A branch is the whole lakehouse from some commit on: tables, views and models. It
/// costs nothing to make, and what is done on it shows elsewhere only after a merge.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse branch list
  pumphouse branch create exp
  pumphouse branch create yesterday --from main@2026-11-01T00:00:00Z
  pumphouse branch delete exp")]
pub(crate) struct BranchArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the branches and the last commit of each
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Create a branch
    Create {
        /// Name of the new branch
        name: String,
        /// Where it begins: a branch, branch@time, branch@commit or a commit
        #[arg(long, value_name = "REF", default_value = "main")]
        from: String,
    },
    /// Delete a branch; its commits stay where other branches hold them
    Delete {
        /// Name of the branch
        name: String,
    },
}

/// Does what `args` asks on the lake itself; no server is needed.
pub(crate) async fn run(args: BranchArgs, settings: Settings) -> Result<()> {
    let lake = open_lake(&settings).await?;
    let catalog = lake.catalog();
    match args.action {
        Action::List { json } => list(catalog, json).await,
        Action::Create { name, from } => {
            let author = settings.author();
            let commit = catalog.create_branch(&name, &from, &author).await?;
            output::print(&format!("created {name} at {} from {from}", short(&commit)))
        }
        Action::Delete { name } => {
            catalog.delete_branch(&name, &settings.author()).await?;
            output::print(&format!("deleted {name}"))
        }
    }
}

async fn list(catalog: &catalog::Catalog, json: bool) -> Result<()> {
    let branches = catalog.branches().await?;
    if json {
        let list = branches.iter().map(|branch| {
            json!({
                "name": branch.name,
                "commit": branch.commit.id.to_string(),
                "time": branch.commit.time,
                "author": branch.commit.author,
                "message": branch.commit.message,
            })
        });
        return output::print_json(&list.collect());
    }
    let rows: Vec<_> = branches
        .iter()
        .map(|b| {
            [
                b.name.clone(),
                short(&b.commit),
                time(&b.commit),
                title(&b.commit),
            ]
        })
        .collect();
    output::print(&output::to_list(
        ["BRANCH", "COMMIT", "TIME", "MESSAGE"],
        &rows,
    ))
}
