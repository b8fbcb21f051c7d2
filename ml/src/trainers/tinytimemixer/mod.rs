//! The trainer `tinytimemixer`: forecasts of several rows by mixing patches of a window.
//!
//! A model is one safetensors file. One network has the tensor names of the published
//! checkpoints, so that each reads the other's; of several, those of network i begin with
//! `members.i.`. The linear path, where there is one, is `linear.weight`.
mod file;
mod fit;
mod line;
mod mixer;
mod network;
mod ops;
mod pace;
mod pretrained;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
mod windows;

use std::collections::BTreeMap;

use candle_core::Tensor;
use catalog::{Error, Result};
use serde_json::{Map, Value};

pub use self::pace::tinytimemixer_step_seconds;
pub(crate) use self::pretrained::fetch;

use self::network::{Io, Network};
use self::windows::{Channels, Windows};
use super::{Predictions, Predictor};
use crate::dataset::Dataset;
use crate::manifest::{Manifest, Signature};
use crate::neural::{device, failed};
use crate::spec::TinyTimeMixerSpec;

/// Rows of a network that are computed at a time where no gradient is needed.
const ROWS: usize = 1024;

pub(super) fn load(manifest: &Manifest, bytes: &[u8]) -> Result<Box<dyn Predictor>> {
    let spec = of_parameters(&manifest.parameters)?;
    let (channels, io) = of_signature(&spec, &manifest.signature)?;
    Ok(Box::new(Forecaster::read(bytes, &spec, channels, io)?))
}

/// Trained networks whose forecasts are averaged.
struct Forecaster {
    networks: Vec<Network>,
    line: Option<Tensor>,
    channels: Channels,
    io: Io,
}

impl Predictor for Forecaster {
    fn predict(&self, samples: &[f32]) -> Result<Predictions> {
        let sample = self.io.context * self.channels.width;
        let outputs = self.io.horizon * self.io.targets.len();
        if !samples.len().is_multiple_of(sample) {
            return Err(Error::invalid(format!(
                "the model reads windows of {} rows x {} columns, and there are {} numbers",
                self.io.context,
                self.channels.width,
                samples.len()
            )));
        }
        let mut values = Vec::with_capacity(samples.len() / sample * outputs);
        for samples in samples.chunks(sample * (ROWS / self.io.channels).max(1)) {
            let windows = samples.chunks_exact(sample);
            let windows = Windows::gather(windows, &self.channels, &self.io, &device())?;
            let forecast = self.forecast(&windows).map_err(failed)?;
            values.extend(forecast);
        }
        Ok(Predictions { values, outputs })
    }
}

impl Forecaster {
    fn read(
        bytes: &[u8],
        spec: &TinyTimeMixerSpec,
        channels: Channels,
        io: Io,
    ) -> Result<Forecaster> {
        let file = file::open(bytes)?;
        let mut networks = Vec::new();
        for member in 0..spec.members {
            let mut params = file::member(&file, member, spec.members, &device())?;
            networks.push(Network::new(&mut params, spec, &io)?.detached());
        }
        let line = match spec.linear {
            true => Some(file::line(&file, &io, &device())?.ok_or_else(|| {
                Error::corrupt(format!("the model lacks the tensor '{}'", file::LINEAR))
            })?),
            false => None,
        };
        Ok(Forecaster {
            networks,
            line,
            channels,
            io,
        })
    }

    /// horizon x targets numbers of each window.
    fn forecast(&self, windows: &Windows) -> candle_core::Result<Vec<f32>> {
        let mut sum: Option<Tensor> = None;
        for network in &self.networks {
            let forecast = network.forward(&windows.scaled, false, None)?;
            sum = Some(match sum {
                Some(sum) => (sum + forecast)?,
                None => forecast,
            });
        }
        let sum = sum.ok_or_else(|| candle_core::Error::msg("the model has no network"))?;
        let mean = (sum / self.networks.len() as f64)?;
        let forecast = with_line(mean, self.line.as_ref(), windows)?;
        let by_target = windows.unscale(&forecast)?;
        let Io {
            horizon, targets, ..
        } = &self.io;
        let by_target = by_target.reshape(((), targets.len(), *horizon))?;
        by_target.transpose(1, 2)?.flatten_all()?.to_vec1()
    }
}

