//! What is suspicious about a data set: labels that leak into features, rows that are in two
//! parts, features that say nothing. A warning is no error: only who knows the plant can tell.
use std::collections::{BTreeMap, HashSet};

use rayon::prelude::*;

use super::prepare::Prepared;
use super::split::Side;
use super::suspicion::{self, Look};
use crate::spec::{DatasetSpec, Split, Task};

/// Samples that features are judged by, evenly out of those to learn from.
const LOOKED_AT: usize = 20_000;

/// Test samples that are looked for among those learned from.
const LOOKED_FOR: usize = 10_000;

/// The part of test samples that may be found there.
const FOUND_BY_CHANCE: f64 = 0.01;

/// The warnings about a data set, each a sentence. Features are judged in the last row of
/// training samples, and not yet scaled.
pub(super) fn warnings(data: &Prepared, spec: &DatasetSpec, task: Task) -> Vec<String> {
    let mut found = about_features(data, task);
    found.extend(names_like_the_label(data));
    found.extend(classes_never_learned(data, task));
    found.extend(rows_in_two_parts(data));
    found.extend(about_the_split(data, spec));
    found
}

/// At most `most` of `list`, evenly spaced.
pub(super) fn evenly<T: Copy>(list: &[T], most: usize) -> impl Iterator<Item = T> + '_ {
    list.iter()
        .step_by(list.len().div_ceil(most).max(1))
        .copied()
}

fn about_features(data: &Prepared, task: Task) -> Vec<String> {
    let rows = &data.rows;
    let ends: Vec<usize> = evenly(&data.samples.train, LOOKED_AT).collect();
    let labels: Vec<f32> = ends
        .iter()
        .filter_map(|end| rows.labels.get(*end).copied())
        .collect();
    let label = data.label.as_ref().map_or("", |label| label.name.as_str());
    let features = data.features.par_iter().enumerate();
    let found = features.filter_map(|(at, feature)| {
        let name = &feature.name;
        let values: Vec<f32> = ends.iter().map(|end| rows.row(*end)[at]).collect();
        let known = values.iter().filter(|value| !value.is_nan()).count();
        let first = values.iter().find(|value| !value.is_nan());
        if known == 0 {
            return Some(format!("'{name}' has no value in the training part"));
        }
        if known == values.len() && values.iter().all(|value| Some(value) == first) {
            return Some(format!("'{name}' is the same in every row of the training part"));
        }
        match suspicion::look(&values, &labels, task, data.classes.len()) {
            Some(Look::Equal) => Some(format!(
                "'{name}' equals the label '{label}' in every row: the model would be told the answer"
            )),
            Some(Look::Tells(what, figure)) => Some(format!(
                "'{name}' alone tells the label '{label}' ({what} {figure:.4}): is it known before \
                 the label is? If not, exclude it"
            )),
            Some(Look::Identifier) => Some(format!(
                "'{name}' is a whole number that differs in almost every row, as an identifier or \
                 a counter does: what is learned from it will not hold for new rows"
            )),
            None => None,
        }
    });
    found.collect()
}

fn names_like_the_label(data: &Prepared) -> Vec<String> {
    let Some(label) = &data.label else {
        return Vec::new();
    };
    let plain = |name: &str| {
        let letters = name.chars().filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect::<String>()
    };
    let wanted = plain(&label.name);
    // A short name, such as `y`, is part of many others.
    let alike = |name: &str| name == wanted || (wanted.len() > 3 && name.contains(&wanted));
    let features = data.features.iter().filter(|f| alike(&plain(&f.name)));
    features
        .map(|feature| {
            format!(
                "'{}' is named like the label '{}': is it another form of it?",
                feature.name, label.name
            )
        })
        .collect()
}

