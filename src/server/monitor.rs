//! The role `ml` in the background: models are looked at, and trained again where something
//! asks for it. Both keep what they know in the `ml.*` tables, so that a restart forgets
//! nothing and several nodes share the work.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use catalog::{ErrorKind, Key, Result};
use chrono::{TimeDelta, Utc};
use ml::PredictService;
use ml::monitor::{Round, Serving, last_look, look};
use ml::retrain::consider;
use query::Engine;
use tokio_util::sync::CancellationToken;

use crate::settings::{MlSettings, RetrainSettings};

/// Counters since the start of the process, and the alerts that are open.
#[derive(Debug, Default)]
pub(super) struct Counters {
    rounds: AtomicU64,
    retrainings: AtomicU64,
    merged: AtomicU64,
    failures: AtomicU64,
    open: Mutex<BTreeMap<Key, Vec<String>>>,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What the role does in the background.
pub(super) struct Work {
    engine: Engine,
    settings: MlSettings,
    predict: PredictService,
    counters: Arc<Counters>,
    /// Requests and errors of each model when it was last looked at.
    seen: Mutex<BTreeMap<Key, (u64, u64)>>,
}

impl Work {
    pub(super) fn new(
        engine: Engine,
        settings: MlSettings,
        predict: PredictService,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            engine,
            settings,
            predict,
            counters,
            seen: Mutex::default(),
        }
    }

    /// Watches models until `stop`. What fails is logged and counted, and tried again in the
    /// next round: it never ends a process.
    pub(super) async fn run(self, stop: CancellationToken) -> Result<()> {
        // Side by side, so that models are watched while one of them is trained.
        tokio::select! {
            () = self.watch() => {}
            () = self.retrain() => {}
            () = stop.cancelled() => {}
        }
        Ok(())
    }

    async fn watch(&self) {
        let models = self.settings.watched();
        if models.is_empty() {
            return std::future::pending().await;
        }
        loop {
            self.pause().await;
            for model in &models {
                match self.look(model).await {
                    Ok(()) => {}
                    // It is not trained yet, or on another branch only.
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        tracing::debug!(%model, %error, "a model is not watched");
                    }
                    Err(error) => {
                        add(&self.counters.failures);
                        tracing::warn!(%model, %error, "a model could not be watched");
                    }
                }
            }
            add(&self.counters.rounds);
        }
    }

    /// Looks at a model unless another node just has.
    async fn look(&self, model: &Key) -> Result<()> {
        let pause = TimeDelta::from_std(self.settings.monitor.every / 2).unwrap_or_default();
        let last = last_look(&self.engine, model).await?;
        if last.is_some_and(|last| Utc::now() - last < pause) {
            return Ok(());
        }
        let (watch, serving) = (self.settings.monitor.watch(), self.serving(model));
        let round = look(&self.engine, model, &watch, serving).await?;
        tell(&round);
        self.counters.open(&round);
        Ok(())
    }

    /// What this process has served of a model since it last looked at it.
    fn serving(&self, model: &Key) -> Option<Serving> {
        let name = model.to_string();
        let served = self.predict.served();
        let served = served.into_iter().find(|it| it.model == name)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (served.requests, served.errors);
        let (requests, errors) = seen.insert(model.clone(), now).unwrap_or_default();
        let millis = |of: Option<Duration>| of.map_or(f64::NAN, |it| it.as_secs_f64() * 1_000.0);
        Some(Serving {
            requests: now.0.saturating_sub(requests),
            errors: now.1.saturating_sub(errors),
            percentiles: [served.p50, served.p95, served.p99].map(millis),
        })
    }

    async fn retrain(&self) {
        if self.settings.retrain.is_empty() {
            return std::future::pending().await;
        }
        loop {
            self.pause().await;
            for entry in &self.settings.retrain {
                if let Err(error) = self.consider(entry).await {
                    add(&self.counters.failures);
                    tracing::warn!(model = %entry.model, %error, "retraining could not be considered");
                }
            }
        }
    }

    async fn consider(&self, entry: &RetrainSettings) -> Result<()> {
        let plan = entry.plan()?;
        if let Some(done) = consider(&self.engine, &plan).await? {
            add(&self.counters.retrainings);
            if done.merged {
                add(&self.counters.merged);
            }
        }
        Ok(())
    }

    /// Random by a fifth, so that nodes seldom do the same at once.
    async fn pause(&self) {
        let pace: f64 = rand::random_range(0.8..1.2);
        let pause: Duration = self.settings.monitor.every.mul_f64(pace);
        tokio::time::sleep(pause).await;
    }
}

fn tell(round: &Round) {
    for alert in &round.alerts {
        let (model, kind) = (&round.model, alert.kind.name());
        let (value, threshold) = (alert.value, alert.threshold);
        match alert.raised {
            true => tracing::warn!(
                %model, kind, value, threshold, message = alert.message, "alert raised"
            ),
            false => tracing::info!(%model, kind, value, threshold, "alert cleared"),
        }
    }
}

impl Counters {
    fn open(&self, round: &Round) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(round.model.clone(), round.open.clone());
    }

    /// The counters in the Prometheus text format.
    pub(super) fn render(&self, page: &mut String) {
        for (name, help, counter) in [
            (
                "monitor_rounds_total",
                "Rounds over all watched models.",
                &self.rounds,
            ),
            (
                "retrainings_total",
                "Challengers trained.",
                &self.retrainings,
            ),
            ("promotions_total", "Challengers merged.", &self.merged),
            (
                "failures_total",
                "Looks and retrainings that failed.",
                &self.failures,
            ),
        ] {
            let value = counter.load(Ordering::Relaxed);
            let _ = writeln!(page, "# HELP pumphouse_ml_{name} {help}");
            let _ = writeln!(page, "# TYPE pumphouse_ml_{name} counter");
            let _ = writeln!(page, "pumphouse_ml_{name} {value}");
        }
        page.push_str("# HELP pumphouse_ml_alert 1 while an alert is open.\n");
        page.push_str("# TYPE pumphouse_ml_alert gauge\n");
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (model, kinds) in open.iter() {
            for kind in kinds {
                let _ = writeln!(
                    page,
                    "pumphouse_ml_alert{{model=\"{model}\",kind=\"{kind}\"}} 1"
                );
            }
        }
    }
}
