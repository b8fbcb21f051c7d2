//! How to reach an external broker.

use std::fmt;

use catalog::{Error, Result};
use serde::Deserialize;

use super::TlsFiles;

/// How to reach an external broker.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttConfig {
    /// `mqtt://host:port`, `mqtts://host:port` for TLS, `ws://host:port/path` or
    /// `wss://host:port/path` for WebSocket. Default ports: 1883, 8883, 80, 443; default path: `/mqtt`.
    pub url: String,
    /// The authority that has signed the broker's certificate (none: those this machine trusts), and
    /// the certificate and key to show to the broker.
    pub tls: TlsFiles,
    /// The client id, which names the persistent session at the broker. Empty: made from the
    /// ingester's id, so that it is as stable as the log it belongs to.
    pub client_id: String,
    /// User name, when the broker asks for one.
    pub username: Option<String>,
    /// Password, when the broker asks for one.
    pub password: Option<String>,
    /// How many unacknowledged messages the broker may have under way; MQTT 3.1.1 cannot say so.
    pub receive_maximum: u16,
    /// Topic filters to subscribe to. Empty: derived from the streams.
    pub subscribe: Vec<String>,
    /// The group of ingesters that split the topics among them: `$share/GROUP/FILTER`. Empty: this
    /// one takes every message.
    pub share: String,
    /// The MQTT version to begin with: 5, after which 3.1.1 is tried with a broker that does not know
    /// it, or 4, which is 3.1.1 and no other.
    pub version: u8,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            url: "mqtt://127.0.0.1:1883".into(),
            tls: TlsFiles::default(),
            client_id: String::new(),
            username: None,
            password: None,
            receive_maximum: 4096,
            subscribe: Vec::new(),
            share: String::new(),
            version: 5,
        }
    }
}

impl fmt::Debug for MqttConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MqttConfig")
            .field("url", &self.url)
            .field("tls", &self.tls)
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("receive_maximum", &self.receive_maximum)
            .field("subscribe", &self.subscribe)
            .field("share", &self.share)
            .field("version", &self.version)
            .finish()
    }
}

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    /// The path of a WebSocket; none for plain MQTT.
    pub(crate) path: Option<String>,
}

impl Endpoint {
    /// The url of the WebSocket's request.
    pub(crate) fn websocket_url(&self) -> String {
        let scheme = if self.tls { "wss" } else { "ws" };
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let path = self.path.as_deref().unwrap_or_default();
        format!("{scheme}://{host}:{}{path}", self.port)
    }
}

impl MqttConfig {
    pub(super) fn validate(&self) -> Result<()> {
        let endpoint = self.endpoint()?;
        if ![4, 5].contains(&self.version) {
            return Err(
                Error::unsupported(format!("MQTT version {} for a source", self.version))
                    .with_hint("set the version to 5, or to 4 for MQTT 3.1.1"),
            );
        }
        if self.receive_maximum == 0 {
            return Err(Error::invalid("receive_maximum must be at least 1"));
        }
        if self.password.is_some() && self.username.is_none() {
            return Err(Error::invalid("an MQTT password without a user name")
                .with_hint("set the user name too"));
        }
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            return Err(
                Error::invalid("a certificate without its key, or a key alone")
                    .with_hint("set both tls_cert and tls_key, or none"),
            );
        }
        let any_file = self.tls.ca.is_some() || self.tls.cert.is_some();
        if any_file && !endpoint.tls {
            return Err(Error::invalid(format!(
                "certificates are set, and {} does not use TLS",
                self.url
            ))
            .with_hint("write mqtts:// or wss://, or leave the certificates out"));
        }
        if self.share.contains(['/', '+', '#', '\0']) {
            return Err(
                Error::invalid(format!("'{}' is no name of a group", self.share))
                    .with_hint("leave /, + and # out of `share`"),
            );
        }
        for filter in &self.subscribe {
            crate::topic::check_filter(filter)?;
            if filter.starts_with("$share/") {
                return Err(Error::invalid(format!("topic filter '{filter}' is shared"))
                    .with_hint("write the filter alone, and the group in `share`"));
            }
        }
        Ok(())
    }

    /// Where the url points to.
    pub(crate) fn endpoint(&self) -> Result<Endpoint> {
        if self.url.contains('@') {
            return Err(
                Error::invalid("the broker's address holds a user and password")
                    .with_hint("set the user name and password settings instead"),
            );
        }
        let bad = || {
            Error::invalid(format!("'{}' is not an MQTT address", self.url)).with_hint(
                "write mqtt://host:port, mqtts://host:port, ws://host:port/path or wss://...",
            )
        };
        let (scheme, rest) = self.url.split_once("://").ok_or_else(bad)?;
        let (tls, websocket, default_port) = match scheme {
            "mqtt" | "tcp" => (false, false, 1883),
            "mqtts" | "ssl" | "tls" => (true, false, 8883),
            "ws" => (false, true, 80),
            "wss" => (true, true, 443),
            _ => return Err(bad()),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let path = match (websocket, path) {
            (false, "" | "/") => None,
            (false, _) => return Err(bad()),
            (true, "" | "/") => Some("/mqtt".to_owned()),
            (true, path) => Some(path.to_owned()),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (authority, default_port),
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        if host.is_empty() || port == 0 || host.contains(char::is_whitespace) {
            return Err(bad());
        }
        Ok(Endpoint {
            host: host.to_owned(),
            port,
            tls,
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> MqttConfig {
        MqttConfig {
            url: url.to_owned(),
            ..MqttConfig::default()
        }
    }

    #[test]
    fn addresses_of_every_kind() {
        for (url, host, port, tls, path) in [
            ("mqtt://broker", "broker", 1883, false, None),
            ("mqtt://broker:99/", "broker", 99, false, None),
            ("tcp://[::1]", "::1", 1883, false, None),
            ("mqtts://10.0.0.1", "10.0.0.1", 8883, true, None),
            ("ws://broker", "broker", 80, false, Some("/mqtt")),
            ("ws://broker:8083/x?y", "broker", 8083, false, Some("/x?y")),
            ("wss://[::1]:84/", "::1", 84, true, Some("/mqtt")),
        ] {
            let endpoint = config(url).endpoint().unwrap();
            assert_eq!((&endpoint.host[..], endpoint.port), (host, port), "{url}");
            assert_eq!(
                (endpoint.tls, endpoint.path.as_deref()),
                (tls, path),
                "{url}"
            );
        }
        let endpoint = config("wss://[::1]:84/").endpoint().unwrap();
        assert_eq!(endpoint.websocket_url(), "wss://[::1]:84/mqtt");
        for bad in [
            "broker:1883",
            "http://broker",
            "mqtt://",
            "mqtt://broker/path",
            "mqtt://broker:x",
            "mqtt://broker:0",
            "mqtt://user:password@broker",
            "ws:///mqtt",
        ] {
            assert!(config(bad).endpoint().is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let mut one = config("mqtt://broker");
        one.validate().unwrap();
        one.tls.ca = Some("ca.pem".into());
        assert!(one.validate().is_err(), "TLS files without TLS");
        one.url = "mqtts://broker".into();
        one.validate().unwrap();
        one.tls.key = Some("key.pem".into());
        assert!(one.validate().is_err(), "a key without a certificate");
        one.tls.cert = Some("cert.pem".into());
        one.share = "a/b".into();
        assert!(one.validate().is_err(), "the group is one level");
        one.share = "a".into();
        one.validate().unwrap();
        one.subscribe = vec!["$share/a/b".into()];
        assert!(one.validate().is_err(), "shared twice");
    }
}
