//! The parameters of a network by name.
use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use catalog::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::failed;

/// Where networks are computed: the first GPU where the build has the feature `cuda` and one is
/// there, else the CPU.
pub(crate) fn device() -> Device {
    Device::cuda_if_available(0).unwrap_or(Device::Cpu)
}

/// A network's parameters: made with seeded values, or read from safetensors.
///
/// The same calls in the same order with the same seed give the same values.
pub(crate) struct Params {
    device: Device,
    vars: BTreeMap<String, Var>,
    source: Source,
}

enum Source {
    Seed(Box<ChaCha8Rng>),
    File(BTreeMap<String, Tensor>),
}

impl Params {
    /// Parameters to be trained from nothing.
    pub(crate) fn seeded(seed: u64, device: &Device) -> Params {
        Params {
            device: device.clone(),
            vars: BTreeMap::new(),
            source: Source::Seed(Box::new(ChaCha8Rng::seed_from_u64(seed))),
        }
    }

    /// Parameters as [`Params::to_bytes`], or another program, wrote them.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are no safetensors.
    pub(crate) fn from_bytes(bytes: &[u8], device: &Device) -> Result<Params> {
        let read = candle_core::safetensors::load_buffer(bytes, device);
        let tensors = read.map_err(|e| {
            Error::corrupt("the model is no readable safetensors file").with_source(e)
        })?;
        Ok(Params {
            device: device.clone(),
            vars: BTreeMap::new(),
            source: Source::File(tensors.into_iter().collect()),
        })
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// The parameter `name`, made uniform in [-bound, bound], or read.
    ///
    /// # Errors
    /// `Corrupt` where the file lacks it, or has it in another shape.
    pub(crate) fn uniform(&mut self, name: &str, shape: &[usize], bound: f32) -> Result<Tensor> {
        self.make(name, shape, |rng| rng.random_range(-1.0..=1.0_f32) * bound)
    }

    /// The same, made of one value throughout.
    pub(crate) fn constant(&mut self, name: &str, shape: &[usize], value: f32) -> Result<Tensor> {
        self.make(name, shape, |_| value)
    }

    /// The parameter `name` with the given values, or read: kept with the network, not trained.
    pub(crate) fn fixed(
        &mut self,
        name: &str,
        shape: &[usize],
        values: Vec<f32>,
    ) -> Result<Tensor> {
        let mut values = values.into_iter();
        let made = self.make(name, shape, |_| values.next().unwrap_or_default())?;
        Ok(made.detach())
    }

    /// A layer `x W^T + b`, with PyTorch's names and initial values: uniform within
    /// 1 / sqrt(inputs).
    pub(crate) fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Linear> {
        let bound = 1.0 / (inputs as f32).sqrt();
        Ok(Linear {
            weight: self.uniform(&format!("{name}.weight"), &[outputs, inputs], bound)?,
            bias: self.uniform(&format!("{name}.bias"), &[outputs], bound)?,
        })
    }

    fn make(
        &mut self,
        name: &str,
        shape: &[usize],
        mut next: impl FnMut(&mut ChaCha8Rng) -> f32,
    ) -> Result<Tensor> {
        let tensor = match &mut self.source {
            Source::Seed(rng) => {
                let count = shape.iter().product();
                let values: Vec<f32> = (0..count).map(|_| next(rng)).collect();
                Tensor::from_vec(values, shape, &self.device).map_err(failed)?
            }
            Source::File(tensors) => {
                let found = tensors.get(name).ok_or_else(|| {
                    Error::corrupt(format!("the model lacks the tensor '{name}'"))
                })?;
                if found.dims() != shape {
                    return Err(Error::corrupt(format!(
                        "the model's tensor '{name}' has the shape {:?}, and {shape:?} is needed",
                        found.dims()
                    )));
                }
                found.to_dtype(DType::F32).map_err(failed)?
            }
        };
        let var = Var::from_tensor(&tensor).map_err(failed)?;
        let tensor = var.as_tensor().clone();
        self.vars.insert(name.to_owned(), var);
        Ok(tensor)
    }

    /// All parameters by name.
    pub(crate) fn vars(&self) -> &BTreeMap<String, Var> {
        &self.vars
    }

    /// Copies of all values, for [`Params::restore`].
    pub(crate) fn copy(&self) -> Result<Vec<Tensor>> {
        let copies = self.vars.values().map(|var| var.as_tensor().copy());
        copies.collect::<Result<_, _>>().map_err(failed)
    }

    /// Puts copied values back.
    pub(crate) fn restore(&self, copies: &[Tensor]) -> Result<()> {
        for (var, copy) in self.vars.values().zip(copies) {
            var.set(copy).map_err(failed)?;
        }
        Ok(())
    }

    /// The last dimension of the tensor `name` in the file that is read.
    pub(crate) fn columns_of(&self, name: &str) -> Option<usize> {
        match &self.source {
            Source::Seed(_) => None,
            Source::File(tensors) => tensors.get(name)?.dims().last().copied(),
        }
    }

    /// All parameters as safetensors: the same bytes for the same values.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        Params::all_to_bytes(std::slice::from_ref(self))
    }

    /// The parameters of several networks, whose names differ, in one file.
    pub(crate) fn all_to_bytes(all: &[Params]) -> Result<Vec<u8>> {
        let cpu = |var: &Var| var.as_tensor().to_device(&Device::Cpu);
        let vars = all.iter().flat_map(|params| &params.vars);
        let tensors = vars.map(|(name, var)| Ok((name, cpu(var)?)));
        let tensors: Vec<(&String, Tensor)> = tensors.collect::<Result<_, _>>().map_err(failed)?;
        safetensors::serialize(tensors, None)
            .map_err(|e| Error::internal("the model cannot be written").with_source(e))
    }
}

/// A layer `x W^T + b`.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    /// outputs x inputs.
    pub(crate) weight: Tensor,
    /// outputs.
    pub(crate) bias: Tensor,
}

impl Linear {
    /// `x` of any shape whose last dimension is the inputs'.
    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.broadcast_matmul(&self.weight.t()?)?
            .broadcast_add(&self.bias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_they_are_read_back() {
        let make = |seed| {
            let mut params = Params::seeded(seed, &Device::Cpu);
            params.linear("a", 3, 2).unwrap();
            params.constant("b", &[4], 0.5).unwrap();
            params.to_bytes().unwrap()
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
        let mut params = Params::from_bytes(&make(1), &Device::Cpu).unwrap();
        params.linear("a", 3, 2).unwrap();
        params.constant("b", &[4], 0.0).unwrap();
        assert_eq!(params.to_bytes().unwrap(), make(1));
        let error = params.linear("a", 2, 2).unwrap_err();
        assert!(error.message().contains("'a.weight'"), "{error}");
        assert!(params.linear("c", 2, 2).is_err());
        assert!(Params::from_bytes(b"nothing", &Device::Cpu).is_err());
    }
}
