//! Which model serves: history, promotion and going back; and what is read of other versions.
use std::time::Duration;

use catalog::{ErrorKind, MergeOptions, MergeOutcome};
use lake::collect::CollectOptions;
use ml::{Manifest, TrainOutcome};
use object_store::ObjectStoreExt;
use serde_json::{Value, json};

use crate::fixture::{Fixture, spec, telemetry};

const SQL: &str = "select * from pumps.telemetry limit 10";

/// A training that differs from others by its depth.
async fn train(fixture: &Fixture, depth: u32, branch: &str) -> TrainOutcome {
    let spec = spec("multi:softprob", "fault");
    let spec = spec.replace("max_depth = 4", &format!("max_depth = {depth}"));
    fixture.train(&spec, branch).await.unwrap()
}

async fn serving(fixture: &Fixture, reference: &str) -> String {
    let model = ml::model(&fixture.lake, "ml.pump", reference)
        .await
        .unwrap();
    model.manifest_location
}

async fn roll_back(fixture: &Fixture, to: Option<&str>) -> catalog::Result<ml::Rollback> {
    ml::rollback(&fixture.lake, "ml.pump", "main", to, "bob", false).await
}

#[tokio::test]
async fn going_back_restores_the_model_bit_for_bit_and_keeps_all_else() {
    let fixture = Fixture::new().await;
    let one = train(&fixture, 2, "main").await;
    let bytes = fixture.object(&one.manifest_location).await;
    let two = train(&fixture, 3, "main").await;
    fixture.append("main", telemetry(600, 610)).await;
    let three = train(&fixture, 4, "main").await;

    let before = fixture.lake.catalog().head("main").await.unwrap();
    let trial = ml::rollback(&fixture.lake, "ml.pump", "main", None, "bob", true)
        .await
        .unwrap();
    assert_eq!(trial.to.manifest_location, two.manifest_location);
    assert_eq!(trial.commit, None);
    assert_eq!(
        fixture.lake.catalog().head("main").await.unwrap().id(),
        before.id()
    );

    let done = roll_back(&fixture, None).await.unwrap();
    assert_eq!(done.undone, Some(three.commit));
    let head = fixture.lake.catalog().head("main").await.unwrap();
    assert_eq!(head.commit().author, "bob");
    // Nothing but the model changed: rows and runs are those of before.
    let changed: Vec<_> = before
        .diff(&head)
        .unwrap()
        .into_iter()
        .map(|it| it.key)
        .collect();
    assert_eq!(changed, ["ml.pump".parse().unwrap()]);
    assert_eq!(serving(&fixture, "main").await, two.manifest_location);

    // Twice goes two back, and there is an end.
    roll_back(&fixture, None).await.unwrap();
    assert_eq!(serving(&fixture, "main").await, one.manifest_location);
    assert_eq!(
        fixture.object(&serving(&fixture, "main").await).await,
        bytes
    );
    let error = roll_back(&fixture, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");

    // And forward again, to a commit by name.
    roll_back(&fixture, Some(&three.commit.to_string()))
        .await
        .unwrap();
    assert_eq!(serving(&fixture, "main").await, three.manifest_location);
    let error = roll_back(&fixture, Some(&three.commit.to_string()))
        .await
        .unwrap_err();
    assert!(error.message().contains("already"), "{error}");

    let history = ml::history(&fixture.lake, "ml.pump", "main", 20)
        .await
        .unwrap();
    let put: Vec<_> = history
        .iter()
        .map(|it| it.manifest_location.clone().unwrap())
        .collect();
    let [a, b, c] = [&one, &two, &three].map(|it| it.manifest_location.clone());
    assert_eq!(put, [c.clone(), a.clone(), b.clone(), c, b, a]);
    assert!(history.iter().all(|it| it.manifest.is_some()));
    assert_eq!(history[5].commit.author, "ann");
}

#[tokio::test]
async fn a_damaged_earlier_model_is_not_put_back() {
    let fixture = Fixture::new().await;
    let one = train(&fixture, 2, "main").await;
    train(&fixture, 3, "main").await;
    let path = object_store::path::Path::parse(&one.manifest.artifact.path).unwrap();
    let store = fixture.lake.store().object_store();
    store.put(&path, "other bytes".into()).await.unwrap();
    let head = fixture.lake.catalog().head("main").await.unwrap().id();
    let error = roll_back(&fixture, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(
        fixture.lake.catalog().head("main").await.unwrap().id(),
        head
    );
}

#[tokio::test]
async fn promotion_brings_the_model_and_refuses_what_else_the_branch_holds() {
    let fixture = Fixture::new().await;
    let lake = &fixture.lake;
    let champion = train(&fixture, 2, "main").await;
    fixture.branch("exp").await;
    let challenger = train(&fixture, 4, "exp").await;
    fixture.append("main", telemetry(600, 605)).await;
    let options = MergeOptions {
        author: "bob".into(),
        ..MergeOptions::default()
    };
    let report = ml::promote(lake, "ml.pump", "exp", "main", false, &options)
        .await
        .unwrap();
    assert_eq!(report.outcome, MergeOutcome::Merged);
    assert_eq!(
        serving(&fixture, "main").await,
        challenger.manifest_location
    );
    // Back from a merge: only the model, of which the merge brought more.
    let done = roll_back(&fixture, None).await.unwrap();
    assert_eq!(done.undone, report.commit);
    assert_eq!(serving(&fixture, "main").await, champion.manifest_location);

    fixture.branch("more").await;
    train(&fixture, 5, "more").await;
    fixture.append("more", telemetry(605, 610)).await;
    let error = ml::promote(lake, "ml.pump", "more", "main", false, &options)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("pumps.telemetry"), "{error}");
    assert!(!error.message().contains("ml.runs"), "{error}");
    ml::promote(lake, "ml.pump", "more", "main", true, &options)
        .await
        .unwrap();

    let error = ml::promote(lake, "ml.none", "exp", "main", false, &options)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().unwrap().contains("ml.pump"), "{error}");
}

