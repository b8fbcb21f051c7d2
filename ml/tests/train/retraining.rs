//! Drift is seen, a challenger is trained, and only a better one takes the champion's place.
use std::time::Duration;

use arrow::array::{Array, AsArray};
use catalog::{Content, MergeOptions};
use ml::monitor::{Kind, Serving, look};
use ml::retrain::{Accept, Trigger, attempt, consider, rehearse};

use crate::fixture::Fixture;
use crate::plant::{MODEL, MONTH, TABLE, go_on, model, plan, plant, readings, spec, watch};

async fn content(fixture: &Fixture) -> Content {
    let head = fixture.lake.catalog().head("main").await.unwrap();
    head.get(&model()).unwrap().unwrap()
}

async fn branches(fixture: &Fixture) -> Vec<String> {
    let branches = fixture.lake.catalog().branches().await.unwrap();
    branches
        .into_iter()
        .map(|it| it.name)
        .filter(|it| it != "main")
        .collect()
}

/// The only column of the rows of `sql` on `main`, as text.
async fn texts(fixture: &Fixture, sql: &str) -> Vec<String> {
    let (_, batches) = fixture.engine.collect(sql, Some("main")).await.unwrap();
    let text = |column: &arrow::array::ArrayRef| {
        let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8).unwrap();
        let column = column.as_string::<i32>();
        (0..column.len())
            .map(|i| column.value(i).to_owned())
            .collect::<Vec<_>>()
    };
    batches
        .iter()
        .flat_map(|batch| text(batch.column(0)))
        .collect()
}

/// A spec whose models know next to nothing.
fn feeble() -> String {
    spec().replace("rounds = 15", "rounds = 1").replace(
        "max_depth = 3",
        "max_depth = 1\n        eta = 0.01\n        min_child_weight = 1e6",
    )
}

#[tokio::test]
async fn wear_of_another_character_leads_to_a_better_model_and_back_by_a_revert() {
    let fixture = plant().await;
    let engine = &fixture.engine;
    let champion = content(&fixture).await;

    let round = look(engine, &model(), &watch(), None).await.unwrap();
    assert_eq!(round.rows, 4 * 7 * 24);
    assert!(round.alerts.is_empty(), "{round:?}");
    let accuracy = round
        .performance
        .iter()
        .find(|it| it.metric == "accuracy")
        .unwrap();
    assert!(accuracy.value > 0.9, "{accuracy:?}");
    assert!(consider(engine, &plan(&spec())).await.unwrap().is_none());

    go_on(&fixture).await;
    let round = look(engine, &model(), &watch(), None).await.unwrap();
    let raised: Vec<_> = round
        .alerts
        .iter()
        .filter(|it| it.raised)
        .map(|it| it.kind)
        .collect();
    assert!(
        raised.contains(&Kind::Drift) && raised.contains(&Kind::Performance),
        "{round:?}"
    );
    let again = look(engine, &model(), &watch(), None).await.unwrap();
    assert!(again.alerts.is_empty(), "raised once: {again:?}");
    assert_eq!(again.open.len(), raised.len());

    let done = consider(engine, &plan(&spec())).await.unwrap().unwrap();
    assert!(done.merged, "{done:?}");
    assert!(
        done.lower.unwrap() > 0.0 && done.rows.unwrap() > 400,
        "{done:?}"
    );
    assert!(done.reason.contains("drift"), "{done:?}");
    assert_ne!(content(&fixture).await, champion);
    assert!(branches(&fixture).await.is_empty());
    let sql = "select message from ml.retraining where merged";
    assert_eq!(
        texts(&fixture, sql).await,
        std::slice::from_ref(&done.message)
    );
    assert!(
        consider(engine, &plan(&spec())).await.unwrap().is_none(),
        "it cools down"
    );

    let round = look(engine, &model(), &watch(), None).await.unwrap();
    assert!(
        round
            .alerts
            .iter()
            .any(|it| it.kind == Kind::Performance && !it.raised),
        "{round:?}"
    );
    let sql = "select state from ml.alerts where kind = 'performance' order by time";
    assert_eq!(texts(&fixture, sql).await, ["raised", "cleared"]);

    let options = MergeOptions::default();
    let reverted = fixture
        .lake
        .revert(&done.commit.unwrap(), "main", &options)
        .await
        .unwrap();
    reverted.into_result().unwrap();
    assert_eq!(content(&fixture).await, champion);
}

