//! `pumphouse revert`: undo one commit by a new one.

use catalog::Result;
use clap::Args;

use super::merging::{MergingArgs, Words};
use super::open_lake;
use crate::settings::Settings;

/// Undo what one commit changed, by a new commit; what came later stays.
///
/// Rows that a commit appended go away with their files, also while ingest goes on. When
/// a later commit has rewritten these files, that is a conflict.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse revert main                          # the newest commit of main
  pumphouse revert 4f3c2a1b9d8e --on staging --dry-run

`pumphouse reset` moves a branch back instead, and gives its later commits up.")]
pub(crate) struct RevertArgs {
    /// The commit: a hash, the beginning of one, a branch or tag, with @time or ~N
    commit: String,
    /// Branch to undo it on
    #[arg(long, value_name = "BRANCH", default_value = catalog::MAIN)]
    on: String,
    #[command(flatten)]
    merging: MergingArgs,
}

/// Reverts on the lake itself; no server is needed.
pub(crate) async fn run(args: RevertArgs, settings: Settings) -> Result<()> {
    let lake = open_lake(&settings).await?;
    let (commit, on) = (&args.commit, &args.on);
    let options = args.merging.options(&settings)?;
    let report = lake.revert(commit, on, &options).await?;
    let undone = format!("without {commit}");
    let words = Words {
        infinitive: format!("revert {commit} on {on}"),
        past: format!("reverted {commit} on {on}"),
        nothing: format!("{on} has nothing of {commit} left"),
        ours: on,
        theirs: &undone,
    };
    args.merging.report(&words, &report)
}
