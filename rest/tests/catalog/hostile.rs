//! Whatever JSON comes, the answer is one of the specification and the catalog lives.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Served, main_at, schema, snapshot};

const TABLE: &str = "main/namespaces/pumps/tables/daily";

const LOCATION: &str = "memory://lake/pumps/daily";

/// Requests that are right, to be spoilt.
fn seeds() -> Vec<(&'static str, Value)> {
    let location = LOCATION;
    let wide = json!({"type": "struct", "schema-id": 0, "fields": [
        {"id": 1, "name": "id", "required": false, "type": "long", "initial-default": null},
        {"id": 2, "name": "list", "required": false, "type":
            {"type": "list", "element-id": 3, "element": "string", "element-required": false}},
    ]});
    let updates = json!([
        {"action": "add-schema", "schema": wide, "last-column-id": 3},
        {"action": "set-current-schema", "schema-id": -1},
        {"action": "add-spec", "spec": {"spec-id": 1, "fields": [
            {"source-id": 1, "field-id": 1000, "name": "b", "transform": "bucket[8]"}]}},
        {"action": "set-default-spec", "spec-id": -1},
        {"action": "add-sort-order", "sort-order": {"order-id": 1, "fields": [
            {"source-id": 1, "transform": "identity", "direction": "asc", "null-order": "nulls-first"}]}},
        {"action": "set-default-sort-order", "sort-order-id": -1},
        {"action": "set-location", "location": location},
        {"action": "set-properties", "updates": {"a": "b"}},
        snapshot(1, 1, location), main_at(1),
        snapshot(2, 2, location), main_at(2),
        {"action": "remove-snapshots", "snapshot-ids": [1]},
        {"action": "remove-snapshot-ref", "ref-name": "other"},
        {"action": "remove-schemas", "schema-ids": [0]},
        {"action": "remove-partition-specs", "spec-ids": [0]},
        {"action": "remove-properties", "removals": ["a"]},
        {"action": "upgrade-format-version", "format-version": 2},
    ]);
    let create = json!({"requirements": [{"type": "assert-create"}], "updates": updates});
    let commit = json!({"requirements": [
        {"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": null}], "updates": updates});
    let identifier = json!({"namespace": ["pumps"], "name": "daily"});
    let view = json!({"version-id": 1, "schema-id": 0, "timestamp-ms": 5, "summary": {},
        "default-namespace": ["pumps"],
        "representations": [{"type": "sql", "sql": "select 1", "dialect": "pumphouse"}]});
    let views = json!([
        {"action": "add-schema", "schema": schema(), "last-column-id": 1},
        {"action": "add-view-version", "view-version": view},
        {"action": "set-current-view-version", "view-version-id": -1},
        {"action": "set-properties", "updates": {"version.history.num-entries": "1"}},
    ]);
    vec![
        (TABLE, commit.clone()),
        ("main/namespaces/pumps/tables/fresh", create),
        (
            "main/transactions/commit",
            json!({"table-changes": [
            {"identifier": identifier, "requirements": [], "updates": updates}]}),
        ),
        (
            "main/namespaces/pumps/tables",
            json!({"name": "x", "schema": wide,
            "partition-spec": {"spec-id": 0, "fields": [{"source-id": 1, "field-id": 1000,
                "name": "p", "transform": "truncate[3]"}]},
            "write-order": {"order-id": 1, "fields": []}, "properties": {"a": "b"}}),
        ),
        (
            "main/namespaces/pumps/views",
            json!({"name": "v", "schema": schema(),
            "view-version": view, "properties": {}}),
        ),
        (
            "main/namespaces/pumps/views/known",
            json!({"updates": views}),
        ),
        (
            "main/namespaces",
            json!({"namespace": ["x"], "properties": {"a": "b"}}),
        ),
        (
            "main/namespaces/pumps/properties",
            json!({"removals": ["a"], "updates": {"b": "c"}}),
        ),
        (
            "main/tables/rename",
            json!({"source": identifier, "destination": identifier}),
        ),
        (
            "main/namespaces/pumps/register",
            json!({"name": "r",
            "metadata-location": "memory://lake/x.json"}),
        ),
    ]
}

/// Values that break careless code.
fn nasty() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!(i64::MIN)),
        Just(json!(i64::MAX)),
        Just(json!(i32::MAX)),
        Just(json!(i32::MIN)),
        Just(json!(u64::MAX)),
        Just(json!(-1)),
        Just(json!(0)),
        Just(json!(1)),
        Just(json!(2)),
        Just(json!(1.5)),
        Just(json!("")),
        Just(json!("main")),
        Just(json!("bucket[0]")),
        Just(json!("truncate[0]")),
        Just(json!("date")),
        Just(json!("unknown")),
        Just(json!("decimal(99,98)")),
        Just(json!("\u{0}/..//é")),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[[[[]]]]])),
    ]
}

/// The places of all values in `json`, as pointers.
fn places(json: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match json {
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{n}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                places(field, &format!("{at}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// One to three values replaced, or an update repeated or left out.
fn spoil(mut body: Value, spoils: &[(prop::sample::Index, Value, u8)]) -> Value {
    for (index, value, how) in spoils {
        let mut all = Vec::new();
        places(&body, "", &mut all);
        let place = &all[index.index(all.len())];
        let Some(found) = body.pointer_mut(place) else {
            continue;
        };
        match (how, found) {
            (0, Value::Array(items)) if !items.is_empty() => {
                items.remove(index.index(items.len()));
            }
            (1, Value::Array(items)) if !items.is_empty() => {
                let item = items[index.index(items.len())].clone();
                items.push(item);
            }
            (_, found) => *found = value.clone(),
        }
    }
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A panic would end the connection without an answer.
    #[test]
    fn any_json_gets_an_answer(
        requests in prop::collection::vec(
            (any::<prop::sample::Index>(),
             prop::collection::vec((any::<prop::sample::Index>(), nasty(), 0_u8..4), 0..4)),
            1..24,
        )
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let served = Served::with_table().await;
            let seeds = seeds();
            for id in [1, 2] {
                served.snapshot(id, id, LOCATION).await;
            }
            let (_, view) = seeds[4].clone();
            let mut known = view;
            known["name"] = json!("known");
            served.post("main/namespaces/pumps/views", known).await.ok();
            for (which, spoils) in requests {
                let (path, body) = which.get(&seeds).clone();
                let answer = served.post(path, spoil(body.clone(), &spoils)).await;
                assert!(answer.status < 500, "{body} {spoils:?}: {answer:?}");
                if answer.status >= 400 {
                    assert!(answer.body["error"]["message"].is_string(), "{answer:?}");
                }
            }
            served.get("main/namespaces/pumps/tables").await.ok();
        });
    }
}
