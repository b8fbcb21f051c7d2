//! The broker inside the binary, reached in every way that its settings open.

use std::path::Path;
use std::process::Command;

use crate::harness::{Site, mosquitto, python, run};

const STREAM: &str =
    "name = \"line\"\ntopic = \"line/{machine}/telemetry\"\ntable = \"line.telemetry\"";

/// A file of users with one that `mosquitto_passwd` has written.
fn users(site: &Site) -> String {
    let file = site.path("users").display().to_string();
    run(Command::new("mosquitto_passwd").args(["-c", "-b", &file, "north", "s3cret"])).ok();
    file
}

#[test]
fn a_user_of_mosquitto_publishes_over_a_websocket() {
    let site = Site::new().stream(STREAM);
    let users = users(&site);
    let site = site.mqtt(&format!(
        "listen = \"127.0.0.1:0\"\nws_listen = \"127.0.0.1:0\"\nusers = {users:?}"
    ));
    let server = site.serve();
    let (host, port) = server.address("mqtt-ws").rsplit_once(':').unwrap();
    python(
        "mqtt_websocket.py",
        &[host, port, "north", "s3cret", "400"],
        "",
    )
    .ok();
    let sql = "select count(distinct n) as n from line.telemetry";
    server.wait_for_count(sql, 400);

    let port = server.address("mqtt").rsplit_once(':').unwrap().1;
    let topic = ["-p", port, "-t", "line/m1/telemetry", "-q", "1"];
    for login in [
        &["-u", "north", "-P", "wrong"][..],
        &["-u", "south", "-P", "s3cret"],
        &[],
    ] {
        let refused = mosquitto::publish(&[&topic[..], login].concat(), b"{\"n\": -1}");
        assert!(refused.stderr.contains("Connection Refused"), "{refused}");
    }
    server.wait_for_count(sql, 400);
}

/// A certificate for localhost, made with the tool that every machine has.
fn certificate(folder: &Path) {
    let file = |name: &str| folder.join(name).display().to_string();
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        // A certificate of its own authority is no good to rustls.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &file("key.pem"), "-out", &file("cert.pem")]))
    .ok();
}

#[test]
fn mosquittos_clients_publish_and_subscribe_over_tls() {
    let site = Site::new().stream(STREAM);
    certificate(site.folder());
    let site = site.mqtt(
        "listen = \"\"\ntls_listen = \"127.0.0.1:0\"\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"",
    );
    let server = site.serve();
    let port = server.address("mqtts").rsplit_once(':').unwrap().1;
    let ca = site.path("cert.pem").display().to_string();
    let publish = ["-h", "localhost", "-p", port, "--cafile", &ca];
    let topic = ["-t", "line/m1/telemetry", "-q", "1", "-r"];
    for (sent, version) in [(1, "mqttv311"), (2, "mqttv5")] {
        let args = [&publish[..], &topic, &["-V", version]].concat();
        mosquitto::publish(&args, b"{\"n\": 7}").ok();
        server.wait_for_count("select count(*) as n from line.telemetry", sent);
        let got = run(Command::new("mosquitto_sub")
            .args(publish)
            .args(["-V", version, "-t", "line/#", "-C", "1", "-W", "120"]));
        assert_eq!(got.ok(), "{\"n\": 7}\n", "the retained one");
    }
    let refused = mosquitto::publish(&[&["-p", port], &topic[..]].concat(), b"{}");
    assert!(!refused.stderr.is_empty(), "without TLS: {refused}");
}

#[test]
fn an_address_for_everybody_needs_users() {
    let site = Site::new().mqtt("listen = \"0.0.0.0:0\"");
    site.pumphouse(&["serve"])
        .refused("invalid-input", &["mqtt.listen", "mosquitto_passwd"]);
    let site = site.mqtt("listen = \"0.0.0.0:0\"\nusers = \"nowhere\"");
    site.pumphouse(&["serve"])
        .refused("invalid-input", &["nowhere"]);
}
