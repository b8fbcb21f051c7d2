//! What reproduces a sample: principal components, a dense network, or one after the other.
use candle_core::{Result as Computed, Tensor};
use catalog::Result;

use crate::neural::{Linear, Params, failed};
use crate::spec::autoencoder::{Activation, AutoencoderSpec, End, Initial};

/// An autoencoder of samples of `width` numbers.
pub(super) struct Network {
    /// The mean of normal training samples, 1 x width; stands for missing values too.
    center: Tensor,
    /// The principal components, count x width.
    components: Option<Tensor>,
    layers: Vec<Linear>,
    /// The narrowest layer.
    narrow: usize,
    activation: Activation,
    end: End,
}

/// What comes out for samples, one each row.
pub(super) struct Output {
    /// samples x width.
    pub(super) reproduced: Tensor,
    /// samples x numbers of the code.
    pub(super) code: Tensor,
}

impl Network {
    /// Makes the network, or reads it: then `center` and `components` are not looked at.
    pub(super) fn new(
        spec: &AutoencoderSpec,
        width: usize,
        center: Vec<f32>,
        components: Vec<f32>,
        params: &mut Params,
    ) -> Result<Network> {
        let center = params.fixed("center", &[1, width], center)?;
        let components = match spec.principal {
            0 => None,
            count => Some(params.fixed("components", &[count, width], components)?),
        };
        let mut layers = Vec::new();
        let mut inputs = width;
        let ends = spec
            .hidden
            .iter()
            .chain((!spec.hidden.is_empty()).then_some(&width));
        for (number, units) in ends.enumerate() {
            layers.push(layer(
                spec.initial,
                &format!("layer{number}"),
                inputs,
                *units,
                params,
            )?);
            inputs = *units;
        }
        Ok(Network {
            center,
            components,
            layers,
            narrow: narrowest(&spec.hidden),
            activation: spec.activation,
            end: spec.end,
        })
    }

    /// Numbers of the code.
    pub(super) fn code_width(spec: &AutoencoderSpec) -> usize {
        match spec.principal {
            0 => spec.hidden.iter().copied().min().unwrap_or_default(),
            count => count,
        }
    }

    /// Whether there is anything to train.
    pub(super) fn learns(&self) -> bool {
        !self.layers.is_empty()
    }

    /// Whether the parameter `name` is trained.
    pub(super) fn trains(name: &str) -> bool {
        name.starts_with("layer")
    }

    /// Of samples x width numbers, none missing.
    pub(super) fn forward(&self, samples: &Tensor) -> Result<Output> {
        self.compute(samples).map_err(failed)
    }

    fn compute(&self, samples: &Tensor) -> Computed<Output> {
        let Some(components) = &self.components else {
            let (reproduced, code) = self.dense(samples)?;
            return Ok(Output { reproduced, code });
        };
        let code = samples
            .broadcast_sub(&self.center)?
            .matmul(&components.t()?)?;
        let base = code.matmul(components)?.broadcast_add(&self.center)?;
        let reproduced = match self.learns() {
            true => (&base + self.dense(&(samples - &base)?)?.0)?,
            false => base,
        };
        Ok(Output { reproduced, code })
    }

    /// What the layers make of `input`, and the output of the narrowest one.
    fn dense(&self, input: &Tensor) -> Computed<(Tensor, Tensor)> {
        let mut x = input.clone();
        let mut code = input.clone();
        for (number, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x)?;
            if number + 1 == self.layers.len() {
                break;
            }
            x = match self.activation {
                Activation::Relu => x.relu()?,
                Activation::Elu => x.elu(1.0)?,
                Activation::Tanh => x.tanh()?,
                Activation::Linear => x,
            };
            if number == self.narrow {
                code = x.clone();
            }
        }
        let x = match self.end {
            End::Linear => x,
            End::Sigmoid => candle_nn::ops::sigmoid(&x)?,
        };
        Ok((x, code))
    }
}

/// The first of the layers with the fewest units.
fn narrowest(hidden: &[usize]) -> usize {
    let least = hidden.iter().enumerate().min_by_key(|(_, units)| **units);
    least.map_or(0, |(number, _)| number)
}

fn layer(
    initial: Initial,
    name: &str,
    inputs: usize,
    outputs: usize,
    params: &mut Params,
) -> Result<Linear> {
    match initial {
        Initial::Pytorch => params.linear(name, inputs, outputs),
        Initial::Keras => {
            let bound = (6.0 / (inputs + outputs) as f32).sqrt();
            Ok(Linear {
                weight: params.uniform(&format!("{name}.weight"), &[outputs, inputs], bound)?,
                bias: params.constant(&format!("{name}.bias"), &[outputs], 0.0)?,
            })
        }
    }
}
