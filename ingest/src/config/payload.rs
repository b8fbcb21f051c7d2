//! What the payloads of a stream look like.

use serde::{Deserialize, Serialize};

/// How a payload holds its rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadFormat {
    /// A JSON object, which is a row, or an array of objects.
    #[default]
    Json,
    /// Lines of comma-separated values (RFC 4180), each a row.
    Csv,
    /// Eclipse Sparkplug B 3.0 on its own topics: a row per message and timestamp.
    SparkplugB,
    /// InfluxDB line protocol v2, each line a row.
    LineProtocol,
}

/// How payloads are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Told by the first bytes, for each payload.
    #[default]
    Auto,
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// How a payload writes the time of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    /// RFC 3339 text, or an epoch whose unit is told by its magnitude.
    #[default]
    Auto,
    /// RFC 3339 text only.
    Rfc3339,
    /// Seconds since the epoch.
    S,
    /// Milliseconds since the epoch.
    Ms,
    /// Microseconds since the epoch.
    Us,
    /// Nanoseconds since the epoch.
    Ns,
    /// Not at all: a row has the time of its arrival, whatever the payload says.
    Arrival,
}

/// What becomes of objects and arrays in JSON fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nested {
    /// Columns of structs and lists.
    #[default]
    Struct,
    /// Text columns with the JSON text.
    Text,
}
