//! Eight publishers at full rate, and everything that can die dies: what was acknowledged is in
//! the table exactly once.
//!
//! `PUMPHOUSE_TEST_CYCLES=200` kills as often; `PUMPHOUSE_TEST_SEED` at the same moments again.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::harness::{Ceph, Gate, Mosquitto, Publishers, Server, Site, free_port, wait_for};

pub(crate) const PUBLISHERS: usize = 8;
/// The topic filter that the stream implies.
const FILTER: &str = "load/+";
const STREAM: &str = r#"name = "load"
topic = "load/{machine}"
table = "load.rows"
columns = { n = "long", publisher = "long" }
"#;
/// Small enough that kills fall into commits and new segments as well.
const OFTEN: &str = "flush_interval = \"200ms\"\nsegment_bytes = \"256KiB\"";
const COUNT: &str = "select count(*) from load.rows";
/// Longest life of a server, in milliseconds from its start.
const LONGEST_LIFE: u64 = 1_800;

pub(crate) fn topic(number: usize) -> String {
    format!("load/machine-{number}")
}

pub(crate) fn stream(more: &str) -> String {
    format!("{STREAM}{more}")
}

fn cycles(usual: usize) -> usize {
    let given = std::env::var("PUMPHOUSE_TEST_CYCLES").ok();
    given.map_or(usual, |cycles| cycles.parse().unwrap())
}

fn random() -> StdRng {
    let seed = match std::env::var("PUMPHOUSE_TEST_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::rng().random(),
    };
    println!("PUMPHOUSE_TEST_SEED={seed} kills at the same moments again");
    StdRng::seed_from_u64(seed)
}

/// Rows, different messages, and the first and last number, by publisher.
fn found(server: &Server) -> BTreeMap<u64, [u64; 4]> {
    let rows = server
        .sql(
            "select publisher, count(*) as c, count(distinct n) as d, min(n) as a, max(n) as z \
             from load.rows group by publisher",
        )
        .unwrap();
    let number = |row: &Value, name: &str| row[name].as_u64().unwrap();
    rows.iter()
        .map(|row| {
            let all = ["c", "d", "a", "z"].map(|name| number(row, name));
            (number(row, "publisher"), all)
        })
        .collect()
}

/// Every message of every publisher is a row once.
pub(crate) fn check(server: &Server, sent: &[u64]) {
    let expected: BTreeMap<u64, [u64; 4]> = sent
        .iter()
        .enumerate()
        .map(|(publisher, n)| (publisher as u64, [*n, *n, 0, n - 1]))
        .collect();
    server.wait_for_count(COUNT, sent.iter().sum());
    assert_eq!(found(server), expected);
}

/// Lets the server live for a random while, and kills it, again and again.
fn kill_again_and_again(site: &Site, publishers: &Publishers) {
    let mut random = random();
    let cycles = cycles(20);
    for cycle in 0..cycles {
        let mut server = Server::launch(site);
        if cycle % 2 == 1 {
            // On a busy machine the others may all end before it serves.
            server.wait_until_ready();
        }
        let life = random.random_range(0..LONGEST_LIFE);
        // Not to wait for anything: the moment of the kill is what the test varies.
        std::thread::sleep(Duration::from_millis(life));
        server.kill();
        if cycle % 20 == 19 {
            println!("{} kills, {} acknowledged", cycle + 1, publishers.acked());
        }
    }
}

#[test]
fn kills_at_full_rate_lose_and_double_nothing() {
    let port = free_port();
    let site = Site::new()
        .mqtt_port(port)
        .stream(&stream(""))
        .ingest(OFTEN);
    let publishers = Publishers::start(PUBLISHERS, port, topic);
    kill_again_and_again(&site, &publishers);
    let server = site.serve();
    let sent = publishers.finish();
    check(&server, &sent);
    server.stop();
    check(&site.serve(), &sent);
}

#[test]
fn kills_behind_mosquitto_lose_and_double_nothing() {
    let broker = Mosquitto::start();
    let site = Site::new()
        .behind(&broker)
        .stream(&stream(""))
        .ingest(OFTEN);
    let server = site.serve();
    broker.wait_for_subscription(FILTER);
    server.kill();
    let publishers = Publishers::start(PUBLISHERS, broker.port(), topic);
    kill_again_and_again(&site, &publishers);
    let server = site.serve();
    let sent = publishers.finish();
    check(&server, &sent);
    server.stop();
    check(&site.serve(), &sent);
}

