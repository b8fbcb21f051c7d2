//! Each task from rows to metrics.
use ml::{Class, Metrics, Task};

use crate::fixture::{Fixture, spec};

#[tokio::test]
async fn two_classes() {
    let fixture = Fixture::new().await;
    let spec = spec("binary:logistic", "fault <> 'none'");
    let outcome = fixture.train(&spec, "main").await.unwrap();
    let manifest = outcome.manifest;
    assert_eq!(manifest.task, Task::Binary);
    assert_eq!(
        manifest.lineage.rows.train + manifest.lineage.rows.validation,
        1800
    );
    assert_eq!(manifest.lineage.rows.test, 600);
    let classes = [Class::Boolean(false), Class::Boolean(true)];
    assert_eq!(manifest.signature.classes, classes);
    let Metrics::Binary(metrics) = manifest.metrics else {
        panic!("binary metrics are expected");
    };
    assert!(metrics.accuracy > 0.95, "{metrics:?}");
    assert!(metrics.auc.unwrap() > 0.95, "{metrics:?}");
}

#[tokio::test]
async fn several_classes_and_the_commit_that_tells_of_them() {
    let fixture = Fixture::new().await;
    let read_at = fixture.lake.catalog().head("main").await.unwrap().id();
    let outcome = fixture
        .train(&spec("multi:softprob", "fault"), "main")
        .await
        .unwrap();
    let manifest = &outcome.manifest;
    assert_eq!(manifest.lineage.commit, read_at);
    let features: Vec<_> = manifest
        .signature
        .features
        .iter()
        .map(|f| f.name.as_str())
        .collect();
    assert_eq!(
        features,
        [
            "pressure_bar",
            "flow_m3h",
            "vibration_mm_s",
            "temperature_c",
            "running"
        ]
    );
    let Metrics::Multiclass(metrics) = &manifest.metrics else {
        panic!("multiclass metrics are expected");
    };
    assert!(metrics.macro_f1 > 0.95, "{metrics:?}");
    assert_eq!(metrics.classes.len(), 4);

    let head = fixture.lake.catalog().head("main").await.unwrap();
    assert_eq!(head.id(), outcome.commit);
    let message = &head.commit().message;
    assert!(message.contains("train ml.pump: accuracy"), "{message}");
}

#[tokio::test]
async fn a_number() {
    let fixture = Fixture::new().await;
    let spec =
        spec("reg:squarederror", "temperature_c + 1").replace("temperature_c, running", "running");
    let outcome = fixture.train(&spec, "main").await.unwrap();
    assert!(outcome.manifest.signature.classes.is_empty());
    let Metrics::Regression(metrics) = outcome.manifest.metrics else {
        panic!("regression metrics are expected");
    };
    assert!(metrics.r2.unwrap() > 0.8, "{metrics:?}");
}

#[tokio::test]
async fn every_round_is_reported() {
    let fixture = Fixture::new().await;
    let spec = ml::TrainSpec::from_toml(&spec("multi:softprob", "fault")).unwrap();
    let mut rounds = Vec::new();
    let mut progress = |round| rounds.push(round);
    ml::train(
        &fixture.lake,
        &fixture.engine,
        &spec,
        "main",
        "ann",
        &mut progress,
    )
    .await
    .unwrap();
    assert_eq!(rounds.len(), 8);
    let (first, last) = (&rounds[0], &rounds[7]);
    assert_eq!((first.round, last.round, last.rounds), (1, 8, 8));
    assert_eq!(first.metric, "mlogloss");
    assert!(last.train < first.train && last.test < first.test);
}

#[tokio::test]
async fn rows_without_a_label_are_counted() {
    let fixture = Fixture::new().await;
    let spec = spec(
        "multi:softprob",
        "case when pump = 'p3' then null else fault end",
    );
    let outcome = fixture.train(&spec, "main").await.unwrap();
    assert_eq!(outcome.manifest.lineage.rows.dropped, 600);
}
