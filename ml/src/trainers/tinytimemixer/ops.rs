//! Operations of the network in one pass over memory each, forward and backward.
//!
//! On the CPU candle composes them of many small ones, and its own fused layer norm and softmax
//! have no gradient. On other devices they are composed.
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, D, Layout, Result, Shape, Tensor};
use candle_nn::ops;

/// Of layer norms, as PyTorch's.
const EPSILON: f32 = 1e-5;

/// Adds `bias` to each row of `x`, rows x columns.
pub(super) fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return x.broadcast_add(bias);
    }
    x.apply_op2(bias, AddBias)
}

/// x P(X <= x) for a standard normal X: the exact GELU (Hendrycks and Gimpel, 2016).
pub(super) fn gelu(x: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return x.gelu_erf();
    }
    x.apply_op1(Gelu)
}

/// x * softmax(scores), the softmax over each row.
pub(super) fn gate(x: &Tensor, scores: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return x * ops::softmax(scores, D::Minus1)?;
    }
    x.apply_op2(scores, Gate)
}

/// Each row of `x` brought to mean 0 and variance 1, times `weight`, plus `bias`.
pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return ops::layer_norm_slow(x, weight, bias, EPSILON);
    }
    x.apply_op3(weight, bias, LayerNorm)
}

/// Sets each value to 0 with the probability `rate`, and scales the others up to keep the mean.
/// The same `seed` gives the same choice.
pub(super) fn dropout(x: &Tensor, rate: f32, seed: u64) -> Result<Tensor> {
    let op = Dropout { rate, seed };
    if x.device().is_cpu() {
        return x.apply_op1(op);
    }
    let mut mask = vec![1.0; x.elem_count()];
    op.apply(&mut mask);
    x * Tensor::from_vec(mask, x.shape(), x.device())?
}

struct AddBias;

impl CustomOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        at_x: &Layout,
        bias: &CpuStorage,
        at_bias: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let bias = slice(bias, at_bias)?;
        let mut out = slice(x, at_x)?.to_vec();
        for row in out.chunks_exact_mut(bias.len()) {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value += bias;
            }
        }
        Ok((CpuStorage::F32(out), at_x.shape().clone()))
    }

    fn bwd(
        &self,
        _x: &Tensor,
        bias: &Tensor,
        _out: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut sums = vec![0.0; bias.elem_count()];
        with_values(gradient, |gradient| {
            for row in gradient.chunks_exact(sums.len()) {
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += value;
                }
            }
        })?;
        let sums = Tensor::from_vec(sums, bias.shape(), bias.device())?;
        Ok((Some(gradient.clone()), Some(sums)))
    }
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, at: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = slice(x, at)?.iter().map(|x| x * normal_cdf(*x)).collect();
        Ok((CpuStorage::F32(out), at.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _out: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        const DENSITY_AT_0: f32 = 0.398_942_3;
        let slope = |x: f32| normal_cdf(x) + x * DENSITY_AT_0 * exp(-0.5 * x * x);
        let out = with_values(x, |x| {
            with_values(gradient, |gradient| {
                let pairs = x.iter().zip(gradient);
                pairs.map(|(x, g)| g * slope(*x)).collect::<Vec<f32>>()
            })
        })??;
        Tensor::from_vec(out, x.shape(), x.device()).map(Some)
    }
}

struct Gate;

impl CustomOp2 for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        at_x: &Layout,
        scores: &CpuStorage,
        at_scores: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let width = columns(at_x);
        let mut out = slice(scores, at_scores)?.to_vec();
        let x = slice(x, at_x)?;
        for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            softmax(out);
            for (out, x) in out.iter_mut().zip(x) {
                *out *= x;
            }
        }
        Ok((CpuStorage::F32(out), at_x.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scores: &Tensor,
        _out: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let width = x.dim(D::Minus1)?;
        let mut of_x = values(gradient)?;
        let mut of_scores = values(scores)?;
        with_values(x, |x| {
            let rows = of_x.chunks_exact_mut(width);
            let rows = rows.zip(of_scores.chunks_exact_mut(width));
            for ((gradient, weights), x) in rows.zip(x.chunks_exact(width)) {
                softmax(weights);
                let mut mean = 0.0;
                for ((g, w), x) in gradient.iter().zip(&*weights).zip(x) {
                    mean += g * w * x;
                }
                for ((g, w), x) in gradient.iter_mut().zip(weights).zip(x) {
                    let weight = *w;
                    *w *= *g * x - mean;
                    *g *= weight;
                }
            }
        })?;
        let of_x = Tensor::from_vec(of_x, x.shape(), x.device())?;
        let of_scores = Tensor::from_vec(of_scores, x.shape(), x.device())?;
        Ok((Some(of_x), Some(of_scores)))
    }
}

