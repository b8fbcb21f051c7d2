//! Arithmetic that compilers turn into vector instructions: exponentials without branches, and
//! products of small matrices.
//!
//! Functions are generic over `FMA`, whether a fused multiply-add is one instruction where they
//! are inlined. Each row of a product is summed in one order whatever rows stand beside it, so
//! results do not depend on how a batch is shared out.

/// Rows of a tile of a product.
pub(super) const ROWS: usize = 4;

/// Columns of a tile: two AVX registers.
const COLUMNS: usize = 16;

#[inline(always)]
fn multiply_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// e^x to about one unit in the last place; beyond [-87, 88] as at the border; NaN stays.
///
/// Cody and Waite's reduction to 2^k e^r with |r| <= ln 2 / 2, and the polynomial of Cephes
/// (`expf`, S. Moshier) for e^r.
#[inline(always)]
fn exp<const FMA: bool>(x: f32) -> f32 {
    // Added to a small number it leaves that number's integer in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const POLYNOMIAL: [f32; 6] = [
        1.987_569_1e-4,
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        5e-1,
    ];
    let x = x.clamp(-87.0, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let k = rounded - ROUND;
    let r = multiply_add::<FMA>(k, -LN2_HIGH, x);
    let r = multiply_add::<FMA>(k, -LN2_LOW, r);
    let mut p = POLYNOMIAL[0];
    for coefficient in &POLYNOMIAL[1..] {
        p = multiply_add::<FMA>(p, r, *coefficient);
    }
    let p = multiply_add::<FMA>(p, r * r, r) + 1.0;
    p * f32::from_bits(rounded.to_bits().wrapping_add(127) << 23)
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(super) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// The hyperbolic tangent, to an absolute 2e-7.
#[inline(always)]
pub(super) fn tanh<const FMA: bool>(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp::<FMA>(2.0 * x))
}

/// The right side of a product, inner x columns, in panels of `COLUMNS` columns each, the last
/// one filled up with zeros.
pub(super) struct Packed {
    panels: Vec<f32>,
    inner: usize,
    /// Columns, with those of zeros.
    pub(super) columns: usize,
}

impl Packed {
    pub(super) fn new(inner: usize, columns: usize, at: impl Fn(usize, usize) -> f32) -> Packed {
        let mut packed = Packed::zeros(inner, columns);
        for k in 0..inner {
            for column in 0..columns {
                packed.panels[(column / COLUMNS * inner + k) * COLUMNS + column % COLUMNS] =
                    at(k, column);
            }
        }
        packed
    }

    pub(super) fn zeros(inner: usize, columns: usize) -> Packed {
        let columns = columns.next_multiple_of(COLUMNS);
        Packed {
            panels: vec![0.0; inner * columns],
            inner,
            columns,
        }
    }

    /// Puts `values` into the first columns of the inner position `k`.
    #[inline(always)]
    pub(super) fn set_row(&mut self, k: usize, values: &[f32]) {
        let panels = self.panels.chunks_exact_mut(self.inner * COLUMNS);
        for (panel, values) in panels.zip(values.chunks(COLUMNS)) {
            panel[k * COLUMNS..][..values.len()].copy_from_slice(values);
        }
    }

    /// Left times this, into `out` with `columns` values a row, or added to it.
    #[inline(always)]
    pub(super) fn multiply<const FMA: bool>(&self, left: &Tiles, out: &mut [f32], add: bool) {
        let tiles = left.values.chunks_exact(self.inner * ROWS);
        for (rows, out) in tiles.zip(out.chunks_exact_mut(self.columns * ROWS)) {
            let panels = self.panels.chunks_exact(self.inner * COLUMNS);
            let (left, _) = rows.as_chunks::<ROWS>();
            for (number, panel) in panels.enumerate() {
                let (right, _) = panel.as_chunks::<COLUMNS>();
                let sums = tile::<FMA>(left, right);
                for (out, sums) in out.chunks_exact_mut(self.columns).zip(&sums) {
                    let out = &mut out[number * COLUMNS..(number + 1) * COLUMNS];
                    if add {
                        out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                    } else {
                        out.copy_from_slice(sums);
                    }
                }
            }
        }
    }
}

/// The left side of a product, rows x inner, in tiles of `ROWS` rows: for each inner position the
/// values of all rows of the tile. Rows that fill up the last tile are zeros.
pub(super) struct Tiles {
    values: Vec<f32>,
    inner: usize,
    /// Rows, with those of zeros.
    pub(super) rows: usize,
}

impl Tiles {
    pub(super) fn zeros(rows: usize, inner: usize) -> Tiles {
        let rows = rows.next_multiple_of(ROWS);
        Tiles {
            values: vec![0.0; rows * inner],
            inner,
            rows,
        }
    }

