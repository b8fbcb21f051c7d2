//! Where messages come from: the broker inside, or one outside.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ingest::{BrokerConfig, MqttConfig, Source, TlsFiles};
use serde::{Deserialize, Serialize};

use super::{Secret, loopback, units};

/// Where messages come from: the broker inside, or one outside.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MqttSettings {
    /// Address of the embedded broker; not used when `url` is set. Empty: off, as for the
    /// three below.
    #[serde(with = "units::parsed")]
    pub(crate) listen: Option<SocketAddr>,
    /// Its address for TLS.
    #[serde(with = "units::parsed")]
    pub(crate) tls_listen: Option<SocketAddr>,
    /// Its address for WebSocket.
    #[serde(with = "units::parsed")]
    pub(crate) ws_listen: Option<SocketAddr>,
    /// Its address for WebSocket over TLS.
    #[serde(with = "units::parsed")]
    pub(crate) wss_listen: Option<SocketAddr>,
    /// Certificate this process shows, as broker or as client.
    #[serde(with = "units::optional")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key.
    #[serde(with = "units::optional")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Authority that has signed the other side's certificate.
    #[serde(with = "units::optional")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Password file of the embedded broker.
    #[serde(with = "units::optional")]
    pub(crate) users: Option<PathBuf>,
    /// Access rules of the embedded broker.
    #[serde(with = "units::optional")]
    pub(crate) acl: Option<PathBuf>,
    /// Whether clients without a name come in on loopback; empty: where there are no users.
    #[serde(with = "units::parsed")]
    pub(crate) allow_anonymous: Option<bool>,
    /// `mqtt://host:port`, `mqtts://...`, `ws://...` or `wss://...` of a broker to subscribe to;
    /// empty means the embedded one.
    #[serde(with = "units::optional")]
    pub(crate) url: Option<String>,
    /// Name of the session at the broker, which keeps messages for it; empty: made
    /// from this node's identity.
    pub(crate) client_id: String,
    #[serde(with = "units::optional")]
    pub(crate) username: Option<String>,
    #[serde(with = "units::optional")]
    pub(crate) password: Option<Secret>,
    /// Most messages the broker may send before one is acknowledged.
    pub(crate) receive_maximum: u16,
    /// Topic filters; empty means those that the streams' topics imply, and with the embedded
    /// broker everything.
    pub(crate) subscribe: Vec<String>,
    /// Group of nodes that split the topics among them; empty means this one takes all.
    pub(crate) share: String,
    /// Largest packet the embedded broker reads; a larger one ends its connection.
    #[serde(with = "units::bytes")]
    pub(crate) max_packet_bytes: u64,
    /// Most connections to the embedded broker.
    pub(crate) max_connections: usize,
    /// Connections it accepts in a second; 0 means no limit.
    pub(crate) max_connects_per_second: u32,
    /// Messages it reads from one client in a second; 0 means no limit.
    pub(crate) max_messages_per_second: u32,
    /// Bytes it reads from one client in a second; 0 means no limit.
    #[serde(with = "units::bytes")]
    pub(crate) max_bytes_per_second: u64,
    /// Most sessions of the embedded broker, absent clients' included.
    pub(crate) max_sessions: usize,
    /// Longest time it keeps the session of an absent client.
    #[serde(with = "units::duration")]
    pub(crate) max_session_expiry: Duration,
    /// Longest keep alive it grants to MQTT 5 clients; 0 means any.
    #[serde(with = "units::duration")]
    pub(crate) max_keep_alive: Duration,
    /// Most messages it keeps for one subscriber...
    pub(crate) queue_messages: usize,
    /// ... and most bytes.
    #[serde(with = "units::bytes")]
    pub(crate) queue_bytes: u64,
    /// Most bytes it keeps for all subscribers together.
    #[serde(with = "units::bytes")]
    pub(crate) max_queued_bytes: u64,
    /// Most retained messages it keeps...
    pub(crate) max_retained: usize,
    /// ... and most bytes.
    #[serde(with = "units::bytes")]
    pub(crate) max_retained_bytes: u64,
}

impl Default for MqttSettings {
    fn default() -> Self {
        let broker = BrokerConfig::default();
        Self {
            listen: Some(loopback(1883)),
            tls_listen: None,
            ws_listen: None,
            wss_listen: None,
            tls_cert: None,
            tls_key: None,
            tls_ca: None,
            users: None,
            acl: None,
            allow_anonymous: None,
            url: None,
            client_id: String::new(),
            username: None,
            password: None,
            receive_maximum: 4096,
            subscribe: Vec::new(),
            share: String::new(),
            max_packet_bytes: broker.max_packet_bytes.into(),
            max_connections: broker.max_connections,
            max_connects_per_second: broker.max_connects_per_second,
            max_messages_per_second: broker.max_messages_per_second,
            max_bytes_per_second: broker.max_bytes_per_second,
            max_sessions: broker.max_sessions,
            max_session_expiry: broker.max_session_expiry,
            max_keep_alive: broker.max_keep_alive,
            queue_messages: broker.queue_messages,
            queue_bytes: broker.queue_bytes as u64,
            max_queued_bytes: broker.max_queued_bytes as u64,
            max_retained: broker.max_retained,
            max_retained_bytes: broker.max_retained_bytes as u64,
        }
    }
}

impl MqttSettings {
    /// The settings as ingest takes them.
    pub(crate) fn source(&self) -> Source {
        match &self.url {
            Some(url) => Source::External(self.external(url)),
            None => Source::Embedded(self.embedded()),
        }
    }

    fn external(&self, url: &str) -> MqttConfig {
        let password = self.password.as_ref();
        MqttConfig {
            url: url.to_owned(),
            client_id: self.client_id.clone(),
            username: self.username.clone(),
            password: password.map(|password| password.expose().to_owned()),
            receive_maximum: self.receive_maximum,
            subscribe: self.subscribe.clone(),
            share: self.share.clone(),
            tls: self.tls_files(),
            ..MqttConfig::default()
        }
    }

    /// The embedded broker's part.
    pub(crate) fn embedded(&self) -> BrokerConfig {
        BrokerConfig {
            listen: self.listen,
            tls_listen: self.tls_listen,
            ws_listen: self.ws_listen,
            wss_listen: self.wss_listen,
            tls: self.tls_files(),
            users: self.users.clone(),
            acl: self.acl.clone(),
            allow_anonymous: self.allow_anonymous,
            max_packet_bytes: u32::try_from(self.max_packet_bytes).unwrap_or(u32::MAX),
            max_connections: self.max_connections,
            max_connects_per_second: self.max_connects_per_second,
            max_messages_per_second: self.max_messages_per_second,
            max_bytes_per_second: self.max_bytes_per_second,
            subscribe: self.subscribe.clone(),
            max_sessions: self.max_sessions,
            max_session_expiry: self.max_session_expiry,
            max_keep_alive: self.max_keep_alive,
            queue_messages: self.queue_messages,
            queue_bytes: bytes(self.queue_bytes),
            max_queued_bytes: bytes(self.max_queued_bytes),
            max_retained: self.max_retained,
            max_retained_bytes: bytes(self.max_retained_bytes),
        }
    }

    fn tls_files(&self) -> TlsFiles {
        TlsFiles {
            cert: self.tls_cert.clone(),
            key: self.tls_key.clone(),
            ca: self.tls_ca.clone(),
        }
    }
}

fn bytes(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
