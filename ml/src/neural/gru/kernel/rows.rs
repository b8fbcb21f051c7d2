//! Some rows of a batch on their way through all steps. Compiled twice: for processors with AVX2
//! and FMA, and for any.
use super::super::simd::{Packed, Tiles, sigmoid, tanh};

/// Sizes, and the weights packed for the way that is taken.
pub(super) struct Rows<'a> {
    pub(super) steps: usize,
    pub(super) inputs: usize,
    pub(super) hidden: usize,
    /// From x to gates on the way forward, from gates to x on the way back.
    pub(super) by_x: &'a Packed,
    /// The same of h.
    pub(super) by_h: &'a Packed,
}

/// What the way back starts from, of these rows.
pub(super) struct Known<'a> {
    pub(super) x: &'a [f32],
    pub(super) states: &'a [f32],
    pub(super) gates: &'a [f32],
    pub(super) slopes: &'a [f32],
}

/// Calls the variant for this processor.
macro_rules! best {
    ($self:ident . $avx2:ident | $any:ident ($($argument:expr),*)) => {{
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            // SAFETY: the processor has just been found to have both features.
            return unsafe { $self.$avx2($($argument),*) };
        }
        $self.$any::<{ cfg!(target_arch = "aarch64") }>($($argument),*)
    }};
}

