//! `pumphouse monitor` and `pumphouse alerts`: models at work.

use catalog::{Error, Key, Result};
use clap::Args;
use ml::monitor::{Round, look};

use super::{new_engine, open_lake};
use crate::output::{self, Format};
use crate::settings::Settings;

/// Look at models now: drift, performance, alerts.
///
/// The recent rows of a model's data set are compared to those it was trained on, and what it
/// says of them to the labels that are there. `pumphouse serve` does the same every
/// ml.monitor.every. What is found is written to ml.drift, ml.performance and ml.alerts.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse monitor                 every model that the settings have watched
  pumphouse monitor ml.pump_fault")]
pub(crate) struct MonitorArgs {
    /// The model; those of the settings when left out
    #[arg(value_name = "MODEL")]
    model: Option<Key>,
}

/// Looks on the lake itself; no server is needed.
pub(crate) async fn run(args: MonitorArgs, settings: Settings) -> Result<()> {
    let models = args
        .model
        .map_or_else(|| settings.ml.watched(), |model| vec![model]);
    if models.is_empty() {
        return Err(Error::invalid("no model is watched")
            .with_hint("name one, or set ml.monitor.models or [[ml.retrain]]"));
    }
    let lake = open_lake(&settings).await?;
    let engine = new_engine(&settings, lake, None);
    let watch = settings.ml.monitor.watch();
    for model in &models {
        let round = look(&engine, model, &watch, None).await?;
        output::print(&report(&round, watch.min_rows))?;
    }
    Ok(())
}

fn report(round: &Round, min_rows: usize) -> String {
    let mut parts = vec![format!(
        "{} version {}, {} recent rows",
        round.model, round.version, round.rows
    )];
    if round.drift.is_empty() {
        parts.push(format!(
            "too few to conclude anything: ml.monitor.min_rows is {min_rows}"
        ));
    } else {
        let mut features: Vec<_> = round.drift.iter().collect();
        features.sort_by(|a, b| b.drift.psi.total_cmp(&a.drift.psi));
        let rows: Vec<_> = features
            .iter()
            .map(|it| {
                [
                    it.feature.clone(),
                    format!("{:.3}", it.drift.psi),
                    it.drift
                        .ks
                        .map_or_else(String::new, |ks| format!("{ks:.3}")),
                    it.drift
                        .ks_p
                        .map_or_else(String::new, |p| format!("{p:.3}")),
                    if it.drifted { "drifted" } else { "" }.to_owned(),
                ]
            })
            .collect();
        parts.push(output::to_list(["FEATURE", "PSI", "KS", "P", ""], &rows));
    }
    if !round.performance.is_empty() {
        let rows: Vec<_> = round
            .performance
            .iter()
            .map(|it| {
                [
                    it.metric.clone(),
                    format!("{:.4}", it.value),
                    it.rows.to_string(),
                    it.source.to_owned(),
                ]
            })
            .collect();
        parts.push(output::to_list(
            ["METRIC", "VALUE", "ROWS", "AGAINST"],
            &rows,
        ));
    }
    for alert in &round.alerts {
        let what = if alert.raised { "raised" } else { "cleared" };
        parts.push(format!(
            "alert {what}: {}: {}",
            alert.kind.name(),
            alert.message
        ));
    }
    parts.push(match round.open.is_empty() {
        true => "no alert is open".to_owned(),
        false => format!("open alerts: {}", round.open.join(", ")),
    });
    parts.join("\n\n") + "\n"
}

/// List the alerts of models, the newest first.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse alerts --open
  pumphouse alerts ml.pump_fault --format json")]
pub(crate) struct AlertsArgs {
    /// Only those of this model
    #[arg(value_name = "MODEL")]
    model: Option<Key>,
    /// Only those that have not been cleared
    #[arg(long)]
    open: bool,
    /// How rows are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// How many at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// Reads the table from the lake itself; no server is needed.
pub(crate) async fn alerts(args: AlertsArgs, settings: Settings) -> Result<()> {
    let lake = open_lake(&settings).await?;
    let engine = new_engine(&settings, lake, None);
    let found = ml::monitor::alerts(&engine, args.model.as_ref(), args.open, args.limit).await?;
    let Some((schema, batches)) = found else {
        output::complain("no model was ever looked at; `pumphouse monitor MODEL` looks now");
        return Ok(());
    };
    let rows = futures::stream::iter(batches.into_iter().map(Ok));
    output::print_rows(args.format, schema, rows).await?;
    Ok(())
}
