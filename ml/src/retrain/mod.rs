//! Training a model again: a challenger on a branch, from the data of now, which is merged
//! only if it is better than the champion on rows that neither has seen.
mod bootstrap;
mod compare;
mod plan;
mod record;
mod trigger;

use std::sync::Arc;

use catalog::{Error, Key, MAIN, MergeOptions, MergeOutcome, Result};
use chrono::Utc;
use query::Engine;

pub use plan::{Accept, Plan, Trigger};

use crate::monitor::Metric;
use crate::registry::{self, LoadedModel};
use crate::spec::TrainSpec;
use crate::train::train;
use compare::{Comparison, check_split, compare};
use record::{AUTHOR, Begun, attempts, begin, begin_trial, drop_branch, hide, record, show, tidy};

/// What came of one attempt, as it stands in `ml.retraining`.
#[derive(Clone, Debug, Default)]
pub struct Retraining {
    /// The model; none only before anything is known.
    pub model: String,
    /// Why it was trained.
    pub reason: String,
    /// The branch of the challenger.
    pub branch: String,
    /// The version that was in production.
    pub champion: Option<String>,
    /// The version trained.
    pub challenger: Option<String>,
    /// What they were compared by.
    pub metric: Option<Metric>,
    /// Rows they were compared on.
    pub rows: Option<usize>,
    /// The metric of the champion.
    pub champion_value: Option<f64>,
    /// The metric of the challenger.
    pub challenger_value: Option<f64>,
    /// How much better the challenger is; below 0 it is worse, whatever the metric.
    pub difference: Option<f64>,
    /// 95 of 100 resampled differences are above this...
    pub lower: Option<f64>,
    /// ... and below this, leaving out 2.5 on each side.
    pub upper: Option<f64>,
    /// Whether the challenger is in production now.
    pub merged: bool,
    /// The commit that put it there.
    pub commit: Option<String>,
    /// What was decided and why.
    pub message: String,
}

/// Trains the model of `plan` where something asks for it, decides, and records it.
///
/// None where nothing does, or where another node is at it. A training that fails is an
/// attempt too; only what keeps it from being recorded is an error.
///
/// # Errors
/// Those of reading and writing the `ml.*` tables, and of creating the branch.
pub async fn consider(engine: &Engine, plan: &Plan) -> Result<Option<Retraining>> {
    let before = attempts(engine, plan.model()).await?;
    tidy(engine, plan, before.count).await?;
    match trigger::reason(engine, plan, &before, Utc::now()).await? {
        Some(reason) => attempt(engine, plan, reason).await,
        None => Ok(None),
    }
}

/// As [`consider`], for `reason` and whatever the plan waits for.
///
/// # Errors
/// Those of [`consider`].
pub async fn attempt(engine: &Engine, plan: &Plan, reason: String) -> Result<Option<Retraining>> {
    let before = attempts(engine, plan.model()).await?;
    let mut done = Retraining {
        model: plan.model().to_string(),
        reason,
        ..Retraining::default()
    };
    match begin(engine, plan, before.count).await? {
        Begun::Others => return Ok(None),
        Begun::Abandoned(branch) => {
            done.branch = branch;
            done.message = "a training began on this branch and left no word".to_owned();
        }
        Begun::Ours(branch) => {
            done.branch = branch;
            run(engine, plan, &mut done, false).await;
        }
    }
    record(engine, &done).await?;
    match (done.merged, &done.challenger) {
        (false, Some(_)) => show(engine, plan.model(), &done.branch).await,
        (merged, _) => {
            drop_branch(engine, &done.branch).await;
            if merged {
                hide(engine, plan.model()).await;
            }
        }
    }
    Ok(Some(done))
}

/// Trains and compares, and leaves nothing behind.
///
/// # Errors
/// Those of creating the branch.
pub async fn rehearse(engine: &Engine, plan: &Plan) -> Result<Retraining> {
    let mut done = Retraining {
        model: plan.model().to_string(),
        reason: "rehearsal".to_owned(),
        branch: begin_trial(engine, plan.model()).await?,
        ..Retraining::default()
    };
    run(engine, plan, &mut done, true).await;
    drop_branch(engine, &done.branch).await;
    Ok(done)
}

