//! How clients come in to the embedded broker: TLS, WebSocket, passwords, certificates.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use ingest::{BrokerConfig, Ingest, Source, TlsFiles};
use rmqtt_codec::v5;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::codec::{Decoder, Encoder};

use crate::papers::Papers;
use crate::support::{House, Raw, TOPIC, decoded, publish_packet};

/// `alice` with `secret`.
const USERS: &str = "alice:$7$101$gwP5bZ13K3cxW22H$Zlt3trkylNjqok9qEKWB2ise2f2N3cHdzc069E3DCDk1EVRBOvvHodn0bVtAVa310uNcv4Qg2HAY/UW7awL42w==\n";

pub(crate) fn local() -> Option<SocketAddr> {
    "127.0.0.1:0".parse().ok()
}

pub(crate) async fn start(house: &House, broker: BrokerConfig) -> Ingest {
    let mut config = house.config();
    config.source = Source::Embedded(broker);
    Ingest::start(config, house.lake().await).await.unwrap()
}

pub(crate) fn address(ingest: &Ingest, name: &str) -> SocketAddr {
    let mut addresses = ingest.listen_addrs().iter();
    addresses.find(|(door, _)| *door == name).unwrap().1
}

/// Publishes one row with `mosquitto_pub` at QoS 1.
async fn mosquitto_pub(address: SocketAddr, args: &[&str]) -> Output {
    let mut command = Command::new("mosquitto_pub");
    command
        .args(["-h", "localhost", "-p", &address.port().to_string()])
        .args(["-q", "1", "-t", TOPIC, "-m", "{\"n\":1}"])
        .args(args);
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.unwrap();
    output.unwrap_or_else(|e| panic!("cannot run mosquitto_pub: {e}; run `make setup-test`"))
}

