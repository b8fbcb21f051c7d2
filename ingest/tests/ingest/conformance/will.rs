//! Last wills.

use super::Broker;
use super::client::{BOTH, Client, Connect, PUBACK, V3, V5, Version, Will, packet};

async fn mourner(broker: &Broker, version: Version) -> Client {
    let mut mourner = broker.client(version, "mourner").await;
    mourner.subscribe("w", 1).await;
    mourner
}

async fn hears(mourner: &mut Client, payload: &str) {
    let got = mourner.message().await;
    assert_eq!((&got.topic[..], &got.payload[..]), ("w", payload));
    mourner.ack(PUBACK, got.id).await;
}

fn delayed(payload: &str, secs: u32) -> Will {
    let mut will = Will::new("w", payload);
    will.props.push([&[0x18][..], &secs.to_be_bytes()].concat());
    will
}

#[tokio::test]
async fn mqtt_v5_3_1_2_7_3_1_2_8_3_1_2_10_v3_3_1_2_8_3_1_2_10_3_1_2_12_a_will_is_published_once() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut mourner = mourner(&broker, version).await;
        let client = broker
            .connect(&Connect::new(version, "c").will(Will::new("w", "lost")))
            .await
            .0;
        drop(client);
        hears(&mut mourner, "lost").await;
        // One without a will.
        drop(broker.client(version, "c").await);
        broker.connected(1).await;
        mourner.silent().await;
    }
    assert_eq!(broker.ingest().stats().logged, 2);
}

#[tokio::test]
async fn every_way_to_go_but_one_brings_the_will() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut mourner = mourner(&broker, version).await;
        let dying = |payload: &str| Connect::new(version, "c").will(Will::new("w", payload));
        let mut silent = dying("keep alive");
        silent.keep_alive = 1;
        let mut client = broker.connect(&silent).await.0;
        hears(&mut mourner, "keep alive").await;
        client.closed().await;
        let mut client = broker.connect(&dying("fault")).await.0;
        client.send([0xff, 0]).await;
        hears(&mut mourner, "fault").await;
        let client = broker.connect(&dying("taken over")).await.0;
        let other = broker.client(version, "c").await;
        hears(&mut mourner, "taken over").await;
        drop((client, other));
        if version == V5 {
            let mut client = broker.connect(&dying("0x04")).await.0;
            client.send(packet(0xe0, &[4])).await;
            hears(&mut mourner, "0x04").await;
        }
    }
}

#[tokio::test]
async fn mqtt_v5_3_14_4_3_v3_3_14_4_3_a_goodbye_discards_the_will() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut mourner = mourner(&broker, version).await;
        let dying = Connect::new(version, "c").will(Will::new("w", "lost"));
        broker.connect(&dying).await.0.leave().await;
        if version == V5 {
            let mut client = broker.connect(&dying).await.0;
            client.send(packet(0xe0, &[0])).await;
            client.closed().await;
        }
        broker.connected(1).await;
        mourner.silent().await;
    }
}

#[tokio::test]
async fn mqtt_v5_3_1_2_14_3_1_2_15_v3_3_1_2_16_3_1_2_17_a_will_is_retained_or_not() {
    let broker = Broker::start().await;
    for version in BOTH {
        for retain in [true, false] {
            let mut mourner = mourner(&broker, version).await;
            let topic = format!("w/{version:?}/{retain}");
            let mut will = Will::new(&topic, "x");
            (will.retain, will.qos) = (retain, 2);
            mourner.subscribe(&topic, 0).await;
            drop(
                broker
                    .connect(&Connect::new(version, "c").will(will))
                    .await
                    .0,
            );
            assert!(!mourner.message().await.retain);
            let mut later = broker.client(version, "later").await;
            later.subscribe(&topic, 2).await;
            if retain {
                let got = later.message().await;
                assert_eq!((got.retain, got.qos, &got.payload[..]), (true, 2, "x"));
            }
            later.silent().await;
            mourner.leave().await;
        }
    }
}

#[tokio::test]
async fn mqtt_v5_3_1_3_9_a_will_waits_for_its_client_to_come_back() {
    let broker = Broker::start().await;
    let mut mourner = mourner(&broker, V5).await;
    let dying = Connect::lasting(V5, "c").will(delayed("late", 1));
    let client = broker.connect(&dying).await.0;
    drop(client);
    broker.connected(1).await;
    mourner.silent().await;
    let client = broker.connect(&dying).await.0;
    tokio::time::sleep(std::time::Duration::from_millis(1_300)).await;
    mourner.silent().await;
    // Taken over by itself, it has not gone.
    let back = broker.connect(&dying).await.0;
    drop(client);
    tokio::time::sleep(std::time::Duration::from_millis(1_300)).await;
    mourner.silent().await;
    drop(back);
    hears(&mut mourner, "late").await;
}

#[tokio::test]
async fn a_will_does_not_outlive_its_session() {
    let broker = Broker::start().await;
    let mut mourner = mourner(&broker, V5).await;
    // The session ends with the connection, whatever the delay.
    let dying = Connect::new(V5, "c").will(delayed("at once", 1_000));
    drop(broker.connect(&dying).await.0);
    hears(&mut mourner, "at once").await;
    // A clean start ends the session as well.
    let dying = Connect::lasting(V5, "c").will(delayed("discarded", 1_000));
    drop(broker.connect(&dying).await.0);
    broker.connected(1).await;
    let _new = broker.client(V5, "c").await;
    hears(&mut mourner, "discarded").await;
}

#[tokio::test]
async fn mqtt_v5_3_1_3_10_a_will_has_its_properties() {
    let broker = Broker::start().await;
    let mut mourner = mourner(&broker, V5).await;
    let mut will = Will::new("w", "x");
    let props = [
        super::client::user("b", "1"),
        super::client::user("a", "2"),
        super::client::user("b", "1"),
    ];
    will.props = props.to_vec();
    drop(broker.connect(&Connect::new(V5, "c").will(will)).await.0);
    let got = mourner.message().await;
    let users: Vec<&[u8]> = props.iter().map(|p| &p[1..]).collect();
    assert_eq!(got.all(0x26), users);
}

#[tokio::test]
async fn a_shutdown_publishes_the_wills_into_the_log() {
    let mut broker = Broker::start().await;
    let _v3 = broker
        .connect(&Connect::new(V3, "a").will(Will::new("w", "{}")))
        .await
        .0;
    let _v5 = broker
        .connect(&Connect::new(V5, "b").will(Will::new("w", "{}")))
        .await
        .0;
    broker.ingest.take().unwrap().shutdown().await.unwrap();
    assert_eq!(
        broker
            .house
            .committed(&crate::support::dead_letters())
            .await,
        2
    );
}
