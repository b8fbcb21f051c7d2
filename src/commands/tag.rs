//! `pumphouse tag`: list, create and delete tags.

use catalog::{RefKind, Result};
use clap::{Args, Subcommand};

use super::open_lake;
use super::refs::{self, How};
use crate::settings::Settings;

/// List, create and delete tags; without a subcommand, list them.
///
/// A tag names one commit for good: the data a report was made of, the state a model was
/// released with. Wherever a branch can be named, a tag can; but nothing is written to it.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_long_help = "\
Examples:
  pumphouse tag
  pumphouse tag create report-2026-11
  pumphouse tag create before-cleaning --at main~1
  pumphouse sql 'select count(*) from \"report-2026-11\".pumps.telemetry'")]
pub(crate) struct TagArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the tags and the commit of each
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Create a tag
    Create {
        /// Name of the new tag
        name: String,
        /// What it names: a branch, tag, commit, or any of these with @time or ~N
        #[arg(long, value_name = "REF", default_value = catalog::MAIN)]
        at: String,
        #[command(flatten)]
        how: How,
    },
    /// Delete a tag
    Delete {
        /// Name of the tag
        name: String,
        #[command(flatten)]
        how: How,
    },
}

/// Does what `args` asks on the lake itself; no server is needed.
pub(crate) async fn run(args: TagArgs, settings: Settings) -> Result<()> {
    let lake = open_lake(&settings).await?;
    let (catalog, author) = (lake.catalog(), settings.author());
    match args.action {
        None => refs::list(RefKind::Tag, &catalog.tags().await?, args.json),
        Some(Action::List { json }) => refs::list(RefKind::Tag, &catalog.tags().await?, json),
        Some(Action::Create { name, at, how }) => {
            refs::create(catalog, RefKind::Tag, (&name, &at), &how, &author).await
        }
        Some(Action::Delete { name, how }) => {
            refs::delete(catalog, RefKind::Tag, &name, &how, &author).await
        }
    }
}
