//! What belongs to a session over Flight SQL, and for how long.
use arrow_flight::Action;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::EndTransaction;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt;
use tonic::transport::Channel;

use crate::fixture::Fixture;
use crate::flight::{Served, fetch, raw, served, texts};

async fn server() -> (Fixture, Served) {
    let fixture = Fixture::new().await;
    let server = served(fixture.engine(), None).await;
    (fixture, server)
}

async fn column(client: &mut FlightSqlServiceClient<Channel>, sql: &str) -> Vec<String> {
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    texts(&fetch(client, info).await, 0)
}

/// Regression: a statement prepared in a transaction committed by itself once that had ended.
#[tokio::test]
async fn a_statement_ends_with_its_transaction() {
    let (_fixture, server) = server().await;
    let mut client = raw(&server.address).await;
    for end in [EndTransaction::Rollback, EndTransaction::Commit] {
        let id = client.begin_transaction().await.unwrap();
        let insert = "insert into telemetry (pump) values ('x')".to_owned();
        let mut insert = client.prepare(insert, Some(id.clone())).await.unwrap();
        let select = "select count(*) from telemetry".to_owned();
        let mut select = client.prepare(select, Some(id.clone())).await.unwrap();
        let branch = "create branch b".to_owned();
        let mut branch = client.prepare(branch, Some(id.clone())).await.unwrap();
        client.end_transaction(id, end).await.unwrap();
        for error in [
            insert.execute_update().await.unwrap_err(),
            branch.execute_update().await.unwrap_err(),
            select.execute().await.unwrap_err(),
        ] {
            let error = error.to_string();
            assert!(error.contains("transaction has ended"), "{error}");
        }
    }
    assert_eq!(
        column(&mut client, "select count(*) from telemetry").await,
        ["24"]
    );
}

/// Clients without autocommit begin the next transaction when one ends, and run what they
/// prepared before in it.
#[tokio::test]
async fn a_statement_goes_on_in_the_next_transaction() {
    let (_fixture, server) = server().await;
    let mut client = raw(&server.address).await;
    let count = "select count(*) from telemetry";
    let id = client.begin_transaction().await.unwrap();
    let insert = "insert into telemetry (pump) values ('x')".to_owned();
    let mut insert = client.prepare(insert, Some(id.clone())).await.unwrap();
    insert.execute_update().await.unwrap();
    client
        .end_transaction(id, EndTransaction::Commit)
        .await
        .unwrap();
    assert_eq!(column(&mut client, count).await, ["25"]);
    let id = client.begin_transaction().await.unwrap();
    insert.execute_update().await.unwrap();
    assert_eq!(column(&mut client, count).await, ["25"]);
    client
        .end_transaction(id, EndTransaction::Rollback)
        .await
        .unwrap();
    assert_eq!(column(&mut client, count).await, ["25"]);
}

/// Regression: they reported no columns, and clients took them for updates.
#[tokio::test]
async fn listings_have_columns_when_prepared() {
    let (_fixture, server) = server().await;
    let mut client = raw(&server.address).await;
    for (sql, first) in [
        ("show branches", "name"),
        ("show log for main limit 2", "commit"),
        ("merge branch dev into main dry run", "key"),
    ] {
        let mut statement = client.prepare(sql.to_owned(), None).await.unwrap();
        let columns = statement.dataset_schema().unwrap().clone();
        assert_eq!(columns.field(0).name(), first, "{sql}");
        let info = statement.execute().await.unwrap();
        assert_eq!(info.clone().try_decode_schema().unwrap(), columns, "{sql}");
        let rows = fetch(&mut client, info).await;
        assert!(rows.iter().any(|batch| batch.num_rows() > 0), "{sql}");
    }
}

#[tokio::test]
async fn a_closed_session_begins_anew() {
    let (_fixture, server) = server().await;
    let channel = Channel::from_shared(format!("http://{}", server.address)).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut client = FlightSqlServiceClient::new(channel.clone());
    client
        .execute_update("use dev".to_owned(), None)
        .await
        .unwrap();
    assert_eq!(
        column(&mut client, "select count(*) from trial").await,
        ["6"]
    );
    let action = Action::new("CloseSession", "");
    let closed = FlightServiceClient::new(channel).do_action(action).await;
    let _: Vec<_> = closed.unwrap().into_inner().try_collect().await.unwrap();
    let gone = client.execute("select count(*) from trial".to_owned(), None);
    assert!(gone.await.unwrap_err().to_string().contains("main"));
}

/// Clients that send user and password with every call never shake hands.
#[tokio::test]
async fn the_user_of_any_call_is_the_author() {
    let (_fixture, server) = server().await;
    let mut client = raw(&server.address).await;
    // "bea:" and "cy:x"
    for (header, user) in [("Basic YmVhOg==", "bea"), ("Basic Y3k6eA==", "cy")] {
        client.set_header("authorization", header);
        let insert = "insert into telemetry (pump) values ('x')".to_owned();
        client.execute_update(insert, None).await.unwrap();
        let info = client
            .execute("show log limit 1".to_owned(), None)
            .await
            .unwrap();
        assert_eq!(texts(&fetch(&mut client, info).await, 2), [user]);
    }
}
