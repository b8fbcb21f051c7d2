//! `predict()` in SQL: the same answers as elsewhere, wherever a statement calls it.
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int64Type};
use catalog::{ErrorKind, Result};
use query::{Outcome, QueryOptions, ScalarValue, SessionOptions};

use crate::fixture::{Fixture, spec};

const CALL: &str =
    "predict('ml.pump', pressure_bar, flow_m3h, vibration_mm_s, temperature_c, running)";

async fn trained() -> Fixture {
    let fixture = Fixture::new().await;
    fixture
        .train(&spec("multi:softprob", "fault"), "main")
        .await
        .unwrap();
    fixture
}

async fn rows_at(fixture: &Fixture, sql: &str, reference: Option<&str>) -> Result<RecordBatch> {
    let (schema, batches) = fixture.engine.collect(sql, reference).await?;
    Ok(concat_batches(&schema, &batches).unwrap())
}

async fn rows(fixture: &Fixture, sql: &str) -> Result<RecordBatch> {
    rows_at(fixture, &sql.replace("PREDICT", CALL), None).await
}

fn texts(rows: &RecordBatch, column: usize) -> Vec<Option<&str>> {
    rows.column(column).as_string::<i32>().iter().collect()
}

fn count(rows: &RecordBatch) -> i64 {
    rows.column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test]
async fn sql_answers_what_the_command_answers() {
    let fixture = trained().await;
    let select = "select ts, pump, pressure_bar, flow_m3h, vibration_mm_s, temperature_c, running \
                  from pumps.telemetry";
    let (schema, batches) = ml::predict(&fixture.lake, &fixture.engine, "ml.pump", "main", select)
        .await
        .unwrap();
    let wanted = concat_batches(&schema, &batches).unwrap();
    let sql = "select p['prediction'], p['probability'] from \
               (select PREDICT p, ts, pump from pumps.telemetry)";
    let found = rows(&fixture, sql).await.unwrap();
    assert_eq!(found.num_rows(), 2400);
    let sorted = |rows: &RecordBatch, class: usize| {
        let classes = texts(rows, class).into_iter();
        let numbers = rows.column(class + 1).as_primitive::<Float64Type>().iter();
        let mut all: Vec<String> = classes.zip(numbers).map(|it| format!("{it:?}")).collect();
        all.sort();
        all
    };
    assert_eq!(sorted(&found, 0), sorted(&wanted, 7));
}

#[tokio::test]
async fn it_works_wherever_an_expression_does() {
    let fixture = trained().await;
    let worn = "bearing_wear";
    let grouped = rows(
        &fixture,
        "select PREDICT['prediction'] as fault, count(*) from pumps.telemetry group by 1 order by 1",
    )
    .await
    .unwrap();
    assert_eq!(texts(&grouped, 0)[0], Some(worn));
    let by_filter =
        format!("select count(*) from pumps.telemetry where PREDICT['prediction'] = '{worn}'");
    let filtered = rows(&fixture, &by_filter).await.unwrap();
    let of_group = grouped.column(1).as_primitive::<Int64Type>().value(0);
    assert_eq!(count(&filtered), of_group);
    let joined = format!(
        "select count(*) from pumps.telemetry t join (values ('{worn}')) v(name) \
         on PREDICT['prediction'] = v.name"
    );
    assert_eq!(count(&rows(&fixture, &joined).await.unwrap()), of_group);
    let by_name = CALL
        .replace("pressure_bar,", "named_struct('running', running, 'pressure_bar', pressure_bar, 'note', 'x',")
        .replace("flow_m3h, vibration_mm_s, temperature_c, running)", "'flow_m3h', flow_m3h, 'vibration_mm_s', vibration_mm_s, 'temperature_c', temperature_c))");
    let by_name = format!("select count(*) from pumps.telemetry where {by_name} = {CALL}");
    assert_eq!(count(&rows(&fixture, &by_name).await.unwrap()), 2400);
    let constant = "select predict('ml.pump', 6, 40, 5.2, 71.0, true)['prediction'], \
                    predict('ml.pump', null, cast('nan' as double), 5.2, 71.0, true)['prediction']";
    let constant = rows(&fixture, constant).await.unwrap();
    assert_eq!(
        (texts(&constant, 0), texts(&constant, 1)),
        (vec![Some(worn)], vec![Some(worn)])
    );
    let none = rows(&fixture, "select PREDICT from pumps.telemetry where false")
        .await
        .unwrap();
    assert_eq!(none.num_rows(), 0);
    let explained = rows(&fixture, "explain select PREDICT from pumps.telemetry")
        .await
        .unwrap();
    assert!(explained.num_rows() > 0);
}

#[tokio::test]
async fn views_tables_and_inserts_hold_answers() {
    let fixture = trained().await;
    let session = fixture.engine.session(SessionOptions::default());
    for sql in [
        "create view pumps.health as select ts, pump, PREDICT['prediction'] as fault from pumps.telemetry",
        "create table pumps.predicted as select pump, PREDICT['prediction'] as fault from pumps.telemetry",
        "insert into pumps.predicted select pump, PREDICT['prediction'] from pumps.telemetry",
    ] {
        let done = session.execute(&sql.replace("PREDICT", CALL), &[]).await;
        assert!(matches!(done.unwrap(), Outcome::Done { .. }), "{sql}");
    }
    let counts = rows(
        &fixture,
        "select (select count(*) from pumps.health where fault = 'leakage') a,
                (select count(*) from pumps.predicted where fault = 'leakage') b",
    )
    .await
    .unwrap();
    let of = |column: usize| counts.column(column).as_primitive::<Int64Type>().value(0);
    assert!(of(0) > 0);
    assert_eq!(of(1), 2 * of(0));
}

