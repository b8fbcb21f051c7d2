//! The broker against the specification: each statement of MQTT 5 and 3.1.1 that a broker can break.
//!
//! A test is named after its statements: `mqtt_v5_3_1_2_4_v3_3_1_2_6_...` guards MQTT-3.1.2-4 of
//! MQTT 5 and MQTT-3.1.2-6 of MQTT 3.1.1. `docs/mqtt-conformance.md` lists them all; a test below
//! compares the two.

mod bad_packets;
mod client;
mod connect;
mod flood;
mod limits;
mod ordering;
mod packets;
mod properties;
mod publish;
mod qos2;
mod restart;
mod retain;
mod session;
mod shared;
mod subscribe;
mod table;
mod unsubscribe;
mod will;

use std::net::SocketAddr;

use ingest::{BrokerConfig, Ingest, Source};

use crate::support::House;
use client::{Client, Connect, Packet, Version, parse_properties};

/// A broker and the folders of its lakehouse.
struct Broker {
    house: House,
    ingest: Option<Ingest>,
    address: SocketAddr,
    change: fn(&mut BrokerConfig),
}

/// What a CONNACK says.
struct Welcome {
    present: bool,
    code: u8,
    props: Vec<(u8, Vec<u8>)>,
    packet: Packet,
}

impl Broker {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: fn(&mut BrokerConfig)) -> Self {
        let mut broker = Self {
            house: House::new(),
            ingest: None,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            change,
        };
        broker.begin().await;
        broker
    }

    async fn begin(&mut self) {
        let mut config = self.house.config();
        if let Source::Embedded(broker) = &mut config.source {
            (self.change)(broker);
        }
        let ingest = Ingest::start(config, self.house.lake().await)
            .await
            .unwrap();
        self.address = ingest.listen_addr().unwrap();
        self.ingest = Some(ingest);
    }

    fn ingest(&self) -> &Ingest {
        self.ingest.as_ref().unwrap()
    }

    /// Connects, whatever the answer.
    async fn try_connect(&self, connect: &Connect) -> (Client, Welcome) {
        let mut client = Client::open(self.address, connect.version).await;
        client.send(connect.bytes()).await;
        let packet = client.expect(0x20).await;
        assert!(packet.body[0] <= 1, "reserved flags in a CONNACK");
        let props = match connect.version {
            Version::V3 => Vec::new(),
            Version::V5 => {
                let (props, rest) = parse_properties(&packet.body[2..]);
                assert_eq!(rest, b"");
                props
            }
        };
        let welcome = Welcome {
            present: packet.body[0] == 1,
            code: packet.body[1],
            props,
            packet,
        };
        (client, welcome)
    }

    /// Connects, and is let in.
    async fn connect(&self, connect: &Connect) -> (Client, Welcome) {
        let (client, welcome) = self.try_connect(connect).await;
        assert_eq!(welcome.code, 0);
        (client, welcome)
    }

    /// A client with a session that ends with it.
    async fn client(&self, version: Version, id: &str) -> Client {
        self.connect(&Connect::new(version, id)).await.0
    }

    /// A client with a session that stays.
    async fn lasting(&self, version: Version, id: &str) -> Client {
        self.connect(&Connect::lasting(version, id)).await.0
    }

    /// Waits until so many clients are connected.
    async fn connected(&self, clients: u64) {
        let count = || self.ingest().stats().broker.connections;
        crate::support::until("clients to come or go", || count() == clients).await;
    }
}

impl Welcome {
    fn prop(&self, id: u8) -> Option<&[u8]> {
        let found = self.props.iter().find(|(i, _)| *i == id);
        found.map(|(_, value)| value.as_slice())
    }
}
