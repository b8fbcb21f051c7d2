//! `pumphouse models`: the models of a branch, what is known of them, and which one serves.

mod change;
mod compare;
mod history;
mod show;

use catalog::{Error, Result};
use clap::{Args, Subcommand};
use ml::{Manifest, ModelInfo};
use serde_json::{Value, json};

use super::open_lake;
use crate::output;
use crate::settings::Settings;

/// List models, look into them, compare them, promote one or go back.
///
/// The model on `main` is the one in production: promoting merges the branch it was trained
/// on, rolling back puts the one before it back, bit for bit.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
Examples:
  pumphouse models
  pumphouse models --ref exp --json
  pumphouse models show ml.pump_fault --ref exp
  pumphouse models compare ml.pump_fault@main ml.pump_fault@exp
  pumphouse models promote ml.pump_fault --from exp
  pumphouse models history ml.pump_fault
  pumphouse models rollback ml.pump_fault"
)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(ListArgs),
    Show(show::ShowArgs),
    Compare(compare::CompareArgs),
    History(history::HistoryArgs),
    Promote(change::PromoteArgs),
    Rollback(change::RollbackArgs),
}

/// List the models of a branch
#[derive(Debug, Args)]
struct ListArgs {
    /// A branch, branch@time, branch@commit or a commit
    #[arg(long = "ref", value_name = "REF", default_value = "main")]
    reference: String,
    /// Print JSON: all that is known about each model
    #[arg(long)]
    json: bool,
}

/// Works on the lake itself; no server is needed.
pub(crate) async fn run(args: ModelsArgs, settings: Settings) -> Result<()> {
    match args.command {
        None => list(args.list, &settings).await,
        Some(Command::List(args)) => list(args, &settings).await,
        Some(Command::Show(args)) => show::run(args, &settings).await,
        Some(Command::Compare(args)) => compare::run(args, &settings).await,
        Some(Command::History(args)) => history::run(args, &settings).await,
        Some(Command::Promote(args)) => change::promote(args, &settings).await,
        Some(Command::Rollback(args)) => change::rollback(args, &settings).await,
    }
}

async fn list(args: ListArgs, settings: &Settings) -> Result<()> {
    let lake = open_lake(settings).await?;
    let models = ml::models(&lake, &args.reference).await?;
    if args.json {
        return output::print_json(&models.iter().map(to_json).collect());
    }
    if models.is_empty() {
        output::complain(&format!(
            "no models on {}; `pumphouse train SPEC.toml --branch NAME` makes one",
            args.reference
        ));
        return Ok(());
    }
    let rows: Vec<_> = models.iter().map(to_row).collect();
    let header = ["MODEL", "TASK", "METRICS", "ROWS", "TRAINED AT"];
    output::print(&output::to_list(header, &rows))
}

fn to_row(model: &ModelInfo) -> [String; 5] {
    let manifest = &model.manifest;
    [
        model.key.to_string(),
        manifest.task.to_string(),
        manifest.metrics.to_string(),
        manifest.lineage.rows.train.to_string(),
        manifest.lineage.commit.short(),
    ]
}

fn to_json(model: &ModelInfo) -> Value {
    json!({
        "key": model.key.to_string(),
        "version": version(&model.manifest_location),
        "manifest_location": model.manifest_location,
        "manifest": model.manifest,
    })
}

/// What a model is called wherever one key has several: the first digits of its manifest's
/// hash.
fn version(manifest_location: &str) -> String {
    let name = manifest_location.rsplit('/').next().unwrap_or_default();
    name.chars().take(12).collect()
}

/// A model as it is typed: `ml.name`, or `ml.name@ref`.
fn at_ref(text: &str) -> Result<(String, String)> {
    let (model, reference) = text.split_once('@').unwrap_or((text, catalog::MAIN));
    if reference.is_empty() {
        let message = format!("{text:?} names no ref after the @");
        return Err(Error::invalid(message).with_hint("write ml.name@branch"));
    }
    Ok((model.to_owned(), reference.to_owned()))
}

/// The figures of a model on its test part, those of its calibration included.
fn figures(manifest: &Manifest) -> Vec<(String, f64)> {
    let metrics = manifest.metrics.figures().into_iter();
    let reliability = manifest.reliability.iter();
    metrics
        .map(|(name, value)| (name.to_owned(), value))
        .chain(reliability.map(|(name, value)| (name.clone(), *value)))
        .collect()
}

/// A figure to four digits that tell.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e5 || (size > 0.0 && size < 1e-4) => format!("{value:.3e}"),
        size if size >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.4}"),
    }
}
