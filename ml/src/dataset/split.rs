//! Which part of the split each row is in: training, validation or test.
use catalog::{Error, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use super::rows::Rows;
use crate::spec::{DatasetSpec, Split};

/// A part of the split, the earlier before the later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Side {
    /// Of none: only looked back at.
    #[default]
    Context,
    Train,
    Validation,
    Test,
}

/// Rows dealt out.
#[derive(Debug, PartialEq)]
pub(super) struct Dealt {
    /// Of each row.
    pub(super) sides: Vec<Side>,
    /// The first time of the test part, as text; empty where it is not cut by time.
    pub(super) at: String,
}

/// The rows that are in `part`.
pub(super) fn rows_of(sides: &[Side], part: Side) -> Vec<u32> {
    let all = (0..sides.len() as u32).zip(sides);
    let of_part = all.filter(|(_, side)| **side == part);
    of_part.map(|(row, _)| row).collect()
}

/// Deals the rows out to the parts of the split.
pub(super) fn deal(rows: &Rows, spec: &DatasetSpec) -> Result<Dealt> {
    let sides = match spec.split {
        Split::Time => return by_time(rows, spec),
        Split::Group => by_series(&rows.entities, &rows.series, spec)?,
        Split::Random => at_random(rows, spec)?,
        Split::Column => rows.sides.clone(),
    };
    Ok(Dealt {
        sides,
        at: String::new(),
    })
}

/// Cuts so that about the wanted part of the labelled rows is on each side and no time is on
/// two.
fn by_time(rows: &Rows, spec: &DatasetSpec) -> Result<Dealt> {
    let labelled = (0..rows.count).filter(|row| rows.is_labelled(*row));
    let mut times: Vec<i64> = labelled.map(|row| rows.times[row]).collect();
    if !times.is_sorted() {
        times.sort_unstable();
    }
    let name = spec.time.as_deref().unwrap_or_default();
    let Some(test) = cut(&times, spec.test_fraction) else {
        return Err(Error::invalid(format!(
            "all rows of the data set have the same '{name}', so it cannot be split by time"
        )));
    };
    // Training on too little to validate goes on without.
    let validation = match spec.validation_fraction {
        0.0 => test,
        fraction => cut(&times[..test], fraction).unwrap_or(test),
    };
    let (validation, test) = (times[validation], times[test]);
    let side = |time: &i64| match *time {
        time if time >= test => Side::Test,
        time if time >= validation => Side::Validation,
        _ => Side::Train,
    };
    let first = rows.times.iter().position(|time| *time == test);
    Ok(Dealt {
        sides: rows.times.iter().map(side).collect(),
        at: rows.time_of(first.unwrap_or_default())?,
    })
}

/// Where to cut sorted times so that about `fraction` of them are on the later side: of the
/// two changes of time around the wanted cut, the nearer one.
fn cut(times: &[i64], fraction: f64) -> Option<usize> {
    let rows = times.len();
    let wanted = rows - (rows as f64 * fraction).round() as usize;
    let changes = |row: &usize| times[*row] != times[row - 1];
    let before = (1..=wanted.min(rows.saturating_sub(1))).rev().find(changes);
    let after = (wanted.max(1)..rows).find(changes);
    let both = before.into_iter().chain(after);
    both.min_by_key(|row| row.abs_diff(wanted))
}

/// Deals out whole series by a hash of their name, so that a series stays in its part whatever
/// others come. Where no hash falls into the test, or all do, the one nearest to it changes over.
fn by_series(entities: &[String], series: &[u32], spec: &DatasetSpec) -> Result<Vec<Side>> {
    if entities.len() < 2 {
        return Err(Error::invalid(format!(
            "the data set has one series only, '{}', so it cannot be split by group",
            entities.first().map_or("", String::as_str)
        ))
        .with_hint("say dataset.split = \"time\""));
    }
    let draws: Vec<[f64; 2]> = entities
        .iter()
        .map(|name| draw(name, spec.split_seed))
        .collect();
    let mut sides: Vec<Side> = draws
        .iter()
        .map(|[test, validation]| match () {
            () if *test < spec.test_fraction => Side::Test,
            () if *validation < spec.validation_fraction => Side::Validation,
            () => Side::Train,
        })
        .collect();
    // Of the series in `part` the one with the largest draw of that number.
    let largest = |sides: &[Side], part: Side, number: usize| {
        let of_part = (0..sides.len()).filter(|at| sides[*at] == part);
        of_part.max_by(|a, b| draws[*a][number].total_cmp(&draws[*b][number]))
    };
    if !sides.contains(&Side::Test) {
        let least = (0..sides.len()).min_by(|a, b| draws[*a][0].total_cmp(&draws[*b][0]));
        sides[least.unwrap_or_default()] = Side::Test;
    }
    if !sides.contains(&Side::Train) {
        let nearest =
            largest(&sides, Side::Validation, 1).or_else(|| largest(&sides, Side::Test, 0));
        sides[nearest.unwrap_or_default()] = Side::Train;
    }
    Ok(series.iter().map(|at| sides[*at as usize]).collect())
}

/// Two numbers from 0 to 1 that a series' name stands for.
fn draw(name: &str, seed: u64) -> [f64; 2] {
    let digest = Sha256::new()
        .chain_update(seed.to_le_bytes())
        .chain_update(name.as_bytes())
        .finalize();
    [0, 8].map(|from| {
        let bytes = digest[from..from + 8].iter();
        let number = bytes.fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        number as f64 / 2_f64.powi(64)
    })
}

