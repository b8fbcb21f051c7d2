//! One look at a model: drift, performance and serving, put into the `ml.*` tables.
use std::time::Duration;

use catalog::{CommitMeta, Key, MAIN, Result};
use chrono::{DateTime, Utc};
use query::Engine;

use super::alerts::{self, Alert, Check, Kind};
use super::history::{find, literal};
use super::outcome::{Metric, Outcome, labelled};
use super::recent::{self, Choice, Rows, Samples};
use super::served;
use super::{Drift, answers};
use crate::registry::{self, LoadedModel};
use crate::tables::{self, Columns};

/// The name under which the drift of the answers stands among that of the features.
pub const PREDICTIONS: &str = "(predictions)";
const AUTHOR: &str = "ml";

/// How models are watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    /// Recent rows are those so much older than the newest at most.
    pub window: Duration,
    /// With fewer rows nothing is concluded.
    pub min_rows: usize,
    /// More rows are not looked at.
    pub max_rows: usize,
    /// The population stability index from which a feature, or the answers, have drifted.
    pub psi: f64,
    /// The share of drifted features that is too much.
    pub drift: f64,
    /// The mean absolute percentage error that is too much, as a share.
    pub mape: f64,
    /// How much of the accuracy of the test may be lost.
    pub accuracy_loss: f64,
    /// The time that 95 of 100 answers take at most.
    pub latency: Duration,
    /// The share of failed requests that is too much.
    pub errors: f64,
}

/// What this process has served of a model since its last look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Serving {
    /// Requests.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Milliseconds that half, 95 and 99 of 100 answers took at most.
    pub percentiles: [f64; 3],
}

/// What one look at a model found.
#[derive(Clone, Debug)]
pub struct Round {
    /// The model.
    pub model: Key,
    /// Its version, of its manifest's hash.
    pub version: String,
    /// Recent rows.
    pub rows: usize,
    /// Of each feature, and of the answers; empty where there were too few rows.
    pub drift: Vec<FeatureDrift>,
    /// Figures.
    pub performance: Vec<Figure>,
    /// What begins or ends now.
    pub alerts: Vec<Alert>,
    /// What has begun and not ended, after this look.
    pub open: Vec<String>,
}

/// Drift of one feature.
#[derive(Clone, Debug)]
pub struct FeatureDrift {
    /// The feature, or [`PREDICTIONS`].
    pub feature: String,
    /// How far it is.
    pub drift: Drift,
    /// Whether that is too far.
    pub drifted: bool,
}

/// A figure of performance.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Such as `accuracy` or `latency_p95_ms`.
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// Rows or requests it is of.
    pub rows: u64,
    /// What it was compared to: `rows` for labels that came with the rows, `served` for
    /// predictions that were given and labels that came later, `requests`.
    pub source: &'static str,
}

/// Looks at `model` of `main` once, writes what it finds and says it.
///
/// # Errors
/// `NotFound` for an unknown model, and those of its data set's SQL.
pub async fn look(
    engine: &Engine,
    model: &Key,
    watch: &Watch,
    serving: Option<Serving>,
) -> Result<Round> {
    let loaded = registry::load(engine.lake(), &model.to_string(), MAIN).await?;
    let version = loaded.version().to_owned();
    let last = Choice::Last(watch.window);
    let rows = recent::read(engine, &loaded.manifest, MAIN, last, watch.max_rows).await?;
    let mut found = Findings::default();
    let count = rows.len();
    if count >= watch.min_rows {
        let (watch, kept) = (watch.clone(), loaded.clone());
        let looked = tokio::task::spawn_blocking(move || Findings::of(&kept, &rows, &watch));
        found = looked
            .await
            .map_err(|e| catalog::Error::internal("monitoring broke off").with_source(e))??;
    }
    let served = served::outcome(engine, &loaded.manifest, watch).await?;
    if let Some(served) = served.filter(|it| it.len() >= watch.min_rows) {
        found.performance(&loaded, &served, "served", watch);
    }
    if let Some(serving) = serving.filter(|it| it.requests > 0) {
        found.serving(serving, watch);
    }
    let mut open = alerts::open(engine, model).await?;
    let round = Round {
        model: model.clone(),
        version,
        rows: count,
        alerts: alerts::changes(&open, found.checks),
        drift: found.drift,
        performance: found.figures,
        open: Vec::new(),
    };
    for alert in &round.alerts {
        match alert.raised {
            true => open.insert(alert.kind.name().to_owned()),
            false => open.remove(alert.kind.name()),
        };
    }
    write(engine, &round, watch).await?;
    Ok(Round {
        open: open.into_iter().collect(),
        ..round
    })
}

