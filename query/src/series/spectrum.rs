//! The energy of a signal in a band of frequencies.
use std::sync::{Mutex, OnceLock, PoisonError};

use datafusion::common::{Result, exec_datafusion_err, exec_err};
use realfft::RealFftPlanner;

/// A band of frequencies of evenly sampled values, in Hz.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Band {
    /// Samples per second.
    pub(super) rate: f64,
    /// The lowest frequency, which is in the band.
    pub(super) low: f64,
    /// The highest frequency, which is not.
    pub(super) high: f64,
}

impl Band {
    /// The mean square of `samples`, less their mean, that lies in the band, in the square of
    /// their unit; none for fewer than two. By Parseval's theorem the bands of a signal add up to
    /// its variance.
    ///
    /// # Errors
    /// A rate that is not positive, a band that ends before it begins.
    pub(super) fn energy(self, samples: &[f64]) -> Result<Option<f64>> {
        let Band { rate, low, high } = self;
        if !(rate > 0.0 && rate.is_finite()) {
            return exec_err!("the sample rate is {rate}; it must be positive, in Hz");
        }
        if !(low >= 0.0 && high >= low) {
            return exec_err!(
                "a band of {low} to {high} Hz; it must begin at 0 or above, and not end before that"
            );
        }
        let count = samples.len();
        if count < 2 || samples.iter().any(|x| !x.is_finite()) {
            return Ok(None);
        }
        let mean = samples.iter().sum::<f64>() / count as f64;
        let mut signal: Vec<f64> = samples.iter().map(|x| x - mean).collect();
        let transform = {
            static PLANNER: OnceLock<Mutex<RealFftPlanner<f64>>> = OnceLock::new();
            let planner = PLANNER.get_or_init(|| Mutex::new(RealFftPlanner::new()));
            let mut planner = planner.lock().unwrap_or_else(PoisonError::into_inner);
            planner.plan_fft_forward(count)
        };
        let mut spectrum = transform.make_output_vec();
        let done = transform.process(&mut signal, &mut spectrum);
        done.map_err(|e| exec_datafusion_err!("the spectrum could not be computed: {e}"))?;
        let mut energy = 0.0;
        for (bin, value) in spectrum.iter().enumerate() {
            let frequency = bin as f64 * rate / count as f64;
            // All bins but the first and, of an even number, the last stand for two.
            let once = bin == 0 || 2 * bin == count;
            if frequency >= low && frequency < high {
                energy += value.norm_sqr() * if once { 1.0 } else { 2.0 };
            }
        }
        Ok(Some(energy / (count as f64 * count as f64)))
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn band(low: f64, high: f64) -> Band {
        Band {
            rate: 100.0,
            low,
            high,
        }
    }

    /// Two seconds at 100 Hz of 3 sin at 5 Hz and 1 sin at 20 Hz, on 7.
    fn signal() -> Vec<f64> {
        let at = |n: usize| n as f64 / 100.0;
        let value = |t: f64| 7.0 + 3.0 * (TAU * 5.0 * t).sin() + (TAU * 20.0 * t).sin();
        (0..200).map(|n| value(at(n))).collect()
    }

    #[test]
    fn a_sine_has_half_its_amplitude_squared_at_its_frequency() {
        let energy = |low, high| band(low, high).energy(&signal()).unwrap().unwrap();
        assert!((energy(4.0, 6.0) - 4.5).abs() < 1e-9);
        assert!((energy(19.0, 21.0) - 0.5).abs() < 1e-9);
        assert!(energy(30.0, 50.0) < 1e-12);
    }

    #[test]
    fn bands_add_up_to_the_variance() {
        for count in [50, 51] {
            let samples = &signal()[..count];
            let mean = samples.iter().sum::<f64>() / count as f64;
            let variance = samples.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count as f64;
            let parts = [(0.0, 10.0), (10.0, 30.0), (30.0, 50.1)];
            let sum: f64 = parts
                .iter()
                .map(|(low, high)| band(*low, *high).energy(samples).unwrap().unwrap())
                .sum();
            assert!((sum - variance).abs() < 1e-9, "{sum} is not {variance}");
        }
    }

    #[test]
    fn what_makes_no_spectrum_has_none_or_is_refused() {
        assert_eq!(band(0.0, 1.0).energy(&[1.0]).unwrap(), None);
        assert_eq!(band(0.0, 1.0).energy(&[1.0, f64::NAN]).unwrap(), None);
        assert!(band(2.0, 1.0).energy(&signal()).is_err());
        assert!(band(-1.0, 1.0).energy(&signal()).is_err());
        let still = Band {
            rate: 0.0,
            ..band(0.0, 1.0)
        };
        assert!(still.energy(&signal()).is_err());
    }
}
