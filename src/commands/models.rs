//! `pumphouse models`: the models of a branch.

use catalog::Result;
use clap::Args;
use ml::ModelInfo;
use serde_json::{Value, json};

use super::open_lake;
use crate::output;
use crate::settings::Settings;

/// List the models of a branch.
///
/// The model on `main` is the one in production: `pumphouse merge` puts it there.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse models
  pumphouse models --ref exp --json")]
pub(crate) struct ModelsArgs {
    /// A branch, branch@time, branch@commit or a commit
    #[arg(long = "ref", value_name = "REF", default_value = "main")]
    reference: String,
    /// Print JSON: all that is known about each model
    #[arg(long)]
    json: bool,
}

/// Reads the models from the lake itself; no server is needed.
pub(crate) async fn run(args: ModelsArgs, settings: Settings) -> Result<()> {
    let lake = open_lake(&settings).await?;
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
        manifest
            .lineage
            .commit
            .to_string()
            .chars()
            .take(12)
            .collect(),
    ]
}

fn to_json(model: &ModelInfo) -> Value {
    json!({
        "key": model.key.to_string(),
        "manifest_location": model.manifest_location,
        "manifest": model.manifest,
    })
}
