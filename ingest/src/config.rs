//! What an ingester is told: its streams, its source, and when it flushes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use catalog::{Error, Key, Result};
use serde::Deserialize;

use crate::decode::Kind;
use crate::topic::Template;

/// Everything [`Ingest::start`](crate::Ingest::start) needs.
#[derive(Debug, Clone)]
pub struct IngestConfig {
    /// The branch rows are committed to.
    pub branch: String,
    /// The folder of the write-ahead log and of the ingester's identity. One process at a time.
    pub data_dir: PathBuf,
    /// Which topics become rows of which tables; the first stream that matches a topic takes it.
    pub streams: Vec<StreamConfig>,
    /// Where messages come from.
    pub source: Source,
    /// A flush starts once this many rows wait.
    pub flush_rows: usize,
    /// A flush starts once the waiting rows take this many bytes of memory.
    pub flush_bytes: usize,
    /// A flush starts once the oldest waiting row is this old.
    pub flush_interval: Duration,
    /// The most bytes of decoded rows in memory. At the bound decoding waits for a flush; messages
    /// are still logged and acknowledged while the log has room.
    pub buffer_bytes: usize,
    /// The most bytes of uncommitted messages in the write-ahead log. At the bound acknowledgements
    /// wait for a flush, so the broker holds the messages.
    pub log_bytes: u64,
    /// The size at which a new segment of the log is begun, in bytes.
    pub segment_bytes: u64,
    /// A payload larger than this many bytes becomes a dead letter.
    pub max_message_bytes: usize,
    /// The table of messages that could not become rows.
    pub dead_letter_table: Key,
}

impl IngestConfig {
    /// A configuration with the defaults: branch `main`, a flush at 100,000 rows, 64 MiB or 10 s,
    /// a buffer of 256 MiB, a log of 4 GiB in segments of 64 MiB, messages up to 1 MiB, and dead
    /// letters in `ingest.dead_letters`.
    ///
    /// # Errors
    /// None today; the dead-letter name is validated like any other.
    pub fn new(data_dir: impl Into<PathBuf>, source: Source, streams: Vec<StreamConfig>) -> Self {
        Self {
            branch: "main".into(),
            data_dir: data_dir.into(),
            streams,
            source,
            flush_rows: 100_000,
            flush_bytes: 64 << 20,
            flush_interval: Duration::from_secs(10),
            buffer_bytes: 256 << 20,
            log_bytes: 4 << 30,
            segment_bytes: 64 << 20,
            max_message_bytes: 1 << 20,
            dead_letter_table: Key {
                namespace: "ingest".into(),
                name: "dead_letters".into(),
            },
        }
    }

    /// Checks every stream and bound.
    ///
    /// # Errors
    /// `InvalidInput` naming the stream or the setting, and what to write instead.
    pub fn validate(&self) -> Result<()> {
        let mut names = BTreeSet::new();
        for stream in &self.streams {
            stream.validate()?;
            if !names.insert(stream.name.as_str()) {
                return Err(Error::invalid(format!(
                    "stream '{}' is configured twice",
                    stream.name
                ))
                .with_hint("give every stream its own name"));
            }
            if stream.table == self.dead_letter_table {
                return Err(Error::invalid(format!(
                    "stream '{}' writes to {}, the dead-letter table",
                    stream.name, stream.table
                ))
                .with_hint("choose another table for the stream"));
            }
        }
        let bounds = [
            ("flush_rows", self.flush_rows as u64),
            ("flush_bytes", self.flush_bytes as u64),
            ("buffer_bytes", self.buffer_bytes as u64),
            ("log_bytes", self.log_bytes),
            ("segment_bytes", self.segment_bytes),
            ("max_message_bytes", self.max_message_bytes as u64),
        ];
        if let Some((name, _)) = bounds.iter().find(|(_, value)| *value == 0) {
            return Err(Error::invalid(format!("{name} must be at least 1")));
        }
        if self.flush_interval.is_zero() {
            return Err(Error::invalid("flush_interval must be above zero"));
        }
        match &self.source {
            Source::External(mqtt) => mqtt.validate(),
            Source::Embedded(_) => Ok(()),
        }
    }
}

/// Where messages come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A broker elsewhere, such as Mosquitto, EMQX or HiveMQ.
    External(MqttConfig),
    /// The MQTT broker inside this process.
    Embedded(BrokerConfig),
}

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
    fn validate(&self) -> Result<()> {
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

/// How the messages of one topic template become rows of one table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamConfig {
    /// The stream's name, as dead letters and logs show it.
    pub name: String,
    /// Topic template such as `pumps/{site}/{pump}/telemetry`; each `{name}` becomes a string column.
    pub topic: String,
    /// The table rows go to; created at the first good message.
    pub table: Key,
    /// The column a device is known by: sorted and bloom-filtered. Default: the template's last variable.
    #[serde(default)]
    pub device: Option<String>,
    /// The payload field, and column, that holds the time of a row.
    #[serde(default = "default_time")]
    pub time: String,
    /// Declared column types by name: boolean, int, long, float, double, string, timestamp, date.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
}

fn default_time() -> String {
    "ts".into()
}

impl StreamConfig {
    fn validate(&self) -> Result<()> {
        let wrong = |what: String| Error::invalid(format!("stream '{}': {what}", self.name));
        let template = Template::parse(&self.topic)
            .map_err(|e| wrong(e.message().to_owned()).with_hint(e.hint().unwrap_or_default()))?;
        if template.variables().any(|v| v == self.time) {
            return Err(wrong(format!(
                "'{}' is both the time field and a variable of the topic",
                self.time
            ))
            .with_hint("rename the variable"));
        }
        for (column, kind) in &self.columns {
            let kind = Kind::parse(kind)
                .map_err(|e| wrong(format!("column '{column}': {}", e.message())))?;
            if *column == self.time && kind != Kind::Timestamp {
                return Err(wrong(format!("the time field '{column}' is a timestamp")));
            }
            if template.variables().any(|v| v == column) && kind != Kind::String {
                return Err(wrong(format!(
                    "the topic's variable '{column}' is a string"
                )));
            }
        }
        Ok(())
    }
}
