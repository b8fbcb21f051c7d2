//! kill -9 at random points: no row is lost, none is doubled.

use std::process::Stdio;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::harness::{Ceph, Mosquitto, Server, Site, skab};
use crate::replay::{COUNT, compare};

const KILLS: usize = 10;
/// Messages a second: slow enough that all kills fall into the replay.
const RATE: &str = "800";
/// Longest life of a server, in milliseconds from its start.
const LONGEST_LIFE: u64 = 1800;

#[test]
fn ten_kills_during_a_replay_lose_and_double_nothing() {
    kill_during_a_replay(|site| site);
}

#[test]
fn ten_kills_during_a_replay_to_ceph_lose_and_double_nothing() {
    let ceph = Ceph::shared();
    kill_during_a_replay(|site| site.on_ceph(&ceph, "crash"));
}

fn kill_during_a_replay(place: impl FnOnce(Site) -> Site) {
    let seed = match std::env::var("PUMPHOUSE_TEST_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::rng().random(),
    };
    println!("PUMPHOUSE_TEST_SEED={seed} kills at the same points again");
    let mut random = StdRng::seed_from_u64(seed);

    let broker = Mosquitto::start();
    let site = place(Site::new())
        .behind(&broker)
        .stream(skab::STREAM)
        // Many small commits and log segments, so that kills fall into those as well.
        .ingest("flush_interval = \"200ms\"\nsegment_bytes = \"64KiB\"");
    let files = skab::files(site.folder());
    let server = site.serve();
    broker.wait_for_subscription(skab::FILTER);
    server.kill();

    let mut replay = site.replay(&broker.url(), skab::TOPIC, &files);
    let mut replay = replay
        .args(["--rate", RATE])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..KILLS {
        let server = Server::launch(&site);
        let life = random.random_range(0..LONGEST_LIFE);
        // Not to wait for anything: the moment of the kill is what the test varies.
        std::thread::sleep(Duration::from_millis(life));
        server.kill();
    }
    assert!(
        replay.try_wait().unwrap().is_none(),
        "the replay ended before the last kill"
    );

    let server = site.serve();
    assert!(replay.wait().unwrap().success());
    server.wait_for_count(COUNT, skab::row_count(&files));
    compare(&server, &files);
    server.stop();
    compare(&site.serve(), &files);
}