/// When `model` was last looked at, by any node.
///
/// # Errors
/// Those of reading the tables.
pub async fn last_look(engine: &Engine, model: &Key) -> Result<Option<DateTime<Utc>>> {
    let table = "ml.drift";
    let model = literal(&model.to_string());
    let sql = format!("select max(time) as last from {table} where model = {model}");
    Ok(find(engine, &[table], &sql).await?.time(0, "last"))
}

#[derive(Default)]
struct Findings {
    drift: Vec<FeatureDrift>,
    figures: Vec<Figure>,
    checks: Vec<Check>,
}

impl Findings {
    /// Drift of the rows and of the answers to them, and performance where they have labels.
    fn of(model: &LoadedModel, rows: &Rows, watch: &Watch) -> Result<Findings> {
        let manifest = &model.manifest;
        let mut found = Findings::default();
        let features = &manifest.signature.features;
        let width = features.len();
        let numbers = rows.numbers(features.iter().map(|f| f.name.as_str()))?;
        for (at, (feature, expected)) in features.iter().zip(&manifest.profile.features).enumerate()
        {
            let values: Vec<f32> = numbers.iter().skip(at).step_by(width).copied().collect();
            found.drifted(&feature.name, Drift::of(expected, &values), watch);
        }
        found.check_drift(watch);
        let ends = rows.ends(manifest.signature.length, 0);
        if ends.is_empty() {
            return Ok(found);
        }
        let Samples { values, entities } = rows.samples(manifest, &ends)?;
        let answer = model.predict(values, &entities)?;
        if let Some(expected) = &manifest.profile.predictions {
            let drift = Drift::of(expected, &answers(manifest.task, &answer));
            found.drifted(PREDICTIONS, drift, watch);
            found.checks.push(Check {
                kind: Kind::Predictions,
                value: drift.psi,
                threshold: watch.psi,
                message: format!("the answers have moved: PSI {:.2}", drift.psi),
            });
        }
        if let Some(outcome) = late(model, rows)?.filter(|it| it.len() >= watch.min_rows) {
            found.performance(model, &outcome, "rows", watch);
        }
        Ok(found)
    }

    fn drifted(&mut self, feature: &str, drift: Drift, watch: &Watch) {
        self.drift.push(FeatureDrift {
            feature: feature.to_owned(),
            drift,
            drifted: drift.psi > watch.psi,
        });
    }

    fn check_drift(&mut self, watch: &Watch) {
        if self.drift.is_empty() {
            return;
        }
        let mut moved: Vec<_> = self.drift.iter().filter(|it| it.drifted).collect();
        moved.sort_by(|a, b| b.drift.psi.total_cmp(&a.drift.psi));
        let names: Vec<_> = moved
            .iter()
            .take(5)
            .map(|it| format!("{} (PSI {:.2})", it.feature, it.drift.psi))
            .collect();
        self.checks.push(Check {
            kind: Kind::Drift,
            value: moved.len() as f64 / self.drift.len() as f64,
            threshold: watch.drift,
            message: format!(
                "{} of {} features have drifted: {}",
                moved.len(),
                self.drift.len(),
                names.join(", ")
            ),
        });
    }

