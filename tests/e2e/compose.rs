//! `docker-compose.yml` and the Mosquitto settings beside it: what they must say, and
//! that every setting they name exists.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::checkout;

fn read(name: &str) -> String {
    std::fs::read_to_string(checkout().join(name)).unwrap()
}

fn services() -> Value {
    let compose: Value = serde_yaml_ng::from_str(&read("docker-compose.yml")).unwrap();
    compose["services"].clone()
}

/// The names that begin with `PUMPHOUSE_` in `text`.
fn settings_named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
    words
        .filter(|word| word.starts_with("PUMPHOUSE_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_services_stand_together() {
    let services = services();
    let names: Vec<_> = services
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        BTreeSet::from_iter(names),
        BTreeSet::from(["bucket", "minio", "mosquitto", "pumphouse"])
    );
    let pumphouse = &services["pumphouse"];
    assert_eq!(
        pumphouse["depends_on"]["bucket"]["condition"],
        "service_completed_successfully"
    );
    assert_eq!(
        pumphouse["depends_on"]["mosquitto"]["condition"],
        "service_healthy"
    );
    assert_eq!(
        pumphouse["environment"]["PUMPHOUSE_MQTT_URL"],
        "mqtt://mosquitto:1883"
    );
    assert_eq!(
        pumphouse["environment"]["PUMPHOUSE_LAKE_S3_ENDPOINT"],
        "http://minio:9000"
    );
    let mounts: Vec<_> = services["mosquitto"]["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount.as_str().unwrap())
        .collect();
    assert!(
        mounts
            .iter()
            .any(|mount| mount.starts_with("./docker/mosquitto.conf:")),
        "{mounts:?}"
    );
}

#[test]
fn what_listens_for_others_asks_for_a_token_and_the_secrets_must_be_chosen() {
    let environment = services()["pumphouse"]["environment"].clone();
    assert!(
        environment["PUMPHOUSE_LISTEN_FLIGHT"]
            .as_str()
            .unwrap()
            .starts_with("0.0.0.0:")
    );
    for name in ["PUMPHOUSE_AUTH_TOKEN", "PUMPHOUSE_LAKE_S3_SECRET_KEY"] {
        let value = environment[name].as_str().unwrap();
        assert!(
            value.starts_with("${") && value.contains(":?"),
            "{name}: {value}"
        );
    }
}

#[test]
fn every_setting_named_is_one_that_exists() {
    let mut known = settings_named(&read("pumphouse.example.toml"));
    // No setting, but where the set-up scripts put things.
    known.insert("PUMPHOUSE_TOOLS".to_owned());
    for file in ["docker-compose.yml", "Dockerfile"] {
        let unknown: Vec<_> = settings_named(&read(file))
            .difference(&known)
            .cloned()
            .collect();
        assert!(
            unknown.is_empty(),
            "{file} names settings that do not exist: {unknown:?}"
        );
    }
    let set = services()["pumphouse"]["environment"]
        .as_object()
        .unwrap()
        .len();
    assert!(set >= 6, "only {set} settings");
}

#[test]
fn the_broker_keeps_every_message() {
    let text = read("docker/mosquitto.conf");
    let lines: BTreeSet<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let expected = [
        "max_queued_messages 0",
        "max_inflight_messages 0",
        "persistence true",
        "persistence_location /mosquitto/data/",
        "listener 1883",
    ];
    for line in expected {
        assert!(lines.contains(line), "docker/mosquitto.conf lacks {line:?}");
    }
}
