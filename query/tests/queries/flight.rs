//! Flight SQL over a real socket: statements, parameters, authentication, errors.
use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{FlightDescriptor, FlightInfo};
use catalog::ErrorKind;
use futures::TryStreamExt;
use prost::Message;
use query::Engine;
use query::flight::{Client, serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::fixture::{Fixture, day_of_telemetry, key, meta};

/// A server on a free port, until it is dropped.
pub(crate) struct Served {
    pub(crate) address: String,
    _stop: oneshot::Sender<()>,
}

pub(crate) async fn served(engine: Engine, token: Option<&str>) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    let token = token.map(str::to_owned);
    tokio::spawn(serve(engine, listener, token, async {
        let _ = stopped.await;
    }));
    Served {
        address,
        _stop: stop,
    }
}

pub(crate) async fn raw(address: &str) -> FlightSqlServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    FlightSqlServiceClient::new(endpoint.connect().await.unwrap())
}

pub(crate) async fn fetch(
    client: &mut FlightSqlServiceClient<Channel>,
    info: FlightInfo,
) -> Vec<RecordBatch> {
    let announced = info.clone().try_decode_schema().unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let mut rows = client.do_get(ticket).await.unwrap();
    let batches: Vec<RecordBatch> = (&mut rows).try_collect().await.unwrap();
    for batch in &batches {
        assert_eq!(
            batch.schema().as_ref(),
            &announced,
            "batches differ from the announced schema"
        );
    }
    batches
}

pub(crate) fn texts(batches: &[RecordBatch], column: usize) -> Vec<String> {
    let mut values = Vec::new();
    for batch in batches {
        let texts = arrow::compute::cast(batch.column(column), &DataType::Utf8).unwrap();
        let texts = texts.as_any().downcast_ref::<StringArray>().unwrap();
        values.extend(texts.iter().map(|text| text.unwrap_or("null").to_owned()));
    }
    values
}

fn code(error: &arrow_flight::error::FlightError) -> Code {
    match error {
        arrow_flight::error::FlightError::Tonic(status) => status.code(),
        other => panic!("not a status: {other}"),
    }
}

#[tokio::test]
async fn the_client_reads_what_the_engine_answers() {
    let fixture = Fixture::new().await;
    let server = served(fixture.engine_with_hot_rows(), None).await;
    let mut client = Client::connect(&server.address, None).await.unwrap();
    let sql = "select pump, ts, flow, note from pumps.telemetry order by ts, pump";
    let (schema, batches) = client.collect(sql).await.unwrap();
    let (expected_schema, expected) = fixture
        .engine_with_hot_rows()
        .collect(sql, None)
        .await
        .unwrap();
    assert_eq!(schema, expected_schema);
    let one = |batches: &[RecordBatch]| arrow::compute::concat_batches(&schema, batches).unwrap();
    assert_eq!(one(&batches), one(&expected));
    assert_eq!(one(&batches).num_rows(), 26);

    client.set_default_ref("dev");
    let (_, batches) = client
        .collect("select count(*) from pumps.trial")
        .await
        .unwrap();
    assert_eq!(texts(&batches, 0), ["6"]);
}

#[tokio::test]
async fn errors_keep_their_kind_and_hint() {
    let server = served(Fixture::new().await.engine(), None).await;
    let mut client = Client::connect(&server.address, None).await.unwrap();
    for (sql, kind, text) in [
        ("selec 1", ErrorKind::InvalidInput, "selec"),
        (
            "select nosuch from pumps.telemetry",
            ErrorKind::InvalidInput,
            "nosuch",
        ),
        (
            "select 1 from pumps.telemtry",
            ErrorKind::NotFound,
            "did you mean pumps.telemetry?",
        ),
        (
            "select 1 from nowhere.pumps.telemetry",
            ErrorKind::NotFound,
            "dev",
        ),
        (
            "copy pumps.telemetry to 'x'",
            ErrorKind::Unsupported,
            "COPY",
        ),
        ("select 1; select 2", ErrorKind::InvalidInput, "one by one"),
    ] {
        let error = client.collect(sql).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{sql}: {error}");
        assert!(error.to_string().contains(text), "{sql}: {error}");
    }
    // An error that shows only while rows are on their way.
    let late = "select 10 / (3 - value) from generate_series(1, 5)";
    let error = client.collect(late).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(
        error.to_string().to_lowercase().contains("divide by zero"),
        "{error}"
    );
}

#[tokio::test]
async fn without_the_token_nothing_passes() {
    let fixture = Fixture::new().await;
    let server = served(fixture.engine(), Some("s3cret")).await;
    assert!(
        Client::connect(&server.address, Some("s3cret"))
            .await
            .is_ok()
    );
    for wrong in [None, Some("wrong"), Some("")] {
        let error = Client::connect(&server.address, wrong)
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::Unauthenticated,
            "{wrong:?}: {error}"
        );
    }
    let mut client = raw(&server.address).await;
    let error = client
        .execute("select 1".to_owned(), None)
        .await
        .unwrap_err();
    assert_eq!(code(&error), Code::Unauthenticated);
    let error = client.get_catalogs().await.unwrap_err();
    assert_eq!(code(&error), Code::Unauthenticated);
    assert!(client.prepare("select 1".to_owned(), None).await.is_err());
    client.handshake("anyone", "s3cret").await.unwrap();
    assert_eq!(client.token().map(String::as_str), Some("s3cret"));
    let info = client.execute("select 1".to_owned(), None).await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await, 0), ["1"]);
}

