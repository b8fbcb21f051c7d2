//! How far values have moved from a distribution: the population stability index and the
//! test of Kolmogorov and Smirnov.
use super::profile::Distribution;

/// What an empty bin counts as, so that a new value gives a finite index.
const LEAST_SHARE: f64 = 1e-4;

/// How far recent values lie from a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// Population stability index: 0 for the same shares; 0.1 is called a small change and
    /// 0.25 a large one (Siddiqi, Credit Risk Scorecards, 2006).
    pub psi: f64,
    /// The largest difference of the two cumulative distributions, 0 to 1, of the values that
    /// are there; none where one side has no values.
    pub ks: Option<f64>,
    /// How likely a difference as large is between samples of one distribution.
    pub ks_p: Option<f64>,
    /// Rows compared.
    pub rows: u64,
}

impl Drift {
    /// Compares `values`, in which NaN is a missing one, to `expected`.
    pub fn of(expected: &Distribution, values: &[f32]) -> Drift {
        let mut there: Vec<f32> = values.iter().copied().filter(|v| !v.is_nan()).collect();
        there.sort_unstable_by(f32::total_cmp);
        let missing = (values.len() - there.len()) as u64;
        let mut counts = vec![0; expected.counts.len()];
        for value in &there {
            counts[expected.bin(*value)] += 1;
        }
        let with_missing = |counts: &[u64], missing| [counts, &[missing]].concat();
        let ks = kolmogorov_smirnov(&expected.quantiles, &there);
        // Quantiles stand for more rows than they are: within half a step nothing is known.
        let trained = expected.rows - expected.missing;
        let steps = expected.quantiles.len() as f64;
        let blind = if trained as f64 > steps {
            0.5 / steps
        } else {
            0.0
        };
        Drift {
            psi: psi(
                &with_missing(&expected.counts, expected.missing),
                &with_missing(&counts, missing),
            ),
            ks,
            ks_p: ks.map(|d| ks_p((d - blind).max(0.0), trained, there.len() as u64)),
            rows: values.len() as u64,
        }
    }
}

/// The population stability index of two histograms over the same bins: the sum of
/// (actual - expected) ln(actual / expected) over the bins' shares.
fn psi(expected: &[u64], actual: &[u64]) -> f64 {
    let total = |counts: &[u64]| counts.iter().sum::<u64>().max(1) as f64;
    let (all_expected, all_actual) = (total(expected), total(actual));
    expected
        .iter()
        .zip(actual)
        // A bin that neither side has, mostly that of missing values, says nothing.
        .filter(|(e, a)| **e + **a > 0)
        .map(|(e, a)| {
            let e = (*e as f64 / all_expected).max(LEAST_SHARE);
            let a = (*a as f64 / all_actual).max(LEAST_SHARE);
            (a - e) * (a / e).ln()
        })
        .sum()
}

/// The largest difference between the cumulative distributions of two sorted samples.
fn kolmogorov_smirnov(left: &[f32], right: &[f32]) -> Option<f64> {
    if left.is_empty() || right.is_empty() {
        return None;
    }
    let (mut i, mut j, mut most) = (0, 0, 0.0_f64);
    while i < left.len() && j < right.len() {
        let value = left[i].min(right[j]);
        while i < left.len() && left[i] <= value {
            i += 1;
        }
        while j < right.len() && right[j] <= value {
            j += 1;
        }
        let share = |n: usize, of: usize| n as f64 / of as f64;
        most = most.max((share(i, left.len()) - share(j, right.len())).abs());
    }
    Some(most)
}

/// The asymptotic probability of a statistic of at least `d` between samples of `n` and `m`
/// values of one distribution, with the correction for small samples of Stephens (1970), as
/// in Numerical Recipes (3rd edition), 14.3.3.
fn ks_p(d: f64, n: u64, m: u64) -> f64 {
    let (n, m) = (n as f64, m as f64);
    let root = (n * m / (n + m)).sqrt();
    survival((root + 0.12 + 0.11 / root) * d)
}

