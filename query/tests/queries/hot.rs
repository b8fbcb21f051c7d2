//! Uncommitted rows and files meet at one cut: no row is missed, none is seen twice.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lake::{Lake, TableSpec};
use query::Engine;

use crate::fixture::{VecBuffer, column, config, empty_lake, key, meta};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("seq", DataType::Int64, true)]))
}

fn batch(rows: std::ops::Range<i64>) -> RecordBatch {
    RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from_iter_values(rows))]).unwrap()
}

async fn lake() -> Lake {
    let lake = empty_lake().await;
    let spec = TableSpec {
        schema: schema(),
        sort: vec![],
        bloom: vec![],
        ..TableSpec::default()
    };
    lake.create_table("main", &key("t.rows"), &spec, meta("create"))
        .await
        .unwrap();
    lake
}

const COUNT: &str =
    "select count(*) || ' ' || count(distinct seq) || ' ' || coalesce(max(seq), -1) from t.rows";

#[tokio::test]
async fn rows_are_seen_once_before_during_and_after_a_flush() {
    let lake = lake().await;
    let buffer = Arc::new(VecBuffer::default());
    let engine = Engine::new(lake.clone(), Some(Arc::clone(&buffer) as _), config());
    assert_eq!(column(&engine, COUNT).await, ["0 0 -1"]);
    buffer.push(&key("t.rows"), batch(0..3));
    buffer.push(&key("t.rows"), batch(3..5));
    assert_eq!(column(&engine, COUNT).await, ["5 5 4"]);
    let flushed = buffer.commit(&lake, &key("t.rows")).await;
    assert_eq!(
        column(&engine, COUNT).await,
        ["5 5 4"],
        "committed, still buffered"
    );
    buffer.push(&key("t.rows"), batch(5..6));
    assert_eq!(column(&engine, COUNT).await, ["6 6 5"]);
    buffer.drop_until(5);
    assert_eq!(
        column(&engine, COUNT).await,
        ["6 6 5"],
        "committed and dropped"
    );
    let then = format!("select count(*) from \"main@{}\".t.rows", flushed.id());
    assert_eq!(
        column(&engine, &then).await,
        ["5"],
        "history has no hot rows"
    );
    assert_eq!(
        column(&engine, "select seq from t.rows where seq > 3 order by seq").await,
        ["4", "5"]
    );
}

#[tokio::test]
async fn a_plan_keeps_its_cut() {
    let lake = lake().await;
    let buffer = Arc::new(VecBuffer::default());
    let engine = Engine::new(lake.clone(), Some(Arc::clone(&buffer) as _), config());
    buffer.push(&key("t.rows"), batch(0..3));
    let prepared = engine
        .prepare("select seq from t.rows order by seq", None)
        .await
        .unwrap();
    buffer.push(&key("t.rows"), batch(3..5));
    buffer.commit(&lake, &key("t.rows")).await;
    buffer.drop_until(5);
    let result = prepared.bind(&[]).await.unwrap().run().unwrap();
    let batches: Vec<RecordBatch> = futures::TryStreamExt::try_collect(result.stream)
        .await
        .unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
}

/// A writer pushes, commits and drops without a pause; every count must be gapless, and no
/// later count may be smaller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_stay_whole_while_rows_move_into_files() {
    let lake = lake().await;
    let buffer = Arc::new(VecBuffer::default());
    let engine = Engine::new(lake.clone(), Some(Arc::clone(&buffer) as _), config());
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (stop, buffer, lake) = (Arc::clone(&stop), Arc::clone(&buffer), lake.clone());
        async move {
            let mut next = 0;
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..3 {
                    buffer.push(&key("t.rows"), batch(next..next + 4));
                    next += 4;
                }
                buffer.commit(&lake, &key("t.rows")).await;
                buffer.drop_until(next as u64);
                tokio::task::yield_now().await;
            }
        }
    });
    let mut last = 0;
    for _ in 0..40 {
        let answer = column(&engine, COUNT).await.remove(0);
        let numbers: Vec<i64> = answer.split(' ').map(|n| n.parse().unwrap()).collect();
        assert_eq!(
            (numbers[0], numbers[2]),
            (numbers[1], numbers[0] - 1),
            "gap or double: {answer}"
        );
        assert!(numbers[0] >= last, "{answer} after {last}");
        last = numbers[0];
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    assert!(last > 0);
}
