//! The source against a broker that follows a script.

use std::num::NonZero;
use std::path::Path;

use bytes::BytesMut;
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v5::SubscribeAckReason;
use rmqtt_codec::{v3, v5};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Decoder, Encoder};

use super::*;
use crate::config::{Source, StreamConfig};
use crate::wal::{EXTERNAL_WINDOW, Log, LogOptions, MOST_PER_ID};

/// A source that runs, and the broker it connects to.
struct Scene {
    folder: tempfile::TempDir,
    broker: TcpListener,
    filters: Filters,
    counters: Arc<Counters>,
    log: Log,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

fn streams(topics: &[&str]) -> Vec<StreamConfig> {
    let stream = |topic: &&str| StreamConfig::new(*topic, *topic, "a.b".parse().unwrap());
    topics.iter().map(stream).collect()
}

fn open(folder: &Path, counters: &Arc<Counters>) -> Log {
    let options = LogOptions {
        dir: folder.join("log"),
        segment_bytes: 1 << 20,
        log_bytes: 1 << 30,
        window: EXTERNAL_WINDOW,
        depth: MOST_PER_ID,
    };
    Log::open(options, Arc::clone(counters)).unwrap()
}

impl Scene {
    async fn new(topics: &[&str], change: impl FnOnce(&mut MqttConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut mqtt = MqttConfig {
            url: format!("mqtt://{}", broker.local_addr().unwrap()),
            ..MqttConfig::default()
        };
        change(&mut mqtt);
        let counters = Arc::new(Counters::default());
        let log = open(folder.path(), &counters);
        let source = Source::External(mqtt.clone());
        let config = IngestConfig::new(folder.path(), source, streams(topics));
        let filters = Filters::new(&mqtt, &config.streams).unwrap();
        let shared = Arc::clone(&counters);
        let external = External::new(&config, &mqtt, &filters, "i", log.writer(), shared);
        let stop = CancellationToken::new();
        let running = tokio::spawn(external.unwrap().run(stop.clone()));
        Self {
            folder,
            broker,
            filters,
            counters,
            log,
            stop,
            running,
        }
    }

    async fn accept<C>(&self, codec: C) -> Peer<C> {
        let (socket, _) = self.broker.accept().await.unwrap();
        Peer {
            socket,
            codec,
            buffer: BytesMut::new(),
        }
    }

    /// A connection that has been let in, with what it subscribed to.
    async fn subscriber(&self, session_present: bool) -> (Peer<v5::Codec>, Vec<String>) {
        let mut peer = self.accept(v5::Codec::default()).await;
        let v5::Packet::Connect(connect) = peer.receive().await else {
            panic!("no CONNECT");
        };
        assert!(!connect.clean_start && connect.session_expiry_interval_secs > 0);
        assert_eq!(connect.topic_alias_max, 0);
        let ack = v5::ConnectAck {
            session_present,
            ..v5::ConnectAck::default()
        };
        peer.send(ack.into()).await;
        let filters = peer.subscribed().await;
        (peer, filters)
    }

    fn remembered(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("subscriptions.json")).unwrap()
    }
}

/// The broker's side of a connection.
struct Peer<C> {
    socket: TcpStream,
    codec: C,
    buffer: BytesMut,
}

impl<C> Peer<C> {
    async fn send<P>(&mut self, packet: P)
    where
        C: Encoder<P, Error: std::fmt::Debug>,
    {
        let mut out = BytesMut::new();
        self.codec.encode(packet, &mut out).unwrap();
        self.socket.write_all(&out).await.unwrap();
    }

    async fn receive<P>(&mut self) -> P
    where
        C: Decoder<Item = (P, u32), Error: std::fmt::Debug>,
    {
        loop {
            if let Some((packet, _)) = self.codec.decode(&mut self.buffer).unwrap() {
                return packet;
            }
            let read = self.socket.read_buf(&mut self.buffer);
            let read = timeout(Duration::from_secs(20), read).await;
            assert!(read.unwrap().unwrap() > 0, "the source hung up");
        }
    }
}

impl Peer<v5::Codec> {
    /// Takes a SUBSCRIBE and grants it.
    async fn subscribed(&mut self) -> Vec<String> {
        let v5::Packet::Subscribe(subscribe) = self.receive().await else {
            panic!("no SUBSCRIBE");
        };
        let ack = v5::SubscribeAck {
            packet_id: subscribe.packet_id,
            properties: Vec::new(),
            reason_string: None,
            status: vec![SubscribeAckReason::GrantedQos1; subscribe.topic_filters.len()],
        };
        self.send(v5::Packet::SubscribeAck(ack)).await;
        let filters = subscribe.topic_filters.into_iter();
        filters.map(|(filter, _)| filter.to_string()).collect()
    }

