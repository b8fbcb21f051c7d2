//! Branches, tags, merges, reverts and differences from the command line, as a user of git
//! would expect them.

use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use catalog::{Catalog, CommitMeta, Key, Store, StoreConfig};
use lake::{Lake, TableSpec};

use crate::harness::{Finished, Site};

/// A site whose lake the test writes to by itself; commands need no server.
struct Bench {
    site: Site,
    lake: Lake,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    /// `pumps.telemetry` with pumps a and b, a commit each, on `main` and `dev`.
    fn new() -> Self {
        let site = Site::new();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let config = StoreConfig {
            url: site.lake().display().to_string(),
            ..StoreConfig::default()
        };
        let lake = runtime.block_on(async {
            let store = Store::open(&config).await.unwrap();
            let lake = Lake::new(Catalog::open(store).await.unwrap());
            let spec = TableSpec {
                schema: schema(),
                ..TableSpec::default()
            };
            let meta = CommitMeta::new("ada", "create pumps.telemetry");
            lake.create_table("main", &key(), &spec, meta)
                .await
                .unwrap();
            lake
        });
        let bench = Self {
            site,
            lake,
            runtime,
        };
        bench.append("main", &[("a", 1.0)]);
        bench.append("main", &[("b", 2.0)]);
        bench.run(&["branch", "create", "dev"]).ok();
        bench
    }

    fn append(&self, branch: &str, rows: &[(&str, f64)]) {
        let pumps: StringArray = rows.iter().map(|row| Some(row.0)).collect();
        let flows: Float64Array = rows.iter().map(|row| Some(row.1)).collect();
        let batch = RecordBatch::try_new(schema(), vec![Arc::new(pumps), Arc::new(flows)]);
        let names: Vec<_> = rows.iter().map(|row| row.0).collect();
        let meta = CommitMeta::new("ada", format!("add {}", names.join(" and ")));
        let (key, batches) = (key(), vec![batch.unwrap()]);
        let appended = self.lake.append_batches(branch, &key, batches, meta);
        self.runtime.block_on(appended).unwrap();
    }

    fn add_column(&self, branch: &str, name: &str) {
        let column = Arc::new(Schema::new(vec![Field::new(name, DataType::Float64, true)]));
        let meta = CommitMeta::new("ada", format!("add column {name}"));
        let key = key();
        let evolved = self.lake.evolve(branch, &key, &column, meta);
        self.runtime.block_on(evolved).unwrap();
    }

    fn run(&self, args: &[&str]) -> Finished {
        self.site.pumphouse(args)
    }

    fn pumps(&self, reference: &str) -> String {
        let sql = "select string_agg(pump, ' ' order by pump) as pumps from pumps.telemetry";
        let args = [
            "sql", "--local", "--format", "json", "--ref", reference, sql,
        ];
        let rows = self.run(&args).json();
        rows[0]["pumps"].as_str().unwrap().to_owned()
    }

    fn commit(&self, reference: &str) -> String {
        let log = self.run(&["log", reference, "-n", "1", "--json"]).json();
        log[0]["id"].as_str().unwrap().to_owned()
    }
}

fn key() -> Key {
    "pumps.telemetry".parse().unwrap()
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("pump", DataType::Utf8, true),
        Field::new("flow", DataType::Float64, true),
    ]))
}

#[test]
fn appends_of_two_branches_merge_after_a_dry_run_said_how() {
    let bench = Bench::new();
    bench.append("main", &[("c", 3.0)]);
    bench.append("dev", &[("x", 1.0), ("y", 2.0)]);
    let dry = bench.run(&["merge", "dev", "--dry-run"]);
    assert_eq!(
        dry.ok(),
        "would merge dev into main\n  changed pumps.telemetry: appended 1 file (2 rows)\n"
    );
    assert_eq!(bench.pumps("main"), "a b c");
    let merged = bench.run(&["merge", "dev", "-m", "bring x and y"]);
    let head = bench.commit("main");
    assert_eq!(
        merged.ok(),
        format!(
            "merged dev into main at {}\n  changed pumps.telemetry: appended 1 file (2 rows)\n",
            &head[..12]
        )
    );
    assert_eq!(bench.pumps("main"), "a b c x y");
    assert_eq!(
        bench.run(&["merge", "dev"]).ok(),
        "main already has all of dev\n"
    );
    let log = bench.run(&["log", "-n", "1"]);
    for part in ["Merge:  ", "Author: tester", "    bring x and y", "(main)"] {
        assert!(log.ok().contains(part), "{log}");
    }
    assert!(!log.ok().contains('\u{1b}'), "colours are for terminals");

    // The table's own history says where the rows came from, and main goes back to dev.
    let forward = bench
        .run(&["merge", "main", "--into", "dev", "--json"])
        .json();
    assert_eq!(forward["outcome"], "fast-forward");
    assert_eq!(forward["commit"], head);
}

