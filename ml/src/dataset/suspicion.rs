//! How much one feature says about the label, by itself.
use crate::spec::Task;

/// A feature that tells classes apart this well, or follows a number this closely, is the
/// label in another form more often than it is a good sensor.
const CLASSES_TOLD: f64 = 0.99;
const NUMBERS_FOLLOWED: f64 = 0.999;

/// Below so many rows anything may happen.
const FEWEST: usize = 30;

/// Values of a whole-numbered feature that differ, out of all, from which it names rows.
const DIFFERENT: f64 = 0.99;

/// More different values than this are put into bins of about as many rows each.
const MOST_BINS: usize = 64;

/// What is wrong with a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Look {
    /// It is the label.
    Equal,
    /// It tells the label, by this figure.
    Tells(&'static str, f64),
    /// It tells rows apart.
    Identifier,
}

/// Looks at a feature beside the labels of the same rows; there may be none.
pub(super) fn look(values: &[f32], labels: &[f32], task: Task, classes: usize) -> Option<Look> {
    if values.len() < FEWEST {
        return None;
    }
    if values.len() == labels.len() {
        if values == labels {
            return Some(Look::Equal);
        }
        let told = match task {
            Task::Regression => correlation(values, labels)
                .map(f64::abs)
                .filter(|r| *r > NUMBERS_FOLLOWED)
                .map(|r| Look::Tells("correlation", r)),
            Task::Binary | Task::Multiclass | Task::Anomaly => told(values, labels, classes),
            Task::Forecast => None,
        };
        if told.is_some() {
            return told;
        }
    }
    is_identifier(values).then_some(Look::Identifier)
}

fn told(values: &[f32], labels: &[f32], classes: usize) -> Option<Look> {
    let mut counts = vec![0_u64; classes];
    labels.iter().for_each(|class| counts[*class as usize] += 1);
    if counts.iter().filter(|count| **count > 0).count() < 2 {
        return None;
    }
    let mut order: Vec<(f32, usize)> = values
        .iter()
        .zip(labels)
        .map(|(v, c)| (*v, *c as usize))
        .collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    if let [negatives, positives] = counts[..] {
        let auc = auc(&order, negatives, positives);
        let auc = auc.max(1.0 - auc);
        if auc > CLASSES_TOLD {
            return Some(Look::Tells("AUC", auc));
        }
    }
    let recall = recall_by_value(&order, &counts);
    (recall > CLASSES_TOLD).then_some(Look::Tells("recall by value", recall))
}

/// How often a row of the second class has the larger value; ties count half (Mann and
/// Whitney, 1947). `order` is sorted by value.
fn auc(order: &[(f32, usize)], negatives: u64, positives: u64) -> f64 {
    let (mut below, mut won) = (0_u64, 0.0);
    for ties in order.chunk_by(|a, b| same(a.0, b.0)) {
        let of_second = ties.iter().filter(|row| row.1 == 1).count() as u64;
        let of_first = ties.len() as u64 - of_second;
        won += of_second as f64 * (below as f64 + of_first as f64 / 2.0);
        below += of_first;
    }
    won / (negatives as f64 * positives as f64)
}

/// Predicts of each value, or bin of values, the class that has the largest part of its rows
/// there: the mean, over classes, of the part of its rows that are found.
fn recall_by_value(order: &[(f32, usize)], counts: &[u64]) -> f64 {
    let different = order.chunk_by(|a, b| same(a.0, b.0)).count();
    let bin = match different <= MOST_BINS {
        true => 1,
        false => order.len().div_ceil(MOST_BINS),
    };
    let mut found = vec![0_u64; counts.len()];
    let mut here = vec![0_u64; counts.len()];
    let mut close = |here: &mut Vec<u64>| {
        let part = |class: &usize| here[*class] as f64 / counts[*class].max(1) as f64;
        let most = (0..here.len()).max_by(|a, b| part(a).total_cmp(&part(b)));
        if let Some(most) = most {
            found[most] += here[most];
        }
        here.fill(0);
    };
    let mut rows = 0;
    for ties in order.chunk_by(|a, b| same(a.0, b.0)) {
        if rows >= bin {
            close(&mut here);
            rows = 0;
        }
        ties.iter().for_each(|row| here[row.1] += 1);
        rows += ties.len();
    }
    close(&mut here);
    let there = counts.iter().zip(&found).filter(|(count, _)| **count > 0);
    let recalls: Vec<f64> = there
        .map(|(count, found)| *found as f64 / *count as f64)
        .collect();
    recalls.iter().sum::<f64>() / recalls.len() as f64
}

