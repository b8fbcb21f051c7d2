//! UNSUBSCRIBE.

use super::Broker;
use super::client::{
    BOTH, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, UNSUBACK, V3, V5, unsubscribe,
};

#[tokio::test]
async fn mqtt_v5_3_10_4_1_3_10_4_4_3_10_4_5_3_10_4_6_3_11_3_1_3_11_3_2_v3_3_10_4_1_3_10_4_4_3_10_4_5_3_10_4_6_filters_are_compared_letter_by_letter()
 {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut sub = broker.client(version, "sub").await;
        sub.subscribe_all(&[], &[("a/+", 0), ("a/b", 0)]).await;
        sub.send(unsubscribe(version, 500, &["a/#", "a/+", "A/b", "a/b"]))
            .await;
        let ack = sub.expect(UNSUBACK).await;
        assert_eq!(ack.id(), 500);
        match version {
            V3 => assert_eq!(ack.body.len(), 2),
            V5 => assert_eq!(ack.codes(V5), [0x11, 0, 0x11, 0]),
        }
        broker
            .client(version, "client")
            .await
            .publish("a/b", "x")
            .await;
        sub.silent().await;
    }
}

#[tokio::test]
async fn mqtt_v5_3_10_4_2_v3_3_10_4_2_nothing_new_comes() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut sub = broker.client(version, "sub").await;
        sub.subscribe_all(&[], &[("a/#", 0), ("a/b", 0)]).await;
        let mut client = broker.client(version, "client").await;
        sub.send(unsubscribe(version, 1, &["a/#"])).await;
        sub.expect(UNSUBACK).await;
        client.publish("a/c", "not this").await;
        client.publish("a/b", "this").await;
        assert_eq!(sub.message().await.payload, "this");
    }
}

#[tokio::test]
async fn mqtt_v5_3_10_4_3_v3_3_10_4_3_what_has_begun_is_completed() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut sub = broker.lasting(version, "sub").await;
        sub.subscribe("a", 2).await;
        let mut client = broker.client(version, "client").await;
        client
            .publish_all(&Publish::new("a", "two", 1).qos(2))
            .await;
        client.publish_all(&Publish::new("a", "one", 1)).await;
        let two = sub.message().await;
        let one = sub.message().await;
        sub.send(unsubscribe(version, 1, &["a"])).await;
        sub.expect(UNSUBACK).await;
        sub.ack(PUBREC, two.id).await;
        assert_eq!(sub.expect(PUBREL).await.id(), two.id);
        drop(sub);
        let mut sub = broker.lasting(version, "sub").await;
        assert_eq!(sub.expect(PUBREL).await.id(), two.id);
        assert_eq!(sub.message().await.id, one.id);
        sub.ack(PUBCOMP, two.id).await;
        sub.ack(PUBACK, one.id).await;
        sub.silent().await;
        sub.leave().await;
    }
}
