//! `pumphouse merge`: bring one branch's changes into another.

use catalog::{KeysOnly, MergeOptions, MergeOutcome, Result};
use clap::Args;

use super::open_lake;
use crate::output;
use crate::settings::Settings;

/// Bring a branch's changes into another: promote tables, views and models.
///
/// What changed on one side only is taken as it is. A table, view or model that both
/// sides changed is a conflict: it is named, and nothing is merged.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse merge exp
  pumphouse merge exp --into staging -m 'promote the new fault model'")]
pub(crate) struct MergeArgs {
    /// What to merge: a branch, branch@time, branch@commit or a commit
    source: String,
    /// Branch that receives the changes
    #[arg(long, value_name = "BRANCH", default_value = "main")]
    into: String,
    /// Message of the merge commit
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
}

/// Merges on the lake itself; no server is needed.
pub(crate) async fn run(args: MergeArgs, settings: Settings) -> Result<()> {
    let lake = open_lake(&settings).await?;
    let MergeArgs {
        source,
        into,
        message,
    } = args;
    let options = MergeOptions {
        author: settings.author(),
        message,
        ..MergeOptions::default()
    };
    let catalog = lake.catalog();
    let report = catalog.merge(&source, &into, &options, &KeysOnly).await?;
    let report = report.into_result()?;
    let at = report.commit.unwrap_or(report.target).short();
    output::print(&match report.outcome {
        MergeOutcome::FastForward => format!("fast-forwarded {into} to {source} at {at}"),
        MergeOutcome::Merged => format!("merged {source} into {into} at {at}"),
        MergeOutcome::AlreadyUpToDate | MergeOutcome::Conflicts => {
            format!("{into} already has all of {source}")
        }
    })
}
