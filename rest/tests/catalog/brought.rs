//! What clients bring along: files of snapshots, whole tables, and what version 2 has no
//! room for.

use catalog::collect::{Condemned, ListKind};
use serde_json::{Value, json};

use crate::support::{Answer, Served, main_at, schema, snapshot};

const TABLES: &str = "main/namespaces/pumps/tables";
const DAILY: &str = "main/namespaces/pumps/tables/daily";

async fn update(served: &Served, updates: &[Value]) -> Answer {
    let body = json!({"requirements": [], "updates": updates});
    served.post(DAILY, body).await
}

async fn daily(served: &Served) -> Value {
    served.get(DAILY).await.ok().body["metadata"].clone()
}

#[track_caller]
fn refused(answer: &Answer, says: &str) {
    let message = answer.refused(400, "BadRequestException");
    assert!(message.contains(says), "{says}: {message}");
}

#[tokio::test]
async fn snapshots_need_files_that_are_there_and_in_the_lake() {
    let served = Served::with_table().await;
    let table = daily(&served).await;
    let location = table["location"].as_str().unwrap();
    let missing = update(&served, &[snapshot(3, 1, location), main_at(3)]).await;
    refused(&missing, "snap-3.avro");
    let elsewhere = ["file:///etc/passwd"];
    let theirs = served.snapshot_of(4, 1, location, &elsewhere).await;
    refused(&update(&served, &[theirs, main_at(4)]).await, elsewhere[0]);
    let mut garbage = snapshot(5, 1, location);
    garbage["snapshot"]["manifest-list"] =
        served.get(DAILY).await.body["metadata-location"].clone();
    refused(
        &update(&served, &[garbage, main_at(5)]).await,
        "manifest list",
    );
    for id in [0, -1] {
        let wrong = served.snapshot(id, 1, location).await;
        refused(&update(&served, &[wrong]).await, "snapshot id");
    }
    let tag =
        json!({"action": "set-snapshot-ref", "ref-name": "main", "type": "tag", "snapshot-id": 1});
    let first = served.snapshot(1, 1, location).await;
    refused(&update(&served, &[first.clone(), tag]).await, "branch");
    assert_eq!(daily(&served).await, table, "something was left");
    update(&served, &[first, main_at(1)]).await.ok();
}

#[tokio::test]
async fn tables_are_registered_with_all_their_files() {
    let served = Served::with_table().await;
    let table = daily(&served).await;
    let location = table["location"].as_str().unwrap();
    let first = served.snapshot(1, 1, location).await;
    update(&served, &[first, main_at(1)]).await.ok();
    let right = daily(&served).await;

    let mut wrong = right.clone();
    wrong["snapshots"][0]["manifest-list"] = json!(format!("{location}/metadata/none.avro"));
    refused(&served.register("a", &wrong).await, "none.avro");
    served
        .snapshot_of(9, 1, location, &["s3://elsewhere/m.avro"])
        .await;
    wrong["snapshots"][0]["manifest-list"] = json!(format!("{location}/metadata/snap-9.avro"));
    refused(&served.register("b", &wrong).await, "s3://elsewhere");
    let gone = format!("{location}/metadata/gone.avro");
    served.snapshot_of(8, 1, location, &[&gone]).await;
    wrong["snapshots"][0]["manifest-list"] = json!(format!("{location}/metadata/snap-8.avro"));
    refused(&served.register("c", &wrong).await, "gone.avro");
    let mut tagged = right.clone();
    tagged["refs"]["main"]["type"] = json!("tag");
    refused(&served.register("d", &tagged).await, "branch");
    let mut with_default = right.clone();
    with_default["schemas"][0]["fields"][0]["initial-default"] = json!(5);
    refused(&served.register("e", &with_default).await, "default");
    let mut bucket = right.clone();
    bucket["partition-specs"][0]["fields"] = json!([
        {"source-id": 1, "field-id": 1000, "name": "b", "transform": "bucket[0]"}]);
    refused(&served.register("f", &bucket).await, "bucket");

    let mut collected = right.clone();
    collected["properties"]["gc.enabled"] = json!("true");
    let made = served.register("g", &collected).await.ok().body;
    assert_eq!(made["metadata"]["properties"]["gc.enabled"], "false");
    let log = made["metadata"]["metadata-log"].as_array().unwrap();
    let before = log.last().unwrap()["metadata-file"].as_str().unwrap();
    assert!(before.ends_with("/g.json"), "{before}");
    assert_eq!(made["metadata"]["current-snapshot-id"], 1);
}

#[tokio::test]
async fn what_is_being_collected_is_not_registered() {
    let served = Served::with_table().await;
    let table = daily(&served).await;
    let location = table["location"].as_str().unwrap();
    let first = served.snapshot(1, 1, location).await;
    update(&served, &[first, main_at(1)]).await.ok();
    let loaded = served.get(DAILY).await.ok().body;
    assert_eq!(served.delete(DAILY).await.status, 204);

    let store = served.lake.store().object_store();
    let list = served
        .lake
        .store()
        .path(&format!("{location}/metadata/snap-1.avro"));
    let collector = served.lake.catalog().collector();
    let (run, started) = collector.begin().await.unwrap();
    let mut writer = run.writer(ListKind::Files);
    let condemned = Condemned {
        path: list.unwrap().to_string(),
        size: 1,
        modified: started,
    };
    writer.add(store.as_ref(), condemned).await.unwrap();
    writer.finish(store.as_ref()).await.unwrap();
    run.complete(store.as_ref()).await.unwrap();
    let register = "main/namespaces/pumps/register";
    let body = json!({"name": "back", "metadata-location": loaded["metadata-location"]});
    refused(&served.post(register, body.clone()).await, "snap-1.avro");

    for run in collector.runs().await.unwrap() {
        run.remove(store.as_ref()).await.unwrap();
    }
    served.post(register, body).await.ok();
}

