//! A model lives on the branch it was trained on until a merge promotes it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Server, Site, files_under, python, run, skab};
use crate::replay::COUNT;

const PREDICT: &str =
    "select * from rigs.telemetry where rig = 'valve1-3' order by datetime limit 20";

/// The spec of a model that finds the anomalies, trained on the rows at `reference`.
fn spec(site: &Site, reference: &str, depth: u32) -> PathBuf {
    let text = format!(
        r#"model = "ml.valve_fault"
trainer = "xgboost"

[dataset]
sql = "select * from rigs.telemetry"
ref = "{reference}"
time = "datetime"
label = "anomaly"
exclude = ["rig", "changepoint"]

[xgboost]
objective = "binary:logistic"
rounds = 20
max_depth = {depth}
subsample = 0.8
seed = 7
"#
    );
    site.file("valve_fault.toml", text)
}

fn train(site: &Site, spec: &Path, branch: &str) {
    println!(
        "{}",
        site.pumphouse(&["train", spec.to_str().unwrap(), "--branch", branch])
            .ok()
    );
}

fn site_with_rows(runs: usize) -> Site {
    let site = Site::new().stream(skab::STREAM);
    let files = skab::files(site.folder());
    let server = site.serve();
    publish(
        &site,
        &server,
        &files[..runs],
        skab::row_count(&files[..runs]),
    );
    server.stop();
    site
}

fn publish(site: &Site, server: &Server, files: &[PathBuf], total: u64) {
    run(&mut site.replay(&server.mqtt_url(), skab::TOPIC, files)).ok();
    server.wait_for_count(COUNT, total);
}

fn models(site: &Site, reference: &str) -> Vec<Value> {
    let models = site
        .pumphouse(&["models", "--ref", reference, "--json"])
        .json();
    models
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["key"].clone())
        .collect()
}

/// Status and body that `POST /v1/predict` answers for one row.
fn post(server: &Server) -> Value {
    let row = json!({
        "Accelerometer1RMS": 0.0266, "Accelerometer2RMS": 0.0401, "Current": 1.33,
        "Pressure": 0.05, "Temperature": 79.0, "Thermocouple": 26.0, "Voltage": 233.0,
        "Volume Flow RateRMS": 32.0,
    });
    let request = json!({"model": "ml.valve_fault", "rows": [row]}).to_string();
    let url = format!("http://{}/v1/predict", server.address("http"));
    python("post_json.py", &[&url], &request).json()
}

#[test]
fn a_model_shows_on_main_only_after_the_merge() {
    let site = site_with_rows(4);
    let server = site.serve();
    site.pumphouse(&["branch", "create", "exp"]).ok();
    train(&site, &spec(&site, "main", 4), "exp");

    let predict = [
        "predict",
        "ml.valve_fault",
        "--sql",
        PREDICT,
        "--format",
        "json",
    ];
    assert_eq!(models(&site, "exp"), ["ml.valve_fault"]);
    assert!(models(&site, "main").is_empty());
    site.pumphouse(&predict)
        .refused("not-found", &["ml.valve_fault"]);
    let answer = post(&server);
    assert_eq!(
        (&answer["status"], &answer["body"]["code"]),
        (&json!(404), &json!("not-found"))
    );

    // Rows that arrive on main meanwhile make it a real merge.
    let files = skab::files(site.folder());
    publish(&site, &server, &files[4..5], skab::row_count(&files[..5]));
    server.stop();
    assert!(
        site.pumphouse(&["merge", "exp"])
            .ok()
            .starts_with("merged exp into main")
    );

    assert_eq!(models(&site, "main"), ["ml.valve_fault"]);
    let predicted = site.pumphouse(&predict).json();
    assert_eq!(predicted.as_array().unwrap().len(), 20);
    let server = site.serve();
    let answer = post(&server);
    assert_eq!(answer["status"], 200, "{answer}");
    assert_eq!(
        answer["body"]["predictions"].as_array().unwrap().len(),
        1,
        "{answer}"
    );
    server.wait_for_count(COUNT, skab::row_count(&files[..5]));
}

