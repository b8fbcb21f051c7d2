//! Data sets from a real lake: parts, windows, fingerprints, warnings.
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use catalog::ErrorKind;
use ml::{Preview, TrainSpec};

use crate::fixture::{Fixture, spec};

async fn preview(fixture: &Fixture, spec: &str) -> catalog::Result<Preview> {
    let spec = TrainSpec::from_toml(spec)?;
    ml::preview(&fixture.lake, &fixture.engine, &spec, None, 3).await
}

fn samples(preview: &Preview) -> Vec<usize> {
    preview.parts.iter().map(|part| part.samples).collect()
}

fn with(more: &str) -> String {
    let spec = spec("multi:softprob", "fault");
    spec.replace("exclude = [\"pump\"]", more)
}

#[tokio::test]
async fn every_split_deals_out_all_rows_and_trains() {
    let fixture = Fixture::new().await;
    let column = "case when ts < '2026-09-21T15:00:00Z' then 'train'
                       when ts < '2026-09-21T15:20:00Z' then null else 'test' end as part";
    for (more, column, total) in [
        ("group = [\"pump\"]", "", 2400),
        ("group = [\"pump\"]\nsplit = \"group\"", "", 2400),
        (
            "exclude = [\"pump\"]\nsplit = \"random\"\nsplit_seed = 3",
            "",
            2400,
        ),
        (
            "exclude = [\"pump\"]\nsplit = \"column\"\nsplit_column = \"part\"",
            column,
            2400 - 120 * 4,
        ),
    ] {
        let mut spec = with(more);
        if !column.is_empty() {
            spec = spec.replace("select ts,", &format!("select {column}, ts,"));
        }
        let seen = preview(&fixture, &spec).await.unwrap();
        assert_eq!(samples(&seen).iter().sum::<usize>(), total, "{more}");
        assert!(
            seen.parts[0].samples > 0 && seen.parts[2].samples > 0,
            "{more}"
        );
        let outcome = fixture.train(&spec, "main").await.unwrap();
        assert_eq!(outcome.manifest.fingerprint, seen.fingerprint, "{more}");
        let rows = outcome.manifest.lineage.rows;
        assert_eq!(rows.train as usize, seen.parts[0].samples, "{more}");
    }
}

#[tokio::test]
async fn windows_are_of_one_pump_and_judged_at_every_row() {
    let fixture = Fixture::new().await;
    let window = "group = [\"pump\"]\n[dataset.window]\nlength = 5\nstride = 10";
    let seen = preview(&fixture, &with(window)).await.unwrap();
    // Of each of four pumps: 360 rows to learn from, 90 to validate, 150 to test.
    assert_eq!(samples(&seen), [36 * 4, 90 * 4, 150 * 4]);
    assert_eq!(seen.series, 4);
    let outcome = fixture.train(&with(window), "main").await.unwrap();
    assert_eq!(outcome.manifest.signature.length, 5);
    let long = preview(
        &fixture,
        &with(&window.replace("length = 5", "length = 601")),
    )
    .await;
    let error = long.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error.message().contains("the longest series has 600"),
        "{error}"
    );
}

#[tokio::test]
async fn the_fingerprint_tells_whether_the_same_was_learned_from() {
    let fixture = Fixture::new().await;
    let plain = with("exclude = [\"pump\"]");
    let fingerprint = async |spec: &str| preview(&fixture, spec).await.unwrap().fingerprint;
    let first = fingerprint(&plain).await;
    assert_eq!(first, fingerprint(&plain).await);
    // Another text, the same rows.
    let told_otherwise = plain.replace("from pumps", "from public.nothing_here_ever");
    assert!(preview(&fixture, &told_otherwise).await.is_err());
    let same = plain.replace(
        "from pumps.telemetry",
        "from (select * from pumps.telemetry)",
    );
    assert_eq!(first, fingerprint(&same).await);
    for (from, to) in [
        ("flow_m3h,", "flow_m3h + 0.001 as flow_m3h,"),
        ("flow_m3h,", "flow_m3h as flow,"),
        ("exclude", "test_fraction = 0.2\nexclude"),
        ("exclude", "normalise = { method = \"standard\" }\nexclude"),
        ("exclude", "weights = \"balanced\"\nexclude"),
    ] {
        assert_ne!(
            first,
            fingerprint(&plain.replacen(from, to, 1)).await,
            "{to}"
        );
    }
}

/// Files are read side by side where rows do not depend on each other.
#[tokio::test]
async fn rows_of_many_files_come_in_one_order() {
    let fixture = Fixture::new().await;
    for part in 0..6 {
        let rows = crate::fixture::telemetry(600 + part * 50, 650 + part * 50);
        fixture.append("main", rows).await;
    }
    let spec = with("group = [\"pump\"]");
    let one = preview(&fixture, &spec).await.unwrap();
    for _ in 0..5 {
        assert_eq!(preview(&fixture, &spec).await.unwrap(), one);
    }
    // The same rows through an operator that needs all of them.
    let sorted = spec.replace(
        "from pumps.telemetry",
        "from pumps.telemetry order by flow_m3h",
    );
    assert_eq!(preview(&fixture, &sorted).await.unwrap(), one);
}

