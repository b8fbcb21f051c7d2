//! Surroundings that do not fit: each ends with exit code 1, a stable code and a hint.

use std::net::TcpListener;

use crate::harness::{Ceph, Site, free_port, run, skab};

#[test]
fn a_broken_settings_file_is_named_with_line_and_column() {
    let site = Site::new();
    let serve = |text: &str| {
        site.file("pumphouse.toml", text);
        site.pumphouse(&["serve"])
    };
    serve("[lake]\nurl = \"unfinished\n").refused("invalid-input", &["pumphouse.toml:2:"]);
    serve("[lake]\nurll = \"x\"\n")
        .refused("invalid-input", &["pumphouse.toml:2:1", "urll", "hint: "]);
    serve("[ingest]\nflush_rows = \"many\"\n").refused("invalid-input", &["pumphouse.toml:2:"]);
    site.pumphouse(&["serve", "--config", "nowhere.toml"])
        .refused("not-found", &["nowhere.toml"]);
}

#[test]
fn a_port_in_use_is_named() {
    let site = Site::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for part in ["--http", "--flight", "--mqtt"] {
        site.pumphouse(&["serve", part, &address])
            .refused("unavailable", &[&address, "hint: "]);
    }
}

#[test]
fn a_public_address_without_a_token_is_refused() {
    let site = Site::new();
    site.pumphouse(&["serve", "--flight", "0.0.0.0:0"])
        .refused("invalid-input", &["listen.flight", "PUMPHOUSE_AUTH_TOKEN"]);
}

#[test]
fn a_bucket_that_does_not_exist_is_named() {
    let ceph = Ceph {
        bucket: "no-such-bucket".to_owned(),
        ..Ceph::shared()
    };
    let site = Site::new().on_ceph(&ceph, "x");
    site.pumphouse(&["serve"])
        .refused("not-found", &["no-such-bucket", "hint: "]);
    site.pumphouse(&["log"])
        .refused("not-found", &["no-such-bucket", "hint: "]);
}

#[test]
fn a_wrong_s3_secret_is_refused_without_showing_it() {
    let ceph = Ceph {
        secret_key: "not-the-secret".to_owned(),
        ..Ceph::shared()
    };
    let site = Site::new().on_ceph(&ceph, "x");
    let finished = site.pumphouse(&["serve"]);
    finished.refused("permission-denied", &[&ceph.bucket, "hint: "]);
    assert!(!finished.stderr.contains("not-the-secret"), "{finished}");
}

#[test]
fn an_s3_store_that_does_not_answer_is_named() {
    let endpoint = format!("http://127.0.0.1:{}", free_port());
    let ceph = Ceph {
        endpoint: endpoint.clone(),
        bucket: "lake".to_owned(),
        region: "us-east-1".to_owned(),
        access_key: "key".to_owned(),
        secret_key: "secret".to_owned(),
    };
    Site::new()
        .on_ceph(&ceph, "x")
        .pumphouse(&["serve"])
        .refused("unavailable", &[&endpoint, "hint: "]);
}

#[test]
fn a_missing_xgboost_library_says_how_to_get_it() {
    let site = Site::new().stream(skab::STREAM);
    let files = skab::files(site.folder());
    let server = site.serve();
    run(&mut site.replay(&server.mqtt_url(), skab::TOPIC, &files[..1])).ok();
    server.wait_for_count(crate::replay::COUNT, skab::row_count(&files[..1]));
    server.stop();
    let spec = site.file(
        "spec.toml",
        "model = \"ml.x\"\ntrainer = \"xgboost\"\n\
         [dataset]\nsql = \"select datetime, anomaly, \\\"Pressure\\\" from rigs.telemetry\"\n\
         time = \"datetime\"\nlabel = \"anomaly\"\n\
         [xgboost]\nobjective = \"reg:squarederror\"\nrounds = 1\n",
    );
    let spec = spec.to_str().unwrap();
    let mut train = site.command(&["train", spec, "--branch", "main"]);
    train.env("PUMPHOUSE_ML_XGBOOST_LIBRARY", "/no/such/libxgboost.so");
    run(&mut train).refused("not-found", &["/no/such/libxgboost.so", "make xgboost"]);
    // Nothing is left behind by the attempt, and with the library it works.
    assert_eq!(
        site.pumphouse(&["models", "--json"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        0
    );
    site.pumphouse(&["train", spec, "--branch", "main"]).ok();
}
