//! An autoencoder that is ready to score samples.
use candle_core::{Device, Tensor};
use catalog::Result;

use super::network::Network;
use super::score::Scorer;
use super::whiten::Whiten;
use crate::dataset::Dataset;
use crate::neural::{Params, device, failed};
use crate::spec::autoencoder::{AutoencoderSpec, Score};
use crate::trainers::{Predictions, Predictor};

/// Samples that are computed at once.
const CHUNK: usize = 1024;

/// A network and how its errors are scored.
pub(super) struct Autoencoder {
    pub(super) network: Network,
    pub(super) scorer: Scorer,
    /// What stands for missing values.
    center: Vec<f32>,
    device: Device,
}

impl Autoencoder {
    /// Of samples of `center.len()` numbers, rows of `columns` features each, not yet trained.
    pub(super) fn new(
        spec: &AutoencoderSpec,
        columns: usize,
        center: Vec<f32>,
        components: Vec<f32>,
        params: &mut Params,
    ) -> Result<Autoencoder> {
        let width = center.len();
        Ok(Autoencoder {
            network: Network::new(spec, width, center.clone(), components, params)?,
            scorer: Scorer::new(spec.score, spec.features, columns),
            center,
            device: device(),
        })
    }

    /// As [`Params::to_bytes`] wrote it after training.
    pub(super) fn read(
        spec: &AutoencoderSpec,
        length: usize,
        columns: usize,
        bytes: &[u8],
    ) -> Result<Autoencoder> {
        let mut params = Params::from_bytes(bytes, &device())?;
        let center = params.fixed("center", &[1, length * columns], Vec::new())?;
        let center = center.flatten_all().and_then(|c| c.to_vec1());
        let center: Vec<f32> = center.map_err(failed)?;
        let mut model = Autoencoder::new(spec, columns, center, Vec::new(), &mut params)?;
        if spec.score == Score::Code {
            let width = Network::code_width(spec);
            let read = Whiten::new(Vec::new(), Vec::new(), width, &mut params)?;
            model.scorer.whiten(read);
        } else if spec.scaled {
            model.scorer.read_scales(Vec::new(), &mut params)?;
        }
        Ok(model)
    }

    /// Samples as a tensor, without missing values.
    pub(super) fn tensor(&self, samples: &[f32]) -> Result<Tensor> {
        let width = self.center.len();
        let filled: Vec<f32> = samples
            .chunks_exact(width)
            .flat_map(|row| row.iter().zip(&self.center))
            .map(|(x, center)| if x.is_finite() { *x } else { *center })
            .collect();
        Tensor::from_vec(filled, (samples.len() / width, width), &self.device).map_err(failed)
    }

    /// 1 where a value is known and 0 where it is missing; none where all are known.
    pub(super) fn known(&self, samples: &[f32]) -> Result<Option<Tensor>> {
        if samples.iter().all(|x| x.is_finite()) {
            return Ok(None);
        }
        let width = self.center.len();
        let known = samples.iter().map(|x| f32::from(u8::from(x.is_finite())));
        let shape = (samples.len() / width, width);
        let tensor = Tensor::from_vec(known.collect::<Vec<_>>(), shape, &self.device);
        tensor.map(Some).map_err(failed)
    }

    /// What reproducing leaves of each sample, NaN where a value is missing, and the codes.
    pub(super) fn residuals(&self, samples: &[f32]) -> Result<(Vec<f32>, Vec<f32>)> {
        let output = self.network.forward(&self.tensor(samples)?)?;
        let flat = |tensor: &Tensor| tensor.flatten_all()?.to_vec1();
        let reproduced: Vec<f32> = flat(&output.reproduced).map_err(failed)?;
        let residual = samples.iter().zip(reproduced).map(|(x, y)| match x - y {
            _ if !x.is_finite() => f32::NAN,
            rest if rest.is_nan() => f32::INFINITY,
            rest => rest,
        });
        Ok((residual.collect(), flat(&output.code).map_err(failed)?))
    }

    /// The scores of samples, one after the other.
    pub(super) fn scores(&self, samples: &[f32]) -> Result<Vec<f32>> {
        let width = self.center.len();
        let mut scores = Vec::with_capacity(samples.len() / width);
        for chunk in samples.chunks(CHUNK * width) {
            let (residuals, codes) = self.residuals(chunk)?;
            let rows = chunk.len() / width;
            match self.scorer.score {
                Score::Code => {
                    let codes = codes.chunks_exact(codes.len() / rows);
                    scores.extend(codes.map(|code| self.scorer.of_code(code)));
                }
                _ => {
                    let rows = residuals.chunks_exact(width);
                    scores.extend(rows.map(|row| self.scorer.of_residual(row)));
                }
            }
        }
        Ok(scores)
    }

    /// The scores of the samples that end at `ends`.
    pub(super) fn scores_at(&self, data: &Dataset, ends: &[usize]) -> Result<Vec<f32>> {
        let mut scores = Vec::with_capacity(ends.len());
        for chunk in ends.chunks(CHUNK) {
            scores.extend(self.scores(&data.samples(chunk))?);
        }
        Ok(scores)
    }

    /// The root mean square of each feature's error over the samples that end at `ends`.
    pub(super) fn typical_errors(&self, data: &Dataset, ends: &[usize]) -> Result<Vec<f64>> {
        let mut squares = vec![0.0; self.scorer.columns];
        for chunk in ends.chunks(CHUNK) {
            let (residuals, _) = self.residuals(&data.samples(chunk))?;
            for residual in residuals.chunks_exact(self.center.len()) {
                let errors = self.scorer.errors(residual);
                squares
                    .iter_mut()
                    .zip(errors)
                    .for_each(|(s, e)| *s += e * e);
            }
        }
        let rows = ends.len().max(1) as f64;
        Ok(squares.into_iter().map(|s| (s / rows).sqrt()).collect())
    }

    /// The codes of the samples that end at `ends`, one after the other.
    pub(super) fn codes(&self, data: &Dataset, ends: &[usize]) -> Result<Vec<f32>> {
        let mut codes = Vec::new();
        for chunk in ends.chunks(CHUNK) {
            codes.extend(self.residuals(&data.samples(chunk))?.1);
        }
        Ok(codes)
    }
}

impl Predictor for Autoencoder {
    fn predict(&self, samples: &[f32]) -> Result<Predictions> {
        Ok(Predictions {
            values: self.scores(samples)?,
            outputs: 1,
        })
    }
}
