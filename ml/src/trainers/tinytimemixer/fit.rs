//! Training: from nothing, or from weights that were read.
use candle_core::{Device, Tensor};
use catalog::Result;
use rand_chacha::ChaCha8Rng;

use super::network::{ENCODER, HEAD, Io, Network};
use super::windows::{Channels, Windows, truth};
use super::{ROWS, file, line, of_dataset, parameters, pretrained, with_line};
use crate::dataset::Dataset;
use crate::neural::{Params, Problem, device, failed, learn};
use crate::spec::{Freeze, Loss, TinyTimeMixerSpec};
use crate::train::TrainProgress;
use crate::trainers::{Fitted, Learner};

impl Learner for TinyTimeMixerSpec {
    fn fit(
        &self,
        data: &Dataset,
        watch: &mut dyn FnMut(TrainProgress) -> bool,
    ) -> Result<Option<Fitted>> {
        let device = device();
        let (channels, io) = of_dataset(self, data);
        let bytes = pretrained::read(self)?;
        let weights = bytes.as_deref().map(file::open).transpose()?;
        let line = match &weights {
            Some(weights) if self.linear => file::line(weights, &io, &device)?,
            _ => None,
        };
        let line = match line {
            None if self.linear => Some(line::fit(data, &channels, &io, &device)?),
            line => line,
        };
        let mut members = Vec::new();
        let mut rounds = 0;
        for member in 0..self.members {
            let mut schedule = self.schedule.clone();
            schedule.seed = schedule.seed.wrapping_add(member as u64);
            let mut params = match &weights {
                Some(weights) => pretrained::params(weights, self, &io, &device)?,
                None => Params::seeded(schedule.seed, &device),
            };
            let network = Network::new(&mut params, self, &io)?;
            if line.is_some() && weights.is_none() {
                silence(&params)?;
            }
            let forecast = Forecast {
                spec: self,
                data,
                channels: &channels,
                io: &io,
                params,
                network,
                line: line.as_ref(),
                device: &device,
            };
            let before = member as u32 * schedule.epochs;
            let mut of_all = |progress: TrainProgress| {
                watch(TrainProgress {
                    round: before + progress.round,
                    rounds: self.members as u32 * progress.rounds,
                    ..progress
                })
            };
            let Some(learned) = learn(&forecast, &schedule, data.train.len(), &mut of_all)? else {
                return Ok(None);
            };
            rounds = rounds.max(learned.epoch);
            members.push(forecast.params);
        }
        let mut parameters = parameters(self)?;
        if let Some(bytes) = &bytes {
            parameters.insert("pretrained.sha256".into(), pretrained::digest(bytes));
        }
        Ok(Some(Fitted {
            bytes: file::write(&members, line.as_ref())?,
            library: "candle 0.11".into(),
            rounds,
            parameters,
            importance: Vec::new(),
            threshold: None,
        }))
    }

    fn stops_early(&self) -> bool {
        self.schedule.patience > 0
    }
}

/// Lets a network start as one that answers 0, so that the linear path is what is bettered.
fn silence(params: &Params) -> Result<()> {
    let head = params
        .vars()
        .iter()
        .filter(|(name, _)| name.starts_with(HEAD));
    for (_, var) in head {
        let zeros = var.zeros_like().and_then(|zeros| var.set(&zeros));
        zeros.map_err(failed)?;
    }
    Ok(())
}

/// A network, and what it is fitted to.
struct Forecast<'a> {
    spec: &'a TinyTimeMixerSpec,
    data: &'a Dataset,
    channels: &'a Channels,
    io: &'a Io,
    params: Params,
    network: Network,
    line: Option<&'a Tensor>,
    device: &'a Device,
}

impl Forecast<'_> {
    /// The sum of the losses at `ends`, and how many values it is of.
    fn loss_at(
        &self,
        network: &Network,
        ends: &[usize],
        draw: Option<&mut ChaCha8Rng>,
    ) -> Result<(Tensor, f64)> {
        let windows = ends.iter().map(|end| self.data.window(*end));
        let windows = Windows::gather(windows, self.channels, self.io, self.device)?;
        let frozen = self.spec.freeze == Freeze::Encoder;
        let loss = || {
            let forecast = network.forward(&windows.scaled, frozen, draw)?;
            let forecast = with_line(forecast, self.line, &windows)?;
            let (truth, known) = truth(self.data, ends, self.device)?;
            let error = ((windows.unscale(&forecast)? - truth)? * &known)?;
            let count = f64::from(known.sum_all()?.to_scalar::<f32>()?);
            let loss = match self.spec.loss {
                Loss::Mse => error.sqr()?,
                Loss::Mae => error.abs()?,
                Loss::Huber => {
                    let near = error.abs()?.minimum(1.0)?;
                    ((near.sqr()? * -0.5)? + (near * error.abs()?)?)?
                }
            };
            Ok((loss.sum_all()?, count))
        };
        loss().map_err(failed)
    }
}

impl Problem for Forecast<'_> {
    fn params(&self) -> &Params {
        &self.params
    }

    fn loss(&self, batch: &[usize], rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let ends: Vec<usize> = batch.iter().map(|i| self.data.train.ends[*i]).collect();
        let (sum, count) = self.loss_at(&self.network, &ends, Some(rng))?;
        (sum / count.max(1.0)).map_err(failed)
    }

    fn validate(&self) -> Result<Option<f64>> {
        let network = self.network.detached();
        let (mut sum, mut count) = (0.0, 0.0);
        for ends in self
            .data
            .validation
            .ends
            .chunks((ROWS / self.io.channels).max(1))
        {
            let (loss, values) = self.loss_at(&network, ends, None)?;
            sum += f64::from(loss.to_scalar::<f32>().map_err(failed)?);
            count += values;
        }
        Ok((count > 0.0).then(|| sum / count))
    }

    fn trains(&self, name: &str) -> bool {
        self.spec.freeze == Freeze::Nothing || !name.starts_with(ENCODER)
    }
}