#[tokio::test]
async fn features_may_be_parameters_and_the_model_may_not() {
    let fixture = trained().await;
    let options = |params: &[f64]| QueryOptions {
        params: params
            .iter()
            .map(|p| ScalarValue::Float64(Some(*p)))
            .collect(),
        ..QueryOptions::default()
    };
    let sql = "select predict('ml.pump', ?, ?, ?, ?, true)['prediction']";
    let result = fixture
        .engine
        .query(sql, &options(&[6.0, 40.0, 5.2, 71.0]))
        .await
        .unwrap();
    let batches: Vec<RecordBatch> = futures::TryStreamExt::try_collect(result.stream)
        .await
        .unwrap();
    assert_eq!(texts(&batches[0], 0), [Some("bearing_wear")]);
    let error = fixture
        .engine
        .query("select predict(?, 1, 2, 3, 4, true)", &options(&[1.0]))
        .await;
    let error = error.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("name in quotes"), "{error}");
}

#[tokio::test]
async fn the_model_is_that_of_the_ref_that_is_read() {
    let fixture = trained().await;
    fixture.branch("exp").await;
    let before = fixture.lake.catalog().head("main").await.unwrap().id();
    let numbers = spec("reg:squarederror", "vibration_mm_s * 2");
    fixture.train(&numbers, "exp").await.unwrap();
    let kind = |sql: &'static str, reference: Option<&'static str>| {
        let fixture = &fixture;
        async move {
            let sql = format!(
                "select arrow_typeof({}['prediction']) from pumps.telemetry limit 1",
                sql.replace("PREDICT", CALL)
            );
            let rows = rows_at(fixture, &sql, reference).await.unwrap();
            texts(&rows, 0)[0].unwrap().to_owned()
        }
    };
    assert_eq!(kind("PREDICT", None).await, "Utf8");
    assert_eq!(kind("PREDICT", Some("exp")).await, "Float64");
    let other =
        "predict('ml.pump@exp', pressure_bar, flow_m3h, vibration_mm_s, temperature_c, running)";
    assert_eq!(kind(other, None).await, "Float64");
    let both = format!(
        "select count(*) from pumps.telemetry where abs({other}['prediction']) >= 0 and {CALL}['probability'] > 0"
    );
    assert_eq!(count(&rows(&fixture, &both).await.unwrap()), 2400);

    // A merge promotes, and what a statement of the past reads stays as it was.
    let catalog = fixture.lake.catalog();
    let options = catalog::MergeOptions::default();
    fixture.lake.merge("exp", "main", &options).await.unwrap();
    assert!(catalog.head("main").await.unwrap().id() != before);
    assert_eq!(kind("PREDICT", None).await, "Float64");
    let past = format!("main@{before}");
    let sql = format!("select arrow_typeof({CALL}['prediction']) from pumps.telemetry limit 1");
    let rows = rows_at(&fixture, &sql, Some(&past)).await.unwrap();
    assert_eq!(texts(&rows, 0), [Some("Utf8")]);
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_said_before_it_runs() {
    let fixture = trained().await;
    let from = " from pumps.telemetry";
    for (call, kind, says) in [
        ("predict()", ErrorKind::InvalidInput, "name in quotes"),
        (
            "predict(pump, flow_m3h)",
            ErrorKind::InvalidInput,
            "name in quotes",
        ),
        (
            "predict('ml.pmup', flow_m3h)",
            ErrorKind::NotFound,
            "no model ml.pmup at 'main'",
        ),
        (
            "predict('ml.pump@exp', flow_m3h)",
            ErrorKind::NotFound,
            "exp",
        ),
        ("predict('pump', flow_m3h)", ErrorKind::InvalidInput, "pump"),
        (
            "predict('pumps.telemetry', flow_m3h)",
            ErrorKind::InvalidInput,
            "not a model",
        ),
        (
            "predict('ml.pump')",
            ErrorKind::InvalidInput,
            "reads 5 feature(s), and predict is given 0",
        ),
        (
            "predict('ml.pump', 1, 2, 3, 4, true, 6)",
            ErrorKind::InvalidInput,
            "given 6",
        ),
        (
            "predict('ml.pump', pump, 2, 3, 4, true)",
            ErrorKind::InvalidInput,
            "'pressure_bar' as a number, and it is Utf8",
        ),
        (
            "predict('ml.pump', ts, 2, 3, 4, true)",
            ErrorKind::InvalidInput,
            "'pressure_bar' as a number",
        ),
        (
            "predict('ml.pump', [1.0], 2, 3, 4, true)",
            ErrorKind::InvalidInput,
            "'pressure_bar' as a number",
        ),
        (
            "predict('ml.pump', named_struct('flow_m3h', 1))",
            ErrorKind::InvalidInput,
            "'pressure_bar', which the struct does not have",
        ),
    ] {
        let sql = format!("select {call}{from}");
        let error = fixture.engine.prepare(&sql, None).await.err();
        let error = error.unwrap_or_else(|| panic!("{sql} was planned"));
        assert_eq!(error.kind(), kind, "{sql}: {error}");
        assert!(error.message().contains(says), "{sql}: {error}");
        assert!(
            error.hint().is_some() || !says.contains("reads"),
            "{sql}: {error}"
        );
    }
    let infinite =
        "select predict('ml.pump', pressure_bar / 0.0, 2, 3, 4, true) from pumps.telemetry";
    let error = rows(&fixture, infinite).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error.message().contains("'pressure_bar' is infinite"),
        "{error}"
    );
}
