//! What a client takes: packet sizes and unacknowledged messages.

use super::Broker;
use super::client::{BOTH, Connect, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, V3, V5};

#[tokio::test]
async fn mqtt_v5_3_1_2_24_3_1_2_25_what_is_too_large_is_as_good_as_delivered() {
    let broker = Broker::start().await;
    let mut connect = Connect::lasting(V5, "sub").with(0x27, [0, 0, 0, 100]);
    connect.props.push(vec![0x21, 0, 1]);
    let mut sub = broker.connect(&connect).await.0;
    sub.subscribe("a", 2).await;
    let mut client = broker.client(V5, "client").await;
    // Two bytes in front, three of the topic, two of the id, one of no properties.
    for (qos, len) in [(0, 200), (1, 93), (1, 92), (2, 93), (2, 92), (0, 94)] {
        let id = u16::from(qos > 0);
        client
            .publish_all(&Publish::new("a", &"x".repeat(len), id).qos(qos))
            .await;
    }
    let mut two = 0;
    for (first, done) in [(0x32, PUBACK), (0x34, PUBREC), (0x30, 0)] {
        let packet = sub.next().await.unwrap();
        assert_eq!((packet.first, packet.size), (first, 100));
        let id = u16::from_be_bytes([packet.body[3], packet.body[4]]);
        match done {
            0 => {}
            PUBREC => two = id,
            done => sub.ack(done, id).await,
        }
    }
    sub.ack(PUBREC, two).await;
    sub.expect(PUBREL).await;
    sub.ack(PUBCOMP, two).await;
    sub.silent().await;
}

#[tokio::test]
async fn mqtt_v5_3_3_4_9_3_3_4_10_4_9_0_1_4_9_0_2_4_9_0_3_the_receive_maximum_of_a_client() {
    let broker = Broker::start().await;
    let mut sub = broker
        .connect(&Connect::lasting(V5, "sub").with(0x21, [0, 2]))
        .await
        .0;
    sub.subscribe_all(&[], &[("a", 2), ("b", 0)]).await;
    let mut client = broker.client(V5, "client").await;
    for payload in ["1", "2", "3", "4"] {
        client
            .publish_all(&Publish::new("a", payload, 1).qos(2))
            .await;
    }
    let first = sub.message().await;
    let second = sub.message().await;
    // Everything but messages still goes, and a PUBREC frees nothing.
    sub.silent().await;
    sub.ack(PUBREC, first.id).await;
    sub.expect(PUBREL).await;
    sub.silent().await;
    sub.ack(PUBCOMP, first.id).await;
    assert_eq!(sub.message().await.payload, "3");
    sub.silent().await;
    // It holds for what is sent again as well.
    drop(sub);
    let mut sub = broker
        .connect(&Connect::lasting(V5, "sub").with(0x21, [0, 1]))
        .await
        .0;
    let again = sub.message().await;
    assert_eq!((again.id, again.dup), (second.id, true));
    sub.silent().await;
}

#[tokio::test]
async fn mqtt_v5_3_3_4_7_the_receive_maximum_of_the_broker() {
    let broker = Broker::start().await;
    let (mut client, welcome) = broker.connect(&Connect::new(V5, "client")).await;
    let most = u16::from_be_bytes(welcome.prop(0x21).unwrap().try_into().unwrap());
    // What ends nothing makes no room.
    for id in 1..=3 {
        client.ack(PUBREL, id).await;
        client.expect(PUBCOMP).await;
        client.ack(PUBREC, id).await;
        client.expect(PUBREL).await;
    }
    // Packet ids at QoS 2 count until their PUBCOMP.
    for id in 1..=most {
        client
            .send(Publish::new("a", "{}", id).qos(2).bytes(V5))
            .await;
    }
    for id in 1..=most {
        assert_eq!(client.expect(PUBREC).await.id(), id);
    }
    client.ack(PUBREL, 1).await;
    client.expect(PUBCOMP).await;
    client.publish_all(&Publish::new("a", "{}", 1)).await;
    client
        .send(Publish::new("a", "{}", most + 1).qos(2).bytes(V5))
        .await;
    client.expect(PUBREC).await;
    client
        .send(Publish::new("a", "{}", most + 2).bytes(V5))
        .await;
    assert_eq!(client.goodbye().await, 0x93);
}

#[tokio::test]
async fn a_subscriber_that_reads_nothing_holds_nobody_up() {
    let broker = Broker::with(|c| c.queue_messages = 100).await;
    for version in BOTH {
        let mut slow = broker.client(version, "slow").await;
        slow.subscribe("#", 1).await;
        let mut client = broker.client(V3, "client").await;
        let payload = "x".repeat(100_000);
        for id in 1..=300 {
            client.send(Publish::new("a", &payload, id).bytes(V3)).await;
        }
        for id in 1..=300 {
            assert_eq!(client.expect(PUBACK).await.id(), id);
        }
    }
    assert!(broker.ingest().stats().broker.dropped > 0);
}
