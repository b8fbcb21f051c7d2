//! The Iceberg REST catalog with its real clients, PyIceberg and DuckDB, and Flight SQL
//! beside them.

use std::process::Stdio;

use crate::harness::{Ceph, Server, Site, duckdb, python, run, skab};
use crate::replay::COUNT;

/// A branch `dev` that has the rows of one replayed file, whose number is returned.
fn with_branch(site: &Site) -> u64 {
    let files = skab::files(site.folder());
    let server = site.serve();
    run(&mut site.replay(&server.mqtt_url(), skab::TOPIC, &files[..1])).ok();
    let rows = skab::row_count(&files[..1]);
    server.wait_for_count(COUNT, rows);
    server.stop();
    site.pumphouse(&["branch", "create", "dev"]).ok();
    rows
}

fn pyiceberg_and_sql_agree(site: &Site, token: &[&str]) {
    with_branch(site);
    let server = site.serve();
    let (http, flight) = (server.address("http"), server.address("flight"));
    let mut args = vec![http, flight, "dev", "rigs.telemetry"];
    args.extend(token);
    python("rest_tables.py", &args, "").ok();
    assert!(
        server.sql("select * from lab.things").is_err(),
        "main has it too"
    );
}

#[test]
fn pyiceberg_works_on_a_branch_of_a_folder() {
    pyiceberg_and_sql_agree(&Site::new().stream(skab::STREAM), &[]);
}

#[test]
fn pyiceberg_works_on_a_branch_of_a_bucket_with_a_token_and_our_keys() {
    let site = Site::new()
        .stream(skab::STREAM)
        .on_ceph(&Ceph::shared(), "rest-pyiceberg")
        .section("[iceberg]\ncredentials = \"own\"\n[auth]\ntoken = \"swordfish\"");
    pyiceberg_and_sql_agree(&site, &["swordfish"]);
}

/// The rows of `lab.ducks` by SQL, after DuckDB has written and printed them.
fn duckdb_and_sql_agree(site: &Site, token: &[&str]) {
    let rows = with_branch(site).to_string();
    let server = site.serve();
    let mut args = vec![server.address("http"), "dev", "rigs.telemetry", &rows];
    args.extend(token);
    let theirs = duckdb("rest_duckdb.py", &args).json();
    server.stop();
    let sql = "select id, name from lab.ducks order by id";
    let local = ["sql", "--local", "--format", "json", "--ref", "dev", sql];
    assert_eq!(site.pumphouse(&local).json(), theirs);
}

#[test]
fn duckdb_works_on_a_branch_of_a_folder() {
    duckdb_and_sql_agree(&Site::new().stream(skab::STREAM), &[]);
}

#[test]
fn duckdb_works_on_a_branch_of_a_bucket_with_a_token_and_our_keys() {
    let site = Site::new()
        .stream(skab::STREAM)
        .on_ceph(&Ceph::shared(), "rest-duckdb")
        .section("[iceberg]\ncredentials = \"own\"\n[auth]\ntoken = \"swordfish\"");
    duckdb_and_sql_agree(&site, &["swordfish"]);
}

fn count(server: &Server, column: &str) -> u64 {
    let sql = format!("select count(\"{column}\") as n from rigs.telemetry");
    server.sql(&sql).unwrap()[0]["n"].as_u64().unwrap()
}

#[test]
fn ingest_goes_on_while_another_engine_changes_schema_and_partitions() {
    let site = Site::new().stream(skab::STREAM);
    let files = skab::files(site.folder());
    let rows = skab::row_count(&files[..2]);
    let server = site.serve();
    run(&mut site.replay(&server.mqtt_url(), skab::TOPIC, &files[..1])).ok();
    server.wait_for_count(COUNT, skab::row_count(&files[..1]));
    let mut replay = site.replay(&server.mqtt_url(), skab::TOPIC, &files[1..2]);
    let mut replay = replay
        .args(["--rate", "500"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let args = [server.address("http"), "rigs.telemetry", "Pressure", "rig"];
    python("rest_evolve.py", &args, "").ok();
    assert!(replay.wait().unwrap().success());
    server.wait_for_count(COUNT, rows);
    server.stop();

    // What came later under the old name is a column of its own.
    let server = site.serve();
    server.wait_for_count(COUNT, rows);
    let (before, after) = (
        count(&server, "Pressure_before"),
        count(&server, "Pressure"),
    );
    assert_eq!(before + after, rows);
    assert!(before > 0 && after > 0, "{before} and {after}");
    assert_eq!(count(&server, "remark"), 0);
}

#[test]
fn writers_of_other_tables_and_ingest_never_conflict() {
    let site = Site::new()
        .stream(skab::STREAM)
        .ingest("flush_interval = \"1s\"")
        .section("[auth]\ntoken = \"swordfish\"");
    let files = skab::files(site.folder());
    let server = site.serve();
    let mut replay = site.replay(&server.mqtt_url(), skab::TOPIC, &files[..1]);
    let mut replay = replay
        .args(["--rate", "100"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let http = server.address("http");
    std::thread::scope(|scope| {
        for table in ["lab.one", "lab.two"] {
            scope.spawn(move || {
                python("rest_writer.py", &[http, table, "15", "swordfish"], "").ok();
            });
        }
    });
    replay.kill().unwrap();
    replay.wait().unwrap();
    server.stop();
    let log = site
        .pumphouse(&["log", "main", "--json", "-n", "1000"])
        .json();
    let log = log.as_array().unwrap();
    let mine = |commit: &&serde_json::Value| {
        let message = commit["message"].as_str().unwrap();
        message.starts_with("append: lab.")
    };
    assert_eq!(log.iter().filter(mine).count(), 30);
}
