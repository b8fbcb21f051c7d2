//! Committing to tables: requirements, updates, several tables at once.

use std::collections::BTreeMap;
use std::time::Duration;

use catalog::{Catalog, CatalogOptions, CommitMeta, Content, Key, Operation, Store};
use rest::RestConfig;
use serde_json::{Value, json};

use crate::support::{Served, main_at, schema};

const DAILY: &str = "main/namespaces/pumps/tables/daily";

async fn location(served: &Served) -> String {
    let loaded = served.get(DAILY).await.ok().body;
    loaded["metadata"]["location"].as_str().unwrap().to_owned()
}

fn updates(updates: &[Value]) -> Value {
    json!({"requirements": [], "updates": updates})
}

#[tokio::test]
async fn every_requirement_is_checked() {
    let served = Served::with_table().await;
    let location = location(&served).await;
    let first = updates(&[served.snapshot(1, 1, &location).await, main_at(1)]);
    let table = served.post(DAILY, first).await.ok().body["metadata"].clone();
    let cases = [
        json!({"type": "assert-table-uuid", "uuid": table["table-uuid"]}),
        json!({"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": 1}),
        json!({"type": "assert-ref-snapshot-id", "ref": "other", "snapshot-id": null}),
        json!({"type": "assert-last-assigned-field-id", "last-assigned-field-id": 1}),
        json!({"type": "assert-current-schema-id", "current-schema-id": 0}),
        json!({"type": "assert-last-assigned-partition-id", "last-assigned-partition-id": 999}),
        json!({"type": "assert-default-spec-id", "default-spec-id": 0}),
        json!({"type": "assert-default-sort-order-id", "default-sort-order-id": 0}),
    ];
    let set =
        |value: usize| json!([{"action": "set-properties", "updates": {"n": value.to_string()}}]);
    for (n, right) in cases.into_iter().enumerate() {
        let body = json!({"requirements": [right], "updates": set(n)});
        served.post(DAILY, body).await.ok();
        let mut wrong = right.clone();
        for (name, value) in wrong.as_object_mut().unwrap() {
            match value {
                Value::Number(_) => *value = json!(77),
                Value::Null => {
                    *value = json!(77);
                }
                _ if name == "uuid" => *value = json!("00000000-0000-0000-0000-000000000007"),
                _ => {}
            }
        }
        let body = json!({"requirements": [wrong], "updates": set(n)});
        let refused = served.post(DAILY, body).await;
        let message = refused.refused(409, "CommitFailedException");
        assert!(message.contains("Requirement failed"), "{message}");
    }
    let create = json!({"requirements": [{"type": "assert-create"}], "updates": []});
    let refused = served.post(DAILY, create).await;
    refused.refused(409, "CommitFailedException");
    let unknown = json!({"requirements": [{"type": "assert-luck"}], "updates": []});
    let refused = served.post(DAILY, unknown).await;
    let message = refused.refused(400, "BadRequestException");
    assert!(message.contains("assert-luck"), "{message}");
}

