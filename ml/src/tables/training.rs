//! The rows of one training run: what it was, what it came to, and how it got there.
use catalog::{CommitId, Result};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Columns, Rows};
use crate::manifest::Manifest;
use crate::metrics::Metrics;
use crate::train::TrainProgress;

/// One run of a trainer.
pub(crate) struct Run<'a> {
    /// When it ended.
    pub(crate) time: DateTime<Utc>,
    /// The branch the model is put on.
    pub(crate) branch: &'a str,
    /// The model it made.
    pub(crate) manifest: &'a Manifest,
    /// Where that lies.
    pub(crate) manifest_location: &'a str,
    /// Its rounds.
    pub(crate) rounds: &'a [TrainProgress],
    /// How long it took.
    pub(crate) seconds: f64,
}

/// The rows of `run` for `ml.runs`, `ml.metrics`, `ml.params`, `ml.curves` and
/// `ml.importance`, under an id that no other run has.
pub(crate) fn of_run(run: &Run<'_>) -> Result<Vec<Rows>> {
    let id = Uuid::new_v4().to_string();
    let metrics = named_metrics(&run.manifest.metrics);
    let metrics = metrics.iter().map(|(name, value)| (name.as_str(), *value));
    let importance = run.manifest.importance.iter();
    Ok(vec![
        summary(run, &id)?,
        about(run, &id, metrics.len())
            .same("part", "test")
            .text("name", metrics.clone().map(|(name, _)| Some(name)))
            .doubles("value", metrics.map(|(_, value)| Some(value)))
            .rows("ml.metrics")?,
        parameters(run, &id)?,
        curves(run, &id)?,
        about(run, &id, importance.len())
            .text("feature", importance.clone().map(|(name, _)| Some(name)))
            .doubles("value", importance.map(|(_, value)| Some(*value)))
            .rows("ml.importance")?,
    ])
}

/// `count` rows that name the run and the model.
fn about(run: &Run<'_>, id: &str, count: usize) -> Columns {
    let model = run.manifest.model.to_string();
    Columns::all_at(run.time, count)
        .same("run", id)
        .same("model", &model)
}

fn summary(run: &Run<'_>, id: &str) -> Result<Rows> {
    let manifest = run.manifest;
    let rows = &manifest.lineage.rows;
    let count = |n: u64| [Some(i64::try_from(n).unwrap_or(i64::MAX))];
    let commit: CommitId = manifest.lineage.commit;
    about(run, id, 1)
        .same("trainer", &manifest.trainer.to_string())
        .same("task", &manifest.task.to_string())
        .same("branch", run.branch)
        .same("data_commit", &commit.to_string())
        .same("manifest", run.manifest_location)
        .same("fingerprint", &manifest.fingerprint)
        .same("code_version", &manifest.code_version)
        .longs("train_rows", count(rows.train))
        .longs("validation_rows", count(rows.validation))
        .longs("test_rows", count(rows.test))
        .doubles("seconds", [Some(run.seconds)])
        .rows("ml.runs")
}

fn parameters(run: &Run<'_>, id: &str) -> Result<Rows> {
    let parameters = run.manifest.parameters.iter();
    about(run, id, parameters.len())
        .text("name", parameters.clone().map(|(name, _)| Some(name)))
        .text("value", parameters.map(|(_, value)| Some(value)))
        .rows("ml.params")
}

/// Two rows a round: on what was learned from, and on what was not.
fn curves(run: &Run<'_>, id: &str) -> Result<Rows> {
    let held_out = match run.manifest.lineage.rows.validation {
        0 => "test",
        _ => "validation",
    };
    let points = run.rounds.iter().flat_map(|round| {
        [("train", round.train), (held_out, round.test)].map(|(part, value)| (round, part, value))
    });
    about(run, id, 2 * run.rounds.len())
        .longs(
            "round",
            points.clone().map(|(it, ..)| Some(i64::from(it.round))),
        )
        .text("part", points.clone().map(|(_, part, _)| Some(part)))
        .text("metric", points.clone().map(|(it, ..)| Some(&it.metric)))
        .doubles("value", points.map(|(.., value)| Some(value)))
        .rows("ml.curves")
}

/// The overall figures, and of several classes each class's, by names without spaces.
fn named_metrics(metrics: &Metrics) -> Vec<(String, f64)> {
    let figures = metrics.figures().into_iter();
    let mut named: Vec<_> = figures
        .map(|(name, value)| (name.replace(' ', "_"), value))
        .collect();
    if let Metrics::Multiclass(metrics) = metrics {
        for of in &metrics.classes {
            let figures = [
                ("precision", of.precision),
                ("recall", of.recall),
                ("f1", of.f1),
            ];
            named.extend(figures.map(|(name, value)| (format!("{name}/{}", of.class), value)));
        }
    }
    named
}
