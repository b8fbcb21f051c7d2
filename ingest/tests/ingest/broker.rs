//! The embedded broker: both versions of the protocol, and every way a client can go wrong.

use std::net::SocketAddr;

use ingest::{BrokerConfig, Ingest, Source};
use rmqtt_codec::types::QoS;
use rmqtt_codec::v3;
use rmqtt_codec::v5::{self, SubscribeAckReason, SubscriptionOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{
    House, Raw, TOPIC, decoded, numbered, publish_packet, publish_v4, publish_v5,
};

fn connect(client: &str) -> v5::Connect {
    let connect = v5::Connect {
        clean_start: true,
        ..v5::Connect::default()
    };
    connect.client_id(client)
}

fn subscribe(filter: &str, options: SubscriptionOptions) -> v5::Packet {
    v5::Packet::Subscribe(v5::Subscribe {
        packet_id: 1.try_into().unwrap(),
        id: None,
        user_properties: Vec::new(),
        topic_filters: vec![(filter.into(), options)],
    })
}

async fn granted(client: &mut Raw<v5::Codec>, filter: &str, qos: QoS) -> SubscribeAckReason {
    let options = SubscriptionOptions {
        qos,
        ..SubscriptionOptions::default()
    };
    client.send(subscribe(filter, options)).await;
    match client.receive().await {
        Some(v5::Packet::SubscribeAck(ack)) => ack.status[0],
        other => panic!("{other:?} instead of a SUBACK"),
    }
}

async fn start() -> (House, Ingest, SocketAddr) {
    let house = House::new();
    let ingest = house.start().await;
    let address = ingest.listen_addr().unwrap();
    (house, ingest, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_get_what_they_asked_for() {
    let (_house, ingest, address) = start().await;
    let (mut five, ack) = Raw::v5(address, connect("five")).await;
    assert_eq!(ack.max_qos, QoS::ExactlyOnce);
    assert!(ack.retain_available && ack.shared_subscription_available);
    let granted_qos = granted(&mut five, "pumps/+/p7/#", QoS::ExactlyOnce).await;
    assert_eq!(granted_qos, SubscribeAckReason::GrantedQos2);

    let mut three = Raw::v3(address, "three", 0).await;
    three
        .send(v3::Packet::Subscribe {
            packet_id: 1.try_into().unwrap(),
            topic_filters: vec![
                ("pumps/#".into(), QoS::AtMostOnce),
                ("a#".into(), QoS::AtMostOnce),
            ],
        })
        .await;
    let Some(v3::Packet::SubscribeAck { status, .. }) = three.receive().await else {
        panic!("no SUBACK");
    };
    assert_eq!(
        status,
        [
            v3::SubscribeReturnCode::Success(QoS::AtMostOnce),
            v3::SubscribeReturnCode::Failure
        ]
    );

    publish_v4(address, "publisher", &numbered(0..1)).await;
    let Some(v5::Packet::Publish(got)) = five.receive().await else {
        panic!("no PUBLISH");
    };
    assert_eq!((got.qos, &got.topic[..]), (QoS::AtLeastOnce, TOPIC));
    assert_eq!(&got.payload[..], b"{\"n\":0}");
    let Some(v3::Packet::Publish(got)) = three.receive().await else {
        panic!("no PUBLISH");
    };
    assert_eq!((got.qos, got.packet_id), (QoS::AtMostOnce, None));

    five.send(v5::Packet::Unsubscribe(v5::Unsubscribe {
        packet_id: 2.try_into().unwrap(),
        user_properties: Vec::new(),
        topic_filters: vec!["pumps/+/p7/#".into(), "other".into()],
    }))
    .await;
    let Some(v5::Packet::UnsubscribeAck(ack)) = five.receive().await else {
        panic!("no UNSUBACK");
    };
    let codes: Vec<u8> = ack.status.into_iter().map(u8::from).collect();
    assert_eq!(codes, [0, 17]);
    five.send(v5::Packet::PingRequest).await;
    assert_eq!(five.receive().await, Some(v5::Packet::PingResponse));
    drop(ingest);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_does_not_do_is_refused_by_the_protocol() {
    let (_house, ingest, address) = start().await;
    let (mut client, _) = Raw::v5(address, connect("c")).await;
    let shared = granted(&mut client, "$share//pumps/#", QoS::AtMostOnce).await;
    assert_eq!(shared, SubscribeAckReason::TopicFilterInvalid);
    let bad = granted(&mut client, "a/#/b", QoS::AtMostOnce).await;
    assert_eq!(bad, SubscribeAckReason::TopicFilterInvalid);

    let mut aliased = publish_packet(1, false, TOPIC, "{}");
    aliased.properties = Some(v5::PublishProperties {
        topic_alias: Some(u16::MAX.try_into().unwrap()),
        ..v5::PublishProperties::default()
    });
    client.send(v5::Packet::from(aliased)).await;
    assert_eq!(client.goodbye().await, 0x94);

    let (mut client, _) = Raw::v5(address, connect("c")).await;
    let wild = publish_packet(1, false, "pumps/#", "{}");
    client.send(v5::Packet::from(wild)).await;
    assert_eq!(client.goodbye().await, 0x90);

    let (_, ack) = Raw::v5(
        address,
        v5::Connect {
            auth_method: Some("SCRAM".into()),
            ..connect("c")
        },
    )
    .await;
    assert_eq!(u8::from(ack.reason_code), 0x8c);
    assert_eq!(ingest.stats().received, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_bytes_close_only_their_connection() {
    let (_house, ingest, address) = start().await;
    let good = Raw::v3(address, "good", 0).await;
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x10\xff\xff\xff\xff\xff",
        b"\x10\x0c\0\x04MQTT\x09\x02\0\0\0\0",
        b"\x30\x02\0\x00",
        b"\xff\xff\xff\xff\xff\xff",
    ] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // Closed, perhaps after a refusal.
        let _ = socket.read_to_end(&mut answer).await;
        assert!(answer.is_empty() || answer == [0x20, 2, 0, 1], "{answer:?}");
    }
    let (mut bad, _) = Raw::v5(address, connect("bad")).await;
    bad.socket.write_all(b"\x36\x04\0\x01a\0").await.unwrap();
    assert_eq!(bad.goodbye().await, 0x81);
    let (mut bad, _) = Raw::v5(address, connect("bad")).await;
    bad.send(v5::Packet::from(connect("bad"))).await;
    assert_eq!(bad.goodbye().await, 0x82);

    let mut good = good;
    good.send(v3::Packet::from(publish_packet(
        1,
        false,
        TOPIC,
        "{\"n\":1}",
    )))
    .await;
    assert!(matches!(
        good.receive().await,
        Some(v3::Packet::PublishAck { .. })
    ));
    decoded(&ingest, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_packet_ends_its_connection_with_the_reason() {
    let house = House::new();
    let mut config = house.config();
    config.source = Source::Embedded(BrokerConfig {
        listen: "127.0.0.1:0".parse().ok(),
        max_packet_bytes: 2_000,
        ..BrokerConfig::default()
    });
    let ingest = Ingest::start(config, house.lake().await).await.unwrap();
    let address = ingest.listen_addr().unwrap();
    let (mut client, ack) = Raw::v5(address, connect("c")).await;
    assert_eq!(ack.max_packet_size, Some(2_000));
    // What came before it is logged and acknowledged all the same.
    client
        .send(v5::Packet::from(publish_packet(
            1,
            false,
            TOPIC,
            "{\"n\":1}",
        )))
        .await;
    let large = "x".repeat(1 << 20);
    client
        .send(v5::Packet::from(publish_packet(2, false, TOPIC, &large)))
        .await;
    assert!(matches!(
        client.receive().await,
        Some(v5::Packet::PublishAck(_))
    ));
    assert_eq!(client.goodbye().await, 0x95);
    decoded(&ingest, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_id_is_taken_over() {
    let (_house, _ingest, address) = start().await;
    let (mut first, _) = Raw::v5(address, connect("same")).await;
    let (mut second, _) = Raw::v5(address, connect("same")).await;
    assert_eq!(first.goodbye().await, 0x8e);
    second.send(v5::Packet::PingRequest).await;
    assert_eq!(second.receive().await, Some(v5::Packet::PingResponse));
    let (_, ack) = Raw::v5(address, connect("")).await;
    assert!(ack.assigned_client_id.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_let_go() {
    let (_house, _ingest, address) = start().await;
    let alive = v5::Connect {
        keep_alive: 1,
        ..connect("silent")
    };
    let (mut client, _) = Raw::v5(address, alive).await;
    assert_eq!(client.goodbye().await, 0x8d);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_acknowledges_what_it_took_and_says_goodbye() {
    let (house, ingest, address) = start().await;
    let (mut client, _) = Raw::v5(address, connect("c")).await;
    for id in 1..=50 {
        let packet = publish_packet(id, false, TOPIC, &format!("{{\"n\":{id}}}"));
        client.send(v5::Packet::from(packet)).await;
    }
    crate::support::until("all received", || ingest.stats().received == 50).await;
    ingest.shutdown().await.unwrap();
    for _ in 1..=50 {
        assert!(matches!(
            client.receive().await,
            Some(v5::Packet::PublishAck(_))
        ));
    }
    assert_eq!(client.goodbye().await, 0x8b);
    assert_eq!(house.committed(&crate::support::table()).await, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_at_once() {
    let (house, ingest, address) = start().await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8 {
        clients.spawn(async move {
            let messages = numbered(client * 100..client * 100 + 100);
            publish_v5(address, &format!("client-{client}"), &messages).await;
        });
    }
    clients.join_all().await;
    ingest.shutdown().await.unwrap();
    assert_eq!(house.committed(&crate::support::table()).await, 800);
}
