//! Streams given by HTTP and changed in the configuration file while the binary runs, kept over
//! restarts and kills.

use serde_json::{Value, json};

use crate::harness::{Server, Site, mosquitto, wait_for};

const STREAM: &str = r#"name = "pumps"
topic = "pumps/{site}/{pump}/telemetry"
table = "pumps.telemetry"
"#;

fn publish(server: &Server, topic: &str, numbers: std::ops::Range<u32>) {
    let port = server.address("mqtt").rsplit_once(':').unwrap().1;
    for n in numbers {
        let payload = json!({"n": n, "motor": {"temp": 70.5, "parts": [n]}}).to_string();
        let args = ["-p", port, "-q", "1", "-t", topic];
        mosquitto::publish(&args, payload.as_bytes()).ok();
    }
}

fn rigs() -> Value {
    json!({"name": "rigs", "topic": "rigs/{rig}/state", "table": "rigs.state",
        "partition": ["rig"], "nested": "struct"})
}

fn count(table: &str) -> String {
    format!("select count(*) as n from {table}")
}

#[test]
fn a_stream_given_by_http_takes_messages_at_once_and_after_a_kill() {
    let site = Site::new().stream(STREAM);
    let server = site.serve();
    publish(&server, "rigs/r0/state", 0..2);
    server.wait_for_count(&count("ingest.dead_letters"), 2);
    let made = server.ask("POST", "/v1/streams", Some(&rigs()));
    assert_eq!((made.status, &made.body["source"]), (201, &json!("http")));
    publish(&server, "rigs/r1/state", 0..4);
    server.wait_for_count(&count("rigs.state"), 4);
    server.kill();

    let server = site.serve();
    server.wait_for_count(&count("rigs.state"), 4);
    publish(&server, "rigs/r2/state", 4..6);
    server.wait_for_count(&count("rigs.state"), 6);
    server.wait_for_count(&count("ingest.dead_letters"), 2);
    let temps = "select rig, sum(motor.temp) as temp, max(motor['parts'][1]) as part \
                 from rigs.state group by rig order by rig";
    let expected = [
        json!({"rig": "r1", "temp": 282.0, "part": 3.0}),
        json!({"rig": "r2", "temp": 141.0, "part": 5.0}),
    ];
    assert_eq!(server.sql(temps).unwrap(), expected);
    let gone = server.ask("DELETE", "/v1/streams/rigs", None);
    assert_eq!(gone.status, 204);
    publish(&server, "rigs/r1/state", 6..7);
    server.wait_for_count(&count("ingest.dead_letters"), 3);
    server.stop();

    let server = site.serve();
    let listed = server.ask("GET", "/v1/streams", None).body;
    assert_eq!(listed["streams"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(server.ask("GET", "/v1/streams/rigs", None).status, 404);
    server.wait_for_count(&count("rigs.state"), 6);
}

#[test]
fn what_is_wrong_with_a_stream_is_answered_in_json() {
    let site = Site::new().stream(STREAM);
    let server = site.serve();
    let with = |field: &str, value: Value| {
        let mut stream = rigs();
        stream[field] = value;
        if field == "topic" {
            stream["partition"] = json!([]);
        }
        stream
    };
    for (stream, status, part) in [
        (json!({"name": "x"}), 400, "topic"),
        (with("tabel", json!("a.b")), 400, "tabel"),
        (with("topic", json!("rigs/{rig")), 400, "rigs/{rig"),
        (
            with("table", json!("ingest.dead_letters")),
            400,
            "dead-letter",
        ),
        (with("partition", json!(["day(rig)"])), 400, "day(rig)"),
        (with("columns", json!({"n": "number"})), 400, "number"),
        (with("topic", json!("pumps/{a}/{b}/{c}")), 409, "pumps"),
        (with("name", json!("pumps")), 409, "configuration file"),
    ] {
        let refused = server.ask("POST", "/v1/streams", Some(&stream));
        assert_eq!(refused.status, status, "{stream}: {}", refused.body);
        let message = refused.body["message"].as_str().unwrap();
        assert!(message.contains(part), "{stream}: {message}");
        assert!(refused.body["code"].is_string());
    }
    assert_eq!(server.ask("DELETE", "/v1/streams/pumps", None).status, 409);
    assert_eq!(server.ask("DELETE", "/v1/streams/rigs", None).status, 404);
    assert_eq!(server.ask("POST", "/v1/streams", Some(&rigs())).status, 201);
    assert_eq!(server.ask("POST", "/v1/streams", Some(&rigs())).status, 200);
}

#[test]
fn an_edit_of_the_configuration_applies_and_a_broken_one_is_told() {
    let site = Site::new().stream(STREAM);
    let text = std::fs::read_to_string(site.path("pumphouse.toml")).unwrap();
    let server = site.serve();
    publish(&server, "pumps/north/p1/telemetry", 0..1);
    server.wait_for_count(&count("pumps.telemetry"), 1);
    let added =
        "\n[[stream]]\nname = \"rigs\"\ntopic = \"rigs/{rig}/state\"\ntable = \"rigs.state\"\n";
    site.file("pumphouse.toml", format!("{text}{added}"));
    wait_for("the new stream", || {
        match server.ask("GET", "/v1/streams/rigs", None).status {
            200 => Ok(()),
            status => Err(status.to_string()),
        }
    });
    publish(&server, "rigs/r1/state", 0..3);
    server.wait_for_count(&count("rigs.state"), 3);

    site.file(
        "pumphouse.toml",
        format!("{text}\n[[stream]]\nname = \"half\"\n"),
    );
    wait_for("the broken edit is told", || {
        match server.metric("pumphouse_configuration_broken")? {
            1 => Ok(()),
            other => Err(other.to_string()),
        }
    });
    let health = server.health("/health");
    let told = health.body["configuration_error"].as_str().unwrap();
    assert!(told.contains("pumphouse.toml:"), "{told}");
    assert_eq!(health.status, 200);
    publish(&server, "rigs/r1/state", 3..4);
    wait_for("a row of the streams before", || {
        match server.metric("pumphouse_ingest_rows_total")? {
            5 => Ok(()),
            rows => Err(format!("{rows} rows")),
        }
    });

    site.file("pumphouse.toml", &text);
    wait_for("the edit is mended", || {
        match server.metric("pumphouse_configuration_broken")? {
            0 => Ok(()),
            other => Err(other.to_string()),
        }
    });
    server.wait_for_count(&count("rigs.state"), 4);
    publish(&server, "rigs/r1/state", 4..5);
    server.wait_for_count(&count("ingest.dead_letters"), 1);
    server.stop();
}
