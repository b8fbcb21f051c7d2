//! Dead letters seen and sent again by the real command, killed on the way.

use std::fmt::Write;
use std::process::Stdio;
use std::time::Duration;

use rand::Rng;
use serde_json::json;

use crate::harness::Site;

#[test]
fn letters_become_rows_once_their_stream_is_there_whatever_is_killed() {
    let letters = 3_000;
    let site = Site::new();
    let server = site.serve();
    let mut text = "rig,n\n".to_owned();
    for n in 0..letters {
        writeln!(text, "r{},{n}", n % 7).unwrap();
    }
    site.file("a.csv", text);
    let url = format!("mqtt://{}", server.address("mqtt"));
    site.pumphouse(&[
        "load",
        "a.csv",
        "--topic",
        "rigs/{rig}/telemetry",
        "--broker",
        &url,
    ])
    .ok();
    let dead = "select count(*) as n from ingest.dead_letters";
    server.wait_for_count(dead, letters);
    server.stop();

    let listed = site
        .pumphouse(&["deadletters", "list", "--json", "--limit", "2"])
        .json();
    assert_eq!(listed["letters"], json!(letters));
    assert_eq!(listed["newest"].as_array().unwrap().len(), 2);
    assert!(
        listed["reasons"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("no stream")
    );

    let site = site
        .stream("name = \"rigs\"\ntopic = \"rigs/{rig}/telemetry\"\ntable = \"rigs.telemetry\"");
    let dry = site.pumphouse(&["deadletters", "replay", "--dry-run"]);
    assert!(
        dry.ok()
            .contains("3000 of 3000 dead letters would be mended"),
        "{dry}"
    );
    let mut replay = site.command(&["deadletters", "replay"]);
    replay
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for _ in 0..6 {
        let mut child = replay.spawn().unwrap();
        let life = rand::rng().random_range(50..1500);
        // Not to wait for anything: the moment of the kill is what the test varies.
        std::thread::sleep(Duration::from_millis(life));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    site.pumphouse(&["deadletters", "replay"]).ok();
    let rows = "select count(*) as n, count(distinct n) as d from rigs.telemetry";
    let rows = site
        .pumphouse(&["sql", "--local", "--format", "json", rows])
        .json();
    assert_eq!(rows, json!([{"n": letters, "d": letters}]));
    assert_eq!(
        site.pumphouse(&["deadletters", "list"]).ok().trim(),
        "no dead letters"
    );
}
