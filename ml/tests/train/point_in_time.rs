//! What a row may know: what had happened, and was told, by its time.
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::Utc;
use lake::maintain::CompactOptions;
use ml::{Preview, TrainSpec};

use crate::fixture::Fixture;

const WEAR: &str = "plant.wear";
/// When the wear of every pump was measured.
const MEASURED: i64 = 1_790_000_000_000_000;

fn times(micros: impl IntoIterator<Item = i64>) -> ArrayRef {
    let times = TimestampMicrosecondArray::from_iter_values(micros);
    Arc::new(times.with_timezone("+00:00"))
}

fn wear(value: f64) -> RecordBatch {
    RecordBatch::try_from_iter([
        ("pump", Arc::new(StringArray::from(vec!["p1"])) as ArrayRef),
        ("at", times([MEASURED])),
        ("wear", Arc::new(Float64Array::from(vec![value]))),
    ])
    .unwrap()
}

/// A moment that no commit shares: snapshots know their time in milliseconds.
async fn a_moment() -> i64 {
    tokio::time::sleep(Duration::from_millis(5)).await;
    let now = Utc::now().timestamp_micros();
    tokio::time::sleep(Duration::from_millis(5)).await;
    now
}

async fn append(fixture: &Fixture, value: f64) {
    let meta = catalog::CommitMeta::new("test", "measure");
    let (lake, key) = (&fixture.lake, WEAR.parse().unwrap());
    let appended = lake.append_batches("main", &key, vec![wear(value)], meta);
    appended.await.unwrap();
}

async fn seen(fixture: &Fixture, join: &str) -> Vec<Option<f32>> {
    let spec = format!(
        r#"
        model = "ml.wear"
        trainer = "xgboost"
        [dataset]
        sql = "select ts, pump, load, label from lab.runs"
        time = "ts"
        label = "label"
        exclude = ["pump"]
        validation_fraction = 0.0
        test_fraction = 0.01
        [[dataset.join]]
        table = "{WEAR}"
        on = ["pump"]
        time = "at"
        columns = ["wear"]
        {join}
        [xgboost]
        objective = "reg:squarederror"
        rounds = 2
        "#
    );
    let spec = TrainSpec::from_toml(&spec).unwrap();
    let preview: Preview = ml::preview(&fixture.lake, &fixture.engine, &spec, None, 100)
        .await
        .unwrap();
    assert_eq!(preview.features[1].name, "wear");
    preview
        .rows
        .iter()
        .map(|row| row.values[1])
        .skip(10)
        .collect()
}

#[tokio::test]
async fn a_correction_is_seen_from_its_commit_on_also_after_compaction() {
    let fixture = Fixture::new().await;
    let before = a_moment().await;
    fixture.create(WEAR, wear(1.0)).await;
    let told = a_moment().await;
    append(&fixture, 9.0).await;
    let corrected = a_moment().await;
    // Ten more before that, since fewer rows teach nothing.
    let mut at: Vec<i64> = (0..10).map(|n| before - 1_000_000 + n).collect();
    at.extend([before, told, corrected, corrected + 1_000_000]);
    let numbers = || Arc::new(Float64Array::from_iter_values((1..=14).map(f64::from))) as ArrayRef;
    let pump = Arc::new(StringArray::from(vec!["p1"; 14])) as ArrayRef;
    let runs = RecordBatch::try_from_iter([
        ("ts", times(at)),
        ("pump", pump),
        ("load", numbers()),
        ("label", numbers()),
    ]);
    fixture.create("lab.runs", runs.unwrap()).await;

    let honest = [None, Some(1.0), Some(9.0)];
    assert_eq!(seen(&fixture, "").await, honest);
    let options = CompactOptions {
        full: true,
        ..CompactOptions::default()
    };
    let key = WEAR.parse().unwrap();
    let on = || Box::pin(std::future::ready(true)) as futures::future::BoxFuture<'_, bool>;
    let compacted = fixture.lake.compact("main", &key, &options, "test", &on);
    assert_eq!(compacted.await.unwrap().files_removed, 2);
    assert_eq!(seen(&fixture, "").await, honest);
    // Taken for told when it happened, the correction leaks.
    let all = [Some(9.0); 3];
    assert_eq!(seen(&fixture, "known = 'event'").await, all);
    assert_eq!(seen(&fixture, "tolerance = '1d'").await, [None; 3]);
}
