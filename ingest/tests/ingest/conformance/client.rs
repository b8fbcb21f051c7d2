//! A client that sends bytes and takes packets apart by itself: it shares nothing with the broker.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) use super::packets::*;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection.
pub(crate) struct Client {
    pub(crate) version: Version,
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn open(address: SocketAddr, version: Version) -> Self {
        Self {
            version,
            socket: TcpStream::connect(address).await.unwrap(),
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The broker may have closed already, which the test will see.
        let _ = self.socket.write_all(bytes.as_ref()).await;
    }

    /// The next packet; none when the broker closes.
    pub(crate) async fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.take() {
                return Some(packet);
            }
            let read = self.socket.read_buf(&mut self.buffer);
            match timeout(PATIENCE, read).await.expect("no answer in time") {
                Ok(1..) => {}
                _ => return None,
            }
        }
    }

    fn take(&mut self) -> Option<Packet> {
        let (len, used) = parse_variable(self.buffer.get(1..)?)?;
        let size = 1 + used + len;
        if self.buffer.len() < size {
            return None;
        }
        let rest = self.buffer.split_off(size);
        let whole = std::mem::replace(&mut self.buffer, rest);
        Some(Packet {
            first: whole[0],
            body: whole[1 + used..].to_vec(),
            size,
        })
    }

    /// The next packet, which must be of this kind.
    pub(crate) async fn expect(&mut self, first: u8) -> Packet {
        match self.next().await {
            Some(packet) if packet.first == first => packet,
            other => panic!("{other:?} instead of {first:#x}"),
        }
    }

    /// The next packet, which must be a PUBLISH.
    pub(crate) async fn message(&mut self) -> Delivered {
        let packet = self.next().await.expect("closed instead of a PUBLISH");
        Delivered::parse(&packet, self.version)
    }

    /// Waits until the broker closes; returns what came before.
    pub(crate) async fn closed(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        while let Some(packet) = self.next().await {
            packets.push(packet);
        }
        packets
    }

    /// Waits until the broker says goodbye, where it can, and closes; returns the reason.
    pub(crate) async fn goodbye(&mut self) -> u8 {
        let packets = self.closed().await;
        match (self.version, packets.last()) {
            (V3, None) => 0,
            (V5, Some(last)) if last.first == DISCONNECT => last.body[0],
            (_, other) => panic!("{other:?} at the end"),
        }
    }

    /// Publishes at QoS 1 and waits for the PUBACK.
    pub(crate) async fn publish(&mut self, topic: &str, payload: &str) {
        self.publish_all(&Publish::new(topic, payload, 60_000))
            .await;
    }

    /// Publishes and waits for the last acknowledgement.
    pub(crate) async fn publish_all(&mut self, publish: &Publish) {
        self.send(publish.bytes(self.version)).await;
        match publish.qos {
            0 => self.ping().await,
            1 => assert_eq!(self.expect(PUBACK).await.id(), publish.id),
            _ => {
                assert_eq!(self.expect(PUBREC).await.id(), publish.id);
                self.ack(PUBREL, publish.id).await;
                assert_eq!(self.expect(PUBCOMP).await.id(), publish.id);
            }
        }
    }

    /// Sends an acknowledgement.
    pub(crate) async fn ack(&mut self, first: u8, id: u16) {
        self.send(packet(first, &id.to_be_bytes())).await;
    }

    /// Waits until everything sent before is handled, when nothing is to come but that.
    pub(crate) async fn ping(&mut self) {
        self.send([0xc0, 0]).await;
        self.expect(PINGRESP).await;
    }

    /// Subscribes with these options byte by byte, and returns the codes.
    pub(crate) async fn subscribe_all(
        &mut self,
        props: &[&[u8]],
        filters: &[(&str, u8)],
    ) -> Vec<u8> {
        self.send(subscribe(self.version, 7, props, filters)).await;
        let ack = self.expect(SUBACK).await;
        assert_eq!(ack.id(), 7);
        ack.codes(self.version).to_vec()
    }

    /// Subscribes to one filter at this QoS.
    pub(crate) async fn subscribe(&mut self, filter: &str, qos: u8) {
        assert_eq!(self.subscribe_all(&[], &[(filter, qos)]).await, [qos]);
    }

    /// Says goodbye in peace.
    pub(crate) async fn leave(mut self) {
        self.send([DISCONNECT, 0]).await;
        assert_eq!(self.closed().await, []);
    }

    /// Sees so many messages pass, and an answer to a ping after them.
    pub(crate) async fn ping_after_messages(&mut self, messages: usize) {
        for _ in 0..messages {
            self.message().await;
        }
        self.ping().await;
    }

    /// The next PUBLISH, past packets of this kind.
    pub(crate) async fn message_among(&mut self, first: u8) -> Delivered {
        loop {
            let packet = self.next().await.expect("closed instead of a PUBLISH");
            if packet.first != first {
                return Delivered::parse(&packet, self.version);
            }
        }
    }

    /// Nothing comes: the next packet is the answer to a ping.
    pub(crate) async fn silent(&mut self) {
        self.ping().await;
    }
}
