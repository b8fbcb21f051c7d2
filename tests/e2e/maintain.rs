//! `pumphouse maintain` on a real lake, killed where it stands.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::harness::Site;

const KILLS: u64 = 12;
const COMMITS: u64 = 30;

/// Rows and their sum, by a reader of its own.
fn totals(site: &Site) -> Value {
    let sql = "select count(*) as n, sum(n) as s from pumps.t";
    let args = ["sql", "--local", "--format", "json", sql];
    site.pumphouse(&args).json()
}

fn insert(site: &Site, from: u64) {
    let inserts =
        (from..from + COMMITS).map(|n| format!("insert into pumps.t values ('p{}', {n})", n % 3));
    let script = inserts.collect::<Vec<_>>().join("; ");
    site.pumphouse(&["sql", "--local", &script]).ok();
}

#[test]
fn a_compaction_killed_anywhere_loses_no_row_and_leaves_nothing_behind() {
    let site = Site::new();
    let create = "create table pumps.t (pump text, n bigint)";
    site.pumphouse(&["sql", "--local", create]).ok();
    insert(&site, 0);
    let before = totals(&site);
    // From before the lake is open to after the compaction is done.
    for kill in 0..KILLS {
        let mut command = site.command(&["maintain", "compact", "--full"]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(kill * 25));
        // It may have ended already.
        let _ = child.kill();
        child.wait().unwrap();
        assert_eq!(totals(&site), before, "after kill {kill}");
    }
    site.pumphouse(&["maintain", "compact", "--full", "pumps.t"])
        .ok();
    let status = site.pumphouse(&["maintain", "status", "--json"]).json();
    assert_eq!(status[0]["files"], 1, "{status}");
    let at_once = ["gc", "--grace", "0s", "--reflog", "0s", "--force", "--json"];
    // The first run notes what nothing reaches, the second deletes it.
    site.pumphouse(&at_once).ok();
    site.pumphouse(&at_once).ok();
    assert_eq!(totals(&site), before);
    let left = site.pumphouse(&at_once).json();
    assert_eq!(left["noted"]["total"]["objects"], 0, "{left}");
}

#[test]
fn a_dry_run_changes_nothing_and_a_table_without_a_time_is_named() {
    let site = Site::new();
    let create = "create table pumps.t (pump text, n bigint)";
    site.pumphouse(&["sql", "--local", create]).ok();
    insert(&site, 0);
    let log = site.pumphouse(&["log", "--json"]).json();
    let said = site.pumphouse(&["maintain", "compact", "--full", "--dry-run"]);
    assert!(
        said.ok().contains("compact rewrites 30 files"),
        "{}",
        said.ok()
    );
    assert_eq!(site.pumphouse(&["log", "--json"]).json(), log);
    let args = ["maintain", "retain", "pumps.t", "--older-than", "1d"];
    site.pumphouse(&args)
        .refused("invalid-input", &["pumps.t", "time"]);
    let args = ["maintain", "compact", "pumps.nothing"];
    site.pumphouse(&args)
        .refused("not-found", &["pumps.nothing"]);
}