/// Kolmogorov's distribution, from above.
fn survival(lambda: f64) -> f64 {
    // Below, the series alternates for long and the result is 1 to seven digits.
    if lambda < 0.27 {
        return 1.0;
    }
    let mut sum = 0.0;
    let mut sign = 2.0;
    for k in 1..=100 {
        let term = sign * (-2.0 * f64::from(k * k) * lambda * lambda).exp();
        sum += term;
        sign = -sign;
        if term.abs() < 1e-12 {
            break;
        }
    }
    sum.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64, within: f64) {
        assert!((left - right).abs() < within, "{left} is not {right}");
    }

    #[test]
    fn the_index_is_the_one_computed_by_hand() {
        // Shares .5 .3 .2 and .4 .3 .3: -.1 ln .8 + .1 ln 1.5.
        let value = psi(&[50, 30, 20], &[40, 30, 30]);
        close(value, 0.1 * (1.5_f64.ln() - 0.8_f64.ln()), 1e-12);
        assert_eq!(psi(&[5, 5, 0], &[10, 10, 0]), 0.0);
        // An empty bin counts as one in ten thousand.
        close(
            psi(&[1, 1], &[2, 0]),
            0.5 * 2_f64.ln() + (1e-4 - 0.5) * 2e-4_f64.ln(),
            1e-12,
        );
    }

    #[test]
    fn the_statistic_is_that_of_two_samples() {
        // By hand: the greatest distance of the two empirical distributions.
        let ks = |a: &[f32], b: &[f32]| kolmogorov_smirnov(a, b).unwrap();
        close(ks(&[1.0, 2.0, 3.0, 4.0], &[3.0, 4.0, 5.0, 6.0]), 0.5, 1e-12);
        close(
            ks(&[1.0, 1.0, 1.0, 2.0, 3.0], &[2.0, 2.0, 3.0, 3.0]),
            0.6,
            1e-12,
        );
        close(ks(&[1.0, 1.0, 2.0], &[1.0, 1.0, 2.0]), 0.0, 1e-12);
        assert_eq!(kolmogorov_smirnov(&[], &[1.0]), None);
    }

    #[test]
    fn the_probability_is_that_of_the_tables() {
        // The first terms of the series.
        close(survival(0.5), 0.963_945_243_664_875_1, 1e-9);
        close(survival(1.0), 0.269_999_671_677_354_5, 1e-9);
        close(survival(1.36), 0.049_485_876_755_377_9, 1e-9);
        close(survival(2.0), 0.000_670_925_255_779_7, 1e-9);
        assert_eq!(survival(0.0), 1.0);
        assert_eq!(survival(20.0), 0.0);
    }

    #[test]
    fn rows_of_the_same_kind_have_not_drifted_and_shifted_ones_have() {
        let expected = Distribution::of((0..2000u16).map(f32::from));
        let same: Vec<f32> = (0..500u16).map(|i| f32::from(i * 4 + 1)).collect();
        let drift = Drift::of(&expected, &same);
        assert!(drift.psi < 0.01, "{drift:?}");
        assert!(drift.ks_p.unwrap() > 0.9, "{drift:?}");
        let shifted: Vec<f32> = same.iter().map(|v| v + 600.0).collect();
        let drift = Drift::of(&expected, &shifted);
        assert!(drift.psi > 0.25, "{drift:?}");
        close(drift.ks.unwrap(), 0.3, 0.011);
        assert!(drift.ks_p.unwrap() < 1e-6, "{drift:?}");
        assert_eq!(drift.rows, 500);
    }

    #[test]
    fn missing_values_are_a_bin_of_their_own() {
        let expected = Distribution::of((0..1000u16).map(f32::from));
        let mut half: Vec<f32> = (0..1000u16).map(f32::from).collect();
        half.iter_mut()
            .skip(1)
            .step_by(2)
            .for_each(|v| *v = f32::NAN);
        let drift = Drift::of(&expected, &half);
        assert!(drift.psi > 1.0, "{drift:?}");
        assert!(drift.ks_p.unwrap() > 0.9, "{drift:?}");
        let gone = Drift::of(&expected, &[f32::NAN; 10]);
        assert_eq!((gone.ks, gone.ks_p), (None, None));
        assert!(gone.psi > 5.0);
    }

    #[test]
    fn a_column_without_values_when_trained_drifts_once_it_has_some() {
        let expected = Distribution::of([f32::NAN; 50].into_iter());
        assert_eq!(Drift::of(&expected, &[f32::NAN; 9]).psi, 0.0);
        let drift = Drift::of(&expected, &[1.0; 9]);
        assert!(drift.psi > 5.0 && drift.ks.is_none(), "{drift:?}");
    }
}
