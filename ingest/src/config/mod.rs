//! What an ingester is told: its streams, its source, and when it flushes.

mod broker;
mod mqtt;
mod payload;
mod stream;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use catalog::{Error, Key, Result};

pub use broker::BrokerConfig;
pub(crate) use broker::Door;
pub(crate) use mqtt::Endpoint;
pub use mqtt::MqttConfig;
pub use payload::{Compression, Nested, PayloadFormat, TimeFormat};
pub use stream::StreamConfig;
pub use tls::TlsFiles;

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
        self.validate_streams(&self.streams)?;
        self.validate_bounds()?;
        match &self.source {
            Source::External(mqtt) => mqtt.validate(),
            Source::Embedded(broker) => broker.validate(),
        }
    }

    /// Checks `streams` beside the other settings.
    ///
    /// # Errors
    /// `InvalidInput` naming the stream, and what to write instead.
    pub(crate) fn validate_streams(&self, streams: &[StreamConfig]) -> Result<()> {
        let mut names = BTreeSet::new();
        for stream in streams {
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
        let mut tables: BTreeMap<&Key, &StreamConfig> = BTreeMap::new();
        for stream in streams {
            let other = *tables.entry(&stream.table).or_insert(stream);
            let differing = [
                ("dedup", other.dedup != stream.dedup),
                ("retain", other.retain != stream.retain),
            ];
            if let Some((setting, _)) = differing.iter().find(|(_, differs)| *differs) {
                return Err(Error::invalid(format!(
                    "streams '{}' and '{}' write to {} with different `{setting}`",
                    other.name, stream.name, stream.table
                ))
                .with_hint(
                    "it belongs to the table: write the same in both, or give them two tables",
                ));
            }
        }
        Ok(())
    }

    fn validate_bounds(&self) -> Result<()> {
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
        Ok(())
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
