//! The loop that fits a network: shuffled batches, AdamW, early stopping.
use std::time::Instant;

use candle_core::{Tensor, backprop::GradStore};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use catalog::{Error, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Params, failed};
use crate::train::TrainProgress;

/// How a network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Passes over the training samples, at most.
    pub epochs: u32,
    /// Samples of a step.
    pub batch: usize,
    /// Learning rate of AdamW (Loshchilov and Hutter, 2019).
    pub learning_rate: f64,
    /// The learning rate falls to this part of itself over the epochs, by a half cosine.
    pub final_rate: f64,
    /// Weight decay of AdamW.
    pub weight_decay: f64,
    /// The norm that gradients are cut to; 0 leaves them.
    pub clip: f64,
    /// Epochs without a better validation loss after which training ends, and the best epoch's
    /// values are taken; 0 runs all epochs and takes the last.
    pub patience: u32,
    /// Of initial values, shuffling and dropout.
    pub seed: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule {
            epochs: 50,
            batch: 64,
            learning_rate: 1e-3,
            final_rate: 1.0,
            weight_decay: 0.0,
            clip: 1.0,
            patience: 8,
            seed: 0,
        }
    }
}

/// What is fitted: a network that can tell its loss.
pub(crate) trait Problem {
    /// Its parameters.
    fn params(&self) -> &Params;

    /// The mean loss, a scalar, over the training samples at positions `batch` of the training
    /// part; `rng` is for dropout.
    fn loss(&self, batch: &[usize], rng: &mut ChaCha8Rng) -> Result<Tensor>;

    /// The mean loss on the validation part; none where there is none.
    fn validate(&self) -> Result<Option<f64>>;

    /// Whether the parameter `name` is trained; the others stay as they are.
    fn trains(&self, name: &str) -> bool {
        let _ = name;
        true
    }
}

/// What came of it; the parameters hold the values of the best epoch.
#[derive(Clone, Debug)]
pub(crate) struct Learned {
    /// The epoch whose values were taken, from 1.
    pub(crate) epoch: u32,
}

/// Fits `problem` to `samples` training samples. `Ok(None)` once `watch` answers false.
///
/// # Errors
/// `InvalidInput` where the loss is no number any more, or there are no samples.
pub(crate) fn learn(
    problem: &dyn Problem,
    schedule: &Schedule,
    samples: usize,
    watch: &mut dyn FnMut(TrainProgress) -> bool,
) -> Result<Option<Learned>> {
    if samples == 0 || schedule.batch == 0 {
        return Err(Error::invalid(
            "there are no samples to learn from, or batches of none",
        ));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(schedule.seed ^ 0x5eed);
    let vars = problem.params().vars().iter();
    let vars = vars
        .filter(|(name, _)| problem.trains(name))
        .map(|(_, var)| var.clone());
    let vars: Vec<_> = vars.collect();
    let parameters = ParamsAdamW {
        lr: schedule.learning_rate,
        weight_decay: schedule.weight_decay,
        ..ParamsAdamW::default()
    };
    let mut optimizer = AdamW::new(vars.clone(), parameters).map_err(failed)?;
    let mut order: Vec<usize> = (0..samples).collect();
    let mut best: Option<(f64, u32, Vec<Tensor>)> = None;
    let started = Instant::now();
    for epoch in 1..=schedule.epochs {
        optimizer.set_learning_rate(schedule.rate(epoch));
        order.shuffle(&mut rng);
        let mut sum = 0.0;
        for batch in order.chunks(schedule.batch) {
            let loss = problem.loss(batch, &mut rng)?;
            let mut gradients = loss.backward().map_err(failed)?;
            clip(&mut gradients, &vars, schedule.clip).map_err(failed)?;
            optimizer.step(&gradients).map_err(failed)?;
            sum += f64::from(loss.to_scalar::<f32>().map_err(failed)?) * batch.len() as f64;
        }
        let train = sum / samples as f64;
        if !train.is_finite() {
            return Err(
                Error::invalid(format!("the loss is {train} in epoch {epoch}")).with_hint(
                    "lower schedule.learning_rate, or scale the features with dataset.normalise",
                ),
            );
        }
        let validation = problem.validate()?;
        let progress = TrainProgress {
            round: epoch,
            rounds: schedule.epochs,
            metric: "loss".into(),
            train,
            test: validation.unwrap_or(f64::NAN),
        };
        tracing::debug!(
            epoch,
            train,
            validation,
            seconds = started.elapsed().as_secs(),
            "epoch"
        );
        if !watch(progress) {
            return Ok(None);
        }
        let Some(loss) = validation.filter(|_| schedule.patience > 0) else {
            continue;
        };
        match &best {
            Some((least, at, _)) if loss >= *least => {
                if epoch - at >= schedule.patience {
                    break;
                }
            }
            _ => best = Some((loss, epoch, problem.params().copy()?)),
        }
    }
    let Some((_, epoch, values)) = best else {
        return Ok(Some(Learned {
            epoch: schedule.epochs,
        }));
    };
    problem.params().restore(&values)?;
    Ok(Some(Learned { epoch }))
}

impl Schedule {
    /// The learning rate of an epoch, from 1.
    fn rate(&self, epoch: u32) -> f64 {
        let done = f64::from(epoch - 1) / f64::from(self.epochs.max(2) - 1);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        self.learning_rate * (self.final_rate + (1.0 - self.final_rate) * cosine)
    }
}

/// Scales all gradients down so that their common norm is at most `most`.
fn clip(
    gradients: &mut GradStore,
    vars: &[candle_core::Var],
    most: f64,
) -> candle_core::Result<()> {
    if most == 0.0 {
        return Ok(());
    }
    let mut squared = 0.0;
    for var in vars {
        if let Some(gradient) = gradients.get(var) {
            squared += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
    }
    let norm = squared.sqrt();
    if norm <= most {
        return Ok(());
    }
    for var in vars {
        if let Some(gradient) = gradients.get(var) {
            let scaled = (gradient * (most / norm))?;
            gradients.insert(var, scaled);
        }
    }
    Ok(())
}