#[tokio::test]
async fn a_worse_challenger_is_kept_for_a_look_and_not_merged() {
    let fixture = plant().await;
    let champion = content(&fixture).await;
    let feeble = plan(&feeble());
    let tried = rehearse(&fixture.engine, &feeble).await.unwrap();
    assert!(
        !tried.merged && tried.difference.unwrap() < 0.0,
        "{tried:?}"
    );
    assert!(branches(&fixture).await.is_empty());

    let done = attempt(&fixture.engine, &feeble, "a test".into())
        .await
        .unwrap()
        .unwrap();
    assert!(!done.merged && done.upper.unwrap() < 0.0, "{done:?}");
    assert!(done.message.starts_with("not merged: f1 "), "{done:?}");
    assert_eq!(content(&fixture).await, champion);
    assert_eq!(
        branches(&fixture).await,
        ["retrain/ml.wear/1", "retrain/ml.wear/last"]
    );
    for branch in branches(&fixture).await {
        assert_eq!(fixture.models(&branch).await, [MODEL]);
    }

    // Once it is older than the plan keeps it, it goes; the number is not given again.
    let short = ml::retrain::Plan {
        keep: Duration::ZERO,
        accept: Accept::NotWorse,
        ..feeble
    };
    assert!(consider(&fixture.engine, &short).await.unwrap().is_none());
    assert!(branches(&fixture).await.is_empty());
    let done = attempt(&fixture.engine, &short, "a test".into())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (done.merged, done.branch.as_str()),
        (false, "retrain/ml.wear/2")
    );
}

#[tokio::test]
async fn the_same_data_gives_the_same_model_and_nothing_to_merge() {
    let fixture = plant().await;
    // What has been trained first has been trained at an older commit.
    let first = attempt(&fixture.engine, &plan(&spec()), "first".into())
        .await
        .unwrap()
        .unwrap();
    assert!(!first.merged, "{first:?}");
    assert!(first.message.contains("not merged"), "{first:?}");
}

#[tokio::test]
async fn a_training_that_fails_is_told_and_leaves_no_branch() {
    let fixture = plant().await;
    let champion = content(&fixture).await;
    let wrong = plan(&spec().replace("vibration, ", "vibrations, "));
    let done = attempt(&fixture.engine, &wrong, "a test".into())
        .await
        .unwrap()
        .unwrap();
    assert!(
        !done.merged && done.message.contains("vibrations"),
        "{done:?}"
    );
    let random =
        plan(&spec().replace("time = \"ts\"", "time = \"ts\"\n        split = \"random\""));
    let done = attempt(&fixture.engine, &random, "a test".into())
        .await
        .unwrap()
        .unwrap();
    assert!(done.message.contains("dataset.split"), "{done:?}");
    assert!(branches(&fixture).await.is_empty());
    assert_eq!(
        texts(&fixture, "select count(*) from ml.retraining").await,
        ["2"]
    );
    assert_eq!(content(&fixture).await, champion);
}

#[tokio::test]
async fn of_several_nodes_one_trains() {
    let fixture = plant().await;
    let plan = ml::retrain::Plan {
        on: vec![Trigger::Schedule],
        every: Duration::ZERO,
        ..plan(&spec())
    };
    let nodes = (0..3).map(|_| consider(&fixture.engine, &plan));
    let done = futures::future::join_all(nodes).await;
    let trained = done.into_iter().filter(|it| it.as_ref().unwrap().is_some());
    assert_eq!(trained.count(), 1);
    assert_eq!(
        texts(&fixture, "select count(*) from ml.retraining").await,
        ["1"]
    );
}