struct LayerNorm;

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        at_x: &Layout,
        weight: &CpuStorage,
        at_weight: &Layout,
        bias: &CpuStorage,
        at_bias: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (weight, bias) = (slice(weight, at_weight)?, slice(bias, at_bias)?);
        let mut out = slice(x, at_x)?.to_vec();
        for row in out.chunks_exact_mut(weight.len()) {
            standardise(row);
            for ((value, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
                *value = *value * weight + bias;
            }
        }
        Ok((CpuStorage::F32(out), at_x.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _out: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = bias.elem_count();
        let scale = values(weight)?;
        let mut of_x = values(x)?;
        let (mut of_weight, mut of_bias) = (vec![0.0; width], vec![0.0; width]);
        with_values(gradient, |gradient| {
            let rows = of_x.chunks_exact_mut(width);
            for (row, gradient) in rows.zip(gradient.chunks_exact(width)) {
                let inverse = standardise(row);
                let (mut mean, mut along) = (0.0, 0.0);
                for i in 0..width {
                    of_bias[i] += gradient[i];
                    of_weight[i] += gradient[i] * row[i];
                    let g = gradient[i] * scale[i];
                    mean += g;
                    along += g * row[i];
                }
                let (mean, along) = (mean / width as f32, along / width as f32);
                for i in 0..width {
                    row[i] = inverse * (gradient[i] * scale[i] - mean - row[i] * along);
                }
            }
        })?;
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        Ok((
            Some(tensor(of_x, x)?),
            Some(tensor(of_weight, weight)?),
            Some(tensor(of_bias, bias)?),
        ))
    }
}

struct Dropout {
    rate: f32,
    seed: u64,
}

impl Dropout {
    /// Which values go depends on their place alone, so the backward pass needs no mask.
    fn apply(&self, values: &mut [f32]) {
        let least = (f64::from(self.rate) * f64::from(u32::MAX)) as u32;
        let scale = 1.0 / (1.0 - self.rate);
        let (low, high) = (self.seed as u32, (self.seed >> 32) as u32);
        for (place, value) in values.iter_mut().enumerate() {
            // The finaliser of MurmurHash3, twice keyed.
            let mut hash = (place as u32).wrapping_mul(0x9e37_79b9) ^ low;
            hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
            hash = (hash ^ (hash >> 13) ^ high).wrapping_mul(0xc2b2_ae35);
            hash ^= hash >> 16;
            *value *= if hash >= least { scale } else { 0.0 };
        }
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, at: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut out = slice(x, at)?.to_vec();
        self.apply(&mut out);
        Ok((CpuStorage::F32(out), at.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _out: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let mut out = values(gradient)?;
        self.apply(&mut out);
        Tensor::from_vec(out, x.shape(), x.device()).map(Some)
    }
}

/// Brings a row to mean 0 and variance 1; gives what it was multiplied by.
fn standardise(row: &mut [f32]) -> f32 {
    let count = row.len() as f32;
    let mean = row.iter().sum::<f32>() / count;
    let mut squares = 0.0;
    for value in row.iter_mut() {
        *value -= mean;
        squares += *value * *value;
    }
    let inverse = 1.0 / (squares / count + EPSILON).sqrt();
    for value in row.iter_mut() {
        *value *= inverse;
    }
    inverse
}

fn softmax(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in row.iter_mut() {
        *value = exp(*value - most);
        sum += *value;
    }
    let inverse = 1.0 / sum;
    for value in row.iter_mut() {
        *value *= inverse;
    }
}

/// The probability that a standard normal is at most `x`, to 1e-7: Abramowitz and Stegun,
/// Handbook of Mathematical Functions, 7.1.26.
fn normal_cdf(x: f32) -> f32 {
    const TERMS: [f32; 5] = [
        0.254_829_6,
        -0.284_496_74,
        1.421_413_7,
        -1.453_152,
        1.061_405_4,
    ];
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let polynomial = TERMS.iter().rev().fold(0.0, |sum, term| (sum + term) * t);
    let half = 0.5 * polynomial * exp(-z * z);
    if x < 0.0 { half } else { 1.0 - half }
}

/// e to the power `x`, to two units in the last place: 2 to a whole power, times the series of
/// what is left. Unlike the library's, loops over it become vector instructions.
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    // ln 2 in two parts, so that little is lost in the difference.
    let rest = (x - whole * 0.693_359_4) - whole * -2.121_944_4e-4;
    let series = 1.0 / 5040.0;
    let series = series * rest + 1.0 / 720.0;
    let series = series * rest + 1.0 / 120.0;
    let series = series * rest + 1.0 / 24.0;
    let series = series * rest + 1.0 / 6.0;
    let series = series * rest + 0.5;
    let series = series * rest * rest + rest + 1.0;
    let power = (shifted.to_bits() << 23).wrapping_add(0x3f80_0000);
    series * f32::from_bits(power)
}

/// Values one after the other of a storage.
fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (from, to) = layout
        .contiguous_offsets()
        .ok_or_else(|| candle_core::Error::msg("values are expected one after the other"))?;
    Ok(&storage.as_slice::<f32>()?[from..to])
}

fn columns(layout: &Layout) -> usize {
    layout.dims().last().copied().unwrap_or(1)
}

/// A copy of a tensor's values.
fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    with_values(tensor, <[f32]>::to_vec)
}

