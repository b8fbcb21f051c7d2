//! Sessions: kept, resumed, discarded.

use std::time::Duration;

use super::Broker;
use super::client::{BOTH, Connect, PUBACK, Publish, V3, V5, packet, prop, properties};

/// A session that stays, with a clean start.
fn clean(version: super::Version, id: &str) -> Connect {
    let mut connect = Connect::lasting(version, id);
    connect.clean = true;
    connect
}

#[tokio::test]
async fn mqtt_v5_3_1_2_4_3_1_4_4_3_2_2_2_v3_3_1_2_6_3_1_4_3_3_2_2_1_a_clean_start_forgets() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut first = broker.lasting(version, "c").await;
        first.subscribe("a", 1).await;
        first.leave().await;
        broker.client(version, "p").await.publish("a", "x").await;
        let (mut second, welcome) = broker.connect(&clean(version, "c")).await;
        assert!(!welcome.present);
        second.silent().await;
        broker.client(version, "p").await.publish("a", "x").await;
        second.silent().await;
        second.leave().await;
    }
}

#[tokio::test]
async fn mqtt_v5_3_1_2_5_3_1_2_6_3_1_2_23_3_2_2_3_3_1_3_2_4_1_0_1_v3_3_1_2_4_3_1_2_5_3_2_2_2_3_2_2_3_3_1_3_2_4_1_0_1_4_1_0_2_a_session_is_resumed()
 {
    let broker = Broker::start().await;
    for version in BOTH {
        let (mut first, welcome) = broker.connect(&Connect::lasting(version, "c")).await;
        assert!(!welcome.present);
        first.subscribe_all(&[], &[("a", 1), ("b", 0)]).await;
        first.leave().await;
        let mut publisher = broker.client(version, "p").await;
        for qos in [1, 2] {
            publisher
                .publish_all(&Publish::new("a", "kept", 1).qos(qos))
                .await;
            publisher
                .publish_all(&Publish::new("b", "lost", 1).qos(qos))
                .await;
        }
        let (_, welcome) = broker.connect(&Connect::lasting(version, "other")).await;
        assert!(!welcome.present, "another id has another session");
        let (mut again, welcome) = broker.connect(&Connect::lasting(version, "c")).await;
        assert!(welcome.present);
        for _ in 0..2 {
            let got = again.message().await;
            assert_eq!((&got.payload[..], got.qos, got.dup), ("kept", 1, false));
            again.ack(PUBACK, got.id).await;
        }
        publisher.publish("a", "live").await;
        assert_eq!(again.message().await.payload, "live");
        again.send([0xe0, 0]).await;
        broker.connect(&clean(version, "c")).await.0.leave().await;
        broker
            .connect(&clean(version, "other"))
            .await
            .0
            .leave()
            .await;
    }
}

#[tokio::test]
async fn mqtt_v5_4_1_0_2_a_session_expires() {
    let broker = Broker::start().await;
    let brief = |secs: u32| {
        let mut connect = Connect::new(V5, "c").with(0x11, secs.to_be_bytes());
        connect.clean = false;
        connect
    };
    for secs in [0, 1] {
        let (mut client, _) = broker.connect(&brief(secs)).await;
        client.subscribe("a", 1).await;
        client.leave().await;
        let sessions = || broker.ingest().stats().broker.sessions;
        crate::support::until("the session to expire", || sessions() == 0).await;
        let (client, welcome) = broker.connect(&brief(0)).await;
        assert!(!welcome.present);
        client.leave().await;
    }
}

#[tokio::test]
async fn the_expiry_may_change_with_the_goodbye() {
    let broker = Broker::start().await;
    let client = broker.lasting(V5, "c").await;
    let mut client = client;
    client.subscribe("a", 1).await;
    let expiry = properties(&[&prop(0x11, [0, 0, 0, 0])]);
    client
        .send(packet(0xe0, &[&[0][..], &expiry].concat()))
        .await;
    assert_eq!(client.closed().await, []);
    let (_, welcome) = broker.connect(&Connect::lasting(V5, "c")).await;
    assert!(!welcome.present);
}