#[test]
fn the_same_commit_and_seed_give_the_same_bytes() {
    let site = site_with_rows(4);
    let head = site.pumphouse(&["log", "-n", "1", "--json"]).json();
    let pinned = format!("main@{}", head[0]["id"].as_str().unwrap());
    let spec_file = spec(&site, &pinned, 4);
    let objects = |site: &Site| -> Vec<(PathBuf, Vec<u8>)> {
        let files = files_under(&site.lake().join("ml/valve_fault"));
        files
            .into_iter()
            .map(|file| (file.clone(), std::fs::read(file).unwrap()))
            .collect()
    };

    site.pumphouse(&["branch", "create", "first"]).ok();
    train(&site, &spec_file, "first");
    let first = objects(&site);
    assert!(first.len() >= 2, "a model and its manifest: {first:?}");

    // Gone, so that the second training has to write them again; and main moves on.
    std::fs::remove_dir_all(site.lake().join("ml/valve_fault")).unwrap();
    site.pumphouse(&["branch", "create", "second"]).ok();
    let server = site.serve();
    let files = skab::files(site.folder());
    publish(&site, &server, &files[4..5], skab::row_count(&files[..5]));
    server.stop();
    train(&site, &spec_file, "second");
    assert!(
        objects(&site) == first,
        "the second training gave other files or bytes"
    );

    // A different model, to see that the comparison can fail.
    train(&site, &spec(&site, &pinned, 2), "second");
    assert!(objects(&site) != first);
}

#[test]
fn two_branches_with_different_models_conflict() {
    let site = site_with_rows(4);
    for (branch, depth) in [("shallow", 2), ("deep", 6)] {
        site.pumphouse(&["branch", "create", branch]).ok();
        train(&site, &spec(&site, "main", depth), branch);
    }
    assert!(
        site.pumphouse(&["merge", "shallow"])
            .ok()
            .starts_with("fast-forwarded main")
    );
    site.pumphouse(&["merge", "deep"])
        .refused("conflict", &["ml.valve_fault"]);
    let manifest = |reference| {
        site.pumphouse(&["models", "--ref", reference, "--json"])
            .json()
    };
    assert_eq!(manifest("main"), manifest("shallow"));
}

/// The manifest of the model that serves on `reference`, and its bytes.
fn serving(site: &Site, reference: &str) -> (String, Vec<u8>) {
    let models = site
        .pumphouse(&["models", "--ref", reference, "--json"])
        .json();
    let location = models[0]["manifest_location"].as_str().unwrap().to_owned();
    let file = location.rsplit('/').next().unwrap();
    let path = site.lake().join("ml/valve_fault/models").join(file);
    (location, std::fs::read(path).unwrap())
}

#[test]
fn a_promoted_model_is_looked_into_and_rolled_back_bit_for_bit() {
    let site = site_with_rows(4);
    train(&site, &spec(&site, "main", 2), "main");
    let champion = serving(&site, "main");
    site.pumphouse(&["branch", "create", "exp"]).ok();
    train(&site, &spec(&site, "main", 6), "exp");
    let challenger = serving(&site, "exp");

    let output = site.pumphouse(&["models", "show", "ml.valve_fault", "--ref", "exp"]);
    let shown = output.ok();
    println!("{shown}");
    for part in [
        "trained by",
        "max_depth",
        "train logloss",
        "brier",
        "select * from",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let both = ["ml.valve_fault", "ml.valve_fault@exp"];
    let output = site.pumphouse(&["models", "compare", both[0], both[1]]);
    let compared = output.ok();
    println!("{compared}");
    let depth = compared.lines().find(|line| line.contains("max_depth"));
    assert!(depth.unwrap().ends_with("+4"), "{compared}");

    let promote = ["models", "promote", "ml.valve_fault", "--from", "exp"];
    let output = site.pumphouse(&[&promote[..], &["--dry-run"]].concat());
    let trial = output.ok();
    assert!(trial.starts_with("would "), "{trial}");
    assert_eq!(serving(&site, "main"), champion);
    println!("{}", site.pumphouse(&promote).ok());
    assert_eq!(serving(&site, "main"), challenger);

    let history = ["models", "history", "ml.valve_fault"];
    println!("{}", site.pumphouse(&history).ok());
    let versions = site.pumphouse(&[&history[..], &["--json"]].concat()).json();
    assert_eq!(versions.as_array().unwrap().len(), 2, "{versions}");

    let rollback = ["models", "rollback", "ml.valve_fault"];
    let output = site.pumphouse(&[&rollback[..], &["--dry-run"]].concat());
    let trial = output.ok();
    assert!(trial.starts_with("would roll"), "{trial}");
    println!("{}", site.pumphouse(&rollback).ok());
    assert_eq!(serving(&site, "main"), champion);
    // Both runs are still told of.
    let runs = "select count(*) as runs from ml.runs";
    let runs = site
        .pumphouse(&["sql", "--local", "--format", "json", runs])
        .json();
    assert_eq!(runs[0]["runs"], 2, "{runs}");
    site.pumphouse(&["models", "show", "ml.other"])
        .refused("not-found", &["ml.valve_fault"]);
    site.pumphouse(&rollback)
        .refused("not-found", &["no other model"]);
}