    async fn acked(&mut self) -> u16 {
        match self.receive().await {
            v5::Packet::PublishAck(ack) => ack.packet_id.get(),
            other => panic!("{other:?} instead of a PUBACK"),
        }
    }
}

fn publish(id: u16, dup: bool, retain: bool, payload: &str) -> Publish {
    Publish {
        dup,
        retain,
        qos: QoS::AtLeastOnce,
        topic: "a/b".into(),
        packet_id: NonZero::new(id),
        payload: payload.as_bytes().to_vec().into(),
        properties: None,
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_broker_is_asked_in_its_version() {
    for refusal in [&b"\x20\x02\x00\x01"[..], b"\x20\x03\x00\x84\x00", b""] {
        let scene = Scene::new(&["a/{x}"], |_| {}).await;
        let mut peer = scene.accept(v5::Codec::default()).await;
        assert!(matches!(peer.receive().await, v5::Packet::Connect(_)));
        peer.socket.write_all(refusal).await.unwrap();
        drop(peer);
        // One hang-up says little about the version.
        for _ in 0..if refusal.is_empty() { 2 } else { 0 } {
            let mut peer = scene.accept(v5::Codec::default()).await;
            assert!(matches!(peer.receive().await, v5::Packet::Connect(_)));
        }

        let mut peer = scene.accept(v3::Codec::default()).await;
        let v3::Packet::Connect(connect) = peer.receive().await else {
            panic!("no CONNECT");
        };
        assert!(!connect.clean_session);
        let ack = v3::ConnectAck {
            return_code: v3::ConnectAckReason::ConnectionAccepted,
            session_present: true,
        };
        peer.send(v3::Packet::ConnectAck(ack)).await;
        let v3::Packet::Subscribe { packet_id, .. } = peer.receive().await else {
            panic!("no SUBSCRIBE");
        };
        let status = vec![v3::SubscribeReturnCode::Success(QoS::AtLeastOnce)];
        peer.send(v3::Packet::SubscribeAck { packet_id, status })
            .await;
        // A retained message comes with every SUBSCRIBE: it is none of today.
        peer.send(v3::Packet::from(publish(1, false, true, "old")))
            .await;
        peer.send(v3::Packet::from(publish(2, false, false, "new")))
            .await;
        let mut acked = Vec::new();
        while acked.len() < 2 {
            if let v3::Packet::PublishAck { packet_id } = peer.receive().await {
                acked.push(packet_id.get());
            }
        }
        assert_eq!(acked, [1, 2]);
        assert_eq!(scene.log.last_record(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unacknowledged_comes_again_and_is_dropped() {
    let scene = Scene::new(&["a/{x}"], |_| {}).await;
    let (mut peer, filters) = scene.subscriber(false).await;
    assert_eq!(filters, ["a/+"]);
    for id in 1..=3 {
        let payload = format!("{id}");
        peer.send(v5::Packet::from(publish(id, false, false, &payload)))
            .await;
    }
    for id in 1..=3 {
        assert_eq!(peer.acked().await, id);
    }
    drop(peer);
    let (mut peer, filters) = scene.subscriber(true).await;
    assert_eq!(filters, ["a/+"], "renewed");
    for (id, payload) in [(2, "2"), (3, "3"), (4, "4")] {
        peer.send(v5::Packet::from(publish(id, id < 4, false, payload)))
            .await;
    }
    for id in 2..=4 {
        assert_eq!(peer.acked().await, id);
    }
    assert_eq!(scene.log.last_record(), 4);
    assert_eq!(scene.counters.snapshot().duplicates_dropped, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_streams_change_the_subscriptions_of_the_connection() {
    let scene = Scene::new(&["a/{x}", "b/{x}"], |mqtt| mqtt.share = "g".into()).await;
    let (mut peer, filters) = scene.subscriber(false).await;
    assert_eq!(filters, ["$share/g/a/+", "$share/g/b/+"]);
    scene.filters.follow(&streams(&["b/{x}", "c/{x}"])).unwrap();
    assert_eq!(peer.subscribed().await, ["$share/g/c/+"]);
    let v5::Packet::Unsubscribe(given_back) = peer.receive().await else {
        panic!("no UNSUBSCRIBE");
    };
    assert_eq!(given_back.topic_filters, ["$share/g/a/+"]);
    assert!(
        scene.remembered().contains("/a/+"),
        "until the broker has it back"
    );
    let ack = v5::UnsubscribeAck {
        packet_id: given_back.packet_id,
        properties: Vec::new(),
        reason_string: None,
        status: vec![v5::UnsubscribeAckReason::Success],
    };
    peer.send(v5::Packet::UnsubscribeAck(ack)).await;
    until("the old filter is forgotten", || {
        !scene.remembered().contains("/a/+")
    })
    .await;
    assert!(scene.remembered().contains("/c/+"));
    peer.send(v5::Packet::from(publish(9, false, false, "x")))
        .await;
    assert_eq!(peer.acked().await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_breaks_the_rules_is_left_and_told() {
    let scene = Scene::new(&["a/{x}"], |_| {}).await;
    let mut aliased = publish(1, false, false, "x");
    aliased.properties = Some(v5::PublishProperties {
        topic_alias: NonZero::new(1),
        ..v5::PublishProperties::default()
    });
    let mut codec = v5::Codec::default();
    let mut bytes = BytesMut::new();
    codec.encode(v5::Packet::from(aliased), &mut bytes).unwrap();
    for (sent, told) in [
        (&bytes[..], "topic alias"),
        (b"\xff\xff\xff\xff\xff\xff", "malformed"),
        (b"\x10\x00", "malformed"),
        (b"\xe0\x01\x8b", "ServerShuttingDown"),
        (b"", "closed the connection"),
    ] {
        let (mut peer, _) = scene.subscriber(true).await;
        peer.socket.write_all(sent).await.unwrap();
        if sent.is_empty() {
            drop(peer);
        }
        until(told, || {
            let error = scene.counters.snapshot().last_error;
            error.is_some_and(|error| error.contains(told))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_acknowledges_what_is_logged_and_says_goodbye() {
    let mut scene = Scene::new(&["a/{x}"], |_| {}).await;
    let (mut peer, _) = scene.subscriber(false).await;
    for id in 1..=100 {
        let payload = id.to_string();
        peer.send(v5::Packet::from(publish(id, false, false, &payload)))
            .await;
    }
    until("all are read", || scene.counters.snapshot().received == 100).await;
    scene.stop.cancel();
    scene.log.close().await;
    for id in 1..=100 {
        assert_eq!(peer.acked().await, id);
    }
    assert!(matches!(peer.receive().await, v5::Packet::Disconnect(_)));
    scene.running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_streams_that_could_not_be_remembered_is_made_later() {
    let scene = Scene::new(&["a/{x}"], |_| {}).await;
    let (mut peer, _) = scene.subscriber(false).await;
    // With this behind, the answer to the subscription is too.
    peer.send(v5::Packet::from(publish(1, false, false, "1")))
        .await;
    assert_eq!(peer.acked().await, 1);
    // The file's next version cannot be written.
    let staged = scene.folder.path().join("subscriptions.new");
    std::fs::create_dir(&staged).unwrap();
    scene.filters.follow(&streams(&["b/{x}"])).unwrap();
    let read = peer.socket.read_buf(&mut peer.buffer);
    let read = timeout(Duration::from_secs(20), read).await.unwrap();
    assert!(!matches!(read, Ok(1..)), "the connection ends");
    std::fs::remove_dir(&staged).unwrap();
    loop {
        let mut peer = scene.accept(v5::Codec::default()).await;
        assert!(matches!(peer.receive().await, v5::Packet::Connect(_)));
        peer.send(v5::ConnectAck::default().into()).await;
        // Some attempts may have failed before the file could be written.
        if peer.socket.read_buf(&mut peer.buffer).await.unwrap_or(0) == 0 {
            continue;
        }
        assert_eq!(peer.subscribed().await, ["b/+"]);
        break;
    }
    assert!(scene.remembered().contains("b/+"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_refuses_the_subscription_is_asked_ever_more_seldom() {
    let scene = Scene::new(&["a/{x}"], |_| {}).await;
    let started = Instant::now();
    for _ in 0..6 {
        let mut peer = scene.accept(v5::Codec::default()).await;
        assert!(matches!(peer.receive().await, v5::Packet::Connect(_)));
        peer.send(v5::ConnectAck::default().into()).await;
        assert!(matches!(peer.receive().await, v5::Packet::Subscribe(_)));
    }
    // At least half of 50, 100, 200, 400 and 800 ms.
    assert!(started.elapsed() >= Duration::from_millis(775));
}
