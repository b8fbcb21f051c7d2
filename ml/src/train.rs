//! One training run: data set, boosting, metrics, and the commit that puts the
//! model in the catalog.
use std::sync::Arc;

use catalog::{CommitId, CommitMeta, Error, Key, Result};
use lake::Lake;
use query::Engine;
use tokio::sync::mpsc;

use crate::dataset::Dataset;
use crate::manifest::{Artifact, FORMAT_VERSION, Lineage, Manifest, Signature};
use crate::metrics::{BinaryMetrics, Metrics, MulticlassMetrics, RegressionMetrics};
use crate::registry;
use crate::spec::{Task, TrainSpec, XgboostSpec};
use crate::xgboost::{self, Fit, Library};

/// Who training commits are by.
const AUTHOR: &str = "pumphouse";

/// What a round of training came to.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainProgress {
    /// Rounds done, from 1.
    pub round: u32,
    /// Rounds in all.
    pub rounds: u32,
    /// The trainer's own metric, such as `logloss`.
    pub metric: String,
    /// Its value on the rows learned from.
    pub train: f64,
    /// Its value on the test part; NaN where it has none.
    pub test: f64,
}

/// A trained and committed model.
#[derive(Clone, Debug)]
pub struct TrainOutcome {
    /// The model's key.
    pub model: Key,
    /// The branch it was committed to.
    pub branch: String,
    /// The commit that put it there.
    pub commit: CommitId,
    /// Where its manifest lies.
    pub manifest_location: String,
    /// What is known about it: lineage, signature, metrics.
    pub manifest: Manifest,
}

/// Trains as `spec` says and commits the model to `branch`, replacing an older
/// one under the same key. `progress` hears of every round.
///
/// The same commit, spec and XGBoost version give the same bytes. Dropping the
/// future stops the training at the next round and commits nothing.
///
/// Errors: `NotFound` for an unknown branch or ref, or a missing XGBoost
/// library; `InvalidInput` for SQL, columns, labels or parameters that do not
/// fit, saying which; `AlreadyExists` when the key is a table or a view.
pub async fn train(
    lake: &Lake,
    engine: &Engine,
    spec: &TrainSpec,
    branch: &str,
    progress: &mut (dyn FnMut(TrainProgress) + Send),
) -> Result<TrainOutcome> {
    let library = xgboost::library()?;
    let head = lake.catalog().head(branch).await?;
    registry::check_key(&head, &spec.model)?;
    let pinned = match &spec.dataset.reference {
        // The model will hold the commit, which must not be on its way out.
        Some(reference) => lake.catalog().resolve_to_build_on(reference).await?,
        None => head,
    };
    let dataset = Dataset::read(lake, engine, &spec.dataset, spec.xgboost.task, &pinned).await?;
    tracing::info!(model = %spec.model, commit = %dataset.commit, rows = dataset.rows.train, "training");
    let dataset = Arc::new(dataset);
    let fit = boost(library, &spec.xgboost, &dataset, progress).await?;
    let metrics = measure(spec.xgboost.task, &dataset, &fit);
    let artifact = registry::put_artifact(lake, &spec.model, fit.bytes).await?;
    let manifest = manifest(spec, library, &dataset, artifact, metrics);
    commit(lake, manifest, branch).await
}

/// Trains on a thread of its own and hands its rounds to `progress` on this one.
async fn boost(
    library: &'static Library,
    spec: &XgboostSpec,
    dataset: &Arc<Dataset>,
    progress: &mut (dyn FnMut(TrainProgress) + Send),
) -> Result<Fit> {
    let (sender, mut rounds) = mpsc::unbounded_channel();
    let (spec, data) = (spec.clone(), Arc::clone(dataset));
    let training = tokio::task::spawn_blocking(move || {
        let on_round = |round| sender.send(round).is_ok();
        xgboost::fit(
            library,
            &spec,
            data.classes.len(),
            &data.train,
            &data.test,
            on_round,
        )
    });
    while let Some(round) = rounds.recv().await {
        progress(round);
    }
    let fit = training
        .await
        .map_err(|e| Error::internal("training broke off").with_source(e))??;
    fit.ok_or_else(|| Error::internal("training stopped although nobody asked for it"))
}

fn measure(task: Task, dataset: &Dataset, fit: &Fit) -> Metrics {
    let (truth, predicted) = (&dataset.test.labels, &fit.test.values);
    match task {
        Task::Binary => Metrics::Binary(BinaryMetrics::of(truth, predicted)),
        Task::Multiclass => {
            Metrics::Multiclass(MulticlassMetrics::of(truth, predicted, &dataset.classes))
        }
        Task::Regression => Metrics::Regression(RegressionMetrics::of(truth, predicted)),
    }
}

fn manifest(
    spec: &TrainSpec,
    library: &Library,
    dataset: &Dataset,
    artifact: Artifact,
    metrics: Metrics,
) -> Manifest {
    Manifest {
        format_version: FORMAT_VERSION,
        model: spec.model.clone(),
        trainer: spec.trainer,
        trainer_version: library.version(),
        code_version: env!("CARGO_PKG_VERSION").to_owned(),
        task: spec.xgboost.task,
        artifact,
        signature: Signature {
            features: dataset.features.clone(),
            label: dataset.label.clone(),
            classes: dataset.classes.clone(),
        },
        lineage: Lineage {
            commit: dataset.commit,
            sql: spec.dataset.sql.clone(),
            time: spec.dataset.time.clone(),
            exclude: spec.dataset.exclude.clone(),
            test_fraction: spec.dataset.test_fraction,
            split_at: dataset.split_at.clone(),
            rows: dataset.rows,
        },
        rounds: spec.xgboost.rounds,
        parameters: spec.xgboost.parameters.clone(),
        metrics,
    }
}

async fn commit(lake: &Lake, manifest: Manifest, branch: &str) -> Result<TrainOutcome> {
    let content = registry::put_manifest(lake, &manifest).await?;
    let message = format!(
        "train {}: {} on {} test rows; data at {}",
        manifest.model,
        manifest.metrics,
        manifest.lineage.rows.test,
        manifest.lineage.commit.short()
    );
    let catalog::Content::Model {
        manifest_location, ..
    } = &content
    else {
        return Err(Error::internal("a model's content is no model"));
    };
    let manifest_location = manifest_location.clone();
    let change = registry::PutModel {
        key: manifest.model.clone(),
        content,
    };
    let meta = CommitMeta::new(AUTHOR, message);
    let snapshot = lake
        .catalog()
        .commit(branch, meta, Arc::new(change))
        .await?;
    Ok(TrainOutcome {
        model: manifest.model.clone(),
        branch: branch.to_owned(),
        commit: snapshot.id(),
        manifest_location,
        manifest,
    })
}
