//! TinyTimeMixer's tree of modules and its forward pass, with the tensor names of the published
//! checkpoints (Ekambaram et al., "Tiny Time Mixers", 2024).
use candle_core::{Result, Tensor};

use super::mixer::{Draw, Layer, Widths, detach, dropout, linear};
use crate::neural::{Linear, Params};
use crate::spec::TinyTimeMixerSpec;

/// The names of all that [`crate::spec::Freeze::Encoder`] leaves as it is.
pub(super) const ENCODER: &str = "backbone.";
/// The last layer.
pub(super) const HEAD: &str = "head.base_forecast_block";

/// What a network reads and answers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Io {
    /// Rows of a window.
    pub(super) context: usize,
    /// Rows of a forecast.
    pub(super) horizon: usize,
    /// Channels of a window that are read.
    pub(super) channels: usize,
    /// Positions, among those, of the ones that are forecast.
    pub(super) targets: Vec<usize>,
}

impl Io {
    /// Of rows, one for each channel of each window, those of channels that are forecast.
    pub(super) fn of_targets(&self, x: &Tensor) -> Result<Tensor> {
        if self.targets.iter().copied().eq(0..self.channels) {
            return Ok(x.clone());
        }
        let (rows, width) = x.dims2()?;
        let which: Vec<u32> = self.targets.iter().map(|t| *t as u32).collect();
        let which = Tensor::new(which, x.device())?;
        let windows = x.reshape((rows / self.channels, self.channels, width))?;
        windows.index_select(&which, 1)?.reshape(((), width))
    }
}

/// The network.
#[derive(Clone, Debug)]
pub(super) struct Network {
    patcher: Linear,
    /// Parts that a level cuts each patch into, and its layers.
    levels: Vec<(usize, Vec<Layer>)>,
    /// None where decoder and encoder have the same width.
    adapter: Option<Linear>,
    decoder: Vec<Layer>,
    head: Linear,
    patch: usize,
    head_dropout: f32,
    io: Io,
}

impl Network {
    /// Makes or reads the parameters. Errors are those of [`Params`].
    pub(super) fn new(
        params: &mut Params,
        spec: &TinyTimeMixerSpec,
        io: &Io,
    ) -> catalog::Result<Network> {
        let patches = io.context / spec.patch;
        let mixed = |on: bool| if on { io.channels } else { 0 };
        let patcher = params.linear("backbone.encoder.patcher", spec.patch, spec.d_model)?;
        let mut levels = Vec::new();
        for level in 0..spec.levels {
            let parts = 1 << (spec.levels - 1 - level);
            let widths = Widths {
                patches: patches * parts,
                d_model: spec.d_model / parts,
                expansion: spec.expansion,
                channels: mixed(spec.mix_channel),
                dropout: spec.dropout as f32,
            };
            let name = format!("backbone.encoder.mlp_mixer_encoder.mixers.{level}.mixer_layers");
            let layers =
                (0..spec.layers).map(|i| Layer::new(params, &format!("{name}.{i}"), &widths));
            levels.push((parts, layers.collect::<catalog::Result<_>>()?));
        }
        let adapter = match spec.d_model == spec.decoder_d_model {
            true => None,
            false => Some(params.linear("decoder.adapter", spec.d_model, spec.decoder_d_model)?),
        };
        let widths = Widths {
            patches,
            d_model: spec.decoder_d_model,
            expansion: spec.expansion,
            channels: mixed(spec.decoder_mix_channel),
            dropout: spec.head_dropout as f32,
        };
        let name = "decoder.decoder_block.mixers";
        let decoder =
            (0..spec.decoder_layers).map(|i| Layer::new(params, &format!("{name}.{i}"), &widths));
        let decoder = decoder.collect::<catalog::Result<_>>()?;
        let flat = patches * spec.decoder_d_model;
        Ok(Network {
            patcher,
            levels,
            adapter,
            decoder,
            head: params.linear(HEAD, flat, io.horizon)?,
            patch: spec.patch,
            head_dropout: spec.head_dropout as f32,
            io: io.clone(),
        })
    }

    /// The forecasts, (windows * targets) x horizon, of scaled `windows`, (windows * channels) x
    /// context, in their scale. `draw` drops values while training; where the encoder is
    /// `frozen`, neither values are dropped in it nor gradients taken through it.
    pub(super) fn forward(
        &self,
        windows: &Tensor,
        frozen: bool,
        mut draw: Draw<'_>,
    ) -> Result<Tensor> {
        let x = if frozen {
            self.encode(windows, &mut None)?.detach()
        } else {
            self.encode(windows, &mut draw)?
        };
        let mut x = match &self.adapter {
            Some(adapter) => linear(adapter, &x)?,
            None => x,
        };
        for layer in &self.decoder {
            x = layer.forward(&x, &mut draw)?;
        }
        let x = self.io.of_targets(&x.flatten_from(1)?)?;
        linear(&self.head, &dropout(x, self.head_dropout, &mut draw)?)
    }

    fn encode(&self, windows: &Tensor, draw: &mut Draw<'_>) -> Result<Tensor> {
        let (rows, context) = windows.dims2()?;
        let patches = windows.reshape((rows, context / self.patch, self.patch))?;
        let mut x = linear(&self.patcher, &patches)?;
        for (parts, layers) in &self.levels {
            let whole = x.dims3()?;
            x = x.reshape((rows, whole.1 * parts, whole.2 / parts))?;
            for layer in layers {
                x = layer.forward(&x, draw)?;
            }
            x = x.reshape(whole)?;
        }
        Ok(x)
    }

    /// The same network without gradients, which needs far less memory.
    pub(super) fn detached(&self) -> Network {
        let mut network = self.clone();
        detach(&mut network.patcher);
        detach(&mut network.head);
        network.adapter.iter_mut().for_each(detach);
        let encoder = network.levels.iter_mut().flat_map(|(_, layers)| layers);
        encoder.chain(&mut network.decoder).for_each(Layer::detach);
        network
    }
}
