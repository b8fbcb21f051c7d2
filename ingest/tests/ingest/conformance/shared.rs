//! Shared subscriptions.

use super::Broker;
use super::client::{Connect, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, V3, V5};

#[tokio::test]
async fn mqtt_v5_4_8_2_1_4_8_2_2_a_share_has_a_name_and_a_filter() {
    let broker = Broker::start().await;
    let mut client = broker.client(V5, "client").await;
    for bad in [
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//a",
        "$share/g+/a",
        "$share/#/a",
        "$share/g/a#",
    ] {
        assert_eq!(
            client.subscribe_all(&[], &[(bad, 0)]).await,
            [0x8f],
            "{bad}"
        );
    }
    client.subscribe("$share/g/a/#", 2).await;
}

#[tokio::test]
async fn members_of_a_group_take_turns_in_both_versions() {
    let broker = Broker::start().await;
    let mut members = Vec::new();
    for (version, id) in [(V3, "m3"), (V5, "m5"), (V5, "m6")] {
        let mut member = broker.client(version, id).await;
        member.subscribe("$share/g/a/#", 0).await;
        members.push(member);
    }
    let mut alone = broker.client(V5, "alone").await;
    alone
        .subscribe_all(&[], &[("$share/h/a/#", 0), ("a/+", 0)])
        .await;
    let mut client = broker.client(V5, "client").await;
    for _ in 0..30 {
        client.publish("a/b", "x").await;
    }
    for member in &mut members {
        for _ in 0..10 {
            member.message().await;
        }
        member.silent().await;
    }
    // Another group and a plain subscription get every message of their own.
    for _ in 0..60 {
        alone.message().await;
    }
    alone.silent().await;
}

#[tokio::test]
async fn mqtt_v5_4_8_2_3_the_quality_of_each_member() {
    let broker = Broker::start().await;
    let mut zero = broker.client(V5, "zero").await;
    let mut two = broker.client(V5, "two").await;
    zero.subscribe("$share/g/a", 0).await;
    two.subscribe("$share/g/a", 2).await;
    let mut client = broker.client(V5, "client").await;
    for _ in 0..2 {
        client.publish_all(&Publish::new("a", "x", 1).qos(2)).await;
    }
    assert_eq!(zero.message().await.qos, 0);
    assert_eq!(two.message().await.qos, 2);
}

#[tokio::test]
async fn a_member_that_goes_hands_its_messages_on() {
    let broker = Broker::start().await;
    for lasting in [false, true] {
        let mut first = match lasting {
            true => broker.lasting(V5, "first").await,
            false => broker.client(V5, "first").await,
        };
        first.subscribe("$share/g/a", 1).await;
        let mut client = broker.client(V5, "client").await;
        for payload in ["1", "2", "3"] {
            client.publish("a", payload).await;
        }
        let got = first.message().await;
        first.ack(PUBACK, got.id).await;
        first.ping_after_messages(2).await;
        let mut second = broker.client(V5, "second").await;
        second.subscribe("$share/g/a", 1).await;
        drop(first);
        for payload in ["2", "3"] {
            let got = second.message().await;
            assert_eq!(got.payload, payload);
            second.ack(PUBACK, got.id).await;
        }
        second.silent().await;
        second.leave().await;
        if lasting {
            broker.lasting(V5, "first").await.silent().await;
        }
    }
}

#[tokio::test]
async fn mqtt_v5_4_8_2_4_4_8_2_5_a_message_at_qos_2_belongs_to_its_member() {
    let broker = Broker::start().await;
    let mut first = broker.lasting(V5, "first").await;
    first.subscribe("$share/g/a", 2).await;
    let mut client = broker.client(V5, "client").await;
    client.publish_all(&Publish::new("a", "x", 1).qos(2)).await;
    let got = first.message().await;
    let mut second = broker.client(V5, "second").await;
    second.subscribe("$share/g/a", 2).await;
    drop(first);
    broker.connected(2).await;
    second.silent().await;
    let mut first = broker.lasting(V5, "first").await;
    assert_eq!(first.message().await.id, got.id);
    first.ack(PUBREC, got.id).await;
    first.expect(PUBREL).await;
    first.ack(PUBCOMP, got.id).await;
    // Nor does anybody else get it when its session ends.
    client.publish_all(&Publish::new("a", "y", 1).qos(2)).await;
    client.publish_all(&Publish::new("a", "z", 1).qos(2)).await;
    let other = second.message().await.payload;
    let mine = first.message().await.payload;
    assert_ne!(mine, other);
    drop(first);
    broker.client(V5, "first").await.ping().await;
    second.silent().await;
}

#[tokio::test]
async fn an_absent_group_keeps_its_messages() {
    let broker = Broker::start().await;
    let mut member = broker.lasting(V5, "member").await;
    member.subscribe("$share/g/a", 1).await;
    member.leave().await;
    broker.client(V5, "client").await.publish("a", "x").await;
    let mut member = broker.lasting(V5, "member").await;
    assert_eq!(member.message().await.payload, "x");
}

#[tokio::test]
async fn a_message_passes_by_a_member_that_is_full() {
    let broker = Broker::with(|c| c.queue_messages = 2).await;
    let slow = Connect::lasting(V5, "first").with(0x21, [0, 1]);
    let mut first = broker.connect(&slow).await.0;
    first.subscribe("$share/g/a", 1).await;
    let mut client = broker.client(V5, "client").await;
    for payload in ["1", "2", "3"] {
        client.publish("a", payload).await;
        if payload == "1" {
            first.message().await;
        }
    }
    let mut second = broker.client(V5, "second").await;
    second.subscribe("$share/g/a", 1).await;
    for payload in ["4", "5", "6", "7", "8", "9"] {
        client.publish("a", payload).await;
        let got = second.message().await;
        assert_eq!(got.payload, payload);
        second.ack(PUBACK, got.id).await;
    }
    assert_eq!(broker.ingest().stats().broker.dropped, 0);
}

#[tokio::test]
async fn what_no_other_member_takes_stays_with_its_own() {
    let broker = Broker::with(|c| c.queue_messages = 2).await;
    let mut first = broker.lasting(V5, "first").await;
    first.subscribe("$share/g/a", 1).await;
    let mut client = broker.client(V5, "client").await;
    for payload in ["1", "2"] {
        client.publish("a", payload).await;
        first.message().await;
    }
    let slow = Connect::new(V5, "second").with(0x21, [0, 1]);
    let mut second = broker.connect(&slow).await.0;
    second
        .subscribe_all(&[], &[("$share/g/a", 1), ("b", 1)])
        .await;
    for n in 0..3 {
        client.publish("b", "x").await;
        if n == 0 {
            second.message().await;
        }
    }
    drop(first);
    broker.connected(2).await;
    let mut first = broker.lasting(V5, "first").await;
    for payload in ["1", "2"] {
        assert_eq!(first.message().await.payload, payload);
    }
    second.silent().await;
}
