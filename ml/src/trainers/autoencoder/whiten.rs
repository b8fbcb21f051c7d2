//! How far a code lies from those of normal samples: the Mahalanobis distance.
use catalog::{Error, Result};

use crate::neural::{Params, failed};

/// The mean of normal codes, and what makes their covariance the identity.
pub(super) struct Whiten {
    mean: Vec<f32>,
    /// The inverse of the covariance's lower Cholesky factor, row by row.
    inverse: Vec<f32>,
}

/// Added to the variances, as a part of their mean: directions in which normal codes do not
/// spread at all would count without bound.
const RIDGE: f64 = 1e-6;

impl Whiten {
    /// Fits codes of `width` numbers each, one after the other.
    pub(super) fn fit(codes: &[f32], width: usize, params: &mut Params) -> Result<Whiten> {
        let rows = (codes.len() / width) as f64;
        let mut mean = vec![0.0; width];
        for code in codes.chunks_exact(width) {
            mean.iter_mut()
                .zip(code)
                .for_each(|(m, x)| *m += f64::from(*x) / rows);
        }
        let mut covariance = vec![0.0; width * width];
        for code in codes.chunks_exact(width) {
            let off: Vec<f64> = code
                .iter()
                .zip(&mean)
                .map(|(x, m)| f64::from(*x) - m)
                .collect();
            for (i, a) in off.iter().enumerate() {
                let line = &mut covariance[i * width..(i + 1) * width];
                line.iter_mut()
                    .zip(&off)
                    .for_each(|(c, b)| *c += a * b / rows);
            }
        }
        let trace: f64 = (0..width).map(|i| covariance[i * (width + 1)]).sum();
        let ridge = (RIDGE * trace / width as f64).max(f64::MIN_POSITIVE.sqrt());
        (0..width).for_each(|i| covariance[i * (width + 1)] += ridge);
        let factor = cholesky(&covariance, width)?;
        let inverse = invert_lower(&factor, width);
        let single = |values: Vec<f64>| values.into_iter().map(|x| x as f32).collect();
        Whiten::new(single(mean), single(inverse), width, params)
    }

    /// Takes these values, or those of the file that `params` reads.
    pub(super) fn new(
        mean: Vec<f32>,
        inverse: Vec<f32>,
        width: usize,
        params: &mut Params,
    ) -> Result<Whiten> {
        let mean = params.fixed("code.mean", &[width], mean)?;
        let inverse = params.fixed("code.whiten", &[width, width], inverse)?;
        let flat = |tensor: candle_core::Tensor| tensor.flatten_all()?.to_vec1();
        Ok(Whiten {
            mean: flat(mean).map_err(failed)?,
            inverse: flat(inverse).map_err(failed)?,
        })
    }

    /// The squared Mahalanobis distance over the code's length: 1 on average over normal codes.
    pub(super) fn distance(&self, code: &[f32]) -> f64 {
        let width = self.mean.len();
        let off: Vec<f64> = code
            .iter()
            .zip(&self.mean)
            .map(|(x, m)| f64::from(x - m))
            .collect();
        let squared: f64 = self
            .inverse
            .chunks_exact(width)
            .map(|line| {
                let sum: f64 = line.iter().zip(&off).map(|(w, x)| f64::from(*w) * x).sum();
                sum * sum
            })
            .sum();
        squared / width as f64
    }
}

/// The lower factor L of a symmetric positive matrix L L^T.
fn cholesky(matrix: &[f64], size: usize) -> Result<Vec<f64>> {
    let mut lower = vec![0.0; size * size];
    for i in 0..size {
        for j in 0..=i {
            let above: f64 = (0..j)
                .map(|k| lower[i * size + k] * lower[j * size + k])
                .sum();
            let rest = matrix[i * size + j] - above;
            if i != j {
                lower[i * size + j] = rest / lower[j * size + j];
            } else if rest > 0.0 && rest.is_finite() {
                lower[i * size + i] = rest.sqrt();
            } else {
                return Err(Error::invalid(
                    "the codes of normal samples do not spread, so no distance can be told",
                )
                .with_hint("take fewer autoencoder.principal, or score by the error"));
            }
        }
    }
    Ok(lower)
}

fn invert_lower(lower: &[f64], size: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; size * size];
    for column in 0..size {
        for row in column..size {
            let unit = f64::from(u8::from(row == column));
            let sum: f64 = (column..row)
                .map(|k| lower[row * size + k] * inverse[k * size + column])
                .sum();
            inverse[row * size + column] = (unit - sum) / lower[row * size + row];
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_codes_are_one_away_on_average_whatever_their_correlation() {
        let mut codes = Vec::new();
        for i in 0..500 {
            let (a, b) = ((i as f32 * 0.37).sin(), (i as f32 * 1.71).cos());
            codes.extend([100.0 * a + 5.0, 100.0 * a + b]);
        }
        let mut params = Params::seeded(0, &candle_core::Device::Cpu);
        let whiten = Whiten::fit(&codes, 2, &mut params).unwrap();
        let distances = codes.chunks_exact(2).map(|code| whiten.distance(code));
        let mean = distances.sum::<f64>() / 500.0;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        // Across the correlation is far, along it is near.
        assert!(whiten.distance(&[5.0, 10.0]) > 20.0);
        assert!(whiten.distance(&[55.0, 50.0]) < 2.0);
    }

    #[test]
    fn codes_that_are_all_alike_do_not_panic() {
        let mut params = Params::seeded(0, &candle_core::Device::Cpu);
        if let Ok(whiten) = Whiten::fit(&[1.0; 20], 2, &mut params) {
            assert!(whiten.distance(&[2.0, 2.0]).is_finite());
        }
    }
}
