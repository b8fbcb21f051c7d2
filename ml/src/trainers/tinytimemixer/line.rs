//! The linear path beside the network: ridge regression (Hoerl and Kennard, 1970) from the
//! differences of a window's values from its last one to those of the horizon's.
use candle_core::{Device, Tensor};
use catalog::{Error, Result};

use super::network::Io;
use super::windows::{Channels, Windows, truth};
use crate::dataset::{Dataset, Part};
use crate::neural::failed;

/// Penalties tried, over the mean square of the differences and the number of samples.
const PENALTIES: [f64; 9] = [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0];
/// The penalty where no validation part tells.
const USUAL_PENALTY: f64 = 0.1;
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
}

/// Solves the regression on the training part, in the scale of the features, with the penalty
/// that has the least squared error on the validation part: horizon x context weights.
pub(super) fn fit(data: &Dataset, channels: &Channels, io: &Io, device: &Device) -> Result<Tensor> {
    let sums = sums(data, channels, io, device)?;
    let weight = |penalty| solve(&sums, io, penalty, device);
    let penalties = PENALTIES.iter().filter(|_| data.validation.len() > 0);
    let mut best: Option<(f64, Tensor)> = None;
    for penalty in penalties {
        let weight = weight(*penalty)?;
        let error = error(&weight, data, &data.validation, channels, io)?;
        tracing::debug!(penalty, error, "linear path");
        if best.as_ref().is_none_or(|(least, _)| error < *least) {
            best = Some((error, weight));
        }
    }
    best.map_or_else(|| weight(USUAL_PENALTY), |(_, weight)| Ok(weight))
}

fn sums(data: &Dataset, channels: &Channels, io: &Io, device: &Device) -> Result<Sums> {
    let mut sums = Sums {
        inputs: vec![0.0; io.context * io.context],
        outputs: vec![0.0; io.context * io.horizon],
    };
    for ends in data.train.ends.chunks(CHUNK) {
        let windows = Windows::gather(
            ends.iter().map(|end| data.window(*end)),
            channels,
            io,
            device,
        )?;
        let products = || {
            let (truth, known) = truth(data, ends, device)?;
            // A row counts where its whole horizon is known.
            let known = known.min_keepdim(1)?;
            let raw = windows.unscale(&windows.targets)?;
            let last = raw.narrow(1, io.context - 1, 1)?;
            let x = raw.broadcast_sub(&last)?.broadcast_mul(&known)?;
            let y = truth.broadcast_sub(&last)?;
            Ok((x.t()?.matmul(&x)?, x.t()?.matmul(&y)?))
        };
        let (inputs, outputs) = products().map_err(failed)?;
        add(&mut sums.inputs, &inputs)?;
        add(&mut sums.outputs, &outputs)?;
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

/// The mean squared error on `part`, in the scale of the features.
fn error(
    weight: &Tensor,
    data: &Dataset,
    part: &Part,
    channels: &Channels,
    io: &Io,
) -> Result<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for ends in part.ends.chunks(CHUNK) {
        let windows = Windows::gather(
            ends.iter().map(|end| data.window(*end)),
            channels,
            io,
            weight.device(),
        )?;
        let squares = || {
            let (truth, known) = truth(data, ends, weight.device())?;
            let forecast = windows.unscale(&forecast(weight, &windows.targets)?)?;
            let squares = ((forecast - truth)?.sqr()? * &known)?.sum_all()?;
            Ok((
                squares.to_scalar::<f32>()?,
                known.sum_all()?.to_scalar::<f32>()?,
            ))
        };
        let (squares, known) = squares().map_err(failed)?;
        sum += f64::from(squares);
        count += f64::from(known);
    }
    Ok(sum / f64::max(count, 1.0))
}
