//! Flight SQL metadata calls, as BI tools make them before the first query.
use arrow::datatypes::{DataType, Schema};
use arrow_flight::sql::{
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo, SqlInfo, XdbcDataType,
};
use arrow_flight::{Action, IpcMessage};
use futures::TryStreamExt;

use crate::fixture::Fixture;
use crate::flight::{fetch, raw, served, texts};

#[tokio::test]
async fn branches_namespaces_and_tables_are_listed() {
    let server = served(Fixture::new().await.engine(), None).await;
    let mut client = raw(&server.address).await;
    let info = client.get_catalogs().await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await, 0), ["dev", "main"]);

    let schemas = |catalog: Option<&str>, pattern: Option<&str>| CommandGetDbSchemas {
        catalog: catalog.map(str::to_owned),
        db_schema_filter_pattern: pattern.map(str::to_owned),
    };
    for (command, count) in [
        (schemas(None, None), 2),
        (schemas(Some("main"), None), 1),
        (schemas(None, Some("pu%")), 2),
        (schemas(None, Some("x%")), 0),
        (schemas(Some("nowhere"), None), 0),
        (schemas(Some(""), None), 0),
    ] {
        let info = client.get_db_schemas(command.clone()).await.unwrap();
        assert_eq!(
            texts(&fetch(&mut client, info).await, 1).len(),
            count,
            "{command:?}"
        );
    }
    let info = client.get_table_types().await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await, 0), ["TABLE", "VIEW"]);
}

#[tokio::test]
async fn tables_are_filtered_and_described() {
    let server = served(Fixture::new().await.engine(), None).await;
    let mut client = raw(&server.address).await;
    let tables = |catalog: Option<&str>, pattern: Option<&str>, types: &[&str]| CommandGetTables {
        catalog: catalog.map(str::to_owned),
        db_schema_filter_pattern: None,
        table_name_filter_pattern: pattern.map(str::to_owned),
        table_types: types.iter().map(|name| (*name).to_owned()).collect(),
        include_schema: false,
    };
    for (command, names) in [
        (
            tables(None, None, &[]),
            vec!["telemetry", "trial", "telemetry"],
        ),
        (
            tables(Some("main"), None, &["TABLE", "VIEW"]),
            vec!["telemetry"],
        ),
        (tables(None, Some("tr_al"), &[]), vec!["trial"]),
        (tables(None, None, &["VIEW"]), vec![]),
    ] {
        let info = client.get_tables(command.clone()).await.unwrap();
        assert_eq!(
            texts(&fetch(&mut client, info).await, 2),
            names,
            "{command:?}"
        );
    }
    let command = CommandGetTables {
        include_schema: true,
        ..tables(Some("main"), None, &[])
    };
    let info = client.get_tables(command).await.unwrap();
    let batches = fetch(&mut client, info).await;
    let schema = arrow::array::AsArray::as_binary::<i32>(batches[0].column(4))
        .value(0)
        .to_vec();
    let schema = Schema::try_from(IpcMessage(schema.into())).unwrap();
    let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    assert_eq!(names, ["pump", "ts", "flow", "starts", "note"]);
    assert_eq!(schema.field(0).data_type(), &DataType::Utf8);
}

#[tokio::test]
async fn keys_are_empty_with_their_columns() {
    let server = served(Fixture::new().await.engine(), None).await;
    let mut client = raw(&server.address).await;
    let (catalog, db_schema, table) = (None, None, "telemetry".to_owned());
    let info = client
        .get_primary_keys(CommandGetPrimaryKeys {
            catalog,
            db_schema,
            table,
        })
        .await
        .unwrap();
    assert_eq!(info.clone().try_decode_schema().unwrap().fields().len(), 6);
    assert_eq!(texts(&fetch(&mut client, info).await, 0).len(), 0);
    let table = || "telemetry".to_owned();
    let exported = CommandGetExportedKeys {
        catalog: None,
        db_schema: None,
        table: table(),
    };
    let imported = CommandGetImportedKeys {
        catalog: None,
        db_schema: None,
        table: table(),
    };
    let cross = CommandGetCrossReference {
        pk_table: table(),
        fk_table: table(),
        ..CommandGetCrossReference::default()
    };
    for info in [
        client.get_exported_keys(exported).await.unwrap(),
        client.get_imported_keys(imported).await.unwrap(),
        client.get_cross_reference(cross).await.unwrap(),
    ] {
        assert_eq!(info.clone().try_decode_schema().unwrap().fields().len(), 13);
        assert_eq!(texts(&fetch(&mut client, info).await, 0).len(), 0);
    }
}

#[tokio::test]
async fn capabilities_and_types_are_told() {
    let server = served(Fixture::new().await.engine(), None).await;
    let mut client = raw(&server.address).await;
    let info = client
        .get_sql_info(vec![SqlInfo::FlightSqlServerName])
        .await
        .unwrap();
    assert_eq!(fetch(&mut client, info).await[0].num_rows(), 1);
    let info = client.get_sql_info(vec![]).await.unwrap();
    assert!(fetch(&mut client, info).await[0].num_rows() > 60);
    let info = client
        .get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: None })
        .await
        .unwrap();
    let types = texts(&fetch(&mut client, info).await, 0);
    assert!(types.contains(&"timestamp".to_owned()), "{types:?}");
    let only = CommandGetXdbcTypeInfo {
        data_type: Some(XdbcDataType::XdbcVarchar as i32),
    };
    let info = client.get_xdbc_type_info(only).await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await, 0), ["varchar"]);
}

#[tokio::test]
async fn sessions_have_options_and_close() {
    let server = served(Fixture::new().await.engine(), None).await;
    let mut client = raw(&server.address).await;
    let closed = client
        .do_action(Action::new("CloseSession", vec![]))
        .await
        .unwrap();
    let results: Vec<_> = closed.try_collect().await.unwrap();
    assert_eq!(results[0].body.as_ref(), [0x08, 0x01]);
    // SetSessionOptionsRequest { session_options: { "catalog": { string_value: "dev" } } }
    let entry = [b"\x0a\x07catalog\x12\x05\x0a\x03dev".as_slice()].concat();
    let request = [
        &[0x0a, u8::try_from(entry.len()).unwrap()],
        entry.as_slice(),
    ]
    .concat();
    let set = client.do_action(Action::new("SetSessionOptions", request));
    let results: Vec<_> = set.await.unwrap().try_collect().await.unwrap();
    assert!(results[0].body.is_empty(), "no option was refused");
    let info = client
        .execute("select count(*) from pumps.trial".to_owned(), None)
        .await
        .unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await, 0), ["6"]);
}
