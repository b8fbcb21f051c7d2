//! What a crash of the broker must not cost.

use super::Broker;
use super::client::{BOTH, Connect, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, V3, V5, Will};

impl Broker {
    /// Stops at once, and starts again on what is on the disk at this moment.
    async fn crash(&mut self) {
        self.house.crash();
        drop(self.ingest.take());
        self.begin().await;
    }

    /// Waits until the journal has what was handed in so far.
    async fn settle(&self) {
        self.lasting(V5, "settle").await.leave().await;
        self.client(V5, "settle").await.leave().await;
    }

    fn journal(&self) -> std::path::PathBuf {
        self.house.log_folder().with_file_name("broker")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_message_reaches_an_absent_subscriber() {
    let mut broker = Broker::start().await;
    for version in BOTH {
        let mut sub = broker.lasting(version, "sub").await;
        sub.subscribe("a/#", 2).await;
        sub.leave().await;
        let mut client = broker.client(version, "client").await;
        for n in 1..=20 {
            let qos = 1 + (n % 2) as u8;
            client
                .publish_all(&Publish::new("a/b", &n.to_string(), n).qos(qos))
                .await;
        }
        broker.crash().await;
        let (mut sub, welcome) = broker.connect(&Connect::lasting(version, "sub")).await;
        assert!(welcome.present);
        let mut all = Vec::new();
        for n in 1..=20 {
            let got = sub.message().await;
            assert_eq!((&got.payload, got.qos), (&n.to_string(), 1 + (n % 2) as u8));
            all.push(got);
        }
        for got in all {
            sub.ack(if got.qos == 1 { PUBACK } else { PUBREC }, got.id)
                .await;
            if got.qos == 2 {
                sub.expect(PUBREL).await;
                sub.ack(PUBCOMP, got.id).await;
            }
        }
        sub.ping().await;
        sub.leave().await;
        // No acknowledgement of a subscriber is answered, so nothing tells when it is durable.
        broker.settle().await;
        // And once they are done, no more.
        broker.crash().await;
        broker.lasting(version, "sub").await.silent().await;
        broker.client(version, "sub").await.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_under_way_keep_their_packet_ids() {
    let mut broker = Broker::start().await;
    for version in BOTH {
        let mut sub = broker.lasting(version, "sub").await;
        sub.subscribe("a", 2).await;
        let mut client = broker.client(version, "client").await;
        for payload in ["one", "two"] {
            client
                .publish_all(&Publish::new("a", payload, 1).qos(2))
                .await;
        }
        let one = sub.message().await;
        let two = sub.message().await;
        sub.ack(PUBREC, one.id).await;
        sub.expect(PUBREL).await;
        broker.crash().await;
        let mut sub = broker.lasting(version, "sub").await;
        assert_eq!(sub.expect(PUBREL).await.id(), one.id);
        let again = sub.message().await;
        assert_eq!((again.id, again.dup, again.qos), (two.id, true, 2));
        sub.leave().await;
        broker.client(version, "sub").await.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_message_is_not_taken_twice() {
    let mut broker = Broker::start().await;
    for version in BOTH {
        let mut sub = broker.lasting(version, "sub").await;
        sub.subscribe("a", 1).await;
        let mut client = broker.lasting(version, "client").await;
        let publish = Publish::new("a", "{}", 9).qos(2);
        client.send(publish.bytes(version)).await;
        client.expect(PUBREC).await;
        let before = broker.ingest().stats().logged;
        assert_eq!(before, 1);
        broker.crash().await;
        let (mut client, welcome) = broker.connect(&Connect::lasting(version, "client")).await;
        assert!(welcome.present);
        client.send(publish.clone().dup().bytes(version)).await;
        client.expect(PUBREC).await;
        client.ack(PUBREL, 9).await;
        client.expect(PUBCOMP).await;
        assert_eq!(broker.ingest().stats().logged, 0);
        broker.crash().await;
        // Released, and so free, also after another crash.
        let mut client = broker.lasting(version, "client").await;
        client.publish_all(&publish).await;
        let mut sub = broker.lasting(version, "sub").await;
        for _ in 0..2 {
            let got = sub.message().await;
            sub.ack(PUBACK, got.id).await;
        }
        sub.silent().await;
        for id in ["sub", "client"] {
            broker.client(version, id).await.leave().await;
        }
        broker.crash().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_and_wills_survive() {
    let mut broker = Broker::start().await;
    let mut client = broker.client(V5, "client").await;
    let publish = Publish::new("a", "kept", 1)
        .retain()
        .with(0x03, super::client::text("t"));
    client.publish_all(&publish).await;
    client
        .publish_all(&Publish::new("b", "gone", 1).retain())
        .await;
    client.publish_all(&Publish::new("b", "", 1).retain()).await;
    let mut will = Will::new("w", "died with the broker");
    (will.retain, will.qos) = (true, 1);
    will.props.push(vec![0x18, 0, 0, 0, 1]);
    let _dying = broker
        .connect(&Connect::lasting(V5, "dying").will(will))
        .await
        .0;
    broker.crash().await;
    let mut sub = broker.client(V5, "sub").await;
    sub.subscribe("#", 1).await;
    let got = sub.message().await;
    assert_eq!(
        (&got.topic[..], &got.payload[..], got.retain),
        ("a", "kept", true)
    );
    assert_eq!(got.all(0x03).len(), 1);
    assert_eq!(sub.message().await.payload, "died with the broker");
    sub.silent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_end_with_their_connection_leave_nothing() {
    let mut broker = Broker::start().await;
    let mut client = broker.client(V5, "client").await;
    client.subscribe("a", 1).await;
    client.publish("a", "x").await;
    broker.crash().await;
    assert_eq!(broker.ingest().stats().broker.sessions, 0);
    assert_eq!(std::fs::read_dir(broker.journal()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_topic_of_two_publishers_comes_back_as_it_was() {
    let mut broker = Broker::start().await;
    for round in 0..3 {
        let publishing = (0..4).map(async |n| {
            let mut client = broker.client(V5, &format!("client{n}")).await;
            for id in 1..=150 {
                let payload = format!("{round} {n} {id}");
                let publish = Publish::new("a", &payload, id).retain();
                client.send(publish.bytes(V5)).await;
            }
            for _ in 1..=150 {
                client.expect(PUBACK).await;
            }
        });
        futures::future::join_all(publishing).await;
        let kept = async |broker: &Broker| {
            let mut sub = broker.client(V5, "sub").await;
            sub.subscribe("a", 0).await;
            sub.message().await.payload
        };
        let before = kept(&broker).await;
        broker.crash().await;
        assert_eq!(kept(&broker).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledgement_comes_before_the_journals_sync() {
    let broker = Broker::start().await;
    let mut client = broker.client(V5, "client").await;
    // Its first file cannot be made.
    std::fs::remove_dir(broker.journal()).unwrap();
    client
        .send(Publish::new("a", "x", 1).retain().bytes(V5))
        .await;
    let retained = || broker.ingest().stats().broker.retained;
    crate::support::until("the message to be routed", || retained() == 1).await;
    for _ in 0..20 {
        client.silent().await;
    }
    std::fs::create_dir(broker.journal()).unwrap();
    client.expect(PUBACK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_sent_again_is_not_acknowledged_before_the_journals_sync() {
    let broker = Broker::start().await;
    let mut client = broker.lasting(V3, "client").await;
    let large = "x".repeat(9 << 20);
    client
        .publish_all(&Publish::new("a", &large, 1).qos(2).retain())
        .await;
    // With the next one the file has grown so much that another is begun, which fails.
    std::fs::remove_dir_all(broker.journal()).unwrap();
    let publish = Publish::new("b", &large, 2).qos(2).retain();
    client.send(publish.bytes(V3)).await;
    let retained = || broker.ingest().stats().broker.retained;
    crate::support::until("the message to be routed", || retained() == 2).await;
    client.send(publish.dup().bytes(V3)).await;
    for _ in 0..20 {
        client.silent().await;
    }
    std::fs::create_dir(broker.journal()).unwrap();
    for _ in 0..2 {
        assert_eq!(client.expect(PUBREC).await.id(), 2);
    }
}
