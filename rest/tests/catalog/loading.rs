//! Configuration, loading with ETags, and the life of a table's name.

use std::collections::BTreeMap;

use rest::RestConfig;
use serde_json::json;

use crate::support::{Served, main_at, schema};

const DAILY: &str = "main/namespaces/pumps/tables/daily";

#[tokio::test]
async fn a_warehouse_is_a_ref_and_its_prefix() {
    let served = Served::start().await;
    let catalog = served.lake.catalog();
    catalog
        .create_branch("team/try", "main", "ada")
        .await
        .unwrap();
    for (query, prefix) in [
        ("", "main"),
        ("?warehouse=", "main"),
        ("?warehouse=team/try", "team=try"),
        ("?warehouse=team%3Dtry", "team=try"),
    ] {
        let config = served.get(&format!("config{query}")).await.ok().body;
        assert_eq!(config["overrides"]["prefix"], prefix, "{query}");
        let endpoints = config["endpoints"].as_array().unwrap();
        assert!(endpoints.contains(&"POST /v1/{prefix}/transactions/commit".into()));
    }
    let unknown = served.get("config?warehouse=nowhere").await;
    let message = unknown.refused(404, "NoSuchWarehouseException");
    assert!(message.contains("team/try"), "{message}");
}

#[tokio::test]
async fn clients_may_know_a_better_way_to_the_files() {
    let map = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let config = RestConfig {
        defaults: map("s3.endpoint", "http://inside:9000"),
        credentials: map("s3.access-key-id", "key"),
        ..RestConfig::default()
    };
    let served = Served::with(config).await;
    let config = served.get("config").await.ok().body;
    assert_eq!(
        config["defaults"],
        json!({"s3.endpoint": "http://inside:9000"})
    );
    assert!(config["overrides"].get("s3.endpoint").is_none());
    served.namespace("pumps").await;
    // What a table says goes before what the client was told.
    let made = served.create("daily").await.ok().body;
    assert_eq!(made["config"], json!({"s3.access-key-id": "key"}));
}

#[tokio::test]
async fn a_table_is_created_loaded_renamed_and_dropped() {
    let served = Served::with_table().await;
    let loaded = served.get(DAILY).await.ok().body;
    let location = loaded["metadata-location"].as_str().unwrap();
    assert!(location.starts_with("memory://lake/pumps/daily-"));
    assert_eq!(loaded["metadata"]["properties"]["gc.enabled"], "false");
    assert_eq!(served.ask("HEAD", DAILY, "", None).await.status, 204);

    let to = json!({"namespace": ["pumps"], "name": "hourly"});
    let from = json!({"namespace": ["pumps"], "name": "daily"});
    let body = json!({"source": from, "destination": to});
    assert_eq!(served.post("main/tables/rename", body).await.status, 204);
    assert_eq!(served.ask("HEAD", DAILY, "", None).await.status, 404);
    let renamed = "main/namespaces/pumps/tables/hourly";
    assert_eq!(served.get(renamed).await.ok().body, loaded);

    let purge = format!("{renamed}?purgeRequested=True");
    assert_eq!(served.delete(&purge).await.status, 204);
    served
        .get(renamed)
        .await
        .refused(404, "NoSuchTableException");
    // Nothing is lost: it can be registered again.
    let body = json!({"name": "daily", "metadata-location": location});
    let again = served.post("main/namespaces/pumps/register", body).await;
    assert_eq!(again.ok().body, loaded);
}

