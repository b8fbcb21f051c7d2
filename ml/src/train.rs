//! One training run: data set, boosting, metrics, and the commit that puts the
//! model in the catalog.
use std::sync::Arc;
use std::time::{Duration, Instant};

use catalog::{CommitId, CommitMeta, Error, Key, Result};
use lake::Lake;
use query::Engine;
use tokio::sync::mpsc;

use crate::dataset::Dataset;
use crate::manifest::{Artifact, FORMAT_VERSION, Lineage, Manifest, Signature};
use crate::metrics::{BinaryMetrics, Metrics, MulticlassMetrics, RegressionMetrics};
use crate::monitor::{self, Distribution, Profile};
use crate::registry;
use crate::spec::{Task, TrainSpec};
use crate::trainers::{self, Fitted, Learner, Predictor};

/// Who training commits are by.
const AUTHOR: &str = "pumphouse";

/// What a round of training came to, or where a long one stands.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainProgress {
    /// The round, from 1.
    pub round: u32,
    /// The part of the round that is done: 1 at its end. Only ends are points of a curve.
    pub share: f64,
    /// Rounds in all.
    pub rounds: u32,
    /// The trainer's own metric, such as `logloss`.
    pub metric: String,
    /// Its value on the rows learned from.
    pub train: f64,
    /// Its value on the validation part; NaN where there is none.
    pub test: f64,
    /// How long the rest takes at this pace; none before the pace is known.
    pub left: Option<Duration>,
}

impl TrainProgress {
    /// A round that came to its end with this loss.
    pub(crate) fn loss(round: u32, rounds: u32, train: f64) -> TrainProgress {
        TrainProgress {
            round,
            share: 1.0,
            rounds,
            metric: "loss".into(),
            train,
            test: f64::NAN,
            left: None,
        }
    }

    /// The part of the training that is done.
    pub fn done(&self) -> f64 {
        (f64::from(self.round) - 1.0 + self.share) / f64::from(self.rounds.max(1))
    }
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
    let head = lake.catalog().head(branch).await?;
    registry::check_key(&head, &spec.model)?;
    let task = spec.task();
    let pinned = match &spec.dataset.reference {
        // The model will hold the commit, which must not be on its way out.
        Some(reference) => lake.catalog().resolve_to_build_on(reference).await?,
        None => head,
    };
    let dataset = Dataset::read(lake, engine, spec, &pinned).await?;
    tracing::info!(model = %spec.model, commit = %dataset.commit, rows = dataset.rows.train, "training");
    let dataset = Arc::new(dataset);
    let fitted = fit(trainers::learner(spec)?, &dataset, progress).await?;
    let bytes = fitted.bytes.clone();
    let artifact = registry::put_artifact(lake, &spec.model, spec.trainer, bytes).await?;
    let mut manifest = manifest(spec, &dataset, artifact, &fitted);
    let predictor = trainers::load(&manifest, &fitted.bytes)?;
    let measured = blocking(move || measure(task, &dataset, &*predictor)).await?;
    (manifest.metrics, manifest.profile.predictions) = measured;
    commit(lake, manifest, branch).await
}

/// Trains on a thread of its own and hands its rounds to `progress` on this one.
async fn fit(
    learner: Box<dyn Learner>,
    dataset: &Arc<Dataset>,
    progress: &mut (dyn FnMut(TrainProgress) + Send),
) -> Result<Fitted> {
    let (sender, mut rounds) = mpsc::unbounded_channel();
    let data = Arc::clone(dataset);
    let training = tokio::task::spawn_blocking(move || {
        learner.fit(&data, &mut |round| sender.send(round).is_ok())
    });
    let started = Instant::now();
    while let Some(mut round) = rounds.recv().await {
        round.left = left(started.elapsed(), round.done());
        progress(round);
    }
    let fitted = training
        .await
        .map_err(|e| Error::internal("training broke off").with_source(e))??;
    fitted.ok_or_else(|| Error::internal("training stopped although nobody asked for it"))
}

/// How long the rest takes, where the part `done` took `elapsed`.
fn left(elapsed: Duration, done: f64) -> Option<Duration> {
    let seconds = elapsed.as_secs_f64() * (1.0 - done) / done;
    Duration::try_from_secs_f64(seconds).ok()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::internal("measuring the model broke off").with_source(e))?
}

/// How well the model does on the test part, and what its answers there look like.
fn measure(
    task: Task,
    dataset: &Dataset,
    predictor: &dyn Predictor,
) -> Result<(Metrics, Option<Distribution>)> {
    let truth = &dataset.test.labels;
    let answer = predictor.predict(&dataset.samples(&dataset.test.ends))?;
    let answers = monitor::answers(task, &answer).into_iter();
    let predicted = answer.values;
    let metrics = match task {
        Task::Binary => Metrics::Binary(BinaryMetrics::of(truth, &predicted)),
        Task::Multiclass => {
            Metrics::Multiclass(MulticlassMetrics::of(truth, &predicted, &dataset.classes))
        }
        Task::Regression => Metrics::Regression(RegressionMetrics::of(truth, &predicted)),
        Task::Forecast | Task::Anomaly => {
            return Err(Error::unsupported(format!("{task} has no metrics yet")));
        }
    };
    Ok((metrics, Some(Distribution::of(answers))))
}

fn manifest(spec: &TrainSpec, dataset: &Dataset, artifact: Artifact, fitted: &Fitted) -> Manifest {
    let data = &spec.dataset;
    let name = |i: &usize| dataset.features.get(*i).map(|f| f.name.clone());
    let names = dataset.features.iter().map(|f| f.name.clone());
    Manifest {
        format_version: FORMAT_VERSION,
        model: spec.model.clone(),
        trainer: spec.trainer,
        trainer_version: fitted.library.clone(),
        code_version: env!("CARGO_PKG_VERSION").to_owned(),
        task: spec.task(),
        artifact,
        signature: Signature {
            features: dataset.features.clone(),
            label: dataset.label.clone(),
            classes: dataset.classes.clone(),
            targets: match spec.task() {
                Task::Forecast => dataset.targets.iter().filter_map(name).collect(),
                _ => Vec::new(),
            },
            group: data.group.clone(),
            length: dataset.length,
            horizon: dataset.horizon,
        },
        lineage: Lineage {
            commit: dataset.commit,
            sql: data.sql.clone(),
            time: data.time.clone(),
            exclude: data.exclude.clone(),
            test_fraction: data.test_fraction,
            split_at: dataset.split_at.clone(),
            rows: dataset.rows,
        },
        normalisation: dataset.normalisation.clone(),
        rounds: fitted.rounds,
        parameters: fitted.parameters.clone(),
        importance: names.zip(fitted.importance.iter().copied()).collect(),
        metrics: Metrics::default(),
        profile: Profile {
            features: dataset.profile.clone(),
            predictions: None,
        },
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
