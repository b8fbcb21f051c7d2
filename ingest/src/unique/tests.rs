//! Against a plain list of the rows that came.

use std::sync::Arc;

use arrow::array::{AsArray, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{Field, Int64Type, Schema};
use proptest::prelude::*;

use super::*;

fn key() -> Key {
    "a.b".parse().unwrap()
}

fn unique() -> Unique {
    let mut stream = StreamConfig::new("s", "s/{pump}", key());
    stream.dedup = vec!["pump".into(), "n".into()];
    Unique::new(&[stream])
}

fn batch(rows: &[(Option<u8>, i64)]) -> RecordBatch {
    let pumps = rows.iter().map(|(pump, _)| pump.map(|p| format!("p{p}")));
    let pumps: StringArray = pumps.collect();
    let numbers: Int64Array = rows.iter().map(|(_, n)| Some(*n)).collect();
    let fields = vec![
        Field::new("pump", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
    ];
    let columns: Vec<ArrayRef> = vec![Arc::new(pumps), Arc::new(numbers)];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn rows(batch: &RecordBatch) -> Vec<(Option<u8>, i64)> {
    let pumps = batch.column(0).as_string::<i32>();
    let numbers = batch.column(1).as_primitive::<Int64Type>();
    let pump = |pump: Option<&str>| pump.map(|p| p[1..].parse().unwrap());
    pumps
        .iter()
        .map(pump)
        .zip(numbers.values().iter().copied())
        .collect()
}

#[test]
fn a_widened_column_has_the_same_keys() {
    let unique = unique();
    let mut first = vec![(key(), batch(&[(Some(1), 7)]))];
    unique.keep_first(1, &mut first).unwrap();
    let fields = vec![
        Field::new("pump", DataType::LargeUtf8, true),
        Field::new("n", DataType::Int32, true),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(arrow::array::LargeStringArray::from(vec!["p1", "p1"])),
        Arc::new(Int32Array::from(vec![7, 8])),
    ];
    let narrow = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let mut second = vec![(key(), narrow)];
    assert_eq!(unique.keep_first(2, &mut second).unwrap(), 1);
    assert_eq!(second[0].1.num_rows(), 1);
}

#[test]
fn tables_without_the_setting_or_the_columns_keep_everything() {
    let unique = unique();
    let other: Key = "c.d".parse().unwrap();
    let twice = batch(&[(Some(1), 1), (Some(1), 1)]);
    let without = twice.project(&[0]).unwrap();
    let mut batches = vec![(other, twice), (key(), without)];
    assert_eq!(unique.keep_first(1, &mut batches).unwrap(), 0);
    assert_eq!(batches.len(), 2);
}

proptest! {
    /// Groups come, some are committed, some are decoded again before: the rows kept are the
    /// first of each key, and those without one.
    #[test]
    fn the_first_row_of_each_key_is_kept(
        groups in prop::collection::vec(
            (prop::collection::vec((prop::option::weighted(0.9, 0_u8..3), 0_i64..4), 1..8), 0_u8..4),
            1..12,
        ),
    ) {
        let unique = unique();
        let mut model: Vec<(Option<u8>, i64)> = Vec::new();
        let mut kept: Vec<(Option<u8>, i64)> = Vec::new();
        // Rows in the buffer, as they came and as they were kept.
        let mut hot: Vec<(Option<u8>, i64)> = Vec::new();
        let mut hot_kept: Vec<(Option<u8>, i64)> = Vec::new();
        for (at, (group, then)) in groups.into_iter().enumerate() {
            let end = at as u64 + 1;
            for row in &group {
                if row.0.is_none() || !model.contains(row) {
                    model.push(*row);
                }
            }
            hot.extend(&group);
            let mut batches = vec![(key(), batch(&group))];
            unique.keep_first(end, &mut batches).unwrap();
            hot_kept.extend(batches.iter().flat_map(|(_, b)| rows(b)));
            if then == 0 {
                // A flush of everything decodes it again.
                let mut tables = BTreeMap::from([(key(), vec![batch(&hot)])]);
                unique.keep_first_again(end, &mut tables).unwrap();
                hot_kept = tables.values().flatten().flat_map(rows).collect();
            }
            if then < 2 {
                unique.committed(end);
                kept.append(&mut hot_kept);
                hot.clear();
            }
        }
        kept.append(&mut hot_kept);
        prop_assert_eq!(kept, model);
    }
}
