//! The trainer `gru`: a recurrent network reads a window and answers from its last state.
mod fitting;
mod network;
mod pace;

use std::collections::BTreeMap;

use catalog::{Error, Result};

use super::{Fitted, Learner, Predictions, Predictor};
use crate::dataset::Dataset;
use crate::manifest::Manifest;
use crate::neural::{Params, device};
use crate::spec::{GruSpec, Task};
use crate::train::TrainProgress;
use fitting::Fitting;
use network::{Network, Shape};
pub use pace::{GruSize, gru_device, gru_step_seconds};

/// Windows that are answered at a time.
const BATCH: usize = 256;

/// What makes the networks; their numbers depend on it.
const LIBRARY: &str = "candle 0.11";

impl Learner for GruSpec {
    fn fit(
        &self,
        data: &Dataset,
        watch: &mut dyn FnMut(TrainProgress) -> bool,
    ) -> Result<Option<Fitted>> {
        self.check()?;
        let shape = Shape {
            task: self.task,
            length: data.length,
            columns: data.columns(),
            flags: has_missing(data),
            hidden: self.hidden,
            layers: self.layers,
            outputs: outputs(
                self.task,
                data.classes.len(),
                data.targets.len(),
                data.horizon,
            ),
        };
        if shape.outputs == 0 {
            return Err(Error::invalid("there is nothing to predict")
                .with_hint("a forecast needs dataset.window with a horizon, classes need labels"));
        }
        let fitting = Fitting::new(self, data, shape)?;
        let (mut members, mut rounds) = (Vec::new(), 0);
        for member in 0..self.members {
            let Some((params, epoch)) = fitting.member(member, &device(), watch)? else {
                return Ok(None);
            };
            rounds = rounds.max(epoch);
            members.push(params);
        }
        Ok(Some(Fitted {
            bytes: Params::all_to_bytes(&members)?,
            library: LIBRARY.into(),
            rounds,
            parameters: self.parameters()?,
            importance: Vec::new(),
            threshold: None,
        }))
    }

    fn stops_early(&self) -> bool {
        self.schedule.patience > 0
    }
}

impl GruSpec {
    /// Every setting by its name in the spec.
    fn parameters(&self) -> Result<BTreeMap<String, String>> {
        let table = toml::Table::try_from(self)
            .map_err(|e| Error::internal("a gru spec cannot be written").with_source(e))?;
        let mut parameters = BTreeMap::new();
        for (name, value) in table {
            match value {
                toml::Value::Table(inner) => parameters.extend(
                    inner
                        .into_iter()
                        .map(|(key, value)| (format!("{name}.{key}"), value.to_string())),
                ),
                toml::Value::String(text) => drop(parameters.insert(name, text)),
                value => drop(parameters.insert(name, value.to_string())),
            }
        }
        Ok(parameters)
    }
}

fn outputs(task: Task, classes: usize, targets: usize, horizon: usize) -> usize {
    match task {
        Task::Binary | Task::Multiclass => classes,
        Task::Regression | Task::Anomaly => 1,
        Task::Forecast => targets * horizon,
    }
}

fn has_missing(data: &Dataset) -> bool {
    let mut windows = data.train.ends.iter().map(|end| data.window(*end));
    windows.any(|window| window.iter().any(|v| !v.is_finite()))
}

/// The prefix of a member's parameters: none where it is the only one.
fn prefix(member: u32, members: u32) -> String {
    match members {
        1 => String::new(),
        _ => format!("members.{member}."),
    }
}

/// A model that is ready to answer.
struct Recurrent {
    shape: Shape,
    members: Vec<Network>,
}

pub(super) fn load(manifest: &Manifest, bytes: &[u8]) -> Result<Box<dyn Predictor>> {
    let signature = &manifest.signature;
    let number = |name: &str| -> Result<usize> {
        let value = manifest.parameters.get(name).and_then(|v| v.parse().ok());
        value.ok_or_else(|| Error::corrupt(format!("the manifest says no '{name}' of the network")))
    };
    let (classes, targets) = (signature.classes.len(), signature.targets.len());
    let shape = Shape {
        task: manifest.task,
        length: signature.length,
        columns: signature.features.len(),
        flags: false,
        hidden: number("hidden")?,
        layers: number("layers")?,
        outputs: outputs(manifest.task, classes, targets, signature.horizon),
    };
    let members = number("members")?;
    Ok(Box::new(Recurrent::read(shape, members as u32, bytes)?))
}

impl Recurrent {
    /// Networks of this shape; the bytes themselves tell whether they read flags.
    fn read(shape: Shape, members: u32, bytes: &[u8]) -> Result<Recurrent> {
        let mut params = Params::from_bytes(bytes, &device())?;
        let first = format!("{}gru.weight_ih_l0", prefix(0, members));
        let flags = params.columns_of(&first) == Some(2 * shape.columns);
        let shape = Shape { flags, ..shape };
        let network = |member| Network::new(&mut params, &prefix(member, members), shape);
        let members = (0..members).map(network).collect::<Result<_>>()?;
        Ok(Recurrent { shape, members })
    }
}

impl Predictor for Recurrent {
    fn predict(&self, samples: &[f32]) -> Result<Predictions> {
        let Shape {
            length, columns, ..
        } = self.shape;
        let outputs = match self.shape.task {
            Task::Binary => 1,
            _ => self.shape.outputs,
        };
        let mut values = Vec::new();
        for windows in samples.chunks(BATCH * length * columns) {
            let mut sums: Vec<f32> = Vec::new();
            for member in &self.members {
                let answer = member.answer(windows)?;
                if sums.is_empty() {
                    sums = answer;
                } else {
                    sums.iter_mut().zip(answer).for_each(|(sum, v)| *sum += v);
                }
            }
            let count = self.members.len() as f32;
            values.extend(sums.into_iter().map(|sum| sum / count));
        }
        Ok(Predictions { values, outputs })
    }
}

#[cfg(test)]
mod tests;
