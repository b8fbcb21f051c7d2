//! The demo runs to its end and leaves a lake to explore.

use crate::harness::Site;

#[test]
fn the_demo_shows_the_whole_path_and_leaves_its_lake() {
    let site = Site::new();
    let folder = site.path("demo").display().to_string();
    let finished = site.pumphouse(&["demo", "--fast", "--dir", &folder]);
    let headings = [
        "One process runs everything",
        "telemetry over MQTT",
        "SQL over Arrow Flight",
        "A branch for an experiment",
        "A model is trained on the branch",
        "merging promotes the model",
        "tells a failing pump",
        "share one history",
        "What to try next",
    ];
    let mut rest = finished.ok();
    for heading in headings {
        let at = rest.find(heading);
        let at = at.unwrap_or_else(|| panic!("no {heading:?}, or not in its place:\n{finished}"));
        rest = &rest[at..];
    }

    let lake = format!("{folder}/lake");
    let ask = |args: &[&str]| site.pumphouse(&[&["--lake", &lake], args].concat()).json();
    let models = ask(&["models", "--json"]);
    assert_eq!(models[0]["key"], "ml.pump_fault", "{models}");
    let count = "select count(*) as n from pumps.telemetry";
    let rows = ask(&["sql", "--local", "--format", "json", count]);
    assert!(rows[0]["n"].as_u64().unwrap() > 1000, "{rows}");
}
