//! Branches, merges and the log from the command line, and how they fail.

use serde_json::Value;

use crate::harness::{Site, run, skab};
use crate::replay::COUNT;

fn names(site: &Site) -> Vec<Value> {
    let list = site.pumphouse(&["branch", "list", "--json"]).json();
    list.as_array()
        .unwrap()
        .iter()
        .map(|branch| branch["name"].clone())
        .collect()
}

#[test]
fn branches_are_created_listed_and_deleted() {
    let site = Site::new();
    assert_eq!(names(&site), ["main"]);
    site.pumphouse(&["branch", "create", "exp"]).ok();
    site.pumphouse(&["branch", "create", "team/try-2", "--from", "exp"])
        .ok();
    assert_eq!(names(&site), ["exp", "main", "team/try-2"]);
    assert_eq!(
        site.pumphouse(&["merge", "exp"]).ok(),
        "main already has all of exp\n"
    );
    site.pumphouse(&["branch", "delete", "exp"]).ok();
    assert_eq!(names(&site), ["main", "team/try-2"]);
    // A name can be used again.
    site.pumphouse(&["branch", "create", "exp"]).ok();
    assert_eq!(names(&site), ["exp", "main", "team/try-2"]);
}

#[test]
fn mistakes_are_refused_with_their_codes() {
    let site = Site::new();
    site.pumphouse(&["branch", "create", "exp"]).ok();
    site.pumphouse(&["branch", "create", "exp"])
        .refused("already-exists", &["exp"]);
    site.pumphouse(&["branch", "create", "x", "--from", "nowhere"])
        .refused("not-found", &["nowhere"]);
    site.pumphouse(&["branch", "create", "a@b"])
        .refused("invalid-input", &["a@b"]);
    site.pumphouse(&["branch", "delete", "main"])
        .refused("invalid-input", &["main"]);
    site.pumphouse(&["branch", "delete", "nowhere"])
        .refused("not-found", &["nowhere"]);
    site.pumphouse(&["merge", "nowhere"])
        .refused("not-found", &["nowhere", "exp"]);
    site.pumphouse(&["merge", "exp", "--into", "nowhere"])
        .refused("not-found", &["nowhere"]);
    site.pumphouse(&["log", "nowhere"])
        .refused("not-found", &["nowhere"]);
    site.pumphouse(&["log", "main@00000000"])
        .refused("not-found", &["00000000"]);
    assert_eq!(names(&site), ["exp", "main"]);
}

#[test]
fn a_branch_and_a_past_commit_do_not_move_with_main() {
    let site = Site::new().stream(skab::STREAM);
    let files = skab::files(site.folder());
    let (first, both) = (skab::row_count(&files[..1]), skab::row_count(&files[..2]));
    let server = site.serve();
    run(&mut site.replay(&server.mqtt_url(), skab::TOPIC, &files[..1])).ok();
    server.wait_for_count(COUNT, first);
    server.stop();
    site.pumphouse(&["branch", "create", "exp"]).ok();
    let log = site.pumphouse(&["log", "-n", "1", "--json"]).json();
    let commit = log[0]["id"].as_str().unwrap();

    let server = site.serve();
    run(&mut site.replay(&server.mqtt_url(), skab::TOPIC, &files[1..2])).ok();
    server.wait_for_count(COUNT, both);
    let count = |reference: &str| {
        let sql = format!("select count(*) as n from {reference}.rigs.telemetry");
        server.sql(&sql).unwrap()[0]["n"].as_u64().unwrap()
    };
    assert_eq!(count("exp"), first);
    assert_eq!(count(&format!("\"main@{commit}\"")), first);
    assert_eq!(count(&format!("\"main@{}\"", &commit[..12])), first);
    assert_eq!(count("main"), both);
    server.stop();

    let local = ["sql", "--local", "--format", "json", "--ref", "exp", COUNT];
    assert_eq!(site.pumphouse(&local).json()[0]["n"], first);
    let log = site
        .pumphouse(&["log", "main", "--json", "-n", "1000"])
        .json();
    let generations: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|commit| commit["generation"].as_u64().unwrap())
        .collect();
    let expected: Vec<_> = (0..generations.len() as u64).rev().collect();
    assert_eq!(generations, expected, "newest first, down to the root");
}
