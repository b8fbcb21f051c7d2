//! Windows as the network reads them: one row for each channel, each scaled by itself.
use candle_core::{Device, Tensor};
use catalog::Result;

use super::network::Io;
use crate::dataset::Dataset;
use crate::neural::failed;

/// Keeps a window without variance from being divided by nothing.
const EPSILON: f32 = 1e-5;

/// Some windows, and how to bring forecasts back into the scale of the features.
pub(super) struct Windows {
    /// (windows * channels) x context; missing values are 0, the mean.
    pub(super) scaled: Tensor,
    /// (windows * targets) x context: those rows of `scaled` that are forecast.
    pub(super) targets: Tensor,
    /// The mean of each row of `targets`, (windows * targets) x 1.
    pub(super) location: Tensor,
    /// Its standard deviation.
    pub(super) scale: Tensor,
}

/// What the channels of `io` are among the columns of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Channels {
    /// Numbers of a row.
    pub(super) width: usize,
    /// The columns that are read, one channel each.
    pub(super) columns: Vec<usize>,
}

impl Windows {
    /// Gathers `windows`, each context x `width` numbers, one row after the other.
    pub(super) fn gather<'a>(
        windows: impl ExactSizeIterator<Item = &'a [f32]>,
        channels: &Channels,
        io: &Io,
        device: &Device,
    ) -> Result<Windows> {
        let count = windows.len();
        let mut scaled = Vec::with_capacity(count * io.channels * io.context);
        let (mut location, mut scale) = (Vec::new(), Vec::new());
        for window in windows {
            for (channel, column) in channels.columns.iter().enumerate() {
                let values = window.iter().skip(*column).step_by(channels.width);
                let (mean, deviation) = moments(&values);
                scaled.extend(values.map(|v| match v.is_nan() {
                    true => 0.0,
                    false => (v - mean) / deviation,
                }));
                if io.targets.contains(&channel) {
                    location.push(mean);
                    scale.push(deviation);
                }
            }
        }
        let forecasts = location.len();
        let tensor = |values, dims| Tensor::from_vec(values, dims, device);
        let make = || {
            let scaled = tensor(scaled, (count * io.channels, io.context))?;
            Ok(Windows {
                targets: io.of_targets(&scaled)?,
                scaled,
                location: tensor(location, (forecasts, 1))?,
                scale: tensor(scale, (forecasts, 1))?,
            })
        };
        make().map_err(failed)
    }

    /// Forecasts of scaled windows in the scale of the features.
    pub(super) fn unscale(&self, forecasts: &Tensor) -> candle_core::Result<Tensor> {
        let scaled = forecasts.broadcast_mul(&self.scale)?;
        scaled.broadcast_add(&self.location)
    }
}

/// What followed windows, (windows * targets) x horizon in the scale of the features, and 1 where
/// it is known, 0 where it is missing (and 0 then).
pub(super) fn truth(
    data: &Dataset,
    ends: &[usize],
    device: &Device,
) -> candle_core::Result<(Tensor, Tensor)> {
    let width = data.columns();
    let mut values = Vec::with_capacity(ends.len() * data.targets.len() * data.horizon);
    for end in ends {
        let future = data.future(*end);
        for target in &data.targets {
            values.extend(future.iter().skip(*target).step_by(width));
        }
    }
    let known = values
        .iter()
        .map(|v: &f32| f32::from(u8::from(!v.is_nan())));
    let known: Vec<f32> = known.collect();
    for value in values.iter_mut().filter(|v| v.is_nan()) {
        *value = 0.0;
    }
    let dims = (ends.len() * data.targets.len(), data.horizon);
    Ok((
        Tensor::from_vec(values, dims, device)?,
        Tensor::from_vec(known, dims, device)?,
    ))
}

/// Mean and square root of the variance (over all values) + 1e-5 of the values that are there.
fn moments<'a>(values: &(impl Iterator<Item = &'a f32> + Clone)) -> (f32, f32) {
    let known = || values.clone().filter(|v| !v.is_nan());
    let count = known().count().max(1) as f64;
    let mean = known().map(|v| f64::from(*v)).sum::<f64>() / count;
    let squares: f64 = known().map(|v| (f64::from(*v) - mean).powi(2)).sum();
    let deviation = (squares / count + f64::from(EPSILON)).sqrt();
    (mean as f32, deviation as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_is_scaled_by_its_known_values() {
        let nan = f32::NAN;
        let window = [1.0, 7.0, nan, 7.0, 3.0, 7.0, 5.0, 7.0];
        let io = Io {
            context: 4,
            horizon: 1,
            channels: 2,
            targets: vec![1],
        };
        let channels = Channels {
            width: 2,
            columns: vec![0, 1],
        };
        let windows = [&window[..]].into_iter();
        let windows = Windows::gather(windows, &channels, &io, &Device::Cpu).unwrap();
        let rows = windows.scaled.to_vec2::<f32>().unwrap();
        let deviation = (8.0_f32 / 3.0 + EPSILON).sqrt();
        assert_eq!(rows[0], [-2.0 / deviation, 0.0, 0.0, 2.0 / deviation]);
        // A constant channel is all zeros, and comes back as the constant.
        assert_eq!(rows[1], [0.0; 4]);
        assert_eq!(windows.targets.to_vec2::<f32>().unwrap(), [[0.0; 4]]);
        let back = windows.unscale(&windows.targets).unwrap();
        assert_eq!(back.to_vec2::<f32>().unwrap(), [[7.0; 4]]);
    }
}