fn path(file: &Path) -> &str {
    file.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_mosquitto_come_in_over_tls() {
    let (house, papers) = (House::new(), Papers::new());
    let broker = BrokerConfig {
        listen: None,
        tls_listen: local(),
        tls: papers.of_broker(),
        ..BrokerConfig::default()
    };
    let ingest = start(&house, broker).await;
    assert_eq!(ingest.listen_addr(), None);
    let address = address(&ingest, "mqtts");
    let ca = papers.file("ca.pem");
    for (sent, version) in ["mqttv311", "mqttv5"].into_iter().enumerate() {
        let output = mosquitto_pub(address, &["--cafile", path(&ca), "-V", version]).await;
        assert!(output.status.success(), "{version}: {output:?}");
        decoded(&ingest, sent as u64 + 1).await;
    }
    let stranger = Papers::new();
    let output = mosquitto_pub(address, &["--cafile", path(&stranger.file("ca.pem"))]).await;
    assert!(!output.status.success(), "another authority is no proof");
    let output = mosquitto_pub(address, &[]).await;
    assert!(!output.status.success(), "TLS is not optional");
    decoded(&ingest, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_names_the_user() {
    let (house, papers) = (House::new(), Papers::new());
    let acl = papers.file("acl");
    std::fs::write(&acl, "user pump-7\ntopic write pumps/#\n").unwrap();
    let broker = BrokerConfig {
        listen: None,
        tls_listen: "0.0.0.0:0".parse().ok(),
        tls: TlsFiles {
            ca: Some(papers.file("ca.pem")),
            ..papers.of_broker()
        },
        acl: Some(acl),
        ..BrokerConfig::default()
    };
    let ingest = start(&house, broker).await;
    let address = address(&ingest, "mqtts");
    let ca = papers.file("ca.pem");
    let show = async |papers: &Papers, name: &str| {
        papers.issue(name);
        let (cert, key) = (format!("{name}.pem"), format!("{name}.key"));
        let (cert, key) = (papers.file(&cert), papers.file(&key));
        let args = [
            "--cafile",
            path(&ca),
            "--cert",
            path(&cert),
            "--key",
            path(&key),
        ];
        // A refused PUBLISH ends the connection; without -V mqttv5 it is sent again for ever.
        mosquitto_pub(address, &[&args[..], &["-V", "mqttv5"]].concat()).await
    };
    let output = show(&papers, "pump-7").await;
    assert!(output.status.success(), "{output:?}");
    decoded(&ingest, 1).await;
    let nobody = mosquitto_pub(address, &["--cafile", path(&ca)]).await;
    assert!(!nobody.status.success(), "a certificate has to be shown");
    let forged = show(&Papers::new(), "pump-7").await;
    assert!(!forged.status.success(), "and be signed by the authority");
    show(&papers, "pump-8").await;
    decoded(&ingest, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_asked_for() {
    let house = House::new();
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    std::fs::write(&users, USERS).unwrap();
    let broker = BrokerConfig {
        listen: local(),
        users: Some(users),
        ..BrokerConfig::default()
    };
    let ingest = start(&house, broker).await;
    let address = address(&ingest, "mqtt");
    for version in ["mqttv311", "mqttv5"] {
        let log_in = async |password| {
            let login = ["-u", "alice", "-P", password, "-V", version];
            mosquitto_pub(address, &login).await.status.success()
        };
        assert!(log_in("secret").await);
        assert!(!log_in("Secret").await);
        assert!(
            !mosquitto_pub(address, &["-V", version])
                .await
                .status
                .success()
        );
    }
    decoded(&ingest, 2).await;
    let stats = ingest.stats().broker;
    assert_eq!((stats.connects, stats.refused_logins), (2, 4));
}

/// `bob` with `s2`.
const BOB: &str = "bob:$6$L68rnYTbQCPwtjrG$9FSUVQyRqib5KVox/ac0i0LdT3fVQygTzYHzgqqhbR8SJTKYo82R1oRM+gu+pY13YHdTjAeIBPyO1tF0QwsdpQ==\n";

/// Connects as a user who wants a session that stays; true when there was one.
async fn resume(address: SocketAddr, user: &str, password: &str) -> (Raw<v5::Codec>, bool) {
    let connect = v5::Connect {
        client_id: "device".into(),
        session_expiry_interval_secs: 1_000,
        username: Some(user.into()),
        password: Some(password.as_bytes().to_vec().into()),
        ..v5::Connect::default()
    };
    let (raw, ack) = Raw::v5(address, connect).await;
    assert_eq!(u8::from(ack.reason_code), 0);
    (raw, ack.session_present)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_inherited_by_one_who_may_not_have_it() {
    let house = House::new();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let broker = BrokerConfig {
        listen: local(),
        users: file("users", &format!("{USERS}{BOB}")),
        acl: file("acl", "user alice\ntopic a/#\nuser bob\ntopic b/#\n"),
        ..BrokerConfig::default()
    };
    let ingest = start(&house, broker).await;
    let address = address(&ingest, "mqtt");
    let (mut alice, _) = resume(address, "alice", "secret").await;
    let subscribe = v5::Subscribe {
        packet_id: 1.try_into().unwrap(),
        id: None,
        user_properties: Vec::new(),
        topic_filters: vec![("a/#".into(), v5::SubscriptionOptions::default())],
    };
    alice.send(v5::Packet::Subscribe(subscribe)).await;
    assert!(matches!(
        alice.receive().await,
        Some(v5::Packet::SubscribeAck(_))
    ));
    let (alice, present) = resume(address, "alice", "secret").await;
    assert!(present, "her own");
    drop(alice);
    let (mut bob, present) = resume(address, "bob", "s2").await;
    assert!(!present, "hers is none of his");
    // Nor may he publish where she may.
    let foreign = publish_packet(1, false, "a/x", "{}");
    bob.send(v5::Packet::from(foreign)).await;
    let answer = bob.receive().await;
    let refused = match &answer {
        Some(v5::Packet::PublishAck(ack)) => u8::from(ack.reason_code),
        Some(v5::Packet::Disconnect(goodbye)) => u8::from(goodbye.reason_code),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused, 0x87);
    assert_eq!(ingest.stats().logged, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_its_users_alone() {
    let house = House::new();
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    std::fs::write(&users, format!("{USERS}{BOB}")).unwrap();
    let broker = BrokerConfig {
        listen: local(),
        users: Some(users),
        ..BrokerConfig::default()
    };
    let ingest = start(&house, broker.clone()).await;
    for (user, password, present) in [
        ("alice", "secret", false),
        ("alice", "secret", true),
        ("bob", "s2", false),
        ("bob", "s2", true),
    ] {
        let found = resume(address(&ingest, "mqtt"), user, password).await.1;
        assert_eq!(found, present, "{user}");
    }
    ingest.shutdown().await.unwrap();
    let ingest = start(&house, broker).await;
    let address = address(&ingest, "mqtt");
    assert!(resume(address, "bob", "s2").await.1, "after a restart");
    assert!(!resume(address, "alice", "secret").await.1);
}

/// A WebSocket to the embedded broker that offers `mqtt`.
async fn web(address: SocketAddr) -> WebSocketStream<TcpStream> {
    let mut request = format!("ws://{address}/mqtt")
        .into_client_request()
        .unwrap();
    let protocol = "mqtt".parse().unwrap();
    request
        .headers_mut()
        .insert("sec-websocket-protocol", protocol);
    let socket = TcpStream::connect(address).await.unwrap();
    let (socket, response) = tokio_tungstenite::client_async(request, socket)
        .await
        .unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "mqtt");
    socket
}

fn bytes_of(packets: &[v5::Packet]) -> Bytes {
    let mut bytes = BytesMut::new();
    for packet in packets {
        v5::Codec::default()
            .encode(packet.clone(), &mut bytes)
            .unwrap();
    }
    bytes.freeze()
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_may_lie_across_websocket_frames() {
    let house = House::new();
    let broker = BrokerConfig {
        ws_listen: local(),
        listen: local(),
        ..BrokerConfig::default()
    };
    let ingest = start(&house, broker).await;
    let address = address(&ingest, "mqtt-ws");
    let connect = v5::Packet::from(v5::Connect {
        clean_start: true,
        ..v5::Connect::default()
    });
    let message = |id| v5::Packet::from(publish_packet(id, false, TOPIC, "{\"n\":1}"));
    // MQTT-6.0.0-2: not one packet per frame. First in pieces of three bytes, then all in one.
    let all = bytes_of(&[
        connect.clone(),
        message(1),
        message(2),
        v5::Packet::PingRequest,
    ]);
    for size in [3, all.len()] {
        let mut socket = web(address).await;
        for piece in all.chunks(size) {
            let piece = Bytes::copy_from_slice(piece);
            socket.send(Message::Binary(piece)).await.unwrap();
            socket.send(Message::Ping(Bytes::new())).await.unwrap();
        }
        let (mut codec, mut read) = (v5::Codec::default(), BytesMut::new());
        let (mut acks, mut pongs) = (0, 0);
        while acks < 2 || pongs < 1 {
            match socket.next().await.unwrap().unwrap() {
                Message::Binary(bytes) => read.extend_from_slice(&bytes),
                Message::Pong(_) => continue,
                other => panic!("{other:?}"),
            }
            while let Some((packet, _)) = codec.decode(&mut read).unwrap() {
                match packet {
                    v5::Packet::PublishAck(_) => acks += 1,
                    v5::Packet::PingResponse => pongs += 1,
                    v5::Packet::ConnectAck(ack) => assert_eq!(u8::from(ack.reason_code), 0),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    // Who is let in may send more in a frame than may come before.
    let mut socket = web(address).await;
    let text = format!("{{\"n\":1,\"what\":\"{}\"}}", "x".repeat(1 << 20));
    let large = v5::Packet::from(publish_packet(3, false, TOPIC, &text));
    for (packet, first) in [(connect, 0x20), (large, 0x40)] {
        socket
            .send(Message::Binary(bytes_of(&[packet])))
            .await
            .unwrap();
        let answer = socket.next().await.unwrap().unwrap();
        assert_eq!(answer.into_data()[0], first);
    }
    decoded(&ingest, 5).await;

    // MQTT-6.0.0-1: a text frame ends the connection.
    let mut socket = web(address).await;
    socket.send(Message::text("hello")).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        assert!(!message.is_binary(), "{message:?}");
    }
    // What is no request for a WebSocket gets an answer of HTTP and no more.
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 404"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_no_use_are_named_at_the_start() {
    let (house, papers) = (House::new(), Papers::new());
    let tls = papers.of_broker();
    let refused = async |tls: TlsFiles| {
        let mut config = house.config();
        config.source = Source::Embedded(BrokerConfig {
            tls_listen: local(),
            listen: None,
            tls,
            ..BrokerConfig::default()
        });
        let ingest = Ingest::start(config, house.lake().await).await;
        ingest.err().unwrap().to_string()
    };
    let error = refused(TlsFiles {
        cert: Some("/no/such.pem".into()),
        ..tls.clone()
    });
    assert!(error.await.contains("/no/such.pem"));
    papers.issue("other");
    let error = refused(TlsFiles {
        key: Some(papers.file("other.key")),
        ..tls.clone()
    });
    let error = error.await;
    assert!(error.contains("broker.pem"), "{error}");
    let error = refused(TlsFiles {
        ca: Some(papers.file("other.key")),
        ..tls
    });
    let error = error.await;
    assert!(
        error.contains("other.key") && error.contains("none"),
        "{error}"
    );
}
