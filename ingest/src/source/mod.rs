//! Where messages come from: a broker elsewhere, or the one inside this process.
//!
//! A source hands groups of messages to the log and acknowledges each only when the log says so.

pub(crate) mod broker;
pub(crate) mod external;
mod tls;
mod websocket;

use std::time::{SystemTime, UNIX_EPOCH};

/// The name of an MQTT session in the log: FNV-1a of its client id, the same on every start.
pub(crate) fn client_hash(client_id: &str) -> u64 {
    client_id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Microseconds since the epoch.
pub(crate) fn now_micros() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as i64)
}