#[tokio::test]
async fn the_longest_expiry_is_granted_and_told() {
    let broker = Broker::with(|c| c.max_session_expiry = Duration::from_secs(60)).await;
    let (_, welcome) = broker.connect(&Connect::lasting(V5, "c")).await;
    assert_eq!(welcome.prop(0x11), Some(&60_u32.to_be_bytes()[..]));
    let (_, welcome) = broker.connect(&Connect::new(V5, "d")).await;
    assert_eq!(welcome.prop(0x11), None);
}

#[tokio::test]
async fn a_session_taken_over_goes_on_where_it_was() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut first = broker.lasting(version, "c").await;
        first.subscribe("a", 1).await;
        let mut publisher = broker.client(version, "p").await;
        publisher.publish("a", "x").await;
        let got = first.message().await;
        let (mut second, welcome) = broker.connect(&Connect::lasting(version, "c")).await;
        assert!(welcome.present);
        let again = second.message().await;
        assert_eq!(
            (again.id, again.dup, &again.payload[..]),
            (got.id, true, "x")
        );
        second.ack(PUBACK, again.id).await;
        first.closed().await;
        publisher.publish("a", "y").await;
        assert_eq!(second.message().await.payload, "y");
        second.leave().await;
        broker.connect(&clean(version, "c")).await.0.leave().await;
    }
}

#[tokio::test]
async fn sessions_have_an_end_too() {
    let broker = Broker::with(|c| c.max_sessions = 2).await;
    let _a = broker.lasting(V5, "a").await;
    let _b = broker.client(V3, "b").await;
    let (mut refused, welcome) = broker.try_connect(&Connect::new(V5, "c")).await;
    assert_eq!(welcome.code, 0x97);
    assert_eq!(refused.closed().await, []);
    let (_, welcome) = broker.try_connect(&Connect::new(V3, "c")).await;
    assert_eq!(welcome.code, 3);
    // Who has a session already comes in.
    broker.lasting(V5, "a").await.ping().await;
}

#[tokio::test]
async fn a_full_queue_misses_the_newest_and_counts_it() {
    let broker = Broker::with(|c| c.queue_messages = 3).await;
    let mut sub = broker.lasting(V5, "sub").await;
    sub.subscribe("a", 1).await;
    sub.leave().await;
    let mut publisher = broker.client(V5, "p").await;
    for payload in ["1", "2", "3", "4", "5"] {
        publisher.publish("a", payload).await;
    }
    assert_eq!(broker.ingest().stats().broker.dropped, 2);
    let mut sub = broker.lasting(V5, "sub").await;
    for payload in ["1", "2", "3"] {
        assert_eq!(sub.message().await.payload, payload);
    }
    sub.silent().await;
}

#[tokio::test]
async fn the_session_of_who_has_been_away_longest_makes_room() {
    let broker = Broker::with(|c| c.max_sessions = 3).await;
    for (id, others) in [("a", 0), ("b", 0), ("c", 0)] {
        broker.lasting(V5, id).await.leave().await;
        broker.connected(others).await;
    }
    // `a` has been here since, so `b` is the oldest.
    broker.lasting(V5, "a").await.leave().await;
    broker.connected(0).await;
    let _d = broker.client(V5, "d").await;
    for (id, present) in [("a", true), ("c", true)] {
        let (client, welcome) = broker.connect(&Connect::lasting(V5, id)).await;
        assert_eq!(welcome.present, present, "{id}");
        client.leave().await;
        broker.connected(1).await;
    }
    let (_, welcome) = broker.connect(&Connect::lasting(V5, "b")).await;
    assert!(!welcome.present);
    assert_eq!(broker.ingest().stats().broker.sessions, 3);
}

#[tokio::test]
async fn all_queues_together_have_a_bound_and_give_back_what_they_had() {
    let broker = Broker::with(|c| c.max_queued_bytes = 10_000).await;
    let mut publisher = broker.client(V5, "p").await;
    let payload = "x".repeat(2_000);
    for round in 1..=3 {
        for id in ["a", "b"] {
            let mut sub = broker.lasting(V5, id).await;
            sub.subscribe("t", 1).await;
            // What is under way and never acknowledged counts as well.
            publisher.publish("t", &payload).await;
            sub.message().await;
            sub.leave().await;
        }
        for _ in 0..2 {
            publisher.publish("t", &payload).await;
        }
        // Four of the seven deliveries fit.
        assert_eq!(broker.ingest().stats().broker.dropped, 3 * round);
        for id in ["a", "b"] {
            broker.client(V5, id).await.leave().await;
        }
    }
}
