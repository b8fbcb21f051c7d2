//! More than the embedded broker has to take: connections that say nothing, too many of them, and
//! clients that send too fast.

use ingest::BrokerConfig;
use rmqtt_codec::v5;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::doors::{address, local, start};
use crate::papers::Papers;
use crate::support::{House, Raw, count, decoded, numbered, publish_v5, table, until};

#[tokio::test(flavor = "multi_thread")]
async fn those_who_say_nothing_keep_nobody_out() {
    let (house, papers) = (House::new(), Papers::new());
    let broker = BrokerConfig {
        listen: local(),
        tls_listen: local(),
        ws_listen: local(),
        tls: papers.of_broker(),
        max_connections: 1_100,
        ..BrokerConfig::default()
    };
    let ingest = start(&house, broker).await;
    let beginnings: [(&str, &[u8]); 5] = [
        ("mqtt", b""),
        // A CONNECT that says it is very long, and never comes.
        ("mqtt", b"\x10\xff\xff\xff\x7f\0\x04MQTT\x05"),
        ("mqtt", b"\x10\x20\0\x04MQ"),
        ("mqtts", b"\x16\x03\x01\x02\0\x01"),
        ("mqtt-ws", b"GET /mqtt HTTP/1.1\r\nhost: "),
    ];
    let mut silent = Vec::new();
    for n in 0..1_500 {
        let (door, bytes) = beginnings[n % beginnings.len()];
        let mut socket = TcpStream::connect(address(&ingest, door)).await.unwrap();
        let _ = socket.write_all(bytes).await;
        silent.push(socket);
    }
    // A broker that is full for one who comes late would not answer.
    publish_v5(address(&ingest, "mqtt"), "late", &numbered(0..50)).await;
    decoded(&ingest, 50).await;
    assert_eq!(ingest.stats().broker.connects, 1);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_closed() {
    let house = House::new();
    let broker = BrokerConfig {
        listen: local(),
        max_connections: 2,
        ..BrokerConfig::default()
    };
    let ingest = start(&house, broker).await;
    let address = address(&ingest, "mqtt");
    let first = Raw::v3(address, "first", 0).await;
    let _second = Raw::v3(address, "second", 0).await;
    let mut third = TcpStream::connect(address).await.unwrap();
    assert!(!matches!(third.read(&mut [0; 8]).await, Ok(1..)));
    assert_eq!(ingest.stats().broker.refused_connections, 1);
    drop(first);
    until("the first has left", || {
        ingest.stats().broker.connections == 1
    })
    .await;
    publish_v5(address, "fourth", &numbered(0..1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fast_client_is_read_slower_and_loses_nothing() {
    let house = House::new();
    let broker = BrokerConfig {
        listen: local(),
        max_messages_per_second: 300,
        ..BrokerConfig::default()
    };
    let ingest = start(&house, broker).await;
    let address = address(&ingest, "mqtt");
    let connect = v5::Connect {
        clean_start: true,
        ..v5::Connect::default()
    };
    let (_, ack) = Raw::v5(address, connect).await;
    assert_eq!(ack.receive_max.get(), 300);
    publish_v5(address, "fast", &numbered(0..700)).await;
    decoded(&ingest, 700).await;
    assert!(ingest.stats().broker.throttled > 0);
    assert_eq!(count(&house.hot(&ingest, &table()).await), 700);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_is_that_of_messages_no_matter_what_becomes_of_them() {
    let house = House::new();
    let broker = BrokerConfig {
        listen: local(),
        max_messages_per_second: 300,
        subscribe: vec!["other/#".into()],
        ..BrokerConfig::default()
    };
    let ingest = start(&house, broker).await;
    publish_v5(address(&ingest, "mqtt"), "fast", &numbered(0..700)).await;
    let stats = ingest.stats();
    assert_eq!(stats.logged, 0);
    assert!(stats.broker.throttled > 0);
}
