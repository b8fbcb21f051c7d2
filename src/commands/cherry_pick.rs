//! `pumphouse cherry-pick`: do one commit again on another branch.

use catalog::Result;
use clap::Args;

use super::merging::{MergingArgs, Words};
use super::open_lake;
use crate::settings::Settings;

/// Do again, on another branch, what one commit changed.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse cherry-pick exp --onto main          # the newest commit of exp
  pumphouse cherry-pick 4f3c2a1b9d8e --onto staging --dry-run")]
pub(crate) struct CherryPickArgs {
    /// The commit: a hash, the beginning of one, a branch or tag, with @time or ~N
    commit: String,
    /// Branch that receives the change
    #[arg(long, value_name = "BRANCH", default_value = catalog::MAIN)]
    onto: String,
    #[command(flatten)]
    merging: MergingArgs,
}

/// Picks on the lake itself; no server is needed.
pub(crate) async fn run(args: CherryPickArgs, settings: Settings) -> Result<()> {
    let lake = open_lake(&settings).await?;
    let (commit, onto) = (&args.commit, &args.onto);
    let options = args.merging.options(&settings)?;
    let report = lake.cherry_pick(commit, onto, &options).await?;
    let words = Words {
        infinitive: format!("pick {commit} onto {onto}"),
        past: format!("picked {commit} onto {onto}"),
        nothing: format!("{onto} already has what {commit} changed"),
        ours: onto,
        theirs: commit,
    };
    args.merging.report(&words, &report)
}