#[tokio::test]
async fn schema_partitions_order_and_properties_change() {
    let served = Served::with_table().await;
    let mut wider = schema();
    let column = json!({"id": 2, "name": "site", "required": false, "type": "string"});
    wider["fields"].as_array_mut().unwrap().push(column);
    let body = updates(&[
        json!({"action": "add-schema", "schema": wider, "last-column-id": 2}),
        json!({"action": "set-current-schema", "schema-id": -1}),
        json!({"action": "add-spec", "spec": {"spec-id": 9, "fields": [
            {"source-id": 2, "name": "site", "transform": "identity"},
        ]}}),
        json!({"action": "set-default-spec", "spec-id": -1}),
        json!({"action": "add-sort-order", "sort-order": {"order-id": 9, "fields": [
            {"source-id": 1, "transform": "identity", "direction": "asc", "null-order": "nulls-first"},
        ]}}),
        json!({"action": "set-default-sort-order", "sort-order-id": -1}),
        json!({"action": "set-properties", "updates": {"a": "1", "b": "2"}}),
        json!({"action": "remove-properties", "removals": ["b", "c"]}),
    ]);
    let before = served.get(DAILY).await.ok().body;
    let after = served.post(DAILY, body).await.ok().body["metadata"].clone();
    let is = |name: &str| after[name].clone();
    assert_eq!(is("current-schema-id"), 1);
    assert_eq!(is("last-column-id"), 2);
    assert_eq!(is("default-spec-id"), 1);
    assert_eq!(is("default-sort-order-id"), 1);
    assert_eq!(is("properties"), json!({"a": "1", "gc.enabled": "false"}));
    assert_eq!(is("table-uuid"), before["metadata"]["table-uuid"]);
    let log = &after["metadata-log"][0]["metadata-file"];
    assert_eq!(log, &before["metadata-location"]);
    let log = served.lake.catalog().log("main", 1).await.unwrap();
    assert_eq!(
        (log[0].author.as_str(), log[0].message.as_str()),
        (
            "tester",
            "change partitions, change properties, change schema: pumps.daily"
        )
    );
}

#[tokio::test]
async fn snapshots_come_one_after_the_other() {
    let served = Served::with_table().await;
    let location = location(&served).await;
    let first = updates(&[served.snapshot(1, 1, &location).await, main_at(1)]);
    served.post(DAILY, first).await.ok();
    let stale = updates(&[served.snapshot(2, 1, &location).await, main_at(2)]);
    let refused = served.post(DAILY, stale).await;
    let message = refused.refused(409, "CommitFailedException");
    assert!(message.contains("sequence number 1"), "{message}");
    let ahead = updates(&[served.snapshot(2, 3, &location).await, main_at(2)]);
    let refused = served.post(DAILY, ahead).await;
    refused.refused(400, "BadRequestException");

    let two = updates(&[
        served.snapshot(2, 2, &location).await,
        main_at(2),
        json!({"action": "set-snapshot-ref", "ref-name": "kept", "type": "tag", "snapshot-id": 1}),
        json!({"action": "set-statistics", "snapshot-id": 2, "statistics": {
            "snapshot-id": 2, "statistics-path": format!("{location}/metadata/s.puffin"),
            "file-size-in-bytes": 1, "file-footer-size-in-bytes": 1, "blob-metadata": [],
        }}),
    ]);
    let made = served.post(DAILY, two).await.ok().body["metadata"].clone();
    assert_eq!(made["refs"]["kept"]["snapshot-id"], 1);
    assert_eq!(made["statistics"][0]["snapshot-id"], 2);
    let expire = updates(&[
        json!({"action": "remove-snapshot-ref", "ref-name": "kept"}),
        json!({"action": "remove-snapshots", "snapshot-ids": [1]}),
        json!({"action": "remove-statistics", "snapshot-id": 2}),
    ]);
    let left = served.post(DAILY, expire).await.ok().body["metadata"].clone();
    assert_eq!(left["snapshots"].as_array().unwrap().len(), 1);
    assert_eq!(left["current-snapshot-id"], 2);
    assert!(left["refs"]["kept"].is_null());
}

#[tokio::test]
async fn a_commit_that_changes_nothing_is_none() {
    let served = Served::with_table().await;
    let head = served.lake.catalog().head("main").await.unwrap().id();
    served.post(DAILY, updates(&[])).await.ok();
    let same = updates(&[json!({"action": "set-current-schema", "schema-id": 0})]);
    served.post(DAILY, same).await.ok();
    assert_eq!(served.lake.catalog().head("main").await.unwrap().id(), head);
}

