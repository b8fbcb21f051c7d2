//! What the broker inside this process is told.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

/// The broker inside this process.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrokerConfig {
    /// Address to listen on; port 0 takes a free one, see `Ingest::listen_addr`.
    pub listen: SocketAddr,
    /// The largest MQTT packet read, in bytes. A larger one ends its connection.
    pub max_packet_bytes: u32,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 1883)),
            max_packet_bytes: 16 << 20,
        }
    }
}
