//! Predictions for requests: models kept ready, requests joined, and the time they take.
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use catalog::{Error, Key, Result};
use lake::Lake;
use serde_json::{Map, Value};

use super::batch::BatchOptions;
use super::json;
use super::latency::{Latencies, Served};
use super::warm::Warm;
use crate::answer;

/// Answers requests with the models of a lake. Clones share everything.
#[derive(Clone)]
pub struct PredictService {
    warm: Arc<Warm>,
    latencies: Arc<Latencies>,
}

/// What a model answers to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The model.
    pub model: Key,
    /// Which model of that name: the first digits of its manifest's hash.
    pub version: String,
    /// A row for each row asked about, with the columns of an answer.
    pub rows: RecordBatch,
}

impl PredictService {
    /// Of the models in `lake`.
    pub fn new(lake: Lake, options: BatchOptions) -> Self {
        PredictService {
            warm: Arc::new(Warm::new(lake, options)),
            latencies: Arc::default(),
        }
    }

    /// What `model` at `reference` answers to `rows`: fields by name, each a number, a boolean
    /// or null, and lists of them for a model over windows.
    ///
    /// # Errors
    /// `NotFound` for a ref or a model that is not there; `InvalidInput` for no rows at all and
    /// for a row that lacks a feature or has it in another form, naming both.
    pub async fn predict(
        &self,
        model: &str,
        reference: &str,
        rows: &[Map<String, Value>],
    ) -> Result<Answer> {
        let started = Instant::now();
        let queue = match self.warm.get(model, reference).await {
            Ok(queue) => queue,
            Err(error) => {
                // A name that anybody may send must not become a counter of its own.
                self.latencies.failed("", started.elapsed());
                return Err(error);
            }
        };
        let manifest = &queue.model().manifest;
        let answered = async {
            if rows.is_empty() {
                return Err(Error::invalid("rows is empty").with_hint("send at least one row"));
            }
            let samples = json::samples(manifest, rows)?;
            let groups = json::groups(manifest, rows);
            let of_rows = queue.predict(samples, rows.len(), groups.clone());
            let predictions = of_rows.await?;
            let schema = Arc::new(Schema::new(answer::fields(manifest)));
            let columns = answer::columns(manifest, &predictions, &groups)?;
            RecordBatch::try_new(schema, columns)
                .map_err(|e| Error::internal("answers do not fit their rows").with_source(e))
        };
        let name = manifest.model.to_string();
        match answered.await {
            Ok(answers) => {
                let took = started.elapsed();
                self.latencies.answered(&name, rows.len(), took);
                Ok(Answer {
                    model: manifest.model.clone(),
                    version: queue.model().version().to_owned(),
                    rows: answers,
                })
            }
            Err(error) => {
                self.latencies.failed(&name, started.elapsed());
                Err(error)
            }
        }
    }

    /// How often and how fast each model has answered.
    pub fn served(&self) -> Vec<Served> {
        self.latencies.all()
    }
}
