//! The files themselves: partitions, order, Parquet features, statistics.

use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use lake::{Datum, ScanFile};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use parquet::file::metadata::PageIndexPolicy;

use crate::support::{NOVEMBER, batch, bytes, head, key, lake, meta, rows_of, spec};

const DAY: i64 = 86_400_000_000;

fn folder(file: &ScanFile) -> &str {
    file.path.as_ref().split('/').nth_back(1).unwrap()
}

#[tokio::test]
async fn rows_are_split_at_midnight_also_before_1970_and_sorted_within() {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let rows = batch(&[
        (Some(NOVEMBER), Some("p2"), Some(1.0), None),
        (Some(NOVEMBER - 1), Some("p1"), Some(2.0), Some(2)),
        (Some(-1), Some("p1"), Some(3.0), Some(3)),
        (Some(-DAY), Some("p1"), Some(4.0), Some(4)),
        (None, None, None, None),
        (Some(NOVEMBER + 5), Some("p1"), Some(5.0), Some(5)),
        (Some(NOVEMBER + 4), Some("p1"), Some(6.0), Some(6)),
        (Some(NOVEMBER + 9), None, Some(7.0), Some(7)),
    ]);
    lake.append_batches("main", &key(), vec![rows], meta())
        .await
        .unwrap();
    let table = head(&lake, &key()).await;
    let files = table.data_files().await.unwrap();
    let mut found: Vec<_> = files
        .iter()
        .map(|file| (folder(file), file.file.record_count()))
        .collect();
    found.sort_unstable();
    let expected = [
        ("ts_day=1969-12-31", 2),
        ("ts_day=2026-10-31", 1),
        ("ts_day=2026-11-01", 4),
        ("ts_day=null", 1),
    ];
    assert_eq!(found, expected);

    let november = files
        .iter()
        .find(|file| folder(file) == "ts_day=2026-11-01");
    let rows = &rows_of(&lake, november.unwrap()).await[0];
    let times = rows.column(0).as_primitive::<TimestampMicrosecondType>();
    let pumps = rows.column(1).as_string::<i32>();
    let order: Vec<_> = times.values().iter().map(|at| at - NOVEMBER).collect();
    assert_eq!(order, [9, 4, 5, 0], "nulls first, then pump, then time");
    assert!(pumps.is_null(0));
}

#[tokio::test]
async fn files_have_zstd_page_index_bloom_filter_order_and_field_ids() {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let rows: Vec<_> = (0..50_000)
        .map(|n| (Some(NOVEMBER + n), Some("p1"), Some(n as f64), Some(n)))
        .collect();
    lake.append_batches("main", &key(), vec![batch(&rows)], meta())
        .await
        .unwrap();
    let table = head(&lake, &key()).await;
    let file = &table.data_files().await.unwrap()[0];
    assert_eq!(file.file.sort_order_id(), Some(1));
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let bytes = bytes(&lake, file).await;
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).unwrap();
    let footer = reader.metadata();
    let group = footer.row_group(0);
    for column in group.columns() {
        assert!(matches!(column.compression(), Compression::ZSTD(_)));
    }
    assert!(group.column(1).bloom_filter_offset().is_some());
    assert!(group.column(0).bloom_filter_offset().is_none());
    let length = group.column(1).bloom_filter_length().unwrap();
    assert!(
        length < 1_000,
        "one pump takes a small filter, not {length} bytes"
    );
    assert_eq!(group.sorting_columns().unwrap().len(), 2);
    let pages = footer.offset_index().unwrap()[0][3].page_locations().len();
    assert!(pages > 1, "the page index has several pages");
    for (field, id) in reader.schema().fields().iter().zip(1..) {
        assert_eq!(field.metadata()["PARQUET:field_id"], id.to_string());
    }
    assert_eq!(reader.schema().as_ref(), table.arrow_schema().as_ref());
    assert_eq!(file.file.lower_bounds()[&4], Datum::long(0));
    assert_eq!(file.file.upper_bounds()[&4], Datum::long(49_999));
    assert_eq!(
        file.file.upper_bounds()[&1],
        Datum::timestamptz_micros(NOVEMBER + 49_999)
    );
}

#[tokio::test]
async fn nan_takes_a_column_its_bounds_and_long_strings_are_enclosed() {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let long = format!("pümpe {}", "ä".repeat(100));
    let longer = format!("{long}z");
    let rows = batch(&[
        (Some(NOVEMBER), Some(&long), Some(f64::NAN), Some(1)),
        (Some(NOVEMBER), Some(&longer), Some(1.0), None),
        (Some(NOVEMBER), None, None, None),
    ]);
    lake.append_batches("main", &key(), vec![rows], meta())
        .await
        .unwrap();
    let table = head(&lake, &key()).await;
    let file = &table.data_files().await.unwrap()[0];
    let data = &file.file;
    assert_eq!(data.nan_value_counts()[&3], 1);
    assert!(!data.lower_bounds().contains_key(&3) && !data.upper_bounds().contains_key(&3));
    assert_eq!(
        (data.null_value_counts()[&3], data.null_value_counts()[&4]),
        (1, 2)
    );
    assert_eq!(data.value_counts()[&3], 3);
    let (lower, upper) = (&data.lower_bounds()[&2], &data.upper_bounds()[&2]);
    assert!(*lower <= Datum::string(&long), "{lower}");
    assert!(*upper >= Datum::string(&longer), "{upper}");
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes(&lake, file).await).unwrap();
    let pressure = reader.metadata().row_group(0).column(2);
    assert!(
        pressure.statistics().is_none(),
        "engines would prune NaN by them"
    );
}
