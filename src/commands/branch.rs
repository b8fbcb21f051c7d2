//! `pumphouse branch`: list, create, delete, rename and protect branches.

use catalog::{Catalog, Error, RefKind, Result};
use clap::{Args, Subcommand};

use super::open_lake;
use super::refs::{self, Done, How};
use crate::settings::Settings;

/// List, create, delete, rename and protect branches; without a subcommand, list them.
///
/// A branch is the whole lakehouse from some commit on: tables, views and models. It
/// costs nothing to make, and what is done on it shows elsewhere only after a merge.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_long_help = "\
Examples:
  pumphouse branch
  pumphouse branch create exp
  pumphouse branch create yesterday --from main@2026-11-01T00:00:00Z
  pumphouse branch protect main
  pumphouse branch delete exp")]
pub(crate) struct BranchArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the branches and the last commit of each; * marks the default one
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Create a branch
    Create {
        /// Name of the new branch
        name: String,
        /// Where it begins: a branch, tag, commit, or any of these with @time or ~N
        #[arg(long, value_name = "REF", default_value = catalog::MAIN)]
        from: String,
        #[command(flatten)]
        how: How,
    },
    /// Delete a branch; its commits stay where other branches hold them
    Delete {
        /// Name of the branch
        name: String,
        #[command(flatten)]
        how: How,
    },
    /// Give a branch another name
    Rename {
        /// Name of the branch
        old: String,
        /// Its new name
        new: String,
        #[command(flatten)]
        how: How,
    },
    /// Let only merges, ingest and maintenance change a branch, and keep it from being
    /// deleted, renamed or reset
    Protect {
        /// Name of the branch
        name: String,
        #[command(flatten)]
        how: How,
    },
    /// Take the protection off a branch
    Unprotect {
        /// Name of the branch
        name: String,
        #[command(flatten)]
        how: How,
    },
}

/// Does what `args` asks on the lake itself; no server is needed.
pub(crate) async fn run(args: BranchArgs, settings: Settings) -> Result<()> {
    let lake = open_lake(&settings).await?;
    let (catalog, author) = (lake.catalog(), settings.author());
    match args.action {
        None => refs::list(RefKind::Branch, &catalog.branches().await?, args.json),
        Some(Action::List { json }) => {
            refs::list(RefKind::Branch, &catalog.branches().await?, json)
        }
        Some(Action::Create { name, from, how }) => {
            refs::create(catalog, RefKind::Branch, (&name, &from), &how, &author).await
        }
        Some(Action::Delete { name, how }) => {
            refs::delete(catalog, RefKind::Branch, &name, &how, &author).await
        }
        Some(Action::Rename { old, new, how }) => rename(catalog, &old, &new, &how, &author).await,
        Some(Action::Protect { name, how }) => protect(catalog, &name, true, &how, &author).await,
        Some(Action::Unprotect { name, how }) => {
            protect(catalog, &name, false, &how, &author).await
        }
    }
}

async fn rename(catalog: &Catalog, old: &str, new: &str, how: &How, author: &str) -> Result<()> {
    if how.dry_run {
        let branch = refs::movable(catalog, RefKind::Branch, old).await?;
        refs::free(catalog, RefKind::Branch, new).await?;
        return how.say(
            &Done::new(RefKind::Branch, new, "rename", &branch.commit),
            &format!("{old} to {new}"),
        );
    }
    catalog.rename_branch(old, new, author).await?;
    let branch = catalog.reference(new).await?;
    let done = Done::new(RefKind::Branch, new, "rename", &branch.commit);
    how.say(&done, &format!("{old} to {new}"))
}

async fn protect(
    catalog: &Catalog,
    name: &str,
    protected: bool,
    how: &How,
    author: &str,
) -> Result<()> {
    let branch = catalog.reference(name).await?;
    if branch.kind != RefKind::Branch {
        let error = Error::invalid(format!("{name:?} is a tag"));
        return Err(error.with_hint("only branches move, and so only they are protected"));
    }
    if !how.dry_run {
        catalog.protect_branch(name, protected, author).await?;
    }
    let verb = if protected { "protect" } else { "unprotect" };
    how.say(
        &Done::new(RefKind::Branch, name, verb, &branch.commit),
        name,
    )
}