#[test]
fn conflicts_are_listed_and_settled_by_key() {
    let bench = Bench::new();
    bench.add_column("main", "ours");
    bench.add_column("dev", "theirs");
    let before = bench.commit("main");
    let conflict = bench.run(&["merge", "dev"]);
    conflict.refused(
        "conflict",
        &[
            "nothing was done",
            "--on-conflict ours|theirs --key pumps.telemetry",
        ],
    );
    let listed = "CONFLICT (both changed): pumps.telemetry\n  main: added column ours double\n  dev:  added column theirs double; ";
    assert!(conflict.stdout.starts_with(listed), "{conflict}");
    let json = bench.run(&["merge", "dev", "--json"]);
    json.refused("conflict", &[]);
    let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(report["outcome"], "conflicts");
    assert_eq!(report["conflicts"][0]["key"], "pumps.telemetry");
    assert_eq!(bench.commit("main"), before, "nothing was merged");

    let other = [
        "merge",
        "dev",
        "--on-conflict",
        "theirs",
        "--key",
        "pumps.other",
    ];
    bench.run(&other).refused("conflict", &["pumps.telemetry"]);
    let theirs = [
        "merge",
        "dev",
        "--on-conflict",
        "theirs",
        "--key",
        "pumps.telemetry",
    ];
    bench.run(&theirs).ok();
    let diff = bench.run(&["diff", "main..dev", "pumps.telemetry"]);
    assert_eq!(diff.ok(), "pumps.telemetry is the same in main and dev\n");
}

#[test]
fn a_commit_is_reverted_and_picked_while_others_stay() {
    let bench = Bench::new();
    bench.append("main", &[("bad", 0.0)]);
    let bad = bench.commit("main");
    bench.append("main", &[("c", 3.0)]);
    let dry = bench.run(&["revert", &bad[..12], "--dry-run"]);
    assert!(dry.ok().contains("deleted 1 file (1 row)"), "{dry}");
    bench.run(&["revert", &bad[..12]]).ok();
    assert_eq!(bench.pumps("main"), "a b c");
    bench.run(&["cherry-pick", &bad, "--onto", "dev"]).ok();
    assert_eq!(bench.pumps("dev"), "a b bad");
    let again = bench
        .run(&["cherry-pick", &bad, "--onto", "dev", "--json"])
        .json();
    assert_eq!(again["outcome"], "already-up-to-date");
    bench
        .run(&["revert", "main~99"])
        .refused("not-found", &["main"]);
}

