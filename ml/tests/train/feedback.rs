//! Labels of people: what is taken, and that the next data set uses them.
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use catalog::ErrorKind;
use ml::feedback::{Label, Recorded, recent, record};
use ml::retrain::{Trigger, consider};
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::plant::{MODEL, model, plan, plant, spec};

fn label(of: Value) -> Label {
    serde_json::from_value(of).unwrap()
}

fn about(id: usize, hour: usize, worn: bool) -> Label {
    let time = chrono::DateTime::from_timestamp(1_790_000_000 + hour as i64 * 3600, 0).unwrap();
    label(json!({
        "id": format!("l{id}"), "entity": "p1", "event_time": time.to_rfc3339(), "label": worn,
    }))
}

async fn write(fixture: &Fixture, labels: Vec<Label>) -> catalog::Result<Recorded> {
    record(&fixture.engine, &model(), "ann", labels).await
}

#[tokio::test]
async fn labels_are_written_once_and_listed() {
    let fixture = plant().await;
    let labels = || vec![about(1, 5, true), about(2, 6, false)];
    let recorded = write(&fixture, labels()).await.unwrap();
    assert_eq!((recorded.written, recorded.known), (2, 0));
    let mut more = labels();
    more.push(about(3, 7, true));
    let recorded = write(&fixture, more).await.unwrap();
    assert_eq!((recorded.written, recorded.known), (1, 2));
    let engine = &fixture.engine;
    let listed = |model| async move {
        let (_, batches) = recent(engine, model, 10).await.unwrap();
        batches.iter().map(RecordBatch::num_rows).sum::<usize>()
    };
    let (own, other) = (model(), "ml.other".parse().unwrap());
    assert_eq!(
        (listed(Some(&own)).await, listed(Some(&other)).await),
        (3, 0)
    );
}

#[tokio::test]
async fn what_cannot_be_a_label_is_refused_whole_and_named() {
    let fixture = plant().await;
    let at = "2026-09-21T15:00:00Z";
    for (wrong, names) in [
        (
            json!({"entity": "p1", "event_time": at, "label": "maybe"}),
            "'maybe'",
        ),
        (
            json!({"entity": "p1", "event_time": at, "label": [1]}),
            "label 1",
        ),
        (json!({"event_time": at, "label": true}), "entity"),
        (json!({"entity": "p1", "label": true}), "which row"),
        (json!({"prediction_id": "nope", "label": true}), "'nope'"),
        (
            json!({"id": "l1", "entity": "p1", "event_time": at, "label": true}),
            "'l1'",
        ),
    ] {
        let error = write(&fixture, vec![about(1, 5, true), label(wrong)])
            .await
            .unwrap_err();
        let told = format!("{error} {:?}", error.hint());
        assert!(
            error.is_user_error() && told.contains(names),
            "{names}: {told}"
        );
    }
    assert!(write(&fixture, Vec::new()).await.is_err());
    let unknown = "ml.nothing".parse().unwrap();
    let error = record(&fixture.engine, &unknown, "ann", vec![about(1, 5, true)])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let (_, batches) = recent(&fixture.engine, None, 10).await.unwrap();
    assert!(batches.is_empty(), "nothing was written");
}

#[tokio::test]
async fn a_label_can_name_a_prediction() {
    let fixture = plant().await;
    let time = TimestampMicrosecondArray::from(vec![1_790_000_000_000_000]).with_timezone("UTC");
    let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let made = RecordBatch::try_from_iter([
        ("time", Arc::new(time.clone()) as ArrayRef),
        ("id", text("p-1")),
        ("model", text(MODEL)),
        ("entity", text("p3")),
        ("event_time", Arc::new(time)),
    ]);
    fixture.create("ml.predictions", made.unwrap()).await;
    let given = label(json!({"prediction_id": "p-1", "label": "true", "note": "it squeals"}));
    assert_eq!(write(&fixture, vec![given]).await.unwrap().written, 1);
    let (schema, batches) = recent(&fixture.engine, Some(&model()), 10).await.unwrap();
    let shown = arrow::util::pretty::pretty_format_batches(&batches)
        .unwrap()
        .to_string();
    assert!(
        shown.contains("p3") && shown.contains("2026-09-21T14:13:20Z"),
        "{schema:?} {shown}"
    );
}

#[tokio::test]
async fn the_next_data_set_takes_the_newest_label_of_each_row() {
    let fixture = plant().await;
    // Labels that the SQL lacks, so that those rows are not learned from at all.
    let without = spec().replace(
        "flow, worn",
        "flow, case when pump = 'p1' then null else worn end as worn",
    );
    let with = without.replace("time = \"ts\"", "time = \"ts\"\n        feedback = true");
    let train = |spec: String| {
        let fixture = &fixture;
        async move { fixture.train(&spec, "main").await.unwrap().manifest }
    };
    let rows = train(with.clone()).await.lineage.rows;
    assert_eq!(rows.dropped, 720);
    let labels = (0..100)
        .map(|hour| about(hour, hour, hour % 2 == 0))
        .collect();
    write(&fixture, labels).await.unwrap();
    assert_eq!(train(without).await.lineage.rows.dropped, 720);
    let manifest = train(with.clone()).await;
    assert!(manifest.lineage.feedback);
    assert_eq!(manifest.lineage.rows.dropped, 620);
    // Without series the text columns left out say what a row is about.
    let left_out = with.replace("group = [\"pump\"]", "exclude = [\"pump\"]");
    assert_eq!(train(left_out).await.lineage.rows.dropped, 620);
    // The same rows labelled anew: as many, but another model.
    let labels = (0..100)
        .map(|hour| about(1_000 + hour, hour, hour % 2 == 1))
        .collect();
    write(&fixture, labels).await.unwrap();
    let anew = train(with).await;
    assert_eq!(anew.lineage.rows, manifest.lineage.rows);
    assert_ne!(anew.artifact.sha256, manifest.artifact.sha256);
}

#[tokio::test]
async fn enough_new_labels_set_off_a_training_once() {
    let fixture = plant().await;
    let plan = ml::retrain::Plan {
        on: vec![Trigger::Labels],
        min_labels: 3,
        cool_down: std::time::Duration::ZERO,
        ..plan(&spec())
    };
    write(&fixture, vec![about(1, 5, true), about(2, 6, true)])
        .await
        .unwrap();
    assert!(consider(&fixture.engine, &plan).await.unwrap().is_none());
    write(&fixture, vec![about(2, 6, true), about(3, 7, true)])
        .await
        .unwrap();
    let done = consider(&fixture.engine, &plan).await.unwrap().unwrap();
    assert_eq!(done.reason, "3 new labels");
    assert!(consider(&fixture.engine, &plan).await.unwrap().is_none());
}
