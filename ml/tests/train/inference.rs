//! Predictions: what goes in, what comes out.
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, NullArray, RecordBatch, StringArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int64Type};
use catalog::ErrorKind;

use crate::fixture::{Fixture, spec};

async fn trained(objective: &str, label: &str) -> Fixture {
    let fixture = Fixture::new().await;
    fixture
        .train(&spec(objective, label), "main")
        .await
        .unwrap();
    fixture
}

async fn predict(fixture: &Fixture, sql: &str) -> catalog::Result<RecordBatch> {
    let Fixture { lake, engine, .. } = fixture;
    let (schema, batches) = ml::predict(lake, engine, "ml.pump", "main", sql).await?;
    Ok(concat_batches(&schema, &batches).unwrap())
}

fn one_row(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .unwrap()
}

fn number(value: f64) -> ArrayRef {
    Arc::new(Float64Array::from(vec![value]))
}

fn worn_pump() -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("note", Arc::new(StringArray::from(vec!["noisy"]))),
        ("vibration_mm_s", number(5.2)),
        ("temperature_c", number(71.0)),
        ("flow_m3h", Arc::new(Int64Array::from(vec![40]))),
        ("pressure_bar", Arc::new(NullArray::new(1))),
        ("running", Arc::new(Int64Array::from(vec![1]))),
    ]
}

#[tokio::test]
async fn rows_keep_their_columns_and_gain_an_answer() {
    let fixture = trained("multi:softprob", "fault").await;
    let rows = predict(&fixture, "select * from pumps.telemetry")
        .await
        .unwrap();
    assert_eq!((rows.num_rows(), rows.num_columns()), (2400, 12));
    assert_eq!(rows.schema().field(10).name(), "prediction");
    let prediction = rows.column(10).as_string::<i32>();
    let truth = rows.column_by_name("fault").unwrap().as_string::<i32>();
    let right = truth.iter().zip(prediction).filter(|(t, p)| t == p).count();
    assert!(right > 2300, "{right}");
    let probability = rows.column(11).as_primitive::<Float64Type>();
    assert!(
        probability
            .values()
            .iter()
            .all(|p| (0.25..=1.0).contains(p))
    );

    let none = predict(&fixture, "select * from pumps.telemetry where false")
        .await
        .unwrap();
    assert_eq!((none.num_rows(), none.num_columns()), (0, 12));
}

#[tokio::test]
async fn two_classes_have_a_score() {
    let fixture = trained(
        "binary:logistic",
        "case when fault = 'none' then 0 else 1 end",
    )
    .await;
    let rows = predict(&fixture, "select * from pumps.telemetry")
        .await
        .unwrap();
    let column = |name: &str| rows.column_by_name(name).unwrap().clone();
    let (prediction, probability, score) =
        (column("prediction"), column("probability"), column("score"));
    let prediction = prediction.as_primitive::<Int64Type>();
    let probability = probability.as_primitive::<Float64Type>();
    let score = score.as_primitive::<Float64Type>();
    for row in 0..rows.num_rows() {
        let s = score.value(row);
        assert_eq!(prediction.value(row), i64::from(s >= 0.5));
        assert!((probability.value(row) - s.max(1.0 - s)).abs() < 1e-6);
    }
}

#[tokio::test]
async fn a_number_has_no_probability() {
    let fixture = trained("reg:squarederror", "vibration_mm_s * 2").await;
    let rows = predict(&fixture, "select * from pumps.telemetry limit 5")
        .await
        .unwrap();
    assert_eq!(rows.num_columns(), 13);
    let column = |name| {
        let column = rows.column_by_name(name).unwrap();
        column.as_primitive::<Float64Type>().clone()
    };
    let (lower, value, upper) = (column("lower"), column("prediction"), column("upper"));
    for row in 0..5 {
        assert!(lower.value(row) < value.value(row) && value.value(row) < upper.value(row));
    }
}