#[tokio::test]
async fn a_transaction_is_one_commit_or_none() {
    let served = Served::with_table().await;
    served.create("hourly").await.ok();
    let change = |table: &str, requirement: Value| {
        json!({
            "identifier": {"namespace": ["pumps"], "name": table},
            "requirements": [requirement],
            "updates": [{"action": "set-properties", "updates": {"set": "yes"}}],
        })
    };
    let holds = json!({"type": "assert-current-schema-id", "current-schema-id": 0});
    let fails = json!({"type": "assert-current-schema-id", "current-schema-id": 5});
    let commit = |changes: Value| served.post("main/transactions/commit", changes);
    let before = served.lake.catalog().head("main").await.unwrap().id();
    let one_fails = json!({"table-changes": [
        change("daily", holds.clone()), change("hourly", fails),
    ]});
    let refused = commit(one_fails).await;
    refused.refused(409, "CommitFailedException");
    let one_missing = json!({"table-changes": [
        change("daily", holds.clone()), change("weekly", holds.clone()),
    ]});
    commit(one_missing)
        .await
        .refused(404, "NoSuchTableException");
    let twice = json!({"table-changes": [
        change("daily", holds.clone()), change("daily", holds.clone()),
    ]});
    commit(twice).await.refused(400, "BadRequestException");
    let after = served.lake.catalog().head("main").await.unwrap();
    assert_eq!(after.id(), before);

    let both = json!({"table-changes": [change("daily", holds.clone()), change("hourly", holds)]});
    assert_eq!(commit(both).await.status, 204);
    let after = served.lake.catalog().head("main").await.unwrap();
    assert_eq!(after.commit().parent, Some(before));
    assert_eq!(after.commit().operations.len(), 2);
}

#[tokio::test]
async fn a_large_transaction_is_told_briefly_and_a_huge_one_refused() {
    let served = Served::with_table().await;
    let names: Vec<_> = (0..12).map(|n| format!("t{n:02}")).collect();
    for name in &names {
        served.create(name).await.ok();
    }
    let change = |name: &String| {
        json!({
            "identifier": {"namespace": ["pumps"], "name": name},
            "requirements": [],
            "updates": [{"action": "set-properties", "updates": {"set": "yes"}}],
        })
    };
    let changes: Vec<_> = names.iter().map(change).collect();
    let answer = served.post(
        "main/transactions/commit",
        json!({"table-changes": changes}),
    );
    assert_eq!(answer.await.status, 204);
    let log = served.lake.catalog().log("main", 1).await.unwrap();
    assert!(
        log[0].message.ends_with("pumps.t09; ... and 2 more"),
        "{}",
        log[0].message
    );

    let many: Vec<_> = (0..1001).map(|n| change(&format!("x{n}"))).collect();
    let refused = served
        .post("main/transactions/commit", json!({"table-changes": many}))
        .await;
    let message = refused.refused(400, "BadRequestException");
    assert!(message.contains("1001"), "{message}");
}

#[tokio::test]
async fn writers_look_at_the_newest_state() {
    let store = Store::memory();
    let other = Catalog::open(store.clone()).await.unwrap();
    let options = CatalogOptions {
        refresh: Duration::from_secs(3600),
    };
    let catalog = Catalog::open_with(store, options).await.unwrap();
    let served = Served::of(catalog, RestConfig::default()).await;
    served.get("main/namespaces").await.ok();
    let key = Key::of_namespace("pumps").unwrap();
    let content = Content::Namespace {
        properties: BTreeMap::new(),
    };
    let base = other.head("main").await.unwrap();
    let put = vec![Operation::Put { key, content }];
    let meta = CommitMeta::new("other", "make pumps");
    other
        .commit_operations("main", meta, base.id(), put)
        .await
        .unwrap();

    let tables = "main/namespaces/pumps/tables";
    let staged = json!({"name": "daily", "schema": schema(), "stage-create": true});
    served.post(tables, staged.clone()).await.ok();
    served.create("daily").await.ok();
    let taken = served.post(tables, staged).await;
    taken.refused(409, "AlreadyExistsException");
}