/// Puts a manifest of other content under the key.
async fn put(fixture: &Fixture, manifest: &Value) {
    use sha2::{Digest, Sha256};
    let bytes = serde_json::to_vec(manifest).unwrap();
    let name: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let path = object_store::path::Path::from(format!("ml/pump/models/{name}.json"));
    let store = fixture.lake.store();
    store.object_store().put(&path, bytes.into()).await.unwrap();
    let content = catalog::Content::Model {
        uuid: uuid::Uuid::from_u128(7),
        manifest_location: store.location(&path),
    };
    let meta = catalog::CommitMeta::new("test", "put a model");
    let models = vec![("ml.pump".parse().unwrap(), content)];
    ml::commit_rows(&fixture.lake, "main", meta, Vec::new(), models)
        .await
        .unwrap();
}

#[tokio::test]
async fn manifests_of_the_first_layout_predict_and_those_to_come_are_refused() {
    let fixture = Fixture::new().await;
    let manifest: Manifest = train(&fixture, 3, "main").await.manifest;
    let mut first = serde_json::to_value(&manifest).unwrap();
    let fields = first.as_object_mut().unwrap();
    for newer in [
        "normalisation",
        "importance",
        "calibration",
        "reliability",
        "profile",
    ] {
        fields.remove(newer);
    }
    fields.insert("format_version".into(), json!(1));
    for newer in ["targets", "group", "length", "horizon"] {
        first["signature"].as_object_mut().unwrap().remove(newer);
    }
    first["lineage"]["rows"]
        .as_object_mut()
        .unwrap()
        .remove("validation");
    put(&fixture, &first).await;
    let predicted = ml::predict(&fixture.lake, &fixture.engine, "ml.pump", "main", SQL).await;
    assert_eq!(
        predicted
            .unwrap()
            .1
            .iter()
            .map(|it| it.num_rows())
            .sum::<usize>(),
        10
    );
    assert_eq!(
        ml::models(&fixture.lake, "main").await.unwrap()[0]
            .manifest
            .calibration,
        None
    );

    put(
        &fixture,
        &json!({"format_version": 99, "model": {"of": "tomorrow"}}),
    )
    .await;
    let error = ml::model(&fixture.lake, "ml.pump", "main")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.hint().is_some());
    put(&fixture, &json!({"format_version": 2})).await;
    let error = ml::model(&fixture.lake, "ml.pump", "main")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn a_model_that_a_branch_or_tag_holds_is_never_garbage() {
    let fixture = Fixture::new().await;
    let (lake, catalog) = (&fixture.lake, fixture.lake.catalog());
    fixture.branch("kept").await;
    fixture.branch("gone").await;
    let tagged = train(&fixture, 2, "gone").await;
    catalog.create_tag("v1", "gone", "test").await.unwrap();
    let lost = train(&fixture, 3, "gone").await;
    // Learned from rows that no branch will hold, and brought to one that does not.
    fixture.branch("rows").await;
    fixture.append("rows", telemetry(600, 610)).await;
    let rows = catalog.head("rows").await.unwrap().id();
    let picked = train(&fixture, 5, "rows").await;
    assert_eq!(picked.manifest.lineage.commit, rows);
    let commit = picked.commit.to_string();
    let options = MergeOptions::default();
    let done = lake.cherry_pick(&commit, "main", &options).await.unwrap();
    done.into_result().unwrap();
    catalog.delete_branch("rows", "test").await.unwrap();
    let kept = train(&fixture, 4, "kept").await;
    catalog.delete_branch("gone", "test").await.unwrap();
    let everything = CollectOptions {
        grace: Duration::ZERO,
        reflog: Duration::ZERO,
        squash: None,
        dry_run: false,
    };
    // One finds what is lost, one deletes it, and what only that held is next.
    for _ in 0..5 {
        lake.collect(&everything, &|_| {}).await.unwrap();
    }
    for (outcome, reference) in [(&tagged, "v1"), (&kept, "kept"), (&picked, "main")] {
        assert_eq!(
            serving(&fixture, reference).await,
            outcome.manifest_location
        );
        let path = object_store::path::Path::parse(&outcome.manifest.artifact.path).unwrap();
        assert!(lake.store().object_store().head(&path).await.is_ok());
        // The commit it learned from can be read still.
        let data = outcome.manifest.lineage.commit.to_string();
        assert!(catalog.resolve(&data).await.is_ok());
    }
    let path = object_store::path::Path::parse(&lost.manifest.artifact.path).unwrap();
    assert!(
        lake.store().object_store().head(&path).await.is_err(),
        "is collected"
    );
}
