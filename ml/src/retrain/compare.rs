//! Champion and challenger on the same rows, which neither was trained on.
//!
//! The rows are those of the challenger's test part, at the commit it was trained at. Split by
//! time the champion has not seen them either, because only those count that come after its
//! own training part too. Split by a column, the SQL that deals rows out has to deal each row
//! out the same for ever. A random split, or one by group, cannot be told to have been alike,
//! and is refused.
use std::sync::Arc;

use catalog::{Error, Result};
use query::Engine;

use super::bootstrap::{Difference, difference};
use super::plan::{Accept, Plan};
use crate::manifest::Manifest;
use crate::monitor::Metric;
use crate::monitor::outcome::{Outcome, labelled};
use crate::monitor::recent::{self, Choice, Samples};
use crate::registry::LoadedModel;
use crate::spec::{DatasetSpec, Split, Task};

/// Fewer rows decide nothing.
const FEWEST_ROWS: usize = 30;
/// Rows that a comparison looks at, the newest first.
const MOST_ROWS: usize = 200_000;
const SEED: u64 = 7;

/// What a comparison came to.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub(crate) metric: Metric,
    pub(crate) rows: usize,
    pub(crate) champion: f64,
    pub(crate) challenger: f64,
    pub(crate) difference: Difference,
}

impl Comparison {
    /// Whether the challenger takes the champion's place.
    pub(crate) fn accepted(&self, accept: Accept) -> bool {
        match accept {
            Accept::Better => self.difference.lower > 0.0,
            Accept::NotWorse => self.difference.value >= 0.0,
        }
    }
}

/// Refuses a split that leaves open what a champion was trained on.
pub(crate) fn check_split(data: &DatasetSpec) -> Result<()> {
    match data.split {
        Split::Time | Split::Column => Ok(()),
        Split::Group | Split::Random => Err(Error::invalid(
            "retraining compares models on rows that neither has learned from, and with this \
             dataset.split nothing tells which those are",
        )
        .with_hint("say dataset.split = \"time\" or \"column\"")),
    }
}

/// Compares two models on the rows of `challenger`'s test part.
///
/// # Errors
/// `InvalidInput` where there are too few of them, or where they lack what the champion reads.
pub(crate) async fn compare(
    engine: &Engine,
    plan: &Plan,
    data: &DatasetSpec,
    champion: Arc<LoadedModel>,
    challenger: Arc<LoadedModel>,
) -> Result<Comparison> {
    check_split(data)?;
    let learned = &challenger.manifest;
    let borders = [
        &learned.lineage.split_at,
        &champion.manifest.lineage.split_at,
    ];
    let borders: Vec<&str> = borders
        .into_iter()
        .filter(|it| !it.is_empty())
        .map(|it| it.as_str())
        .collect();
    let choice = match (&data.split_column, data.split) {
        (Some(column), Split::Column) => Choice::Part(column),
        _ => Choice::From(&borders),
    };
    let commit = learned.lineage.commit.to_string();
    let rows = recent::read(engine, learned, &commit, choice, MOST_ROWS).await?;
    let (metric, samples) = (plan.metric, plan.samples);
    let compared = tokio::task::spawn_blocking(move || {
        let (old, new) = (&champion.manifest, &challenger.manifest);
        let length = old.signature.length.max(new.signature.length);
        let horizon = old.signature.horizon.max(new.signature.horizon);
        let ends = labelled(new, &rows, rows.ends(length, horizon))?;
        if ends.len() < FEWEST_ROWS {
            return Err(Error::invalid(format!(
                "{} rows are left to compare on after what the champion learned from; {FEWEST_ROWS} \
                 are the fewest",
                ends.len()
            )));
        }
        let outcome = |model: &LoadedModel| {
            let Samples { values, entities } = rows.samples(&model.manifest, &ends)?;
            let answer = model.predict(values, &entities)?;
            Outcome::of(&model.manifest, &rows, &ends, &answer)
        };
        let champion =
            outcome(&champion).map_err(|e| e.context("the champion cannot be compared"))?;
        let challenger = outcome(&challenger)?;
        let metric = metric.unwrap_or(usual(new));
        Ok(Comparison {
            metric,
            rows: ends.len(),
            champion: champion.value(metric),
            challenger: challenger.value(metric),
            difference: difference(&champion, &challenger, metric, samples, SEED),
        })
    });
    compared
        .await
        .map_err(|e| Error::internal("comparing models broke off").with_source(e))?
}

/// What models of a kind are compared by unless a plan says otherwise.
fn usual(manifest: &Manifest) -> Metric {
    match manifest.task {
        Task::Regression | Task::Forecast => Metric::Rmse,
        _ => Metric::F1,
    }
}
