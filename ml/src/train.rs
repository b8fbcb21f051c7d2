//! One training run: data set, boosting, metrics, and the commit that puts the
//! model in the catalog.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use catalog::{CommitId, CommitMeta, Error, Key, Result};
use chrono::Utc;
use lake::Lake;
use query::Engine;
use tokio::sync::mpsc;

use crate::calibrate::{self, Calibration};
use crate::dataset::{Dataset, Part};
use crate::manifest::{Artifact, FORMAT_VERSION, Lineage, Manifest, Signature};
use crate::metrics::{
    AnomalyMetrics, BinaryMetrics, ForecastMetrics, Metrics, MulticlassMetrics, RegressionMetrics,
};
use crate::monitor::{self, Distribution, Profile};
use crate::registry;
use crate::spec::autoencoder::Positive;
use crate::spec::{Task, TrainSpec};
use crate::tables;
use crate::trainers::{self, Fitted, Learner, Predictions, Predictor};

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
    /// What is suspicious about the data set, each a sentence.
    pub warnings: Vec<String>,
}

/// Trains as `spec` says and commits the model to `branch`, replacing an older one under the
/// same key, in one commit by `author` with the run's rows in the `ml.*` tables. `progress`
/// hears of every round.
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
    author: &str,
    progress: &mut (dyn FnMut(TrainProgress) + Send),
) -> Result<TrainOutcome> {
    let started = Instant::now();
    let head = lake.catalog().head(branch).await?;
    registry::check_key(&head, &spec.model)?;
    let (task, coverage) = (spec.task(), spec.coverage);
    let pinned = match &spec.dataset.reference {
        // The model will hold the commit, which must not be on its way out.
        Some(reference) => lake.catalog().resolve_to_build_on(reference).await?,
        None => head,
    };
    let with_weights = trainers::with_weights(lake, spec.clone()).await?;
    let mut dataset = Dataset::read(lake, engine, spec, &pinned).await?;
    let warnings = std::mem::take(&mut dataset.warnings);
    tracing::info!(model = %spec.model, commit = %dataset.commit, rows = dataset.rows.train, "training");
    let learner = trainers::learner(&with_weights)?;
    let aside = calibrate::set_aside(&mut dataset, task, learner.stops_early());
    let dataset = Arc::new(dataset);
    let mut rounds = Vec::new();
    let mut watch = |round: TrainProgress| {
        if round.share >= 1.0 {
            rounds.push(round.clone());
        }
        progress(round);
    };
    let fitted = fit(learner, &dataset, &mut watch).await?;
    let bytes = fitted.bytes.clone();
    let artifact = registry::put_artifact(lake, &spec.model, spec.trainer, bytes).await?;
    let mut manifest = manifest(spec, &dataset, artifact, &fitted);
    let predictor = trainers::load(&manifest, &fitted.bytes)?;
    let positive = spec.autoencoder.as_ref().map(|a| a.positive);
    let anomaly = fitted.threshold.zip(positive);
    let judged =
        blocking(move || judge(task, coverage, &dataset, &aside, &*predictor, anomaly)).await?;
    manifest.metrics = judged.metrics;
    manifest.profile.predictions = Some(judged.answers);
    manifest.calibration = judged.calibration;
    manifest.reliability = judged.reliability;
    let run = Registration {
        branch,
        author,
        rounds,
        started,
        warnings,
    };
    run.commit(lake, manifest).await
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

/// What is known of a model once it has answered.
struct Judged {
    metrics: Metrics,
    /// Its answers to the test part.
    answers: Distribution,
    calibration: Option<Calibration>,
    reliability: BTreeMap<String, f64>,
}

/// Calibrates the model on the samples set `aside` and measures it on the test part.
fn judge(
    task: Task,
    coverage: f64,
    dataset: &Dataset,
    aside: &Part,
    predictor: &dyn Predictor,
    anomaly: Option<(f32, Positive)>,
) -> Result<Judged> {
    let calibration = calibrate::fit(task, coverage, dataset, aside, predictor)?;
    let test = &dataset.test;
    let answer = calibrate::predict(dataset, test, predictor)?;
    Ok(Judged {
        metrics: measure(task, dataset, calibration.as_ref(), &answer, anomaly)?,
        answers: Distribution::of(monitor::answers(task, &answer).into_iter()),
        reliability: calibrate::measured(task, calibration.as_ref(), dataset, test, &answer),
        calibration,
    })
}

/// How well the model does on the test part. Classes are those the learner decides for, as
/// weights have formed it; the log loss is that of the calibrated probabilities.
fn measure(
    task: Task,
    dataset: &Dataset,
    calibration: Option<&Calibration>,
    answer: &Predictions,
    anomaly: Option<(f32, Positive)>,
) -> Result<Metrics> {
    let truth = &dataset.test.labels;
    let predicted = &answer.values;
    let probabilities = calibrate::probabilities(task, calibration, answer);
    Ok(match task {
        Task::Binary => Metrics::Binary(BinaryMetrics {
            log_loss: BinaryMetrics::of(truth, &probabilities).log_loss,
            ..BinaryMetrics::of(truth, predicted)
        }),
        Task::Multiclass => Metrics::Multiclass(MulticlassMetrics {
            log_loss: MulticlassMetrics::of(truth, &probabilities, &dataset.classes).log_loss,
            ..MulticlassMetrics::of(truth, predicted, &dataset.classes)
        }),
        Task::Regression => {
            let rows = predicted.chunks_exact(answer.outputs.max(1));
            let middle: Vec<f32> = rows.map(|row| calibrate::outer(row).1 as f32).collect();
            Metrics::Regression(RegressionMetrics::of(truth, &middle))
        }
        Task::Forecast => Metrics::Forecast(ForecastMetrics::of(dataset, &dataset.test, predicted)),
        Task::Anomaly => {
            let (threshold, positive) = anomaly
                .ok_or_else(|| Error::internal("the trainer gave anomalies no threshold"))?;
            let anomalous: Vec<bool> = truth.iter().map(|label| *label != 0.0).collect();
            Metrics::Anomaly(AnomalyMetrics::of(
                &anomalous, predicted, threshold, positive,
            ))
        }
    })
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
            feedback: data.feedback,
            join: data.join.clone(),
            time: data.time.clone(),
            exclude: data.exclude.clone(),
            test_fraction: data.test_fraction,
            split_at: dataset.split_at.clone(),
            rows: dataset.rows,
        },
        fingerprint: dataset.fingerprint.clone(),
        normalisation: dataset.normalisation.clone(),
        rounds: fitted.rounds,
        parameters: fitted.parameters.clone(),
        importance: names.zip(fitted.importance.iter().copied()).collect(),
        threshold: fitted.threshold,
        metrics: Metrics::default(),
        reliability: BTreeMap::new(),
        calibration: None,
        profile: Profile {
            features: dataset.profile.clone(),
            predictions: None,
        },
    }
}

