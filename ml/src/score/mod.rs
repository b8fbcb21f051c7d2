//! Models at work: `predict()` in SQL, requests joined into batches, and the scoring of rows
//! as they arrive.
pub(crate) mod answers;
mod batch;
mod function;
pub(crate) mod groups;
mod json;
mod latency;
mod recent;
pub(crate) mod samples;
pub(crate) mod series;
mod service;
mod stream;
mod warm;

pub use batch::BatchOptions;
pub use function::PredictFunction;
pub use latency::Served;
pub use service::{Answer, PredictService};
pub use stream::{ScoreOptions, Scored, Scorer};
