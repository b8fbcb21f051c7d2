//! Models live in the catalog: branches hold them apart, merges promote them,
//! and the same commit gives the same bytes.
use std::time::Duration;

use catalog::{ErrorKind, KeysOnly, MergeOptions};
use lake::collect::CollectOptions;

use crate::fixture::{Fixture, spec, telemetry};

const SQL: &str = "select * from pumps.telemetry limit 10";

#[tokio::test]
async fn a_model_is_on_main_only_after_the_merge() {
    let fixture = Fixture::new().await;
    fixture.branch("exp").await;
    fixture
        .train(&spec("multi:softprob", "fault"), "exp")
        .await
        .unwrap();
    let Fixture { lake, engine, .. } = &fixture;

    assert_eq!(fixture.models("exp").await, ["ml.pump"]);
    assert!(fixture.models("main").await.is_empty());
    let error = ml::predict(lake, engine, "ml.pump", "main", SQL)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("ml.pump at 'main'"), "{error}");
    assert!(
        ml::predict(lake, engine, "ml.pump", "exp", SQL)
            .await
            .is_ok()
    );

    // Main moves on meanwhile; the merge takes the model all the same.
    fixture.append("main", telemetry(600, 610)).await;
    lake.catalog()
        .merge("exp", "main", &MergeOptions::default(), &KeysOnly)
        .await
        .unwrap()
        .into_result()
        .unwrap();
    assert_eq!(fixture.models("main").await, ["ml.pump"]);
    let (_, rows) = ml::predict(lake, engine, "ml.pump", "main", SQL)
        .await
        .unwrap();
    assert_eq!(rows.iter().map(|b| b.num_rows()).sum::<usize>(), 10);
}

#[tokio::test]
async fn the_same_commit_and_seed_give_the_same_bytes() {
    let fixture = Fixture::new().await;
    fixture.branch("exp").await;
    let spec = spec("multi:softprob", "fault");
    let first = fixture.train(&spec, "exp").await.unwrap();
    let manifest = fixture.object(&first.manifest_location).await;

    // Rows that came later do not count when the commit is named.
    fixture.append("main", telemetry(600, 700)).await;
    let pinned = spec.replace(
        "time = \"ts\"",
        &format!("time = \"ts\"\nref = \"{}\"", first.manifest.lineage.commit),
    );
    let again = fixture.train(&pinned, "main").await.unwrap();
    assert_eq!(again.manifest_location, first.manifest_location);
    assert_eq!(
        again.manifest.artifact.sha256,
        first.manifest.artifact.sha256
    );
    assert_eq!(fixture.object(&again.manifest_location).await, manifest);

    let later = fixture.train(&spec, "main").await.unwrap();
    assert_ne!(
        later.manifest.artifact.sha256,
        first.manifest.artifact.sha256
    );
    let reseeded = fixture
        .train(&pinned.replace("seed = 7", "seed = 8"), "main")
        .await
        .unwrap();
    assert_ne!(
        reseeded.manifest.artifact.sha256,
        first.manifest.artifact.sha256
    );
}

/// Sums of floats depend on their order, which parallel scans do not keep.
#[tokio::test]
async fn sums_over_many_files_are_repeatable() {
    let fixture = Fixture::new().await;
    for part in 0..8 {
        let rows = telemetry(600 + part * 50, 650 + part * 50);
        fixture.append("main", rows).await;
    }
    let commit = fixture.lake.catalog().head("main").await.unwrap().id();
    let spec = format!(
        r#"
        model = "ml.minute"
        trainer = "xgboost"
        [dataset]
        ref = "{commit}"
        sql = """
            select date_bin(interval '1 minute', ts) as minute, sum(current_a) as y,
                   avg(flow_m3h) as flow, stddev(pressure_bar) as pressure
            from pumps.telemetry group by minute
        """
        time = "minute"
        label = "y"
        [xgboost]
        objective = "reg:squarederror"
        rounds = 20
        "#
    );
    let first = fixture.train(&spec, "main").await.unwrap();
    for _ in 0..4 {
        let again = fixture.train(&spec, "main").await.unwrap();
        assert_eq!(again.manifest_location, first.manifest_location);
    }
}

#[tokio::test]
async fn a_model_whose_bytes_were_changed_is_refused() {
    let fixture = Fixture::new().await;
    let outcome = fixture
        .train(&spec("binary:logistic", "fault = 'leakage'"), "main")
        .await
        .unwrap();
    let store = fixture.lake.store();
    let path = object_store::path::Path::parse(&outcome.manifest.artifact.path).unwrap();
    object_store::ObjectStoreExt::put(&*store.object_store(), &path, "other bytes".into())
        .await
        .unwrap();
    let Fixture { lake, engine, .. } = &fixture;
    let error = ml::predict(lake, engine, "ml.pump", "main", SQL)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn what_is_being_collected_is_not_trained_on() {
    let fixture = Fixture::new().await;
    fixture.branch("exp").await;
    fixture.append("exp", telemetry(600, 610)).await;
    let catalog = fixture.lake.catalog();
    let lost = catalog.head("exp").await.unwrap().id();
    catalog.delete_branch("exp", "test").await.unwrap();
    let spec = spec("multi:softprob", "fault");
    fixture.train(&spec, "main").await.unwrap();

    let everything = CollectOptions {
        grace: Duration::ZERO,
        reflog: Duration::ZERO,
        squash: None,
        dry_run: false,
    };
    let noted = fixture.lake.collect(&everything, &|_| {}).await.unwrap();
    assert!(!noted.condemned.is_empty());
    assert!(catalog.resolve(&lost.to_string()).await.is_ok(), "readable");
    let pinned = format!("time = \"ts\"\nref = \"{lost}\"");
    let pinned = spec.replace("time = \"ts\"", &pinned);
    let error = fixture.train(&pinned, "main").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("being collected"), "{error}");
}
