//! `pumphouse reset`: move a branch to another commit.

use catalog::{Error, Result};
use clap::Args;
use serde_json::json;

use super::{open_lake, short, title};
use crate::output;
use crate::settings::Settings;
use crate::style;

/// Move a branch to another commit; the commits after it are no longer on the branch.
///
/// They stay reachable by their hashes, and by `pumphouse log --reflog BRANCH`, until they
/// are collected. `pumphouse revert` undoes a commit without giving up later ones.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse reset exp main
  pumphouse reset main main~3 --dry-run
  pumphouse reset main main@2026-11-01T00:00:00Z")]
pub(crate) struct ResetArgs {
    /// Branch to move
    branch: String,
    /// Where to: a branch, tag, commit, or any of these with @time or ~N
    to: String,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Resets on the lake itself; no server is needed.
pub(crate) async fn run(args: ResetArgs, settings: Settings) -> Result<()> {
    let lake = open_lake(&settings).await?;
    let catalog = lake.catalog();
    let ResetArgs {
        branch,
        to,
        dry_run,
        json,
    } = args;
    let before = catalog.reference(&branch).await?;
    let commit = match dry_run {
        true if before.protected => {
            let error = Error::permission_denied(format!("branch {branch:?} is protected"));
            return Err(error.with_hint(format!("`pumphouse branch unprotect {branch}` first")));
        }
        true => catalog.resolve_commit(&to).await?,
        false => {
            catalog
                .reset_branch(&branch, &to, &settings.author())
                .await?
        }
    };
    if json {
        return output::print_json(&json!({
            "branch": branch,
            "before": before.commit.id.to_string(),
            "commit": commit.id.to_string(),
            "dry_run": dry_run,
        }));
    }
    let is = if dry_run { "would be" } else { "is now" };
    output::print(&format!(
        "{branch} {is} at {} {} (was {})",
        style::commit(&short(&commit)),
        title(&commit),
        short(&before.commit)
    ))
}
