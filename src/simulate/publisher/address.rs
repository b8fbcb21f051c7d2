//! Where the broker is, and who we are to it.

use std::fmt;

use catalog::{Error, Result};

use crate::settings::{Secret, Settings};

const DEFAULT_PORT: u16 = 1883;

/// Address of a broker and how to log in there.
#[derive(Clone, Debug)]
pub(crate) struct BrokerAddress {
    /// Name or IP address; an IPv6 address in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// User and password.
    pub(crate) login: Option<(String, Secret)>,
}

impl BrokerAddress {
    /// The broker named by `--broker`, or else the one in the settings: `mqtt.url`, or the
    /// embedded broker. User and password are always those of the settings.
    ///
    /// Errors: `InvalidInput` or `Unsupported` for an address that is none we can use.
    pub(crate) fn find(flag: Option<&str>, settings: &Settings) -> Result<Self> {
        let mqtt = &settings.mqtt;
        let url = match (flag.or(mqtt.url.as_deref()), mqtt.listen) {
            (Some(url), _) => url.to_owned(),
            (None, Some(mut listen)) => {
                if listen.ip().is_unspecified() {
                    listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
                }
                format!("mqtt://{listen}")
            }
            (None, None) => {
                return Err(Error::invalid("no broker is named, and mqtt.listen is off")
                    .with_hint("name one with --broker mqtt://host:1883"));
            }
        };
        let login = mqtt.username.clone().map(|user| {
            let password = mqtt.password.clone();
            (
                user,
                password.unwrap_or_else(|| Secret::from(String::new())),
            )
        });
        Ok(Self {
            login,
            ..Self::parse(&url)?
        })
    }

    /// Reads `mqtt://host:port`, `tcp://host:port` or `host:port`; the port may be absent.
    ///
    /// Errors: as [`find`](Self::find).
    pub(crate) fn parse(url: &str) -> Result<Self> {
        if url.contains('@') {
            return Err(
                Error::invalid("the broker's address holds a user and password")
                    .with_hint("set PUMPHOUSE_MQTT_USERNAME and PUMPHOUSE_MQTT_PASSWORD instead"),
            );
        }
        let (scheme, rest) = url.split_once("://").unwrap_or(("mqtt", url));
        match scheme {
            "mqtt" | "tcp" => {}
            "mqtts" | "ssl" | "ws" | "wss" => {
                return Err(
                    Error::unsupported(format!("{scheme}:// brokers are not supported"))
                        .with_hint("name the broker's plain port, as mqtt://host:1883"),
                );
            }
            _ => return Err(invalid(url)),
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let colon = rest.rfind(':').filter(|at| rest[*at..].find(']').is_none());
        let (host, port) = match colon {
            Some(at) => (
                &rest[..at],
                rest[at + 1..].parse().map_err(|_| invalid(url))?,
            ),
            None => (rest, DEFAULT_PORT),
        };
        if host.is_empty() || host.contains(['/', '?', ' ']) || port == 0 {
            return Err(invalid(url));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            login: None,
        })
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mqtt://{}:{}", self.host, self.port)
    }
}

fn invalid(url: &str) -> Error {
    Error::invalid(format!("{url:?} is no broker's address"))
        .with_hint("write it as mqtt://127.0.0.1:1883")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, expected) in [
            ("mqtt://127.0.0.1:1884", "mqtt://127.0.0.1:1884"),
            ("mqtt://broker", "mqtt://broker:1883"),
            ("tcp://broker:99/", "mqtt://broker:99"),
            ("localhost:1883", "mqtt://localhost:1883"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
            ("mqtt://[::1]:7", "mqtt://[::1]:7"),
        ] {
            assert_eq!(
                BrokerAddress::parse(text).unwrap().to_string(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_hint() {
        for text in [
            "",
            "mqtt://",
            "http://x",
            "mqtt://x:y",
            "mqtt://x:0",
            "mqtts://x",
            "a b",
            "mqtt://u:p@x",
        ] {
            let error = BrokerAddress::parse(text).unwrap_err();
            assert!(
                error.is_user_error() && error.hint().is_some(),
                "{text}: {error}"
            );
            assert!(!error.to_string().contains("u:p"), "{error}");
        }
    }

    #[test]
    fn the_flag_wins_over_the_settings_and_these_over_the_embedded_broker() {
        let mut settings = Settings::default();
        let found = |flag, settings: &Settings| BrokerAddress::find(flag, settings).unwrap();
        assert_eq!(found(None, &settings).to_string(), "mqtt://127.0.0.1:1883");
        settings.mqtt.url = Some("mqtt://far:1".to_owned());
        settings.mqtt.username = Some("me".to_owned());
        assert_eq!(found(None, &settings).to_string(), "mqtt://far:1");
        let flagged = found(Some("mqtt://near:2"), &settings);
        assert_eq!(flagged.to_string(), "mqtt://near:2");
        assert_eq!(flagged.login.unwrap().0, "me");
    }
}