    #[inline(always)]
    pub(super) fn set_row(&mut self, row: usize, values: &[f32]) {
        let tile = &mut self.values[row / ROWS * ROWS * self.inner..][..ROWS * self.inner];
        let (tile, _) = tile.as_chunks_mut::<ROWS>();
        for (tile, value) in tile.iter_mut().zip(values) {
            tile[row % ROWS] = *value;
        }
    }

    /// Puts `values` at the first rows of the inner position `k`.
    #[inline(always)]
    pub(super) fn set_column(&mut self, k: usize, values: &[f32]) {
        let tiles = self.values.chunks_exact_mut(ROWS * self.inner);
        for (tile, values) in tiles.zip(values.chunks(ROWS)) {
            tile[k * ROWS..][..values.len()].copy_from_slice(values);
        }
    }
}

/// The sums over inner positions of the rows' values times the columns'.
#[inline(always)]
fn tile<const FMA: bool>(left: &[[f32; ROWS]], right: &[[f32; COLUMNS]]) -> [[f32; COLUMNS]; ROWS] {
    #[cfg(target_arch = "x86_64")]
    if FMA && std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        // SAFETY: the processor has just been found to have both features.
        return unsafe { tile_avx2(left, right) };
    }
    tile_as::<FMA>(left, right)
}

/// On its own, because within a larger function the compiler does not keep the sums in vector
/// registers, which costs a factor of five.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn tile_avx2(left: &[[f32; ROWS]], right: &[[f32; COLUMNS]]) -> [[f32; COLUMNS]; ROWS] {
    tile_as::<true>(left, right)
}

#[inline(always)]
fn tile_as<const FMA: bool>(
    left: &[[f32; ROWS]],
    right: &[[f32; COLUMNS]],
) -> [[f32; COLUMNS]; ROWS] {
    let mut sums = [[0.0; COLUMNS]; ROWS];
    for (left, right) in left.iter().zip(right) {
        for i in 0..ROWS {
            for j in 0..COLUMNS {
                sums[i][j] = multiply_add::<FMA>(left[i], right[j], sums[i][j]);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_close_and_keep_nan() {
        for i in -2000..=2000 {
            let x = i as f32 / 23.0;
            let exact = f64::from(x).exp();
            for found in [exp::<true>(x), exp::<false>(x)] {
                let distance = (f64::from(found) - exact).abs() / exact;
                assert!(distance < 3e-7, "e^{x} is {exact}, not {found}");
            }
            let exact = f64::from(x).tanh();
            assert!((f64::from(tanh::<false>(x)) - exact).abs() < 2e-7, "{x}");
            let exact = 1.0 / (1.0 + (-f64::from(x)).exp());
            assert!((f64::from(sigmoid::<false>(x)) - exact).abs() < 2e-7, "{x}");
        }
        assert_eq!(tanh::<false>(f32::INFINITY), 1.0);
        assert_eq!(tanh::<false>(f32::NEG_INFINITY), -1.0);
        assert!(sigmoid::<false>(f32::NEG_INFINITY) < 1e-37);
        assert!(tanh::<false>(f32::NAN).is_nan() && sigmoid::<true>(f32::NAN).is_nan());
    }

    #[test]
    fn products_of_any_width_are_right() {
        for (inner, columns) in [(1, 1), (5, 16), (7, 17), (33, 48)] {
            let right = |k: usize, j: usize| (k * 3 + j * 5 % 7) as f32 - 4.0;
            let left = |i: usize, k: usize| (i * 2 + k % 5) as f32 - 3.0;
            let packed = Packed::new(inner, columns, right);
            let rows = 2 * ROWS;
            let mut tiles = Tiles::zeros(rows, inner);
            for i in 0..rows {
                let row: Vec<f32> = (0..inner).map(|k| left(i, k)).collect();
                tiles.set_row(i, &row);
            }
            let mut out = vec![f32::NAN; rows * packed.columns];
            packed.multiply::<false>(&tiles, &mut out, false);
            // The same column by column and row by row, added.
            let (mut tiles, mut right_rows) =
                (Tiles::zeros(rows, inner), Packed::zeros(inner, columns));
            for k in 0..inner {
                let column: Vec<f32> = (0..rows).map(|i| left(i, k)).collect();
                tiles.set_column(k, &column);
                let row: Vec<f32> = (0..columns).map(|j| right(k, j)).collect();
                right_rows.set_row(k, &row);
            }
            let mut twice = out.clone();
            right_rows.multiply::<true>(&tiles, &mut twice, true);
            assert!(out.iter().zip(&twice).all(|(a, b)| a * 2.0 == *b));
            for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
                let sum: f32 = (0..inner).map(|k| left(i, k) * right(k, j)).sum();
                assert_eq!(
                    out[i * packed.columns + j],
                    sum,
                    "{inner} {columns} {i} {j}"
                );
            }
        }
    }
}