#[tokio::test]
async fn what_leaks_is_warned_of() {
    let fixture = Fixture::new().await;
    let clean = fixture
        .train(&with("exclude = [\"pump\"]"), "main")
        .await
        .unwrap();
    let constant = "'running' is the same in every row of the training part";
    assert_eq!(clean.warnings, [constant]);
    for (column, warning) in [
        ("length(fault) as code", "'code' alone tells the label 'y'"),
        ("null::double as empty", "'empty' has no value"),
        (
            "row_number() over (order by ts, pump) as n",
            "'n' is a whole number that differs",
        ),
    ] {
        let spec =
            with("exclude = [\"pump\"]").replace("select ts,", &format!("select ts, {column},"));
        let warnings = preview(&fixture, &spec).await.unwrap().warnings;
        assert!(
            warnings.iter().any(|w| w.starts_with(warning)),
            "{warnings:?}"
        );
    }
    let named = with("exclude = [\"pump\"]")
        .replace(
            "fault as y",
            "fault, length(fault) * flow_m3h as fault_size",
        )
        .replace("label = \"y\"", "label = \"fault\"");
    let warnings = preview(&fixture, &named).await.unwrap().warnings;
    let found = warnings
        .iter()
        .any(|w| w.contains("'fault_size' is named like the label"));
    assert!(found, "{warnings:?}");
}

/// Rows `n`, `x`, `y`, `part` from 0 on.
async fn table(fixture: &Fixture, key: &str, rows: &[(f64, Option<&str>, &str)]) {
    let numbers: Vec<i64> = (0..rows.len() as i64).collect();
    let x: Vec<f64> = rows.iter().map(|row| row.0).collect();
    let y: Vec<Option<&str>> = rows.iter().map(|row| row.1).collect();
    let part: Vec<&str> = rows.iter().map(|row| row.2).collect();
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("n", Arc::new(Int64Array::from(numbers)) as ArrayRef, true),
        ("x", Arc::new(Float64Array::from(x)), true),
        ("y", Arc::new(StringArray::from(y)), true),
        ("part", Arc::new(StringArray::from(part)), true),
    ]);
    fixture.create(key, batch.unwrap()).await;
}

fn of_table(key: &str) -> String {
    format!(
        "model = \"ml.x\"\ntrainer = \"xgboost\"\n[dataset]\nsql = \"select * from {key}\"\n\
         split = \"column\"\nsplit_column = \"part\"\nlabel = \"y\"\nexclude = [\"n\"]\n\
         [xgboost]\nobjective = \"multi:softprob\"\nrounds = 2\n"
    )
}

#[tokio::test]
async fn rows_in_both_parts_and_classes_never_learned_are_warned_of() {
    let fixture = Fixture::new().await;
    let mut rows: Vec<(f64, Option<&str>, &str)> = Vec::new();
    for at in 0..40 {
        rows.push((f64::from(at), Some(["a", "b"][at as usize % 2]), "train"));
    }
    for at in 0..10 {
        rows.push((f64::from(at), Some(["a", "b"][at as usize % 2]), "test"));
    }
    rows.push((0.5, Some("c"), "test"));
    table(&fixture, "lab.rows", &rows).await;
    let outcome = fixture.train(&of_table("lab.rows"), "main").await.unwrap();
    let all = outcome.warnings.join("\n");
    assert!(
        all.contains("90.9 % of the test samples are among those"),
        "{all}"
    );
    assert!(
        all.contains("class 'c' has 0 validation and 1 test samples"),
        "{all}"
    );
    assert!(all.contains("the validation part is empty"), "{all}");
}

#[tokio::test]
async fn data_that_cannot_be_learned_from_is_refused() {
    let fixture = Fixture::new().await;
    let row = |at: usize, part: &'static str| (at as f64, Some(["a", "b"][at % 2]), part);
    let (few, half): (Vec<_>, Vec<_>) = (
        (0..10)
            .map(|at| row(at, if at < 8 { "train" } else { "test" }))
            .collect(),
        (0..30).map(|at| row(at, "train")).collect(),
    );
    let mut odd = half.clone();
    odd.push(row(1, "Test"));
    for (key, rows, says) in [
        ("lab.few", few, "has 8 samples to learn from"),
        ("lab.half", half, "test part of the data set has no samples"),
        ("lab.odd", odd, "column 'part' holds 'Test'"),
    ] {
        table(&fixture, key, &rows).await;
        let error = fixture.train(&of_table(key), "main").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains(says), "{error}");
    }
    let weights = with("exclude = [\"pump\"]\nweights = \"column\"\nweight_column = \"w\"");
    for (weight, says) in [("-1.0", "hold -1"), ("null::double", "hold null")] {
        let spec = weights.replace("select ts,", &format!("select {weight} as w, ts,"));
        let error = fixture.train(&spec, "main").await.unwrap_err();
        assert!(error.message().contains(says), "{error}");
    }
    assert!(fixture.models("main").await.is_empty());
}
