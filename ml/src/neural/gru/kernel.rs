//! The recurrence of a gated recurrent unit on a CPU: all steps forward, and all steps back.
//!
//! With the input's part `a = W_i x + b_i` of all steps at hand, in PyTorch's form of the unit
//! (Cho et al., 2014; `torch.nn.GRU`), where `*` is by element:
//!
//! ```text
//! r = sigmoid(a_r + W_hr h + b_hr)        h' = n + z * (h - n)
//! z = sigmoid(a_z + W_hz h + b_hz)        m  = W_hn h + b_hn
//! n = tanh(a_n + r * m)
//! ```
//!
//! and back in time, from the slope `d` of the loss by h':
//!
//! ```text
//! da_n = d * (1 - z) * (1 - n^2)          da_z = d * (h - n) * z * (1 - z)
//! da_r = da_n * m * r * (1 - r)           d(h) = d * z + W_hr' da_r + W_hz' da_z + W_hn' (da_n * r)
//! ```
//!
//! Rows of a batch do not know each other, so each thread takes some rows through all steps, and
//! its working memory stays in its cache.
use rayon::prelude::*;

use super::simd::{Packed, ROWS, sigmoid, tanh};

/// Sizes of one layer's run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) batch: usize,
    pub(super) steps: usize,
    pub(super) hidden: usize,
}

impl Size {
    /// Rows that one thread takes: equal parts, in whole tiles.
    fn rows_of_a_thread(self) -> usize {
        let threads = rayon::current_num_threads().max(1);
        self.batch.div_ceil(threads).next_multiple_of(ROWS)
    }
}

/// What a run forward leaves for the way back.
pub(super) struct Forward {
    /// batch x steps x hidden: h' of each step.
    pub(super) states: Vec<f32>,
    /// batch x steps x 4 hidden: r, z, n and m of each step; empty where not asked for.
    pub(super) gates: Vec<f32>,
}

/// Takes `inputs` (batch x steps x 3 hidden: the a without b_i) through all steps from a state
/// of zeros. `weight` is 3 hidden x hidden, `bias` b_i and b_h: 6 hidden.
pub(super) fn forward(
    size: Size,
    inputs: &[f32],
    weight: &[f32],
    bias: &[f32],
    keep: bool,
) -> Forward {
    let Size {
        batch,
        steps,
        hidden,
    } = size;
    let packed = Packed::new(hidden, 3 * hidden, |k, j| weight[j * hidden + k]);
    let mut states = vec![0.0; batch * steps * hidden];
    let mut gates = vec![0.0; if keep { batch * steps * 4 * hidden } else { 0 }];
    let rows = size.rows_of_a_thread();
    let row = steps * hidden;
    let inputs = inputs.par_chunks(rows * 3 * row);
    let states_of = states.par_chunks_mut(rows * row);
    let work = inputs.zip(states_of);
    let run = |inputs, states, gates| {
        Rows {
            steps,
            hidden,
            packed: &packed,
        }
        .forward(inputs, bias, states, gates);
    };
    if keep {
        let gates = gates.par_chunks_mut(rows * 4 * row);
        work.zip(gates).for_each(|((i, s), g)| run(i, s, Some(g)));
    } else {
        work.for_each(|(i, s)| run(i, s, None));
    }
    Forward { states, gates }
}

/// The slopes of the loss by the a of each step, and by W_h h + b_h: batch x steps x 3 hidden
/// each, from those by the states.
pub(super) fn backward(
    size: Size,
    weight: &[f32],
    run: &Forward,
    slopes: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let Size {
        batch,
        steps,
        hidden,
    } = size;
    let packed = Packed::new(3 * hidden, hidden, |k, j| weight[k * hidden + j]);
    let mut by_input = vec![0.0; batch * steps * 3 * hidden];
    let mut by_state = vec![0.0; batch * steps * 3 * hidden];
    let rows = size.rows_of_a_thread();
    let row = steps * hidden;
    let forward = run.states.par_chunks(rows * row);
    let forward = forward.zip(run.gates.par_chunks(rows * 4 * row));
    let slopes = slopes.par_chunks(rows * row);
    let by_inputs = by_input.par_chunks_mut(rows * 3 * row);
    let by_states = by_state.par_chunks_mut(rows * 3 * row);
    let work = forward.zip(slopes).zip(by_inputs.zip(by_states));
    work.for_each(|(((states, gates), slopes), (by_input, by_state))| {
        Rows {
            steps,
            hidden,
            packed: &packed,
        }
        .backward(
            Known {
                states,
                gates,
                slopes,
            },
            by_input,
            by_state,
        );
    });
    (by_input, by_state)
}

/// Some rows of a batch, and the recurrent weights, packed for the way they go.
struct Rows<'a> {
    steps: usize,
    hidden: usize,
    packed: &'a Packed,
}

/// What the way back starts from.
struct Known<'a> {
    states: &'a [f32],
    gates: &'a [f32],
    slopes: &'a [f32],
}

