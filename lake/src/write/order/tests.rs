use std::sync::Arc;

use arrow::array::{
    Date32Array, Float64Array, Int32Array, Int64Array, LargeStringArray, StringArray,
    TimestampMicrosecondArray,
};

use super::*;

const ALL_OPTIONS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

fn columns(rows: usize, chance: &mut impl FnMut(u64) -> u64) -> Vec<ArrayRef> {
    let mut few = || {
        (0..rows)
            .map(|_| (chance(5) > 0).then(|| chance(7) as i32))
            .collect()
    };
    let (ints, days): (Vec<Option<i32>>, Vec<Option<i32>>) = (few(), few());
    let text = |n: Option<i32>| n.map(|n| ["", "a", "ab", "b", "ä", "p-10", "p-9"][n as usize]);
    let texts: Vec<_> = few().into_iter().map(text).collect();
    let longs: Vec<Option<i64>> = (0..rows)
        .map(|_| match chance(6) {
            0 => None,
            1 => Some(i64::MIN + chance(3) as i64),
            2 => Some(i64::MAX - chance(3) as i64),
            _ => Some(chance(10) as i64 - 5),
        })
        .collect();
    let times = (0..rows).map(|_| 1_700_000_000_000_000 + chance(1_000) as i64);
    let times = TimestampMicrosecondArray::from_iter_values(times);
    let floats = Float64Array::from_iter_values((0..rows).map(|_| chance(3) as f64));
    vec![
        Arc::new(Int32Array::from(ints)),
        Arc::new(Date32Array::from(days)),
        Arc::new(StringArray::from(texts.clone())),
        Arc::new(LargeStringArray::from(texts)),
        Arc::new(Int64Array::from(longs)),
        Arc::new(times),
        Arc::new(floats),
    ]
}

#[test]
fn packed_keys_sort_as_arrow_does() {
    let mut state = 7_u64;
    let mut chance = |limit: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % limit
    };
    for round in 0..300 {
        let rows = [0, 1, 2, 50][round % 4];
        let all = columns(rows, &mut chance);
        let by: Vec<By> = (0..1 + chance(3))
            .map(|_| {
                let (descending, nulls_first) = ALL_OPTIONS[chance(4) as usize];
                let options = SortOptions {
                    descending,
                    nulls_first,
                };
                (ArrayRef::clone(&all[chance(7) as usize]), options)
            })
            .collect();
        assert_eq!(
            sorted(&by).unwrap(),
            by_rows(&by, rows as u32).unwrap(),
            "{by:?}"
        );
    }
}

#[test]
fn what_a_flush_sorts_by_packs_and_extremes_do_not() {
    let by = |column: ArrayRef| (column, SortOptions::default());
    let pumps = StringArray::from(vec!["p2", "p1", "p2", "p1"]);
    let times = TimestampMicrosecondArray::from(vec![30, 20, 10, 20]).with_timezone("+00:00");
    let flush = [by(Arc::new(pumps)), by(Arc::new(times))];
    assert_eq!(packed(&flush, 4), Some(vec![1, 3, 2, 0]));
    let wide = Int64Array::from(vec![i64::MIN, i64::MAX]);
    assert_eq!(packed(&[by(Arc::new(wide))], 2), None);
    assert_eq!(
        packed(&[by(Arc::new(Float64Array::from(vec![1.0])))], 1),
        None
    );
}
