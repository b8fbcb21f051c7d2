//! The order of messages.

use super::Broker;
use super::client::{BOTH, Connect, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, V5};

#[tokio::test]
async fn mqtt_v5_4_6_0_5_4_6_0_6_v3_4_6_0_5_4_6_0_6_messages_come_in_the_order_they_went() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut sub = broker.lasting(version, "sub").await;
        sub.subscribe("a/#", 1).await;
        let mut client = broker.client(version, "client").await;
        let burst: Vec<u8> = (1..=500)
            .flat_map(|id| Publish::new("a/b", &id.to_string(), id).bytes(version))
            .collect();
        client.send(burst).await;
        for id in 1..=500 {
            assert_eq!(client.expect(PUBACK).await.id(), id);
        }
        for id in 1..=500 {
            let got = sub.message().await;
            assert_eq!(got.payload, id.to_string());
            sub.ack(PUBACK, got.id).await;
        }
        sub.leave().await;
    }
}

#[tokio::test]
async fn mqtt_v5_3_3_1_1_4_6_0_1_4_3_2_3_v3_3_3_1_1_4_6_0_1_what_goes_again_goes_in_the_old_order()
{
    let broker = Broker::start().await;
    for version in BOTH {
        let mut sub = broker.lasting(version, "sub").await;
        sub.subscribe("a", 2).await;
        let mut client = broker.client(version, "client").await;
        for n in 1..=9 {
            let qos = 1 + (n % 2) as u8;
            client
                .publish_all(&Publish::new("a", &n.to_string(), n).qos(qos))
                .await;
        }
        let mut sent = Vec::new();
        for _ in 0..9 {
            sent.push(sub.message().await);
        }
        sub.ack(PUBACK, sent[3].id).await;
        sub.ping().await;
        drop(sub);
        client.publish("a", "new").await;
        let mut sub = broker.lasting(version, "sub").await;
        sent.remove(3);
        for old in sent {
            let again = sub.message().await;
            assert_eq!(
                (again.id, again.dup, &again.payload),
                (old.id, true, &old.payload)
            );
            if again.qos == 1 {
                sub.ack(PUBACK, again.id).await;
            } else {
                sub.ack(PUBREC, again.id).await;
            }
        }
        let new = sub.message_among(PUBREL).await;
        assert_eq!((&new.payload[..], new.dup), ("new", false));
        drop(sub);
        broker.client(version, "sub").await.leave().await;
    }
}

#[tokio::test]
async fn mqtt_v5_4_6_0_2_4_6_0_3_4_6_0_4_acknowledgements_come_in_order() {
    let broker = Broker::start().await;
    let mut client = broker.connect(&Connect::lasting(V5, "client")).await.0;
    for (qos, first) in [(1, PUBACK), (2, PUBREC)] {
        let burst: Vec<u8> = (1..=200)
            .flat_map(|id| Publish::new("a", "{}", id).qos(qos).bytes(V5))
            .collect();
        client.send(burst).await;
        for id in 1..=200 {
            assert_eq!(client.expect(first).await.id(), id);
        }
    }
    for id in 1..=200 {
        client.ack(PUBREL, id).await;
    }
    for id in 1..=200 {
        assert_eq!(client.expect(PUBCOMP).await.id(), id);
    }
}

#[tokio::test]
async fn an_acknowledgement_waits_for_an_earlier_one_that_waits_for_the_journal() {
    let broker = Broker::start().await;
    let mut sub = broker.lasting(V5, "sub").await;
    sub.subscribe("journaled", 1).await;
    sub.leave().await;
    let mut client = broker.client(V5, "client").await;
    for id in 1..=200 {
        let topic = if id % 2 == 1 { "journaled" } else { "logged" };
        client.send(Publish::new(topic, "{}", id).bytes(V5)).await;
        // So that each is likely to be a group of its own.
        tokio::task::yield_now().await;
    }
    for id in 1..=200 {
        assert_eq!(client.expect(PUBACK).await.id(), id);
    }
}
