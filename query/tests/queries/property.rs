//! Pruned answers equal unpruned ones: the same random rows once in several files and once
//! in the hot buffer, where nothing is pruned, under random predicates.
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lake::{PartitionField, TableSpec};
use proptest::prelude::*;
use query::Engine;

use crate::fixture::{DAY, START, VecBuffer, column, config, empty_lake, key, meta, timestamp};

#[derive(Clone, Debug)]
struct Row {
    ts: Option<i64>,
    x: Option<f64>,
    y: Option<f32>,
    n: Option<i64>,
    s: Option<String>,
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-3_i32..4).prop_map(f64::from),
        1 => Just(f64::NAN),
        1 => Just(-f64::NAN),
        1 => Just(0.0),
        1 => Just(-0.0),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
    ]
}

/// Short strings, and ones that differ only after where bounds are truncated.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{0,2}",
        "[a-c]".prop_map(|end| format!("{}{end}", "m".repeat(70))),
        Just("\u{10ffff}".repeat(30)),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let maybe = |p: f64| proptest::option::weighted(p, Just(()));
    (
        proptest::option::weighted(0.9, START - DAY..START + 2 * DAY),
        proptest::option::weighted(0.8, double()),
        (maybe(0.8), double()),
        proptest::option::weighted(0.8, -3_i64..4),
        proptest::option::weighted(0.8, text()),
    )
        .prop_map(|(ts, x, (has_y, y), n, s)| Row {
            ts,
            x,
            y: has_y.map(|()| y as f32),
            n,
            s,
        })
}

fn predicate() -> impl Strategy<Value = String> {
    let compare = proptest::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    let number = proptest::sample::select(vec![
        "-3",
        "-0.5",
        "0.0",
        "-0.0",
        "1",
        "2.5",
        "3",
        "'NaN'::double",
        "'Infinity'::double",
    ]);
    let string = prop_oneof![
        "[a-c]{0,2}".prop_map(|s| format!("'{s}'")),
        "[a-c]".prop_map(|end| format!("'{}{end}'", "m".repeat(70))),
    ];
    let day = (-1_i64..3, 0_i64..24).prop_map(|(day, hour)| {
        let seconds = (START + day * DAY) / 1_000_000 + hour * 3600;
        format!("to_timestamp_micros({})", seconds * 1_000_000)
    });
    let leaf = prop_oneof![
        (compare.clone(), number.clone()).prop_map(|(op, v)| format!("x {op} {v}")),
        (compare.clone(), number.clone()).prop_map(|(op, v)| format!("y {op} {v}")),
        (compare.clone(), -3_i64..4).prop_map(|(op, v)| format!("n {op} {v}")),
        (compare.clone(), string.clone()).prop_map(|(op, v)| format!("s {op} {v}")),
        (compare, day).prop_map(|(op, v)| format!("ts {op} {v}")),
        proptest::sample::select(vec!["x", "y", "n", "s", "ts"])
            .prop_map(|c| format!("{c} is null")),
        proptest::sample::select(vec!["x", "y", "n", "s", "ts"])
            .prop_map(|c| format!("{c} is not null")),
        (number.clone(), number).prop_map(|(a, b)| format!("x in ({a}, {b})")),
        (string.clone(), string).prop_map(|(a, b)| format!("s not in ({a}, {b})")),
        Just("s like 'm%'".to_owned()),
        Just("isnan(x)".to_owned()),
        Just("x > n".to_owned()),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            inner.prop_map(|a| format!("(not {a})")),
        ]
    })
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("ts", timestamp(), true),
        Field::new("x", DataType::Float64, true),
        Field::new("y", DataType::Float32, true),
        Field::new("n", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
    ]))
}

fn batch(rows: &[Row], first_id: i64) -> RecordBatch {
    let ids = (first_id..).take(rows.len());
    let times: TimestampMicrosecondArray = rows.iter().map(|row| row.ts).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids)),
        Arc::new(times.with_timezone("+00:00")),
        Arc::new(rows.iter().map(|row| row.x).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.y).collect::<Float32Array>()),
        Arc::new(rows.iter().map(|row| row.n).collect::<Int64Array>()),
        Arc::new(
            rows.iter()
                .map(|row| row.s.clone())
                .collect::<StringArray>(),
        ),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// `t.files` holds each chunk as one append, `t.hot` all of them uncommitted.
async fn engine(chunks: &[Vec<Row>]) -> Engine {
    let lake = empty_lake().await;
    let spec = TableSpec {
        schema: schema(),
        partition: vec![PartitionField::day("ts")],
        sort: vec!["s".to_owned(), "ts".to_owned()],
        bloom: vec!["s".to_owned(), "n".to_owned()],
        ..TableSpec::default()
    };
    let (files, hot) = (key("t.files"), key("t.hot"));
    lake.create_table("main", &files, &spec, meta("create"))
        .await
        .unwrap();
    lake.create_table("main", &hot, &spec, meta("create"))
        .await
        .unwrap();
    let buffer = VecBuffer::default();
    let mut id = 0;
    for chunk in chunks {
        let batch = batch(chunk, id);
        id += chunk.len() as i64;
        lake.append_batches("main", &files, vec![batch.clone()], meta("chunk"))
            .await
            .unwrap();
        buffer.push(&hot, batch);
    }
    Engine::new(lake, Some(Arc::new(buffer)), config())
}

async fn check(chunks: &[Vec<Row>], predicates: &[String]) {
    let engine = engine(chunks).await;
    let mut queries: Vec<String> = predicates
        .iter()
        .flat_map(|predicate| {
            [
                format!("select id from TABLE where {predicate} order by id"),
                format!("select count(*) from TABLE where {predicate}"),
            ]
        })
        .collect();
    for column in ["x", "y", "n", "s", "ts"] {
        for order in [
            "desc nulls last",
            "asc nulls last",
            "desc",
            "asc nulls first",
        ] {
            queries.push(format!(
                "select {column} from TABLE order by {column} {order} limit 3"
            ));
        }
        for aggregate in ["min", "max", "count"] {
            queries.push(format!("select {aggregate}({column}) from TABLE"));
        }
    }
    for query in queries {
        let pruned = column(&engine, &query.replace("TABLE", "t.files")).await;
        let naive = column(&engine, &query.replace("TABLE", "t.hot")).await;
        assert_eq!(pruned, naive, "{query}");
    }
}

/// A dozen, unless `PROPTEST_CASES` says otherwise.
fn cases() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 12;
    }
    config.failure_persistence = None;
    config
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn pruning_changes_no_answer(
        chunks in proptest::collection::vec(proptest::collection::vec(row(), 1..6), 1..5),
        predicates in proptest::collection::vec(predicate(), 8),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(check(&chunks, &predicates));
    }
}

/// NaN is greater than every number, yet writers leave it out of all bounds.
#[tokio::test]
async fn nan_is_found_where_bounds_do_not_show_it() {
    let row = |x: f64| Row {
        ts: Some(START),
        x: Some(x),
        y: Some(x as f32),
        n: None,
        s: None,
    };
    let chunks = [
        vec![row(1.0), row(2.0), row(f64::NAN)],
        vec![row(-0.0)],
        vec![row(0.0)],
    ];
    let predicates = [
        "x > 100", "y > 100", "isnan(x)", "x = 0.0", "x < 0.0", "x = -0.0", "x <> 2",
    ];
    check(&chunks, &predicates.map(str::to_owned)).await;
}
