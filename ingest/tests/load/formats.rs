//! Every format, value for value.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Decimal128Array, Float32Array, Int16Array, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt64Array,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use ingest::load::{Format, LoadOptions, Split, type_name};
use parquet::arrow::ArrowWriter;

use crate::support::{House, TABLE};

async fn types(house: &House, file: &str) -> Vec<String> {
    let plan = house
        .plan(&[file.to_owned()], LoadOptions::default())
        .await
        .unwrap();
    let columns = plan.reading.columns.iter();
    columns
        .map(|c| format!("{} {}", c.name, type_name(&c.data_type)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_has_the_types_that_all_its_cells_have() {
    let house = House::new().await;
    let text = "\u{feff}ts;id;zip;n;x;big;day;on;none;say\r\n\
                2026-11-21T10:00:00+01:00;7;01234;1;1;18446744073709551616;2026-11-21;True;;\"a;b\"\r\n\
                2026-11-21 09:30;8;;;2.5;1;2026-11-22;false;;\"two\nlines\"\r\n";
    let file = house.file("a.csv", text);
    let expected = [
        "ts timestamp",
        "id long",
        "zip string",
        "n long",
        "x double",
        "big string",
        "day date",
        "on boolean",
        "none string",
        "say string",
    ];
    assert_eq!(types(&house, &file).await, expected);
    house.load(&[file], LoadOptions::default()).await.unwrap();
    assert_eq!(
        house.rows(TABLE).await,
        [
            "2026-11-21T09:00:00Z,7,01234,1,1.0,18446744073709551616,2026-11-21,true,,a;b",
            "2026-11-21T09:30:00Z,8,,,2.5,1,2026-11-22,false,,two\nlines",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_text_and_json_lines() {
    let house = House::new().await;
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    // Two members one after the other, as log rotation makes them.
    gz.write_all(b"{\"n\":1,\"at\":\"2026-11-21T10:00:00Z\",\"tags\":[1,2]}\n")
        .unwrap();
    let mut bytes = gz.finish().unwrap();
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(b"\n{\"at\":null,\"x\":0.1,\"n\":2.5,\"s\":\"007\"}")
        .unwrap();
    bytes.extend(gz.finish().unwrap());
    let json = house.file("a.jsonl.gz", bytes);
    let csv = zstd::encode_all(&b"n,s\n3,x\n"[..], 3).unwrap();
    let csv = house.file("b.csv.zst", csv);
    let plan = house
        .plan(&[json, csv], LoadOptions::default())
        .await
        .unwrap();
    let formats: Vec<Format> = plan.reading.files.iter().map(|file| file.format).collect();
    assert_eq!(formats, [Format::Jsonl, Format::Csv]);
    let names: Vec<_> = plan
        .reading
        .columns
        .iter()
        .map(|c| (c.name.as_str(), c.nulls))
        .collect();
    assert_eq!(
        names,
        [
            ("n", Some(0)),
            ("at", Some(2)),
            ("tags", Some(2)),
            ("x", Some(2)),
            ("s", Some(1))
        ]
    );
    house.run(plan).await.unwrap();
    assert_eq!(
        house.rows(TABLE).await,
        [
            "1.0,2026-11-21T10:00:00Z,[1,2],,",
            "2.5,,,0.1,007",
            "3.0,,,,x"
        ]
    );
}

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_keeps_its_types_or_widens_them() {
    let house = House::new().await;
    let first = parquet(vec![
        ("small", Arc::new(Int16Array::from(vec![Some(1), None]))),
        ("f", Arc::new(Float32Array::from(vec![0.5, 1.5]))),
        (
            "at",
            Arc::new(
                TimestampNanosecondArray::from(vec![1_000_000_123, 0])
                    .with_timezone("Europe/Berlin"),
            ),
        ),
        (
            "d",
            Arc::new(
                Decimal128Array::from(vec![125, 250])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        ("b", Arc::new(BinaryArray::from_vec(vec![b"\x01", b"\xff"]))),
        ("s", Arc::new(StringArray::from(vec!["x", "y"]))),
    ]);
    let file = house.file("a.parquet", first);
    let expected = [
        "small int",
        "f float",
        "at timestamp",
        "d decimal(10, 2)",
        "b binary",
        "s string",
    ];
    assert_eq!(types(&house, &file).await, expected);
    house.load(&[file], LoadOptions::default()).await.unwrap();
    assert_eq!(
        house.rows(TABLE).await,
        [
            ",1.5,1970-01-01T00:00:00Z,2.50,ff,y",
            "1,0.5,1970-01-01T00:00:01Z,1.25,01,x"
        ]
    );
    let wider = parquet(vec![
        ("small", Arc::new(UInt64Array::from(vec![5_000_000_000]))),
        ("s", Arc::new(StringArray::from(vec!["z"]))),
    ]);
    let wider = house.file("wider", wider);
    house.load(&[wider], LoadOptions::default()).await.unwrap();
    assert_eq!(house.rows(TABLE).await.len(), 3);
    let head = house.lake.catalog().head("main").await.unwrap();
    let table = house
        .lake
        .table(&head, &TABLE.parse().unwrap())
        .await
        .unwrap();
    let schema = table.arrow_schema();
    assert_eq!(type_name(schema.field(0).data_type()), "long");

    let clash = parquet(vec![("f", Arc::new(StringArray::from(vec!["z"])))]);
    let clash = house.file("clash.parquet", clash);
    let error = house.refused(&[clash], LoadOptions::default()).await;
    assert!(
        error.message().contains("clash.parquet") && error.message().contains("float"),
        "{error}"
    );
    let huge = parquet(vec![("small", Arc::new(UInt64Array::from(vec![u64::MAX])))]);
    let huge = house.file("huge.parquet", huge);
    let error = house.refused(&[huge], LoadOptions::default()).await;
    assert!(
        error.message().contains("huge.parquet, rows 1 to 1"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_table_is_laid_out_by_time_and_device() {
    let house = House::new().await;
    let mut text = "pump,at,v\n".to_owned();
    for day in 1..=20 {
        for pump in ["p2", "p1"] {
            text.push_str(&format!("{pump},2026-11-{day:02} 00:00:00,{day}\n"));
        }
    }
    let options = LoadOptions {
        device: Some("pump".into()),
        ..LoadOptions::default()
    };
    let file = house.file("a.csv", text);
    let plan = house
        .plan(std::slice::from_ref(&file), options.clone())
        .await
        .unwrap();
    assert_eq!(
        plan.layout.to_string(),
        "partitioned by day(at), sorted by pump, at"
    );
    assert_eq!(plan.layout.partitions, Some(20));
    let loaded = house.run(plan).await.unwrap();
    assert!(matches!(loaded, ingest::load::Outcome::Loaded(it) if it.files == 20));
    let monthly = LoadOptions {
        partition: Some(Split::Month),
        ..options
    };
    let plan = house
        .plan(
            &[house.file("b.csv", "pump,at\np,2026-01-01 00:00\n")],
            monthly,
        )
        .await
        .unwrap();
    assert_eq!(
        plan.layout.to_string(),
        "partitioned by day(at), sorted by pump, at"
    );

    let epoch = LoadOptions {
        time: Some("t".into()),
        ..LoadOptions::default()
    };
    let file = house.file("epoch.csv", "t,v\n1583748915,1\n1583748916.5,2\n");
    let plan = house.plan(&[file], epoch).await.unwrap();
    assert_eq!(type_name(&plan.reading.columns[0].data_type), "timestamp");
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_parquet_columns_are_loaded_as_they_are() {
    use arrow::array::{ListArray, StructArray};
    use arrow::datatypes::{DataType, Field, Int64Type};

    let house = House::new().await;
    let tags = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
    let x: ArrayRef = Arc::new(Float32Array::from(vec![0.5, 1.5]));
    let field = Arc::new(Field::new("x", DataType::Float32, true));
    let place = StructArray::from(vec![(field, x)]);
    let file = parquet(vec![("tags", Arc::new(tags)), ("place", Arc::new(place))]);
    let file = house.file("a.parquet", file);
    let plan = house.plan(&[file], LoadOptions::default()).await.unwrap();
    house.run(plan).await.unwrap();
    assert_eq!(house.rows(TABLE).await, [",{x: 1.5}", "[1, ],{x: 0.5}"]);
}