/// Calls `work` with a tensor's values, which lie on the CPU.
fn with_values<T>(tensor: &Tensor, work: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        candle_core::Storage::Cpu(storage) => Ok(work(slice(storage, layout)?)),
        _ => Err(candle_core::Error::msg("values are expected on the CPU")),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    fn var(rows: usize, columns: usize, salt: f32) -> Var {
        let values = (0..rows * columns).map(|i| ((i as f32 + salt) * 0.7).sin() * 3.0);
        Var::from_vec(values.collect(), (rows, columns), &Device::Cpu).unwrap()
    }

    fn close(a: &Tensor, b: &Tensor) {
        let (a, b) = (values(a).unwrap(), values(b).unwrap());
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() < 2e-6 * (1.0 + b.abs()), "{a} and {b}");
        }
    }

    /// Values and gradients of a fused operation beside those of the composed one.
    fn same(vars: &[Var], fused: &Tensor, composed: &Tensor) {
        close(fused, composed);
        // Weighs each output by another factor.
        let factors = var(fused.dim(0).unwrap(), fused.dim(1).unwrap(), 0.4);
        let gradients = |out: &Tensor| {
            let sum = (out * factors.as_tensor()).unwrap().sum_all().unwrap();
            sum.backward().unwrap()
        };
        let (fused, composed) = (gradients(fused), gradients(composed));
        for var in vars {
            close(fused.get(var).unwrap(), composed.get(var).unwrap());
        }
    }

    #[test]
    fn fused_operations_equal_the_composed_ones_with_their_gradients() {
        let (x, y) = (var(5, 12, 0.0), var(5, 12, 9.0));
        let (w, b) = (var(1, 12, 3.0), var(1, 12, 5.0));
        let row = |v: &Var| v.as_tensor().reshape(12).unwrap();
        let (weight, bias) = (row(&w), row(&b));

        let composed = x.broadcast_add(&bias).unwrap();
        same(
            &[x.clone(), b.clone()],
            &add_bias(&x, &bias).unwrap(),
            &composed,
        );

        let composed = x.gelu_erf().unwrap();
        same(std::slice::from_ref(&x), &gelu(&x).unwrap(), &composed);

        let composed = (x.as_tensor() * ops::softmax(&y, D::Minus1).unwrap()).unwrap();
        same(&[x.clone(), y.clone()], &gate(&x, &y).unwrap(), &composed);

        let composed = ops::layer_norm_slow(&x, &weight, &bias, EPSILON).unwrap();
        let fused = layer_norm(&x, &weight, &bias).unwrap();
        same(&[x, w, b], &fused, &composed);
    }

    #[test]
    fn the_exponential_is_right_where_it_is_used() {
        for i in -87_000..88_000 {
            let x = (i as f32 * 1e-3).max(-87.0);
            let right = f64::from(x).exp();
            assert!((f64::from(exp(x)) / right - 1.0).abs() < 4e-7, "{x}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e9) < 1e-37 && exp(f32::NAN).is_nan());
    }

    #[test]
    fn dropout_keeps_the_mean_and_its_choice() {
        let ones = Var::ones((100, 1000), candle_core::DType::F32, &Device::Cpu).unwrap();
        let dropped = dropout(&ones, 0.3, 7).unwrap();
        let mean = dropped.mean_all().unwrap().to_scalar::<f32>().unwrap();
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        // What is kept in the values is kept in the gradients.
        let gradients = dropped.sum_all().unwrap().backward().unwrap();
        close(gradients.get(&ones).unwrap(), &dropped);
        close(&dropout(&ones, 0.3, 7).unwrap(), &dropped);
        let other = values(&dropout(&ones, 0.3, 8).unwrap()).unwrap();
        let dropped = values(&dropped).unwrap();
        let both = dropped.iter().zip(&other).filter(|(a, b)| **a + **b == 0.0);
        assert!((8_000..10_000).contains(&both.count()));
    }
}
