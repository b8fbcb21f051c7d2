//! What is refused, with which status and in which words.

use catalog::Key;
use serde_json::{Value, json};

use crate::support::{Served, main_at, schema, snapshot};

const DAILY: &str = "main/namespaces/pumps/tables/daily";

#[tokio::test]
async fn error_bodies_are_the_specifications() {
    let served = Served::start().await;
    let golden = [
        (
            "main/namespaces/pumps",
            json!({"message": "Namespace does not exist: pumps", "type": "NoSuchNamespaceException", "code": 404}),
        ),
        (
            DAILY,
            json!({"message": "Table does not exist: pumps.daily", "type": "NoSuchTableException", "code": 404}),
        ),
        (
            "main/namespaces/pumps/views/daily",
            json!({"message": "View does not exist: pumps.daily", "type": "NoSuchViewException", "code": 404}),
        ),
        (
            "main/nothing",
            json!({"message": "nothing is at /v1/main/nothing", "type": "NotFoundException", "code": 404}),
        ),
    ];
    for (path, error) in golden {
        let answer = served.get(path).await;
        assert_eq!(answer.body, json!({"error": error}), "{path}");
        assert_eq!(answer.status, error["code"], "{path}");
    }
    let wrong = served.ask("PUT", "main/namespaces", "", None).await;
    wrong.refused(405, "UnsupportedOperationException");
}

#[tokio::test]
async fn what_is_not_a_branch_is_not_written() {
    let served = Served::with_table().await;
    let catalog = served.lake.catalog();
    catalog.create_tag("v1", "main", "ada").await.unwrap();
    let head = catalog.head("main").await.unwrap().id();
    let body = json!({"requirements": [], "updates": [
        {"action": "set-properties", "updates": {"a": "b"}},
    ]});
    let at = [
        "v1".to_owned(),
        format!("main@{}", head.short()),
        "main@2999-01-01T00:00:00Z".to_owned(),
        head.to_string(),
        "main~0".to_owned(),
    ];
    for prefix in at {
        let table = format!("{prefix}/namespaces/pumps/tables/daily");
        served.get(&table).await.ok();
        let refused = served.post(&table, body.clone()).await;
        let message = refused.refused(403, "ForbiddenException");
        assert!(message.contains("branch"), "{message}");
    }
    let nowhere = "nowhere/namespaces/pumps/tables/daily";
    let refused = served.post(nowhere, body.clone()).await;
    refused.refused(404, "NoSuchWarehouseException");
    let refused = served.get(nowhere).await;
    refused.refused(404, "NoSuchWarehouseException");

    catalog.protect_branch("main", true, "ada").await.unwrap();
    let refused = served.post(DAILY, body).await;
    let message = refused.refused(403, "ForbiddenException");
    assert!(message.contains("protected"), "{message}");
}

#[tokio::test]
async fn names_that_no_ref_can_have_are_bad_requests() {
    let served = Served::start().await;
    let long = "x".repeat(1000);
    for name in ["%C3%BC", "a..b", "s3://b/c", "a%00b", long.as_str()] {
        let refused = served.get(&format!("config?warehouse={name}")).await;
        refused.refused(400, "BadRequestException");
    }
    let refused = served.get("%FF/namespaces").await;
    refused.refused(400, "BadRequestException");
    let before = served.get("main~99/namespaces").await;
    before.refused(404, "NoSuchWarehouseException");
    // A slash may come either way.
    let catalog = served.lake.catalog();
    catalog
        .create_branch("team/try", "main", "ada")
        .await
        .unwrap();
    for prefix in ["team=try", "team%2Ftry"] {
        served.get(&format!("{prefix}/namespaces")).await.ok();
    }
}

/// `update` on `pumps.daily`.
async fn update(served: &Served, update: Value) -> crate::support::Answer {
    let body = json!({"requirements": [], "updates": [update]});
    served.post(DAILY, body).await
}

/// A snapshot of the year 2096, after which nobody could commit for a while.
fn later(location: &str) -> Value {
    let mut update = snapshot(1, 1, location);
    update["snapshot"]["timestamp-ms"] = json!(4_000_000_000_000_i64);
    update
}

