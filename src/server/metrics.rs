//! The metrics page, in the Prometheus text format.

use std::fmt::Write as _;

use ingest::{BrokerStats, IngestStats};

/// Whether the last edit of the configuration file does not apply.
pub(super) fn configuration(broken: bool) -> String {
    format!(
        "# HELP pumphouse_configuration_broken 1 when the last edit of the configuration file does not apply.\n\
         # TYPE pumphouse_configuration_broken gauge\n\
         pumphouse_configuration_broken {}\n",
        u8::from(broken)
    )
}

/// The counters of ingest, when it runs here, and the version.
pub(super) fn render(stats: Option<&IngestStats>, failed: bool) -> String {
    let mut page = String::new();
    page.push_str("# HELP pumphouse_info The version that runs.\n# TYPE pumphouse_info gauge\n");
    let _ = writeln!(
        page,
        "pumphouse_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    );
    let Some(stats) = stats else { return page };
    for (name, kind, help, value) in [
        (
            "received_total",
            "counter",
            "Messages taken from the broker.",
            stats.received,
        ),
        (
            "logged_total",
            "counter",
            "Messages made durable in the log.",
            stats.logged,
        ),
        (
            "acked_total",
            "counter",
            "Messages acknowledged to the broker.",
            stats.acked,
        ),
        ("rows_total", "counter", "Rows decoded.", stats.rows),
        (
            "dead_letters_total",
            "counter",
            "Messages that could not become rows.",
            stats.dead_letters,
        ),
        (
            "sparkplug_births_total",
            "counter",
            "Sparkplug birth certificates that said something new.",
            stats.sparkplug.births,
        ),
        (
            "sparkplug_data_before_birth_total",
            "counter",
            "Sparkplug data without a birth certificate before it.",
            stats.sparkplug.data_before_birth,
        ),
        (
            "sparkplug_sequence_gaps_total",
            "counter",
            "Gaps in the sequence numbers of Sparkplug edge nodes.",
            stats.sparkplug.sequence_gaps,
        ),
        (
            "duplicates_total",
            "counter",
            "Redelivered messages dropped.",
            stats.duplicates_dropped,
        ),
        (
            "deduplicated_total",
            "counter",
            "Rows dropped by a stream's dedup columns.",
            stats.rows_deduplicated,
        ),
        (
            "committed_rows_total",
            "counter",
            "Rows committed to the lake.",
            stats.committed_rows,
        ),
        (
            "commits_total",
            "counter",
            "Commits made to the lake.",
            stats.commits,
        ),
        (
            "log_position",
            "gauge",
            "Last durable position of the log.",
            stats.wal_position,
        ),
        (
            "watermark",
            "gauge",
            "Log position up to which rows are committed.",
            stats.watermark,
        ),
        (
            "log_bytes",
            "gauge",
            "Bytes of the log on disk.",
            stats.log_bytes,
        ),
        (
            "log_uncommitted_bytes",
            "gauge",
            "Bytes of the log that wait for the lake.",
            stats.log_uncommitted_bytes,
        ),
        (
            "log_limit_bytes",
            "gauge",
            "Uncommitted bytes at which acknowledgements wait.",
            stats.log_limit_bytes,
        ),
        (
            "buffer_bytes",
            "gauge",
            "Bytes of decoded rows in memory.",
            stats.buffer_bytes,
        ),
        (
            "buffer_limit_bytes",
            "gauge",
            "Bytes of decoded rows at which decoding waits.",
            stats.buffer_limit_bytes,
        ),
        (
            "oldest_unflushed_milliseconds",
            "gauge",
            "Age of the oldest message that is not in the lake.",
            stats.oldest_unflushed_ms,
        ),
        (
            "stalled",
            "gauge",
            "1 while messages are not acknowledged.",
            u64::from(stats.stalled.is_some()),
        ),
        (
            "lake_away",
            "gauge",
            "1 while the lake takes no rows.",
            u64::from(stats.flush_error.is_some()),
        ),
        (
            "log_losses",
            "gauge",
            "Damaged places found in the log at the start.",
            stats.losses.len() as u64,
        ),
        (
            "failed",
            "gauge",
            "1 when ingest has ended with an error.",
            u64::from(failed),
        ),
        (
            "in_trouble",
            "gauge",
            "1 while flushes fail.",
            u64::from(stats.last_error.is_some()),
        ),
    ] {
        let _ = writeln!(page, "# HELP pumphouse_ingest_{name} {help}");
        let _ = writeln!(page, "# TYPE pumphouse_ingest_{name} {kind}");
        let _ = writeln!(page, "pumphouse_ingest_{name} {value}");
    }
    broker(&mut page, &stats.broker);
    page
}

/// The embedded broker's counters.
fn broker(page: &mut String, stats: &BrokerStats) {
    for (name, kind, help, value) in [
        (
            "connections",
            "gauge",
            "MQTT clients connected.",
            stats.connections,
        ),
        (
            "connects_total",
            "counter",
            "MQTT clients let in.",
            stats.connects,
        ),
        (
            "sessions",
            "gauge",
            "MQTT sessions, of connected clients and of absent ones.",
            stats.sessions,
        ),
        ("retained", "gauge", "Retained messages.", stats.retained),
        (
            "dropped_total",
            "counter",
            "Messages that a subscriber did not get because too many waited for it.",
            stats.dropped,
        ),
        (
            "refused_connections_total",
            "counter",
            "Connections closed because there were too many.",
            stats.refused_connections,
        ),
        (
            "refused_logins_total",
            "counter",
            "Logins with a wrong password or without a name.",
            stats.refused_logins,
        ),
        (
            "throttled_total",
            "counter",
            "Times a client was read slower because it sent more than its limit.",
            stats.throttled,
        ),
    ] {
        let _ = writeln!(page, "# HELP pumphouse_broker_{name} {help}");
        let _ = writeln!(page, "# TYPE pumphouse_broker_{name} {kind}");
        let _ = writeln!(page, "pumphouse_broker_{name} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_comment_or_a_sample() {
        let stats = IngestStats {
            received: 7,
            ..IngestStats::default()
        };
        let page = render(Some(&stats), false);
        assert!(
            page.contains("\npumphouse_ingest_received_total 7\n"),
            "{page}"
        );
        for line in page.lines() {
            let sample = line
                .rsplit_once(' ')
                .is_some_and(|(_, value)| value.parse::<u64>().is_ok());
            assert!(line.starts_with("# ") || sample, "{line}");
        }
    }
}
