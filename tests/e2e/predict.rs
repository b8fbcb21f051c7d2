//! Predictions over HTTP and in SQL, as a client meets them: answers, mistakes, a promotion.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::{Page, Server, Site, exchange, run, wait_for};

const STREAM: &str = r#"name = "pumps"
topic = "pumps/{site}/{pump}/telemetry"
table = "pumps.telemetry"
"#;
const COUNT: &str = "select count(*) as n from pumps.telemetry";
const FEATURES: [&str; 3] = ["pressure_bar", "flow_m3h", "vibration_mm_s"];

/// A site whose pumps send to `pumps.telemetry`.
pub(crate) fn site() -> Site {
    Site::new().stream(STREAM)
}

/// Has six pumps send `count` readings, a second apart, from `start` on.
pub(crate) fn simulate(site: &Site, server: &Server, start: &str, count: u64) {
    let (url, count) = (server.mqtt_url(), count.to_string());
    let args = ["simulate", "--broker", &url, "--pumps", "6", "--rate", "0"];
    let more = ["--start", start, "--count", &count];
    run(&mut site.command(&[&args[..], &more].concat())).ok();
}

/// Waits until so many rows are in the lake: training is another process, and sees no others.
pub(crate) fn wait_for_commit(server: &Server, rows: u64) {
    wait_for("the rows to be committed", || {
        match server.metric("pumphouse_ingest_committed_rows_total")? {
            committed if committed >= rows => Ok(()),
            committed => Err(committed.to_string()),
        }
    });
}

/// Trains what guesses the temperature from three other readings, with so many trees.
pub(crate) fn train(site: &Site, branch: &str, rounds: u32) {
    let spec = format!(
        r#"model = "ml.warmth"
trainer = "xgboost"
[dataset]
sql = "select ts, site, pump, {}, temperature_c from pumps.telemetry"
time = "ts"
label = "temperature_c"
exclude = ["site", "pump"]
[xgboost]
objective = "reg:squarederror"
rounds = {rounds}
max_depth = 3
seed = 7
"#,
        FEATURES.join(", ")
    );
    let spec = site.file("warmth.toml", spec);
    site.pumphouse(&["train", spec.to_str().unwrap(), "--branch", branch])
        .ok();
}

fn ask(server: &Server, rows: &Value) -> Page {
    let request = json!({"model": "ml.warmth", "rows": rows});
    server.ask("POST", "/v1/predict", Some(&request))
}

/// The same of a server that threads may share.
fn post(http: &str, rows: &Value) -> u16 {
    let request = json!({"model": "ml.warmth", "rows": rows}).to_string();
    let (status, _) = exchange(http, "POST", "/v1/predict", &request).unwrap();
    status
}

fn row() -> Value {
    json!({"pressure_bar": 6.0, "flow_m3h": 40.5, "vibration_mm_s": null, "note": "as it was"})
}

#[test]
fn http_and_sql_give_the_same_answers_and_say_what_is_wrong() {
    let site = site();
    let server = site.serve();
    simulate(&site, &server, "2026-03-01T00:00:00Z", 1200);
    wait_for_commit(&server, 1200);
    train(&site, "main", 8);

    let answer = ask(&server, &json!([row(), row()]));
    assert_eq!(answer.status, 200, "{}", answer.body);
    println!("{:#}", answer.body);
    let first = &answer.body["predictions"][0];
    assert_eq!(answer.body["model"], "ml.warmth");
    assert_eq!(first["note"], "as it was");
    assert_eq!(first["vibration_mm_s"], Value::Null);
    assert_eq!(first, &answer.body["predictions"][1]);
    let by_http = first["prediction"].as_f64().unwrap();
    let sql = "select predict('ml.warmth', 6, 40.5, null)['prediction'] as p";
    assert_eq!(server.sql(sql).unwrap(), [json!({"p": by_http})]);
    // Rows that no file has yet are predicted as well.
    let warm = "select count(*) as n from pumps.telemetry
        where predict('ml.warmth', pressure_bar, flow_m3h, vibration_mm_s)['prediction'] > 0";
    simulate(&site, &server, "2026-03-02T00:00:00Z", 60);
    server.wait_for_count(COUNT, 1260);
    server.wait_for_count(warm, 1260);
    let error = server.sql("select predict('ml.warmth', 1, 2)").unwrap_err();
    assert!(
        error.contains("reads 3 feature(s), and predict is given 2"),
        "{error}"
    );

    mistakes(&server);
    batches(&server, by_http);
    listed(&server);
    let failed = "pumphouse_predict_errors_total{model=\"ml.warmth\"}";
    assert!(server.metric(failed).unwrap() >= 6);
}