/// Deals labelled rows out one by one, by a shuffle that the seed repeats.
fn at_random(rows: &Rows, spec: &DatasetSpec) -> Result<Vec<Side>> {
    let mut order: Vec<u32> = (0..rows.count as u32)
        .filter(|row| rows.is_labelled(*row as usize))
        .collect();
    if order.len() < 2 {
        return Err(Error::invalid(
            "the data set has one row with a label only, so there is nothing to split",
        ));
    }
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(spec.split_seed));
    let part = |of: usize, fraction: f64| (of as f64 * fraction).round() as usize;
    let test = part(order.len(), spec.test_fraction).clamp(1, order.len() - 1);
    let validation = part(order.len() - test, spec.validation_fraction).min(order.len() - test - 1);
    let mut sides = vec![Side::Train; rows.count];
    for (place, row) in order.into_iter().enumerate() {
        sides[row as usize] = match place {
            place if place < test => Side::Test,
            place if place < test + validation => Side::Validation,
            _ => Side::Train,
        };
    }
    Ok(sides)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn spec(text: &str) -> DatasetSpec {
        toml::from_str(&format!("sql = 'select 1'\ntime = 't'\n{text}")).unwrap()
    }

    fn of_times(times: &[i64]) -> Rows {
        Rows {
            count: times.len(),
            times: times.to_vec(),
            shown: Some(Arc::new(Int64Array::from(times.to_vec())) as ArrayRef),
            ..Rows::default()
        }
    }

    fn of_series(count: u32) -> Rows {
        Rows {
            count: count as usize,
            series: (0..count).collect(),
            entities: (0..count).map(|i| format!("pump{i:03}")).collect(),
            ..Rows::default()
        }
    }

    #[test]
    fn the_last_part_in_time_is_the_test() {
        assert_eq!(cut(&[1, 2, 3, 4], 0.25), Some(3));
        assert_eq!(cut(&[1, 2, 3, 4], 0.5), Some(2));
        let dealt = deal(&of_times(&[1, 2, 3, 4, 5, 6, 7, 8]), &spec("")).unwrap();
        let expected = [
            [Side::Train; 5].as_slice(),
            &[Side::Validation],
            &[Side::Test; 2],
        ];
        assert_eq!(dealt.sides, expected.concat());
        assert_eq!(dealt.at, "7");
    }

    #[test]
    fn rows_of_one_time_stay_together() {
        assert_eq!(cut(&[1, 2, 2, 2], 0.5), Some(1));
        assert_eq!(cut(&[1, 1, 1, 2], 0.5), Some(3));
        assert_eq!(cut(&[1, 1, 1, 1, 2, 3], 0.5), Some(4));
    }

    #[test]
    fn neither_part_is_ever_empty() {
        assert_eq!(cut(&[1, 2], 0.01), Some(1));
        assert_eq!(cut(&[1, 2], 0.99), Some(1));
        assert_eq!(cut(&[1], 0.5), None);
        let error = deal(&of_times(&[1, 1]), &spec("")).unwrap_err();
        assert!(error.message().contains("same 't'"), "{error}");
    }

    #[test]
    fn labels_alone_count_where_time_is_cut() {
        let mut rows = of_times(&[1, 2, 3, 4, 5, 6, 7, 8]);
        rows.labels = vec![0.0, 0.0, 0.0, 0.0, f32::NAN, f32::NAN, f32::NAN, f32::NAN];
        let dealt = deal(&rows, &spec("test_fraction = 0.25")).unwrap();
        assert_eq!(dealt.at, "4");
        assert_eq!(dealt.sides[7], Side::Test);
    }

    #[test]
    fn a_series_is_in_one_part_and_stays_there() {
        let spec = spec("split = 'group'\ngroup = ['pump']");
        let (few, many) = (of_series(40), of_series(400));
        let (few, many) = (
            deal(&few, &spec).unwrap().sides,
            deal(&many, &spec).unwrap().sides,
        );
        assert_eq!(few, many[..40]);
        let share = |side| many.iter().filter(|s| **s == side).count();
        assert!(
            (80..120).contains(&share(Side::Test)),
            "{}",
            share(Side::Test)
        );
        assert!(
            (45..75).contains(&share(Side::Validation)),
            "{}",
            share(Side::Validation)
        );
    }

    #[test]
    fn few_series_still_give_a_test_and_something_to_learn_from() {
        for seed in 0..50 {
            for count in 2..5 {
                let spec = spec(&format!(
                    "split = 'group'\ngroup = ['p']\nsplit_seed = {seed}"
                ));
                let sides: BTreeSet<Side> = deal(&of_series(count), &spec)
                    .unwrap()
                    .sides
                    .into_iter()
                    .collect();
                assert!(sides.contains(&Side::Test) && sides.contains(&Side::Train));
            }
        }
        let spec = spec("split = 'group'\ngroup = ['p']");
        let error = deal(&of_series(1), &spec).unwrap_err();
        assert!(error.message().contains("one series only"), "{error}");
    }

    #[test]
    fn the_seed_repeats_a_random_split() {
        let rows = of_times(&(0..100).collect::<Vec<_>>());
        let random = |seed| {
            let spec = spec(&format!("split = 'random'\nsplit_seed = {seed}"));
            deal(&rows, &spec).unwrap().sides
        };
        assert_eq!(random(1), random(1));
        assert_ne!(random(1), random(2));
        let count = |side| random(1).iter().filter(|s| **s == side).count();
        let counts = [Side::Train, Side::Validation, Side::Test].map(count);
        assert_eq!(counts, [60, 15, 25]);
    }
}