#[test]
fn a_diff_shows_keys_then_columns_then_rows() {
    let bench = Bench::new();
    bench.append("dev", &[("x", 1.0)]);
    bench.add_column("dev", "power");
    let keys = bench.run(&["diff", "main..dev"]);
    assert_eq!(
        keys.ok(),
        "M  pumps.telemetry  appended 1 file (1 row), added column power double\n"
    );
    let stat = bench.run(&["diff", "main", "dev", "--stat"]);
    assert_eq!(
        stat.ok(),
        "M  pumps.telemetry  +1 -0 files, +1 -0 rows\n0 added, 1 changed, 0 deleted\n"
    );
    let table = bench.run(&["diff", "main..dev", "pumps.telemetry"]);
    assert_eq!(
        table.ok(),
        "--- main.pumps.telemetry\n+++ dev.pumps.telemetry\n+ power double\n+ 1 files with 1 rows\n"
    );
    let rows = ["diff", "dev..main", "pumps.telemetry", "--rows", "--json"];
    let rows = bench.run(&rows).json();
    let expected = serde_json::json!([{"_change": "delete", "pump": "x", "flow": 1.0}]);
    assert_eq!(rows, expected);
    let json = bench.run(&["diff", "main..dev", "--json"]).json();
    assert_eq!(json["changes"][0]["change"], "changed");
    assert_eq!(json["changes"][0]["table"]["rows_added"], 1);
    assert_eq!(bench.run(&["diff", "main..main"]).ok(), "");
    bench
        .run(&["diff", "main..dev", "--rows"])
        .refused("invalid-input", &["table"]);
    bench
        .run(&["diff", "main..dev", "pumps.telemetri"])
        .refused("not-found", &["pumps.telemetry"]);
    bench
        .run(&["diff", "main"])
        .refused("invalid-input", &["FROM..TO"]);
}

#[test]
fn tags_renames_and_protection() {
    let bench = Bench::new();
    bench.run(&["tag", "create", "v1", "--at", "main~1"]).ok();
    let tags = bench.run(&["tag", "--json"]).json();
    assert_eq!(tags[0]["name"], "v1");
    assert_eq!(bench.pumps("v1"), "a");
    bench
        .run(&["merge", "dev", "--into", "v1"])
        .refused("invalid-input", &["v1"]);
    bench
        .run(&["branch", "delete", "v1"])
        .refused("invalid-input", &["tag"]);
    bench.run(&["tag", "delete", "v1"]).ok();

    bench.run(&["branch", "rename", "dev", "team/exp"]).ok();
    let list = bench.run(&["branch"]);
    let lines: Vec<_> = list.ok().lines().collect();
    assert!(lines[0].starts_with("* main      "), "{list}");
    assert!(lines[1].starts_with("  team/exp  "), "{list}");
    bench.run(&["branch", "protect", "team/exp"]).ok();
    for args in [
        &["branch", "delete", "team/exp"][..],
        &["branch", "delete", "team/exp", "--dry-run"],
        &["branch", "rename", "team/exp", "x"],
        &["reset", "team/exp", "main~1"],
        &["reset", "team/exp", "main~1", "--dry-run"],
    ] {
        let refused = bench.run(args);
        refused.refused("permission-denied", &["team/exp", "protected"]);
    }
    bench.append("main", &[("c", 3.0)]);
    bench.run(&["merge", "main", "--into", "team/exp"]).ok();
    bench.run(&["branch", "unprotect", "team/exp"]).ok();
    bench.run(&["branch", "delete", "team/exp"]).ok();
}

#[test]
fn a_reset_moves_a_branch_and_the_reflog_remembers() {
    let bench = Bench::new();
    let before = bench.commit("main");
    let dry = bench.run(&["reset", "main", "main~1", "--dry-run"]);
    assert!(dry.ok().starts_with("main would be at "), "{dry}");
    bench.run(&["reset", "main", "main~1"]).ok();
    assert_eq!(bench.pumps("main"), "a");
    let moves = bench.run(&["log", "--reflog", "main", "--json"]).json();
    assert_eq!(moves[0]["action"], "reset to main~1");
    assert_eq!(moves[0]["author"], "tester");
    assert_eq!(moves[1]["commit"], before);
    bench.run(&["reset", "main", &before]).ok();
    assert_eq!(bench.pumps("main"), "a b");
    for args in [
        &["branch", "create", "new", "--dry-run"][..],
        &["tag", "create", "new", "--dry-run"],
        &["branch", "delete", "dev", "--dry-run"],
        &["branch", "rename", "dev", "new", "--dry-run"],
        &["branch", "protect", "dev", "--dry-run"],
    ] {
        assert!(bench.run(args).ok().starts_with("would "), "{args:?}");
    }
    let branches = bench.run(&["branch", "--json"]).json();
    let names: Vec<_> = branches
        .as_array()
        .unwrap()
        .iter()
        .map(|b| &b["name"])
        .collect();
    assert_eq!(names, ["dev", "main"]);
    assert_eq!(branches[0]["protected"], false);
}
