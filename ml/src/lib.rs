//! Machine learning on the lake: data sets, training, the model registry, inference.
//!
//! A data set is SQL at a pinned commit, a model is catalog content beside the
//! tables it was trained on, and the model on `main` is the one in production:
//! merging a branch promotes what was trained there.
//!
//! ```no_run
//! # async fn example(lake: lake::Lake, engine: query::Engine) -> catalog::Result<()> {
//! let spec = ml::TrainSpec::from_toml(&std::fs::read_to_string("pump_fault.toml").unwrap())?;
//! let outcome = ml::train(&lake, &engine, &spec, "exp", "ann", &mut |_| ()).await?;
//! println!("{}", outcome.manifest.metrics);
//! let sql = "select * from pumps.telemetry";
//! let (_schema, rows) = ml::predict(&lake, &engine, "ml.pump_fault", "exp", sql).await?;
//! # Ok(()) }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod metrics;
pub mod xgboost;

mod answer;
mod calibrate;
mod dataset;
pub mod feedback;
mod manifest;
pub mod monitor;
mod neural;
mod predict;
mod registry;
pub mod retrain;
mod score;
mod search;
mod spec;
mod tables;
mod train;
mod trainers;

pub use calibrate::{Bin, Calibration, Method, Scaling, Scores};
pub use dataset::{
    Class, Dataset, FeaturePreview, Figures, Normalisation, PartPreview, Preview, RowPreview,
    Scale, preview,
};
pub use manifest::{Artifact, Feature, Lineage, Manifest, Rows, Signature};
pub use metrics::Metrics;
pub use neural::Schedule;
pub use predict::{predict, predict_rows};
pub use registry::{ModelInfo, Rollback, Version, history, model, models, promote, rollback};
pub use score::{
    Answer, BatchOptions, PredictFunction, PredictService, ScoreOptions, Scored, Scorer, Served,
};
pub use search::{Search, SearchOutcome, SearchProgress, Trial, search};
pub use spec::{
    AutoencoderSpec, DatasetSpec, Freeze, GruSpec, JoinSpec, Known, Loss, Normalise, NormaliseSpec,
    Range, SearchSpec, Span, Split, Task, TinyTimeMixerSpec, TrainSpec, Trainer, Weights,
    WindowSpec, XgboostSpec,
};
pub use tables::{Rows as TableRows, commit as commit_rows};
pub use train::{TrainOutcome, TrainProgress, train};
pub use trainers::{
    GruSize, Predictions, gru_device, gru_step_seconds, tinytimemixer_step_seconds,
};