/// Adds the linear path's part, where there is one.
fn with_line(
    forecast: Tensor,
    line: Option<&Tensor>,
    windows: &Windows,
) -> candle_core::Result<Tensor> {
    match line {
        Some(weight) => forecast + line::forecast(weight, &windows.targets)?,
        None => Ok(forecast),
    }
}

/// The channels read of a data set: all columns where channels are mixed, else the targets.
fn channels(
    spec: &TinyTimeMixerSpec,
    (context, horizon): (usize, usize),
    width: usize,
    targets: &[usize],
) -> (Channels, Io) {
    let mixed = spec.mix_channel || spec.decoder_mix_channel;
    let columns = match mixed {
        true => (0..width).collect(),
        false => targets.to_vec(),
    };
    let io = Io {
        context,
        horizon,
        channels: columns.len(),
        targets: match mixed {
            true => targets.to_vec(),
            false => (0..targets.len()).collect(),
        },
    };
    (Channels { width, columns }, io)
}

fn of_dataset(spec: &TinyTimeMixerSpec, data: &Dataset) -> (Channels, Io) {
    let rows = (data.length, data.horizon);
    channels(spec, rows, data.columns(), &data.targets)
}

fn of_signature(spec: &TinyTimeMixerSpec, signature: &Signature) -> Result<(Channels, Io)> {
    let position = |name: &String| {
        let found = signature.features.iter().position(|f| f.name == *name);
        found.ok_or_else(|| Error::corrupt(format!("the target '{name}' is no feature")))
    };
    let targets: Vec<usize> = signature
        .targets
        .iter()
        .map(position)
        .collect::<Result<_>>()?;
    let rows = (signature.length, signature.horizon);
    if targets.is_empty() || rows.1 == 0 || spec.patch == 0 || spec.members == 0 {
        return Err(Error::corrupt("the model's manifest names no forecast"));
    }
    Ok(channels(spec, rows, signature.features.len(), &targets))
}

/// Every parameter by name; those of the schedule as `schedule.epochs`.
fn parameters(spec: &TinyTimeMixerSpec) -> Result<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    for (name, value) in fields(spec)? {
        match value {
            Value::Null => {}
            Value::String(text) => drop(parameters.insert(name, text)),
            Value::Object(inner) => parameters.extend(
                inner
                    .into_iter()
                    .map(|(inner, value)| (format!("{name}.{inner}"), value.to_string())),
            ),
            value => drop(parameters.insert(name, value.to_string())),
        }
    }
    Ok(parameters)
}

/// The network that parameters of a manifest describe; how it was trained is left out.
fn of_parameters(parameters: &BTreeMap<String, String>) -> Result<TinyTimeMixerSpec> {
    let corrupt = |name: &str| {
        let message = format!("the parameter '{name}' of the model's manifest cannot be read");
        Error::corrupt(message)
    };
    let mut read = Map::new();
    for (name, default) in fields(&TinyTimeMixerSpec::default())? {
        if let (Some(text), true) = (
            parameters.get(&name),
            default.is_number() || default.is_boolean(),
        ) {
            let value = serde_json::from_str(text);
            read.insert(name.clone(), value.map_err(|_| corrupt(&name))?);
        }
    }
    serde_json::from_value(Value::Object(read)).map_err(|e| corrupt("tinytimemixer").with_source(e))
}

fn fields(spec: &TinyTimeMixerSpec) -> Result<Map<String, Value>> {
    match serde_json::to_value(spec) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(Error::internal("the parameters cannot be written")),
    }
}