    fn performance(
        &mut self,
        model: &LoadedModel,
        outcome: &Outcome,
        source: &'static str,
        watch: &Watch,
    ) {
        for metric in Metric::all(outcome.is_classes()) {
            self.figures.push(Figure {
                metric: metric.to_string(),
                value: outcome.value(*metric),
                rows: outcome.len() as u64,
                source,
            });
        }
        let (value, threshold, message) = match outcome.is_classes() {
            true => {
                let tested = model.manifest.metrics.figures();
                let tested = tested.iter().find(|(name, _)| *name == "accuracy");
                let now = outcome.value(Metric::Accuracy);
                let lost = tested.map_or(f64::NAN, |(_, tested)| tested - now);
                let message = format!("accuracy is {now:.3}, {lost:.3} below that of the test");
                (lost, watch.accuracy_loss, message)
            }
            false => {
                let mape = outcome.value(Metric::Mape);
                (mape, watch.mape, format!("MAPE is {:.1} %", 100.0 * mape))
            }
        };
        // What was served counts more than what would be answered now.
        self.checks.retain(|check| check.kind != Kind::Performance);
        self.checks.push(Check {
            kind: Kind::Performance,
            value,
            threshold,
            message: format!("{message}, over {} rows", outcome.len()),
        });
    }

    fn serving(&mut self, serving: Serving, watch: &Watch) {
        let failed = serving.errors as f64 / serving.requests as f64;
        let [p50, p95, p99] = serving.percentiles;
        for (metric, value) in [
            ("latency_p50_ms", p50),
            ("latency_p95_ms", p95),
            ("latency_p99_ms", p99),
            ("error_share", failed),
        ] {
            self.figures.push(Figure {
                metric: metric.to_owned(),
                value,
                rows: serving.requests,
                source: "requests",
            });
        }
        self.checks.push(Check {
            kind: Kind::Latency,
            value: p95 / 1_000.0,
            threshold: watch.latency.as_secs_f64(),
            message: format!("95 of 100 answers take up to {p95:.0} ms"),
        });
        self.checks.push(Check {
            kind: Kind::Errors,
            value: failed,
            threshold: watch.errors,
            message: format!("{} of {} requests failed", serving.errors, serving.requests),
        });
    }
}

/// What the model says of recent rows with a label that it has not been trained on.
fn late(model: &LoadedModel, rows: &Rows) -> Result<Option<Outcome>> {
    let manifest = &model.manifest;
    let signature = &manifest.signature;
    if signature.label.is_none() && signature.targets.is_empty() {
        return Ok(None);
    }
    let ends = rows.ends(signature.length, signature.horizon);
    let ends = rows.since(ends, manifest)?;
    let ends = labelled(manifest, rows, ends)?;
    if ends.is_empty() {
        return Ok(None);
    }
    let Samples { values, entities } = rows.samples(manifest, &ends)?;
    let answer = model.predict(values, &entities)?;
    Outcome::of(manifest, rows, &ends, &answer).map(Some)
}

async fn write(engine: &Engine, round: &Round, watch: &Watch) -> Result<()> {
    let now = Utc::now();
    let model = round.model.to_string();
    let about = |count: usize| {
        Columns::all_at(now, count)
            .same("model", &model)
            .same("version", &round.version)
    };
    let (drift, figures) = (&round.drift, &round.performance);
    let whole = |count: u64| Some(i64::try_from(count).unwrap_or(i64::MAX));
    let since = now - watch.window;
    let rows = vec![
        about(drift.len())
            .text("feature", drift.iter().map(|it| Some(&it.feature)))
            .doubles("psi", drift.iter().map(|it| Some(it.drift.psi)))
            .doubles("ks", drift.iter().map(|it| it.drift.ks))
            .doubles("ks_p", drift.iter().map(|it| it.drift.ks_p))
            .longs("rows", drift.iter().map(|it| whole(it.drift.rows)))
            .booleans("drifted", drift.iter().map(|it| Some(it.drifted)))
            .rows("ml.drift")?,
        about(figures.len())
            .text("metric", figures.iter().map(|it| Some(&it.metric)))
            .doubles("value", figures.iter().map(|it| Some(it.value)))
            .longs("rows", figures.iter().map(|it| whole(it.rows)))
            .times("since", figures.iter().map(|_| Some(since)))
            .text("source", figures.iter().map(|it| Some(it.source)))
            .rows("ml.performance")?,
        alerts::rows(now, &round.model, &round.version, &round.alerts)?,
    ];
    if rows.iter().all(|rows| rows.batch.num_rows() == 0) {
        return Ok(());
    }
    let meta = CommitMeta::new(AUTHOR, format!("monitor {model}")).automatic();
    tables::commit(engine.lake(), MAIN, meta, rows, Vec::new()).await?;
    Ok(())
}
