//! What the broker inside this process is told.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use catalog::{Error, Result};
use serde::Deserialize;

use super::TlsFiles;

/// The broker inside this process.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrokerConfig {
    /// Address for MQTT over TCP; port 0 takes a free one, see `Ingest::listen_addrs`. None: off,
    /// as for the three below.
    pub listen: Option<SocketAddr>,
    /// Address for MQTT over TLS.
    pub tls_listen: Option<SocketAddr>,
    /// Address for MQTT over WebSocket, at the path `/mqtt`.
    pub ws_listen: Option<SocketAddr>,
    /// Address for MQTT over WebSocket over TLS.
    pub wss_listen: Option<SocketAddr>,
    /// The broker's certificate and key, and the authority whose certificates clients have to show.
    pub tls: TlsFiles,
    /// The users and their passwords, in a file as `mosquitto_passwd` writes it.
    pub users: Option<PathBuf>,
    /// What each user may publish and subscribe to, in the syntax of Mosquitto's `acl_file`. None:
    /// everything.
    pub acl: Option<PathBuf>,
    /// Whether clients come in that do not say who they are; on a loopback address only, whatever is
    /// written here. None: yes where there are no users.
    pub allow_anonymous: Option<bool>,
    /// The largest MQTT packet read, in bytes. A larger one ends its connection.
    pub max_packet_bytes: u32,
    /// The most connections at a time; one more is closed at once.
    pub max_connections: usize,
    /// Connections accepted in a second; more wait. 0: no limit.
    pub max_connects_per_second: u32,
    /// Messages read from one client in a second; beyond it is read slower. 0: no limit.
    pub max_messages_per_second: u32,
    /// Bytes of messages read from one client in a second, likewise.
    pub max_bytes_per_second: u64,
    /// Filters of the topics that go into the log; the others are only brought to subscribers.
    /// Empty: all but those that begin with `$`.
    pub subscribe: Vec<String>,
    /// The most sessions, of connected and of absent clients. For one more the session ends whose
    /// client has been away for longest; when all are connected, it is refused.
    pub max_sessions: usize,
    /// The longest time a session outlives its connection.
    pub max_session_expiry: Duration,
    /// The longest keep alive of MQTT 5 clients; zero: as they wish.
    pub max_keep_alive: Duration,
    /// The most messages that wait for one subscriber; later ones it misses.
    pub queue_messages: usize,
    /// The most bytes that wait for one subscriber, likewise.
    pub queue_bytes: usize,
    /// The most bytes that wait for all subscribers together, or are unacknowledged by them.
    pub max_queued_bytes: usize,
    /// The most retained messages; another topic's is not kept.
    pub max_retained: usize,
    /// The most bytes of retained messages.
    pub max_retained_bytes: usize,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 1883))),
            tls_listen: None,
            ws_listen: None,
            wss_listen: None,
            tls: TlsFiles::default(),
            users: None,
            acl: None,
            allow_anonymous: None,
            max_packet_bytes: 16 << 20,
            max_connections: 10_000,
            max_connects_per_second: 0,
            max_messages_per_second: 0,
            max_bytes_per_second: 0,
            subscribe: Vec::new(),
            max_sessions: 100_000,
            max_session_expiry: Duration::from_secs(7 * 24 * 3600),
            max_keep_alive: Duration::ZERO,
            queue_messages: 10_000,
            queue_bytes: 16 << 20,
            max_queued_bytes: 1 << 30,
            max_retained: 100_000,
            max_retained_bytes: 64 << 20,
        }
    }
}

/// One address the broker listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Door {
    /// What it is called where addresses are printed: `mqtt`, `mqtts`, `mqtt-ws` or `mqtt-wss`.
    pub(crate) name: &'static str,
    /// The setting that holds its address.
    pub(crate) setting: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
    pub(crate) websocket: bool,
}

impl Door {
    /// Whether other machines can reach it.
    pub(crate) fn is_public(&self) -> bool {
        !self.address.ip().is_loopback()
    }
}

impl BrokerConfig {
    /// The addresses that are on.
    pub(crate) fn doors(&self) -> impl Iterator<Item = Door> {
        [
            ("mqtt", "mqtt.listen", self.listen, false, false),
            ("mqtts", "mqtt.tls_listen", self.tls_listen, true, false),
            ("mqtt-ws", "mqtt.ws_listen", self.ws_listen, false, true),
            ("mqtt-wss", "mqtt.wss_listen", self.wss_listen, true, true),
        ]
        .into_iter()
        .filter_map(|(name, setting, address, tls, websocket)| {
            address.map(|address| Door {
                name,
                setting,
                address,
                tls,
                websocket,
            })
        })
    }

    /// Checks what can be checked without reading a file.
    ///
    /// # Errors
    /// `InvalidInput` for no address at all, for TLS without a certificate, and for an address that
    /// other machines reach while nobody there is asked who he is.
    pub fn validate(&self) -> Result<()> {
        if self.doors().next().is_none() {
            return Err(
                Error::invalid("the embedded broker listens nowhere").with_hint(
                    "set mqtt.listen, or mqtt.tls_listen, mqtt.ws_listen or mqtt.wss_listen",
                ),
            );
        }
        let identified = self.tls.cert.is_some() && self.tls.key.is_some();
        for door in self.doors() {
            let Door {
                setting, address, ..
            } = door;
            if door.tls && !identified {
                return Err(Error::invalid(format!(
                    "{setting} = {address} needs a certificate and its key"
                ))
                .with_hint("set mqtt.tls_cert and mqtt.tls_key to PEM files"));
            }
            let asked = self.users.is_some() || (door.tls && self.tls.ca.is_some());
            if door.is_public() && !asked {
                return Err(Error::invalid(format!(
                    "{setting} = {address} is open to other machines, and no password is asked of them"
                ))
                .with_hint(
                    "set mqtt.users to a file that mosquitto_passwd wrote, or ask for client \
                     certificates with mqtt.tls_ca, or listen on 127.0.0.1",
                ));
            }
        }
        if self.max_connections == 0 || self.max_packet_bytes == 0 {
            return Err(Error::invalid(
                "mqtt.max_connections and mqtt.max_packet_bytes must be at least 1",
            ));
        }
        for filter in &self.subscribe {
            crate::topic::check_filter(filter)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_needs_users_or_client_certificates() {
        let open = "0.0.0.0:1883".parse().ok();
        let file = || Some(PathBuf::from("f"));
        let mut config = BrokerConfig {
            listen: open,
            ..BrokerConfig::default()
        };
        let error = config.validate().unwrap_err();
        assert!(error.message().contains("mqtt.listen"), "{error}");
        config.users = file();
        config.validate().unwrap();
        config.users = None;
        (config.listen, config.tls_listen) = (None, open);
        let error = config.validate().unwrap_err();
        assert!(error.hint().unwrap().contains("mqtt.tls_cert"), "{error}");
        (config.tls.cert, config.tls.key) = (file(), file());
        assert!(config.validate().is_err());
        config.tls.ca = file();
        config.validate().unwrap();
        // A certificate protects the address that asks for it, and no other.
        config.ws_listen = open;
        let error = config.validate().unwrap_err();
        assert!(error.message().contains("mqtt.ws_listen"), "{error}");
        (config.ws_listen, config.tls_listen) = (None, None);
        assert!(config.validate().is_err(), "it listens nowhere");
    }
}
