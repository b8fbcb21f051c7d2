//! Every training run leaves rows in the `ml.*` tables, in the commit of its model.
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use catalog::{ErrorKind, MergeOptions, MergeOutcome};

use crate::fixture::{Fixture, spec, telemetry};

const TABLES: [&str; 4] = ["ml.runs", "ml.metrics", "ml.params", "ml.curves"];

async fn rows(fixture: &Fixture, reference: &str, sql: &str) -> RecordBatch {
    let (schema, batches) = fixture.engine.collect(sql, Some(reference)).await.unwrap();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

async fn count(fixture: &Fixture, reference: &str, table: &str) -> i64 {
    let sql = format!("select count(*) from {table}");
    let rows = rows(fixture, reference, &sql).await;
    rows.column(0).as_primitive::<Int64Type>().value(0)
}

fn model(name: &str) -> String {
    spec("multi:softprob", "fault").replace("ml.pump", &format!("ml.{name}"))
}

async fn merge(fixture: &Fixture, source: &str) -> catalog::MergeReport {
    let options = MergeOptions::default();
    let merged = fixture.lake.merge(source, "main", &options).await.unwrap();
    merged.into_result().unwrap()
}

#[tokio::test]
async fn a_run_is_one_commit_by_its_author_with_all_of_its_rows() {
    let fixture = Fixture::new().await;
    let before = fixture.lake.catalog().head("main").await.unwrap();
    let outcome = fixture.train(&model("pump"), "main").await.unwrap();
    let head = fixture.lake.catalog().head("main").await.unwrap();
    assert_eq!(head.commit().parent, Some(before.id()));
    assert_eq!(
        (head.id(), head.commit().author.as_str()),
        (outcome.commit, "ann")
    );
    let keys: Vec<_> = head
        .commit()
        .operations
        .iter()
        .map(|it| it.key().to_string())
        .collect();
    for key in TABLES.iter().chain(&["ml.pump"]) {
        assert!(keys.iter().any(|it| it == key), "{key} is not in {keys:?}");
    }

    let sql = "select r.train_rows, r.data_commit, m.value from ml.runs r \
               join ml.metrics m on m.run = r.run where m.name = 'accuracy'";
    let run = rows(&fixture, "main", sql).await;
    let trained = outcome.manifest.lineage.rows.train;
    assert_eq!(
        run.column(0).as_primitive::<Int64Type>().value(0) as u64,
        trained
    );
    let accuracy = run.column(2).as_primitive::<Float64Type>().value(0);
    let ml::Metrics::Multiclass(metrics) = &outcome.manifest.metrics else {
        panic!("{:?}", outcome.manifest.metrics);
    };
    assert_eq!(accuracy, metrics.accuracy);
    let curve = "select count(distinct round) from ml.curves where part = 'validation'";
    let rounds = rows(&fixture, "main", curve).await;
    assert_eq!(rounds.column(0).as_primitive::<Int64Type>().value(0), 8);
}

#[tokio::test]
async fn branches_that_each_began_the_tables_merge() {
    let fixture = Fixture::new().await;
    for branch in ["a", "b", "c"] {
        fixture.branch(branch).await;
        fixture.train(&model(branch), branch).await.unwrap();
    }
    fixture.train(&model("b"), "b").await.unwrap();
    // Main goes on meanwhile, so that none is a fast-forward.
    fixture.append("main", telemetry(600, 605)).await;
    for (branch, runs) in [("a", 1), ("b", 3), ("c", 4)] {
        assert_eq!(merge(&fixture, branch).await.outcome, MergeOutcome::Merged);
        assert_eq!(count(&fixture, "main", "ml.runs").await, runs, "{branch}");
    }
    assert_eq!(fixture.models("main").await, ["ml.a", "ml.b", "ml.c"]);
    assert_eq!(count(&fixture, "main", "ml.curves").await, 4 * 2 * 8);

    // A branch goes on after its merge, and merges again without its rows coming twice.
    fixture.train(&model("a"), "a").await.unwrap();
    merge(&fixture, "a").await;
    assert_eq!(count(&fixture, "main", "ml.runs").await, 5);
    // A revert takes the run's rows with its model.
    let head = fixture
        .lake
        .catalog()
        .head("main")
        .await
        .unwrap()
        .id()
        .to_string();
    let reverted = fixture
        .lake
        .revert(&head, "main", &MergeOptions::default())
        .await;
    reverted.unwrap().into_result().unwrap();
    assert_eq!(count(&fixture, "main", "ml.runs").await, 4);
}

#[tokio::test]
async fn writers_that_race_all_get_their_rows_in() {
    let fixture = Fixture::new().await;
    let fixture = &fixture;
    let runs = (0..4).map(|n| async move {
        fixture
            .train(&model(&format!("m{}", n % 2)), "main")
            .await
            .unwrap()
    });
    futures::future::join_all(runs).await;
    assert_eq!(count(fixture, "main", "ml.runs").await, 4);
    assert_eq!(fixture.models("main").await, ["ml.m0", "ml.m1"]);
}

#[tokio::test]
async fn a_table_that_lacks_columns_gets_them_and_one_of_other_types_is_an_error() {
    let fixture = Fixture::new().await;
    let sql = "select now() as time, 'x' as model, 1.5 as hand_made";
    let made = rows(&fixture, "main", sql).await;
    let schema = made.schema();
    let columns = schema.fields().iter().zip(made.columns());
    let columns = columns.map(|(field, column)| (field.name(), column.clone(), true));
    let hand_made = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    fixture.create("ml.runs", hand_made).await;
    fixture.train(&model("pump"), "main").await.unwrap();
    assert_eq!(count(&fixture, "main", "ml.runs").await, 2);
    let both = rows(&fixture, "main", "select hand_made, trainer from ml.runs").await;
    assert_eq!(both.column(0).null_count(), 1);
    assert_eq!(both.column(1).null_count(), 1);

    let fixture = Fixture::new().await;
    let sql = "select now() as time, 1 as run";
    let clashing = rows(&fixture, "main", sql).await;
    fixture.create("ml.params", clashing).await;
    let head = fixture.lake.catalog().head("main").await.unwrap().id();
    let error = fixture.train(&model("pump"), "main").await.unwrap_err();
    assert!(error.is_user_error(), "{error}");
    assert!(error.message().contains("ml.params"), "{error}");
    assert_eq!(
        fixture.lake.catalog().head("main").await.unwrap().id(),
        head
    );
}

#[tokio::test]
async fn what_is_no_branch_is_refused_before_training() {
    let fixture = Fixture::new().await;
    let catalog = fixture.lake.catalog();
    catalog.create_tag("v1", "main", "test").await.unwrap();
    catalog.create_branch("kept", "main", "test").await.unwrap();
    catalog.protect_branch("kept", true, "test").await.unwrap();
    for (branch, kind) in [
        ("v1", ErrorKind::InvalidInput),
        ("none", ErrorKind::NotFound),
        ("kept", ErrorKind::PermissionDenied),
    ] {
        let error = fixture.train(&model("pump"), branch).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[tokio::test]
async fn a_training_that_is_broken_off_leaves_nothing() {
    let fixture = Fixture::new().await;
    let head = fixture.lake.catalog().head("main").await.unwrap().id();
    let spec = ml::TrainSpec::from_toml(&model("pump").replace("rounds = 8", "rounds = 400"));
    let (spec, started) = (spec.unwrap(), tokio::sync::Notify::new());
    let mut progress = |_| started.notify_one();
    let Fixture { lake, engine, .. } = &fixture;
    tokio::select! {
        _ = ml::train(lake, engine, &spec, "main", "ann", &mut progress) => {
            panic!("400 rounds went by unnoticed");
        }
        () = started.notified() => {}
    }
    assert_eq!(
        fixture.lake.catalog().head("main").await.unwrap().id(),
        head
    );
    assert!(fixture.models("main").await.is_empty());
}
