//! How much each sample counts.
use catalog::{Error, Result};

use super::Part;
use crate::spec::Weights;

/// Fills the weights of the parts: of their rows where `column` holds those, by class, or not
/// at all. Classes weigh in every part what they weigh in training.
pub(super) fn weigh(
    parts: [&mut Part; 3],
    weights: Weights,
    column: &[f32],
    classes: usize,
) -> Result<()> {
    let [train, ..] = &parts;
    let by_class = match weights {
        Weights::None => return Ok(()),
        Weights::Balanced => balanced(&train.labels, classes),
        Weights::Column => Vec::new(),
    };
    for part in parts {
        part.weights = match weights {
            Weights::Column => part.ends.iter().map(|end| column[*end]).collect(),
            _ => part
                .labels
                .iter()
                .map(|class| by_class[*class as usize])
                .collect(),
        };
        if weights == Weights::Column && part.len() > 0 && part.weights.iter().all(|w| *w == 0.0) {
            return Err(
                Error::invalid("all weights of a part of the data set are 0")
                    .with_hint("give rows that count a weight above 0 in dataset.weight_column"),
            );
        }
    }
    Ok(())
}

/// Of each class rows / (classes * rows of the class) (King and Zeng, 2001); 1 for one that
/// training never sees.
fn balanced(labels: &[f32], classes: usize) -> Vec<f32> {
    let mut counts = vec![0_u64; classes];
    labels.iter().for_each(|class| counts[*class as usize] += 1);
    let seen = counts.iter().filter(|count| **count > 0).count();
    let weight = |count: &u64| match *count {
        0 => 1.0,
        count => (labels.len() as f64 / (seen as f64 * count as f64)) as f32,
    };
    counts.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(labels: &[f32]) -> Part {
        Part {
            ends: (0..labels.len()).collect(),
            labels: labels.to_vec(),
            weights: Vec::new(),
        }
    }

    #[test]
    fn classes_count_alike() {
        let (mut train, mut test) = (part(&[0.0, 0.0, 0.0, 1.0]), part(&[1.0, 2.0]));
        let mut none = Part::default();
        let parts = [&mut train, &mut none, &mut test];
        weigh(parts, Weights::Balanced, &[], 3).unwrap();
        assert_eq!(train.weights, [4.0 / 6.0, 4.0 / 6.0, 4.0 / 6.0, 2.0]);
        assert_eq!(test.weights, [2.0, 1.0]);
    }

    #[test]
    fn a_column_of_zeros_is_refused() {
        let weights = |column: &[f32]| {
            let (mut train, mut none, mut test) = (part(&[0.0]), Part::default(), part(&[]));
            let parts = [&mut train, &mut none, &mut test];
            weigh(parts, Weights::Column, column, 2).map(|()| train.weights)
        };
        assert_eq!(weights(&[0.5]).unwrap(), [0.5]);
        assert!(weights(&[0.0]).is_err());
    }
}
