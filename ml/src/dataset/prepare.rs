//! From rows as they were read to rows in order, dealt out, with the samples that end at them.
use catalog::{Error, Result};

use super::labels::{self, Class};
use super::read::Source;
use super::rows::Rows;
use super::split::{self, Side};
use super::windows::{self, Samples};
use crate::manifest::Feature;
use crate::spec::{DatasetSpec, Task, WindowSpec};

/// Learning from fewer samples is refused: what comes of it is chance.
const FEWEST_TO_LEARN: usize = 10;

/// A data set before its features are scaled.
pub(super) struct Prepared {
    pub(super) rows: Rows,
    /// The part each row is in.
    pub(super) sides: Vec<Side>,
    pub(super) samples: Samples,
    pub(super) window: WindowSpec,
    pub(super) classes: Vec<Class>,
    pub(super) features: Vec<Feature>,
    pub(super) label: Option<Feature>,
    pub(super) targets: Vec<usize>,
    pub(super) split_at: String,
    /// Rows left out because they have no label.
    pub(super) dropped: u64,
}

/// Orders and deals out the rows of `source`. `InvalidInput` where a part would be empty, or
/// too small to learn from.
pub(super) fn prepare(source: Source, spec: &DatasetSpec, task: Task) -> Result<Prepared> {
    let Source {
        schema,
        columns,
        rows,
        classes,
    } = source;
    let window = spec.window.unwrap_or(WindowSpec {
        length: 1,
        stride: 1,
        horizon: 0,
    });
    let single = window.length == 1 && window.horizon == 0;
    let mut rows = rows.sort(!single)?;
    let dealt = split::deal(&rows, spec)?;
    let (mut sides, mut dropped) = (dealt.sides, 0);
    if single {
        dropped = (0..rows.count)
            .filter(|row| !rows.is_labelled(*row))
            .count() as u64;
        (rows, sides) = part_by_part(rows, sides);
    }
    let samples = match single {
        true => rows_alone(&sides, window.stride),
        false => windows::samples(&rows, &sides, &window),
    };
    check(&rows, &samples, &window, spec)?;
    let to_learn = samples
        .train
        .iter()
        .filter_map(|end| rows.labels.get(*end).copied());
    labels::check_train_part(&to_learn.collect::<Vec<_>>(), task, &classes)?;
    let describe = |index: usize| Feature {
        name: schema.field(index).name().clone(),
        data_type: schema.field(index).data_type().to_string(),
    };
    Ok(Prepared {
        features: columns.features.iter().map(|i| describe(*i)).collect(),
        label: columns.label.map(describe),
        targets: columns.targets(&schema, &spec.targets)?,
        rows,
        sides,
        samples,
        window,
        classes,
        split_at: dealt.at,
        dropped,
    })
}

/// Rows that are samples of their own, part after part: so the samples of a part lie together
/// and need not be copied. Rows without a label, and those of no part, are left out.
fn part_by_part(rows: Rows, sides: Vec<Side>) -> (Rows, Vec<Side>) {
    let all_labelled = (0..rows.count).all(|row| rows.is_labelled(row));
    if all_labelled && sides.is_sorted() && sides.first() != Some(&Side::Context) {
        return (rows, sides);
    }
    let of = |part: Side| {
        let all = 0..rows.count as u32;
        let (sides, rows) = (&sides, &rows);
        all.filter(move |row| sides[*row as usize] == part && rows.is_labelled(*row as usize))
    };
    let mut order = Vec::with_capacity(rows.count);
    for part in [Side::Train, Side::Validation, Side::Test] {
        order.extend(of(part));
    }
    let sides = order.iter().map(|row| sides[*row as usize]).collect();
    (rows.select(order), sides)
}

/// The samples of such rows.
fn rows_alone(sides: &[Side], stride: usize) -> Samples {
    let border = |part: Side| sides.partition_point(|side| *side < part);
    let (validation, test) = (border(Side::Validation), border(Side::Test));
    Samples {
        train: (0..validation).step_by(stride).collect(),
        validation: (validation..test).collect(),
        test: (test..sides.len()).collect(),
    }
}

fn check(rows: &Rows, samples: &Samples, window: &WindowSpec, spec: &DatasetSpec) -> Result<()> {
    let wanted = window.length + window.horizon;
    let longest = windows::longest(rows);
    if wanted > 1 && longest < wanted {
        return Err(Error::invalid(format!(
            "a window takes {wanted} rows with its horizon, and the longest series has {longest}"
        ))
        .with_hint("take a shorter dataset.window.length, or rows from a longer time"));
    }
    let hint = match spec.split_column {
        Some(_) => "look at what dataset.split_column says",
        None => "take more rows, or other dataset.test_fraction and validation_fraction",
    };
    if samples.train.len() < FEWEST_TO_LEARN {
        return Err(Error::invalid(format!(
            "the data set has {} samples to learn from, and fewer than {FEWEST_TO_LEARN} teach \
             nothing",
            samples.train.len()
        ))
        .with_hint(hint));
    }
    if samples.test.is_empty() {
        return Err(Error::invalid(format!(
            "the test part of the data set has no samples; {} are to learn from",
            samples.train.len()
        ))
        .with_hint(hint));
    }
    Ok(())
}
