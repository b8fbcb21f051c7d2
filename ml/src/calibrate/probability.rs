//! Scores of classes as probabilities that come true as often as they say.
//!
//! Of two classes the logistic of the score is corrected by a line (Platt, "Probabilistic
//! Outputs for Support Vector Machines", 1999, on log odds), or each end of it by its own
//! (beta calibration: Kull, Silva Filho, Flach, AISTATS 2017); of several, all log
//! probabilities are divided by a temperature (Guo, Pleiss, Sun, Weinberger, ICML 2017). None
//! of them changes the order of samples. Scores that are as good as they are stay as they are:
//! a correction is taken only where, by cross-validation, it improves the log loss by more than
//! the standard error of the difference. Isotonic regression is left out: from few samples it
//! gives probabilities of 0 and 1, which are never right.
use serde::{Deserialize, Serialize};

/// Parts of the cross-validation.
const FOLDS: usize = 5;

/// Fewer samples than this, or fewer of a class, say nothing.
const FEWEST: usize = 20;
const FEWEST_OF_CLASS: usize = 5;

/// Scores are kept this far from 0 and 1 before their logarithm is taken.
const EDGE: f64 = 1e-6;

/// How a model's scores become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Scaling {
    /// As they are.
    None,
    /// Of two classes: logistic(slope * log odds + shift).
    Platt {
        /// Above 0.
        slope: f64,
        /// The log odds of a score of a half.
        shift: f64,
    },
    /// Of two classes: logistic(a ln s - b ln(1 - s) + shift).
    Beta {
        /// Above 0.
        a: f64,
        /// Above 0.
        b: f64,
        /// The constant.
        shift: f64,
    },
    /// Of several classes: softmax(ln p / temperature).
    Temperature {
        /// Above 1 where the model is too sure of itself.
        temperature: f64,
    },
}

impl Scaling {
    /// The probability of the positive class of two.
    pub(crate) fn of_two(self, score: f64) -> f64 {
        match self {
            Scaling::None | Scaling::Temperature { .. } => score,
            Scaling::Platt { slope, shift } => logistic(slope * log_odds(score) + shift),
            Scaling::Beta { a, b, shift } => {
                let score = score.clamp(EDGE, 1.0 - EDGE);
                logistic(a * score.ln() - b * (1.0 - score).ln() + shift)
            }
        }
    }