impl Rows<'_> {
    fn forward(&self, inputs: &[f32], bias: &[f32], states: &mut [f32], gates: Option<&mut [f32]>) {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            // SAFETY: the processor has just been found to have both features.
            return unsafe { self.forward_avx2(inputs, bias, states, gates) };
        }
        self.forward_as::<{ cfg!(target_arch = "aarch64") }>(inputs, bias, states, gates);
    }

    fn backward(&self, known: Known<'_>, by_input: &mut [f32], by_state: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            // SAFETY: the processor has just been found to have both features.
            return unsafe { self.backward_avx2(known, by_input, by_state) };
        }
        self.backward_as::<{ cfg!(target_arch = "aarch64") }>(known, by_input, by_state);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn forward_avx2(
        &self,
        inputs: &[f32],
        bias: &[f32],
        states: &mut [f32],
        gates: Option<&mut [f32]>,
    ) {
        self.forward_as::<true>(inputs, bias, states, gates);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn backward_avx2(&self, known: Known<'_>, by_input: &mut [f32], by_state: &mut [f32]) {
        self.backward_as::<true>(known, by_input, by_state);
    }

    #[inline(always)]
    fn forward_as<const FMA: bool>(
        &self,
        inputs: &[f32],
        bias: &[f32],
        states: &mut [f32],
        mut gates: Option<&mut [f32]>,
    ) {
        let (steps, hidden) = (self.steps, self.hidden);
        let rows = states.len() / (steps * hidden);
        let padded = rows.next_multiple_of(ROWS);
        // The state before the step, in tiles.
        let mut tiles = vec![0.0; padded * hidden];
        let mut recurrent = vec![0.0; padded * self.packed.columns];
        let mut scratch = vec![0.0; 4 * hidden];
        let [b_ir, b_iz, b_in, b_hr, b_hz, b_hn] = parts(bias, hidden);
        for step in 0..steps {
            self.packed.multiply::<FMA>(&tiles, &mut recurrent);
            for row in 0..rows {
                let at = row * steps + step;
                let [a_r, a_z, a_n] = parts(&inputs[at * 3 * hidden..], hidden);
                let [u_r, u_z, u_n] = parts(&recurrent[row * self.packed.columns..], hidden);
                let tile = &mut tiles[row / ROWS * ROWS * hidden..][..ROWS * hidden];
                let gates = match &mut gates {
                    Some(gates) => &mut gates[at * 4 * hidden..][..4 * hidden],
                    None => &mut scratch[..],
                };
                let [r, z, n, m] = parts_mut(gates, hidden);
                let state = &mut states[at * hidden..][..hidden];
                for j in 0..hidden {
                    r[j] = sigmoid::<FMA>(a_r[j] + b_ir[j] + (u_r[j] + b_hr[j]));
                    z[j] = sigmoid::<FMA>(a_z[j] + b_iz[j] + (u_z[j] + b_hz[j]));
                    m[j] = u_n[j] + b_hn[j];
                    n[j] = tanh::<FMA>(a_n[j] + b_in[j] + r[j] * m[j]);
                }
                let (before, _) = tile.as_chunks_mut::<ROWS>();
                let rest = state.iter_mut().zip(before).zip(n.iter().zip(&*z));
                for ((state, before), (n, z)) in rest {
                    let before = &mut before[row % ROWS];
                    *state = n + z * (*before - n);
                    *before = *state;
                }
            }
        }
    }

    #[inline(always)]
    fn backward_as<const FMA: bool>(
        &self,
        known: Known<'_>,
        by_input: &mut [f32],
        by_state: &mut [f32],
    ) {
        let (steps, hidden) = (self.steps, self.hidden);
        let rows = known.states.len() / (steps * hidden);
        let padded = rows.next_multiple_of(ROWS);
        let columns = self.packed.columns;
        let start = vec![0.0; hidden];
        // Slopes by W_h h + b_h, in tiles; what they come to by h; and the rest of that.
        let mut tiles = vec![0.0; padded * 3 * hidden];
        let mut through = vec![0.0; padded * columns];
        let mut beside = vec![0.0; padded * hidden];
        for step in (0..steps).rev() {
            for row in 0..rows {
                let at = row * steps + step;
                let [slope] = parts(&known.slopes[at * hidden..], hidden);
                let [r, z, n, m] = parts(&known.gates[at * 4 * hidden..], hidden);
                let before = match step {
                    0 => &start[..],
                    _ => &known.states[(at - 1) * hidden..][..hidden],
                };
                let [through] = parts(&through[row * columns..], hidden);
                let [beside] = parts_mut(&mut beside[row * hidden..], hidden);
                let [i_r, i_z, i_n] = parts_mut(&mut by_input[at * 3 * hidden..], hidden);
                let [h_r, h_z, h_n] = parts_mut(&mut by_state[at * 3 * hidden..], hidden);
                for j in 0..hidden {
                    let d = slope[j] + beside[j] + through[j];
                    let d_n = d * (1.0 - z[j]) * (1.0 - n[j] * n[j]);
                    let d_z = d * (before[j] - n[j]) * z[j] * (1.0 - z[j]);
                    let d_r = d_n * m[j] * r[j] * (1.0 - r[j]);
                    (i_r[j], i_z[j], i_n[j]) = (d_r, d_z, d_n);
                    (h_r[j], h_z[j], h_n[j]) = (d_r, d_z, d_n * r[j]);
                    beside[j] = d * z[j];
                }
                let tile = &mut tiles[row / ROWS * ROWS * 3 * hidden..][..ROWS * 3 * hidden];
                let (tile, _) = tile.as_chunks_mut::<ROWS>();
                let slopes = &by_state[at * 3 * hidden..][..3 * hidden];
                for (tile, slope) in tile.iter_mut().zip(slopes) {
                    tile[row % ROWS] = *slope;
                }
            }
            self.packed.multiply::<FMA>(&tiles, &mut through);
        }
    }
}

/// The first `N` runs of `hidden` values.
#[inline(always)]
fn parts<const N: usize>(values: &[f32], hidden: usize) -> [&[f32]; N] {
    std::array::from_fn(|i| &values[i * hidden..(i + 1) * hidden])
}

#[inline(always)]
fn parts_mut<const N: usize>(values: &mut [f32], hidden: usize) -> [&mut [f32]; N] {
    let mut parts = values.chunks_exact_mut(hidden);
    std::array::from_fn(|_| parts.next().expect("values hold N parts"))
}
