//! `pumphouse gc` on real stores: what is garbage goes, and other readers find all the rest.

use serde_json::Value;

use crate::harness::{Ceph, Site, run, skab, wait_for};
use crate::iceberg::{commits, compare, s3_properties};
use crate::replay::COUNT;

/// With nobody writing, nothing needs to wait.
const AT_ONCE: [&str; 7] = ["gc", "--grace", "0s", "--reflog", "0s", "--force", "--json"];

#[test]
fn garbage_in_a_folder_goes_and_the_rest_is_read_by_pyiceberg() {
    let site = collect_after_a_deleted_branch(|site| site, &[]);
    let staged = site.lake().join("rigs/staged#1234");
    std::fs::write(&staged, "left by a killed writer").unwrap();
    let report = site.pumphouse(&AT_ONCE).json();
    assert_eq!(report["deleted"]["unfinished_files"]["objects"], 1);
    assert!(!staged.exists());
}

#[test]
fn garbage_in_ceph_goes_and_the_rest_is_read_by_pyiceberg() {
    let ceph = Ceph::shared();
    let properties = s3_properties(&ceph);
    collect_after_a_deleted_branch(|site| site.on_ceph(&ceph, "gc"), &properties);
}

fn collect_after_a_deleted_branch(place: impl FnOnce(Site) -> Site, properties: &[String]) -> Site {
    let site = place(Site::new()).stream(skab::STREAM);
    let files = skab::files(site.folder());
    let (first, second) = (skab::row_count(&files[..1]), skab::row_count(&files[..2]));
    let server = site.serve();
    run(&mut site.replay(&server.mqtt_url(), skab::TOPIC, &files[..1])).ok();
    server.wait_for_count(COUNT, first);
    server.stop();

    // A branch takes the next file, its server is killed, and the branch is deleted.
    site.pumphouse(&["branch", "create", "feed"]).ok();
    let site = site.ingest("branch = \"feed\"\nflush_interval = \"100ms\"");
    let server = site.serve();
    run(&mut site.replay(&server.mqtt_url(), skab::TOPIC, &files[1..2])).ok();
    server.wait_for_count("select count(*) from feed.rigs.telemetry", second);
    // Rows are visible before they are committed, and only commits leave garbage.
    let main = newest(&site, "main");
    let commit = wait_for("a commit on the branch", || {
        let commit = newest(&site, "feed");
        match commit == main {
            true => Err(commit),
            false => Ok(commit),
        }
    });
    server.kill();
    site.pumphouse(&["branch", "delete", "feed"]).ok();

    site.pumphouse(&["gc", "--grace", "1s"])
        .refused("invalid-input", &["--force", "too short"]);
    let usual = site.pumphouse(&["gc", "--json"]).json();
    assert_eq!(
        objects(&usual, "noted", "total"),
        0,
        "all of it is young: {usual}"
    );
    assert!(
        site.pumphouse(&["gc", "--dry-run"])
            .ok()
            .contains("WOULD DELETE")
    );

    // Stores that count in seconds have to see the next one begin.
    let noted = wait_for("the mark to note all that is garbage", || {
        let dry = site
            .pumphouse(&[&AT_ONCE[..], &["--dry-run"]].concat())
            .json();
        if objects(&dry, "noted", "data_files") == 0 || objects(&dry, "too_young", "total") > 0 {
            return Err(dry.to_string());
        }
        // By the store's clock the branch may not have been deleted yet.
        let noted = site.pumphouse(&AT_ONCE).json();
        match objects(&noted, "noted", "total") {
            0 => Err(noted.to_string()),
            _ => Ok(noted),
        }
    });
    assert_eq!(objects(&noted, "deleted", "total"), 0);
    assert!(objects(&noted, "noted", "commits") > 0, "{noted}");
    site.pumphouse(&["branch", "create", "again", "--from", &commit])
        .refused("not-found", &["being collected"]);
    let swept = wait_for("the sweep", || {
        let swept = site.pumphouse(&AT_ONCE).json();
        match objects(&swept, "deleted", "data_files") {
            0 => Err(swept.to_string()),
            _ => Ok(swept),
        }
    });
    for kind in [
        "data_files",
        "manifests",
        "manifest_lists",
        "metadata",
        "commits",
    ] {
        assert_eq!(
            objects(&swept, "deleted", kind),
            objects(&noted, "noted", kind),
            "{kind}: {swept} {noted}"
        );
    }
    // The node's log went on with the branch that is gone.
    std::fs::remove_dir_all(site.path("node")).unwrap();
    let site = site.ingest("flush_interval = \"100ms\"");
    let commits = commits(&site);
    let server = site.serve();
    server.wait_for_count(COUNT, first);
    compare(&server, &commits, properties);
    server.stop();
    site
}

fn newest(site: &Site, branch: &str) -> String {
    let log = site.pumphouse(&["log", branch, "-n", "1", "--json"]).json();
    log[0]["id"].as_str().unwrap().to_owned()
}

fn objects(report: &Value, part: &str, kind: &str) -> u64 {
    report[part][kind]["objects"].as_u64().unwrap_or(0)
}
