//! Autoencoders through the whole path: bad data registers nothing, holes do no harm.
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::Float64Type;
use catalog::ErrorKind;
use ml::Metrics;

use crate::fixture::Fixture;

const ROWS: i64 = 200;

/// Two readings that go together, a constant one, and a label: each tenth row is off. One
/// reading of seven is missing.
async fn readings(fixture: &Fixture) {
    let rows = || 0..ROWS;
    let off = |n: &i64| n % 10 == 4;
    let a = |n: i64| (n as f64 * 0.7).sin();
    let b = rows().map(|n| 2.0 * a(n) + if off(&n) { 5.0 } else { 0.01 * (n % 3) as f64 });
    let seldom = rows().map(|n| (n % 7 != 0).then_some(a(n)));
    let batch = RecordBatch::try_from_iter_with_nullable([
        (
            "n",
            Arc::new(Int64Array::from_iter_values(rows())) as ArrayRef,
            true,
        ),
        ("a", Arc::new(seldom.collect::<Float64Array>()), true),
        ("b", Arc::new(Float64Array::from_iter_values(b)), true),
        (
            "c",
            Arc::new(Float64Array::from(vec![3.0; ROWS as usize])),
            true,
        ),
        (
            "off",
            Arc::new(rows().map(|n| Some(off(&n))).collect::<BooleanArray>()),
            true,
        ),
    ])
    .unwrap();
    fixture.create("rig.readings", batch).await;
}

const SPEC: &str = r#"
    model = "ml.rig"
    trainer = "autoencoder"
    [dataset]
    sql = "select n, a, b, c, off from rig.readings"
    time = "n"
    label = "off"
    normalise = { method = "standard" }
    [autoencoder]
    principal = 1
    hidden = []
    features = "max"
    threshold = "validation"
"#;

#[tokio::test]
async fn holes_and_constants_do_no_harm() {
    let fixture = Fixture::new().await;
    readings(&fixture).await;
    let outcome = fixture.train(SPEC, "main").await.unwrap();
    let Metrics::Anomaly(metrics) = &outcome.manifest.metrics else {
        panic!("anomaly metrics are expected");
    };
    let told = metrics.detection.as_ref().unwrap();
    assert!(told.accuracy > 0.9, "{told:?}");
    let sql = "select n, a, b, c, off from rig.readings \
               union all select -1 as n, null as a, null as b, null as c, null as off \
               union all select -2 as n, cast('NaN' as double) as a, 0.0 as b, 3.0 as c, null as off";
    let (lake, engine) = (&fixture.lake, &fixture.engine);
    let (_, rows) = ml::predict(lake, engine, "ml.rig", "main", sql)
        .await
        .unwrap();
    let mut count = 0;
    for batch in &rows {
        let score = batch.column_by_name("score").unwrap();
        let score = score.as_primitive::<Float64Type>();
        assert_eq!(score.null_count(), 0);
        assert!(score.values().iter().all(|s| s.is_finite()));
        count += batch.num_rows();
    }
    assert_eq!(count as i64, ROWS + 2);
}

#[tokio::test]
async fn without_a_label_the_flagged_part_is_told() {
    let fixture = Fixture::new().await;
    readings(&fixture).await;
    let spec = SPEC
        .replace("label = \"off\"", "exclude = [\"off\"]")
        .replace("threshold = \"validation\"", "threshold = \"quantile\"");
    let outcome = fixture.train(&spec, "main").await.unwrap();
    let Metrics::Anomaly(metrics) = &outcome.manifest.metrics else {
        panic!("anomaly metrics are expected");
    };
    assert!(metrics.detection.is_none());
    assert!((0.0..=1.0).contains(&metrics.flagged), "{metrics:?}");
}

#[tokio::test]
async fn what_cannot_be_learned_is_an_error_and_registers_nothing() {
    let fixture = Fixture::new().await;
    readings(&fixture).await;
    let head = fixture.lake.catalog().head("main").await.unwrap().id();
    for (from, to, says) in [
        (
            "from rig.readings",
            "from rig.readings where n < 10",
            "fewer than 10",
        ),
        ("b, c, off", "b, c, true as off", "0 normal samples"),
        ("c, off", "1 / 0.0 as c, off", "'c' holds inf"),
        ("normalise =", "window = { length = 500 }\nnormalise =", ""),
        ("principal = 1", "principal = 9", "principal"),
        ("principal = 1", "", "autoencoder.hidden"),
        ("hidden = []", "hidden = [4, 0]", "autoencoder.hidden"),
        ("hidden = []", "end = \"sigmoid\"", "autoencoder.end"),
        ("features = \"max\"", "factor = 0.0", "autoencoder.factor"),
        (
            "features = \"max\"",
            "quantile = 1.5",
            "autoencoder.quantile",
        ),
        ("label = \"off\"", "exclude = [\"off\"]", "dataset.label"),
        ("features = \"max\"", "featurs = \"max\"", "featurs"),
    ] {
        assert!(SPEC.contains(from), "{from} is not in the spec");
        let error = fixture.train(&SPEC.replace(from, to), "main").await;
        let error = error.expect_err(to);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{to}: {error}");
        assert!(error.message().contains(says), "{to}: {error}");
    }
    assert_eq!(
        fixture.lake.catalog().head("main").await.unwrap().id(),
        head
    );
}
