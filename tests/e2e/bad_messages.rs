//! Messages that cannot become rows: each is kept as a dead letter, and the good ones
//! before and after it land.

use serde_json::Value;

use crate::harness::{Mosquitto, Server, Site};

const ROWS: &str = "select count(*) as n from pumps.telemetry";
const DEAD: &str = "select count(*) as n from ingest.dead_letters";
const TOPIC: &str = "pumps/north/p1/telemetry";
const STREAM: &str = r#"name = "pumps"
topic = "pumps/{site}/{pump}/telemetry"
table = "pumps.telemetry"
"#;

/// Good, bad, good: the bad one must be the only dead letter, now and after a restart.
/// Returns it.
fn dead_letter(topic: &str, payload: &[u8]) -> Value {
    let broker = Mosquitto::start();
    // Subscribed to everything, so that a topic of no stream arrives at all.
    let site = Site::new()
        .behind_subscribed(&broker, "pumps/#")
        .stream(STREAM);
    let server = site.serve();
    broker.wait_for_subscription("pumps/#");
    broker.publish(
        TOPIC,
        br#"{"ts": "2026-01-01T00:00:00Z", "pressure": 2.5, "state": "on"}"#,
    );
    broker.publish(topic, payload);
    broker.publish(
        TOPIC,
        br#"{"ts": "2026-01-01T00:00:01Z", "pressure": 3, "state": "off"}"#,
    );
    let letter = check(&server);
    server.stop();
    assert!(check(&site.serve()) == letter, "the restart changed it");
    letter
}

fn check(server: &Server) -> Value {
    server.wait_for_count(ROWS, 2);
    server.wait_for_count(DEAD, 1);
    let sum = server
        .sql("select sum(pressure) as s from pumps.telemetry")
        .unwrap();
    assert_eq!(sum[0]["s"], 5.5);
    let what =
        "select topic, stream, reason, encode(payload, 'hex') as payload from ingest.dead_letters";
    let mut letters = server.sql(what).unwrap();
    letters.pop().unwrap()
}

#[track_caller]
fn assert_letter(letter: &Value, topic: &str, payload: &[u8], mention: &str) {
    assert_eq!(letter["topic"], topic);
    let reason = letter["reason"].as_str().unwrap();
    assert!(
        reason.contains(mention),
        "nothing says {mention:?}: {reason}"
    );
    let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(letter["payload"] == hex, "other bytes than were sent");
}

#[test]
fn a_message_that_is_no_json_is_a_dead_letter() {
    let payload = b"pressure is 2.5 \xff\x00";
    assert_letter(&dead_letter(TOPIC, payload), TOPIC, payload, "JSON");
}

#[test]
fn a_message_with_a_wrong_type_is_a_dead_letter() {
    let payload = br#"{"ts": "2026-01-01T00:00:00Z", "pressure": "high"}"#;
    assert_letter(&dead_letter(TOPIC, payload), TOPIC, payload, "pressure");
}

#[test]
fn a_message_of_ten_mebibytes_is_a_dead_letter() {
    let mut payload = br#"{"ts": "2026-01-01T00:00:00Z", "note": ""#.to_vec();
    payload.resize((10 << 20) - 2, b'x');
    payload.extend(br#""}"#);
    assert_letter(&dead_letter(TOPIC, &payload), TOPIC, &payload, "bytes");
}

#[test]
fn a_message_on_an_unknown_topic_is_a_dead_letter() {
    let payload = br#"{"ts": "2026-01-01T00:00:00Z", "pressure": 2.5}"#;
    let topic = "pumps/north/p1/diary";
    let letter = dead_letter(topic, payload);
    assert_letter(&letter, topic, payload, "stream");
    assert_eq!(letter["stream"], Value::Null);
}