#[tokio::test]
async fn an_etag_spares_the_metadata() {
    let served = Served::with_table().await;
    let etag = |head: &str| {
        let line = head
            .lines()
            .find(|line| line.starts_with("etag: "))
            .unwrap();
        line.trim_start_matches("etag: ").to_owned()
    };
    let first = etag(&served.get(DAILY).await.ok().head);
    let refs = etag(
        &served
            .get(&format!("{DAILY}?snapshots=refs"))
            .await
            .ok()
            .head,
    );
    assert_ne!(first, refs);
    let known = format!("if-none-match: {refs}, {first}\r\n");
    assert_eq!(served.ask("GET", DAILY, &known, None).await.status, 304);
    // A proxy that compresses answers makes their tags weak.
    for same in [format!("W/{first}"), "*".to_owned()] {
        let known = format!("if-none-match: {same}\r\n");
        assert_eq!(served.ask("GET", DAILY, &known, None).await.status, 304);
    }

    let updates = json!([{"action": "set-properties", "updates": {"a": "b"}}]);
    let body = json!({"requirements": [], "updates": updates});
    let committed = served.post(DAILY, body).await.ok();
    let next = served.ask("GET", DAILY, &known, None).await.ok();
    assert_eq!(next.body, committed.body);
    assert_eq!(etag(&next.head), etag(&committed.head));
}

#[tokio::test]
async fn snapshots_without_a_ref_are_left_out_when_asked() {
    let served = Served::with_table().await;
    let loaded = served.get(DAILY).await.ok().body;
    let location = loaded["metadata"]["location"].as_str().unwrap();
    let updates = json!([
        served.snapshot(1, 1, location).await,
        main_at(1),
        served.snapshot(2, 2, location).await,
        main_at(2),
    ]);
    let body = json!({"requirements": [], "updates": updates});
    served.post(DAILY, body).await.ok();
    let count = |body: serde_json::Value| body["metadata"]["snapshots"].as_array().unwrap().len();
    let all = served.get(&format!("{DAILY}?snapshots=all")).await.ok();
    assert_eq!(count(all.body), 2);
    let refs = served.get(&format!("{DAILY}?snapshots=refs")).await.ok();
    assert_eq!(refs.body["metadata"]["snapshots"][0]["snapshot-id"], 2);
    assert_eq!(count(refs.body), 1);
    let wrong = served.get(&format!("{DAILY}?snapshots=some")).await;
    wrong.refused(400, "BadRequestException");
}

#[tokio::test]
async fn a_staged_table_is_there_once_committed() {
    let served = Served::start().await;
    served.namespace("pumps").await;
    let tables = "main/namespaces/pumps/tables";
    let spec = json!({"spec-id": 0, "fields": [
        {"source-id": 1, "field-id": 1000, "name": "bucket", "transform": "bucket[4]"},
    ]});
    let body = json!({
        "name": "daily", "schema": schema(), "stage-create": true, "partition-spec": spec,
    });
    let staged = served.post(tables, body).await.ok().body;
    assert!(staged["metadata-location"].is_null());
    assert_eq!(served.ask("HEAD", DAILY, "", None).await.status, 404);

    let metadata = &staged["metadata"];
    let location = metadata["location"].as_str().unwrap();
    let updates = json!([
        {"action": "assign-uuid", "uuid": metadata["table-uuid"]},
        {"action": "upgrade-format-version", "format-version": 2},
        {"action": "add-schema", "schema": metadata["schemas"][0], "last-column-id": 1},
        {"action": "set-current-schema", "schema-id": -1},
        {"action": "add-spec", "spec": metadata["partition-specs"][0]},
        {"action": "set-default-spec", "spec-id": -1},
        {"action": "add-sort-order", "sort-order": metadata["sort-orders"][0]},
        {"action": "set-default-sort-order", "sort-order-id": -1},
        {"action": "set-location", "location": location},
        {"action": "set-properties", "updates": metadata["properties"]},
        served.snapshot(7, 1, location).await,
        main_at(7),
    ]);
    let body = json!({"requirements": [{"type": "assert-create"}], "updates": updates});
    let made = served.post(DAILY, body.clone()).await.ok().body;
    for same in [
        "table-uuid",
        "location",
        "schemas",
        "partition-specs",
        "default-spec-id",
        "properties",
    ] {
        assert_eq!(made["metadata"][same], metadata[same], "{same}");
    }
    assert_eq!(made["metadata"]["current-snapshot-id"], 7);
    let again = served.post(DAILY, body).await;
    again.refused(409, "CommitFailedException");
}
