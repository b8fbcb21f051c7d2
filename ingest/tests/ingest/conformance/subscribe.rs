//! SUBSCRIBE and what it grants.

use super::Broker;
use super::client::{BOTH, PUBACK, Publish, SUBACK, V3, V5, subscribe};

#[tokio::test]
async fn mqtt_v5_3_8_4_1_3_8_4_2_2_2_1_6_2_2_2_1_v3_3_8_4_1_3_8_4_2_2_3_1_7_a_subscribe_is_answered()
 {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        for id in [1, 300, u16::MAX] {
            client.send(subscribe(version, id, &[], &[("a", 1)])).await;
            let ack = client.expect(SUBACK).await;
            assert_eq!((ack.id(), ack.codes(version)), (id, &[1][..]));
        }
    }
}

#[tokio::test]
async fn mqtt_v5_3_8_4_5_3_8_4_6_3_8_4_7_3_9_3_1_3_9_3_2_3_2_2_10_v3_3_8_4_4_3_8_4_5_3_9_3_1_3_9_3_2_a_code_for_each_filter_in_order()
 {
    let broker = Broker::start().await;
    let filters = [("a/#/b", 0), ("a", 2), ("b+", 1), ("c", 0), ("d", 1)];
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        let bad = if version == V5 { 0x8f } else { 0x80 };
        let codes = client.subscribe_all(&[], &filters).await;
        assert_eq!(codes, [bad, 2, bad, 0, 1]);
    }
}

#[tokio::test]
async fn mqtt_v5_4_7_1_1_4_7_1_2_v3_4_7_1_2_4_7_1_3_wildcards_stand_alone() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        for bad in ["a#", "#/a", "a/#/b", "a/b#", "a+", "+a", "a/b+/c"] {
            let codes = client.subscribe_all(&[], &[(bad, 0)]).await;
            assert!(codes[0] >= 0x80, "{bad}");
        }
        for good in ["#", "+", "a/#", "+/#", "a/+/c", "/+", "+/"] {
            client.subscribe(good, 0).await;
        }
    }
}

#[tokio::test]
async fn mqtt_v5_4_7_2_1_v3_4_7_2_1_a_wildcard_in_front_hides_the_brokers_own_topics() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut sub = broker.client(version, "sub").await;
        let all = [("#", 0), ("+/x", 0), ("+/#", 0)];
        sub.subscribe_all(&[], &all).await;
        let mut client = broker.client(version, "client").await;
        client.publish("$own/x", "x").await;
        sub.silent().await;
        sub.subscribe("$own/#", 0).await;
        client.publish("$own/x", "x").await;
        assert_eq!(sub.message().await.topic, "$own/x");
    }
}

#[tokio::test]
async fn mqtt_v5_3_8_4_8_3_3_4_2_v3_3_8_4_6_3_3_5_1_the_lower_quality_of_the_two() {
    let broker = Broker::start().await;
    for version in BOTH {
        for granted in 0..3 {
            let mut sub = broker.client(version, "sub").await;
            // Where filters overlap, the highest quality counts.
            sub.subscribe_all(&[], &[("a", granted), ("a/#", 0)]).await;
            let mut client = broker.client(version, "client").await;
            for sent in 0..3 {
                let id = u16::from(sent > 0);
                client
                    .publish_all(&Publish::new("a", "x", id).qos(sent))
                    .await;
                assert_eq!(sub.message().await.qos, sent.min(granted));
            }
            sub.leave().await;
        }
    }
}

#[tokio::test]
async fn mqtt_v5_3_8_4_3_3_8_4_4_v3_3_8_4_3_a_filter_subscribed_again_is_replaced() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        client
            .publish_all(&Publish::new("a", "kept", 1).retain())
            .await;
        let mut sub = broker.client(version, "sub").await;
        sub.subscribe("a", 0).await;
        assert_eq!(sub.message().await.payload, "kept");
        sub.subscribe("a", 1).await;
        let again = sub.message().await;
        assert_eq!((&again.payload[..], again.qos), ("kept", 1));
        sub.ack(PUBACK, again.id).await;
        client.publish("a", "live").await;
        let live = sub.message().await;
        assert_eq!((&live.payload[..], live.qos), ("live", 1));
        sub.silent().await;
    }
}

#[tokio::test]
async fn mqtt_v5_3_8_3_3_no_local() {
    let broker = Broker::start().await;
    let mut client = broker.client(V5, "client").await;
    client.subscribe_all(&[], &[("a", 4)]).await;
    client.publish("a", "own").await;
    client.silent().await;
    broker.client(V5, "other").await.publish("a", "other").await;
    assert_eq!(client.message().await.payload, "other");
}

#[tokio::test]
async fn mqtt_v5_3_3_4_3_3_3_4_4_every_identifier_of_an_overlap() {
    let broker = Broker::start().await;
    let mut sub = broker.client(V5, "sub").await;
    sub.subscribe_all(&[&[0x0b, 1]], &[("a/#", 0)]).await;
    sub.subscribe_all(&[&[0x0b, 0x80, 2]], &[("a/b", 1)]).await;
    sub.subscribe_all(&[], &[("+/b", 0)]).await;
    let mut client = broker.client(V5, "client").await;
    client.publish("a/b", "x").await;
    let got = sub.message().await;
    let mut ids = got.all(0x0b);
    ids.sort_unstable();
    assert_eq!((ids, got.qos), (vec![&[1][..], &[0x80, 2]], 1));
    // The last SUBSCRIBE of a filter says its identifier.
    sub.subscribe_all(&[], &[("a/b", 1)]).await;
    client.publish("a/b", "x").await;
    assert_eq!(sub.message().await.all(0x0b), [&[1][..]]);
    sub.silent().await;
}

#[tokio::test]
async fn mqtt_v5_3_9_2_1_3_9_2_2_3_11_2_1_3_11_2_2_answers_are_bare() {
    // `codes` asserts that there is no property at all.
    let broker = Broker::start().await;
    let mut client = broker.client(V5, "client").await;
    client.subscribe_all(&[], &[("a#", 0), ("a", 0)]).await;
    client.send(super::client::unsubscribe(V5, 1, &["a"])).await;
    let ack = client.expect(0xb0).await;
    assert_eq!(ack.codes(V5), [0]);
    drop(broker.client(V3, "other").await);
}

#[tokio::test]
async fn filters_have_a_number_a_length_and_a_depth() {
    let broker = Broker::start().await;
    for (version, over, bad) in [(V3, 0x80, 0x80), (V5, 0x97, 0x8f)] {
        let mut client = broker.client(version, "client").await;
        let long = "x".repeat(4_097);
        let deep = "/".repeat(128);
        let codes = client.subscribe_all(&[], &[(&long, 0), (&deep, 0)]).await;
        assert_eq!(codes, [bad, bad]);
        let filters: Vec<String> = (0..4_098).map(|n| format!("a/{n}")).collect();
        let wanted: Vec<(&str, u8)> = filters.iter().map(|f| (f.as_str(), 0)).collect();
        let codes = client.subscribe_all(&[], &wanted).await;
        assert!(codes[..4_096].iter().all(|code| *code == 0));
        assert_eq!(codes[4_096..], [over, over]);
        // One that is there may be had otherwise, and one given back makes room.
        assert_eq!(client.subscribe_all(&[], &[("a/7", 1)]).await, [1]);
        client
            .send(super::client::unsubscribe(version, 1, &["a/7"]))
            .await;
        client.expect(0xb0).await;
        client.subscribe("b", 0).await;
        client.leave().await;
    }
}
