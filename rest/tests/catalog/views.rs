//! The life of a view.

use catalog::Catalog;
use object_store::ObjectStoreExt;
use rest::RestConfig;
use serde_json::{Value, json};

use crate::support::{Served, schema};

const VIEWS: &str = "main/namespaces/pumps/views";

fn version(id: i32, sql: &str) -> Value {
    json!({
        "version-id": id, "schema-id": 0, "timestamp-ms": 1_700_000_000_000_i64,
        "summary": {"engine-name": "test"}, "default-namespace": ["pumps"],
        "representations": [{"type": "sql", "sql": sql, "dialect": "datafusion"}],
    })
}

fn creation(name: &str) -> Value {
    let version = version(1, "select 1 as id");
    json!({"name": name, "schema": schema(), "view-version": version, "properties": {"a": "b"}})
}

#[tokio::test]
async fn a_view_is_created_replaced_renamed_and_dropped() {
    let served = Served::with_table().await;
    let made = served.post(VIEWS, creation("few")).await.ok().body;
    let few = format!("{VIEWS}/few");
    assert_eq!(served.get(&few).await.ok().body, made);
    assert_eq!(made["metadata"]["properties"], json!({"a": "b"}));
    assert_eq!(served.ask("HEAD", &few, "", None).await.status, 204);
    let list = served.get(VIEWS).await.ok().body;
    let name = json!([{"namespace": ["pumps"], "name": "few"}]);
    assert_eq!(list["identifiers"], name);
    let tables = served.get("main/namespaces/pumps/tables").await.ok().body;
    assert_eq!(tables["identifiers"].as_array().unwrap().len(), 1);

    let uuid = &made["metadata"]["view-uuid"];
    let body = json!({
        "requirements": [{"type": "assert-view-uuid", "uuid": uuid}],
        "updates": [
            {"action": "add-view-version", "view-version": version(2, "select 2 as id")},
            {"action": "set-current-view-version", "view-version-id": -1},
        ],
    });
    let replaced = served.post(&few, body).await.ok().body["metadata"].clone();
    assert_eq!(&replaced["view-uuid"], uuid);
    assert_eq!(replaced["current-version-id"], 2);
    assert_eq!(replaced["versions"].as_array().unwrap().len(), 2);
    let wrong = json!({"type": "assert-view-uuid", "uuid": "00000000-0000-0000-0000-000000000007"});
    let body = json!({"requirements": [wrong], "updates": []});
    let refused = served.post(&few, body).await;
    refused.refused(409, "CommitFailedException");

    let from = json!({"namespace": ["pumps"], "name": "few"});
    let to = json!({"namespace": ["pumps"], "name": "some"});
    let body = json!({"source": from, "destination": to});
    let refused = served.post("main/tables/rename", body.clone()).await;
    refused.refused(404, "NoSuchTableException");
    assert_eq!(served.post("main/views/rename", body).await.status, 204);
    let some = format!("{VIEWS}/some");
    let table = served.get("main/namespaces/pumps/tables/some").await;
    table.refused(404, "NoSuchTableException");
    assert_eq!(served.delete(&some).await.status, 204);
    let gone = served.delete(&some).await;
    gone.refused(404, "NoSuchViewException");
}

#[tokio::test]
async fn views_that_cannot_be_are_refused() {
    let served = Served::with_table().await;
    let taken = served.post(VIEWS, creation("daily")).await;
    let message = taken.refused(409, "AlreadyExistsException");
    assert!(message.contains("table"), "{message}");
    let nowhere = served.post("main/namespaces/no/views", creation("v")).await;
    nowhere.refused(404, "NoSuchNamespaceException");
    let mut outside = creation("v");
    outside["location"] = json!("s3://elsewhere/v");
    let refused = served.post(VIEWS, outside).await;
    refused.refused(400, "BadRequestException");
    let mut early = creation("v");
    early["view-version"]["timestamp-ms"] = json!(i64::MIN);
    let refused = served.post(VIEWS, early).await;
    refused.refused(400, "BadRequestException");
    let mut empty = creation("v");
    empty["view-version"]["representations"] = json!([]);
    let refused = served.post(VIEWS, empty).await;
    refused.refused(400, "BadRequestException");
    served.post(VIEWS, creation("v")).await.ok();
    for (wrong, says) in [
        (json!({"action": "sing"}), "sing"),
        (
            json!({"action": "set-current-view-version", "view-version-id": 7}),
            "7",
        ),
        (
            json!({"action": "set-location", "location": "s3://elsewhere/v"}),
            "s3://elsewhere/v",
        ),
        (
            json!({"action": "assign-uuid", "uuid": "00000000-0000-0000-0000-000000000007"}),
            "uuid",
        ),
    ] {
        let path = format!("{VIEWS}/v");
        let refused = served.post(&path, json!({"updates": [wrong]})).await;
        let message = refused.refused(400, "BadRequestException");
        assert!(message.contains(says), "{message}");
    }
}

#[tokio::test]
async fn a_lost_metadata_file_is_the_servers_fault() {
    let served = Served::with_table().await;
    let made = served.post(VIEWS, creation("few")).await.ok().body;
    let store = served.lake.store();
    let path = store
        .path(made["metadata-location"].as_str().unwrap())
        .unwrap();
    store.object_store().delete(&path).await.unwrap();
    let fresh = Catalog::open(store.clone()).await.unwrap();
    let served = Served::of(fresh, RestConfig::default()).await;
    let lost = served.get(&format!("{VIEWS}/few")).await;
    lost.refused(500, "InternalServerError");
}
