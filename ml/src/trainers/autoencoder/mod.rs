//! The trainer `autoencoder`: what it fails to reproduce is unlike what it has learned from.
mod model;
mod network;
mod principal;
mod problem;
mod score;
#[cfg(test)]
mod tests;
mod threshold;
mod whiten;

use std::collections::BTreeMap;

use catalog::{Error, Result};
use serde_json::Value;

use self::model::Autoencoder;
use self::problem::Reproduce;
use self::whiten::Whiten;
use super::{Fitted, Learner, Predictor};
use crate::dataset::{Dataset, Part};
use crate::manifest::Manifest;
use crate::neural::{Params, device, learn};
use crate::spec::autoencoder::{AutoencoderSpec, Score, Threshold};
use crate::train::TrainProgress;

/// Normal samples below this number say too little about what is normal.
const LEAST_SAMPLES: usize = 20;

/// The number of the class that is normal: `false` or 0.
const NORMAL: f32 = 0.0;

/// Samples that means and components are fitted to at most: evenly spaced ones of more.
const MOST_SAMPLES: usize = 20_000;

impl Learner for AutoencoderSpec {
    fn fit(
        &self,
        data: &Dataset,
        watch: &mut dyn FnMut(TrainProgress) -> bool,
    ) -> Result<Option<Fitted>> {
        let train = normals(&data.train);
        let validation = normals(&data.validation);
        if train.len() < LEAST_SAMPLES {
            return Err(Error::invalid(format!(
                "the training part holds {} normal samples, and an autoencoder needs {LEAST_SAMPLES}",
                train.len()
            ))
            .with_hint(
                "take rows from a longer time or shorter windows, and see that the label is true or \
                 1 for anomalies",
            ));
        }
        let mut params = Params::seeded(self.schedule.seed, &device());
        let mut model = self.untrained(data, &train, &mut params)?;
        let mut rounds = 1;
        if model.network.learns() {
            let problem = Reproduce {
                model: &model,
                params: &params,
                data,
                loss: self.loss,
                train: &train,
                validation: &validation,
            };
            match learn(&problem, &self.schedule, train.len(), watch)? {
                Some(learned) => rounds = learned.epoch,
                None => return Ok(None),
            }
        }
        if self.score == Score::Code {
            let codes = model.codes(data, &train)?;
            let width = codes.len() / train.len();
            model
                .scorer
                .whiten(Whiten::fit(&codes, width, &mut params)?);
        } else if self.scaled {
            let parts = [
                model.typical_errors(data, &train)?,
                model.typical_errors(data, &validation)?,
            ];
            model.scorer.scale(&parts, &mut params)?;
        }
        let scores = model.scores_at(data, &train)?;
        if !model.network.learns() && !watch(in_one_round(&scores)) {
            return Ok(None);
        }
        Ok(Some(Fitted {
            bytes: params.to_bytes()?,
            library: "candle 0.11".to_owned(),
            rounds,
            parameters: parameters(self)?,
            importance: Vec::new(),
            threshold: Some(self.threshold(&model, data, scores, &validation)?),
        }))
    }
}

impl AutoencoderSpec {
    /// The model before the network is trained: with what is computed in one go.
    fn untrained(
        &self,
        data: &Dataset,
        train: &[usize],
        params: &mut Params,
    ) -> Result<Autoencoder> {
        let every = train.len().div_ceil(MOST_SAMPLES);
        let some: Vec<usize> = train.iter().copied().step_by(every).collect();
        let mut samples = data.samples(&some).into_owned();
        let width = data.length * data.columns();
        let center = mean(&samples, width);
        for row in samples.chunks_exact_mut(width) {
            for (x, center) in row.iter_mut().zip(&center) {
                if !x.is_finite() {
                    *x = *center;
                }
            }
        }
        let components = match self.principal {
            0 => Vec::new(),
            count => principal::components(&samples, &center, count)?,
        };
        Autoencoder::new(self, data.columns(), center, components, params)
    }

