//! The loop that fits a network: shuffled batches, AdamW, early stopping.
use std::time::{Duration, Instant};

use candle_core::{Tensor, Var, backprop::GradStore};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use catalog::{Error, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::neural::{Params, Schedule, failed};
use crate::train::TrainProgress;

/// How often a long epoch tells how far it is, and asks whether to go on.
const REPORT_EVERY: Duration = Duration::from_millis(500);

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

/// Fits `problem` to `samples` training samples. `Ok(None)` once `watch`, which hears of every
/// epoch and now and then within a long one, answers false.
///
/// The same problem and schedule give the same values: the clock decides only when `watch` is
/// called.
///
/// # Errors
/// `InvalidInput` where the loss is no number any more, or there are no samples.
pub(crate) fn learn(
    problem: &dyn Problem,
    schedule: &Schedule,
    samples: usize,
    watch: &mut dyn FnMut(TrainProgress) -> bool,
) -> Result<Option<Learned>> {
    schedule.check()?;
    if samples == 0 {
        return Err(Error::invalid("there are no samples to learn from")
            .with_hint("the training part is empty, or shorter than one window"));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(schedule.seed ^ 0x5eed);
    let mut stepper = Stepper::new(problem, schedule)?;
    let mut order: Vec<usize> = (0..samples).collect();
    let mut best = Best::default();
    for epoch in 1..=schedule.epochs {
        stepper.optimizer.set_learning_rate(schedule.rate(epoch));
        order.shuffle(&mut rng);
        let Some(train) = stepper.epoch(epoch, &order, &mut rng, watch)? else {
            return Ok(None);
        };
        let validation = problem.validate()?;
        if let Some(loss) = validation.filter(|loss| !loss.is_finite()) {
            return Err(no_number(loss, epoch, "on the validation part"));
        }
        tracing::debug!(epoch, train, validation, "epoch");
        let progress = TrainProgress {
            test: validation.unwrap_or(f64::NAN),
            ..TrainProgress::loss(epoch, schedule.epochs, train)
        };
        if !watch(progress) {
            return Ok(None);
        }
        let Some(loss) = validation.filter(|_| schedule.patience > 0) else {
            continue;
        };
        if best.ends(epoch, loss, schedule.patience, problem.params())? {
            break;
        }
    }
    let Some(values) = best.values else {
        let epoch = schedule.epochs;
        return Ok(Some(Learned { epoch }));
    };
    problem.params().restore(&values)?;
    Ok(Some(Learned { epoch: best.epoch }))
}

/// The epoch of the least validation loss.
#[derive(Default)]
struct Best {
    loss: f64,
    epoch: u32,
    values: Option<Vec<Tensor>>,
}

impl Best {
    /// Takes an epoch's loss; true once `patience` epochs have brought nothing better.
    fn ends(&mut self, epoch: u32, loss: f64, patience: u32, params: &Params) -> Result<bool> {
        if self.values.is_some() && loss >= self.loss {
            return Ok(epoch - self.epoch >= patience);
        }
        *self = Best {
            loss,
            epoch,
            values: Some(params.copy()?),
        };
        Ok(false)
    }
}

/// Takes steps, batch by batch.
struct Stepper<'a> {
    problem: &'a dyn Problem,
    schedule: &'a Schedule,
    vars: Vec<Var>,
    optimizer: AdamW,
    reported: Instant,
}

impl<'a> Stepper<'a> {
    fn new(problem: &'a dyn Problem, schedule: &'a Schedule) -> Result<Self> {
        let vars = problem.params().vars().iter();
        let vars = vars.filter(|(name, _)| problem.trains(name));
        let vars: Vec<Var> = vars.map(|(_, var)| var.clone()).collect();
        let parameters = ParamsAdamW {
            lr: schedule.learning_rate,
            weight_decay: schedule.weight_decay,
            ..ParamsAdamW::default()
        };
        let optimizer = AdamW::new(vars.clone(), parameters).map_err(failed)?;
        Ok(Stepper {
            problem,
            schedule,
            vars,
            optimizer,
            reported: Instant::now(),
        })
    }

    /// One pass over the samples in `order`: the mean loss, or none where `watch` ends it.
    fn epoch(
        &mut self,
        epoch: u32,
        order: &[usize],
        rng: &mut ChaCha8Rng,
        watch: &mut dyn FnMut(TrainProgress) -> bool,
    ) -> Result<Option<f64>> {
        let mut sum: Option<Tensor> = None;
        let mut done = 0;
        for batch in order.chunks(self.schedule.batch) {
            let loss = self.step(batch, rng)?;
            // Summed where it lies: reading it after each step would make a GPU wait.
            let loss = (loss.detach() * batch.len() as f64).map_err(failed)?;
            sum = Some(match sum {
                Some(sum) => (sum + loss).map_err(failed)?,
                None => loss,
            });
            done += batch.len();
            if done < order.len() && self.reported.elapsed() >= REPORT_EVERY {
                let train = mean(sum.as_ref(), done, epoch)?;
                let progress = TrainProgress {
                    share: done as f64 / order.len() as f64,
                    ..TrainProgress::loss(epoch, self.schedule.epochs, train)
                };
                if !watch(progress) {
                    return Ok(None);
                }
                self.reported = Instant::now();
            }
        }
        mean(sum.as_ref(), order.len(), epoch).map(Some)
    }

    fn step(&mut self, batch: &[usize], rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let loss = self.problem.loss(batch, rng)?;
        let mut gradients = loss.backward().map_err(failed)?;
        clip(&mut gradients, &self.vars, self.schedule.clip).map_err(failed)?;
        self.optimizer.step(&gradients).map_err(failed)?;
        Ok(loss)
    }
}

/// The mean of `count` losses that sum to `sum`; an error where it is no number.
fn mean(sum: Option<&Tensor>, count: usize, epoch: u32) -> Result<f64> {
    let sum = sum.map_or(Ok(0.0), Tensor::to_scalar::<f32>);
    let mean = f64::from(sum.map_err(failed)?) / count as f64;
    if mean.is_finite() {
        return Ok(mean);
    }
    Err(no_number(mean, epoch, "on the training part"))
}

fn no_number(loss: f64, epoch: u32, whose: &str) -> Error {
    Error::invalid(format!("the loss {whose} is {loss} in epoch {epoch}"))
        .with_hint("lower schedule.learning_rate, or scale the features with dataset.normalise")
}

/// The seconds of `times` steps on the same `batch`, after two that warm up.
pub(crate) fn step_seconds(
    problem: &dyn Problem,
    schedule: &Schedule,
    batch: &[usize],
    times: usize,
) -> Result<Vec<f64>> {
    let mut stepper = Stepper::new(problem, schedule)?;
    let mut rng = ChaCha8Rng::seed_from_u64(schedule.seed);
    let mut step = || {
        let started = Instant::now();
        let loss = stepper.step(batch, &mut rng)?;
        // Read, so that a GPU has done the work.
        loss.to_scalar::<f32>().map_err(failed)?;
        Ok(started.elapsed().as_secs_f64())
    };
    let warmed = (0..times + 2).map(|_| step());
    let seconds = warmed.collect::<Result<Vec<f64>>>()?;
    Ok(seconds[2..].to_vec())
}

/// Scales all gradients down so that their common norm is at most `most`, as PyTorch's
/// `clip_grad_norm_`. Nothing is read back, so that a GPU need not wait.
fn clip(gradients: &mut GradStore, vars: &[Var], most: f64) -> candle_core::Result<()> {
    if most == 0.0 {
        return Ok(());
    }
    let mut squared: Option<Tensor> = None;
    for gradient in vars.iter().filter_map(|var| gradients.get(var)) {
        let sum = gradient.sqr()?.sum_all()?;
        squared = Some(match squared {
            Some(squared) => (squared + sum)?,
            None => sum,
        });
    }
    let Some(squared) = squared else {
        return Ok(());
    };
    let scale = (squared.sqrt()?.maximum(most)?.recip()? * most)?;
    for var in vars {
        if let Some(gradient) = gradients.get(var) {
            let scaled = gradient.broadcast_mul(&scale)?;
            gradients.insert(var, scaled);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