/// Seconds that the store is away: a minute by `PUMPHOUSE_TEST_AWAY=60`.
fn away() -> Duration {
    let given = std::env::var("PUMPHOUSE_TEST_AWAY").ok();
    Duration::from_secs(given.map_or(8, |seconds| seconds.parse().unwrap()))
}

#[test]
fn a_store_that_is_away_stops_acknowledgements_only_when_the_log_is_full() {
    let ceph = Ceph::shared();
    let gate = Gate::start(&ceph.endpoint);
    let through = Ceph {
        endpoint: gate.endpoint(),
        ..ceph
    };
    let port = free_port();
    let log_limit = 4 << 20;
    let site = Site::new()
        .on_ceph(&through, &format!("away-{port}"))
        .mqtt_port(port)
        .stream(&stream(""))
        .ingest(&format!("{OFTEN}\nlog_bytes = {log_limit}"));
    let server = site.serve();
    let publishers = Publishers::start(PUBLISHERS, port, topic);
    wait_for("the first commits", || {
        let committed = server.metric("pumphouse_ingest_commits_total")?;
        (committed > 3)
            .then_some(())
            .ok_or_else(|| committed.to_string())
    });
    gate.shut();
    let before = publishers.acked();
    wait_for("the log to fill", || {
        let health = server.health("/health");
        let reason = health.body["parts"]["ingest"]["reason"].to_string();
        let full = health.body["status"] == "degraded" && reason.contains("the log is full");
        full.then_some(()).ok_or_else(|| health.body.to_string())
    });
    assert_eq!(server.health("/health").status, 200);
    assert_eq!(server.health("/health/ready").status, 503);
    assert!(
        publishers.acked() > before,
        "acknowledged while there was room"
    );
    assert_eq!(server.metric("pumphouse_ingest_stalled"), Ok(1));
    std::thread::sleep(away());
    let used = server
        .metric("pumphouse_ingest_log_uncommitted_bytes")
        .unwrap();
    // A batch is written as a whole: it may pass the limit once.
    assert!(used < log_limit + (16 << 20), "{used} bytes");
    gate.open();
    let at_reopening = publishers.acked();
    wait_for("acknowledgements to go on", || {
        let acked = publishers.acked();
        (acked > at_reopening + 1_000)
            .then_some(())
            .ok_or_else(|| acked.to_string())
    });
    let sent = publishers.finish();
    check(&server, &sent);
    assert_eq!(server.health("/health/ready").status, 200);
    server.stop();
    check(&site.serve(), &sent);
}

/// Mosquitto forgets what it acknowledged since it last saved its state, and then sends again, as
/// new, what it had sent since: a message may be lost before it came here, and only a `dedup` key
/// tells the others. What is published after its last death all arrives.
#[test]
fn mosquitto_killed_doubles_nothing_and_loses_nothing_that_it_had() {
    let mut broker = Mosquitto::start();
    let site = Site::new()
        .behind(&broker)
        .stream(&stream("dedup = [\"publisher\", \"n\"]\n"))
        .ingest(OFTEN);
    let server = site.serve();
    broker.wait_for_subscription(FILTER);
    let mut random = random();
    let publishers = Publishers::start(PUBLISHERS, broker.port(), topic);
    for _ in 0..cycles(5) {
        std::thread::sleep(Duration::from_millis(random.random_range(200..1_500)));
        broker.kill_and_start();
    }
    let sent = publishers.finish();
    // Its queue is empty when this one, which stands behind all others, has arrived.
    wait_for("the messages after the last death", || {
        broker.publish(
            "load/last",
            br#"{"publisher": 99, "n": 1, "ts": 1700000000000}"#,
        );
        let sql = "select count(*) as c from load.rows where publisher = 99";
        let rows = server.sql(sql)?;
        (rows[0]["c"] == 1)
            .then_some(())
            .ok_or_else(|| format!("{rows:?}"))
    });
    let found = found(&server);
    for (publisher, n) in sent.iter().enumerate() {
        let [rows, different, ..] = found[&(publisher as u64)];
        assert_eq!(rows, different, "publisher {publisher} has doubles");
        assert!(rows <= *n);
        println!("publisher {publisher}: {rows} of {n} acknowledged by Mosquitto");
    }
    server.stop();
}