#[tokio::test]
async fn a_training_that_broke_off_is_waited_for_and_then_given_up() {
    let fixture = plant().await;
    fixture.branch("retrain/ml.wear/1").await;
    let patient = plan(&spec());
    assert!(
        attempt(&fixture.engine, &patient, "a test".into())
            .await
            .unwrap()
            .is_none()
    );
    let hasty = ml::retrain::Plan {
        timeout: Duration::ZERO,
        ..patient
    };
    let done = attempt(&fixture.engine, &hasty, "a test".into())
        .await
        .unwrap()
        .unwrap();
    assert!(done.message.contains("left no word"), "{done:?}");
    let done = attempt(&fixture.engine, &hasty, "a test".into())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(done.branch, "retrain/ml.wear/2");
}

#[tokio::test]
async fn slow_and_failing_answers_raise_alerts_too() {
    let fixture = plant().await;
    let serving = |errors, p95| {
        Some(Serving {
            requests: 100,
            errors,
            percentiles: [10.0, p95, p95],
        })
    };
    let engine = &fixture.engine;
    let round = look(engine, &model(), &watch(), serving(6, 2_100.0))
        .await
        .unwrap();
    let raised: Vec<_> = round.alerts.iter().map(|it| it.kind).collect();
    assert_eq!(raised, [Kind::Latency, Kind::Errors]);
    let round = look(engine, &model(), &watch(), serving(5, 2_000.0))
        .await
        .unwrap();
    assert!(
        round.alerts.iter().all(|it| !it.raised) && round.open.is_empty(),
        "{round:?}"
    );
    let sql =
        "select metric from ml.performance where source = 'requests' and value = 2100 order by 1";
    assert_eq!(
        texts(&fixture, sql).await,
        ["latency_p95_ms", "latency_p99_ms"]
    );
}

#[tokio::test]
async fn with_few_rows_nothing_is_concluded() {
    let fixture = plant().await;
    let few = ml::monitor::Watch {
        min_rows: 1_000,
        ..watch()
    };
    let round = look(&fixture.engine, &model(), &few, None).await.unwrap();
    assert!(
        round.drift.is_empty() && round.performance.is_empty(),
        "{round:?}"
    );
    let unknown = "ml.unknown".parse().unwrap();
    let error = look(&fixture.engine, &unknown, &watch(), None)
        .await
        .unwrap_err();
    assert!(error.message().contains("ml.unknown"), "{error}");
}

#[tokio::test]
async fn columns_that_training_joined_are_there_when_a_model_is_watched() {
    let fixture = Fixture::new().await;
    fixture.create(TABLE, readings(0, MONTH)).await;
    let services =
        "select min(ts) as at, pump, avg(flow) as design from plant.readings group by pump";
    let (schema, batches) = fixture
        .engine
        .collect(services, Some("main"))
        .await
        .unwrap();
    let services = arrow::compute::concat_batches(&schema, &batches).unwrap();
    fixture.create("plant.designs", services).await;
    let join = "[[dataset.join]]
        table = \"plant.designs\"
        on = [\"pump\"]
        time = \"at\"
        columns = [\"design\"]
        known = \"event\"
        [xgboost]";
    let spec = spec().replace("[xgboost]", join);
    fixture.train(&spec, "main").await.unwrap();
    let round = look(&fixture.engine, &model(), &watch(), None)
        .await
        .unwrap();
    let design = round
        .drift
        .iter()
        .find(|it| it.feature == "design")
        .unwrap();
    assert!(
        design.drift.psi < 0.01 && design.drift.ks.is_some(),
        "{round:?}"
    );
    let tried = rehearse(&fixture.engine, &plan(&spec)).await.unwrap();
    assert!(tried.challenger.is_some(), "{tried:?}");
}
