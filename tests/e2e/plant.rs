//! A plant in which bearing wear changes its character after a month: nobody touches it, and
//! the model on main becomes one that knows the new kind.

use std::fmt::Write;
use std::path::PathBuf;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::harness::{Site, wait_for};

const MODEL: &str = "ml.wear";
const PUMPS: usize = 4;
const MONTH: usize = 30 * 24;
const DAYS_AFTER: usize = 20;

const SPEC: &str = r#"model = "ml.wear"
trainer = "xgboost"

[dataset]
sql = "select ts, pump, vibration, temperature, flow, worn from plant.readings"
time = "ts"
label = "worn"
group = ["pump"]
test_fraction = 0.15
validation_fraction = 0.1
feedback = true

[xgboost]
objective = "binary:logistic"
rounds = 15
max_depth = 3
seed = 7
"#;

/// Hourly readings as CSV. A worn bearing shakes in the first month; later it runs hot and
/// does not, and the plant runs warmer as a whole.
fn readings(from: usize, to: usize) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(from as u64);
    let mut noise = |spread: f64| spread * rng.random_range(-1.0..1.0);
    let mut text = "ts,pump,vibration,temperature,flow,worn\n".to_owned();
    for hour in from..to {
        for pump in 0..PUMPS {
            let worn = (hour / 12 + pump).is_multiple_of(3);
            let later = hour >= MONTH;
            let on = |condition: bool| f64::from(u8::from(condition));
            let vibration = 2.0 + 2.5 * on(worn && !later) + noise(1.0);
            let temperature = 50.0 + 8.0 * on(later) + 6.0 * on(worn && later) + noise(2.0);
            let flow = 40.0 + noise(4.0);
            let time = chrono::DateTime::from_timestamp(1_780_000_000 + hour as i64 * 3600, 0);
            let time = time.unwrap().to_rfc3339();
            writeln!(
                text,
                "{time},p{pump},{vibration:.3},{temperature:.2},{flow:.2},{worn}"
            )
            .unwrap();
        }
    }
    text
}

fn load(site: &Site, name: &str, from: usize, to: usize) {
    let file = site.file(name, readings(from, to));
    site.pumphouse(&[
        "load",
        "--table",
        "plant.readings",
        "--time",
        "ts",
        file.to_str().unwrap(),
    ])
    .ok();
}

fn rows(site: &Site, sql: &str) -> Vec<Value> {
    let rows = site
        .pumphouse(&["sql", "--local", "--format", "json", sql])
        .json();
    rows.as_array().unwrap().clone()
}

/// The manifest of the model on main and its trained bytes.
fn model(site: &Site) -> (Value, Vec<u8>) {
    let models = site
        .pumphouse(&["models", "--ref", "main", "--json"])
        .json();
    let model = models[0].clone();
    let path = model["manifest"]["artifact"]["path"].as_str().unwrap();
    let bytes = std::fs::read(site.lake().join(path)).unwrap();
    (model, bytes)
}

fn site_with_champion() -> (Site, PathBuf) {
    let site = Site::new();
    let spec = site.file("wear.toml", SPEC);
    let site = site.section(&format!(
        "[ml.monitor]\nevery = \"1s\"\n\n[[ml.retrain]]\nmodel = \"{MODEL}\"\nspec = {:?}\non = [\"drift\"]\nsamples = 300",
        spec.display().to_string()
    ));
    load(&site, "month.csv", 0, MONTH);
    site.pumphouse(&["train", spec.to_str().unwrap(), "--branch", "main"])
        .ok();
    (site, spec)
}

#[test]
fn a_plant_keeps_its_model_up_to_date_and_a_revert_takes_it_back() {
    let (site, spec) = site_with_champion();
    let champion = model(&site);
    println!("{}", site.pumphouse(&["monitor", MODEL]).ok());
    let server = site.serve();
    wait_for("a quiet look", || {
        match server.metric("pumphouse_ml_monitor_rounds_total")? {
            0 | 1 => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    });
    assert!(rows(&site, "select 1 from ml.drift where drifted").is_empty());

    load(&site, "later.csv", MONTH, MONTH + DAYS_AFTER * 24);
    wait_for("a challenger to be merged", || {
        match server.metric("pumphouse_ml_promotions_total")? {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    });
    println!("{}", site.pumphouse(&["alerts"]).ok());
    let raised = rows(
        &site,
        "select kind from ml.alerts where kind = 'drift' and state = 'raised'",
    );
    assert_eq!(raised.len(), 1, "{raised:?}");
    let done = rows(
        &site,
        "select reason, merged, lower, message, commit from ml.retraining",
    );
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!(done[0]["merged"], true, "{done:?}");
    assert!(done[0]["lower"].as_f64().unwrap() > 0.0, "{done:?}");
    assert!(
        done[0]["reason"].as_str().unwrap().contains("drift"),
        "{done:?}"
    );
    assert_ne!(model(&site).1, champion.1);
    assert_eq!(server.health("/health/ready").status, 200);

    // A label of a person, by HTTP; sent twice, it is there once.
    let label = json!({"model": MODEL, "who": "ann", "labels": [
        {"id": "1", "entity": "p0", "event_time": "2026-06-01T00:00:00Z", "label": true}]});
    assert_eq!(
        server.ask("POST", "/v1/labels", Some(&label)).body["written"],
        1
    );
    assert_eq!(
        server.ask("POST", "/v1/labels", Some(&label)).body["known"],
        1
    );
    let listed = server.ask("GET", "/v1/labels?model=ml.wear", None).body;
    assert_eq!(listed["labels"][0]["who"], "ann", "{listed}");
    let wrong = json!({"model": MODEL, "labels": [{"prediction_id": "none", "label": true}]});
    assert_eq!(server.ask("POST", "/v1/labels", Some(&wrong)).status, 404);
    server.stop();

    let merge = done[0]["commit"].as_str().unwrap();
    site.pumphouse(&["revert", merge]).ok();
    assert_eq!(model(&site), champion);

    // A worse challenger: it hardly learns, and stays on its branch.
    let feeble = SPEC
        .replace(
            "rounds = 15",
            "rounds = 1\neta = 0.01\nmin_child_weight = 1000000",
        )
        .replace("max_depth = 3", "max_depth = 1");
    site.file("wear.toml", feeble);
    let rehearsed = site.pumphouse(&["retrain", MODEL, "--dry-run"]);
    assert!(rehearsed.ok().contains("not merged"), "{rehearsed}");
    let tried = site.pumphouse(&["retrain", MODEL, "--spec", spec.to_str().unwrap()]);
    assert!(
        tried
            .ok()
            .contains("the challenger stays on retrain/ml.wear/2"),
        "{tried}"
    );
    assert_eq!(model(&site), champion);
    site.pumphouse(&["retrain", "ml.none"])
        .refused("not-found", &["ml.none"]);
}
