//! Namespaces, and listings page by page.

use serde_json::{Value, json};

use crate::support::Served;

#[tokio::test]
async fn pages_of_250_tables_hold_each_once() {
    let served = Served::start().await;
    served.namespace("pumps").await;
    let created = (0..250).map(|n| {
        let (served, name) = (&served, format!("t{n:03}"));
        async move { served.create(&name).await.ok() }
    });
    futures::future::join_all(created).await;

    let tables = "main/namespaces/pumps/tables";
    let all = served.get(tables).await.ok().body;
    assert_eq!(all["identifiers"].as_array().unwrap().len(), 250);
    assert!(all["next-page-token"].is_null());
    let mut names = Vec::new();
    let mut token = String::new();
    let mut pages = 0;
    loop {
        let path = format!("{tables}?pageToken={token}&pageSize=40");
        let page = served.get(&path).await.ok().body;
        pages += 1;
        for one in page["identifiers"].as_array().unwrap() {
            names.push(one["name"].as_str().unwrap().to_owned());
        }
        match &page["next-page-token"] {
            Value::String(next) => token.clone_from(next),
            other => break assert!(other.is_null()),
        }
    }
    assert_eq!(pages, 7);
    let expected: Vec<_> = (0..250).map(|n| format!("t{n:03}")).collect();
    assert_eq!(names, expected);
    for size in ["0", "-1", "many"] {
        let wrong = served.get(&format!("{tables}?pageSize={size}")).await;
        wrong.refused(400, "BadRequestException");
    }
}

#[tokio::test]
async fn namespaces_live_and_die() {
    let served = Served::start().await;
    served.namespace("pumps").await;
    served.namespace("rigs").await;
    let list = served.get("main/namespaces").await.ok().body;
    assert_eq!(list["namespaces"], json!([["pumps"], ["rigs"]]));
    let page = served
        .get("main/namespaces?pageSize=1&pageToken=")
        .await
        .ok();
    assert_eq!(page.body["namespaces"], json!([["pumps"]]));
    assert_eq!(page.body["next-page-token"], "pumps");
    let within = served.get("main/namespaces?parent=pumps").await.ok().body;
    assert_eq!(within["namespaces"], json!([]));
    let nowhere = served.get("main/namespaces?parent=no").await;
    nowhere.refused(404, "NoSuchNamespaceException");

    let body = json!({"namespace": ["pumps"]});
    let again = served.post("main/namespaces", body).await;
    again.refused(409, "AlreadyExistsException");
    let nested = served.post("main/namespaces", json!({"namespace": ["a", "b"]}));
    nested.await.refused(400, "BadRequestException");
    let nested = served.get("main/namespaces/a%1Fb").await;
    let message = nested.refused(404, "NoSuchNamespaceException").to_owned();
    assert!(message.contains("a.b"), "{message}");

    served.create("daily").await.ok();
    let full = served.delete("main/namespaces/pumps").await;
    full.refused(409, "NamespaceNotEmptyException");
    assert_eq!(served.delete("main/namespaces/rigs").await.status, 204);
    let gone = served.delete("main/namespaces/rigs").await;
    gone.refused(404, "NoSuchNamespaceException");
}

#[tokio::test]
async fn properties_of_a_namespace_are_set_and_removed() {
    let served = Served::with_table().await;
    let namespace = "main/namespaces/pumps";
    let loaded = served.get(namespace).await.ok().body;
    assert_eq!(
        loaded,
        json!({"namespace": ["pumps"], "properties": {"owner": "ada"}})
    );
    let path = format!("{namespace}/properties");
    let change = json!({"removals": ["owner", "nothing"], "updates": {"site": "north"}});
    let done = served.post(&path, change).await.ok().body;
    assert_eq!(
        done,
        json!({"updated": ["site"], "removed": ["owner"], "missing": ["nothing"]})
    );
    let loaded = served.get(namespace).await.ok().body;
    assert_eq!(loaded["properties"], json!({"site": "north"}));
    let both = json!({"removals": ["a"], "updates": {"a": "b"}});
    let refused = served.post(&path, both).await;
    refused.refused(422, "UnprocessableEntityException");
}