    /// The probabilities of several classes.
    pub(crate) fn of_several(self, row: &[f32]) -> Vec<f64> {
        let row = row.iter().map(|p| f64::from(*p));
        let Scaling::Temperature { temperature } = self else {
            return row.collect();
        };
        let powers: Vec<f64> = row.map(|p| p.max(EDGE).ln() / temperature).collect();
        let top = powers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = powers.iter().map(|p| (p - top).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.iter().map(|p| p / sum).collect()
    }
}

/// The correction of the scores of two classes; `truth` is 1 for the positive one.
pub(super) fn binary(truth: &[f32], scores: &[f32]) -> Scaling {
    let samples: Vec<(bool, f64)> = truth
        .iter()
        .zip(scores)
        .map(|(t, s)| (*t == 1.0, f64::from(*s)))
        .collect();
    let positive = samples.iter().filter(|it| it.0).count();
    let fewest = positive.min(samples.len() - positive);
    if samples.len() < FEWEST || fewest < FEWEST_OF_CLASS {
        return Scaling::None;
    }
    let loss = |scaling: Scaling, (truth, score): &(bool, f64)| {
        let p = scaling.of_two(*score).clamp(EDGE, 1.0 - EDGE);
        -(if *truth { p } else { 1.0 - p }).ln()
    };
    choose(&samples, &[platt, beta], loss)
}

/// The correction of the probabilities of `classes` classes; `truth` holds class numbers.
pub(super) fn multiclass(truth: &[f32], probabilities: &[f32], classes: usize) -> Scaling {
    let rows = probabilities.chunks_exact(classes);
    let samples: Vec<(usize, &[f32])> = truth.iter().map(|t| *t as usize).zip(rows).collect();
    if samples.len() < FEWEST {
        return Scaling::None;
    }
    choose(&samples, &[temperature], several_loss)
}

fn several_loss(scaling: Scaling, (truth, row): &(usize, &[f32])) -> f64 {
    let p = scaling.of_several(row).get(*truth).copied();
    -p.unwrap_or(EDGE).clamp(EDGE, 1.0).ln()
}

/// Fits a correction to samples, where they allow it.
type Fit<S> = fn(&[S]) -> Option<Scaling>;

/// The simplest of the corrections that none after it beats by more than chance.
fn choose<S: Clone>(samples: &[S], fits: &[Fit<S>], loss: impl Fn(Scaling, &S) -> f64) -> Scaling {
    let mut best = Scaling::None;
    let mut losses: Vec<f64> = samples.iter().map(|it| loss(best, it)).collect();
    for fit in fits {
        let mut of_fit = vec![0.0; samples.len()];
        let mut possible = true;
        for fold in 0..FOLDS {
            let others: Vec<S> = samples
                .iter()
                .enumerate()
                .filter(|(at, _)| at % FOLDS != fold)
                .map(|(_, it)| it.clone())
                .collect();
            let Some(scaling) = fit(&others) else {
                possible = false;
                break;
            };
            for at in (fold..samples.len()).step_by(FOLDS) {
                of_fit[at] = loss(scaling, &samples[at]);
            }
        }
        if possible
            && clearly_less(&of_fit, &losses)
            && let Some(scaling) = fit(samples)
        {
            (best, losses) = (scaling, of_fit);
        }
    }
    best
}

/// Whether `new` is below `old` on average by more than the standard error of the difference.
fn clearly_less(new: &[f64], old: &[f64]) -> bool {
    let n = new.len() as f64;
    let differences = || old.iter().zip(new).map(|(old, new)| old - new);
    let mean = differences().sum::<f64>() / n;
    let variance = differences().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    mean > (variance / n).sqrt()
}

fn platt(samples: &[(bool, f64)]) -> Option<Scaling> {
    let rows = samples
        .iter()
        .map(|(truth, score)| ([log_odds(*score), 1.0], *truth));
    let [slope, shift] = logistic_regression(&rows.collect::<Vec<_>>())?;
    (slope > 0.0).then_some(Scaling::Platt { slope, shift })
}

fn beta(samples: &[(bool, f64)]) -> Option<Scaling> {
    let rows = samples.iter().map(|(truth, score)| {
        let score = score.clamp(EDGE, 1.0 - EDGE);
        ([score.ln(), -(1.0 - score).ln(), 1.0], *truth)
    });
    let [a, b, shift] = logistic_regression(&rows.collect::<Vec<_>>())?;
    (a > 0.0 && b > 0.0).then_some(Scaling::Beta { a, b, shift })
}

/// The temperature of the least log loss, by golden section over its logarithm.
fn temperature(samples: &[(usize, &[f32])]) -> Option<Scaling> {
    let at = |log: f64| Scaling::Temperature {
        temperature: log.exp(),
    };
    let loss = |log: f64| -> f64 { samples.iter().map(|it| several_loss(at(log), it)).sum() };
    let golden = (5_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-3.0, 3.0);
    for _ in 0..40 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        match loss(left) < loss(right) {
            true => high = right,
            false => low = left,
        }
    }
    Some(at(f64::midpoint(low, high)))
}

/// Weights of the least log loss, by Newton's method with a small ridge, towards Platt's
/// smoothed targets, which keep them finite where the classes are told apart perfectly.
fn logistic_regression<const K: usize>(rows: &[([f64; K], bool)]) -> Option<[f64; K]> {
    let positive = rows.iter().filter(|it| it.1).count() as f64;
    let negative = rows.len() as f64 - positive;
    let (high, low) = ((positive + 1.0) / (positive + 2.0), 1.0 / (negative + 2.0));
    let mut weights = [0.0; K];
    for _ in 0..50 {
        let mut gradient = [0.0; K];
        let mut hessian = [[0.0; K]; K];
        for (x, truth) in rows {
            let z: f64 = x.iter().zip(&weights).map(|(x, w)| x * w).sum();
            let p = logistic(z);
            let error = p - if *truth { high } else { low };
            for i in 0..K {
                gradient[i] += error * x[i];
                for j in 0..K {
                    hessian[i][j] += p * (1.0 - p) * x[i] * x[j];
                }
            }
        }
        for i in 0..K {
            gradient[i] += 1e-6 * weights[i];
            hessian[i][i] += 1e-6;
        }
        let step = solve(hessian, gradient)?;
        // A long step of Newton's method leaves where the quadratic is true.
        let length = step.iter().map(|s| s * s).sum::<f64>().sqrt();
        let scale = (4.0 / length.max(1e-300)).min(1.0);
        for i in 0..K {
            weights[i] -= scale * step[i];
        }
        if length < 1e-9 {
            break;
        }
    }
    weights.iter().all(|w| w.is_finite()).then_some(weights)
}

