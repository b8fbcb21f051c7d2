//! The broker inside the binary, used by the common command-line clients.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::{PATIENCE, Server, Site, mosquitto, wait_for};

const STREAM: &str = r#"name = "pumps"
topic = "pumps/{site}/{pump}/telemetry"
table = "pumps.telemetry"
"#;

fn publish(server: &Server, args: &[&str], payload: &str) {
    let (host, port) = server.address("mqtt").rsplit_once(':').unwrap();
    assert_eq!(host, "127.0.0.1");
    mosquitto::publish(&[&["-p", port], args].concat(), payload.as_bytes()).ok();
}

#[test]
fn both_protocol_versions_and_both_qualities_arrive() {
    let site = Site::new().stream(STREAM);
    let server = site.serve();
    let mut expected = Vec::new();
    for version in ["mqttv311", "mqttv5"] {
        for qos in ["0", "1"] {
            let pump = format!("{version}-qos{qos}");
            let topic = format!("pumps/north/{pump}/telemetry");
            let payload = r#"{"ts": "2026-01-01T00:00:00Z", "pressure": 2.5}"#;
            publish(&server, &["-V", version, "-q", qos, "-t", &topic], payload);
            expected.push(json!({"pump": pump, "site": "north", "pressure": 2.5}));
        }
    }
    server.wait_for_count("select count(*) as n from pumps.telemetry", 4);
    let rows = server
        .sql("select pump, site, pressure from pumps.telemetry order by pump")
        .unwrap();
    assert_eq!(rows, expected);
}

#[test]
fn a_subscriber_receives_what_is_published() {
    let site = Site::new().stream(STREAM);
    let server = site.serve();
    for version in ["mqttv311", "mqttv5"] {
        let port = server.address("mqtt").rsplit_once(':').unwrap().1;
        let patience = PATIENCE.as_secs().to_string();
        let mut subscriber = Command::new("mosquitto_sub")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                port,
                "-V",
                version,
                "-q",
                "1",
                "-v",
            ])
            .args(["-t", "pumps/+/p1/telemetry", "-C", "1", "-W", &patience])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It does not say when it has subscribed: publish until it has what it waits for.
        wait_for("the subscriber to receive a message", || {
            publish(
                &server,
                &["-q", "1", "-t", "pumps/north/p1/telemetry"],
                r#"{"pressure": 2}"#,
            );
            subscriber
                .try_wait()
                .unwrap()
                .ok_or_else(|| "it waits".to_owned())
        });
        let output = subscriber.wait_with_output().unwrap();
        assert!(output.status.success(), "{version}: {output:?}");
        assert_eq!(
            output.stdout, b"pumps/north/p1/telemetry {\"pressure\": 2}\n",
            "{version}"
        );
    }
}

/// What a small Mosquitto with persistence would keep: sessions, what waits for them, retained
/// messages.
#[test]
fn what_waits_for_an_absent_subscriber_survives_a_kill() {
    let site = Site::new().stream(STREAM);
    let server = site.serve();
    let subscribe = |server: &Server, args: &[&str]| {
        let port = server.address("mqtt").rsplit_once(':').unwrap().1;
        let session = [
            "-p", port, "-V", "mqttv5", "-i", "s", "-c", "-x", "600", "-q", "2",
        ];
        let output = Command::new("mosquitto_sub")
            .args(session)
            .args(["-t", "pumps/#", "-F", "%q %r %p"])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    subscribe(&server, &["-E"]);
    let topic = "pumps/north/p1/telemetry";
    for qos in ["1", "2"] {
        let payload = format!("{{\"pressure\": {qos}}}");
        publish(&server, &["-q", qos, "-t", topic], &payload);
    }
    publish(&server, &["-q", "1", "-r", "-t", "pumps/kept"], "k");
    server.kill();
    let server = site.serve();
    let patience = PATIENCE.as_secs().to_string();
    let got = subscribe(&server, &["-C", "4", "-W", &patience]);
    let mut lines: Vec<&str> = got.lines().collect();
    // The retained message comes once more, since the client subscribes again.
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "1 0 k",
            "1 0 {\"pressure\": 1}",
            "1 1 k",
            "2 0 {\"pressure\": 2}"
        ]
    );
    server.wait_for_count("select count(*) as n from pumps.telemetry", 2);
}
