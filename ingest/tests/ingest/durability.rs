//! What was acknowledged is committed exactly once, whatever happens in between.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use catalog::{CommitMeta, ErrorKind};
use ingest::{BrokerConfig, Ingest, Source};
use rmqtt_codec::v3;

use crate::support::{
    House, Raw, TOPIC, decoded, numbered, publish_packet, publish_v4, publish_v5, table, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loses_and_doubles_nothing() {
    let house = House::new();
    for round in 0..4 {
        let ingest = house.start().await;
        // Every other round the rows of the round before are only in the log.
        let waiting = if round % 2 == 1 { 20 } else { 0 };
        decoded(&ingest, waiting).await;
        let messages = numbered(round * 20..round * 20 + 20);
        publish_v5(ingest.listen_addr().unwrap(), "c", &messages).await;
        if round % 2 == 1 {
            ingest.flush().await.unwrap();
        }
        drop(ingest);
        let committed = house.committed(&table()).await;
        assert_eq!(
            committed,
            if round % 2 == 1 {
                (round as u64 + 1) * 20
            } else {
                round as u64 * 20
            }
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_leaves_nothing_to_replay() {
    let house = House::new();
    let ingest = house.start().await;
    publish_v4(ingest.listen_addr().unwrap(), "c", &numbered(0..10)).await;
    ingest.shutdown().await.unwrap();
    assert_eq!(house.committed(&table()).await, 10);
    let ingest = house.start().await;
    let stats = ingest.stats();
    assert_eq!((stats.watermark, stats.rows), (10, 0));
    assert_eq!(house.hot_rows(&ingest, &table()).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivery_is_dropped_across_a_restart() {
    let house = House::new();
    let send = async |ingest: &Ingest, id, dup, payload: &str| {
        let mut client = Raw::v3(ingest.listen_addr().unwrap(), "device", 0).await;
        let packet = publish_packet(id, dup, TOPIC, payload);
        client.send(v3::Packet::from(packet)).await;
        let ack = client.receive().await;
        assert!(matches!(ack, Some(v3::Packet::PublishAck { packet_id }) if packet_id.get() == id));
    };
    let ingest = house.start().await;
    send(&ingest, 7, false, "{\"n\":1}").await;
    send(&ingest, 7, true, "{\"n\":1}").await;
    ingest.flush().await.unwrap();
    assert_eq!(ingest.stats().duplicates_dropped, 1);
    drop(ingest);
    let ingest = house.start().await;
    send(&ingest, 7, true, "{\"n\":1}").await;
    assert_eq!(ingest.stats().duplicates_dropped, 1);
    send(&ingest, 7, true, "{\"n\":2}").await;
    send(&ingest, 8, true, "{\"n\":1}").await;
    send(&ingest, 7, false, "{\"n\":1}").await;
    ingest.shutdown().await.unwrap();
    assert_eq!(house.committed(&table()).await, 4);
}

/// The segment that holds the records.
fn segment(house: &House) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(house.log_folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut() {
    let house = House::new();
    let ingest = house.start().await;
    publish_v4(ingest.listen_addr().unwrap(), "c", &numbered(0..5)).await;
    drop(ingest);
    let file = segment(&house);
    let mut bytes = fs::read(&file).unwrap();
    bytes.extend_from_slice(&[0x55; 30]);
    fs::write(&file, &bytes).unwrap();
    let ingest = house.start().await;
    assert_eq!(ingest.stats().last_error, None);
    ingest.flush().await.unwrap();
    assert_eq!(house.committed(&table()).await, 5);
    publish_v4(ingest.listen_addr().unwrap(), "c", &numbered(5..7)).await;
    ingest.shutdown().await.unwrap();
    assert_eq!(house.committed(&table()).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_costs_its_record_and_is_told() {
    let house = House::new();
    let ingest = house.start().await;
    publish_v4(ingest.listen_addr().unwrap(), "c", &numbered(0..5)).await;
    drop(ingest);
    let file = segment(&house);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let ingest = house.start().await;
    let told = ingest.stats().last_error.unwrap();
    assert!(told.contains("positions 3 to 3 are lost"), "{told}");
    ingest.flush().await.unwrap();
    assert!(ingest.stats().last_error.is_some());
    assert_eq!(house.committed(&table()).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_folder_and_one_port_take_one_ingester() {
    let house = House::new();
    let ingest = house.start().await;
    let error = Ingest::start(house.config(), house.lake().await)
        .await
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("another process ingests"),
        "{error}"
    );

    let other = House::new();
    let mut config = other.config();
    config.source = Source::Embedded(BrokerConfig {
        listen: ingest.listen_addr(),
        ..BrokerConfig::default()
    });
    let error = Ingest::start(config, other.lake().await)
        .await
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("cannot listen for MQTT"),
        "{error}"
    );
    drop(ingest);
    house.start().await;
}

/// Commits a watermark for the only ingester of the house, as another process would.
async fn commit_watermark(house: &House, from: Option<u64>, to: u64) {
    let id = fs::read_to_string(house.log_folder().with_file_name("ingester-id")).unwrap();
    let lake = house.lake().await;
    let change = lake.append(Vec::new()).with_watermark(id.trim(), from, to);
    let meta = CommitMeta::new("somebody", "a commit as this ingester");
    let catalog = lake.catalog();
    catalog
        .commit("main", meta, Arc::new(change))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_committer_fences_the_first() {
    let house = House::new();
    let ingest = house.start().await;
    let address = ingest.listen_addr().unwrap();
    publish_v4(address, "c", &numbered(0..3)).await;
    ingest.flush().await.unwrap();
    commit_watermark(&house, Some(3), 4).await;
    let failed = ingest.failed();
    publish_v4(address, "c", &numbered(3..6)).await;
    let error = ingest.flush().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let error = failed.await;
    assert!(
        error.to_string().contains("another process committed"),
        "{error}"
    );
    assert_eq!(house.committed(&table()).await, 3);
    assert!(ingest.flush().await.is_err());
    assert!(ingest.shutdown().await.is_err());
}

/// Regression: a foreign commit that ended at the same position was taken for one's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_committer_at_the_same_position_fences_too() {
    let house = House::new();
    let ingest = house.start().await;
    publish_v4(ingest.listen_addr().unwrap(), "c", &numbered(0..3)).await;
    decoded(&ingest, 3).await;
    commit_watermark(&house, None, 3).await;
    let error = ingest.flush().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(house.committed(&table()).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_gone_is_noticed() {
    let house = House::new();
    let ingest = house.start().await;
    publish_v4(ingest.listen_addr().unwrap(), "c", &numbered(0..3)).await;
    ingest.shutdown().await.unwrap();
    fs::remove_dir_all(house.log_folder()).unwrap();
    let error = Ingest::start(house.config(), house.lake().await)
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.to_string().contains("files of the log are missing"),
        "{error}"
    );
}

/// Regression: the rows between were missing, and nothing said so.
#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_went_back_behind_the_log_is_told() {
    let house = House::new();
    let mut config = house.config();
    config.segment_bytes = 1;
    // No message of the log is kept for the sake of redeliveries.
    config.log_bytes = 1;
    let ingest = Ingest::start(config.clone(), house.lake().await)
        .await
        .unwrap();
    let address = ingest.listen_addr().unwrap();
    publish_v4(address, "c", &numbered(0..1)).await;
    ingest.flush().await.unwrap();
    let older = house.lake_folder().with_file_name("older");
    let copied = std::process::Command::new("cp")
        .args(["-a"])
        .args([house.lake_folder(), older.clone()])
        .status();
    assert!(copied.unwrap().success());
    for n in 1..5 {
        publish_v4(address, "c", &numbered(n..n + 1)).await;
        ingest.flush().await.unwrap();
    }
    ingest.shutdown().await.unwrap();
    fs::remove_dir_all(house.lake_folder()).unwrap();
    fs::rename(older, house.lake_folder()).unwrap();
    let ingest = Ingest::start(config, house.lake().await).await.unwrap();
    until("the loss to be told", || !ingest.stats().losses.is_empty()).await;
    let told = &ingest.stats().losses[0];
    assert!(told.contains("positions 2 to 4 are lost"), "{told}");
    ingest.shutdown().await.unwrap();
    // The last message is still in the last segment, and comes again.
    assert_eq!(house.committed(&table()).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_lake_is_waited_for() {
    let house = House::new();
    let ingest = house.start().await;
    let address = ingest.listen_addr().unwrap();
    publish_v4(address, "c", &numbered(0..3)).await;
    ingest.flush().await.unwrap();

    let catalog = house.lake_folder().join("_catalog");
    let away = house.lake_folder().join("away");
    fs::rename(&catalog, &away).unwrap();
    fs::write(&catalog, "a file where a folder was").unwrap();
    publish_v4(address, "c", &numbered(3..6)).await;
    let error = ingest.flush().await.unwrap_err();
    assert_eq!(ingest.stats().last_error, Some(error.to_string()));
    publish_v4(address, "c", &numbered(6..9)).await;
    assert_eq!(ingest.stats().acked, 9);

    fs::remove_file(&catalog).unwrap();
    fs::rename(&away, &catalog).unwrap();
    ingest.shutdown().await.unwrap();
    assert_eq!(house.committed(&table()).await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_buffer_bounds_memory_and_still_takes_messages() {
    let house = House::new();
    let mut config = house.config();
    config.buffer_bytes = 20_000;
    config.flush_bytes = 10_000;
    let ingest = Ingest::start(config, house.lake().await).await.unwrap();
    publish_v4(ingest.listen_addr().unwrap(), "c", &numbered(0..3_000)).await;
    decoded(&ingest, 3_000).await;
    ingest.flush().await.unwrap();
    assert_eq!(ingest.stats().committed_rows, 3_000);
    assert!(ingest.stats().commits > 1);
    ingest.shutdown().await.unwrap();
    assert_eq!(house.committed(&table()).await, 3_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_told() {
    let house = House::new();
    let mut config = house.config();
    config.streams[0].topic = "pumps/+/telemetry".into();
    let error = Ingest::start(config, house.lake().await)
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("stream 'telemetry'"), "{error}");

    let mut config = house.config();
    config.branch = "nowhere".into();
    let start = Ingest::start(config, house.lake().await);
    let error = tokio::time::timeout(Duration::from_secs(10), start)
        .await
        .unwrap();
    assert_eq!(error.err().unwrap().kind(), ErrorKind::NotFound);
}
