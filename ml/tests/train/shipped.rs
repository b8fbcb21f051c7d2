//! The SQL and the spec that ship with Pumphouse.
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use ml::{Metrics, TrainSpec};

use crate::fixture::Fixture;

fn sql_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../sql")
}

fn read(path: &str) -> String {
    fs::read_to_string(sql_folder().join(path)).unwrap()
}

#[tokio::test]
async fn the_pump_fault_spec_trains_and_predicts_on_its_features() {
    let fixture = Fixture::new().await;
    let spec = read("train/pump_fault.toml");
    let outcome = fixture.train(&spec, "main").await.unwrap();
    let Metrics::Multiclass(metrics) = &outcome.manifest.metrics else {
        panic!("multiclass metrics are expected");
    };
    assert!(metrics.macro_f1 > 0.9, "{metrics:?}");

    let sql = format!(
        "select * from ({}) where pump = 'p1'",
        read("features/pump_features.sql")
    );
    let (lake, engine) = (&fixture.lake, &fixture.engine);
    let (schema, rows) = ml::predict(lake, engine, "ml.pump_fault", "main", &sql)
        .await
        .unwrap();
    assert!(schema.index_of("prediction").is_ok());
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 600);
}

#[test]
fn the_spec_holds_the_features_as_they_ship() {
    let spec = TrainSpec::from_toml(&read("train/pump_fault.toml")).unwrap();
    assert_eq!(spec.dataset.sql, read("features/pump_features.sql"));
}

#[tokio::test]
async fn every_example_runs() {
    let fixture = Fixture::new().await;
    dead_letters(&fixture).await;
    let head = fixture.lake.catalog().head("main").await.unwrap();
    for entry in fs::read_dir(sql_folder().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let sql = fs::read_to_string(&path).unwrap();
        let sql = sql.replace("main@2026-11-01T00:00:00Z", &format!("main@{}", head.id()));
        let (_, rows) = fixture
            .engine
            .collect(&sql, None)
            .await
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(rows.iter().any(|b| b.num_rows() > 0), "{}", path.display());
    }
}

/// One dead letter in the table that ingest keeps for them.
async fn dead_letters(fixture: &Fixture) {
    let now = TimestampMicrosecondArray::from(vec![1]).with_timezone("+00:00");
    let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let rows = RecordBatch::try_from_iter_with_nullable([
        ("received_at", Arc::new(now) as ArrayRef, false),
        ("topic", text("pumps/north/p1/telemetry"), false),
        (
            "payload",
            Arc::new(BinaryArray::from_vec(vec![b"\xffno json"])),
            false,
        ),
        ("reason", text("no JSON"), false),
        ("stream", text("telemetry"), true),
    ])
    .unwrap();
    fixture.create("ingest.dead_letters", rows).await;
}
