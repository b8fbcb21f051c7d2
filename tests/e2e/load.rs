//! Files into tables by the real command: every format, S3, the broker, and kill -9.

use std::fmt::Write;
use std::process::Stdio;
use std::time::Duration;

use rand::Rng;
use serde_json::json;

use crate::harness::{Ceph, Finished, Site, python};

const TABLE: &str = "lab.runs";

fn sql(site: &Site, query: &str) -> serde_json::Value {
    site.pumphouse(&["sql", "--local", "--format", "json", query])
        .json()
}

fn load(site: &Site, args: &[&str]) -> Finished {
    let all: Vec<&str> = ["load", "--table", TABLE]
        .iter()
        .chain(args)
        .copied()
        .collect();
    site.pumphouse(&all)
}

#[test]
fn files_of_every_format_come_back_value_for_value() {
    let site = Site::new();
    python("make_files.py", &[site.folder().to_str().unwrap()], "").ok();
    let said = load(&site, &["b.parquet"]);
    for part in [
        "at",
        "timestamp",
        "double",
        "new table lab.runs",
        "loaded 10 rows",
    ] {
        assert!(said.ok().contains(part), "nothing says {part:?}: {said}");
    }
    load(&site, &["c.xlsx"]).refused("invalid-input", &["c.xlsx", "empty", "--sheet"]);
    load(&site, &["c.xlsx", "d.jsonl.gz", "--sheet", "Data"]).ok();
    let rows = sql(
        &site,
        "select n, t, name, \"on\", to_char(at, '%H:%M') as at from lab.runs order by n",
    );
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 30);
    for row in rows {
        let n = row["n"].as_i64().unwrap();
        let t = if n % 5 == 0 {
            json!(null)
        } else {
            json!(n as f64 + 0.5)
        };
        let at = format!("{:02}:{:02}", 10 + n / 60, n % 60);
        let wanted =
            json!({"n": n, "t": t, "name": format!("Müller & <{n}>"), "on": n % 2 == 0, "at": at});
        assert_eq!(*row, wanted);
    }
    let skipped = load(&site, &["b.parquet"]);
    assert!(skipped.ok().contains("skipped b.parquet"), "{skipped}");
}

#[test]
fn a_clash_names_the_line_and_changes_nothing() {
    let site = Site::new();
    load(
        &site,
        &[site.file("a.csv", "n,t\n1,2.5\n").to_str().unwrap()],
    )
    .ok();
    site.file("b.csv", "n,t\n2,3\n3,warm\n");
    load(&site, &["b.csv"]).refused(
        "conflict",
        &["b.csv, line 3", "\"t\"", "double", "\"warm\""],
    );
    let dry = load(&site, &["b.csv", "--null", "warm", "--dry-run"]);
    assert!(dry.ok().contains("nothing is loaded"), "{dry}");
    assert_eq!(
        sql(&site, "select count(*) as n from lab.runs"),
        json!([{"n": 1}])
    );
}

#[test]
fn files_are_loaded_from_s3() {
    let ceph = Ceph::shared();
    let site = Site::new().on_ceph(&ceph, "load");
    let file = site.file("a.csv", "n,name\n1,one\n2,two\n");
    let key = format!("{}/load-files/a b.csv", ceph.bucket);
    let args = [
        ceph.endpoint.as_str(),
        &ceph.region,
        &ceph.access_key,
        &ceph.secret_key,
        file.to_str().unwrap(),
        &key,
    ];
    python("put_s3.py", &args, "").ok();
    let said = load(&site, &[&format!("s3://{key}")]);
    assert!(said.ok().contains("loaded 2 rows"), "{said}");
    let folder = format!("s3://{}/load-files/", ceph.bucket);
    assert!(load(&site, &[&folder]).ok().contains("skipped s3://"));
    assert!(
        load(&site, &["a.csv"]).ok().contains("skipped a.csv"),
        "the same bytes"
    );
    assert_eq!(
        sql(&site, "select sum(n) as n from lab.runs"),
        json!([{"n": 3}])
    );
    load(&site, &[&format!("s3://{}/none.csv", ceph.bucket)]).refused("not-found", &["none.csv"]);
}

#[test]
fn rows_go_through_the_broker_when_a_topic_is_given() {
    let site = Site::new()
        .stream("name = \"rigs\"\ntopic = \"rigs/{rig}/telemetry\"\ntable = \"rigs.telemetry\"");
    let server = site.serve();
    site.file(
        "a.csv",
        "ts;rig;t\n2026-11-21 10:00:00;r1;1.5\n2026-11-21 10:00:01;r2;2\n",
    );
    let url = format!("mqtt://{}", server.address("mqtt"));
    let topic = "rigs/{rig}/telemetry";
    let sent = site.pumphouse(&["load", "a.csv", "--topic", topic, "--broker", &url]);
    assert!(
        sent.ok().contains("2 messages published and acknowledged"),
        "{sent}"
    );
    server.wait_for_count("select count(*) as n from rigs.telemetry where t > 1", 2);
    site.pumphouse(&["load", "a.csv", "--topic", "rigs/{no}/x", "--broker", &url])
        .refused("invalid-input", &["--topic", "\"no\""]);
}

#[test]
fn a_killed_load_left_nothing_and_a_repeated_one_doubles_nothing() {
    let site = Site::new();
    let rows = 300_000;
    let mut text = "n,name,t\n".to_owned();
    for n in 0..rows {
        writeln!(text, "{n},row {n},{}.25", n % 100).unwrap();
    }
    site.file("big.csv", text);
    let mut command = site.command(&["load", "big.csv", "--table", TABLE]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for _ in 0..8 {
        let mut child = command.spawn().unwrap();
        let life = rand::rng().random_range(100..3000);
        // Not to wait for anything: the moment of the kill is what the test varies.
        std::thread::sleep(Duration::from_millis(life));
        child.kill().unwrap();
        child.wait().unwrap();
        // No table yet, or all of it.
        let count = "select count(*) as n from lab.runs";
        let mut count = site.command(&["sql", "--local", "--format", "json", count]);
        let found = count.output().unwrap();
        if found.status.success() {
            let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
            assert_eq!(found, json!([{"n": rows}]));
        }
    }
    load(&site, &["big.csv"]).ok();
    let counted = sql(
        &site,
        "select count(*) as n, count(distinct n) as d from lab.runs",
    );
    assert_eq!(counted, json!([{"n": rows, "d": rows}]));
}
