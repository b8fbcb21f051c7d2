//! MQTT to rows: messages become durable in a write-ahead log, are acknowledged, decoded into
//! Arrow, served from a hot buffer, and committed to the lake exactly once.
//!
//! The path of a message follows the modules: `source` (an external broker or the embedded one)
//! -> `wal` (group fsync, then PUBACK) -> `decode` (payloads to typed columns, or dead letters) ->
//! `buffer` (visible to queries) -> `flush` (one commit with the log position in it).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod backoff;
mod births;
mod buffer;
mod config;
pub mod deadletters;
mod decode;
mod decoding;
mod flush;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod hot;
mod identity;
mod ingest;
mod lineage;
pub mod load;
mod pipeline;
mod quotes;
mod source;
mod stats;
mod streams;
mod tables;
mod topic;
mod unique;
mod wal;

pub use config::{
    BrokerConfig, Compression, IngestConfig, MqttConfig, Nested, PayloadFormat, Source,
    StreamConfig, TimeFormat, TlsFiles,
};
pub use ingest::Ingest;
pub use stats::{BrokerStats, IngestStats, SparkplugStats};