/// Schemas with a default in every place that can have one.
fn with_defaults() -> Vec<Value> {
    // No calendar has this day: to write it down again is a panic.
    let day = json!({"id": 1, "name": "d", "required": false, "type": "date",
        "initial-default": i32::MAX});
    let of = |field: Value| json!({"type": "struct", "fields": [field]});
    let inside = |kind: Value| of(json!({"id": 1, "name": "x", "required": false, "type": kind}));
    let default = |name: &str| {
        let mut field = json!({"id": 2, "name": "n", "required": false, "type": "long"});
        field[name] = json!(5);
        field
    };
    vec![
        of(default("initial-default")),
        of(default("write-default")),
        of(day),
        inside(of(default("write-default"))),
        inside(
            json!({"type": "list", "element-id": 3, "element-required": false,
            "element": of(default("initial-default"))}),
        ),
        inside(
            json!({"type": "map", "key-id": 3, "key": "string", "value-id": 4,
            "value-required": false, "value": of(default("initial-default"))}),
        ),
    ]
}

#[tokio::test]
async fn columns_have_no_defaults() {
    let served = Served::with_table().await;
    for schema in with_defaults() {
        let create = json!({"name": "t", "schema": schema});
        let staged = json!({"name": "t", "schema": schema, "stage-create": true});
        for body in [create, staged] {
            let answer = served.post(TABLES, body).await;
            refused(&answer, "default");
        }
        let add = json!({"action": "add-schema", "schema": schema, "last-column-id": 4});
        refused(
            &update(&served, std::slice::from_ref(&add)).await,
            "default",
        );
        let fresh = json!({"requirements": [{"type": "assert-create"}], "updates": [add]});
        refused(
            &served.post(&format!("{TABLES}/new"), fresh).await,
            "default",
        );
        let version = json!({"version-id": 1, "schema-id": 0, "timestamp-ms": 5, "summary": {},
            "default-namespace": ["pumps"],
            "representations": [{"type": "sql", "sql": "select 1", "dialect": "datafusion"}]});
        let view =
            json!({"name": "v", "schema": schema, "view-version": version, "properties": {}});
        refused(
            &served.post("main/namespaces/pumps/views", view).await,
            "default",
        );
    }
}

#[tokio::test]
async fn transforms_that_nobody_can_compute_are_refused() {
    let served = Served::with_table().await;
    let table = daily(&served).await;
    for transform in ["bucket[0]", "truncate[0]", "unknown", "day"] {
        let spec = json!({"spec-id": 0, "fields": [
            {"source-id": 1, "field-id": 1000, "name": "p", "transform": transform}]});
        let order = json!({"order-id": 1, "fields": [{"source-id": 1, "transform": transform,
            "direction": "asc", "null-order": "nulls-first"}]});
        for part in ["partition-spec", "write-order"] {
            let which = if part == "write-order" { &order } else { &spec };
            for stage in [false, true] {
                let body =
                    json!({"name": "t", "schema": schema(), part: which, "stage-create": stage});
                let answer = served.post(TABLES, body).await;
                answer.refused(400, "BadRequestException");
            }
        }
        let add = json!({"action": "add-spec", "spec": spec});
        let answer = update(&served, &[add]).await;
        answer.refused(400, "BadRequestException");
        let add = json!({"action": "add-sort-order", "sort-order": order});
        let answer = update(&served, &[add]).await;
        answer.refused(400, "BadRequestException");
    }
    assert_eq!(daily(&served).await, table);
}

#[tokio::test]
async fn properties_that_would_harm_are_refused() {
    let served = Served::with_table().await;
    for (name, value, says) in [
        ("gc.enabled", "true", "branches"),
        ("write.data.path", "memory://lake/_catalog/refs", "_catalog"),
        ("write.metadata.path", "memory://lake", "memory://lake"),
        ("write.format.default", "orc", "Parquet"),
        ("write.delete.format.default", "avro", "Parquet"),
    ] {
        let set = json!({"action": "set-properties", "updates": {name: value}});
        refused(&update(&served, &[set]).await, says);
        let body = json!({"name": "t", "schema": schema(), "properties": {name: value}});
        refused(&served.post(TABLES, body).await, says);
    }
    let remove = json!({"action": "remove-properties", "removals": ["gc.enabled"]});
    refused(&update(&served, &[remove]).await, "gc.enabled");
    let fine = json!({"action": "set-properties", "updates": {
        "gc.enabled": "false", "write.format.default": "PARQUET",
        "write.data.path": "memory://lake/data"}});
    update(&served, &[fine]).await.ok();
}
