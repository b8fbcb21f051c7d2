//! What holds for every data set: properties over made-up rows, gaps and borders.
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use proptest::prelude::*;

use super::normalise::Normalisation;
use super::rows::Rows;
use super::split::{Side, deal, rows_of};
use super::windows::{Samples, samples};
use crate::spec::{DatasetSpec, NormaliseSpec, WindowSpec};

/// Rows of up to four series at times with gaps and repetitions, some without a label.
fn rows() -> impl Strategy<Value = Rows> {
    let row = (0..4_u32, 0..60_i64, prop::bool::weighted(0.8), -9..9_i32);
    prop::collection::vec(row, 30..120).prop_map(|list| {
        let times: Vec<i64> = list.iter().map(|row| row.1).collect();
        Rows {
            count: list.len(),
            series: list.iter().map(|row| row.0).collect(),
            entities: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
            labels: list
                .iter()
                .map(|row| if row.2 { 1.0 } else { f32::NAN })
                .collect(),
            numbers: list
                .iter()
                .flat_map(|row| [row.3 as f32, row.1 as f32])
                .collect(),
            width: 2,
            shown: Some(Arc::new(Int64Array::from(times.clone())) as ArrayRef),
            times,
            ..Rows::default()
        }
    })
}

fn spec(text: &str) -> DatasetSpec {
    toml::from_str(&format!(
        "sql = 'select 1'\ntime = 't'\ngroup = ['g']\n{text}"
    ))
    .unwrap()
}

fn window() -> impl Strategy<Value = WindowSpec> {
    (1..6_usize, 1..4_usize, 0..3_usize).prop_map(|(length, stride, horizon)| WindowSpec {
        length,
        stride,
        horizon,
    })
}

fn any_sides(count: usize) -> impl Strategy<Value = Vec<Side>> {
    let side = prop::sample::select(vec![
        Side::Context,
        Side::Train,
        Side::Validation,
        Side::Test,
    ]);
    // Long stretches of one part, as splits have them, between short ones.
    let stretch = (side, 1..20_usize);
    prop::collection::vec(stretch, count).prop_map(move |stretches| {
        let rows = stretches
            .into_iter()
            .flat_map(|(side, rows)| vec![side; rows]);
        rows.take(count).collect()
    })
}

fn dealt_rows() -> impl Strategy<Value = (Rows, Vec<Side>)> {
    rows().prop_flat_map(|rows| {
        let rows = rows.sort(true).unwrap();
        let count = rows.count;
        (Just(rows), any_sides(count))
    })
}

fn parts(samples: &Samples) -> [(Side, &Vec<usize>); 3] {
    [
        (Side::Train, &samples.train),
        (Side::Validation, &samples.validation),
        (Side::Test, &samples.test),
    ]
}

impl Clone for Rows {
    fn clone(&self) -> Rows {
        Rows {
            count: self.count,
            times: self.times.clone(),
            series: self.series.clone(),
            entities: self.entities.clone(),
            labels: self.labels.clone(),
            sides: self.sides.clone(),
            weights: self.weights.clone(),
            numbers: self.numbers.clone(),
            width: self.width,
            shown: self.shown.clone(),
            read_at: self.read_at.clone(),
        }
    }
}

