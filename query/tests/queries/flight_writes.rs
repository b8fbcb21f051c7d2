//! Writing over Flight SQL: updates, parameters, transactions, bulk loads, sessions.
use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    CommandStatementIngest, EndTransaction, TableDefinitionOptions, TableExistsOption,
    TableNotExistOption,
};
use futures::{StreamExt, stream};
use query::flight::{Answer, Client};
use tonic::transport::Channel;

use crate::fixture::Fixture;
use crate::flight::{Served, fetch, raw, served, texts};

async fn server() -> (Fixture, Served) {
    let fixture = Fixture::new().await;
    let server = served(fixture.engine(), None).await;
    (fixture, server)
}

async fn count(client: &mut FlightSqlServiceClient<Channel>, sql: &str) -> String {
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    texts(&fetch(client, info).await, 0).remove(0)
}

const COUNT: &str = "select count(*) from telemetry";

#[tokio::test]
async fn updates_run_once_whichever_way_they_are_sent() {
    let (_fixture, server) = server().await;
    let mut client = raw(&server.address).await;
    let insert = "insert into telemetry (pump) values ('x'), ('y')".to_owned();
    let rows = client.execute_update(insert.clone(), None).await.unwrap();
    assert_eq!(rows, 2);
    assert_eq!(count(&mut client, COUNT).await, "26");

    // Sent as a query it has run before its answer is fetched, and fetching does not run it.
    let info = client.execute(insert, None).await.unwrap();
    assert_eq!(count(&mut client, COUNT).await, "28");
    let answer = fetch(&mut client, info).await;
    assert_eq!(texts(&answer, 0), ["INSERT 2"]);
    assert_eq!(texts(&answer, 1), ["2"]);
    assert_eq!(texts(&answer, 2)[0].len(), 64);
    assert_eq!(count(&mut client, COUNT).await, "28");
}

#[tokio::test]
async fn many_rows_of_parameters_are_one_commit() {
    let (fixture, server) = server().await;
    let mut client = raw(&server.address).await;
    let sql = "insert into telemetry (pump, starts) values (?, ?)".to_owned();
    let mut statement = client.prepare(sql, None).await.unwrap();
    let types = statement.parameter_schema().unwrap();
    assert_eq!(types.field(1).data_type(), &DataType::Int64);
    assert!(statement.dataset_schema().unwrap().fields().is_empty());
    let schema = Schema::new(vec![
        Field::new("0", DataType::Utf8, true),
        Field::new("1", DataType::Int64, true),
    ]);
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(StringArray::from(vec![Some("it's"), None, Some("z")])),
        Arc::new(Int64Array::from(vec![Some(-1), Some(2), None])),
    ];
    let rows = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    let before = fixture.lake.catalog().log("main", 100).await.unwrap().len();
    statement.set_parameters(rows).unwrap();
    assert_eq!(statement.execute_update().await.unwrap(), 3);
    let after = fixture.lake.catalog().log("main", 100).await.unwrap().len();
    assert_eq!(after, before + 1);
    let there = "select count(*) from telemetry where pump = 'it''s' and starts = -1";
    assert_eq!(count(&mut client, there).await, "1");
    let delete = "delete from telemetry where starts = ?".to_owned();
    let mut statement = client.prepare(delete, None).await.unwrap();
    let error = statement.execute_update().await.unwrap_err();
    assert!(error.to_string().contains("1 parameter"), "{error}");
}

#[tokio::test]
async fn transactions_of_the_protocol() {
    let (_fixture, server) = server().await;
    let mut client = raw(&server.address).await;
    let id = client.begin_transaction().await.unwrap();
    let insert = "insert into telemetry (pump) values ('x')".to_owned();
    client
        .execute_update(insert.clone(), Some(id.clone()))
        .await
        .unwrap();
    let info = client
        .execute(COUNT.to_owned(), Some(id.clone()))
        .await
        .unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await, 0), ["25"]);
    assert_eq!(count(&mut client, COUNT).await, "24", "not yet committed");
    let begin = client
        .execute_update("begin".to_owned(), Some(id.clone()))
        .await;
    assert!(begin.unwrap_err().to_string().contains("client"));
    client
        .end_transaction(id.clone(), EndTransaction::Commit)
        .await
        .unwrap();
    assert_eq!(count(&mut client, COUNT).await, "25");
    let ended = client.execute_update(insert.clone(), Some(id)).await;
    assert!(
        ended
            .unwrap_err()
            .to_string()
            .contains("no such transaction")
    );

    let id = client.begin_transaction().await.unwrap();
    client
        .execute_update(insert, Some(id.clone()))
        .await
        .unwrap();
    client
        .end_transaction(id, EndTransaction::Rollback)
        .await
        .unwrap();
    assert_eq!(count(&mut client, COUNT).await, "25");
}

#[tokio::test]
async fn a_connection_is_a_session() {
    let (_fixture, server) = server().await;
    let mut one = Client::connect(&server.address, None).await.unwrap();
    let mut other = Client::connect(&server.address, None).await.unwrap();
    let Answer::Done(done) = one.execute("use dev").await.unwrap() else {
        panic!("not done");
    };
    assert_eq!(done.reference, "dev");
    one.execute("begin").await.unwrap();
    one.execute("insert into trial (pump) values ('x')")
        .await
        .unwrap();
    let (_, rows) = one.collect("select count(*) from trial").await.unwrap();
    assert_eq!(texts(&rows, 0), ["7"]);
    let (_, rows) = other
        .collect("select count(*) from dev.pumps.trial")
        .await
        .unwrap();
    assert_eq!(texts(&rows, 0), ["6"]);
    assert!(other.collect("select count(*) from trial").await.is_err());
    one.execute("commit").await.unwrap();
    let (_, rows) = other
        .collect("select count(*) from dev.pumps.trial")
        .await
        .unwrap();
    assert_eq!(texts(&rows, 0), ["7"]);
}

#[tokio::test]
async fn bulk_loads_create_append_and_replace() {
    let (_fixture, server) = server().await;
    let mut client = raw(&server.address).await;
    let load =
        |if_missing: TableNotExistOption, if_there: TableExistsOption| CommandStatementIngest {
            table_definition_options: Some(TableDefinitionOptions {
                if_not_exist: if_missing as i32,
                if_exists: if_there as i32,
            }),
            table: "loaded".to_owned(),
            schema: None,
            catalog: None,
            temporary: false,
            transaction_id: None,
            options: Default::default(),
        };
    let batch = || {
        let ids: Arc<dyn Array> = Arc::new(Int64Array::from(vec![1, 2, 3]));
        RecordBatch::try_from_iter([("id", ids)]).unwrap()
    };
    let rows = || stream::iter([Ok(batch()), Ok(batch())]).boxed();
    use TableExistsOption::{Append, Fail, Replace};
    let missing = TableNotExistOption::Fail;
    assert!(
        client
            .execute_ingest(load(missing, Append), rows())
            .await
            .is_err()
    );
    let create = TableNotExistOption::Create;
    let loaded = client
        .execute_ingest(load(create, Fail), rows())
        .await
        .unwrap();
    assert_eq!(loaded, 6);
    assert!(
        client
            .execute_ingest(load(create, Fail), rows())
            .await
            .is_err()
    );
    client
        .execute_ingest(load(create, Append), rows())
        .await
        .unwrap();
    assert_eq!(
        count(&mut client, "select count(*) from loaded").await,
        "12"
    );
    client
        .execute_ingest(load(create, Replace), rows())
        .await
        .unwrap();
    assert_eq!(count(&mut client, "select count(*) from loaded").await, "6");
}
