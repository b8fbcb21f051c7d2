//! Copies of a data folder, and commits that come late: every message is a row once, whoever
//! brought it.

use std::path::{Path, PathBuf};
use std::process::Command;

use catalog::ErrorKind;
use ingest::{Ingest, IngestConfig};
use lake::hot::HotCut;

use crate::support::{House, count, decoded, numbered, publish_v4, table, until};

/// A copy of the data folder of `house`, and a configuration to use it.
fn copied(house: &House, name: &str) -> IngestConfig {
    let mut config = house.config();
    let copy = config.data_dir.with_file_name(name);
    copy_folder(&config.data_dir, &copy);
    config.data_dir = copy;
    config
}

fn copy_folder(from: &Path, to: &PathBuf) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.unwrap().success());
}

async fn publish(ingest: &Ingest, range: std::ops::Range<usize>) {
    publish_v4(ingest.listen_addr().unwrap(), "c", &numbered(range)).await;
}

fn id(config: &IngestConfig) -> String {
    std::fs::read_to_string(config.data_dir.join("ingester-id")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_comes_later_brings_only_what_is_its_own() {
    let house = House::new();
    let ingest = house.start().await;
    publish(&ingest, 0..5).await;
    ingest.flush().await.unwrap();
    publish(&ingest, 5..8).await;
    drop(ingest);
    let copy = copied(&house, "copy");
    let ingest = house.start().await;
    publish(&ingest, 8..10).await;
    ingest.shutdown().await.unwrap();

    // Messages 5 to 7 are in both logs, and the first one has committed them.
    let other = Ingest::start(copy.clone(), house.lake().await)
        .await
        .unwrap();
    assert_ne!(id(&house.config()).lines().next(), id(&copy).lines().next());
    publish(&other, 10..13).await;
    drop(other);
    let other = Ingest::start(copy, house.lake().await).await.unwrap();
    publish(&other, 13..14).await;
    other.shutdown().await.unwrap();
    assert_eq!(house.values().await, (0..14).collect::<Vec<_>>());
    house.start().await.shutdown().await.unwrap();
    assert_eq!(house.values().await.len(), 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_copies_at_once_lose_and_double_nothing() {
    let house = House::new();
    let ingest = house.start().await;
    publish(&ingest, 0..3).await;
    drop(ingest);
    let copy = copied(&house, "copy");
    let (winner, loser) = (house.start().await, {
        let lake = house.lake().await;
        Ingest::start(copy.clone(), lake).await.unwrap()
    });
    publish(&winner, 3..6).await;
    publish(&loser, 6..10).await;
    winner.flush().await.unwrap();
    decoded(&loser, 7).await;
    let error = loser.flush().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("new ingester id"), "{error}");
    publish(&winner, 10..12).await;
    drop(loser);
    drop(winner);

    let loser = Ingest::start(copy.clone(), house.lake().await)
        .await
        .unwrap();
    assert!(id(&copy).contains("after 3"), "{}", id(&copy));
    decoded(&loser, 4).await;
    // Queries see its rows on top of the winner's: the watermark of its new id is not there yet.
    assert_eq!(house.hot_rows(&loser, &table()).await, 4);
    loser.shutdown().await.unwrap();
    house.start().await.shutdown().await.unwrap();
    assert_eq!(house.values().await, (0..12).collect::<Vec<_>>());
}

/// Regression: such a commit fenced the process that had taken over the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_a_killed_process_may_come_late() {
    let house = House::new();
    let ingest = house.start().await;
    publish(&ingest, 0..5).await;
    drop(ingest);
    let dead = copied(&house, "dead");
    let ingest = house.start().await;
    publish(&ingest, 5..25).await;
    decoded(&ingest, 25).await;
    // What the killed process had sent arrives now: the same records, under the same id.
    let late = Ingest::start(dead, house.lake().await).await.unwrap();
    late.flush().await.unwrap();
    drop(late);

    let lake = house.lake().await;
    let head = lake.catalog().head("main").await.unwrap();
    // A query on that commit may not see the first five twice.
    until("the rows on top of the late commit", || {
        match ingest.hot().rows_after(&table(), &head) {
            HotCut::Rows(rows) => {
                assert_eq!(count(&rows.batches), 20);
                true
            }
            HotCut::Empty => panic!("twenty rows are on top of it"),
            // It starts over, and commits what it has soon: then the head is a newer one.
            HotCut::Gone => ingest.stats().watermark > 5,
        }
    })
    .await;
    publish(&ingest, 25..27).await;
    ingest.shutdown().await.unwrap();
    assert_eq!(house.values().await, (0..27).collect::<Vec<_>>());
}
