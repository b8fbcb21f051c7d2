//! The publisher against a broker that does what each test tells it, over real sockets.

use std::collections::BTreeSet;

use catalog::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A PUBLISH as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Arrived {
    id: u16,
    duplicate: bool,
    payload: String,
}

/// The broker's end of one connection.
struct Peer(TcpStream);

impl Peer {
    /// Takes the next connection and answers it with a CONNACK.
    async fn accept(listener: &TcpListener, reason: u8, receive_maximum: u16) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        let mut peer = Self(stream);
        let (kind, _) = peer.packet().await.unwrap();
        assert_eq!(kind & 0xf0, 0x10, "a CONNECT comes first");
        let [high, low] = receive_maximum.to_be_bytes();
        peer.0
            .write_all(&[0x20, 6, 0, reason, 3, 0x21, high, low])
            .await
            .unwrap();
        peer
    }

    /// The next packet's first byte and body; nothing when the client has left.
    async fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let kind = self.0.read_u8().await.ok()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.0.read_u8().await.ok()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.ok()?;
        Some((kind, body))
    }

    async fn publish(&mut self) -> Option<Arrived> {
        let (kind, body) = self.packet().await?;
        if kind & 0xf0 != 0x30 {
            return None;
        }
        let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let id = u16::from_be_bytes([body[topic + 2], body[topic + 3]]);
        assert_eq!(body[topic + 4], 0, "no properties");
        let payload = String::from_utf8(body[topic + 5..].to_vec()).unwrap();
        Some(Arrived {
            id,
            duplicate: kind & 0x08 != 0,
            payload,
        })
    }

    async fn acknowledge(&mut self, id: u16, reason: u8) {
        let [high, low] = id.to_be_bytes();
        self.0
            .write_all(&[0x40, 4, high, low, reason, 0])
            .await
            .unwrap();
    }
}

async fn listen() -> (TcpListener, BrokerAddress) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (
        listener,
        BrokerAddress {
            host: "127.0.0.1".to_owned(),
            port,
            login: None,
        },
    )
}

fn message(n: u32) -> Message {
    Message {
        topic: "a/b".to_owned(),
        payload: n.to_string().into_bytes(),
    }
}

async fn publish(broker: BrokerAddress, count: u32) -> Result<Delivery> {
    let mut publisher = Publisher::connect(&broker, "test").await?;
    for n in 0..count {
        publisher.publish(message(n)).await?;
    }
    publisher.finish().await
}

#[tokio::test]
async fn no_more_are_on_their_way_than_the_broker_takes() {
    let (listener, address) = listen().await;
    let publishing = tokio::spawn(publish(address, 100));
    let mut peer = Peer::accept(&listener, 0, 7).await;
    let mut open = BTreeSet::new();
    for _ in 0..7 {
        open.insert(peer.publish().await.unwrap().id);
    }
    // The eighth must wait: nothing comes for as long as we watch.
    let eighth = tokio::time::timeout(Duration::from_millis(100), peer.publish()).await;
    assert!(eighth.is_err(), "{eighth:?}");
    for id in open {
        peer.acknowledge(id, 0).await;
    }
    while let Some(arrived) = peer.publish().await {
        peer.acknowledge(arrived.id, 0).await;
    }
    assert_eq!(publishing.await.unwrap().unwrap().messages, 100);
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_in_order_as_duplicates() {
    let (listener, address) = listen().await;
    let publishing = tokio::spawn(publish(address, 30));
    // Identifiers wrap at the broker's limit, so their order is not that of sending.
    let mut first = Peer::accept(&listener, 0, 8).await;
    for _ in 0..11 {
        let arrived = first.publish().await.unwrap();
        first.acknowledge(arrived.id, 0).await;
    }
    let mut open = Vec::new();
    for _ in 0..6 {
        open.push(first.publish().await.unwrap());
    }
    assert!(
        open.windows(2).any(|pair| pair[0].id > pair[1].id),
        "{open:?}"
    );
    drop(first);

    // This broker has lost the session, as one in memory does that was started again.
    let mut second = Peer::accept(&listener, 0, 8).await;
    for lost in open {
        let again = second.publish().await.unwrap();
        assert_eq!(
            again,
            Arrived {
                duplicate: true,
                ..lost
            }
        );
        second.acknowledge(again.id, 0).await;
    }
    let mut next = 17;
    while let Some(arrived) = second.publish().await {
        // Messages sent into the dead connection come as duplicates too.
        assert_eq!(arrived.payload, next.to_string());
        next += 1;
        second.acknowledge(arrived.id, 0).await;
    }
    let delivery = publishing.await.unwrap().unwrap();
    assert_eq!(
        delivery,
        Delivery {
            messages: 30,
            unmatched: 0,
            reconnects: 1
        }
    );
}

#[tokio::test]
async fn messages_nobody_subscribes_to_are_counted() {
    let (listener, address) = listen().await;
    let publishing = tokio::spawn(publish(address, 3));
    let mut peer = Peer::accept(&listener, 0, 10).await;
    while let Some(arrived) = peer.publish().await {
        let reason = if arrived.payload == "1" { 0x10 } else { 0 };
        peer.acknowledge(arrived.id, reason).await;
    }
    assert_eq!(publishing.await.unwrap().unwrap().unmatched, 1);
}

#[tokio::test]
async fn a_refused_message_ends_the_run_with_its_reason() {
    let (listener, address) = listen().await;
    let publishing = tokio::spawn(publish(address, 3));
    let mut peer = Peer::accept(&listener, 0, 10).await;
    let arrived = peer.publish().await.unwrap();
    peer.acknowledge(arrived.id, 0x97).await;
    let error = publishing.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_publisher_that_has_failed_goes_on_failing() {
    let (listener, address) = listen().await;
    let connecting = tokio::spawn(async move { Publisher::connect(&address, "test").await });
    let mut peer = Peer::accept(&listener, 0, 10).await;
    let mut publisher = connecting.await.unwrap().unwrap();
    publisher.publish(message(0)).await.unwrap();
    let arrived = peer.publish().await.unwrap();
    peer.acknowledge(arrived.id, 0x97).await;
    let error = publisher.settle().await.unwrap_err();
    assert!(
        error
            .message()
            .starts_with("1 messages are not acknowledged"),
        "{error}"
    );
    assert!(publisher.publish(message(1)).await.is_err());
    assert!(publisher.finish().await.is_err());
}

#[tokio::test]
async fn brokers_that_do_not_take_us_are_told_apart() {
    for (reason, kind) in [
        (0x86, ErrorKind::Unauthenticated),
        (0x87, ErrorKind::PermissionDenied),
        (0x84, ErrorKind::Unsupported),
        (0x88, ErrorKind::Unavailable),
    ] {
        let (listener, address) = listen().await;
        let publishing = tokio::spawn(publish(address, 1));
        Peer::accept(&listener, reason, 10).await;
        let error = publishing.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_named() {
    let (listener, address) = listen().await;
    drop(listener);
    let error = publish(address.clone(), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains(&address.to_string()), "{error}");
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("pumphouse serve")),
        "{error}"
    );
}