/// Every mistake has its code and names what is wrong, and none is a fault of the server.
fn mistakes(server: &Server) {
    let with = |name: &str, value: Value| {
        let mut row = row();
        row[name] = value;
        json!([self::row(), row])
    };
    let mut lacking = row();
    lacking.as_object_mut().unwrap().remove("flow_m3h");
    for (rows, says) in [
        (json!([]), "rows is empty"),
        (json!([row(), lacking]), "row 2 lacks 'flow_m3h'"),
        (
            with("flow_m3h", json!("high")),
            "row 2: 'flow_m3h' must be a number",
        ),
        (with("flow_m3h", json!([1])), "and is a list"),
        (with("flow_m3h", json!({"a": 1})), "and is an object"),
        (
            with("flow_m3h", json!(1e300)),
            "'flow_m3h' is infinite or beyond single precision in row 2",
        ),
        (
            with("prediction", json!(1)),
            "row 2 has a field 'prediction'",
        ),
    ] {
        let answer = ask(server, &rows);
        assert_eq!(answer.status, 400, "{rows}: {}", answer.body);
        assert_eq!(answer.body["code"], "invalid-input");
        let message = answer.body["message"].as_str().unwrap();
        assert!(message.contains(says), "{says}: {message}");
    }
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("[]", 400),
        (
            r#"{"model": "ml.warmth", "rows": [{"flow_m3h": NaN}]}"#,
            400,
        ),
        (
            r#"{"model": "ml.warmth", "rows": [{"flow_m3h": 1e999}]}"#,
            400,
        ),
        (r#"{"model": "ml.warmth", "rows": [7]}"#, 400),
        (r#"{"model": "warmth", "rows": [{}]}"#, 400),
        (r#"{"model": "ml.cold", "rows": [{}]}"#, 404),
        (
            r#"{"model": "ml.warmth", "ref": "nowhere", "rows": [{}]}"#,
            404,
        ),
        (r#"{"model": "pumps.telemetry", "rows": [{}]}"#, 400),
    ] {
        let answer = server.send("POST", "/v1/predict", body);
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        assert!(answer.body["code"].is_string() && answer.body["message"].is_string());
    }
}

fn batches(server: &Server, wanted: f64) {
    let good = json!({"model": "ml.warmth", "rows": [row()]});
    let bad = json!({"model": "ml.cold", "rows": [row()]});
    let many: Vec<Value> = vec![row(); 500];
    let requests =
        json!({"requests": [good, bad, {"model": "ml.warmth", "ref": "main", "rows": many}]});
    let answer = server.ask("POST", "/v1/predict/batch", Some(&requests));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let results = &answer.body["results"];
    assert_eq!(results[0]["predictions"][0]["prediction"], json!(wanted));
    assert_eq!(results[1]["error"]["code"], "not-found");
    let all = results[2]["predictions"].as_array().unwrap();
    assert_eq!(all.len(), 500);
    assert!(all.iter().all(|row| row["prediction"] == json!(wanted)));
    let none = server.ask("POST", "/v1/predict/batch", Some(&json!({"requests": []})));
    assert_eq!(none.status, 400);
}

fn listed(server: &Server) {
    let list = server.ask("GET", "/v1/models?ref=main", None).body;
    let model = &list["models"][0];
    assert_eq!(model["name"], "ml.warmth");
    assert_eq!(model["signature"]["features"][0]["name"], FEATURES[0]);
    let one = server.ask("GET", "/v1/models/ml.warmth", None).body;
    assert_eq!(one["version"], model["version"]);
    assert_eq!(one["manifest"]["model"], "ml.warmth");
    let unknown = server.ask("GET", "/v1/models/ml.cold", None);
    assert_eq!(
        (unknown.status, &unknown.body["code"]),
        (404, &json!("not-found"))
    );
    assert_eq!(
        server.ask("GET", "/v1/models?ref=nowhere", None).status,
        404
    );
}

#[test]
fn a_promoted_model_is_served_and_no_request_fails_meanwhile() {
    let site = site();
    let server = site.serve();
    simulate(&site, &server, "2026-03-01T00:00:00Z", 1200);
    wait_for_commit(&server, 1200);
    train(&site, "main", 2);
    site.pumphouse(&["branch", "create", "exp"]).ok();
    train(&site, "exp", 30);
    let version = |page: &Page| {
        assert_eq!(page.status, 200, "{}", page.body);
        page.body["version"].as_str().unwrap().to_owned()
    };
    let before = version(&ask(&server, &json!([row()])));

    let (done, http) = (AtomicBool::new(false), server.address("http"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(post(http, &json!([row(), row()])), 200);
                }
            });
        }
        site.pumphouse(&["merge", "exp"]).ok();
        let merged = std::time::Instant::now();
        wait_for("the promoted model to be served", || {
            match version(&ask(&server, &json!([row()]))) == before {
                true => Err("the old one is".to_owned()),
                false => Ok(()),
            }
        });
        println!("promoted after {:?}", merged.elapsed());
        done.store(true, Ordering::Relaxed);
    });
}
