//! The kernel as an operation that candle can differentiate.
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};

use super::kernel::{self, Run, Size, Weights};

/// Memory for the gates of a run, handed from one training step to the next: fresh pages would
/// cost as much as a third of the step.
pub(super) type Memory = Arc<Mutex<Vec<f32>>>;

/// All steps of one layer. What the way forward leaves is kept here for the way back.
pub(super) struct Recurrence {
    gates: Mutex<Vec<f32>>,
    /// Where the gates came from and go to; none where nothing is kept.
    memory: Option<Memory>,
}

impl Recurrence {
    /// States of all steps, batch x steps x hidden, from `x` (batch x steps x inputs), `weight`
    /// (3 hidden x (inputs + hidden)) and `bias` (b_i and b_h). Gradients flow only where there
    /// is memory for them.
    pub(super) fn run(
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        memory: Option<&Memory>,
    ) -> Result<Tensor> {
        let taken = memory.map(|memory| std::mem::take(&mut *lock(memory)));
        let operation = Recurrence {
            gates: Mutex::new(taken.unwrap_or_default()),
            memory: memory.cloned(),
        };
        match memory {
            Some(_) => x.apply_op3(weight, bias, operation),
            None => x.apply_op3_no_bwd(weight, bias, &operation),
        }
    }
}

impl Drop for Recurrence {
    fn drop(&mut self) {
        if let Some(memory) = &self.memory {
            *lock(memory) = std::mem::take(&mut *lock(&self.gates));
        }
    }
}

fn lock(memory: &Mutex<Vec<f32>>) -> std::sync::MutexGuard<'_, Vec<f32>> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CustomOp3 for Recurrence {
    fn name(&self) -> &'static str {
        "gru"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let size = size(x_layout.shape(), bias_layout.shape())?;
        let weights = Weights {
            weight: slice(weight, weight_layout)?,
            bias: slice(bias, bias_layout)?,
        };
        let mut gates = lock(&self.gates);
        let gates = self.memory.as_ref().map(|_| &mut *gates);
        let states = kernel::forward(size, slice(x, x_layout)?, weights, gates);
        let shape = (size.batch, size.steps, size.hidden).into();
        Ok((CpuStorage::F32(states), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        states: &Tensor,
        slopes: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let size = size(x.shape(), bias.shape())?;
        let slopes = slopes.contiguous()?;
        let tensors = [x, weight, bias, states, &slopes].map(Tensor::storage_and_layout);
        let [values, weights, biases, states, slopes] = &tensors;
        let gates = lock(&self.gates);
        let run = Run {
            x: host(values)?,
            states: host(states)?,
            gates: &gates,
            slopes: host(slopes)?,
        };
        let weights = Weights {
            weight: host(weights)?,
            bias: host(biases)?,
        };
        let found = kernel::backward(size, &run, weights, x.track_op());
        let device = x.device();
        let by_x = match found.x.is_empty() {
            true => None,
            false => Some(Tensor::from_vec(found.x, x.shape(), device)?),
        };
        let by_weight = Tensor::from_vec(found.weight, weight.shape(), device)?;
        let by_bias = Tensor::from_vec(found.bias, bias.shape(), device)?;
        Ok((by_x, Some(by_weight), Some(by_bias)))
    }
}

fn size(x: &Shape, bias: &Shape) -> Result<Size> {
    let (batch, steps, inputs) = x.dims3()?;
    let hidden = bias.elem_count() / 6;
    if batch * steps * inputs * hidden == 0 {
        bail!("a recurrence over {x:?} with {hidden} units has nothing to do")
    }
    Ok(Size {
        batch,
        steps,
        inputs,
        hidden,
    })
}

fn host<'a>((storage, layout): &'a (impl Deref<Target = Storage>, &Layout)) -> Result<&'a [f32]> {
    match &**storage {
        Storage::Cpu(storage) => slice(storage, layout),
        _ => bail!("this recurrence is for CPUs"),
    }
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((from, to))) => Ok(&values[from..to]),
        _ => bail!("a recurrence needs f32 values that lie side by side"),
    }
}
