//! The external source, against the one broker at hand: the embedded one of another ingester.

use std::net::SocketAddr;

use ingest::{BrokerConfig, Ingest, IngestConfig, MqttConfig, Source};

use crate::support::{House, TOPIC, decoded, numbered, publish_v5, table, until};

fn external(house: &House, broker: SocketAddr) -> IngestConfig {
    let mut config = house.config();
    config.source = Source::External(MqttConfig {
        url: format!("mqtt://{broker}"),
        receive_maximum: 100,
        ..MqttConfig::default()
    });
    config
}

/// Publishes one message after the other until the subscriber has one, so that it is subscribed.
async fn wait_for_subscription(ingest: &Ingest, broker: SocketAddr) -> u64 {
    for n in 1.. {
        publish_v5(broker, "probe", &[(TOPIC, "{\"n\":-1}".to_owned())]).await;
        if ingest.stats().rows > 0 {
            return n;
        }
    }
    unreachable!("the loop is endless")
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_through_a_broker_and_through_its_restart() {
    let (there, here) = (House::new(), House::new());
    let broker = there.start().await;
    let address = broker.listen_addr().unwrap();
    let config = external(&here, address);
    let ingest = Ingest::start(config, here.lake().await).await.unwrap();
    assert_eq!(ingest.listen_addr(), None);
    wait_for_subscription(&ingest, address).await;
    // Let the probes that are still under way arrive.
    until("probes acknowledged", || {
        ingest.stats().acked == ingest.stats().received
    })
    .await;
    let before = ingest.stats().rows;
    publish_v5(address, "c", &numbered(0..500)).await;
    until("500 rows", || ingest.stats().rows >= before + 500).await;

    drop(broker);
    until("the loss is told", || ingest.stats().last_error.is_some()).await;
    let mut config = there.config();
    config.source = Source::Embedded(BrokerConfig {
        listen: Some(address),
        ..BrokerConfig::default()
    });
    let lake = there.lake().await;
    let broker = loop {
        // The old listener closes when its task is dropped, which may be a moment later.
        if let Ok(broker) = Ingest::start(config.clone(), lake.clone()).await {
            break broker;
        }
        tokio::task::yield_now().await;
    };
    let before = ingest.stats().rows;
    while ingest.stats().rows == before {
        publish_v5(address, "probe", &[(TOPIC, "{\"n\":-1}".to_owned())]).await;
    }
    ingest.flush().await.unwrap();
    assert_eq!(ingest.stats().last_error, None);
    let stats = ingest.stats();
    ingest.shutdown().await.unwrap();
    assert!(here.committed(&table()).await >= stats.committed_rows);
    drop(broker);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_broker_is_waited_for_and_told() {
    let house = House::new();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let config = external(&house, closed);
    let ingest = Ingest::start(config, house.lake().await).await.unwrap();
    until("the absence is told", || {
        ingest.stats().last_error.is_some()
    })
    .await;
    let told = ingest.stats().last_error.unwrap();
    assert!(
        told.contains("MQTT broker") && told.contains("check"),
        "{told}"
    );
    decoded(&ingest, 0).await;
    ingest.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_and_overlapping_topics_are_refused() {
    let house = House::new();
    let mut config = external(&house, "127.0.0.1:1".parse().unwrap());
    let mut second = config.streams[0].clone();
    second.name = "second".into();
    second.topic = "pumps/north/{pump}/{what}".into();
    config.streams.push(second);
    let error = Ingest::start(config.clone(), house.lake().await)
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("overlap"), "{error}");

    config.source = Source::External(MqttConfig {
        url: "localhost:1883".into(),
        ..MqttConfig::default()
    });
    let error = Ingest::start(config, house.lake().await)
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("mqtt://host:port"), "{error}");
}
