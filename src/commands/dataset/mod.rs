//! `pumphouse dataset`: what a model would learn from.

mod page;

use std::path::PathBuf;

use catalog::Result;
use clap::{Args, Subcommand};
use ml::TrainSpec;

use super::train::read_spec;
use super::{new_engine, open_lake};
use crate::output;
use crate::settings::Settings;

/// Look at the data set of a training spec.
#[derive(Debug, Args)]
pub(crate) struct DatasetArgs {
    #[command(subcommand)]
    command: DatasetCommand,
}

#[derive(Debug, Subcommand)]
enum DatasetCommand {
    Preview(PreviewArgs),
}

/// Show a data set before anything is trained on it.
///
/// Reads the rows as training does, at one commit, and shows how they are split, how the
/// label is spread, what each feature holds, the first rows, and what is suspicious: labels
/// that leak into features, rows that are in two parts, features that say nothing.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse dataset preview sql/train/pump_fault.toml
  pumphouse dataset preview pump_fault.toml --ref exp --rows 10
  pumphouse dataset preview pump_fault.toml --json | jq .warnings")]
struct PreviewArgs {
    /// File that says what to learn from and how
    #[arg(value_name = "SPEC.toml")]
    spec: PathBuf,
    /// Branch, branch@time, branch@commit or commit to read [default: the spec's, or main]
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// Rows to show
    #[arg(long, value_name = "N", default_value_t = 5)]
    rows: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Reads from the lake itself; no server is needed.
pub(crate) async fn run(args: DatasetArgs, settings: Settings) -> Result<()> {
    let DatasetCommand::Preview(args) = args.command;
    let spec: TrainSpec = read_spec(&args.spec)?;
    let lake = open_lake(&settings).await?;
    let engine = new_engine(&settings, lake.clone(), None);
    let reference = args.reference.as_deref();
    let preview = ml::preview(&lake, &engine, &spec, reference, args.rows).await?;
    if args.json {
        let json = serde_json::to_value(&preview);
        return output::print_json(&json.map_err(|e| {
            catalog::Error::internal("the preview cannot be written as JSON").with_source(e)
        })?);
    }
    output::print(&page::of(&spec.model.to_string(), &preview))
}
