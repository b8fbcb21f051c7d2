//! Statements that write on the branch that ingest feeds find its uncommitted rows in files.
use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch};
use arrow_flight::sql::{
    CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
};
use futures::{StreamExt, stream};
use lake::TableSpec;
use query::{Engine, Outcome, Session, SessionOptions};

use crate::fixture::{VecBuffer, column, config, empty_lake, key, meta};
use crate::flight::{raw, served};

fn numbers(rows: std::ops::Range<i64>) -> RecordBatch {
    let column: Arc<dyn Array> = Arc::new(Int64Array::from_iter_values(rows));
    RecordBatch::try_from_iter([("seq", column)]).unwrap()
}

/// `t.rows` with the row 100 in a file and 0, 1 and 2 in the buffer.
async fn engine() -> (Engine, Arc<VecBuffer>) {
    let lake = empty_lake().await;
    let (rows, spec) = (
        key("t.rows"),
        TableSpec {
            schema: numbers(0..0).schema(),
            ..TableSpec::default()
        },
    );
    lake.create_table("main", &rows, &spec, meta("create"))
        .await
        .unwrap();
    lake.append_batches("main", &rows, vec![numbers(100..101)], meta("one"))
        .await
        .unwrap();
    let buffer = Arc::new(VecBuffer::of(&lake));
    buffer.push(&rows, numbers(0..3));
    let engine = Engine::new(lake, Some(Arc::clone(&buffer) as _), config());
    (engine, buffer)
}

fn session(engine: &Engine) -> Session {
    engine.session(SessionOptions {
        default_ref: None,
        author: "ann".to_owned(),
    })
}

async fn run(session: &Session, sql: &str) -> Option<u64> {
    match session.execute(sql, &[]).await {
        Ok(Outcome::Done { rows_affected, .. }) => rows_affected,
        Ok(Outcome::Rows(_)) => panic!("{sql} gave rows"),
        Err(error) => panic!("{sql}: {error}"),
    }
}

/// The values of the first column in `session`.
async fn seen(session: &Session, sql: &str) -> Vec<i64> {
    let Outcome::Rows(result) = session.execute(sql, &[]).await.unwrap() else {
        panic!("{sql} gave no rows");
    };
    let batches: Vec<RecordBatch> = futures::TryStreamExt::try_collect(result.stream)
        .await
        .unwrap();
    let values = batches.iter().flat_map(|batch| {
        let column = batch.column(0).as_any().downcast_ref::<Int64Array>();
        column.unwrap().values().to_vec()
    });
    values.collect()
}

const ALL: &str = "select seq from t.rows order by seq";

/// Regression: only the names in the statement were asked for rows, not what views read.
#[tokio::test]
async fn rows_behind_views_are_copied() {
    let (engine, buffer) = engine().await;
    let session = session(&engine);
    run(&session, "use schema t").await;
    run(
        &session,
        "create or replace view t.inner as select seq from rows",
    )
    .await;
    run(&session, "create view t.outer as select seq from inner").await;
    let copied = run(&session, "create table t.copies as select * from outer").await;
    assert_eq!(copied, Some(4));
    buffer.push(&key("t.rows"), numbers(3..5));
    assert_eq!(
        run(&session, "insert into copies select * from outer").await,
        Some(6)
    );
}

/// Regression: `main~1` was looked up after the flush had moved main.
#[tokio::test]
async fn a_rollback_counts_from_the_head_it_was_called_at() {
    let (engine, _) = engine().await;
    run(&session(&engine), "call rollback('t.rows', 'main~1')").await;
    assert!(column(&engine, ALL).await.is_empty());
}

/// Regression: they were out of sight from the first write on, and no later one found them.
#[tokio::test]
async fn a_transaction_keeps_the_rows_it_began_with() {
    let (engine, buffer) = engine().await;
    let session = session(&engine);
    run(&session, "begin").await;
    assert_eq!(seen(&session, ALL).await, [0, 1, 2, 100]);
    run(&session, "insert into t.rows values (101)").await;
    assert_eq!(seen(&session, ALL).await, [0, 1, 2, 100, 101]);
    buffer.push(&key("t.rows"), numbers(3..4));
    assert_eq!(
        seen(&session, ALL).await,
        [0, 1, 2, 100, 101],
        "it stands still"
    );
    assert_eq!(
        run(&session, "delete from t.rows where seq < 2").await,
        Some(2)
    );
    run(&session, "commit").await;
    assert_eq!(seen(&session, ALL).await, [2, 3, 100, 101]);
}

/// Regression: rows of the table that was there turned up in the one that is.
#[tokio::test]
async fn rows_go_where_their_table_goes() {
    for (sql, then, there) in [
        (
            "alter table t.rows rename to moved",
            "select seq from t.moved order by seq",
            vec!["0", "1", "2", "100"],
        ),
        (
            "create or replace table t.rows as select 7 as seq",
            ALL,
            vec!["7"],
        ),
        ("drop schema t cascade", "select 1", vec!["1"]),
    ] {
        let (engine, _) = engine().await;
        let session = session(&engine);
        run(&session, sql).await;
        assert_eq!(column(&engine, then).await, there, "{sql}");
        run(&session, "create table if not exists t.rows (seq bigint)").await;
        let rest = column(&engine, ALL).await;
        assert!(rest.is_empty() || rest == there, "{sql} left {rest:?}");
    }
}

#[tokio::test]
async fn a_bulk_load_replaces_rows_on_their_way() {
    let (engine, _) = engine().await;
    let server = served(engine.clone(), None).await;
    let load = CommandStatementIngest {
        table_definition_options: Some(TableDefinitionOptions {
            if_not_exist: TableNotExistOption::Create as i32,
            if_exists: TableExistsOption::Replace as i32,
        }),
        table: "rows".to_owned(),
        schema: Some("t".to_owned()),
        catalog: None,
        temporary: false,
        transaction_id: None,
        options: Default::default(),
    };
    let rows = stream::iter([Ok(numbers(7..8))]).boxed();
    let mut client = raw(&server.address).await;
    assert_eq!(client.execute_ingest(load.clone(), rows).await.unwrap(), 1);
    assert_eq!(column(&engine, ALL).await, ["7"]);

    // Regression: a view was replaced by a table.
    run(&session(&engine), "create view t.seven as select 7 as seq").await;
    let load = CommandStatementIngest {
        table: "seven".to_owned(),
        ..load
    };
    let rows = stream::iter([Ok(numbers(8..9))]).boxed();
    let error = client.execute_ingest(load, rows).await.unwrap_err();
    assert!(error.to_string().contains("a view"), "{error}");
}
