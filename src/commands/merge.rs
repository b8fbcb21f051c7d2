//! `pumphouse merge`: bring one branch's changes into another.

use catalog::Result;
use clap::Args;

use super::merging::{MergingArgs, Words};
use super::open_lake;
use crate::settings::Settings;

/// Bring a branch's changes into another: promote tables, views and models.
///
/// What changed on one side only is taken as it is. A table that both sides changed merges
/// as long as one of them only appended rows; no data file is rewritten. Columns,
/// partitioning and properties merge where both sides did not change the same. Anything
/// else is a conflict: each is listed with what both sides did, and nothing is merged.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse merge exp --dry-run
  pumphouse merge exp --into staging -m 'promote the new fault model'
  pumphouse merge exp --on-conflict theirs --key ml.fault

Exit status is 1 when there are conflicts.")]
pub(crate) struct MergeArgs {
    /// What to merge: a branch, tag, commit, or any of these with @time or ~N
    source: String,
    /// Branch that receives the changes
    #[arg(long, value_name = "BRANCH", default_value = catalog::MAIN)]
    into: String,
    #[command(flatten)]
    merging: MergingArgs,
}

/// Merges on the lake itself; no server is needed.
pub(crate) async fn run(args: MergeArgs, settings: Settings) -> Result<()> {
    let lake = open_lake(&settings).await?;
    let (source, into) = (&args.source, &args.into);
    let options = args.merging.options(&settings)?;
    let report = lake.merge(source, into, &options).await?;
    let words = Words {
        infinitive: format!("merge {source} into {into}"),
        past: format!("merged {source} into {into}"),
        nothing: format!("{into} already has all of {source}"),
        ours: into,
        theirs: source,
    };
    args.merging.report(&words, &report)
}