/// An attempt on its branch; what fails becomes its message.
async fn run(engine: &Engine, plan: &Plan, done: &mut Retraining, dry_run: bool) {
    tracing::info!(
        model = done.model,
        branch = done.branch,
        reason = done.reason,
        "training a challenger"
    );
    if let Err(error) = decide(engine, plan, done, dry_run).await {
        let why = error.to_string();
        done.message = match done.challenger {
            None => format!("the training failed: {why}"),
            Some(_) => format!("not merged: {why}"),
        };
    }
    tracing::info!(
        model = done.model,
        merged = done.merged,
        message = done.message,
        "retrained"
    );
}

async fn decide(engine: &Engine, plan: &Plan, done: &mut Retraining, dry_run: bool) -> Result<()> {
    check_split(&plan.spec.dataset)?;
    let lake = engine.lake();
    let start = lake.catalog().head(&done.branch).await?.id().to_string();
    let champion = champion(engine, plan.model(), &start).await?;
    done.champion = champion.as_ref().map(|it| it.version().to_owned());
    let spec = on_the_branch(&plan.spec);
    train(lake, engine, &spec, &done.branch, AUTHOR, &mut |_| ()).await?;
    let name = plan.model().to_string();
    let challenger = registry::load(lake, &name, &done.branch).await?;
    done.challenger = Some(challenger.version().to_owned());
    match champion {
        None => done.message = "there was no champion".to_owned(),
        Some(_) if done.champion == done.challenger => {
            done.message = "not merged: the same data gave the same model".to_owned();
            return Ok(());
        }
        Some(champion) => {
            let data = &plan.spec.dataset;
            let found = compare(engine, plan, data, champion, challenger).await?;
            tell(done, &found);
            if !found.accepted(plan.accept) {
                done.message = format!("not merged: {}", done.message);
                return Ok(());
            }
        }
    }
    match dry_run {
        true => done.message = format!("would be merged: {}", done.message),
        false => merge(engine, done).await?,
    }
    Ok(())
}

/// The model in production at `reference`.
async fn champion(
    engine: &Engine,
    model: &Key,
    reference: &str,
) -> Result<Option<Arc<LoadedModel>>> {
    let lake = engine.lake();
    match lake.catalog().resolve(reference).await?.contains(model)? {
        true => registry::load(lake, &model.to_string(), reference)
            .await
            .map(Some),
        false => Ok(None),
    }
}

/// The spec with the data of the branch, whichever ref it was written for.
fn on_the_branch(spec: &TrainSpec) -> TrainSpec {
    let mut spec = spec.clone();
    spec.dataset.reference = None;
    spec
}

fn tell(done: &mut Retraining, found: &Comparison) {
    let difference = found.difference;
    done.metric = Some(found.metric);
    done.rows = Some(found.rows);
    done.champion_value = Some(found.champion);
    done.challenger_value = Some(found.challenger);
    done.difference = Some(difference.value);
    done.lower = Some(difference.lower);
    done.upper = Some(difference.upper);
    let better = if difference.value >= 0.0 {
        "better"
    } else {
        "worse"
    };
    done.message = format!(
        "{} {:.4} against {:.4} on {} rows, {better} by {:.4} (95 %: {:.4} to {:.4})",
        found.metric,
        found.challenger,
        found.champion,
        found.rows,
        difference.value.abs(),
        difference.lower,
        difference.upper
    );
}

async fn merge(engine: &Engine, done: &mut Retraining) -> Result<()> {
    let options = MergeOptions {
        author: AUTHOR.to_owned(),
        message: Some(format!("promote {}: {}", done.model, done.message)),
        ..MergeOptions::default()
    };
    let report = engine.lake().merge(&done.branch, MAIN, &options).await?;
    if report.outcome == MergeOutcome::Conflicts {
        let keys: Vec<_> = report
            .conflicts
            .iter()
            .map(|it| it.key.to_string())
            .collect();
        return Err(Error::conflict(format!(
            "{} changed on main meanwhile ({})",
            keys.join(", "),
            done.message
        )));
    }
    done.merged = true;
    done.commit = report.commit.map(|commit| commit.to_string());
    done.message = format!("merged: {}", done.message);
    Ok(())
}
