//! Retained messages.

use super::Broker;
use super::client::{BOTH, Publish, V3, V5, Version};

/// What a new subscriber gets at once.
async fn retained(broker: &Broker, version: Version, options: u8) -> Vec<String> {
    let mut sub = broker.client(version, "sub").await;
    sub.subscribe_all(&[], &[("a/#", options)]).await;
    sub.send([0xc0, 0]).await;
    let mut payloads = Vec::new();
    loop {
        let packet = sub.next().await.unwrap();
        if packet.first == 0xd0 {
            sub.leave().await;
            return payloads;
        }
        assert_eq!(packet.first & 9, 1, "with the retain flag and without DUP");
        payloads.push(
            String::from_utf8_lossy(&packet.body)
                .chars()
                .last()
                .unwrap()
                .to_string(),
        );
    }
}

#[tokio::test]
async fn mqtt_v5_3_3_1_5_3_3_1_9_v3_3_3_1_5_3_3_1_6_3_3_1_7_3_3_1_8_the_last_message_is_kept() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        for (qos, payload) in [(0, "1"), (1, "2"), (2, "3"), (0, "4")] {
            let id = u16::from(qos > 0);
            client
                .publish_all(&Publish::new("a/b", payload, id).qos(qos).retain())
                .await;
            assert_eq!(retained(&broker, version, 0).await, [payload]);
        }
        client
            .publish_all(&Publish::new("a", "5", 1).retain())
            .await;
        assert_eq!(retained(&broker, version, 0).await, ["5", "4"]);
        for topic in ["a", "a/b"] {
            client
                .publish_all(&Publish::new(topic, "", 1).retain())
                .await;
        }
    }
}

#[tokio::test]
async fn mqtt_v5_3_3_1_6_3_3_1_7_v3_3_3_1_10_3_3_1_11_an_empty_payload_removes() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        let mut live = broker.client(version, "live").await;
        live.subscribe("a/b", 0).await;
        client
            .publish_all(&Publish::new("a/b", "x", 1).retain())
            .await;
        client
            .publish_all(&Publish::new("a/b", "", 1).retain())
            .await;
        assert_eq!(live.message().await.payload, "x");
        let empty = live.message().await;
        assert_eq!((&empty.payload[..], empty.retain), ("", false));
        assert!(retained(&broker, version, 0).await.is_empty());
        assert_eq!(broker.ingest().stats().broker.retained, 0);
    }
}

#[tokio::test]
async fn mqtt_v5_3_3_1_8_v3_3_3_1_12_3_1_2_7_without_the_flag_nothing_changes() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        client.publish("a/c", "not kept").await;
        client
            .publish_all(&Publish::new("a/b", "x", 1).retain())
            .await;
        client.publish("a/b", "y").await;
        client.publish("a/b", "").await;
        // Nor when the session of its publisher ends.
        client.leave().await;
        assert_eq!(retained(&broker, version, 0).await, ["x"]);
    }
}

#[tokio::test]
async fn mqtt_v5_3_3_1_12_3_3_1_13_v3_3_3_1_9_the_flag_of_live_messages() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut plain = broker.client(version, "plain").await;
        plain.subscribe("a", 0).await;
        let mut as_published = broker.client(V5, "published").await;
        as_published.subscribe_all(&[], &[("a", 8)]).await;
        let mut client = broker.client(version, "client").await;
        for retain in [true, false] {
            let mut publish = Publish::new("a", "x", 1);
            publish.retain = retain;
            client.publish_all(&publish).await;
            assert!(!plain.message().await.retain);
            assert_eq!(as_published.message().await.retain, retain);
        }
        client.publish_all(&Publish::new("a", "", 1).retain()).await;
    }
}

#[tokio::test]
async fn mqtt_v5_3_3_1_10_3_3_1_11_retain_handling() {
    let broker = Broker::start().await;
    let mut client = broker.client(V5, "client").await;
    client
        .publish_all(&Publish::new("a", "x", 1).retain())
        .await;
    let mut sub = broker.client(V5, "sub").await;
    sub.subscribe_all(&[], &[("a", 0x20)]).await;
    sub.silent().await;
    sub.subscribe_all(&[], &[("a", 0x10)]).await;
    sub.silent().await;
    sub.subscribe_all(&[], &[("a/#", 0x10)]).await;
    assert_eq!(sub.message().await.payload, "x");
    sub.subscribe_all(&[], &[("a/#", 0x10)]).await;
    sub.silent().await;
    sub.subscribe_all(&[], &[("a/#", 0)]).await;
    assert_eq!(sub.message().await.payload, "x");
    sub.subscribe_all(&[], &[("$share/g/a", 0)]).await;
    sub.silent().await;
}

#[tokio::test]
async fn retained_messages_have_bounds_and_expire() {
    let broker = Broker::with(|c| c.max_retained = 2).await;
    let mut client = broker.client(V5, "client").await;
    let brief = Publish::new("a/1", "1", 1)
        .retain()
        .with(0x02, [0, 0, 0, 1]);
    client.publish_all(&brief).await;
    for topic in ["a/2", "a/3"] {
        client
            .publish_all(&Publish::new(topic, &topic[2..], 1).retain())
            .await;
    }
    assert_eq!(retained(&broker, V3, 0).await, ["1", "2"]);
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert_eq!(retained(&broker, V3, 0).await, ["2"]);
    client
        .publish_all(&Publish::new("a/3", "3", 1).retain())
        .await;
    assert_eq!(retained(&broker, V3, 0).await, ["2", "3"]);
}

#[tokio::test]
async fn repeated_subscriptions_do_not_multiply_what_is_retained() {
    let broker = Broker::with(|c| (c.max_retained, c.queue_messages) = (10, 4)).await;
    let mut client = broker.client(V5, "client").await;
    for n in 0..10 {
        let publish = Publish::new(&format!("a/{n}"), "x", 1).retain();
        client.publish_all(&publish).await;
    }
    let mut sub = broker.client(V5, "sub").await;
    sub.subscribe_all(&[], &[("a/#", 0); 3]).await;
    sub.ping_after_messages(10).await;
    // One that takes one message at a time: the store fits once beside it, and no more.
    let connect = super::client::Connect::new(V5, "slow").with(0x21, [0, 1]);
    let mut slow = broker.connect(&connect).await.0;
    for _ in 0..20 {
        slow.send(super::client::subscribe(
            V5,
            7,
            &[],
            &[("#", 1), ("a/#", 1)],
        ))
        .await;
    }
    let mut messages = 0;
    let mut answers = 0;
    let mut ids = Vec::new();
    while answers < 20 || messages < 10 {
        let packet = slow.next().await.unwrap();
        if packet.first == super::client::SUBACK {
            answers += 1;
        } else {
            messages += 1;
            ids.push(super::client::Delivered::parse(&packet, V5).id);
        }
        if answers == 20 {
            for id in ids.drain(..) {
                slow.ack(super::client::PUBACK, id).await;
            }
        }
    }
    assert!(broker.ingest().stats().broker.dropped >= 20);
}