/// A finished run on its way into the catalog.
struct Registration<'a> {
    branch: &'a str,
    author: &'a str,
    rounds: Vec<TrainProgress>,
    started: Instant,
    warnings: Vec<String>,
}

impl Registration<'_> {
    /// Puts the model and the rows of the run on the branch: all of it or nothing.
    async fn commit(self, lake: &Lake, manifest: Manifest) -> Result<TrainOutcome> {
        let (content, manifest_location) = registry::put_manifest(lake, &manifest).await?;
        let message = format!(
            "train {}: {} on {} test rows; data at {}",
            manifest.model,
            manifest.metrics,
            manifest.lineage.rows.test,
            manifest.lineage.commit.short()
        );
        let rows = tables::of_run(&tables::Run {
            time: Utc::now(),
            branch: self.branch,
            manifest: &manifest,
            manifest_location: &manifest_location,
            rounds: &self.rounds,
            seconds: self.started.elapsed().as_secs_f64(),
        })?;
        let meta = CommitMeta::new(self.author, message);
        let models = vec![(manifest.model.clone(), content)];
        let snapshot = tables::commit(lake, self.branch, meta, rows, models).await?;
        Ok(TrainOutcome {
            model: manifest.model.clone(),
            branch: self.branch.to_owned(),
            commit: snapshot.id(),
            manifest_location,
            manifest,
            warnings: self.warnings,
        })
    }
}