    fn threshold(
        &self,
        model: &Autoencoder,
        data: &Dataset,
        mut train: Vec<f32>,
        validation: &[usize],
    ) -> Result<f32> {
        let threshold = match self.threshold {
            Threshold::MeanStd => threshold::mean_and_deviations(&train, self.deviations),
            Threshold::Quantile => {
                train.extend(model.scores_at(data, validation)?);
                threshold::quantile(train, self.quantile)
            }
            Threshold::Validation => {
                let scores = model.scores_at(data, &data.validation.ends)?;
                let labels = data.validation.labels.iter();
                let anomalous = labels.map(|label| *label != NORMAL);
                let scored: Vec<(f32, bool)> = scores.into_iter().zip(anomalous).collect();
                threshold::best(self, &scored)?
            }
        };
        Ok((threshold * self.factor).min(f64::from(f32::MAX)) as f32)
    }
}

/// The last rows of the normal samples of a part: all of them where nothing is labelled.
fn normals(part: &Part) -> Vec<usize> {
    let normal = |at: &usize| part.labels.get(*at).is_none_or(|label| *label == NORMAL);
    let normal = (0..part.len()).filter(normal);
    normal.map(|at| part.ends[at]).collect()
}

/// The mean of the known values at each position of a sample; 0 where none is known.
fn mean(samples: &[f32], width: usize) -> Vec<f32> {
    let (mut sums, mut counts) = (vec![0.0; width], vec![0_u32; width]);
    for row in samples.chunks_exact(width) {
        for ((sum, count), x) in sums.iter_mut().zip(&mut counts).zip(row) {
            if x.is_finite() {
                *sum += f64::from(*x);
                *count += 1;
            }
        }
    }
    let means = sums.into_iter().zip(counts);
    means
        .map(|(sum, count)| (sum / f64::from(count.max(1))) as f32)
        .collect()
}

/// Progress of a model that is computed in one go.
fn in_one_round(scores: &[f32]) -> TrainProgress {
    let sum: f64 = scores.iter().map(|s| f64::from(*s)).sum();
    TrainProgress::loss(1, 1, sum / scores.len() as f64)
}

/// Every setting by name, those of the schedule as `schedule.name`.
fn parameters(spec: &AutoencoderSpec) -> Result<BTreeMap<String, String>> {
    let unwritable = |e| Error::internal("the parameters cannot be written").with_source(e);
    let mut out = BTreeMap::new();
    let Value::Object(fields) = serde_json::to_value(spec).map_err(unwritable)? else {
        return Ok(out);
    };
    for (name, value) in fields {
        match value {
            Value::Object(inner) => out.extend(
                inner
                    .into_iter()
                    .map(|(field, value)| (format!("{name}.{field}"), text(value))),
            ),
            Value::Null => (),
            value => drop(out.insert(name, text(value))),
        }
    }
    Ok(out)
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        value => value.to_string(),
    }
}

/// The settings that [`parameters`] wrote; the schedule is not needed any more.
fn settings(parameters: &BTreeMap<String, String>) -> Result<AutoencoderSpec> {
    let mut fields = serde_json::Map::new();
    for (name, text) in parameters.iter().filter(|(name, _)| !name.contains('.')) {
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
        fields.insert(name.clone(), value);
    }
    serde_json::from_value(Value::Object(fields)).map_err(|e| {
        Error::corrupt("the model's parameters are those of no autoencoder").with_source(e)
    })
}

pub(super) fn load(manifest: &Manifest, bytes: &[u8]) -> Result<Box<dyn Predictor>> {
    let spec = settings(&manifest.parameters)?;
    let signature = &manifest.signature;
    let columns = signature.features.len();
    let model = Autoencoder::read(&spec, signature.length, columns, bytes)?;
    Ok(Box::new(model))
}