fn same(a: f32, b: f32) -> bool {
    a.total_cmp(&b).is_eq()
}

/// Pearson's correlation over the rows that have both; none where one is constant.
fn correlation(values: &[f32], labels: &[f32]) -> Option<f64> {
    let pairs: Vec<(f64, f64)> = values
        .iter()
        .zip(labels)
        .filter(|(value, _)| !value.is_nan())
        .map(|(value, label)| (f64::from(*value), f64::from(*label)))
        .collect();
    if pairs.len() < FEWEST {
        return None;
    }
    let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / pairs.len() as f64;
    let (x, y) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        pairs.iter().map(|pair| of(pair.0 - x, pair.1 - y)).sum()
    };
    let spread = sum(&|a, _| a * a) * sum(&|_, b| b * b);
    let together = sum(&|a, b| a * b);
    (spread > 0.0).then(|| together / spread.sqrt())
}

/// Whether almost every row has a whole number of its own.
fn is_identifier(values: &[f32]) -> bool {
    if values.iter().any(|value| value.fract() != 0.0) {
        return false;
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    sorted.dedup();
    sorted.len() as f64 > DIFFERENT * values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(of: impl Fn(usize) -> f32) -> Vec<f32> {
        (0..400).map(of).collect()
    }

    /// Numbers that look drawn, from 0 to 1.
    fn noise(at: usize) -> f32 {
        (at.wrapping_mul(2_654_435_761) % 9973) as f32 / 9973.0
    }

    #[test]
    fn a_feature_that_is_the_label_is_found_in_any_form() {
        let class = |at: usize| (at / 7 % 3) as f32;
        let labels = series(class);
        let look = |values: Vec<f32>| look(&values, &labels, Task::Multiclass, 3);
        assert_eq!(look(labels.clone()), Some(Look::Equal));
        let code = look(series(|at| [5.0, 1.0, 9.0][class(at) as usize]));
        assert_eq!(code, Some(Look::Tells("recall by value", 1.0)));
        assert_eq!(look(series(noise)), None);
        // Good, but no leak.
        assert_eq!(look(series(|at| class(at) + 2.0 * noise(at))), None);
    }

    #[test]
    fn two_classes_are_told_apart_by_a_threshold() {
        let labels = series(|at| f32::from(u8::from(at % 20 == 0)));
        let look = |values: Vec<f32>| look(&values, &labels, Task::Binary, 2);
        let above = look(series(|at| noise(at) - 2.0 * labels[at]));
        assert!(matches!(above, Some(Look::Tells("AUC", auc)) if auc == 1.0));
        let missing = look(series(|at| {
            if labels[at] == 1.0 {
                f32::NAN
            } else {
                noise(at)
            }
        }));
        assert!(matches!(missing, Some(Look::Tells(..))), "{missing:?}");
        assert_eq!(look(series(|at| noise(at) + 0.3 * labels[at])), None);
    }

    #[test]
    fn numbers_that_follow_the_label_are_found() {
        let labels = series(|at| 10.0 * noise(at));
        let look = |values: Vec<f32>| look(&values, &labels, Task::Regression, 0);
        let scaled = look(series(|at| 3.0 - labels[at] / 60.0));
        assert!(matches!(scaled, Some(Look::Tells("correlation", r)) if r > 0.999));
        assert_eq!(look(series(|at| labels[at] + noise(at * 31 + 7))), None);
    }

    #[test]
    fn counters_are_told_from_readings() {
        let labels = series(|at| noise(at * 17 + 3));
        let look = |values: Vec<f32>| look(&values, &labels, Task::Regression, 0);
        assert_eq!(look(series(|at| 1e6 + at as f32)), Some(Look::Identifier));
        assert_eq!(look(series(|at| (at / 2) as f32)), None);
        assert_eq!(look(series(|at| at as f32 + 0.5)), None);
    }

    #[test]
    fn a_few_rows_prove_nothing() {
        let labels = [0.0, 1.0, 1.0];
        assert_eq!(look(&labels, &labels, Task::Binary, 2), None);
    }
}
