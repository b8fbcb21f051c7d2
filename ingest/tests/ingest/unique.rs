//! A stream's `dedup` columns: of rows that are alike in them, the first one is kept.

use catalog::{CommitMeta, Key, Operation};
use ingest::{Ingest, IngestConfig, StreamConfig};

use crate::support::{House, TOPIC, numbered, publish_v4, table, until};

fn config(house: &House) -> IngestConfig {
    let mut config = house.config();
    config.streams[0].dedup = vec!["pump".into(), "n".into()];
    config
}

async fn start(house: &House) -> Ingest {
    Ingest::start(config(house), house.lake().await)
        .await
        .unwrap()
}

async fn property(house: &House) -> Option<String> {
    let lake = house.lake().await;
    let head = lake.catalog().head("main").await.unwrap();
    let table = lake.table(&head, &table()).await.unwrap();
    table
        .metadata()
        .properties()
        .get("pumphouse.dedup")
        .cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_row_of_a_key_is_kept_over_flushes_and_restarts() {
    let house = House::new();
    let ingest = start(&house).await;
    let publish = async |ingest: &Ingest, messages: &[(&str, String)]| {
        publish_v4(ingest.listen_addr().unwrap(), "c", messages).await;
    };
    let (first, again) = (numbered(0..10), numbered(5..15));
    publish(&ingest, &first).await;
    publish(&ingest, &again).await;
    until("the rows", || ingest.stats().rows == 15).await;
    // Nobody sees them twice before the flush either.
    assert_eq!(house.hot_rows(&ingest, &table()).await, 15);
    assert_eq!(ingest.stats().rows_deduplicated, 5);
    ingest.flush().await.unwrap();
    publish(&ingest, &numbered(10..20)).await;
    // Killed with rows in the log only, and started anew.
    drop(ingest);
    let ingest = start(&house).await;
    publish(&ingest, &numbered(0..25)).await;
    ingest.shutdown().await.unwrap();
    assert_eq!(house.values().await, (0..25).collect::<Vec<_>>());
    assert_eq!(property(&house).await.as_deref(), Some("pump,n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_pump_or_no_value_is_another_row() {
    let house = House::new();
    let ingest = start(&house).await;
    let other = "pumps/north/p8/telemetry";
    let messages: Vec<(&str, String)> = vec![
        (TOPIC, "{\"n\":1}".into()),
        (other, "{\"n\":1}".into()),
        (TOPIC, "{\"m\":1}".into()),
        (TOPIC, "{\"m\":1}".into()),
        (other, "{\"n\":1}".into()),
    ];
    publish_v4(ingest.listen_addr().unwrap(), "c", &messages).await;
    ingest.shutdown().await.unwrap();
    assert_eq!(house.values().await, [-1, -1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ingester_and_a_changed_setting_know_what_the_table_has() {
    let house = House::new();
    let ingest = house.start().await;
    publish_v4(ingest.listen_addr().unwrap(), "c", &numbered(0..5)).await;
    ingest.shutdown().await.unwrap();
    assert_eq!(property(&house).await, None);
    let mut config = config(&house);
    config.data_dir = config.data_dir.with_file_name("second");
    let ingest = Ingest::start(config, house.lake().await).await.unwrap();
    publish_v4(ingest.listen_addr().unwrap(), "c", &numbered(0..8)).await;
    ingest.shutdown().await.unwrap();
    assert_eq!(house.values().await, (0..8).collect::<Vec<_>>());
    assert_eq!(property(&house).await.as_deref(), Some("pump,n"));
}

async fn commit(house: &House, operation: Operation) {
    let lake = house.lake().await;
    let head = lake.catalog().head("main").await.unwrap();
    let meta = CommitMeta::new("other", "other");
    let committed = lake.commit("main", meta, &head, vec![operation]).await;
    committed.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_have_gone_from_the_table_come_again() {
    let house = House::new();
    let ingest = start(&house).await;
    let address = ingest.listen_addr().unwrap();
    publish_v4(address, "c", &numbered(0..10)).await;
    ingest.flush().await.unwrap();
    // One session after another takes rows away while the ingester runs.
    let lake = house.lake().await;
    let head = lake.catalog().head("main").await.unwrap();
    let found = lake.table(&head, &table()).await.unwrap();
    commit(&house, lake.stage_truncate(&found).await.unwrap()).await;
    publish_v4(address, "c", &numbered(5..8)).await;
    ingest.flush().await.unwrap();
    assert_eq!(house.values().await, [5, 6, 7]);
    commit(&house, Operation::Delete { key: table() }).await;
    publish_v4(address, "c", &numbered(6..12)).await;
    ingest.flush().await.unwrap();
    assert_eq!(house.values().await, (6..12).collect::<Vec<_>>());
    publish_v4(address, "c", &numbered(6..14)).await;
    ingest.shutdown().await.unwrap();
    assert_eq!(house.values().await, (6..14).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_table_holds_up_no_other() {
    let house = House::new();
    let ingest = start(&house).await;
    publish_v4(ingest.listen_addr().unwrap(), "c", &numbered(0..3)).await;
    ingest.shutdown().await.unwrap();
    let lake = house.lake().await;
    let head = lake.catalog().head("main").await.unwrap();
    let found = lake.table(&head, &table()).await.unwrap();
    let location = found.metadata_location().trim_start_matches("file://");
    std::fs::write(location, "nonsense").unwrap();
    let mut config = config(&house);
    let vans: Key = "vans.telemetry".parse().unwrap();
    let mut stream = StreamConfig::new("vans", "vans/{van}", vans.clone());
    stream.dedup = vec!["van".into(), "n".into()];
    config.streams.push(stream);
    let ingest = Ingest::start(config, house.lake().await).await.unwrap();
    let messages: Vec<(&str, String)> = (0..4)
        .map(|n| ("vans/v", format!("{{\"n\":{n}}}")))
        .collect();
    publish_v4(ingest.listen_addr().unwrap(), "c", &messages).await;
    ingest.flush().await.unwrap();
    assert_eq!(house.committed(&vans).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_given_while_running_meet_the_rows_that_wait() {
    let house = House::new();
    let ingest = house.start().await;
    let address = ingest.listen_addr().unwrap();
    publish_v4(address, "c", &numbered(0..10)).await;
    until("the rows", || ingest.stats().rows == 10).await;
    ingest.set_streams(&config(&house).streams).unwrap();
    publish_v4(address, "c", &numbered(5..15)).await;
    until("the rows", || ingest.stats().rows == 15).await;
    ingest.shutdown().await.unwrap();
    assert_eq!(house.values().await, (0..15).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_one_table_agree_on_its_columns() {
    let house = House::new();
    let ingest = start(&house).await;
    let mut streams = config(&house).streams;
    streams.push(StreamConfig::new("more", "more/{pump}", table()));
    let error = ingest.set_streams(&streams).unwrap_err();
    assert!(error.to_string().contains("dedup"), "{error}");
    streams[1].dedup = streams[0].dedup.clone();
    ingest.set_streams(&streams).unwrap();
}