impl Rows<'_> {
    /// See [`super::forward`].
    pub(super) fn forward(
        &self,
        x: &[f32],
        bias: &[f32],
        states: &mut [f32],
        gates: Option<&mut [f32]>,
    ) {
        best!(self.forward_avx2 | forward_as(x, bias, states, gates));
    }

    /// The sums over rows and steps of the slopes by weights and biases; those by x go to `by_x`.
    pub(super) fn backward(
        &self,
        known: &Known<'_>,
        by_x: Option<&mut [f32]>,
    ) -> (Vec<f32>, Vec<f32>) {
        best!(self.backward_avx2 | backward_as(known, by_x))
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn forward_avx2(&self, x: &[f32], bias: &[f32], states: &mut [f32], gates: Option<&mut [f32]>) {
        self.forward_as::<true>(x, bias, states, gates);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn backward_avx2(&self, known: &Known<'_>, by_x: Option<&mut [f32]>) -> (Vec<f32>, Vec<f32>) {
        self.backward_as::<true>(known, by_x)
    }

    #[inline(always)]
    fn forward_as<const FMA: bool>(
        &self,
        x: &[f32],
        bias: &[f32],
        states: &mut [f32],
        mut gates: Option<&mut [f32]>,
    ) {
        let (steps, inputs, hidden) = (self.steps, self.inputs, self.hidden);
        let count = states.len() / (steps * hidden);
        let columns = self.by_h.columns;
        let mut inward = Tiles::zeros(count, inputs);
        let mut before = Tiles::zeros(count, hidden);
        let mut from_x = vec![0.0; inward.rows * columns];
        let mut from_h = vec![0.0; before.rows * columns];
        let mut last = vec![0.0; count * hidden];
        let mut scratch = vec![0.0; 4 * hidden];
        for step in 0..steps {
            for row in 0..count {
                inward.set_row(row, &x[(row * steps + step) * inputs..][..inputs]);
            }
            self.by_x.multiply::<FMA>(&inward, &mut from_x, false);
            self.by_h.multiply::<FMA>(&before, &mut from_h, false);
            for row in 0..count {
                let at = row * steps + step;
                let gates = match &mut gates {
                    Some(gates) => &mut gates[at * 4 * hidden..][..4 * hidden],
                    None => &mut scratch[..],
                };
                let state = &mut last[row * hidden..][..hidden];
                let sums = (&from_x[row * columns..], &from_h[row * columns..]);
                unit_forward::<FMA>(hidden, sums, bias, gates, state);
                before.set_row(row, state);
                states[at * hidden..][..hidden].copy_from_slice(state);
            }
        }
    }

    #[inline(always)]
    fn backward_as<const FMA: bool>(
        &self,
        known: &Known<'_>,
        mut by_x: Option<&mut [f32]>,
    ) -> (Vec<f32>, Vec<f32>) {
        let (steps, inputs, hidden) = (self.steps, self.inputs, self.hidden);
        let count = known.states.len() / (steps * hidden);
        let gates = 3 * hidden;
        // D and E of each row, side by side, and the slopes by h of the step before.
        let mut slopes = vec![0.0; 2 * gates];
        let mut beside = vec![0.0; count * hidden];
        let (mut tiles_x, mut tiles_h) = (Tiles::zeros(count, gates), Tiles::zeros(count, gates));
        let mut through = vec![0.0; tiles_h.rows * self.by_h.columns];
        let mut to_x = vec![0.0; tiles_x.rows * self.by_x.columns];
        // The same by gates for the sums over rows, and what they are multiplied by.
        let (mut sums_x, mut sums_h) = (Tiles::zeros(gates, count), Tiles::zeros(gates, count));
        let (mut right_x, mut right_h) =
            (Packed::zeros(count, inputs), Packed::zeros(count, hidden));
        let mut by_weight_x = vec![0.0; sums_x.rows * right_x.columns];
        let mut by_weight_h = vec![0.0; sums_h.rows * right_h.columns];
        let mut by_bias = vec![0.0; 2 * gates];
        let start = vec![0.0; hidden];
        for step in (0..steps).rev() {
            for row in 0..count {
                let at = row * steps + step;
                let before = match step {
                    0 => &start[..],
                    _ => &known.states[(at - 1) * hidden..][..hidden],
                };
                let later = (
                    &known.slopes[at * hidden..][..hidden],
                    &through[row * self.by_h.columns..][..hidden],
                );
                let beside = &mut beside[row * hidden..][..hidden];
                let of_unit = &known.gates[at * 4 * hidden..][..4 * hidden];
                unit_backward(hidden, of_unit, before, later, beside, &mut slopes);
                by_bias
                    .iter_mut()
                    .zip(&slopes)
                    .for_each(|(sum, v)| *sum += v);
                let (by_input, by_state) = slopes.split_at(gates);
                tiles_h.set_row(row, by_state);
                sums_x.set_column(row, by_input);
                sums_h.set_column(row, by_state);
                right_x.set_row(row, &known.x[at * inputs..][..inputs]);
                right_h.set_row(row, before);
                if by_x.is_some() {
                    tiles_x.set_row(row, by_input);
                }
            }
            self.by_h.multiply::<FMA>(&tiles_h, &mut through, false);
            right_x.multiply::<FMA>(&sums_x, &mut by_weight_x, true);
            right_h.multiply::<FMA>(&sums_h, &mut by_weight_h, true);
            if let Some(by_x) = &mut by_x {
                self.by_x.multiply::<FMA>(&tiles_x, &mut to_x, false);
                for row in 0..count {
                    let values = &to_x[row * self.by_x.columns..][..inputs];
                    by_x[(row * steps + step) * inputs..][..inputs].copy_from_slice(values);
                }
            }
        }
        let mut by_weight = Vec::with_capacity(gates * (inputs + hidden));
        let of_x = by_weight_x.chunks_exact(right_x.columns);
        let rows = of_x.zip(by_weight_h.chunks_exact(right_h.columns));
        for (x, h) in rows.take(gates) {
            by_weight.extend_from_slice(&x[..inputs]);
            by_weight.extend_from_slice(&h[..hidden]);
        }
        (by_weight, by_bias)
    }
}

/// One step of one row: `sums` are W_i x and W_h h, `gates` gets r, z, n and m, and `state`
/// changes from h to h'.
#[inline(always)]
fn unit_forward<const FMA: bool>(
    hidden: usize,
    sums: (&[f32], &[f32]),
    bias: &[f32],
    gates: &mut [f32],
    state: &mut [f32],
) {
    let [a_r, a_z, a_n] = parts(sums.0, hidden);
    let [u_r, u_z, u_n] = parts(sums.1, hidden);
    let [b_ir, b_iz, b_in, b_hr, b_hz, b_hn] = parts(bias, hidden);
    let [r, z, n, m] = parts_mut(gates, hidden);
    for j in 0..hidden {
        r[j] = sigmoid::<FMA>(a_r[j] + b_ir[j] + (u_r[j] + b_hr[j]));
    }
    for j in 0..hidden {
        z[j] = sigmoid::<FMA>(a_z[j] + b_iz[j] + (u_z[j] + b_hz[j]));
    }
    for j in 0..hidden {
        m[j] = u_n[j] + b_hn[j];
        n[j] = tanh::<FMA>(a_n[j] + b_in[j] + r[j] * m[j]);
    }
    for (j, state) in state[..hidden].iter_mut().enumerate() {
        *state = n[j] + z[j] * (*state - n[j]);
    }
}

/// One step of one row back: `later` are the slopes by h' from the loss and through the next
/// step's gates, `beside` that through its state, which becomes the one of this step; `slopes`
/// gets D and E.
#[inline(always)]
fn unit_backward(
    hidden: usize,
    gates: &[f32],
    before: &[f32],
    later: (&[f32], &[f32]),
    beside: &mut [f32],
    slopes: &mut [f32],
) {
    let [r, z, n, m] = parts(gates, hidden);
    let [before] = parts(before, hidden);
    let ([direct], [through]) = (parts(later.0, hidden), parts(later.1, hidden));
    let [beside] = parts_mut(beside, hidden);
    let [d_r, d_z, d_n, e_r, e_z, e_n] = parts_mut(slopes, hidden);
    for j in 0..hidden {
        let d = direct[j] + beside[j] + through[j];
        beside[j] = d * z[j];
        d_n[j] = d * (1.0 - z[j]) * (1.0 - n[j] * n[j]);
        d_z[j] = d * (before[j] - n[j]) * z[j] * (1.0 - z[j]);
    }
    for j in 0..hidden {
        d_r[j] = d_n[j] * m[j] * r[j] * (1.0 - r[j]);
        e_n[j] = d_n[j] * r[j];
    }
    e_r.copy_from_slice(d_r);
    e_z.copy_from_slice(d_z);
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
