//! One trial: a training that may be stopped as hopeless.
use std::sync::Arc;

use catalog::{Error, Result};
use tokio::sync::mpsc;

use super::judge::turned;
use super::median::MedianRule;
use crate::dataset::Dataset;
use crate::train::TrainProgress;
use crate::trainers::Learner;

/// What one training came to.
pub(super) struct Ran {
    /// Rounds in the model; none where the rule stopped it.
    pub(super) kept: Option<u32>,
    pub(super) metric: String,
    /// The metric on the validation part, round by round, turned so that less is better.
    pub(super) curve: Vec<f64>,
}

/// Trains on a thread of its own until it ends or is hopeless.
pub(super) async fn run(
    learner: Box<dyn Learner>,
    data: Arc<Dataset>,
    rule: Option<MedianRule>,
    tell: &mut (dyn FnMut(TrainProgress) + Send),
) -> Result<Ran> {
    let (sender, mut rounds) = mpsc::unbounded_channel::<TrainProgress>();
    let running = tokio::task::spawn_blocking(move || {
        let mut ran = Ran {
            kept: None,
            metric: String::new(),
            curve: Vec::new(),
        };
        let fitted = learner.fit(&data, &mut |progress| {
            ran.curve.push(turned(&progress.metric, progress.test));
            ran.metric.clone_from(&progress.metric);
            let in_all = progress.rounds;
            let heard = sender.send(progress).is_ok();
            heard
                && !rule
                    .as_ref()
                    .is_some_and(|rule| rule.hopeless(&ran.curve, in_all))
        })?;
        ran.kept = fitted.map(|fitted| fitted.rounds);
        Ok(ran)
    });
    while let Some(round) = rounds.recv().await {
        tell(round);
    }
    running
        .await
        .map_err(|e| Error::internal("a trial broke off").with_source(e))?
}
