//! The linear path beside the network: ridge regression (Hoerl and Kennard, 1970) from the
//! differences of a window's values from its last one to those of the horizon's.
use candle_core::{Device, Tensor};
use catalog::{Error, Result};

use super::network::Io;
use super::windows::{Channels, Windows, truth};
use crate::dataset::Dataset;
use crate::neural::failed;

/// Penalties tried, over the mean square of the differences and the number of samples.
const PENALTIES: [f64; 8] = [1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0];
/// The penalty where there are too few windows to leave some out.
const USUAL_PENALTY: f64 = 0.1;
/// Stretches of the training part, each of which is left out once. Windows beside each other
/// share most of their rows, so leaving out single ones would tell nothing.
const STRETCHES: usize = 5;
/// Windows that are taken into the sums at a time.
const CHUNK: usize = 256;

/// What the path answers to scaled `windows`, rows x context: rows x horizon, in their scale.
/// `weight` is horizon x context.
pub(super) fn forecast(weight: &Tensor, windows: &Tensor) -> candle_core::Result<Tensor> {
    let last = windows.narrow(1, windows.dim(1)? - 1, 1)?;
    let differences = windows.broadcast_sub(&last)?;
    differences.matmul(&weight.t()?)?.broadcast_add(&last)
}

/// The sums that a ridge regression is solved from.
struct Sums {
    /// Of products of differences, context x context.
    inputs: Vec<f64>,
    /// Of differences by those of the horizon, context x horizon.
    outputs: Vec<f64>,
    /// Of the squares of those of the horizon.
    squares: f64,
}

/// Solves the regression on the training part, in the scale of the features: horizon x context
/// weights. The penalty is the one whose solution on all stretches but one has the least squared
/// error on that one, over all.
pub(super) fn fit(data: &Dataset, channels: &Channels, io: &Io, device: &Device) -> Result<Tensor> {
    let ends = &data.train.ends;
    let all = ends.chunks(ends.len().div_ceil(STRETCHES).max(1));
    let stretches = all.map(|ends| sums(data, ends, channels, io, device));
    let stretches: Vec<Sums> = stretches.collect::<Result<_>>()?;
    let total = without(&stretches, None, io);
    if stretches.len() < STRETCHES {
        return solve(&total, io, USUAL_PENALTY, device);
    }
    let mut errors = [0.0; PENALTIES.len()];
    for (left_out, stretch) in stretches.iter().enumerate() {
        let others = without(&stretches, Some(left_out), io);
        for (error, penalty) in errors.iter_mut().zip(PENALTIES) {
            let weight = solve(&others, io, penalty, device)?;
            *error += squared_error(&weight, stretch, io)?;
        }
    }
    let tried = PENALTIES.into_iter().zip(errors);
    let best = tried.min_by(|(_, a), (_, b)| a.total_cmp(b));
    let (penalty, error) = best.unwrap_or((USUAL_PENALTY, f64::NAN));
    tracing::debug!(penalty, error, "linear path");
    solve(&total, io, penalty, device)
}

/// The sums of all stretches but one.
fn without(stretches: &[Sums], left_out: Option<usize>, io: &Io) -> Sums {
    let mut total = Sums {
        inputs: vec![0.0; io.context * io.context],
        outputs: vec![0.0; io.context * io.horizon],
        squares: 0.0,
    };
    for (i, stretch) in stretches.iter().enumerate() {
        if left_out == Some(i) {
            continue;
        }
        let add = |sums: &mut [f64], values: &[f64]| {
            let sums = sums.iter_mut().zip(values);
            sums.for_each(|(sum, value)| *sum += value);
        };
        add(&mut total.inputs, &stretch.inputs);
        add(&mut total.outputs, &stretch.outputs);
        total.squares += stretch.squares;
    }
    total
}

