//! What a training step costs, for benchmarks.
use candle_core::{Device, Tensor};
use catalog::Result;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::network::{Network, Shape, Target, loss};
use crate::neural::{Params, Problem, Schedule, Training, device, failed, step_seconds};
use crate::spec::Task;

/// Sizes of a training step: one layer and a linear head.
#[derive(Clone, Copy, Debug)]
pub struct GruSize {
    /// Windows of the step.
    pub batch: usize,
    /// Rows of a window.
    pub steps: usize,
    /// Numbers of a row.
    pub inputs: usize,
    /// Units of the layer.
    pub hidden: usize,
}

/// Seconds of each of `times` training steps on noise: forward, backward, gradients cut, AdamW.
///
/// # Errors
/// `Internal` where the device fails.
pub fn gru_step_seconds(size: GruSize, times: usize) -> Result<Vec<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut noise = |count: usize| (0..count).map(|_| rng.random_range(-1.0..1.0)).collect();
    let windows: Vec<f32> = noise(size.batch * size.steps * size.inputs);
    let values: Vec<f32> = noise(size.batch);
    let shape = Shape {
        task: Task::Regression,
        length: size.steps,
        columns: size.inputs,
        flags: false,
        hidden: size.hidden,
        layers: 1,
        outputs: 1,
    };
    let mut params = Params::seeded(0, &device());
    let network = Network::new(&mut params, "", shape)?;
    let noise = Noise {
        network,
        params,
        windows,
        values,
    };
    let batch: Vec<usize> = (0..size.batch).collect();
    step_seconds(&noise, &Schedule::default(), &batch, times)
}

/// Where networks are computed: `cpu` or `cuda`.
pub fn gru_device() -> &'static str {
    match device() {
        Device::Cpu => "cpu",
        Device::Cuda(_) => "cuda",
        Device::Metal(_) => "metal",
    }
}

struct Noise {
    network: Network,
    params: Params,
    windows: Vec<f32>,
    values: Vec<f32>,
}

impl Problem for Noise {
    fn params(&self) -> &Params {
        &self.params
    }

    fn loss(&self, _batch: &[usize], rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let training = Training { dropout: 0.0, rng };
        let answers = self.network.forward(&self.windows, Some(training))?;
        let target = Target {
            values: &self.values,
            weights: &[],
        };
        loss(Task::Regression, &answers, &target).map_err(failed)
    }

    fn validate(&self) -> Result<Option<f64>> {
        Ok(None)
    }
}
