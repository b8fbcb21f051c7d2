//! What the networks of a model learn from, and the training of one of them.
use candle_core::{Device, Tensor};
use catalog::{Error, Result};
use rand_chacha::ChaCha8Rng;

use super::network::{Network, Shape, Target, loss};
use super::{BATCH, prefix};
use crate::dataset::{Dataset, Part};
use crate::neural::{Params, Problem, Schedule, Training, failed, learn};
use crate::spec::{GruSpec, Task};
use crate::train::TrainProgress;

/// What all members of a model learn from.
pub(super) struct Fitting<'a> {
    spec: &'a GruSpec,
    data: &'a Dataset,
    shape: Shape,
    train: Truth,
    validation: Truth,
    mean: f64,
    scale: f64,
}

/// What the samples of a part are: `outputs` values each (one class number for classes), and
/// weights whose mean over the training part is 1.
struct Truth {
    values: Vec<f32>,
    weights: Vec<f32>,
    width: usize,
}

impl<'a> Fitting<'a> {
    pub(super) fn new(spec: &'a GruSpec, data: &'a Dataset, shape: Shape) -> Result<Fitting<'a>> {
        let (mean, scale) = match spec.task {
            Task::Regression => spread(&data.train.labels)?,
            _ => (0.0, 1.0),
        };
        let sum: f64 = data.train.weights.iter().copied().map(f64::from).sum();
        let unit = sum / data.train.weights.len().max(1) as f64;
        let truth = |part: &Part| {
            let weights = part.weights.iter().map(|w| (f64::from(*w) / unit) as f32);
            let scaled = |label: &f32| ((f64::from(*label) - mean) / scale) as f32;
            let (values, width) = match spec.task {
                Task::Forecast => (futures(data, part), shape.outputs),
                _ => (part.labels.iter().map(scaled).collect(), 1),
            };
            Truth {
                values,
                weights: weights.collect(),
                width,
            }
        };
        Ok(Fitting {
            spec,
            data,
            shape,
            train: truth(&data.train),
            validation: truth(&data.validation),
            mean,
            scale,
        })
    }

    /// One network from a seed of its own, and the epoch it was taken at.
    pub(super) fn member(
        &self,
        member: u32,
        device: &Device,
        watch: &mut dyn FnMut(TrainProgress) -> bool,
    ) -> Result<Option<(Params, u32)>> {
        let members = self.spec.members;
        let schedule = Schedule {
            seed: self.spec.schedule.seed.wrapping_add(u64::from(member)),
            ..self.spec.schedule.clone()
        };
        let prefix = prefix(member, members);
        let fit = self.start(&prefix, schedule.seed, device)?;
        let samples = self.data.train.len();
        let mut heard = |progress: TrainProgress| {
            watch(TrainProgress {
                round: progress.round + member * schedule.epochs,
                rounds: progress.rounds * members,
                ..progress
            })
        };
        let Some(learned) = learn(&fit, &schedule, samples, &mut heard)? else {
            return Ok(None);
        };
        let Fit {
            network, params, ..
        } = fit;
        network.unscale(&params, &prefix, self.mean, self.scale)?;
        Ok(Some((params, learned.epoch)))
    }

    /// A network of seeded values.
    pub(super) fn start(&self, prefix: &str, seed: u64, device: &Device) -> Result<Fit<'_>> {
        let mut params = Params::seeded(seed, device);
        let network = Network::new(&mut params, prefix, self.shape)?;
        Ok(Fit {
            fitting: self,
            network,
            params,
        })
    }
}

/// One member in training.
pub(super) struct Fit<'a> {
    fitting: &'a Fitting<'a>,
    network: Network,
    params: Params,
}

impl Fit<'_> {
    /// The mean loss over the samples `which` of `part`.
    fn loss_of(
        &self,
        part: &Part,
        truth: &Truth,
        which: &[usize],
        rng: Option<&mut ChaCha8Rng>,
    ) -> Result<Tensor> {
        let data = self.fitting.data;
        let windows = which.iter().flat_map(|i| data.window(part.ends[*i]));
        let windows: Vec<f32> = windows.copied().collect();
        let dropout = self.fitting.spec.dropout;
        let training = rng.map(|rng| Training { dropout, rng });
        let answers = self.network.forward(&windows, training)?;
        let width = truth.width;
        let values = which
            .iter()
            .flat_map(|i| &truth.values[i * width..(i + 1) * width]);
        let values: Vec<f32> = values.copied().collect();
        let weights = which.iter().filter_map(|i| truth.weights.get(*i).copied());
        let target = Target {
            values: &values,
            weights: &weights.collect::<Vec<f32>>(),
        };
        loss(self.fitting.shape.task, &answers, &target).map_err(failed)
    }
}

impl Problem for Fit<'_> {
    fn params(&self) -> &Params {
        &self.params
    }

    fn loss(&self, batch: &[usize], rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let fitting = self.fitting;
        self.loss_of(&fitting.data.train, &fitting.train, batch, Some(rng))
    }

    fn validate(&self) -> Result<Option<f64>> {
        let part = &self.fitting.data.validation;
        if part.len() == 0 {
            return Ok(None);
        }
        let all: Vec<usize> = (0..part.len()).collect();
        let mut sum = 0.0;
        for batch in all.chunks(BATCH) {
            let loss = self.loss_of(part, &self.fitting.validation, batch, None)?;
            sum += f64::from(loss.to_scalar::<f32>().map_err(failed)?) * batch.len() as f64;
        }
        Ok(Some(sum / part.len() as f64))
    }
}

/// Mean and standard deviation of labels; 1 in place of a deviation of 0.
fn spread(labels: &[f32]) -> Result<(f64, f64)> {
    let count = labels.len().max(1) as f64;
    let mean = labels.iter().copied().map(f64::from).sum::<f64>() / count;
    let square = |label: &f32| (f64::from(*label) - mean).powi(2);
    let deviation = (labels.iter().map(square).sum::<f64>() / count).sqrt();
    if !deviation.is_finite() {
        return Err(Error::invalid("a label is not a finite number"));
    }
    Ok((mean, if deviation > 0.0 { deviation } else { 1.0 }))
}

/// The rows after each sample of a part: `horizon` x targets numbers.
fn futures(data: &Dataset, part: &Part) -> Vec<f32> {
    let rows = part
        .ends
        .iter()
        .flat_map(|end| data.future(*end).chunks_exact(data.columns()));
    rows.flat_map(|row| data.targets.iter().map(move |target| row[*target]))
        .collect()
}