fn sums(
    data: &Dataset,
    ends: &[usize],
    channels: &Channels,
    io: &Io,
    device: &Device,
) -> Result<Sums> {
    let mut sums = without(&[], None, io);
    for ends in ends.chunks(CHUNK) {
        let windows = ends.iter().map(|end| data.window(*end));
        let windows = Windows::gather(windows, channels, io, device)?;
        let products = || {
            let (truth, known) = truth(data, ends, device)?;
            // A row counts where its whole horizon is known.
            let known = known.min_keepdim(1)?;
            let raw = windows.unscale(&windows.targets)?;
            let last = raw.narrow(1, io.context - 1, 1)?;
            let x = raw.broadcast_sub(&last)?.broadcast_mul(&known)?;
            let y = truth.broadcast_sub(&last)?.broadcast_mul(&known)?;
            let squares = y.sqr()?.sum_all()?.to_scalar::<f32>()?;
            Ok((x.t()?.matmul(&x)?, x.t()?.matmul(&y)?, squares))
        };
        let (inputs, outputs, squares) = products().map_err(failed)?;
        add(&mut sums.inputs, &inputs)?;
        add(&mut sums.outputs, &outputs)?;
        sums.squares += f64::from(squares);
    }
    Ok(sums)
}

fn add(sums: &mut [f64], values: &Tensor) -> Result<()> {
    let values = values.flatten_all().and_then(|v| v.to_vec1::<f32>());
    for (sum, value) in sums.iter_mut().zip(values.map_err(failed)?) {
        *sum += f64::from(value);
    }
    Ok(())
}

/// The sum of squared errors on the samples of `sums`: |y|^2 - 2 w.xy + w.xx.w.
fn squared_error(weight: &Tensor, sums: &Sums, io: &Io) -> Result<f64> {
    let products = || {
        let tensor = |values: &[f64], columns| {
            let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            Tensor::from_vec(values, (io.context, columns), weight.device())
        };
        let inputs = tensor(&sums.inputs, io.context)?;
        let outputs = tensor(&sums.outputs, io.horizon)?.t()?;
        let slope = (weight.matmul(&inputs)? - (outputs * 2.0)?)?;
        (weight * slope)?.sum_all()?.to_scalar::<f32>()
    };
    Ok(sums.squares + f64::from(products().map_err(failed)?))
}

/// (inputs + penalty)^-1 outputs, transposed, by Cholesky's decomposition.
fn solve(sums: &Sums, io: &Io, penalty: f64, device: &Device) -> Result<Tensor> {
    let (n, outputs) = (io.context, io.horizon);
    let diagonal: f64 = (0..n).map(|i| sums.inputs[i * n + i]).sum();
    let mut l = sums.inputs.clone();
    for i in 0..n {
        // The last difference is always 0.
        l[i * n + i] += penalty * diagonal / n as f64 + f64::MIN_POSITIVE.sqrt();
    }
    for row in 0..n {
        for column in 0..=row {
            let (above, below) = l.split_at(row * n);
            let other = if column == row {
                below
            } else {
                &above[column * n..]
            };
            let dot: f64 = below[..column]
                .iter()
                .zip(&other[..column])
                .map(|(a, b)| a * b)
                .sum();
            let left = below[column] - dot;
            l[row * n + column] = if column < row {
                left / l[column * n + column]
            } else if left > 0.0 {
                left.sqrt()
            } else {
                let message = "the linear path has no solution: the windows hold no numbers";
                return Err(Error::invalid(message));
            };
        }
    }
    let mut weight = Vec::with_capacity(n * outputs);
    for output in 0..outputs {
        let mut x: Vec<f64> = (0..n).map(|i| sums.outputs[i * outputs + output]).collect();
        for i in 0..n {
            let dot: f64 = l[i * n..i * n + i].iter().zip(&x).map(|(a, b)| a * b).sum();
            x[i] = (x[i] - dot) / l[i * n + i];
        }
        for i in (0..n).rev() {
            x[i] /= l[i * n + i];
            let value = x[i];
            for (x, l) in x.iter_mut().zip(&l[i * n..i * n + i]) {
                *x -= l * value;
            }
        }
        weight.extend(x.iter().map(|x| *x as f32));
    }
    Tensor::from_vec(weight, (outputs, n), device).map_err(failed)
}
