//! What a training step costs, for benchmarks.
use candle_core::Tensor;
use catalog::Result;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::channels;
use super::network::{Io, Network};
use super::windows::{Channels, Windows};
use crate::neural::{Params, Problem, Schedule, device, failed, step_seconds};
use crate::spec::TinyTimeMixerSpec;

/// Seconds of each of `times` training steps of the 512-96 model on `windows` windows of
/// `features` features of noise: scaling, forward, backward, gradients cut, AdamW.
///
/// # Errors
/// `Internal` where the device fails.
pub fn tinytimemixer_step_seconds(
    windows: usize,
    features: usize,
    times: usize,
) -> Result<Vec<f64>> {
    let spec = TinyTimeMixerSpec::default();
    let targets: Vec<usize> = (0..features).collect();
    let (channels, io) = channels(&spec, (512, 96), features, &targets);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut noise = |count: usize| (0..count).map(|_| rng.random_range(-1.0..1.0)).collect();
    let mut params = Params::seeded(0, &device());
    let noise = Noise {
        network: Network::new(&mut params, &spec, &io)?,
        windows: noise(windows * features * io.context),
        truth: noise(windows * features * io.horizon),
        params,
        channels,
        io,
    };
    let batch: Vec<usize> = (0..windows).collect();
    step_seconds(&noise, &Schedule::default(), &batch, times)
}

struct Noise {
    params: Params,
    network: Network,
    channels: Channels,
    io: Io,
    windows: Vec<f32>,
    truth: Vec<f32>,
}

impl Problem for Noise {
    fn params(&self) -> &Params {
        &self.params
    }

    fn loss(&self, _batch: &[usize], rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let sample = self.channels.width * self.io.context;
        let windows = self.windows.chunks_exact(sample);
        let windows = Windows::gather(windows, &self.channels, &self.io, self.params.device())?;
        let mut loss = || {
            let forecast = self.network.forward(&windows.scaled, false, Some(rng))?;
            let forecast = windows.unscale(&forecast)?;
            let truth = Tensor::from_slice(&self.truth, forecast.shape(), forecast.device())?;
            (forecast - truth)?.sqr()?.mean_all()
        };
        loss().map_err(failed)
    }

    fn validate(&self) -> Result<Option<f64>> {
        Ok(None)
    }
}