#[tokio::test]
async fn an_unreachable_server_is_a_clear_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = Client::connect(&address, None)
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn rows_are_those_of_the_commit_when_the_statement_was_planned() {
    let fixture = Fixture::new().await;
    let server = served(fixture.engine(), None).await;
    let mut client = raw(&server.address).await;
    let sql = "select starts from pumps.telemetry";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let more = vec![day_of_telemetry(5)];
    fixture
        .lake
        .append_batches("main", &key("pumps.telemetry"), more, meta("late"))
        .await
        .unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await, 0).len(), 24);
    let error = client.do_get(ticket).await.map(|_| ()).unwrap_err();
    assert_eq!(
        code(&error),
        Code::NotFound,
        "a ticket is good for one DoGet"
    );
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await, 0).len(), 30);
}

#[tokio::test]
async fn prepared_statements_take_parameters() {
    let server = served(Fixture::new().await.engine(), None).await;
    let mut client = raw(&server.address).await;
    let sql =
        "select pump, starts from pumps.telemetry where pump = ? and starts > ? order by starts";
    let mut statement = client.prepare(sql.to_owned(), None).await.unwrap();
    let parameters = statement.parameter_schema().unwrap();
    let types: Vec<&DataType> = parameters
        .fields()
        .iter()
        .map(|field| field.data_type())
        .collect();
    assert_eq!(types, [&DataType::Utf8, &DataType::Int64]);
    assert_eq!(
        statement.dataset_schema().unwrap().field(1).name(),
        "starts"
    );

    let bind = |pumps: Vec<&str>, starts: Vec<i64>| {
        let schema = Schema::new(vec![
            Field::new("0", DataType::Utf8, true),
            Field::new("1", DataType::Int64, true),
        ]);
        let columns: Vec<Arc<dyn Array>> = vec![
            Arc::new(StringArray::from(pumps)),
            Arc::new(Int64Array::from(starts)),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    };
    statement
        .set_parameters(bind(vec!["b"], vec![110]))
        .unwrap();
    let info = statement.execute().await.unwrap();
    let rows = fetch(&mut client, info).await;
    assert_eq!(texts(&rows, 1), ["111", "210", "211", "310", "311"]);

    // Several rows of parameters are several runs, one after the other.
    statement
        .set_parameters(bind(vec!["a", "c"], vec![300, 320]))
        .unwrap();
    let info = statement.execute().await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await, 1), ["301", "321"]);
    statement.close().await.unwrap();
}

#[tokio::test]
async fn prepared_statements_refuse_what_does_not_fit() {
    let server = served(Fixture::new().await.engine(), None).await;
    let mut client = raw(&server.address).await;
    let mut statement = client
        .prepare("select $1 + $2".to_owned(), None)
        .await
        .unwrap();
    let error = statement.execute().await.unwrap_err();
    assert_eq!(code(&error), Code::InvalidArgument, "{error}");
    let error = statement.execute_update().await.unwrap_err();
    assert_eq!(code(&error), Code::InvalidArgument, "it gives rows");
    let mut closed = statement.clone();
    statement.close().await.unwrap();
    let error = closed.execute().await.unwrap_err();
    assert_eq!(code(&error), Code::NotFound);
    assert!(
        client
            .prepare("select nosuch".to_owned(), None)
            .await
            .is_err()
    );
    let error = client
        .execute_update("select 1".to_owned(), None)
        .await
        .unwrap_err();
    assert_eq!(code(&error), Code::InvalidArgument, "it gives rows");
}

#[tokio::test]
async fn a_schema_can_be_had_without_running() {
    let server = served(Fixture::new().await.engine(), None).await;
    let channel = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let mut client = FlightServiceClient::new(channel.connect().await.unwrap());
    let query = "select pump, 'x' || pump as name from pumps.telemetry".to_owned();
    let command = CommandStatementQuery {
        query,
        transaction_id: None,
    };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let reply = client.get_schema(descriptor).await.unwrap().into_inner();
    let schema = Schema::try_from(&reply).unwrap();
    assert_eq!(schema.field(1).data_type(), &DataType::Utf8);
    let garbage = FlightDescriptor::new_cmd(vec![1, 2, 3]);
    assert!(client.get_schema(garbage).await.is_err());
}

/// Clients without view types must be able to read every result.
#[tokio::test]
async fn strings_are_never_views() {
    let server = served(Fixture::new().await.engine(), None).await;
    let mut client = Client::connect(&server.address, None).await.unwrap();
    let sql =
        "select arrow_cast(pump, 'Utf8View') v, arrow_cast(pump, 'Dictionary(Int32, Utf8)') d,
        make_array(arrow_cast(pump, 'Utf8View')) l, substr(arrow_cast(pump, 'Utf8View'), 1) s
        from pumps.telemetry limit 3";
    let (schema, batches) = client.collect(sql).await.unwrap();
    assert_eq!(schema.field(0).data_type(), &DataType::Utf8);
    assert_eq!(schema.field(1).data_type(), &DataType::Utf8);
    assert_eq!(schema.field(3).data_type(), &DataType::Utf8);
    let DataType::List(item) = schema.field(2).data_type() else {
        panic!("not a list");
    };
    assert_eq!(item.data_type(), &DataType::Utf8);
    assert_eq!(batches[0].schema(), schema);
}

#[tokio::test]
async fn large_results_arrive_whole() {
    let server = served(Fixture::new().await.engine(), None).await;
    let mut client = Client::connect(&server.address, None).await.unwrap();
    let sql = "select value, repeat('x', 200) as filler from generate_series(1, 100000)";
    let (_, batches) = client.collect(sql).await.unwrap();
    assert_eq!(
        batches.iter().map(RecordBatch::num_rows).sum::<usize>(),
        100_000
    );
    let huge = "select repeat('x', 9000000) as one_large_value";
    let (_, batches) = client.collect(huge).await.unwrap();
    assert_eq!(texts(&batches, 0)[0].len(), 9_000_000);
}