#[tokio::test]
async fn intervals_cover_as_asked_and_are_null_where_nothing_was_set_aside() {
    let spec = spec("reg:squarederror", "vibration_mm_s * 2");
    let fixture = Fixture::new().await;
    let manifest = fixture.train(&spec, "main").await.unwrap().manifest;
    let calibration = manifest.calibration.unwrap();
    assert_eq!(calibration.coverage, 0.9);
    assert_eq!(calibration.samples, manifest.lineage.rows.validation);
    let covered = manifest.reliability["coverage"];
    assert!((0.86..=0.94).contains(&covered), "{covered}");
    assert!(manifest.reliability["width"] > 0.0);

    // Early stopping chooses by the validation part, so half of it is kept from it.
    let early = spec.replace("rounds = 8", "rounds = 8\nearly_stopping = 4");
    let early = fixture.train(&early, "main").await.unwrap().manifest;
    let validation = early.lineage.rows.validation;
    assert_eq!(
        early.calibration.unwrap().samples,
        validation - validation / 2
    );

    let wider = spec.replace("[dataset]", "coverage = 0.99\n[dataset]");
    let wider = fixture.train(&wider, "main").await.unwrap().manifest;
    assert!(wider.reliability["width"] > manifest.reliability["width"]);
    assert!(wider.reliability["coverage"] > 0.96);

    let without = spec.replace("time = \"ts\"", "time = \"ts\"\nvalidation_fraction = 0.0");
    let without = fixture.train(&without, "main").await.unwrap().manifest;
    assert_eq!(without.calibration, None);
    assert!(without.reliability.is_empty());
    let rows = predict(&fixture, "select * from pumps.telemetry limit 5")
        .await
        .unwrap();
    assert_eq!(rows.column_by_name("lower").unwrap().null_count(), 5);
    assert_eq!(rows.column_by_name("upper").unwrap().null_count(), 5);
}

#[tokio::test]
async fn rows_of_a_request_come_in_any_order_and_number_type() {
    let fixture = trained("multi:softprob", "fault").await;
    let rows = ml::predict_rows(&fixture.lake, "ml.pump", "main", one_row(worn_pump()))
        .await
        .unwrap();
    assert_eq!(rows.schema().field(0).name(), "note");
    let prediction = rows.column_by_name("prediction").unwrap();
    assert_eq!(prediction.as_string::<i32>().value(0), "bearing_wear");
}

#[tokio::test]
async fn rows_that_do_not_fit_the_signature_are_refused() {
    let fixture = trained("multi:softprob", "fault").await;
    let mut missing = worn_pump();
    missing.remove(1);
    let mut text = worn_pump();
    text[1].1 = Arc::new(StringArray::from(vec!["high"]));
    let mut taken = worn_pump();
    taken[0].0 = "prediction";
    for (rows, says) in [
        (
            missing,
            "reads the column 'vibration_mm_s', which the rows do not have",
        ),
        (text, "'vibration_mm_s' as a number, and it is Utf8"),
        (taken, "have a column 'prediction'"),
    ] {
        let answer = ml::predict_rows(&fixture.lake, "ml.pump", "main", one_row(rows)).await;
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(says), "{error}");
    }
    let error = predict(&fixture, "select ts from pumps.telemetry where false")
        .await
        .unwrap_err();
    assert!(error.message().contains("pressure_bar"), "{error}");
}

#[tokio::test]
async fn an_unknown_model_is_not_found_and_the_known_ones_are_named() {
    let fixture = trained("multi:softprob", "fault").await;
    let lake = &fixture.lake;
    let error = ml::predict_rows(lake, "ml.pmup", "main", one_row(worn_pump()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().unwrap().contains("ml.pump"), "{error}");
    let error = ml::predict_rows(lake, "pumps.telemetry", "main", one_row(worn_pump()))
        .await
        .unwrap_err();
    assert!(error.message().contains("not a model"), "{error}");
}
