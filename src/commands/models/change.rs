//! `pumphouse models promote` and `rollback`: which model serves.

use catalog::Result;
use clap::Args;
use ml::{ModelInfo, Rollback};
use serde_json::json;

use super::version;
use crate::commands::merging::{MergingArgs, Words};
use crate::commands::open_lake;
use crate::output;
use crate::settings::Settings;
use crate::style;

/// Merge the branch a model was trained on, so that the model serves
///
/// A merge brings all of a branch. When it holds more than the model and rows of `ml.*`
/// tables, this is refused unless `--all` says that it is meant.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse models promote ml.pump_fault --from exp --dry-run
  pumphouse models promote ml.pump_fault --from exp

Exit status is 1 when there are conflicts.")]
pub(super) struct PromoteArgs {
    /// The model, as namespace.name
    model: String,
    /// Branch that has the model
    #[arg(long, value_name = "BRANCH")]
    from: String,
    /// Branch that receives it
    #[arg(long, value_name = "BRANCH", default_value = catalog::MAIN)]
    to: String,
    /// Merge whatever else the branch holds, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    merging: MergingArgs,
}

/// Put the model back that a branch had before, bit for bit
///
/// A new commit gives the key the earlier model again; nothing else of the branch changes.
/// Rolling back twice goes two models back.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse models rollback ml.pump_fault --dry-run
  pumphouse models rollback ml.pump_fault --to 4f3c2a1b9d8e")]
pub(super) struct RollbackArgs {
    /// The model, as namespace.name
    model: String,
    /// Branch to change
    #[arg(long = "ref", value_name = "BRANCH", default_value = catalog::MAIN)]
    branch: String,
    /// Commit, tag or branch@time that had the model wanted; the one before by default
    #[arg(long, value_name = "COMMIT")]
    to: Option<String>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn promote(args: PromoteArgs, settings: &Settings) -> Result<()> {
    let lake = open_lake(settings).await?;
    let options = args.merging.options(settings)?;
    let (model, from, to) = (&args.model, &args.from, &args.to);
    let report = ml::promote(&lake, model, from, to, args.all, &options).await?;
    let words = Words {
        infinitive: format!("promote {model} from {from} to {to}"),
        past: format!("promoted {model} from {from} to {to}"),
        nothing: format!("{to} already has all of {from}"),
        ours: to,
        theirs: from,
    };
    args.merging.report(&words, &report)
}

pub(super) async fn rollback(args: RollbackArgs, settings: &Settings) -> Result<()> {
    let lake = open_lake(settings).await?;
    let (branch, author) = (&args.branch, settings.author());
    let to = args.to.as_deref();
    let done = ml::rollback(&lake, &args.model, branch, to, &author, args.dry_run).await?;
    if args.json {
        return output::print_json(&json!({
            "model": done.to.key.to_string(),
            "branch": branch,
            "dry_run": args.dry_run,
            "from": version(&done.from.manifest_location),
            "to": version(&done.to.manifest_location),
            "undone": done.undone.map(|id| id.to_string()),
            "commit": done.commit.map(|id| id.to_string()),
        }));
    }
    output::print(&text(&done, branch))
}

fn text(done: &Rollback, branch: &str) -> String {
    let side = |name: &str, model: &ModelInfo| {
        let version = version(&model.manifest_location);
        format!("  {name:<4} {version} {}", model.manifest.metrics)
    };
    let key = &done.to.key;
    let head = match done.commit {
        Some(id) => format!(
            "rolled {key} back on {branch} at {}",
            style::commit(&id.short())
        ),
        None => format!("would roll {key} back on {branch}"),
    };
    [head, side("from", &done.from), side("to", &done.to)].join("\n")
}
