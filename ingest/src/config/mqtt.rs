//! How to reach an external broker.

use std::fmt;

use catalog::{Error, Result};
use serde::Deserialize;

/// How to reach an external broker.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttConfig {
    /// `mqtt://host:port`; the port defaults to 1883.
    pub url: String,
    /// The client id, which names the persistent session at the broker. Empty: made from the
    /// ingester's id, so that it is as stable as the log it belongs to.
    pub client_id: String,
    /// User name, when the broker asks for one.
    pub username: Option<String>,
    /// Password, when the broker asks for one.
    pub password: Option<String>,
    /// How many unacknowledged messages the broker may have under way.
    pub receive_maximum: u16,
    /// Topic filters to subscribe to. Empty: derived from the streams.
    pub subscribe: Vec<String>,
    /// The MQTT version; 5 is the one supported.
    pub version: u8,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            url: "mqtt://127.0.0.1:1883".into(),
            client_id: String::new(),
            username: None,
            password: None,
            receive_maximum: 4096,
            subscribe: Vec::new(),
            version: 5,
        }
    }
}

impl fmt::Debug for MqttConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MqttConfig")
            .field("url", &self.url)
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("receive_maximum", &self.receive_maximum)
            .field("subscribe", &self.subscribe)
            .field("version", &self.version)
            .finish()
    }
}

impl MqttConfig {
    pub(super) fn validate(&self) -> Result<()> {
        self.address()?;
        if self.version != 5 {
            return Err(
                Error::unsupported(format!("MQTT version {} for a source", self.version))
                    .with_hint("set the version to 5"),
            );
        }
        if self.receive_maximum == 0 {
            return Err(Error::invalid("receive_maximum must be at least 1"));
        }
        if self.password.is_some() && self.username.is_none() {
            return Err(Error::invalid("an MQTT password without a user name")
                .with_hint("set the user name too"));
        }
        for filter in &self.subscribe {
            crate::topic::check_filter(filter)?;
        }
        Ok(())
    }

    /// Host and port of the url.
    pub(crate) fn address(&self) -> Result<(String, u16)> {
        if self.url.contains('@') {
            return Err(
                Error::invalid("the broker's address holds a user and password")
                    .with_hint("set the user name and password settings instead"),
            );
        }
        let bad = || {
            Error::invalid(format!("'{}' is not an MQTT address", self.url))
                .with_hint("write mqtt://host:port")
        };
        let rest = self.url.strip_prefix("mqtt://").ok_or_else(bad)?;
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (rest, 1883),
        };
        if host.is_empty() || host.contains(['/', ' ']) {
            return Err(bad());
        }
        Ok((host.to_owned(), port))
    }
}
