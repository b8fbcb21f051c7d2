//! Another implementation, PyIceberg, reads the same table at every step.

use serde_json::Value;

use crate::harness::{Ceph, Mosquitto, Server, Site, python, run, skab};
use crate::replay::COUNT;

/// A commit's hash, and the metadata file of `rigs.telemetry` that is current at it.
pub(crate) type CommitOfTable = (String, String);

#[test]
fn pyiceberg_reads_the_same_after_every_tenth_commit() {
    let broker = Mosquitto::start();
    let site = Site::new()
        .behind(&broker)
        .stream(skab::STREAM)
        .ingest("flush_rows = 100\nflush_interval = \"100ms\"");
    let files = skab::files(site.folder());
    let server = site.serve();
    broker.wait_for_subscription(skab::FILTER);
    run(site
        .replay(&broker.url(), skab::TOPIC, &files)
        .args(["--rate", "1000"]))
    .ok();
    server.wait_for_count(COUNT, skab::row_count(&files));
    server.stop();

    let commits = commits(&site);
    assert!(commits.len() >= 30, "only {} commits", commits.len());
    let mut chosen: Vec<_> = commits.iter().step_by(10).cloned().collect();
    chosen.push(commits.last().unwrap().clone());
    compare(&site.serve(), &chosen, &[]);
}

/// The commits of `main` since `rigs.telemetry` is there, oldest first.
pub(crate) fn commits(site: &Site) -> Vec<CommitOfTable> {
    let log = site
        .pumphouse(&["log", "main", "--json", "-n", "1000000"])
        .json();
    let mut location = None;
    let mut commits = Vec::new();
    for commit in log.as_array().unwrap().iter().rev() {
        for operation in commit["operations"].as_array().unwrap() {
            if operation["put"] == "rigs.telemetry" {
                location = operation["content"]["metadata_location"].as_str();
            }
        }
        if let (Some(location), Value::String(id)) = (location, &commit["id"]) {
            commits.push((id.clone(), location.to_owned()));
        }
    }
    commits
}

/// Compares rows and column sums at each of `commits`.
pub(crate) fn compare(server: &Server, commits: &[CommitOfTable], properties: &[String]) {
    let input: String = commits
        .iter()
        .map(|(id, location)| format!("{id} {location}\n"))
        .collect();
    let mut args = vec![server.address("flight"), "rigs.telemetry"];
    args.extend(properties.iter().map(String::as_str));
    println!("{}", python("compare_iceberg.py", &args, &input).ok());
}

/// How PyIceberg reaches Ceph.
pub(crate) fn s3_properties(ceph: &Ceph) -> Vec<String> {
    vec![
        format!("s3.endpoint={}", ceph.endpoint),
        format!("s3.region={}", ceph.region),
        format!("s3.access-key-id={}", ceph.access_key),
        format!("s3.secret-access-key={}", ceph.secret_key),
    ]
}
