//! Clients that send much that is not logged, or take little of what they are answered.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::time::timeout;

use super::Broker;
use super::client::{BOTH, Connect, PINGRESP, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, V3, V5};

const PING: [u8; 2] = [0xc0, 0];

#[tokio::test(flavor = "multi_thread")]
async fn more_answers_than_may_be_owed_come_all() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        client.send(PING.repeat(30_000)).await;
        for _ in 0..30_000 {
            client.expect(PINGRESP).await;
        }
        let refused = Publish::new("$SYS/x", "x", 4).bytes(version);
        client.send(refused.repeat(8_000)).await;
        for _ in 0..8_000 {
            client.expect(PUBACK).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_no_answers_is_not_read_for_ever() {
    let broker = Broker::start().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.set_send_buffer_size(4 << 10).unwrap();
    let mut socket = socket.connect(broker.address).await.unwrap();
    let connect = Connect::new(V3, "deaf").bytes();
    socket.write_all(&connect).await.unwrap();
    let pings = PING.repeat(32 << 10);
    let mut sent = 0;
    // What the sockets hold is less than half of this.
    while sent < 32 << 20 {
        // Nothing goes any more: it is not read.
        let Ok(write) = timeout(Duration::from_secs(3), socket.write_all(&pings)).await else {
            break;
        };
        write.unwrap();
        sent += pings.len();
    }
    assert!(sent < 32 << 20, "{sent} bytes were read");
    broker.client(V5, "other").await.ping().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_3_1_1_may_hold_every_packet_id() {
    let broker = Broker::start().await;
    let mut client = broker.client(V3, "client").await;
    let ids: Vec<u16> = (1..=u16::MAX).collect();
    for some in ids.chunks(8_192) {
        let burst: Vec<u8> = some
            .iter()
            .flat_map(|id| Publish::new("a", "{}", *id).qos(2).bytes(V3))
            .collect();
        client.send(burst).await;
        for id in some {
            assert_eq!(client.expect(PUBREC).await.id(), *id);
        }
    }
    client.ping().await;
    client.ack(PUBREL, 1).await;
    assert_eq!(client.expect(PUBCOMP).await.id(), 1);
}
