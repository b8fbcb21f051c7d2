//! The kernel as an operation that candle can differentiate.
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use super::kernel::{self, Forward, Size};

/// All steps of one layer. What the way forward leaves is kept here for the way back.
pub(super) struct Recurrence {
    keep: bool,
    run: OnceLock<Forward>,
}

impl Recurrence {
    /// States of all steps, batch x steps x hidden, from `projected` (batch x steps x 3 hidden,
    /// `W_i x`), `weight` (3 hidden x hidden) and `bias` (b_i and b_h). Gradients flow only when
    /// `training`.
    pub(super) fn run(
        projected: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        training: bool,
    ) -> Result<Tensor> {
        let operation = Recurrence {
            keep: training,
            run: OnceLock::new(),
        };
        if training {
            projected.apply_op3(weight, bias, operation)
        } else {
            projected.apply_op3_no_bwd(weight, bias, &operation)
        }
    }
}

impl CustomOp3 for Recurrence {
    fn name(&self) -> &'static str {
        "gru-recurrence"
    }

    fn cpu_fwd(
        &self,
        projected: &CpuStorage,
        projected_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let size = size(projected_layout.shape())?;
        let run = kernel::forward(
            size,
            slice(projected, projected_layout)?,
            slice(weight, weight_layout)?,
            slice(bias, bias_layout)?,
            self.keep,
        );
        let states = match self.keep {
            true => run.states.clone(),
            false => return Ok((CpuStorage::F32(run.states), size.states())),
        };
        // Set once: an operation runs forward when it is made, and never again.
        let _ = self.run.set(run);
        Ok((CpuStorage::F32(states), size.states()))
    }

    fn bwd(
        &self,
        projected: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _states: &Tensor,
        slopes: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(run) = self.run.get() else {
            bail!("a recurrence has no gradient before it has run")
        };
        let size = size(projected.shape())?;
        let weight = weight.flatten_all()?.to_vec1::<f32>()?;
        let slopes = slopes.flatten_all()?.to_vec1::<f32>()?;
        let (by_input, by_state) = kernel::backward(size, &weight, run, &slopes);
        let Size {
            batch,
            steps,
            hidden,
        } = size;
        let device = projected.device();

        let mut by_bias = sum_of_rows(&by_input, 3 * hidden);
        by_bias.extend(sum_of_rows(&by_state, 3 * hidden));
        let by_bias = Tensor::from_vec(by_bias, 6 * hidden, device)?;

        // The state before each step: of zeros at first, then the one after the step before.
        let mut before = vec![0.0; batch * steps * hidden];
        let shifted = before.chunks_exact_mut(steps * hidden);
        for (before, states) in shifted.zip(run.states.chunks_exact(steps * hidden)) {
            before[hidden..].copy_from_slice(&states[..(steps - 1) * hidden]);
        }
        let before = Tensor::from_vec(before, (batch * steps, hidden), device)?;
        let by_state = Tensor::from_vec(by_state, (batch * steps, 3 * hidden), device)?;
        let by_weight = by_state.t()?.matmul(&before)?;

        let by_input = Tensor::from_vec(by_input, projected.shape(), device)?;
        Ok((Some(by_input), Some(by_weight), Some(by_bias)))
    }
}

impl Size {
    fn states(self) -> Shape {
        (self.batch, self.steps, self.hidden).into()
    }
}

fn size(projected: &Shape) -> Result<Size> {
    let (batch, steps, gates) = projected.dims3()?;
    if batch * steps * gates == 0 || gates % 3 != 0 {
        bail!("a recurrence over {projected:?} has no steps, or no three gates")
    }
    Ok(Size {
        batch,
        steps,
        hidden: gates / 3,
    })
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((from, to))) => Ok(&values[from..to]),
        (CpuStorage::F32(_), None) => bail!("a recurrence needs values that lie side by side"),
        _ => bail!("a recurrence is of {:?} only", DType::F32),
    }
}

fn sum_of_rows(values: &[f32], columns: usize) -> Vec<f32> {
    let mut sums = vec![0.0; columns];
    for row in values.chunks_exact(columns) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
    sums
}
