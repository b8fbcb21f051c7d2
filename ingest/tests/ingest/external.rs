//! The external source, against the one broker at hand: the embedded one of another ingester.

use std::net::SocketAddr;

use ingest::{BrokerConfig, Ingest, IngestConfig, MqttConfig, Source, TlsFiles};

use crate::papers::Papers;
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

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_a_broker_is_gone() {
    let (there, papers) = (House::new(), Papers::new());
    let local = || "127.0.0.1:0".parse().ok();
    let users = papers.file("users");
    // `alice` with `secret`.
    let line = "alice:$7$101$gwP5bZ13K3cxW22H$Zlt3trkylNjqok9qEKWB2ise2f2N3cHdzc069E3DCDk1EVRBOvvHodn0bVtAVa310uNcv4Qg2HAY/UW7awL42w==";
    std::fs::write(&users, line).unwrap();
    let mut config = there.config();
    config.source = Source::Embedded(BrokerConfig {
        listen: local(),
        tls_listen: local(),
        ws_listen: local(),
        wss_listen: local(),
        tls: papers.of_broker(),
        users: Some(users),
        allow_anonymous: Some(true),
        ..BrokerConfig::default()
    });
    let broker = Ingest::start(config, there.lake().await).await.unwrap();
    let plain = broker.listen_addr().unwrap();
    for (&(door, address), version) in broker.listen_addrs().iter().zip([4, 5, 4, 5]) {
        let here = House::new();
        let scheme = door.strip_prefix("mqtt-").unwrap_or(door);
        let ca = scheme.ends_with('s') && scheme != "ws";
        let mut config = here.config();
        config.source = Source::External(MqttConfig {
            url: format!("{scheme}://localhost:{}", address.port()),
            tls: TlsFiles {
                ca: ca.then(|| papers.file("ca.pem")),
                ..TlsFiles::default()
            },
            username: Some("alice".into()),
            password: Some("secret".into()),
            version,
            ..MqttConfig::default()
        });
        let ingest = Ingest::start(config, here.lake().await).await.unwrap();
        // A start waits for the subscription.
        publish_v5(plain, "publisher", &numbered(0..300)).await;
        decoded(&ingest, 300).await;
        ingest.shutdown().await.unwrap();
        assert_eq!(here.committed(&table()).await, 300, "{door}");
    }
}
