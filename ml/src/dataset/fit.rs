//! What scales are made of: mean, deviation, extremes and quartiles of columns.
use rayon::prelude::*;

use super::rows::Rows;
use crate::spec::{Normalise, NormaliseSpec};

/// Rows whose sums are taken together. A fixed number: sums then add up in the same order
/// however many threads share them.
const AT_ONCE: usize = 1 << 14;

/// Of one column, over the values that are there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Column {
    /// Values.
    pub(super) count: u64,
    pub(super) mean: f64,
    /// The population's standard deviation.
    pub(super) deviation: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    /// At 25, 50 and 75 %, between values by line; all 0 where they were not asked for.
    pub(super) quartiles: [f64; 3],
}

/// The features of the rows at `at`: one column each, or the same one for all where the spec
/// asks for one scale.
pub(super) fn fit(spec: &NormaliseSpec, rows: &Rows, at: &[u32]) -> Vec<Column> {
    let mut columns = columns(rows, at, spec.global);
    if spec.method == Normalise::Robust {
        let of = |columns: &[usize]| quartiles(values(rows, at, columns));
        let all: Vec<usize> = (0..rows.width).collect();
        let found: Vec<[f64; 3]> = match spec.global {
            true => vec![of(&all); rows.width],
            false => all.par_iter().map(|column| of(&[*column])).collect(),
        };
        for (column, quartiles) in columns.iter_mut().zip(found) {
            column.quartiles = quartiles;
        }
    }
    columns
}

/// Each column of the rows at `at`, without quartiles; all of them together in each where
/// `global` asks for that.
pub(super) fn columns(rows: &Rows, at: &[u32], global: bool) -> Vec<Column> {
    let first = |sums: &mut [Sums], row: &[f32]| {
        for (sums, value) in sums.iter_mut().zip(row) {
            sums.add(f64::from(*value));
        }
    };
    let mut sums = by_pieces(rows, at, Sums::NONE, first, Sums::join);
    if global {
        let all = sums
            .iter()
            .copied()
            .reduce(Sums::join)
            .unwrap_or(Sums::NONE);
        sums.fill(all);
    }
    let means: Vec<f64> = sums.iter().map(|s| s.sum / s.count.max(1) as f64).collect();
    let second = |squares: &mut [f64], row: &[f32]| {
        for ((square, value), mean) in squares.iter_mut().zip(row).zip(&means) {
            if !value.is_nan() {
                *square += (f64::from(*value) - mean).powi(2);
            }
        }
    };
    let mut squares = by_pieces(rows, at, 0.0, second, |a, b| a + b);
    if global {
        let all = squares.iter().sum();
        squares.fill(all);
    }
    let column = |((sums, mean), squares): ((&Sums, &f64), &f64)| Column {
        count: sums.count,
        mean: *mean,
        deviation: (squares / sums.count.max(1) as f64).sqrt(),
        min: sums.min,
        max: sums.max,
        quartiles: [0.0; 3],
    };
    sums.iter().zip(&means).zip(&squares).map(column).collect()
}

/// Of one column.
#[derive(Clone, Copy)]
struct Sums {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Sums {
    const NONE: Sums = Sums {
        count: 0,
        sum: 0.0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
    };

    fn add(&mut self, value: f64) {
        if !value.is_nan() {
            self.count += 1;
            self.sum += value;
            self.min = self.min.min(value);
            self.max = self.max.max(value);
        }
    }

    fn join(self, other: Sums) -> Sums {
        Sums {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// Takes all rows in, piece by piece, and joins the pieces from first to last.
fn by_pieces<T: Copy + Send + Sync>(
    rows: &Rows,
    at: &[u32],
    none: T,
    take: impl Fn(&mut [T], &[f32]) + Sync,
    join: impl Fn(T, T) -> T,
) -> Vec<T> {
    let pieces = at.par_chunks(AT_ONCE).map(|piece| {
        let mut taken = vec![none; rows.width];
        for row in piece {
            take(&mut taken, rows.row(*row as usize));
        }
        taken
    });
    let pieces: Vec<Vec<T>> = pieces.collect();
    let mut all = vec![none; rows.width];
    for piece in pieces {
        for (all, one) in all.iter_mut().zip(piece) {
            *all = join(*all, one);
        }
    }
    all
}

/// The values of some columns of the rows at `at` that are there.
fn values(rows: &Rows, at: &[u32], columns: &[usize]) -> Vec<f32> {
    let cells = at.iter().flat_map(|row| {
        let row = rows.row(*row as usize);
        columns.iter().map(|column| row[*column])
    });
    cells.filter(|value| !value.is_nan()).collect()
}

/// At 25, 50 and 75 %; 0 of no values.
pub(super) fn quartiles(mut values: Vec<f32>) -> [f64; 3] {
    if values.is_empty() {
        return [0.0; 3];
    }
    [0.25, 0.5, 0.75].map(|part| quantile(&mut values, part))
}

/// The value that `part` of all values are below; between two of them by line, as NumPy has it.
/// Reorders `values`, of which there is at least one, and none NaN.
fn quantile(values: &mut [f32], part: f64) -> f64 {
    let place = part * (values.len() - 1) as f64;
    let (_, low, above) = values.select_nth_unstable_by(place as usize, f32::total_cmp);
    let low = f64::from(*low);
    let high = above.iter().copied().min_by(f32::total_cmp);
    low + (high.map_or(low, f64::from) - low) * place.fract()
}
