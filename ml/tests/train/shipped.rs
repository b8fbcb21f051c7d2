//! The SQL and the spec that ship with Pumphouse.
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Float64Type;
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

#[tokio::test]
async fn the_pump_vibration_spec_trains_quantiles_that_hold_nine_of_ten() {
    let fixture = Fixture::new().await;
    let spec = read("train/pump_vibration.toml");
    // Vibration of the fixture repeats every 80 readings, so that it can be told beforehand.
    let outcome = fixture.train(&spec, "main").await.unwrap();
    let manifest = &outcome.manifest;
    assert!(manifest.rounds < 200, "{} rounds", manifest.rounds);
    assert_eq!(manifest.lineage.rows.dropped, 4 * 60);
    let sum: f64 = manifest.importance.values().sum();
    assert!((sum - 1.0).abs() < 1e-9, "{:?}", manifest.importance);

    let sql = TrainSpec::from_toml(&spec).unwrap().dataset.sql;
    let (lake, engine) = (&fixture.lake, &fixture.engine);
    let (_, rows) = ml::predict(lake, engine, "ml.pump_vibration", "main", &sql)
        .await
        .unwrap();
    let column = |rows: &RecordBatch, name: &str| -> Vec<Option<f64>> {
        let column = rows.column_by_name(name).unwrap();
        column.as_primitive::<Float64Type>().iter().collect()
    };
    let (mut inside, mut all) = (0, 0);
    for rows in &rows {
        let [truth, lower, middle, upper] =
            ["vibration_later", "lower", "prediction", "upper"].map(|name| column(rows, name));
        for (row, truth) in truth.iter().enumerate() {
            let (Some(truth), Some(low), Some(mid), Some(high)) =
                (truth, lower[row], middle[row], upper[row])
            else {
                continue;
            };
            assert!(low <= mid && mid <= high, "{low} {mid} {high}");
            inside += usize::from((low..=high).contains(truth));
            all += 1;
        }
    }
    assert_eq!(all, 4 * 540);
    assert!(inside * 100 / all >= 85, "{inside} of {all}");
}

#[tokio::test]
async fn the_pump_forecast_spec_trains_and_forecasts() {
    let fixture = Fixture::new().await;
    let spec = read("train/pump_forecast.toml");
    let outcome = fixture.train(&spec, "main").await.unwrap();
    let manifest = &outcome.manifest;
    let Metrics::Forecast(metrics) = &manifest.metrics else {
        panic!("forecast metrics are expected");
    };
    assert!(metrics.mse < 0.5 * metrics.persistence_mse, "{metrics:?}");
    let names: Vec<&str> = metrics.targets.iter().map(|t| t.target.as_str()).collect();
    assert_eq!(names, ["vibration_mm_s", "temperature_c"]);
    assert_eq!(metrics.step_mse.len(), 16);
    assert_eq!(manifest.signature.length, 64);

    let again = fixture.train(&spec, "main").await.unwrap();
    assert_eq!(again.manifest.artifact.sha256, manifest.artifact.sha256);
}

#[tokio::test]
async fn the_pump_anomaly_spec_finds_faults_that_it_has_not_learned_from() {
    let fixture = Fixture::new().await;
    let spec = read("train/pump_anomaly.toml");
    let outcome = fixture.train(&spec, "main").await.unwrap();
    let manifest = &outcome.manifest;
    let Metrics::Anomaly(metrics) = &manifest.metrics else {
        panic!("anomaly metrics are expected");
    };
    let told = metrics.detection.as_ref().expect("the rows are labelled");
    assert!(told.f1 > 0.95 && told.false_alarm_rate < 0.05, "{told:?}");
    assert!(told.missed_alarm_rate < 0.05, "{told:?}");
    assert!(manifest.threshold.is_some_and(|t| t > 0.0), "{manifest:?}");

    let again = fixture.train(&spec, "main").await.unwrap();
    assert_eq!(again.manifest.artifact.sha256, manifest.artifact.sha256);
    assert_eq!(again.manifest.threshold, manifest.threshold);
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

#[tokio::test]
async fn every_feature_query_has_a_row_for_each_reading() {
    let fixture = Fixture::new().await;
    let times = |micros| TimestampMicrosecondArray::from(vec![micros]).with_timezone("+00:00");
    let done = RecordBatch::try_from_iter_with_nullable([
        (
            "pump",
            Arc::new(StringArray::from(vec!["p1"])) as ArrayRef,
            false,
        ),
        ("done_at", Arc::new(times(1_790_000_000_000_000)), false),
        ("kind", Arc::new(StringArray::from(vec!["bearing"])), true),
    ]);
    fixture.create("plant.maintenance", done.unwrap()).await;
    for entry in fs::read_dir(sql_folder().join("features")).unwrap() {
        let path = entry.unwrap().path();
        let sql = fs::read_to_string(&path).unwrap();
        let answer = fixture.engine.collect(&sql, None).await;
        let (schema, rows) = answer.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(count, 2_400, "{}", path.display());
        for (at, field) in schema.fields().iter().enumerate() {
            let nulls: usize = rows.iter().map(|b| b.column(at).null_count()).sum();
            assert!(
                nulls < count,
                "{}: {} is null",
                path.display(),
                field.name()
            );
        }
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
