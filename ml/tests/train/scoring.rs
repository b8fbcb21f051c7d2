//! Rows scored as they arrive: each once, whatever happens in between.
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use ml::{ScoreOptions, Scorer};

use crate::fixture::{Fixture, spec, telemetry};

fn options() -> ScoreOptions {
    ScoreOptions {
        model: "ml.pump".parse().unwrap(),
        sql: None,
        time: None,
        entity: Vec::new(),
        lookback: Duration::ZERO,
        lateness: Duration::from_secs(100),
        every: Duration::from_millis(500),
        shadow: None,
    }
}

async fn trained() -> Fixture {
    let fixture = Fixture::new().await;
    fixture
        .train(
            &spec(
                "binary:logistic",
                "case when fault = 'none' then 0 else 1 end",
            ),
            "main",
        )
        .await
        .unwrap();
    fixture
}

fn scorer(fixture: &Fixture, options: ScoreOptions) -> Scorer {
    Scorer::new(fixture.engine.clone(), "main", options)
}

async fn count(fixture: &Fixture, sql: &str) -> i64 {
    let (_, batches) = fixture.engine.collect(sql, None).await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

const ALL: &str = "select count(*) from ml.predictions";
const IDS: &str = "select count(distinct id) from ml.predictions";

#[tokio::test]
async fn rows_are_scored_once_through_restarts_and_rivals() {
    let fixture = trained().await;
    let mut first = scorer(&fixture, options());
    // The first look begins at the newest of 600 rows ten seconds apart, less the lateness.
    assert_eq!(first.look().await.unwrap(), 4 * 10);
    assert_eq!(first.look().await.unwrap(), 0);
    fixture.append("main", telemetry(600, 610)).await;
    assert_eq!(first.look().await.unwrap(), 4 * 10);

    // One that starts where the other stopped, or died, repeats nothing.
    let mut second = scorer(&fixture, options());
    assert_eq!(second.look().await.unwrap(), 0);
    fixture.append("main", telemetry(610, 615)).await;
    assert_eq!(second.look().await.unwrap(), 4 * 5);
    // Its rival has not seen that, and is told.
    let error = first.look().await.unwrap_err();
    assert_eq!(error.kind(), catalog::ErrorKind::Conflict);
    assert_eq!(first.look().await.unwrap(), 0);
    assert_eq!(count(&fixture, ALL).await, 100);
    assert_eq!(count(&fixture, IDS).await, 100);
    let whole = "select count(*) from ml.predictions where model = 'ml.pump' and role = 'champion'
        and length(version) = 12 and prediction in ('0', '1') and value in (0, 1)
        and score between 0 and 1 and probability >= 0.5 and entity in ('p0', 'p1', 'p2', 'p3')
        and millis > 0 and time > event_time - interval '10 years'";
    assert_eq!(count(&fixture, whole).await, 100);
}

#[tokio::test]
async fn late_rows_are_scored_until_they_are_too_late() {
    let fixture = trained().await;
    let mut scorer = scorer(&fixture, options());
    scorer.look().await.unwrap();
    fixture.append("main", telemetry(620, 621)).await;
    assert_eq!(scorer.look().await.unwrap(), 4);
    // 611 to 619 are within the lateness of 100 seconds, 600 to 610 are not.
    fixture.append("main", telemetry(600, 620)).await;
    assert_eq!(scorer.look().await.unwrap(), 4 * 9);
    assert_eq!(scorer.look().await.unwrap(), 0);
    assert_eq!(count(&fixture, ALL).await, count(&fixture, IDS).await);
}

#[tokio::test]
async fn what_arrives_before_any_table_was_there_is_scored_from_the_first_row() {
    let fixture = trained().await;
    let sql = "select * from pumps.later";
    let mut scorer = scorer(
        &fixture,
        ScoreOptions {
            sql: Some(sql.to_owned()),
            entity: vec!["site".to_owned(), "pump".to_owned()],
            ..options()
        },
    );
    let error = scorer.look().await.unwrap_err();
    assert_eq!(error.kind(), catalog::ErrorKind::NotFound);
    fixture.create("pumps.later", telemetry(0, 100)).await;
    assert_eq!(scorer.look().await.unwrap(), 400);
    let entity = "select count(*) from ml.predictions where entity = 'north/p3'";
    assert_eq!(count(&fixture, entity).await, 100);
}

#[tokio::test]
async fn a_query_with_a_parameter_reads_only_what_is_needed() {
    let fixture = trained().await;
    let sql = "select ts, pump, running, pressure_bar, flow_m3h, vibration_mm_s,
                      avg(temperature_c) over (partition by pump order by ts
                        range between interval '1 minute' preceding and current row) as temperature_c
               from pumps.telemetry where ts > $1";
    let mut scorer = scorer(
        &fixture,
        ScoreOptions {
            sql: Some(sql.to_owned()),
            lookback: Duration::from_secs(60),
            ..options()
        },
    );
    assert_eq!(scorer.look().await.unwrap(), 40);
    fixture.append("main", telemetry(600, 601)).await;
    assert_eq!(scorer.look().await.unwrap(), 4);
}

#[tokio::test]
async fn a_challenger_scores_in_the_shadow() {
    let fixture = trained().await;
    let mut scorer = scorer(
        &fixture,
        ScoreOptions {
            shadow: Some("ml.pump@exp".to_owned()),
            ..options()
        },
    );
    // No such branch yet: the champion scores all the same.
    assert_eq!(scorer.look().await.unwrap(), 40);
    fixture.branch("exp").await;
    fixture
        .train(&spec("multi:softprob", "fault"), "exp")
        .await
        .unwrap();
    fixture.append("main", telemetry(600, 605)).await;
    assert_eq!(scorer.look().await.unwrap(), 20);
    let of = |role: &str| format!("{ALL} where role = '{role}'");
    assert_eq!(count(&fixture, &of("champion")).await, 60);
    assert_eq!(count(&fixture, &of("shadow")).await, 20);
    let versions = "select count(distinct version) from ml.predictions";
    assert_eq!(count(&fixture, versions).await, 2);
    assert_eq!(count(&fixture, IDS).await, 80);
}

#[tokio::test]
async fn what_cannot_be_scored_says_why() {
    let fixture = trained().await;
    for (change, says) in [
        (
            ScoreOptions {
                model: "ml.none".parse().unwrap(),
                ..options()
            },
            "no model ml.none",
        ),
        (
            ScoreOptions {
                time: Some("pump".to_owned()),
                ..options()
            },
            "must be a timestamp",
        ),
        (
            ScoreOptions {
                time: Some("when".to_owned()),
                ..options()
            },
            "when",
        ),
        (
            ScoreOptions {
                entity: vec!["rig".to_owned()],
                ..options()
            },
            "no column 'rig'",
        ),
        (
            ScoreOptions {
                sql: Some("select ts, pump from pumps.telemetry".to_owned()),
                ..options()
            },
            "no column 'pressure_bar'",
        ),
    ] {
        let error = scorer(&fixture, change.clone()).look().await.unwrap_err();
        assert!(error.is_user_error(), "{change:?}: {error}");
        assert!(error.message().contains(says), "{change:?}: {error}");
    }
}
