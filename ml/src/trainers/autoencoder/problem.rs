//! What the network is trained for: reproducing normal samples.
use candle_core::Tensor;
use catalog::Result;
use rand_chacha::ChaCha8Rng;

use super::model::Autoencoder;
use super::network::Network;
use crate::dataset::Dataset;
use crate::neural::{Params, Problem, failed};
use crate::spec::autoencoder::Loss;

/// Validation samples that are computed at once.
const CHUNK: usize = 1024;

/// A network, and the normal samples it learns from and is validated on, by their last rows.
pub(super) struct Reproduce<'a> {
    pub(super) model: &'a Autoencoder,
    pub(super) params: &'a Params,
    pub(super) data: &'a Dataset,
    pub(super) loss: Loss,
    pub(super) train: &'a [usize],
    pub(super) validation: &'a [usize],
}

impl Reproduce<'_> {
    /// The mean loss over the known values of samples.
    fn mean(&self, ends: &[usize]) -> Result<Tensor> {
        let samples = self.data.samples(ends);
        let x = self.model.tensor(&samples)?;
        let known = self.model.known(&samples)?;
        let reproduced = self.model.network.forward(&x)?.reproduced;
        let mean = || {
            let rest = (reproduced - x)?;
            let loss = match self.loss {
                Loss::Mae => rest.abs()?,
                Loss::Mse => rest.sqr()?,
            };
            match known {
                None => loss.mean_all(),
                Some(known) => (loss * &known)?.sum_all()? / known.sum_all()?.maximum(1.0)?,
            }
        };
        mean().map_err(failed)
    }
}

impl Problem for Reproduce<'_> {
    fn params(&self) -> &Params {
        self.params
    }

    fn loss(&self, batch: &[usize], _rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let ends: Vec<usize> = batch.iter().map(|i| self.train[*i]).collect();
        self.mean(&ends)
    }

    fn validate(&self) -> Result<Option<f64>> {
        if self.validation.is_empty() {
            return Ok(None);
        }
        let mut sum = 0.0;
        for ends in self.validation.chunks(CHUNK) {
            let loss = self.mean(ends)?.to_scalar::<f32>().map_err(failed)?;
            sum += f64::from(loss) * ends.len() as f64;
        }
        Ok(Some(sum / self.validation.len() as f64))
    }

    fn trains(&self, name: &str) -> bool {
        Network::trains(name)
    }
}
