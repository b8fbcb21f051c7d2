//! A data set is shown before anything is trained on it.

use std::fmt::Write as _;

use crate::harness::Site;

/// A lake with 300 readings of three pumps; `code` is the label in another form.
fn site() -> Site {
    let site = Site::new();
    let mut csv = String::from("ts,pump,pressure,flow,code,fault\n");
    for step in 0..100 {
        for pump in 0..3 {
            let fault = ["none", "leak"][usize::from((step / 5 + pump) % 4 == 0)];
            let code = if fault == "leak" { 17 } else { 4 };
            let (pressure, flow) = (4.0 + f64::from(step as u32 % 7), 30 + step * 7 % 11);
            let time = format!("2026-11-02T{:02}:{:02}:00Z", step / 60, step % 60);
            let pressure = if step % 10 == 0 {
                String::new()
            } else {
                pressure.to_string()
            };
            let _ = writeln!(csv, "{time},p{pump},{pressure},{flow},{code},{fault}");
        }
    }
    let file = site.file("readings.csv", csv);
    let file = file.to_str().unwrap();
    site.pumphouse(&["load", file, "--table", "pumps.telemetry", "--yes"])
        .ok();
    site
}

const SPEC: &str = r#"model = "ml.fault"
trainer = "xgboost"
[dataset]
sql = "select * from pumps.telemetry"
time = "ts"
label = "fault"
group = ["pump"]
[xgboost]
objective = "binary:logistic"
rounds = 3
"#;

#[test]
fn a_preview_shows_parts_balance_features_rows_and_what_leaks() {
    let site = site();
    let spec = site.file("spec.toml", SPEC);
    let spec = spec.to_str().unwrap();
    let page = site.pumphouse(&["dataset", "preview", spec, "--rows", "2"]);
    let page = page.ok();
    println!("{page}");
    for shown in [
        "data set of ml.fault",
        "binary of fault",
        "PART",
        "validation",
        "2026-11-02T",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let warned = "'code' alone tells the label 'fault'";
    assert!(page.contains(warned), "{page}");

    let json = site
        .pumphouse(&["dataset", "preview", spec, "--json"])
        .json();
    let samples: Vec<_> = (0..3)
        .map(|at| json["parts"][at]["samples"].as_u64().unwrap())
        .collect();
    assert_eq!(samples, [180, 45, 75]);
    assert_eq!(json["features"][0]["name"], "pressure");
    let missing = json["features"][0]["missing"].as_f64().unwrap();
    assert!((missing - 0.1).abs() < 0.01, "{missing}");
    assert_eq!(json["features"][1]["values"]["min"], 30.0);
    assert_eq!(json["rows"].as_array().unwrap().len(), 5);
    let of_classes = &json["parts"][0]["classes"];
    assert_eq!(of_classes[0][0], "leak");
    assert_eq!(
        of_classes[0][1].as_u64().unwrap() + of_classes[1][1].as_u64().unwrap(),
        180
    );

    // The model knows the data set it was shown, and training warns as well.
    let trained = site.pumphouse(&["train", spec, "--branch", "main"]);
    trained.ok();
    assert!(trained.stderr.contains(warned), "{trained}");
    let models = site.pumphouse(&["models", "--json"]).json();
    assert_eq!(json["fingerprint"].as_str().unwrap().len(), 64);
    assert_eq!(models[0]["manifest"]["fingerprint"], json["fingerprint"]);
}

#[test]
fn a_preview_reads_the_ref_it_is_told_and_says_what_is_wrong() {
    let site = site();
    let spec = site.file("spec.toml", SPEC);
    let spec = spec.to_str().unwrap();
    site.pumphouse(&["branch", "create", "exp"]).ok();
    let more = site.file(
        "more.csv",
        "ts,pump,pressure,flow,code,fault\n2026-11-03T00:00:00Z,p1,1,1,4,none\n",
    );
    let more = more.to_str().unwrap();
    let load = [
        "load",
        more,
        "--table",
        "pumps.telemetry",
        "--branch",
        "exp",
        "--yes",
    ];
    site.pumphouse(&load).ok();
    let rows = |reference: &str| {
        let args = ["dataset", "preview", spec, "--ref", reference, "--json"];
        let json = site.pumphouse(&args).json();
        (0..3)
            .map(|at| json["parts"][at]["samples"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!((rows("main"), rows("exp")), (300, 301));
    site.pumphouse(&["dataset", "preview", spec, "--ref", "nowhere"])
        .refused("not-found", &["nowhere"]);
    let ten = SPEC.replace("pumps.telemetry", "pumps.telemetry limit 10");
    let ten = site.file("ten.toml", ten);
    site.pumphouse(&["dataset", "preview", ten.to_str().unwrap()])
        .refused("invalid-input", &["samples to learn from", "hint: "]);
}