/// Classes that validation or test hold and training does not: a model cannot answer them.
fn classes_never_learned(data: &Prepared, task: Task) -> Vec<String> {
    if !matches!(task, Task::Binary | Task::Multiclass) {
        return Vec::new();
    }
    let count = |ends: &[usize]| {
        let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
        for end in ends {
            *counts.entry(data.rows.labels[*end] as usize).or_default() += 1;
        }
        counts
    };
    let learned = count(&data.samples.train);
    let judged = [&data.samples.validation, &data.samples.test].map(|ends| count(ends));
    let mut found = Vec::new();
    for (number, class) in data.classes.iter().enumerate() {
        let of = |counts: &BTreeMap<usize, u64>| counts.get(&number).copied().unwrap_or(0);
        if !learned.contains_key(&number) {
            found.push(format!(
                "class '{class}' has {} validation and {} test samples and none to learn from: it \
                 is never predicted, and these count as mistakes",
                of(&judged[0]),
                of(&judged[1])
            ));
        }
    }
    found
}

/// Test samples that are among those learned from, with the same features and label.
fn rows_in_two_parts(data: &Prepared) -> Option<String> {
    let wanted: HashSet<u64> = evenly(&data.samples.test, LOOKED_FOR)
        .map(|end| content(data, end))
        .collect();
    let sought = evenly(&data.samples.test, LOOKED_FOR).count();
    // Most rows are told apart by a table that stays in a core's cache.
    let mut maybe = vec![false; 1 << 18];
    let slot = |hash: u64| (hash >> 46) as usize;
    wanted.iter().for_each(|hash| maybe[slot(*hash)] = true);
    let hashes = data.samples.train.par_iter().map(|end| content(data, *end));
    let met: HashSet<u64> = hashes
        .filter(|hash| maybe[slot(*hash)] && wanted.contains(hash))
        .collect();
    let test = evenly(&data.samples.test, LOOKED_FOR);
    let twins = test
        .filter(|end| met.contains(&content(data, *end)))
        .count();
    let share = twins as f64 / sought.max(1) as f64;
    (share > FOUND_BY_CHANCE).then(|| {
        format!(
            "{:.1} % of the test samples are among those learned from as well, with the same \
             features{}: the test says too much good",
            100.0 * share,
            if data.label.is_some() {
                " and label"
            } else {
                ""
            }
        )
    })
}

/// A hash of a row's features and label.
fn content(data: &Prepared, row: usize) -> u64 {
    // FNV-1a by words, and the finish of MurmurHash3.
    let mix = |hash: u64, number: &f32| {
        (hash ^ u64::from(number.to_bits())).wrapping_mul(0x0000_0100_0000_01b3)
    };
    let features = data.rows.row(row).iter();
    let label = data.rows.labels.get(row);
    let hash = features.chain(label).fold(0xcbf2_9ce4_8422_2325, mix);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

fn about_the_split(data: &Prepared, spec: &DatasetSpec) -> Vec<String> {
    let mut found = Vec::new();
    if spec.split == Split::Random && !spec.group.is_empty() {
        found.push(
            "rows of one series are in training and test alike, as the split is random: if they \
             depend on each other, say dataset.split = \"group\" or \"time\""
                .to_owned(),
        );
    }
    if data.samples.validation.is_empty() && spec.validation_fraction > 0.0 {
        found.push(
            "the validation part is empty: there is nothing to stop early by, and nothing to fit \
             intervals and probabilities on"
                .to_owned(),
        );
    }
    let later = |side: &Side| *side > Side::Train;
    if !data.rows.series.is_empty() && spec.split == Split::Time {
        let mut learned = vec![false; data.rows.entities.len()];
        let mut judged = learned.clone();
        for (series, side) in data.rows.series.iter().zip(&data.sides) {
            learned[*series as usize] |= *side == Side::Train;
            judged[*series as usize] |= later(side);
        }
        let new = judged
            .iter()
            .zip(&learned)
            .filter(|(judged, learned)| **judged && !**learned);
        let new = new.count();
        if new * 2 > judged.len() {
            found.push(format!(
                "{new} of {} series begin after the training part: say dataset.split = \"group\" \
                 if series are what the model is to know nothing of",
                judged.len()
            ));
        }
    }
    found
}
