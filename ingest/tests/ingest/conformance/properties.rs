//! What travels with a message of MQTT 5.

use super::Broker;
use super::client::{Connect, PUBACK, Publish, V3, V5, text, user};

#[tokio::test]
async fn mqtt_v5_3_3_2_4_3_3_2_15_3_3_2_16_3_3_2_17_3_3_2_18_3_3_2_20_properties_pass_unaltered() {
    let broker = Broker::start().await;
    let mut sub = broker.client(V5, "sub").await;
    sub.subscribe("a", 1).await;
    let mut old = broker.client(V3, "old").await;
    old.subscribe("a", 1).await;
    let mut client = broker.client(V5, "client").await;
    let mut publish = Publish::new("a", "x", 1)
        .with(0x01, [1])
        .with(0x03, text("text/plain"))
        .with(0x08, text("answer/here"))
        .with(0x09, text(b"\0\xff\x01"));
    let users = [user("z", "1"), user("a", "é"), user("z", "1"), user("", "")];
    publish.props.extend(users.clone());
    client.publish_all(&publish).await;
    let got = sub.message().await;
    assert_eq!(got.all(0x01), [[1]]);
    assert_eq!(got.all(0x03), [text("text/plain")]);
    assert_eq!(got.all(0x08), [text("answer/here")]);
    assert_eq!(got.all(0x09), [text(b"\0\xff\x01")]);
    assert_eq!(got.all(0x26), users.each_ref().map(|user| &user[1..]));
    assert_eq!(got.props.len(), 8);
    assert_eq!(old.message().await.payload, "x");
}

#[tokio::test]
async fn mqtt_v5_3_3_2_5_3_3_2_6_the_expiry_counts_down() {
    let broker = Broker::start().await;
    let mut sub = broker.lasting(V5, "sub").await;
    sub.subscribe("a", 1).await;
    sub.leave().await;
    let mut client = broker.client(V5, "client").await;
    for secs in [1, 100] {
        let publish = Publish::new("a", &secs.to_string(), 1).with(0x02, [0, 0, 0, secs]);
        client.publish_all(&publish).await;
    }
    client.publish("a", "for ever").await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let mut sub = broker.lasting(V5, "sub").await;
    let got = sub.message().await;
    assert_eq!(got.payload, "100");
    let left = got.all(0x02)[0].to_vec();
    assert!((90..100).contains(&left[3]), "{left:?}");
    let got = sub.message().await;
    assert_eq!((&got.payload[..], got.props.len()), ("for ever", 0));
    sub.silent().await;
}

#[tokio::test]
async fn mqtt_v5_3_3_2_12_3_3_2_7_topic_aliases() {
    let broker = Broker::start().await;
    let (mut client, welcome) = broker.connect(&Connect::new(V5, "client")).await;
    let most = u16::from_be_bytes(welcome.prop(0x22).unwrap().try_into().unwrap());
    let mut sub = broker.client(V5, "sub").await;
    sub.subscribe("a/#", 0).await;
    let alias =
        |topic: &str, alias: u16| Publish::new(topic, "x", 1).with(0x23, alias.to_be_bytes());
    for number in [1, 2, most] {
        client
            .publish_all(&alias(&format!("a/{number}"), number))
            .await;
        client.publish_all(&alias("", number)).await;
        for _ in 0..2 {
            assert_eq!(sub.message().await.topic, format!("a/{number}"));
        }
    }
    client.publish_all(&alias("a/new", 1)).await;
    client.publish_all(&alias("", 1)).await;
    for _ in 0..2 {
        let got = sub.message().await;
        assert_eq!((&got.topic[..], got.all(0x23).len()), ("a/new", 0));
    }
    client.leave().await;
    let mut client = broker.client(V5, "client").await;
    client.send(alias("", 1).bytes(V5)).await;
    assert_eq!(client.goodbye().await, 0x82);
    sub.silent().await;
}

#[tokio::test]
async fn mqtt_v5_3_1_2_26_3_1_2_27_3_3_2_11_no_alias_is_sent() {
    let broker = Broker::start().await;
    for most in [[0, 0], [0, 9]] {
        let mut sub = broker
            .connect(&Connect::new(V5, "sub").with(0x22, most))
            .await
            .0;
        sub.subscribe("a", 0).await;
        broker.client(V5, "client").await.publish("a", "x").await;
        let got = sub.message().await;
        assert_eq!((&got.topic[..], got.props.len()), ("a", 0));
    }
}

#[tokio::test]
async fn mqtt_v5_3_4_2_2_3_4_2_3_3_5_2_2_3_5_2_3_3_6_2_2_3_6_2_3_3_7_2_2_3_7_2_3_acknowledgements_are_bare()
 {
    let broker = Broker::start().await;
    let mut client = broker.client(V5, "client").await;
    client.subscribe("a", 2).await;
    client
        .send(Publish::new("a", "x", 9).qos(2).bytes(V5))
        .await;
    let mut small = vec![];
    for _ in 0..2 {
        let packet = client.next().await.unwrap();
        match packet.first {
            0x34 => {
                client
                    .ack(0x50, u16::from_be_bytes([packet.body[3], packet.body[4]]))
                    .await;
            }
            _ => small.push(packet),
        }
    }
    client.ack(0x62, 9).await;
    small.push(client.next().await.unwrap());
    small.push(client.next().await.unwrap());
    client.send(Publish::new("$SYS/a", "x", 8).bytes(V5)).await;
    small.push(client.expect(PUBACK).await);
    for packet in small {
        assert!(packet.body.len() <= 3, "{packet:?}");
    }
}
