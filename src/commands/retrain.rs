//! `pumphouse retrain`: train a challenger now, and merge it if it is better.

use std::path::PathBuf;

use catalog::{Error, Key, Result};
use clap::Args;
use ml::retrain::{Retraining, attempt, rehearse};

use super::{new_engine, open_lake};
use crate::output;
use crate::settings::{RetrainSettings, Settings};

/// Train a model again, and merge the new one only if it is better.
///
/// A challenger is trained on a branch from the data of now; it and the champion on main are
/// compared on rows that neither has learned from. The settings of [[ml.retrain]] say what
/// better means. `pumphouse serve` does this by itself; what came of it is in ml.retraining.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse retrain ml.pump_fault --dry-run
  pumphouse retrain ml.pump_fault --spec sql/train/pump_fault.toml")]
pub(crate) struct RetrainArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    model: Key,
    /// Training spec [default: that of the model's [[ml.retrain]]]
    #[arg(long, value_name = "SPEC.toml")]
    spec: Option<PathBuf>,
    /// Train and compare, but merge nothing and leave nothing behind
    #[arg(long)]
    dry_run: bool,
}

/// Trains on the lake itself; no server is needed.
pub(crate) async fn run(args: RetrainArgs, settings: Settings) -> Result<()> {
    let plan = entry(&args, &settings)?.plan()?;
    let lake = open_lake(&settings).await?;
    let engine = new_engine(&settings, lake, None);
    let done = match args.dry_run {
        true => rehearse(&engine, &plan).await?,
        false => {
            let reason = format!("{} asked for it", settings.author());
            attempt(&engine, &plan, reason).await?.ok_or_else(|| {
                Error::conflict(format!(
                    "{} is being trained by another process",
                    args.model
                ))
                .with_hint("wait for its row in ml.retraining")
            })?
        }
    };
    report(&done)
}

fn entry(args: &RetrainArgs, settings: &Settings) -> Result<RetrainSettings> {
    let found = settings
        .ml
        .retrain
        .iter()
        .find(|it| it.model == args.model)
        .cloned();
    match (found, &args.spec) {
        (Some(found), None) => Ok(found),
        (Some(found), Some(spec)) => Ok(RetrainSettings {
            spec: spec.clone(),
            ..found
        }),
        (None, Some(spec)) => Ok(RetrainSettings::of(args.model.clone(), spec.clone())),
        (None, None) => Err(Error::not_found(format!(
            "the settings have no [[ml.retrain]] for {}",
            args.model
        ))
        .with_hint("add one, or give --spec SPEC.toml")),
    }
}

fn report(done: &Retraining) -> Result<()> {
    if done.challenger.is_none() {
        return Err(Error::invalid(done.message.clone()));
    }
    let number = |value: Option<f64>| value.map_or_else(String::new, |it| format!("{it:.4}"));
    if let Some(metric) = done.metric {
        let version = |of: &Option<String>| of.clone().unwrap_or_default();
        let rows = [
            [
                "champion".to_owned(),
                version(&done.champion),
                number(done.champion_value),
            ],
            [
                "challenger".to_owned(),
                version(&done.challenger),
                number(done.challenger_value),
            ],
        ];
        let name = metric.to_string().to_uppercase();
        output::print(&output::to_list(["", "VERSION", &name], &rows))?;
    }
    output::print(&done.message)?;
    if !done.merged && done.reason != "rehearsal" {
        output::print(&format!("the challenger stays on {}", done.branch))?;
    }
    Ok(())
}