/// Gaussian elimination with pivots; none where the matrix is singular.
fn solve<const K: usize>(mut matrix: [[f64; K]; K], mut right: [f64; K]) -> Option<[f64; K]> {
    for column in 0..K {
        let size = |row: &usize| matrix[*row][column].abs();
        let pivot = (column..K).max_by(|a, b| size(a).total_cmp(&size(b)))?;
        if matrix[pivot][column].abs() < 1e-300 {
            return None;
        }
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        for row in column + 1..K {
            let factor = matrix[row][column] / matrix[column][column];
            let above = matrix[column];
            for (value, above) in matrix[row].iter_mut().zip(above).skip(column) {
                *value -= factor * above;
            }
            right[row] -= factor * right[column];
        }
    }
    let mut solution = [0.0; K];
    for row in (0..K).rev() {
        let known: f64 = (row + 1..K).map(|at| matrix[row][at] * solution[at]).sum();
        solution[row] = (right[row] - known) / matrix[row][row];
    }
    Some(solution)
}

fn logistic(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

fn log_odds(score: f64) -> f64 {
    let score = score.clamp(EDGE, 1.0 - EDGE);
    (score / (1.0 - score)).ln()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::calibrate::reliability::calibration_error;

    /// Truths drawn with the probabilities, and scores that distort those.
    fn draw(seed: u64, count: usize, distort: impl Fn(f64) -> f64) -> (Vec<f32>, Vec<f32>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let sample = |_| {
            let p: f64 = rng.random_range(0.02..0.98);
            let truth = f32::from(u8::from(rng.random_bool(p)));
            (truth, distort(p) as f32)
        };
        (0..count).map(sample).unzip()
    }

    fn error(scaling: Scaling, truth: &[f32], scores: &[f32]) -> f64 {
        let pairs = truth.iter().zip(scores);
        let pairs = pairs.map(|(t, s)| (scaling.of_two(f64::from(*s)), f64::from(*t)));
        calibration_error(pairs.collect())
    }

    #[test]
    fn scores_that_are_too_sure_are_brought_back() {
        // Weighting the positive class four times shifts its log odds; boosting stretches them.
        let distort = |p: f64| logistic(2.5 * log_odds(p) + 1.4);
        let (truth, scores) = draw(1, 1000, distort);
        let scaling = binary(&truth, &scores);
        assert_ne!(scaling, Scaling::None);
        let (truth, scores) = draw(2, 5000, distort);
        let (before, after) = (
            error(Scaling::None, &truth, &scores),
            error(scaling, &truth, &scores),
        );
        assert!(before > 0.1 && after < 0.03, "{before} {after}");
        let rising: Vec<f64> = (0..=100)
            .map(|i| scaling.of_two(f64::from(i) / 100.0))
            .collect();
        assert!(rising.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(rising.iter().all(|p| (0.0..=1.0).contains(p)));
    }

    #[test]
    fn honest_scores_and_few_samples_are_left_alone() {
        let untouched = (0..20).filter(|seed| {
            let (truth, scores) = draw(*seed, 400, |p| p);
            binary(&truth, &scores) == Scaling::None
        });
        assert!(untouched.count() >= 14);
        let (truth, scores) = draw(3, 12, |_| 0.9);
        assert_eq!(binary(&truth, &scores), Scaling::None);
        assert_eq!(binary(&[1.0; 50], &[0.3; 50]), Scaling::None);
        assert_eq!(binary(&[], &[]), Scaling::None);
    }

    #[test]
    fn classes_that_are_told_apart_perfectly_give_finite_weights() {
        let truth = [[0.0, 1.0]; 50].concat();
        let scores: Vec<f32> = truth.iter().map(|t| 0.4 + 0.2 * t).collect();
        let scaling = binary(&truth, &scores);
        let (low, high) = (scaling.of_two(0.4), scaling.of_two(0.6));
        assert!(
            low > 0.0 && low < 0.1 && high > 0.9 && high < 1.0,
            "{scaling:?}"
        );
    }

    #[test]
    fn a_temperature_keeps_the_order_of_classes() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let (mut truth, mut rows) = (Vec::new(), Vec::new());
        for _ in 0..600 {
            let z: [f64; 3] = std::array::from_fn(|_| rng.random_range(-2.0..2.0));
            let p = Scaling::Temperature { temperature: 1.0 }
                .of_several(&z.map(|v| v.exp() as f32 / 100.0));
            let draw: f64 = rng.random_range(0.0..1.0);
            truth.push(if draw < p[0] {
                0.0
            } else if draw < p[0] + p[1] {
                1.0
            } else {
                2.0
            });
            let sure = Scaling::Temperature { temperature: 0.33 };
            let p: Vec<f32> = p.iter().map(|v| *v as f32).collect();
            rows.extend(sure.of_several(&p).iter().map(|v| *v as f32));
        }
        let Scaling::Temperature { temperature } = multiclass(&truth, &rows, 3) else {
            panic!("a model that is three times too sure is left alone");
        };
        assert!((2.2..4.2).contains(&temperature), "{temperature}");
        let row = Scaling::Temperature { temperature }.of_several(&[0.7, 0.2, 0.1]);
        assert!(row[0] > row[1] && row[1] > row[2]);
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
