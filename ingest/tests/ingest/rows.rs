//! Messages become rows: visible at once, committed once, or kept as dead letters.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Float64Type;
use lake::hot::HotCut;

use crate::support::{
    House, TOPIC, dead_letters, decoded, numbered, publish_v4, publish_v5, table, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_seen_at_once_and_committed_once() {
    let house = House::new();
    let ingest = house.start().await;
    let address = ingest.listen_addr().unwrap();
    publish_v4(address, "four", &numbered(0..50)).await;
    publish_v5(address, "five", &numbered(50..100)).await;
    decoded(&ingest, 100).await;
    assert_eq!(house.committed(&table()).await, 0);
    let hot = house.hot(&ingest, &table()).await;
    let mut seen: Vec<f64> = Vec::new();
    for batch in &hot {
        seen.extend(batch["n"].as_primitive::<Float64Type>().values());
        assert_eq!(batch["pump"].as_string::<i32>().value(0), "p7");
    }
    seen.sort_by(f64::total_cmp);
    assert_eq!(seen, (0..100).map(f64::from).collect::<Vec<_>>());

    let before = house.lake().await.catalog().head("main").await.unwrap();
    ingest.flush().await.unwrap();
    assert_eq!(house.committed(&table()).await, 100);
    assert_eq!(house.hot_rows(&ingest, &table()).await, 0);
    assert!(matches!(
        ingest.hot().rows_after(&table(), &before),
        HotCut::Gone
    ));
    ingest.flush().await.unwrap();
    let stats = ingest.stats();
    assert_eq!((stats.received, stats.logged, stats.acked), (100, 100, 100));
    assert_eq!(
        (stats.rows, stats.commits, stats.committed_rows),
        (100, 1, 100)
    );
    assert_eq!((stats.wal_position, stats.watermark), (100, 100));
    assert_eq!(stats.last_error, None);
    ingest.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_comes_by_rows_and_by_age() {
    let house = House::new();
    let lake = house.lake().await;
    let mut config = house.config();
    config.flush_rows = 10;
    let ingest = ingest::Ingest::start(config.clone(), lake.clone())
        .await
        .unwrap();
    publish_v4(ingest.listen_addr().unwrap(), "c", &numbered(0..25)).await;
    until("a flush by rows", || ingest.stats().commits > 0).await;
    ingest.shutdown().await.unwrap();
    assert_eq!(house.committed(&table()).await, 25);

    config.flush_rows = 1_000;
    config.flush_interval = std::time::Duration::from_millis(20);
    let ingest = ingest::Ingest::start(config, lake).await.unwrap();
    publish_v4(ingest.listen_addr().unwrap(), "c", &numbered(25..26)).await;
    until("a flush by age", || ingest.stats().commits == 1).await;
    ingest.shutdown().await.unwrap();
    assert_eq!(house.committed(&table()).await, 26);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_row_becomes_a_dead_letter() {
    let house = House::new();
    let ingest = house.start().await;
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(10 << 20));
    let messages = [
        (TOPIC, "{\"n\":1}".to_owned()),
        (TOPIC, "no json".to_owned()),
        (TOPIC, "{\"n\":\"one\"}".to_owned()),
        (TOPIC, large.clone()),
        ("somewhere/else", "{}".to_owned()),
        (TOPIC, "{\"n\":2}".to_owned()),
    ];
    publish_v5(ingest.listen_addr().unwrap(), "c", &messages).await;
    decoded(&ingest, 6).await;
    assert_eq!(house.hot_rows(&ingest, &table()).await, 2);
    let letters = house.hot(&ingest, &dead_letters()).await;
    let mut reasons = Vec::new();
    let mut sizes = Vec::new();
    for batch in &letters {
        let text = batch["reason"].as_string::<i32>();
        reasons.extend(text.iter().flatten().map(str::to_owned));
        let payloads = batch["payload"].as_binary::<i32>();
        sizes.extend(payloads.iter().flatten().map(<[u8]>::len));
        assert_eq!(batch["received_at"].null_count(), 0);
    }
    let expected = [
        "not a JSON object",
        "a string where a double",
        "larger than",
        "no stream",
    ];
    assert_eq!(reasons.len(), expected.len());
    for (reason, expected) in reasons.iter().zip(expected) {
        assert!(reason.contains(expected), "{reason}");
    }
    assert_eq!(sizes[2], large.len());
    ingest.flush().await.unwrap();
    assert_eq!(house.committed(&dead_letters()).await, 4);
    assert_eq!(house.committed(&table()).await, 2);
    assert_eq!(house.watermark(&ingest).await, 6);
    assert_eq!(ingest.stats().commits, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_alone_move_the_watermark() {
    let house = House::new();
    let ingest = house.start().await;
    let nowhere = [("nowhere", "{}".to_owned())];
    publish_v4(ingest.listen_addr().unwrap(), "c", &nowhere).await;
    ingest.flush().await.unwrap();
    assert_eq!(house.watermark(&ingest).await, 1);
    assert_eq!(house.committed(&dead_letters()).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_field_becomes_a_column() {
    let house = House::new();
    let ingest = house.start().await;
    let address = ingest.listen_addr().unwrap();
    publish_v5(address, "c", &numbered(0..3)).await;
    decoded(&ingest, 3).await;
    let wider = [
        (TOPIC, "{\"n\":3,\"mode\":\"auto\",\"serial\":5}".to_owned()),
        (TOPIC, "{\"n\":4,\"mode\":7}".to_owned()),
    ];
    publish_v5(address, "c", &wider).await;
    decoded(&ingest, 5).await;
    let hot = house.hot(&ingest, &table()).await;
    let modes = hot.iter().filter_map(|b| b.column_by_name("mode"));
    let modes = modes.map(|mode| mode.len() - mode.null_count());
    assert_eq!(modes.sum::<usize>(), 1);
    assert_eq!(ingest.stats().dead_letters, 1);
    ingest.flush().await.unwrap();
    assert_eq!(house.committed(&table()).await, 4);

    let lake = house.lake().await;
    let head = lake.catalog().head("main").await.unwrap();
    let schema = lake.table(&head, &table()).await.unwrap().arrow_schema();
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["site", "pump", "n", "ts", "serial", "mode"]);
}
