//! The blocks that mix: along patches, along the numbers of a patch, along channels.
use candle_core::{Result, Tensor};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::ops;
use crate::neural::{Linear, Params};

/// What draws dropout while training; none answers.
pub(super) type Draw<'a> = Option<&'a mut ChaCha8Rng>;

/// A layer x W^T + b over the last dimension, as one product of two matrices.
pub(super) fn linear(layer: &Linear, x: &Tensor) -> Result<Tensor> {
    let mut dims = x.dims().to_vec();
    let inputs = dims.pop().unwrap_or(1);
    dims.push(layer.bias.elem_count());
    let rows = x.reshape(((), inputs))?.matmul(&layer.weight.t()?)?;
    ops::add_bias(&rows, &layer.bias)?.reshape(dims)
}

/// Drops values at `rate` while training.
pub(super) fn dropout(x: Tensor, rate: f32, draw: &mut Draw<'_>) -> Result<Tensor> {
    match draw {
        Some(rng) if rate > 0.0 => ops::dropout(&x, rate, rng.random()),
        _ => Ok(x),
    }
}

/// Layer norm, two layers with a GELU between, and a gate, along one axis.
#[derive(Clone, Debug)]
struct Mixer {
    norm: Linear,
    fc1: Linear,
    fc2: Linear,
    gate: Linear,
    rate: f32,
}

impl Mixer {
    /// A mixer of `width` values, of tensors whose patches have `d_model` numbers.
    fn new(params: &mut Params, name: &str, width: usize, of: &Widths) -> catalog::Result<Mixer> {
        let norm = format!("{name}.norm.norm");
        let hidden = width * of.expansion;
        Ok(Mixer {
            norm: Linear {
                weight: params.constant(&format!("{norm}.weight"), &[of.d_model], 1.0)?,
                bias: params.constant(&format!("{norm}.bias"), &[of.d_model], 0.0)?,
            },
            fc1: params.linear(&format!("{name}.mlp.fc1"), width, hidden)?,
            fc2: params.linear(&format!("{name}.mlp.fc2"), hidden, width)?,
            gate: params.linear(&format!("{name}.gating_block.attn_layer"), width, width)?,
            rate: of.dropout,
        })
    }

    fn norm(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm(x, &self.norm.weight, &self.norm.bias)
    }

    fn mlp(&self, x: &Tensor, draw: &mut Draw<'_>) -> Result<Tensor> {
        let hidden = dropout(ops::gelu(&linear(&self.fc1, x)?)?, self.rate, draw)?;
        dropout(linear(&self.fc2, &hidden)?, self.rate, draw)
    }

    fn gated(&self, x: &Tensor) -> Result<Tensor> {
        ops::gate(x, &linear(&self.gate, x)?)
    }

    fn detach(&mut self) {
        for layer in [&mut self.norm, &mut self.fc1, &mut self.fc2, &mut self.gate] {
            detach(layer);
        }
    }
}

pub(super) fn detach(layer: &mut Linear) {
    layer.weight = layer.weight.detach();
    layer.bias = layer.bias.detach();
}

/// The sizes that a layer is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    pub(super) patches: usize,
    pub(super) d_model: usize,
    pub(super) expansion: usize,
    /// Channels where they are mixed; 0 where they are not.
    pub(super) channels: usize,
    pub(super) dropout: f32,
}

/// One layer: channels where they are mixed, then patches, then the numbers of each patch.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    channels: Option<Mixer>,
    patches: Mixer,
    numbers: Mixer,
}

impl Layer {
    pub(super) fn new(params: &mut Params, name: &str, of: &Widths) -> catalog::Result<Layer> {
        let channel_mixer = format!("{name}.channel_feature_mixer");
        let channels = match of.channels {
            0 => None,
            count => Some(Mixer::new(params, &channel_mixer, count, of)?),
        };
        Ok(Layer {
            channels,
            patches: Mixer::new(params, &format!("{name}.patch_mixer"), of.patches, of)?,
            numbers: Mixer::new(params, &format!("{name}.feature_mixer"), of.d_model, of)?,
        })
    }

    /// `x`: (windows * channels) x patches x d_model.
    pub(super) fn forward(&self, x: &Tensor, draw: &mut Draw<'_>) -> Result<Tensor> {
        let mut x = x.clone();
        if let Some(mixer) = &self.channels {
            x = (mix_channels(mixer, &x, draw)? + x)?;
        }
        let across = self.patches.norm(&x)?.transpose(1, 2)?.contiguous()?;
        let across = self.patches.gated(&self.patches.mlp(&across, draw)?)?;
        x = (across.transpose(1, 2)?.contiguous()? + x)?;
        let along = self.numbers.mlp(&self.numbers.norm(&x)?, draw)?;
        self.numbers.gated(&along)? + x
    }

    pub(super) fn detach(&mut self) {
        self.channels.iter_mut().for_each(Mixer::detach);
        self.patches.detach();
        self.numbers.detach();
    }
}

/// Here the gate comes before the layers, unlike in the other two.
fn mix_channels(mixer: &Mixer, x: &Tensor, draw: &mut Draw<'_>) -> Result<Tensor> {
    let (rows, patches, d_model) = x.dims3()?;
    let channels = mixer.gate.bias.elem_count();
    let shape = (rows / channels, channels, patches * d_model);
    let last = mixer.norm(x)?.reshape(shape)?.transpose(1, 2)?;
    let mixed = mixer.mlp(&mixer.gated(&last.contiguous()?)?, draw)?;
    mixed.transpose(1, 2)?.contiguous()?.reshape(x.shape())
}