#[tokio::test]
async fn updates_that_cannot_be_made_are_bad_requests() {
    let served = Served::with_table().await;
    let loaded = served.get(DAILY).await.ok().body;
    let location = loaded["metadata"]["location"].as_str().unwrap();
    let outside = "s3://elsewhere/t";
    for (wrong, says) in [
        (json!({"action": "sing"}), "sing"),
        (
            json!({"action": "upgrade-format-version", "format-version": 3}),
            "version 3",
        ),
        (
            json!({"action": "upgrade-format-version", "format-version": 1}),
            "version 1",
        ),
        (
            json!({"action": "upgrade-format-version", "format-version": 4}),
            "4",
        ),
        (
            json!({"action": "set-location", "location": outside}),
            outside,
        ),
        (
            json!({"action": "set-location", "location": "memory://lake/_catalog/refs"}),
            "_catalog",
        ),
        (
            json!({"action": "set-location", "location": "memory://lake/a/../../b"}),
            "..",
        ),
        (
            json!({"action": "set-properties", "updates": {"write.data.path": outside}}),
            outside,
        ),
        (
            json!({"action": "set-properties", "updates": {"format-version": "3"}}),
            "version 3",
        ),
        (
            json!({"action": "assign-uuid", "uuid": "00000000-0000-0000-0000-000000000007"}),
            "uuid",
        ),
        (json!({"action": "set-current-schema", "schema-id": 7}), "7"),
        (
            json!({"action": "set-current-schema", "schema-id": -1}),
            "last added",
        ),
        (json!({"action": "set-default-spec", "spec-id": 7}), "7"),
        (main_at(7), "7"),
        (snapshot(1, 1, outside), outside),
        (
            json!({"action": "add-spec", "spec": {"fields": [
            {"source-id": 5, "name": "x", "transform": "identity"}]}}),
            "5",
        ),
        (
            json!({"action": "add-schema", "schema": {"type": "struct", "fields": [
            {"id": 1, "name": "t", "required": false, "type": "timestamp_ns"}]}}),
            "timestamp_ns",
        ),
        (
            json!({"action": "remove-schemas", "schema-ids": [0]}),
            "schema",
        ),
        (
            json!({"action": "remove-partition-specs", "spec-ids": [0]}),
            "spec",
        ),
        (later(location), "future"),
    ] {
        let refused = update(&served, wrong.clone()).await;
        let message = refused.refused(400, "BadRequestException");
        assert!(message.contains(says), "{wrong}: {message}");
    }
    // None of them left a trace.
    assert_eq!(served.get(DAILY).await.ok().body, loaded);
    assert!(location.starts_with("memory://lake/"));
}

#[tokio::test]
async fn tables_that_cannot_be_made_are_refused() {
    let served = Served::with_table().await;
    let tables = "main/namespaces/pumps/tables";
    served
        .create("daily")
        .await
        .refused(409, "AlreadyExistsException");
    let nowhere = "main/namespaces/nowhere/tables";
    let body = json!({"name": "t", "schema": schema()});
    let refused = served.post(nowhere, body).await;
    refused.refused(404, "NoSuchNamespaceException");
    for (wrong, says) in [
        (json!({"name": "a b", "schema": schema()}), "a b"),
        (json!({"name": "t"}), "schema"),
        (
            json!({"name": "t", "schema": schema(), "location": "file:///etc"}),
            "file:///etc",
        ),
        (
            json!({"name": "t", "schema": schema(), "properties": {"format-version": "3"}}),
            "version 3",
        ),
        (
            json!({"name": "t", "schema": schema(), "properties": {"format-version": "1"}}),
            "version 1",
        ),
    ] {
        let refused = served.post(tables, wrong).await;
        let message = refused.refused(400, "BadRequestException");
        assert!(message.contains(says), "{message}");
    }
    let register = "main/namespaces/pumps/register";
    for (location, says) in [
        ("s3://elsewhere/m.json", "s3://elsewhere"),
        ("memory://lake/nothing.json", "nothing.json"),
    ] {
        let body = json!({"name": "r", "metadata-location": location});
        let refused = served.post(register, body).await;
        let message = refused.refused(400, "BadRequestException");
        assert!(message.contains(says), "{message}");
    }
    let create_without_schema = json!({"requirements": [{"type": "assert-create"}], "updates": []});
    let refused = served
        .post(&format!("{tables}/new"), create_without_schema)
        .await;
    refused.refused(400, "BadRequestException");
    let to = json!({"namespace": ["nowhere"], "name": "t"});
    let from = json!({"namespace": ["pumps"], "name": "daily"});
    let body = json!({"source": from, "destination": to});
    let refused = served.post("main/tables/rename", body).await;
    refused.refused(404, "NoSuchNamespaceException");
    let body = json!({"source": from, "destination": from});
    let refused = served.post("main/tables/rename", body).await;
    refused.refused(409, "AlreadyExistsException");
    let key: Key = "pumps.daily".parse().unwrap();
    let head = served.lake.catalog().head("main").await.unwrap();
    assert!(head.contains(&key).unwrap());
}

#[tokio::test]
async fn a_body_must_be_said_to_be_json() {
    let served = Served::start().await;
    let body = json!({"namespace": ["pumps"]}).to_string();
    for kind in ["", "content-type: text/plain\r\n"] {
        let asked = served.ask("POST", "main/namespaces", kind, Some(body.clone()));
        let refused = asked.await;
        let message = refused.refused(415, "BadRequestException");
        assert!(message.contains("application/json"), "{message}");
    }
    let kind = "content-type: Application/JSON; charset=utf-8\r\n";
    let asked = served.ask("POST", "main/namespaces", kind, Some(body));
    asked.await.ok();
}
