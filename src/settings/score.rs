//! Settings of models at work: how requests for predictions are answered, and which rows are
//! scored as they arrive.

use std::collections::BTreeSet;
use std::time::Duration;

use catalog::{Error, Key, Result};
use ml::{BatchOptions, ScoreOptions};
use serde::{Deserialize, Serialize};

use super::units;

/// One model that scores rows as they arrive.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScoreSettings {
    /// The model, as namespace.name.
    pub(crate) model: Key,
    /// The query of its rows; left out: the one it was trained on.
    pub(crate) sql: Option<String>,
    /// The column of the event time; left out: that of the training.
    pub(crate) time: Option<String>,
    /// The columns that tell what a row is about.
    #[serde(default)]
    pub(crate) entity: Vec<String>,
    /// How much history the rows need.
    #[serde(default, with = "units::duration")]
    pub(crate) lookback: Duration,
    /// How late rows may come and still be scored.
    #[serde(default = "lateness", with = "units::duration")]
    pub(crate) lateness: Duration,
    /// Pause between two looks.
    #[serde(default = "every", with = "units::duration")]
    pub(crate) every: Duration,
    /// A model that scores the same rows without being served.
    pub(crate) shadow: Option<String>,
}

fn lateness() -> Duration {
    Duration::from_secs(60)
}

fn every() -> Duration {
    Duration::from_millis(500)
}

impl ScoreSettings {
    /// The same as the scorer takes it.
    pub(crate) fn options(&self) -> ScoreOptions {
        ScoreOptions {
            model: self.model.clone(),
            sql: self.sql.clone(),
            time: self.time.clone(),
            entity: self.entity.clone(),
            lookback: self.lookback,
            lateness: self.lateness,
            every: self.every,
            shadow: self.shadow.clone(),
        }
    }
}

/// How requests for one model are joined.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServeSettings {
    /// So many rows that wait are predicted together...
    pub(crate) batch_rows: usize,
    /// ... or those that came while the first of them waited so long.
    #[serde(with = "units::duration")]
    pub(crate) batch_wait: Duration,
}

impl Default for ServeSettings {
    fn default() -> Self {
        let batch = BatchOptions::default();
        Self {
            batch_rows: batch.rows,
            batch_wait: batch.wait,
        }
    }
}

impl ServeSettings {
    /// When requests are answered together.
    pub(crate) fn batch(&self) -> BatchOptions {
        BatchOptions {
            rows: self.batch_rows,
            wait: self.batch_wait,
        }
    }
}

/// What the values' types do not show.
pub(super) fn validate(serve: &ServeSettings, scores: &[ScoreSettings]) -> Result<()> {
    if serve.batch_rows == 0 {
        return Err(Error::invalid("ml.serve.batch_rows is 0")
            .with_hint("1 answers every request by itself"));
    }
    let mut models = BTreeSet::new();
    for score in scores {
        let model = &score.model;
        if model.name.is_empty() {
            return Err(
                Error::invalid(format!("ml.score: '{model}' is a namespace"))
                    .with_hint("name the model too, such as ml.pump_fault"),
            );
        }
        if score.every.is_zero() {
            return Err(Error::invalid(format!("ml.score: every of {model} is 0"))
                .with_hint("give it a value above 0, or leave it out for 500ms"));
        }
        if !models.insert(model.to_string()) {
            return Err(Error::invalid(format!("ml.score names {model} twice"))
                .with_hint("one query gives all its rows: join them with UNION ALL"));
        }
    }
    Ok(())
}
