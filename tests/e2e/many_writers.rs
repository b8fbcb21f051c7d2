//! Eight processes commit to one branch, three of them are killed -9 midway: nothing that was
//! acknowledged is lost, nothing is seen half, and everybody can read throughout.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::harness::{Ceph, Site};

const WRITERS: usize = 8;
const KILLED: usize = 3;
/// Each commit adds so many rows to a table.
const ROWS: usize = 3;

#[test]
fn eight_processes_on_a_folder_lose_nothing() {
    many_writers(&Site::new(), commits_each(200));
}

#[test]
fn eight_processes_on_ceph_lose_nothing() {
    let ceph = Ceph::shared();
    many_writers(
        &Site::new().on_ceph(&ceph, "many-writers"),
        commits_each(40),
    );
}

fn commits_each(usual: usize) -> usize {
    match std::env::var("PUMPHOUSE_TEST_COMMITS") {
        Ok(count) => count.parse().unwrap(),
        Err(_) => usual,
    }
}

fn many_writers(site: &Site, commits: usize) {
    let mut tables = "create table bench.shared (writer int, n int, k int);".to_owned();
    for writer in 0..WRITERS {
        write!(
            tables,
            "create table bench.w{writer} (writer int, n int, k int);"
        )
        .unwrap();
    }
    site.pumphouse(&["sql", "--local", &tables]).ok();

    let mut random = StdRng::from_os_rng();
    let running = AtomicUsize::new(WRITERS);
    let acknowledged: Vec<Vec<String>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (first, last) = (commits / 5, commits * 4 / 5);
                let kill_after = (writer < KILLED).then(|| random.random_range(first..last));
                let script = site.file(&format!("w{writer}.sql"), script(writer, commits));
                let script = script.display().to_string();
                let mut command = site.command(&["sql", "--local", "--file", &script]);
                let child = command.stdin(Stdio::null()).stdout(Stdio::piped());
                let child = child.spawn().unwrap();
                let running = &running;
                scope.spawn(move || {
                    let commits = follow(child, kill_after);
                    running.fetch_sub(1, Ordering::Relaxed);
                    commits
                })
            })
            .collect();
        while running.load(Ordering::Relaxed) > 0 {
            assert_whole(site);
        }
        writers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    assert_whole(site);
    assert_held(site, &acknowledged);
    for commits_of in &acknowledged[KILLED..] {
        assert_eq!(commits_of.len(), commits);
    }
}

/// One commit after another; every fifth is a transaction over two tables.
fn script(writer: usize, commits: usize) -> String {
    let mut script = String::new();
    for n in 0..commits {
        let rows: Vec<_> = (0..ROWS).map(|k| format!("({writer}, {n}, {k})")).collect();
        let rows = rows.join(", ");
        let insert = |table: &str| format!("insert into bench.{table} values {rows};\n");
        let own = insert(&format!("w{writer}"));
        script += &match n % 5 {
            0 => format!("begin;\n{}{own}commit;\n", insert("shared")),
            _ => own,
        };
    }
    script
}

/// The commits that `child` says it made, up to its end or to `kill_after` of them.
fn follow(mut child: Child, kill_after: Option<usize>) -> Vec<String> {
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut commits = Vec::new();
    for line in stdout.lines().map_while(Result::ok) {
        if let Some((_, commit)) = line.split_once("(commit ") {
            commits.push(commit.trim_end_matches(')').to_owned());
            if kill_after.is_some_and(|after| commits.len() == after) {
                child.kill().unwrap();
            }
        }
    }
    let status = child.wait().unwrap();
    assert_eq!(status.success(), kill_after.is_none(), "{status}");
    commits
}

/// In one statement, so at one commit: every commit's rows are there whole or not at all.
fn assert_whole(site: &Site) {
    let own: Vec<_> = (0..WRITERS)
        .map(|w| format!("select * from bench.w{w}"))
        .collect();
    let own = own.join(" union all ");
    let sql = format!(
        "with own as ({own}), shared as (select * from bench.shared),
         units as (select 0 as t, writer, n, count(*) as c from own group by writer, n
                   union all select 1, writer, n, count(*) from shared group by writer, n)
         select count(*) filter (where c <> {ROWS}) as torn,
                count(*) filter (where t = 1) as in_shared,
                (select count(*) from (select writer, n, k from shared
                 intersect select writer, n, k from own)) as in_both
         from units"
    );
    let answer = site
        .pumphouse(&["sql", "--local", "--format", "json", &sql])
        .json();
    let number = |name: &str| answer[0][name].as_u64().unwrap();
    assert_eq!(number("torn"), 0);
    assert_eq!(number("in_both"), number("in_shared") * ROWS as u64);
    site.pumphouse(&["log", "main", "--json", "-n", "3"]).ok();
}

/// Every acknowledged commit is in the history and its rows are there; of what was not
/// acknowledged, at most the one commit that was under way.
fn assert_held(site: &Site, acknowledged: &[Vec<String>]) {
    let log = site
        .pumphouse(&["log", "main", "--json", "-n", "1000000"])
        .json();
    let log: BTreeSet<String> = log.as_array().unwrap().iter().map(short).collect();
    let mut held: BTreeMap<usize, usize> = BTreeMap::new();
    for (writer, commits) in acknowledged.iter().enumerate() {
        let lost: Vec<_> = commits.iter().filter(|c| !log.contains(*c)).collect();
        assert!(lost.is_empty(), "writer {writer} lost commits {lost:?}");
        let sql = format!("select count(distinct n) as n, max(n) as last from bench.w{writer}");
        let answer = site
            .pumphouse(&["sql", "--local", "--format", "json", &sql])
            .json();
        let n = usize::try_from(answer[0]["n"].as_u64().unwrap()).unwrap();
        let last = usize::try_from(answer[0]["last"].as_u64().unwrap()).unwrap();
        assert_eq!(last + 1, n, "writer {writer} has a gap");
        let made = commits.len()..=commits.len() + 1;
        assert!(
            made.contains(&n),
            "writer {writer}: {n}, acknowledged {}",
            commits.len()
        );
        held.insert(writer, n);
    }
    let all: usize = held.values().sum();
    println!("{all} commits of {WRITERS} writers are held: {held:?}");
}

fn short(commit: &Value) -> String {
    commit["id"].as_str().unwrap()[..12].to_owned()
}
