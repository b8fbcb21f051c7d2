//! Layers of gated recurrent units, equal to PyTorch's `torch.nn.GRU(batch_first=True)` in their
//! numbers, gradients, and the names and order of their parameters.
mod kernel;
mod recurrence;
mod simd;

use candle_core::{IndexOp, Tensor};
use catalog::Result;
use rand_chacha::ChaCha8Rng;

use super::{Params, dropout, failed};
use recurrence::{Memory, Recurrence};

/// One layer. The gates r, z, n lie one after the other in each parameter.
#[derive(Clone, Debug)]
struct Layer {
    /// 3 hidden x inputs.
    weight_ih: Tensor,
    /// 3 hidden x hidden.
    weight_hh: Tensor,
    /// 3 hidden.
    bias_ih: Tensor,
    /// 3 hidden; its last part lies within the product with r.
    bias_hh: Tensor,
    memory: Memory,
}

/// Layers of gated recurrent units, one on the other.
#[derive(Clone, Debug)]
pub(crate) struct Gru {
    layers: Vec<Layer>,
}

/// Dropout between layers, while training.
pub(crate) struct Training<'a> {
    pub(crate) dropout: f64,
    pub(crate) rng: &'a mut ChaCha8Rng,
}

impl Gru {
    /// Layers whose parameters are named `{name}.weight_ih_l0` and so on, with PyTorch's initial
    /// values: uniform within 1 / sqrt(hidden).
    ///
    /// # Errors
    /// `Corrupt` where `params` are read and lack one.
    pub(crate) fn new(
        params: &mut Params,
        name: &str,
        inputs: usize,
        hidden: usize,
        layers: usize,
    ) -> Result<Gru> {
        let bound = 1.0 / (hidden as f32).sqrt();
        let mut make = |kind: &str, layer: usize, shape: &[usize]| {
            params.uniform(&format!("{name}.{kind}_l{layer}"), shape, bound)
        };
        let layer = |layer: usize| {
            let inputs = if layer == 0 { inputs } else { hidden };
            Ok(Layer {
                weight_ih: make("weight_ih", layer, &[3 * hidden, inputs])?,
                weight_hh: make("weight_hh", layer, &[3 * hidden, hidden])?,
                bias_ih: make("bias_ih", layer, &[3 * hidden])?,
                bias_hh: make("bias_hh", layer, &[3 * hidden])?,
                memory: Memory::default(),
            })
        };
        let layers = (0..layers).map(layer).collect::<Result<_>>()?;
        Ok(Gru { layers })
    }

    /// The states of the last layer after each step, batch x steps x hidden, from those of zeros.
    /// `x` is batch x steps x inputs. Without `training` nothing is kept for gradients.
    pub(crate) fn forward(&self, x: &Tensor, training: Option<Training<'_>>) -> Result<Tensor> {
        self.run(x, training).map_err(failed)
    }

    fn run(&self, x: &Tensor, mut training: Option<Training<'_>>) -> candle_core::Result<Tensor> {
        let mut x = x.clone();
        for (number, layer) in self.layers.iter().enumerate() {
            if let (Some(Training { dropout: rate, rng }), 1..) = (&mut training, number) {
                x = dropout(&x, *rate, rng)?;
            }
            x = match x.device().is_cpu() {
                true => layer.fused(&x, training.is_some())?,
                false => layer.by_steps(&x)?,
            };
        }
        Ok(x)
    }
}

impl Layer {
    /// By the kernel for CPUs.
    fn fused(&self, x: &Tensor, training: bool) -> candle_core::Result<Tensor> {
        let weight = Tensor::cat(&[&self.weight_ih, &self.weight_hh], 1)?;
        let bias = Tensor::cat(&[&self.bias_ih, &self.bias_hh], 0)?;
        let memory = training.then_some(&self.memory);
        Recurrence::run(&x.contiguous()?, &weight.contiguous()?, &bias, memory)
    }

    /// By tensor operations step by step, on any device.
    fn by_steps(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (batch, steps, inputs) = x.dims3()?;
        let hidden = self.weight_hh.dim(1)?;
        let flat = x.reshape((batch * steps, inputs))?;
        let projected = flat
            .matmul(&self.weight_ih.t()?)?
            .broadcast_add(&self.bias_ih)?
            .reshape((batch, steps, 3 * hidden))?;
        let weight = self.weight_hh.t()?.contiguous()?;
        let mut state = Tensor::zeros((batch, hidden), x.dtype(), x.device())?;
        let mut states = Vec::with_capacity(steps);
        for step in 0..steps {
            let input = projected.i((.., step, ..))?;
            let before = state.matmul(&weight)?.broadcast_add(&self.bias_hh)?;
            let sum = |gate: usize| {
                let part = |x: &Tensor| x.narrow(1, gate * hidden, hidden);
                candle_nn::ops::sigmoid(&(part(&input)? + part(&before)?)?)
            };
            let (r, z) = (sum(0)?, sum(1)?);
            let n = (r * before.narrow(1, 2 * hidden, hidden)?)?;
            let n = (input.narrow(1, 2 * hidden, hidden)? + n)?.tanh()?;
            state = (&n + z * (state - &n)?)?;
            states.push(state.clone());
        }
        Tensor::stack(&states, 1)
    }
}

#[cfg(test)]
mod tests;
