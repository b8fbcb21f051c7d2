//! Streams change while messages flow: none is lost, none is a row twice.

use catalog::{CommitMeta, ErrorKind, Key, Operation};
use ingest::{Ingest, StreamConfig};

use crate::support::{House, dead_letters, decoded, numbered, publish_v5, table};

fn other() -> Key {
    "pumps.other".parse().unwrap()
}

fn stream(name: &str, topic: &str, table: Key) -> StreamConfig {
    StreamConfig::new(name, topic, table)
}

/// Everything below `pumps`, into `pumps.other`.
fn into_other() -> Vec<StreamConfig> {
    vec![stream("other", "pumps/{site}/{pump}/telemetry", other())]
}

async fn publish(ingest: &Ingest, client: &str, numbers: std::ops::Range<usize>) {
    let address = ingest.listen_addr().unwrap();
    publish_v5(address, client, &numbered(numbers)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_after_a_change_follow_the_new_streams() {
    let house = House::new();
    let ingest = house.start().await;
    publish(&ingest, "a", 0..10).await;
    decoded(&ingest, 10).await;
    ingest.set_streams(&into_other()).unwrap();
    publish(&ingest, "b", 10..25).await;
    decoded(&ingest, 25).await;
    assert_eq!(house.hot_rows(&ingest, &table()).await, 10);
    assert_eq!(house.hot_rows(&ingest, &other()).await, 15);
    ingest.set_streams(&[]).unwrap();
    publish(&ingest, "c", 25..30).await;
    decoded(&ingest, 30).await;
    ingest.flush().await.unwrap();
    let committed = [table(), other(), dead_letters()];
    let mut rows = Vec::new();
    for key in &committed {
        rows.push(house.committed(key).await);
    }
    assert_eq!(rows, [10, 15, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_after_a_crash_decodes_all_of_the_log_by_the_streams_of_then() {
    let house = House::new();
    let ingest = house.start().await;
    publish(&ingest, "a", 0..7).await;
    decoded(&ingest, 7).await;
    ingest.flush().await.unwrap();
    publish(&ingest, "b", 7..20).await;
    decoded(&ingest, 20).await;
    ingest.set_streams(&into_other()).unwrap();
    publish(&ingest, "c", 20..24).await;
    decoded(&ingest, 24).await;
    drop(ingest);
    let mut config = house.config();
    config.streams = into_other();
    let ingest = Ingest::start(config, house.lake().await).await.unwrap();
    decoded(&ingest, 17).await;
    ingest.flush().await.unwrap();
    assert_eq!(house.committed(&table()).await, 7);
    assert_eq!(house.committed(&other()).await, 17);
}

/// Rows that are hot already are decoded again when their table goes: by the streams of then, and
/// once each.
#[tokio::test(flavor = "multi_thread")]
async fn decoding_again_after_a_change_leaves_each_message_once() {
    let house = House::new();
    let ingest = house.start().await;
    publish(&ingest, "a", 0..12).await;
    decoded(&ingest, 12).await;
    ingest.set_streams(&into_other()).unwrap();
    publish(&ingest, "b", 12..20).await;
    decoded(&ingest, 20).await;
    let lake = house.lake().await;
    let head = lake.catalog().head("main").await.unwrap();
    let drop_table = vec![Operation::Delete { key: table() }];
    let meta = CommitMeta::new("test", "drop");
    let dropped = lake
        .catalog()
        .commit_operations("main", meta, head.id(), drop_table);
    dropped.await.unwrap();
    ingest.flush().await.unwrap();
    assert_eq!(house.committed(&table()).await, 0);
    assert_eq!(house.committed(&other()).await, 20);
    assert_eq!(ingest.stats().dead_letters, 0);
    drop(ingest);
    let mut config = house.config();
    config.streams = into_other();
    let ingest = Ingest::start(config, lake).await.unwrap();
    ingest.flush().await.unwrap();
    assert_eq!(house.committed(&other()).await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_under_load_lose_and_double_nothing() {
    let house = House::new();
    let ingest = house.start().await;
    let publishing = async {
        for round in 0..20 {
            publish(&ingest, &format!("c{round}"), round * 50..(round + 1) * 50).await;
        }
    };
    let changing = async {
        for round in 0..40 {
            let streams = match round % 2 {
                0 => into_other(),
                _ => house.config().streams,
            };
            ingest.set_streams(&streams).unwrap();
            if round % 5 == 0 {
                ingest.flush().await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(publishing, changing);
    ingest.flush().await.unwrap();
    let (first, second) = (
        house.committed(&table()).await,
        house.committed(&other()).await,
    );
    assert_eq!(first + second, 1_000);
    assert_eq!(house.committed(&dead_letters()).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_and_changes_nothing() {
    let house = House::new();
    let ingest = house.start().await;
    let twice = [into_other(), into_other()].concat();
    let dead = vec![stream("dead", "dead/{x}", dead_letters())];
    let bad = vec![stream("bad", "a/{x", other())];
    let partition = |by: &str| StreamConfig {
        partition: vec![by.to_owned()],
        ..stream("p", "p/{pump}", other())
    };
    for streams in [twice, dead, bad, vec![partition("day(pump)")]] {
        let error = ingest.set_streams(&streams).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let error = ingest.check_streams(&[partition("size")]).unwrap_err();
    assert!(error.hint().unwrap().contains("pump, ts"), "{error}");
    ingest
        .check_streams(&[partition("bucket(4, pump)")])
        .unwrap();
    publish(&ingest, "a", 0..3).await;
    decoded(&ingest, 3).await;
    ingest.flush().await.unwrap();
    assert_eq!(house.committed(&table()).await, 3);
    let clash = StreamConfig {
        columns: [("n".to_owned(), "string".to_owned())].into(),
        ..house.config().streams[0].clone()
    };
    let error = ingest.check_table(&clash).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    ingest
        .check_table(&house.config().streams[0])
        .await
        .unwrap();
    ingest.check_table(&partition("pump")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_names_its_rows_from_now_on_knows_those_that_are_there() {
    let house = House::new();
    let ingest = house.start().await;
    publish(&ingest, "a", 0..5).await;
    decoded(&ingest, 5).await;
    ingest.flush().await.unwrap();
    let named = StreamConfig {
        dedup: vec!["n".to_owned()],
        ..house.config().streams[0].clone()
    };
    ingest.set_streams(&[named]).unwrap();
    publish(&ingest, "b", 0..8).await;
    publish(&ingest, "c", 6..9).await;
    ingest.flush().await.unwrap();
    assert_eq!(house.values().await, (0..9).collect::<Vec<_>>());
}
