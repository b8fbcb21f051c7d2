//! Garbage collection against random work on many branches, with kills, in a store whose clock
//! the test sets.

mod clocked;
mod naive;
mod phases;
mod safety;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use catalog::collect::SquashPolicy;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use lake::collect::{CollectOptions, CollectReport, Kind};
use object_store::path::Path;

use naive::Naive;
use world::World;

const GRACE: u64 = 1000;
const REFLOG: u64 = 4 * GRACE;
const ROUNDS: u64 = 5;

fn options(squash: bool) -> CollectOptions {
    CollectOptions {
        grace: Duration::from_secs(GRACE),
        reflog: Duration::from_secs(REFLOG),
        squash: squash.then_some(SquashPolicy {
            older_than: Duration::from_secs(2 * GRACE),
            keep_every: Duration::from_millis(50),
        }),
        dry_run: false,
    }
}

fn collect(world: &World, options: CollectOptions) -> impl Future<Output = CollectReport> + use<> {
    let world = world.clone();
    async move {
        let lake = world.lake().await;
        lake.collect(&options, &|_| {}).await.unwrap()
    }
}

/// Runs `work`, or as much of it as `polls` allow: then it is dropped where it is, as a process
/// that is killed.
async fn killed_after(work: impl Future<Output = ()>, polls: u64) {
    let mut work = pin!(work);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        left = left.saturating_sub(1);
        match work.as_mut().poll(context) {
            Poll::Pending if left > 0 => Poll::Pending,
            _ => Poll::Ready(()),
        }
    })
    .await;
}

/// Several writers and collectors at once, some of which are killed.
async fn round(world: &World, squash: bool) {
    let random = &world.random;
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let work = world.clone().write(4 + random.below(5));
        let polls = match random.below(4) {
            0 => 1 + random.below(300),
            _ => u64::MAX,
        };
        tasks.push(tokio::spawn(killed_after(work, polls)));
    }
    for _ in 0..random.below(3) {
        let work = collect(world, options(squash));
        let polls = match random.below(3) {
            0 => 1 + random.below(2000),
            _ => u64::MAX,
        };
        tasks.push(tokio::spawn(killed_after(
            async { drop(work.await) },
            polls,
        )));
    }
    for done in join_all(tasks).await {
        done.unwrap();
    }
}

fn ago(now: DateTime<Utc>, seconds: u64) -> DateTime<Utc> {
    now - TimeDelta::seconds(seconds as i64)
}

async fn paths(world: &World) -> BTreeSet<Path> {
    let all = world.store.all().await;
    all.into_iter().map(|object| object.location).collect()
}

/// Everything that is reachable is there.
async fn check(world: &World, naive: &mut Naive) -> BTreeSet<Path> {
    let store = world.store.quiet();
    let lake = world.quiet_lake().await;
    let cutoff = ago(store.now(), REFLOG);
    let reachable = naive.reachable(&store, lake.catalog(), cutoff).await;
    let there = paths(world).await;
    let gone: Vec<_> = reachable.difference(&there).collect();
    assert!(gone.is_empty(), "reachable and gone: {gone:?}");
    reachable
}

/// Works and collects; what the last collections deleted.
async fn run(seed: u64) -> BTreeMap<Kind, u64> {
    let world = World::new(seed);
    let squash = seed.is_multiple_of(3);
    let mut naive = Naive::default();
    for _ in 0..ROUNDS {
        round(&world, squash).await;
        check(&world, &mut naive).await;
        world.store.pass(world.random.below(GRACE * 2));
    }
    // Nobody writes any more: two runs, with everything old enough before each.
    let mut deleted: BTreeMap<Kind, u64> = BTreeMap::new();
    for _ in 0..3 {
        world.store.pass(48 * 3600);
        let report = collect(&world, options(squash)).await;
        for (kind, count) in report.deleted.iter() {
            *deleted.entry(kind).or_default() += count.objects;
        }
    }
    let reachable = check(&world, &mut naive).await;
    let there = paths(&world).await;
    let left = there.difference(&reachable);
    let left: BTreeSet<_> = left
        .filter(|p| !p.as_ref().starts_with("_catalog/squashed/"))
        .collect();
    assert!(
        left.is_empty(),
        "unreachable and left: {:?} {:?}",
        World::overview(left.iter().copied()),
        left.first()
    );
    deleted
}

fn run_seeds(seeds: std::ops::Range<u64>) {
    let mut deleted: BTreeMap<Kind, u64> = BTreeMap::new();
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        eprintln!("seed {seed}");
        for (kind, count) in runtime.unwrap().block_on(run(seed)) {
            *deleted.entry(kind).or_default() += count;
        }
    }
    // Else the seeds would show nothing.
    for kind in [
        Kind::DataFile,
        Kind::Metadata,
        Kind::Model,
        Kind::Commit,
        Kind::RefEntry,
    ] {
        let count = deleted.get(&kind).copied().unwrap_or(0);
        assert!(count > 10, "only {count} {kind} deleted");
    }
}

#[test]
fn random_work_seeds_0_to_25() {
    run_seeds(0..25);
}

#[test]
fn random_work_seeds_25_to_50() {
    run_seeds(25..50);
}

#[test]
fn random_work_seeds_50_to_75() {
    run_seeds(50..75);
}

#[test]
fn random_work_seeds_75_to_100() {
    run_seeds(75..100);
}
