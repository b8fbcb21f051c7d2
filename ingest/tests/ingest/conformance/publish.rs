//! Messages at QoS 0 and 1, in both directions.

use super::Broker;
use super::client::{BOTH, Connect, PUBACK, Publish, V5};

#[tokio::test]
async fn mqtt_v5_3_3_4_1_4_3_2_4_2_2_1_5_3_4_2_1_v3_2_3_1_6_4_3_2_2_3_3_4_1_a_message_at_qos_1_is_acknowledged()
 {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        for id in [1, 77, u16::MAX] {
            client
                .send(Publish::new("a", "{}", id).bytes(version))
                .await;
            let ack = client.expect(PUBACK).await;
            assert_eq!((ack.id(), ack.reason(), ack.body.len()), (id, 0, 2));
        }
    }
    assert_eq!(broker.ingest().stats().logged, 6);
}

#[tokio::test]
async fn mqtt_v5_4_3_2_5_v3_4_3_2_2_a_packet_id_is_free_after_its_puback() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut sub = broker.client(version, "sub").await;
        sub.subscribe("a", 1).await;
        let mut client = broker.client(version, "client").await;
        for _ in 0..2 {
            let again = Publish::new("a", "same", 5).dup();
            client.publish_all(&again).await;
            let got = sub.message().await;
            assert_eq!((&got.payload[..], got.dup), ("same", false));
            sub.ack(PUBACK, got.id).await;
        }
    }
}

#[tokio::test]
async fn mqtt_v5_2_2_1_2_3_3_1_2_3_3_1_3_4_3_1_1_v3_2_3_1_5_3_3_1_2_3_3_1_3_4_3_1_1_qos_0_goes_without_id_and_dup()
 {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut sub = broker.client(version, "sub").await;
        sub.subscribe("a", 0).await;
        let mut client = broker.client(version, "client").await;
        for publish in [Publish::new("a", "x", 0), Publish::new("a", "x", 3).dup()] {
            client.publish_all(&publish).await;
            let got = sub.message().await;
            assert_eq!((got.qos, got.dup, &got.payload[..]), (0, false, "x"));
        }
    }
}

#[tokio::test]
async fn mqtt_v5_2_2_1_4_4_3_2_1_4_3_2_2_3_3_1_3_v3_2_3_1_4_4_3_2_1_3_3_1_3_deliveries_have_ids_of_their_own()
 {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut sub = broker.client(version, "sub").await;
        sub.subscribe("a", 1).await;
        let mut client = broker.client(version, "client").await;
        let mut ids = std::collections::HashSet::from([0]);
        for _ in 0..50 {
            client.publish_all(&Publish::new("a", "x", 3).dup()).await;
            let got = sub.message().await;
            assert_eq!((got.qos, got.dup), (1, false));
            assert!(ids.insert(got.id), "{} is in use", got.id);
        }
    }
}

#[tokio::test]
async fn mqtt_v5_3_3_2_3_4_5_0_1_v3_4_5_0_1_3_3_2_3_a_message_comes_to_those_whose_filter_matches()
{
    let broker = Broker::start().await;
    for version in BOTH {
        let mut hit = broker.client(version, "hit").await;
        let mut miss = broker.client(version, "miss").await;
        hit.subscribe("a/+/c", 1).await;
        miss.subscribe("a/b", 1).await;
        broker
            .client(version, "client")
            .await
            .publish("a/b/c", "x")
            .await;
        let got = hit.message().await;
        assert_eq!((&got.topic[..], &got.payload[..]), ("a/b/c", "x"));
        miss.silent().await;
    }
}

#[tokio::test]
async fn mqtt_v5_1_5_4_3_4_7_3_4_v3_1_5_3_3_4_7_3_4_topics_are_taken_as_they_are() {
    let broker = Broker::start().await;
    let topics = [
        "\u{feff}a",
        "a",
        "A",
        "a ",
        "é",
        "e\u{301}",
        "a//b",
        "a/b",
        "/a",
        "a/",
    ];
    for version in BOTH {
        for filter in topics {
            let mut sub = broker.client(version, "sub").await;
            sub.subscribe(filter, 1).await;
            let mut client = broker.client(version, "client").await;
            for topic in topics {
                client.publish(topic, "x").await;
            }
            assert_eq!(sub.message().await.topic, filter);
            sub.silent().await;
        }
    }
}

#[tokio::test]
async fn mqtt_v5_4_7_3_3_v3_4_7_3_3_a_long_topic_is_taken_or_ends_its_connection() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        client.publish(&"t".repeat(4_000), "x").await;
        client
            .send(Publish::new(&"t".repeat(65_535), "x", 1).bytes(version))
            .await;
        assert_eq!(client.goodbye().await, if version == V5 { 0x90 } else { 0 });
    }
}

#[tokio::test]
async fn mqtt_v3_3_3_5_2_a_message_that_is_not_allowed_is_acknowledged_all_the_same() {
    let broker = Broker::start().await;
    for version in BOTH {
        for qos in [1, 2] {
            let mut client = broker.client(version, "client").await;
            let system = Publish::new("$SYS/x", "x", 4).qos(qos);
            client.send(system.bytes(version)).await;
            let ack = client.next().await.unwrap();
            assert_eq!(ack.first, if qos == 1 { PUBACK } else { 0x50 });
            assert_eq!(ack.reason(), if version == V5 { 0x87 } else { 0 });
        }
    }
    assert_eq!(broker.ingest().stats().logged, 0);
}

#[tokio::test]
async fn a_text_that_is_none_is_refused() {
    let broker = Broker::start().await;
    let mut client = broker.client(V5, "client").await;
    let mut bad = Publish::new("a", "", 1).with(0x01, [1]);
    bad.payload = vec![0xff];
    client.send(bad.bytes(V5)).await;
    assert_eq!(client.expect(PUBACK).await.reason(), 0x99);
    bad.props = vec![vec![0x01, 0]];
    client.publish_all(&bad).await;
    assert_eq!(broker.ingest().stats().logged, 1);
}

#[tokio::test]
async fn only_the_topics_that_are_asked_for_are_logged() {
    let broker = Broker::with(|c| c.subscribe = vec!["pumps/#".into()]).await;
    let mut sub = broker.client(V5, "sub").await;
    sub.subscribe("#", 2).await;
    let mut client = broker.connect(&Connect::lasting(V5, "client")).await.0;
    for qos in 0..3 {
        for topic in ["pumps/p7", "other"] {
            let id = u16::from(qos > 0);
            client
                .publish_all(&Publish::new(topic, "{}", id).qos(qos))
                .await;
            assert_eq!(sub.message().await.topic, topic);
        }
    }
    assert_eq!(broker.ingest().stats().logged, 3);
}
