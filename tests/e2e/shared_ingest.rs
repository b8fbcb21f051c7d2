//! Two ingesters split a topic on Mosquitto: none lost, none doubled, whoever dies.
//!
//! What the broker has given to a member stays in that member's session, also while it is away.
//! So a member that died has to come back for it, or nobody gets it: see `docs/mqtt.md`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::harness::{Mosquitto, Site, run};

const STREAM: &str =
    "name = \"line\"\ntopic = \"line/{machine}/telemetry\"\ntable = \"line.telemetry\"";
const FILTER: &str = "$share/plant/line/+/telemetry";
const TOPIC: &str = "line/m1/telemetry";
const COUNT: &str = "select count(*) as n from line.telemetry";
/// Messages of a round, and how many of them a second: slow enough to die in the midst.
const MESSAGES: usize = 30_000;
const RATE: &str = "6000";

/// A member of the group, with a folder of its own and the lake of `first`, if there is one.
fn member(broker: &Mosquitto, name: &str, first: Option<&Site>) -> Site {
    let url = broker.url();
    let mqtt = format!("url = {url:?}\nshare = \"plant\"\nclient_id = {name:?}");
    let site = Site::new().mqtt(&mqtt).stream(STREAM);
    match first {
        Some(first) => site.lake_at(&first.lake()),
        None => site,
    }
}

/// A CSV file with the numbers of a round.
fn numbers(site: &Site, round: usize) -> PathBuf {
    let mut text = String::from("n\n");
    for n in round * MESSAGES..(round + 1) * MESSAGES {
        writeln!(text, "{n}").unwrap();
    }
    site.file(&format!("round{round}.csv"), text)
}

fn publish(site: &Site, broker: &Mosquitto, file: PathBuf) -> Child {
    let mut replay = site.replay(&broker.url(), TOPIC, &[file]);
    replay.args(["--rate", RATE]).stdin(Stdio::null());
    replay.spawn().unwrap()
}

/// The ingesters that have committed to the lake.
fn committers(site: &Site) -> BTreeSet<String> {
    let commits = site.pumphouse(&["log", "--json"]).json();
    let commits = commits.as_array().unwrap().iter();
    let properties = commits.filter_map(|commit| commit["properties"].as_object());
    let names = properties.flat_map(|properties| properties.keys());
    names
        .filter(|name| name.starts_with("watermark."))
        .cloned()
        .collect()
}

#[test]
fn two_ingesters_share_a_topic_and_one_is_killed() {
    let seed = match std::env::var("PUMPHOUSE_TEST_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::rng().random(),
    };
    println!("PUMPHOUSE_TEST_SEED={seed} kills at the same points again");
    let mut random = StdRng::seed_from_u64(seed);
    let broker = Mosquitto::start();
    let first = member(&broker, "first", None);
    let second = member(&broker, "second", Some(&first));
    let stays = first.serve();
    broker.wait_for_subscription(FILTER);
    let mut dies = second.serve();

    // In the first round it is back at once, in the second only when all is published.
    for round in 0..2 {
        let mut publisher = publish(&first, &broker, numbers(&first, round));
        // Not to wait for anything: the moment of the kill is what the test varies.
        std::thread::sleep(Duration::from_millis(random.random_range(500..4_000)));
        dies.kill();
        if round == 1 {
            assert!(publisher.wait().unwrap().success());
        }
        dies = second.serve();
        assert!(publisher.wait().unwrap().success());
        let published = (round as u64 + 1) * MESSAGES as u64;
        stays.wait_for_count(COUNT, published);
    }
    assert_eq!(committers(&first).len(), 2, "both have taken a part");
    dies.stop();
    stays.stop();
    let server = first.serve();
    let all = "select count(*) as n, count(distinct n) as d, min(n) as a, max(n) as z from line.telemetry";
    let all_of_them = 2 * MESSAGES;
    let last = (all_of_them - 1) as f64;
    let whole = json!([{"n": all_of_them, "d": all_of_them, "a": 0.0, "z": last}]);
    assert_eq!(Value::from(server.sql(all).unwrap()), whole);
}

/// What docs/mqtt.md warns of: Mosquitto deals to members that are away too, and what waits in a
/// session ends with it.
#[test]
fn a_members_part_waits_in_its_session_and_ends_with_it() {
    let broker = Mosquitto::start();
    let first = member(&broker, "first", None);
    let second = member(&broker, "second", Some(&first));
    let stays = first.serve();
    broker.wait_for_subscription(FILTER);
    second.serve().kill();
    let part = (MESSAGES / 2) as u64;
    assert!(
        publish(&first, &broker, numbers(&first, 0))
            .wait()
            .unwrap()
            .success()
    );
    stays.wait_for_count(COUNT, part);
    // Somebody connects in the name of the one that is away, and wants a session of its own.
    let port = broker.url().rsplit_once(':').unwrap().1.to_owned();
    run(Command::new("mosquitto_sub")
        .args(["-h", "127.0.0.1", "-p", &port, "-V", "mqttv5"])
        .args(["-i", "second", "-E", "-t", "none"]))
    .ok();
    // Had anything of the part come to the other, it would have come before these.
    let more = first.file("more.csv", "n\n-1\n-2\n-3\n-4\n");
    assert!(publish(&first, &broker, more).wait().unwrap().success());
    stays.wait_for_count(COUNT, part + 4);
    let missing = "select count(*) as n from line.telemetry where n >= 0";
    assert_eq!(
        Value::from(stays.sql(missing).unwrap()),
        json!([{ "n": part }])
    );
}
