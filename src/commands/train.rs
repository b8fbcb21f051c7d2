//! `pumphouse train`: train a model on a branch.

use std::path::PathBuf;

use catalog::{Error, Result};
use clap::Args;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use ml::{TrainOutcome, TrainProgress, TrainSpec};

use super::{new_engine, open_lake};
use crate::output;
use crate::settings::Settings;

/// Train a model on a branch, from a pinned commit.
///
/// The data set is a query at one commit, split by time: the model learns from the
/// earlier rows and is tested on the later ones. The same commit and seed give the same
/// model, byte for byte. It is put on the branch with its metrics and where it came from.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  pumphouse branch create exp
  pumphouse train pump_fault.toml --branch exp
  pumphouse merge exp

with pump_fault.toml:
  model = \"ml.pump_fault\"
  trainer = \"xgboost\"

  [dataset]
  sql = \"select ts, pump, pressure_bar, flow_m3h, vibration_mm_s, fault from pumps.telemetry\"
  time = \"ts\"               # split in time by this column
  label = \"fault\"           # the column to predict
  exclude = [\"pump\"]        # columns that are not features
  test_fraction = 0.25      # the last quarter in time tests the model

  [xgboost]                 # XGBoost's own parameters, and the number of rounds
  objective = \"binary:logistic\"
  rounds = 100
  max_depth = 6
  seed = 7")]
pub(crate) struct TrainArgs {
    /// File that says what to learn from and how
    #[arg(value_name = "SPEC.toml")]
    spec: PathBuf,
    /// Branch that the model is put on
    #[arg(long, value_name = "BRANCH")]
    branch: String,
}

/// Trains on the lake itself; no server is needed.
pub(crate) async fn run(args: TrainArgs, settings: Settings) -> Result<()> {
    let spec = read_spec(&args.spec)?;
    let lake = open_lake(&settings).await?;
    let engine = new_engine(&settings, lake.clone(), None);
    let bar = progress_bar();
    let (branch, author) = (&args.branch, settings.author());
    let trained = ml::train(&lake, &engine, &spec, branch, &author, &mut |progress| {
        show(&bar, &progress);
    })
    .await;
    bar.finish_and_clear();
    report(&trained?)
}

pub(super) fn read_spec(path: &std::path::Path) -> Result<TrainSpec> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        Error::invalid(format!("cannot read {}", path.display()))
            .with_hint("name a training spec; `pumphouse train --help` shows one")
            .with_source(e)
    })?;
    TrainSpec::from_toml(&text)
}

/// A bar on stderr, hidden when that is no terminal.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0).with_message("reading the data set");
    let style = ProgressStyle::with_template("{spinner} round {pos}/{len} [{bar:30}] {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    bar
}

fn show(bar: &ProgressBar, progress: &TrainProgress) {
    bar.set_length(progress.rounds.into());
    bar.set_position(progress.round.into());
    let mut message = format!("{} {:.4}", progress.metric, progress.train);
    if !progress.test.is_nan() {
        message += &format!(", validation {:.4}", progress.test);
    }
    if let Some(left) = progress.left {
        message += &format!(", {} left", HumanDuration(left));
    }
    bar.set_message(message);
}

fn report(trained: &TrainOutcome) -> Result<()> {
    let TrainOutcome {
        model,
        branch,
        manifest,
        ..
    } = trained;
    for warning in &trained.warnings {
        output::complain(&format!("warning: {warning}"));
    }
    let rows = &manifest.lineage.rows;
    let features = &manifest.signature.features;
    let features: Vec<_> = features.iter().map(|f| f.name.as_str()).collect();
    let commit: String = trained.commit.to_string().chars().take(12).collect();
    output::print(&format!(
        "\
trained {model} on {branch} at {commit}
  rows      {} to learn from, {} to test on{}
  features  {}
  metrics   {}
next
  pumphouse predict {model} --ref {branch} --sql 'select ...'",
        rows.train,
        rows.test,
        match manifest.lineage.split_at.as_str() {
            "" => String::new(),
            at => format!(", split at {at}"),
        },
        features.join(", "),
        manifest.metrics,
    ))?;
    if branch != catalog::MAIN {
        output::print(&format!("  pumphouse merge {branch}"))?;
    }
    Ok(())
}
