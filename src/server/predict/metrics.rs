//! What models have answered, on the metrics page.

use std::fmt::Write as _;
use std::sync::PoisonError;

use ml::{Scored, Served};

use super::Scoring;

/// Adds the counters of every model to `page`. Requests that name no model have no name.
pub(in crate::server) fn render(served: &[Served], page: &mut String) {
    for (name, help, value) in [
        (
            "requests_total",
            "Requests for predictions.",
            (|model| model.requests) as fn(&Served) -> u64,
        ),
        ("errors_total", "Requests that failed.", |model| {
            model.errors
        }),
        ("rows_total", "Rows predicted.", |model| model.rows),
    ] {
        let _ = writeln!(page, "# HELP pumphouse_predict_{name} {help}");
        let _ = writeln!(page, "# TYPE pumphouse_predict_{name} counter");
        for model in served {
            let (label, value) = (&model.model, value(model));
            let _ = writeln!(
                page,
                "pumphouse_predict_{name}{{model=\"{label}\"}} {value}"
            );
        }
    }
    page.push_str(
        "# HELP pumphouse_predict_seconds Time a request takes; quantiles of the last minutes.\n\
         # TYPE pumphouse_predict_seconds summary\n",
    );
    for model in served {
        let label = &model.model;
        for (quantile, value) in [("0.5", model.p50), ("0.95", model.p95), ("0.99", model.p99)] {
            let Some(value) = value else { continue };
            let _ = writeln!(
                page,
                "pumphouse_predict_seconds{{model=\"{label}\",quantile=\"{quantile}\"}} {}",
                value.as_secs_f64()
            );
        }
        let total = model.total.as_secs_f64();
        let _ = writeln!(
            page,
            "pumphouse_predict_seconds_sum{{model=\"{label}\"}} {total}"
        );
        let count = model.requests;
        let _ = writeln!(
            page,
            "pumphouse_predict_seconds_count{{model=\"{label}\"}} {count}"
        );
    }
}

/// Adds what has been scored as it arrived.
pub(in crate::server) fn render_scored(scored: &[Scoring], page: &mut String) {
    for (name, kind, help, value) in [
        (
            "rows_total",
            "counter",
            "Rows scored as they arrived.",
            (|it| it.rows) as fn(&Scored) -> u64,
        ),
        (
            "failures_total",
            "counter",
            "Looks for rows to score that failed.",
            |it| it.failures,
        ),
        ("failing", "gauge", "1 while rows cannot be scored.", |it| {
            u64::from(it.error.is_some())
        }),
    ] {
        let _ = writeln!(page, "# HELP pumphouse_score_{name} {help}");
        let _ = writeln!(page, "# TYPE pumphouse_score_{name} {kind}");
        for (model, scored) in scored {
            let value = value(&scored.lock().unwrap_or_else(PoisonError::into_inner));
            let _ = writeln!(page, "pumphouse_score_{name}{{model=\"{model}\"}} {value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_line_is_a_comment_or_a_sample() {
        let served = Served {
            model: "ml.pump".to_owned(),
            requests: 3,
            errors: 1,
            rows: 20,
            total: Duration::from_millis(6),
            p50: Some(Duration::from_micros(500)),
            p95: None,
            p99: Some(Duration::from_millis(3)),
        };
        let mut page = String::new();
        render(&[served], &mut page);
        assert!(page.contains("\npumphouse_predict_rows_total{model=\"ml.pump\"} 20\n"));
        assert!(page.contains("{model=\"ml.pump\",quantile=\"0.99\"} 0.003\n"));
        for line in page.lines() {
            let sample = line
                .rsplit_once(' ')
                .is_some_and(|(_, value)| value.parse::<f64>().is_ok());
            assert!(line.starts_with("# ") || sample, "{line}");
        }
    }
}
