//! A layer of gated recurrent units on a CPU: all steps forward, and all steps back.
//!
//! In PyTorch's form of the unit (Cho et al., 2014; `torch.nn.GRU`), where `*` is by element and
//! h of the first step is 0:
//!
//! ```text
//! r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)        h' = n + z * (h - n)
//! z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)        m  = W_hn h + b_hn
//! n = tanh(W_in x + b_in + r * m)
//! ```
//!
//! and back in time, from the slope `d` of the loss by h', with `D = (d_r, d_z, d_n)` and
//! `E = (d_r, d_z, d_n * r)`:
//!
//! ```text
//! d_n = d * (1 - z) * (1 - n^2)              by h:    d * z + W_h' E
//! d_z = d * (h - n) * z * (1 - z)            by x:    W_i' D
//! d_r = d_n * m * r * (1 - r)                by W_i:  D x', by W_h: E h', by b: D and E
//! ```
//!
//! Rows of a batch do not know each other. A fixed number of them goes through all steps
//! together, on some thread, so that its working memory stays in a cache; sums over rows are
//! taken part by part in one order. So the number of threads changes no bit.
use rayon::prelude::*;

mod rows;

use rows::{Known, Rows};

use super::simd::Packed;

/// Rows that go through all steps together.
const PART: usize = 16;

/// Sizes of one layer's run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) batch: usize,
    pub(super) steps: usize,
    pub(super) inputs: usize,
    pub(super) hidden: usize,
}

/// A layer's parameters.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    /// 3 hidden x (inputs + hidden): W_i and W_h side by side.
    pub(super) weight: &'a [f32],
    /// 6 hidden: b_i and b_h.
    pub(super) bias: &'a [f32],
}

/// What the way back starts from, batch x steps x values each.
pub(super) struct Run<'a> {
    pub(super) x: &'a [f32],
    /// h' of each step.
    pub(super) states: &'a [f32],
    /// r, z, n and m of each step.
    pub(super) gates: &'a [f32],
    /// The slopes of the loss by the states.
    pub(super) slopes: &'a [f32],
}

/// Slopes of the loss.
pub(super) struct Slopes {
    /// batch x steps x inputs; empty where not asked for.
    pub(super) x: Vec<f32>,
    /// As the weights.
    pub(super) weight: Vec<f32>,
    /// As the biases.
    pub(super) bias: Vec<f32>,
}

/// Takes `x` (batch x steps x inputs) through all steps: the states, batch x steps x hidden.
/// `gates` gets batch x steps x 4 hidden values for the way back, or is none.
pub(super) fn forward(
    size: Size,
    x: &[f32],
    weights: Weights<'_>,
    gates: Option<&mut Vec<f32>>,
) -> Vec<f32> {
    let Size {
        batch,
        steps,
        inputs,
        hidden,
    } = size;
    let width = inputs + hidden;
    let by_x = Packed::new(inputs, 3 * hidden, |k, j| weights.weight[j * width + k]);
    let by_h = Packed::new(hidden, 3 * hidden, |k, j| {
        weights.weight[j * width + inputs + k]
    });
    let rows = Rows {
        steps,
        inputs,
        hidden,
        by_x: &by_x,
        by_h: &by_h,
    };
    let mut states = vec![0.0; batch * steps * hidden];
    let x = x.par_chunks(PART * steps * inputs);
    let work = x.zip(states.par_chunks_mut(PART * steps * hidden));
    match gates {
        Some(gates) => {
            gates.resize(batch * steps * 4 * hidden, 0.0);
            let gates = gates.par_chunks_mut(PART * steps * 4 * hidden);
            let work = work.zip(gates);
            work.for_each(|((x, states), gates)| {
                rows.forward(x, weights.bias, states, Some(gates));
            });
        }
        None => work.for_each(|(x, states)| rows.forward(x, weights.bias, states, None)),
    }
    states
}

/// The slopes by `x`, where asked for, and by the parameters.
pub(super) fn backward(size: Size, run: &Run<'_>, weights: Weights<'_>, by_x: bool) -> Slopes {
    let Size {
        batch,
        steps,
        inputs,
        hidden,
    } = size;
    let width = inputs + hidden;
    let to_x = Packed::new(3 * hidden, inputs, |k, j| weights.weight[k * width + j]);
    let to_h = Packed::new(3 * hidden, hidden, |k, j| {
        weights.weight[k * width + inputs + j]
    });
    let rows = Rows {
        steps,
        inputs,
        hidden,
        by_x: &to_x,
        by_h: &to_h,
    };
    let mut of_x = vec![0.0; if by_x { batch * steps * inputs } else { 0 }];
    let part = |values: &'_ [f32], wide: usize, i: usize| -> std::ops::Range<usize> {
        let from = i * PART * steps * wide;
        from..(from + PART * steps * wide).min(values.len())
    };
    let known = |i: usize| Known {
        x: &run.x[part(run.x, inputs, i)],
        states: &run.states[part(run.states, hidden, i)],
        gates: &run.gates[part(run.gates, 4 * hidden, i)],
        slopes: &run.slopes[part(run.slopes, hidden, i)],
    };
    let parts = batch.div_ceil(PART);
    let sums: Vec<(Vec<f32>, Vec<f32>)> = if by_x {
        let of_x = of_x.par_chunks_mut(PART * steps * inputs).enumerate();
        of_x.map(|(i, x)| rows.backward(&known(i), Some(x)))
            .collect()
    } else {
        let parts = (0..parts).into_par_iter();
        parts.map(|i| rows.backward(&known(i), None)).collect()
    };
    let mut sums = sums.into_iter();
    let (mut weight, mut bias) = sums.next().unwrap_or_default();
    for (more, biases) in sums {
        weight.iter_mut().zip(more).for_each(|(sum, v)| *sum += v);
        bias.iter_mut().zip(biases).for_each(|(sum, v)| *sum += v);
    }
    Slopes {
        x: of_x,
        weight,
        bias,
    }
}
