//! Messages at QoS 2, in both directions.

use super::Broker;
use super::client::{BOTH, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, V3, V5, packet};

#[tokio::test]
async fn mqtt_v5_4_3_3_8_4_3_3_10_4_3_3_11_4_3_3_12_3_5_2_1_3_7_2_1_v3_4_3_3_2_a_message_is_taken_once()
 {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut sub = broker.client(version, "sub").await;
        sub.subscribe("a", 2).await;
        let mut client = broker.client(version, "client").await;
        let publish = Publish::new("a", "once", 9).qos(2);
        client.send(publish.bytes(version)).await;
        assert_eq!(client.expect(PUBREC).await.body, [0, 9]);
        for again in [publish.clone(), publish.clone().dup()] {
            client.send(again.bytes(version)).await;
            assert_eq!(client.expect(PUBREC).await.body, [0, 9]);
        }
        client.ack(PUBREL, 9).await;
        assert_eq!(client.expect(PUBCOMP).await.body, [0, 9]);
        // Released, the id is good for a new message.
        client.publish_all(&publish.clone().dup()).await;
        for got in [sub.message().await, sub.message().await] {
            sub.ack(PUBREC, got.id).await;
            assert_eq!(sub.expect(PUBREL).await.id(), got.id);
            sub.ack(PUBCOMP, got.id).await;
        }
        sub.silent().await;
    }
}

#[tokio::test]
async fn a_held_message_is_logged_once_however_often_it_comes() {
    let broker = Broker::start().await;
    for version in BOTH {
        let before = broker.ingest().stats().logged;
        let publish = Publish::new("a", "once", 9).qos(2);
        let mut client = broker.lasting(version, "client").await;
        client.send(publish.bytes(version)).await;
        client.expect(PUBREC).await;
        drop(client);
        let mut client = broker.lasting(version, "client").await;
        // Without DUP, and all at once.
        client.send(publish.bytes(version).repeat(3)).await;
        for _ in 0..3 {
            client.expect(PUBREC).await;
        }
        client.ack(PUBREL, 9).await;
        client.expect(PUBCOMP).await;
        client.publish_all(&publish).await;
        assert_eq!(broker.ingest().stats().logged, before + 2);
    }
}

#[tokio::test]
async fn mqtt_v5_4_3_3_1_4_3_3_2_4_3_3_3_4_3_3_4_4_3_3_5_3_6_2_1_v3_4_3_3_1_a_message_is_delivered_once()
 {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut sub = broker.client(version, "sub").await;
        sub.subscribe("a", 2).await;
        let mut client = broker.client(version, "client").await;
        client
            .publish_all(&Publish::new("a", "once", 9).qos(2))
            .await;
        let got = sub.message().await;
        assert_eq!((got.qos, got.dup), (2, false));
        assert_ne!(got.id, 0);
        sub.ack(PUBREC, got.id).await;
        let release = sub.expect(PUBREL).await;
        assert_eq!((release.id(), release.reason()), (got.id, 0));
        sub.ack(PUBCOMP, got.id).await;
        sub.silent().await;
    }
}

#[tokio::test]
async fn mqtt_v5_4_4_0_1_4_3_3_6_4_3_3_3_4_3_3_5_v3_4_4_0_1_4_3_3_1_what_is_unfinished_comes_again()
{
    let broker = Broker::start().await;
    for version in BOTH {
        let mut sub = broker.lasting(version, "sub").await;
        sub.subscribe("a", 2).await;
        let mut client = broker.client(version, "client").await;
        for payload in ["sent", "received"] {
            client
                .publish_all(&Publish::new("a", payload, 9).qos(2))
                .await;
        }
        let sent = sub.message().await;
        let received = sub.message().await;
        sub.ack(PUBREC, received.id).await;
        sub.expect(PUBREL).await;
        drop(sub);
        let mut sub = broker.lasting(version, "sub").await;
        let mut release = None;
        let mut again = None;
        for _ in 0..2 {
            let packet = sub.next().await.unwrap();
            match packet.first {
                PUBREL => release = Some(packet.id()),
                first => again = Some((first, packet)),
            }
        }
        assert_eq!(release, Some(received.id));
        let (first, packet) = again.unwrap();
        assert_eq!(first, 0x3c, "PUBLISH, DUP, QoS 2");
        assert_eq!(packet.body[3..5], sent.id.to_be_bytes());
        sub.ack(PUBCOMP, received.id).await;
        sub.ack(PUBREC, sent.id).await;
        sub.expect(PUBREL).await;
        sub.ack(PUBCOMP, sent.id).await;
        sub.ping().await;
        drop(sub);
        broker.lasting(version, "sub").await.silent().await;
    }
}

#[tokio::test]
async fn mqtt_v5_4_4_0_2_4_8_2_6_a_refused_message_is_not_sent_again() {
    let broker = Broker::start().await;
    for (qos, first) in [(1, PUBACK), (2, PUBREC)] {
        let mut sub = broker.lasting(V5, "sub").await;
        sub.subscribe("$share/g/a", qos).await;
        let mut client = broker.client(V5, "client").await;
        client
            .publish_all(&Publish::new("a", "x", 9).qos(qos))
            .await;
        let got = sub.message().await;
        sub.send(packet(first, &[(got.id >> 8) as u8, got.id as u8, 0x83]))
            .await;
        sub.silent().await;
        let mut other = broker.client(V5, "other").await;
        other.subscribe("$share/g/a", qos).await;
        drop(sub);
        broker.connected(2).await;
        other.silent().await;
        other.leave().await;
        broker.lasting(V5, "sub").await.silent().await;
    }
}

#[tokio::test]
async fn mqtt_v5_4_3_3_9_after_a_refusal_the_packet_id_is_free() {
    let broker = Broker::start().await;
    let mut client = broker.client(V5, "client").await;
    client
        .send(Publish::new("$SYS/x", "x", 9).qos(2).bytes(V5))
        .await;
    assert_eq!(client.expect(PUBREC).await.reason(), 0x87);
    client.publish_all(&Publish::new("a", "x", 9).qos(2)).await;
    assert_eq!(broker.ingest().stats().logged, 1);
}

#[tokio::test]
async fn mqtt_v5_4_3_3_7_4_3_3_13_expiry_does_not_end_what_has_begun() {
    let broker = Broker::start().await;
    let mut sub = broker.lasting(V5, "sub").await;
    sub.subscribe("a", 2).await;
    let mut client = broker.client(V5, "client").await;
    let short = Publish::new("a", "x", 9).qos(2).with(0x02, [0, 0, 0, 1]);
    client.publish_all(&short).await;
    let got = sub.message().await;
    drop(sub);
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let mut sub = broker.lasting(V5, "sub").await;
    let again = sub.message().await;
    assert_eq!((again.id, again.dup), (got.id, true));
    sub.ack(PUBREC, got.id).await;
    sub.expect(PUBREL).await;
    sub.ack(PUBCOMP, got.id).await;
}

#[tokio::test]
async fn acknowledgements_of_nothing_do_no_harm() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        client.ack(PUBACK, 1).await;
        client.ack(PUBCOMP, 1).await;
        let not_found = if version == V3 { 0 } else { 0x92 };
        client.ack(PUBREC, 1).await;
        assert_eq!(client.expect(PUBREL).await.reason(), not_found);
        client.ack(PUBREL, 1).await;
        assert_eq!(client.expect(PUBCOMP).await.reason(), not_found);
        client.ping().await;
    }
}
