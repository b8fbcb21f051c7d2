//! Requests for one model, joined: what comes while the model is at work goes into its next
//! batch.
//!
//! A request that finds the model idle is answered at once. Others wait until the model is
//! free again, until there are enough rows for a batch of their own, or until the first of
//! them has waited long enough, whatever comes first.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catalog::{Error, Result};
use tokio::sync::oneshot;

use crate::registry::LoadedModel;
use crate::trainers::Predictions;

/// When waiting requests are answered together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// So many rows make a batch.
    pub rows: usize,
    /// The longest wait for others.
    pub wait: Duration,
}

impl Default for BatchOptions {
    /// 32 rows, 100 ms.
    fn default() -> Self {
        BatchOptions {
            rows: 32,
            wait: Duration::from_millis(100),
        }
    }
}

/// The requests for one model.
pub(super) struct Queue {
    model: Arc<LoadedModel>,
    options: BatchOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Batches the model is working on.
    running: usize,
    waiting: Vec<Request>,
    rows: usize,
    /// Counts batches, so that a timer knows whether the one it was set for has gone.
    batch: u64,
}

struct Request {
    samples: Vec<f32>,
    /// The series of each row, where the model asks.
    groups: Vec<String>,
    rows: usize,
    reply: oneshot::Sender<Result<Predictions>>,
}

impl Queue {
    pub(super) fn new(model: Arc<LoadedModel>, options: BatchOptions) -> Arc<Queue> {
        Arc::new(Queue {
            model,
            options,
            state: Mutex::default(),
        })
    }

    pub(super) fn model(&self) -> &Arc<LoadedModel> {
        &self.model
    }

    /// What the model answers to the samples of `rows` rows; `groups` names their series, where
    /// the model asks for that.
    pub(super) async fn predict(
        self: &Arc<Queue>,
        samples: Vec<f32>,
        rows: usize,
        groups: Vec<String>,
    ) -> Result<Predictions> {
        let (reply, answer) = oneshot::channel();
        let request = Request {
            samples,
            groups,
            rows,
            reply,
        };
        self.push(request);
        answer
            .await
            .map_err(|_| Error::internal("predicting broke off"))?
    }

    fn push(self: &Arc<Queue>, request: Request) {
        let mut state = self.lock();
        state.rows += request.rows;
        state.waiting.push(request);
        if state.running == 0 || state.rows >= self.options.rows {
            self.start(state);
        } else if state.waiting.len() == 1 {
            let (queue, batch) = (Arc::clone(self), state.batch);
            tokio::spawn(async move {
                tokio::time::sleep(queue.options.wait).await;
                let state = queue.lock();
                if state.batch == batch && !state.waiting.is_empty() {
                    queue.start(state);
                }
            });
        }
    }

    /// Puts the model to work on what waits.
    fn start(self: &Arc<Queue>, mut state: MutexGuard<'_, State>) {
        state.running += 1;
        let mut requests = state.take();
        drop(state);
        let queue = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            loop {
                answer(&queue.model, requests);
                let mut state = queue.lock();
                if state.waiting.is_empty() {
                    state.running -= 1;
                    return;
                }
                requests = state.take();
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Vec<Request> {
        self.batch += 1;
        self.rows = 0;
        std::mem::take(&mut self.waiting)
    }
}

/// Answers all `requests`, in one go where that works; a caller that has gone is passed over.
fn answer(model: &LoadedModel, mut requests: Vec<Request>) {
    requests.retain(|request| !request.reply.is_closed());
    let alone = requests.len() == 1;
    let joined = requests.iter_mut().flat_map(|request| match alone {
        true => std::mem::take(&mut request.samples),
        false => request.samples.clone(),
    });
    let joined = joined.collect();
    let groups = requests.iter().flat_map(|request| &request.groups);
    let groups: Vec<String> = groups.cloned().collect();
    match model.predict(joined, &groups) {
        Ok(all) => {
            let mut values = all.values.as_slice();
            for request in requests {
                let (own, rest) = values.split_at(request.rows * all.outputs);
                values = rest;
                let answer = Predictions {
                    values: own.to_vec(),
                    outputs: all.outputs,
                };
                // A caller that has gone needs no answer.
                let _ = request.reply.send(Ok(answer));
            }
        }
        // What is wrong with one request must not fail the others.
        Err(_) if !alone => {
            for request in requests {
                let own = model.predict(request.samples, &request.groups);
                let _ = request.reply.send(own);
            }
        }
        Err(error) => {
            for request in requests {
                let _ = request.reply.send(Err(error.clone()));
            }
        }
    }
}
