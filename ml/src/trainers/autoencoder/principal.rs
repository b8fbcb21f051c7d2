//! Principal components: the linear autoencoder whose squared error is least.
use catalog::{Error, Result};

/// The most numbers of a sample, or samples where those are fewer, that are decomposed.
const MOST: usize = 512;

/// The most samples components are fitted to; of more, evenly spaced ones are taken.
const MOST_SAMPLES: usize = 20_000;

/// The `count` directions in which `samples` (each `width` numbers, `center` their mean) spread
/// most, one after the other, each of length 1. Directions in which they do not spread are 0.
///
/// # Errors
/// `InvalidInput` for more components than samples or numbers, or too large a decomposition.
pub(super) fn components(samples: &[f32], center: &[f32], count: usize) -> Result<Vec<f32>> {
    let width = center.len();
    let rows = samples.len() / width;
    if count > width || count > rows {
        return Err(Error::invalid(format!(
            "autoencoder.principal is {count}, and there are {rows} normal samples of {width} numbers"
        ))
        .with_hint("take fewer components, longer windows or more rows"));
    }
    let every = rows.div_ceil(MOST_SAMPLES).max(1);
    let centred: Vec<Vec<f64>> = samples
        .chunks_exact(width)
        .step_by(every)
        .map(|row| {
            row.iter()
                .zip(center)
                .map(|(x, c)| f64::from(x - c))
                .collect()
        })
        .collect();
    let rows = centred.len();
    if rows.min(width) > MOST {
        return Err(Error::invalid(format!(
            "principal components of samples of {width} numbers are too many; {MOST} are the most"
        ))
        .with_hint(
            "shorten dataset.window, leave features out, or say autoencoder.principal = 0",
        ));
    }
    // Of the covariance or of the samples' inner products, whichever is smaller: the components
    // of one follow from those of the other.
    let few = rows < width;
    let size = rows.min(width);
    let mut matrix = vec![0.0; size * size];
    if few {
        for i in 0..rows {
            for j in 0..=i {
                let product = dot(&centred[i], &centred[j]);
                matrix[i * size + j] = product;
                matrix[j * size + i] = product;
            }
        }
    } else {
        for row in &centred {
            for (i, x) in row.iter().enumerate() {
                let line = &mut matrix[i * size..(i + 1) * size];
                line.iter_mut().zip(row).for_each(|(m, y)| *m += x * y);
            }
        }
    }
    let vectors = eigenvectors(&mut matrix, size);
    let direction = |vector: &Vec<f64>| {
        let mut out = if few {
            let mut sum = vec![0.0; width];
            for (row, weight) in centred.iter().zip(vector) {
                sum.iter_mut().zip(row).for_each(|(s, x)| *s += weight * x);
            }
            sum
        } else {
            vector.clone()
        };
        let norm = dot(&out, &out).sqrt();
        let scale = if norm > 1e-12 { 1.0 / norm } else { 0.0 };
        out.iter_mut().for_each(|x| *x *= scale);
        out
    };
    let flat = vectors.iter().take(count).flat_map(direction);
    Ok(flat.map(|x| x as f32).collect())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// The eigenvectors of a symmetric matrix, that of the largest eigenvalue first, by cyclic
/// Jacobi rotations (Golub and Van Loan, Matrix Computations, 8.5). Leaves the eigenvalues on
/// the diagonal.
fn eigenvectors(matrix: &mut [f64], size: usize) -> Vec<Vec<f64>> {
    let mut vectors: Vec<Vec<f64>> = (0..size)
        .map(|i| (0..size).map(|j| f64::from(u8::from(i == j))).collect())
        .collect();
    let total: f64 = matrix.iter().map(|x| x * x).sum();
    for _sweep in 0..60 {
        let mut off = 0.0;
        for p in 0..size {
            for q in p + 1..size {
                off += matrix[p * size + q].powi(2);
                rotate(matrix, &mut vectors, size, p, q);
            }
        }
        if off <= total * 1e-24 {
            break;
        }
    }
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|a, b| matrix[b * size + b].total_cmp(&matrix[a * size + a]));
    order
        .into_iter()
        .map(|i| std::mem::take(&mut vectors[i]))
        .collect()
}

/// Makes the element (p, q) zero.
fn rotate(matrix: &mut [f64], vectors: &mut [Vec<f64>], size: usize, p: usize, q: usize) {
    let apq = matrix[p * size + q];
    if apq == 0.0 {
        return;
    }
    let theta = (matrix[q * size + q] - matrix[p * size + p]) / (2.0 * apq);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for k in 0..size {
        let (a, b) = (matrix[k * size + p], matrix[k * size + q]);
        matrix[k * size + p] = c * a - s * b;
        matrix[k * size + q] = s * a + c * b;
    }
    for k in 0..size {
        let (a, b) = (matrix[p * size + k], matrix[q * size + k]);
        matrix[p * size + k] = c * a - s * b;
        matrix[q * size + k] = s * a + c * b;
    }
    let (before, after) = vectors.split_at_mut(q);
    for (a, b) in before[p].iter_mut().zip(after[0].iter_mut()) {
        (*a, *b) = (c * *a - s * *b, s * *a + c * *b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows along (3, 4) / 5 far, along (-4, 3) / 5 a little, in a space of `width`.
    fn rows(count: usize, width: usize) -> Vec<f32> {
        let mut out = Vec::new();
        for i in 0..count {
            let (a, b) = ((i as f32 * 0.7).sin() * 10.0, (i as f32 * 1.3).cos());
            out.extend([0.6 * a - 0.8 * b, 0.8 * a + 0.6 * b]);
            out.extend(vec![0.0; width - 2]);
        }
        out
    }

    fn center(rows: &[f32], width: usize) -> Vec<f32> {
        let count = (rows.len() / width) as f32;
        (0..width)
            .map(|i| rows.iter().skip(i).step_by(width).sum::<f32>() / count)
            .collect()
    }

    #[test]
    fn the_first_component_is_the_widest_direction_on_both_ways() {
        for (count, width) in [(200, 3), (20, 40)] {
            let rows = rows(count, width);
            let found = components(&rows, &center(&rows, width), 2).unwrap();
            let first = &found[..2];
            assert!((first[0] * 0.6 + first[1] * 0.8).abs() > 0.99, "{first:?}");
            let across: f32 = found[..width]
                .iter()
                .zip(&found[width..])
                .map(|(a, b)| a * b)
                .sum();
            assert!(across.abs() < 1e-5, "{across}");
            for one in found.chunks_exact(width) {
                let norm: f32 = one.iter().map(|x| x * x).sum();
                assert!((norm - 1.0).abs() < 1e-5, "{norm}");
            }
        }
    }

    #[test]
    fn rows_that_are_all_alike_have_no_directions_and_no_nan() {
        let rows = vec![2.0; 3 * 10];
        let found = components(&rows, &[2.0; 3], 1).unwrap();
        assert!(found.iter().all(|x| x.is_finite()), "{found:?}");
        let few = components(&rows[..6], &[2.0; 3], 1).unwrap();
        assert_eq!(few, [0.0; 3]);
    }

    #[test]
    fn more_components_than_samples_are_refused() {
        let error = components(&rows(3, 8), &[0.0; 8], 4).unwrap_err();
        assert!(error.message().contains("3 normal samples of 8"), "{error}");
        let wide = components(&vec![1.0; 600 * 600], &[0.0; 600], 1).unwrap_err();
        assert!(wide.message().contains("512"), "{wide}");
    }
}