proptest! {
    #[test]
    fn windows_stay_in_a_series_and_never_look_ahead(
        (rows, sides) in dealt_rows(),
        window in window(),
    ) {
        for (side, ends) in parts(&samples(&rows, &sides, &window)) {
            for end in ends {
                prop_assert!(end + 1 >= window.length);
                let seen = end + 1 - window.length..end + 1;
                let all = seen.start..seen.end + window.horizon;
                prop_assert!(all.end <= rows.count);
                for row in all.clone() {
                    prop_assert_eq!(rows.series[row], rows.series[*end]);
                }
                prop_assert!(rows.times[all].is_sorted());
                // Nothing of a later part is looked at, and what is predicted is of this one.
                prop_assert!(sides[seen.clone()].iter().all(|other| *other <= side));
                match window.horizon {
                    0 => {
                        prop_assert!(rows.is_labelled(*end));
                        prop_assert_eq!(sides[*end], side);
                    }
                    horizon => {
                        let future = &sides[seen.end..seen.end + horizon];
                        prop_assert!(future.iter().all(|other| *other == side));
                    }
                }
            }
        }
    }

    #[test]
    fn every_window_there_is_is_found((rows, sides) in dealt_rows(), length in 1..5_usize) {
        let window = WindowSpec { length, stride: 1, horizon: 0 };
        let found = samples(&rows, &sides, &window);
        for (side, ends) in parts(&found) {
            let fits = |end: &usize| {
                let Some(start) = (end + 1).checked_sub(length) else {
                    return false;
                };
                rows.series[start] == rows.series[*end]
                    && rows.is_labelled(*end)
                    && sides[*end] == side
                    && sides[start..*end].iter().all(|other| *other <= side)
            };
            let expected: Vec<usize> = (0..rows.count).filter(fits).collect();
            prop_assert_eq!(ends, &expected);
        }
    }

    #[test]
    fn samples_to_learn_from_are_a_stride_apart((rows, sides) in dealt_rows(), window in window()) {
        for pair in samples(&rows, &sides, &window).train.windows(2) {
            let same = rows.series[pair[0]] == rows.series[pair[1]];
            prop_assert!(!same || pair[1] - pair[0] >= window.stride);
        }
    }

    #[test]
    fn parts_are_disjoint_and_complete(rows in rows(), by_series: bool, seed: u64) {
        let rows = rows.sort(by_series).unwrap();
        for split in ["time", "group", "random"] {
            let spec = spec(&format!("split = '{split}'\nsplit_seed = {}", seed >> 1));
            let Ok(dealt) = deal(&rows, &spec) else { continue };
            let window = WindowSpec { length: 1, stride: 1, horizon: 0 };
            let found = samples(&rows, &dealt.sides, &window);
            let mut all: Vec<usize> = parts(&found).iter().flat_map(|p| p.1.clone()).collect();
            all.sort_unstable();
            let labelled: Vec<usize> = (0..rows.count).filter(|r| rows.is_labelled(*r)).collect();
            prop_assert_eq!(all, labelled, "{}", split);
        }
    }

    #[test]
    fn a_split_by_time_learns_from_nothing_later_than_the_test(rows in rows(), by_series: bool) {
        let rows = rows.sort(by_series).unwrap();
        let Ok(dealt) = deal(&rows, &spec("split = 'time'")) else { return Ok(()) };
        let times = |side| {
            let all = rows_of(&dealt.sides, side).into_iter();
            all.map(|row| rows.times[row as usize]).collect::<BTreeSet<_>>()
        };
        let sides = [Side::Train, Side::Validation, Side::Test].map(times);
        for pair in [(0, 1), (1, 2), (0, 2)] {
            if let (Some(last), Some(first)) = (sides[pair.0].last(), sides[pair.1].first()) {
                prop_assert!(last < first);
            }
        }
        prop_assert!(!sides[0].is_empty() && !sides[2].is_empty());
    }

    #[test]
    fn a_split_by_group_keeps_series_whole(rows in rows(), seed in 0..1000_u64) {
        let rows = rows.sort(false).unwrap();
        let spec = spec(&format!("split = 'group'\nsplit_seed = {seed}"));
        let sides = deal(&rows, &spec).unwrap().sides;
        for (row, side) in sides.iter().enumerate() {
            let first = rows.series.iter().position(|s| *s == rows.series[row]).unwrap();
            prop_assert_eq!(*side, sides[first]);
        }
    }

    #[test]
    fn rows_read_in_any_order_are_brought_into_the_same(
        rows in rows(),
        by_series: bool,
        seed: u64,
    ) {
        use rand::{SeedableRng, seq::SliceRandom};
        let mut order: Vec<u32> = (0..rows.count as u32).collect();
        order.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
        let bits = |list: &[f32]| list.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let other = rows.clone().select(order).sort(by_series).unwrap();
        let one = rows.sort(by_series).unwrap();
        prop_assert_eq!(&one.times, &other.times);
        prop_assert_eq!(&one.series, &other.series);
        prop_assert_eq!(bits(&one.labels), bits(&other.labels));
        prop_assert_eq!(bits(&one.numbers), bits(&other.numbers));
        prop_assert_eq!(one.time_of(7).unwrap(), one.times[7].to_string());
        prop_assert_eq!(other.time_of(7).unwrap(), other.times[7].to_string());
    }

    #[test]
    fn scales_come_from_training_rows_alone(
        (rows, sides) in dealt_rows(),
        method in prop::sample::select(vec!["standard", "min_max", "robust"]),
        global: bool,
        per_group: bool,
        noise in -1e6..1e6_f32,
    ) {
        let spec: NormaliseSpec = toml::from_str(&format!(
            "method = '{method}'\nglobal = {global}\nper_group = {per_group}"
        ))
        .unwrap();
        let fitted = Normalisation::fit(&spec, &rows, &sides);
        let mut changed = rows.clone();
        for (row, side) in sides.iter().enumerate() {
            if *side != Side::Train {
                changed.numbers[2 * row..2 * row + 2].fill(noise);
            }
        }
        prop_assert_eq!(&Normalisation::fit(&spec, &changed, &sides), &fitted);
        let all = fitted.groups.values().chain([&fitted.scales]).flatten();
        for scale in all {
            prop_assert!(scale.scale > 0.0 && scale.scale.is_finite());
            prop_assert!(scale.center.is_finite());
        }
    }
}
