//! Alerts: a row when something goes over its threshold, and one when it is back; nothing in
//! between.
use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use catalog::{Key, MAIN, Result};
use chrono::{DateTime, Utc};
use query::Engine;

use super::history::{find, literal};
use crate::tables::{Columns, Rows};

const TABLE: &str = "ml.alerts";

/// What is watched of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The share of features that have drifted.
    Drift,
    /// How far the answers have.
    Predictions,
    /// How good the predictions are, by labels that came late.
    Performance,
    /// How long an answer takes.
    Latency,
    /// The share of requests that fail.
    Errors,
}

impl Kind {
    /// As it stands in `ml.alerts`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Drift => "drift",
            Kind::Predictions => "predictions",
            Kind::Performance => "performance",
            Kind::Latency => "latency",
            Kind::Errors => "errors",
        }
    }
}

/// One figure beside its threshold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Check {
    pub(crate) kind: Kind,
    pub(crate) value: f64,
    pub(crate) threshold: f64,
    pub(crate) message: String,
}

/// A change: an alert that begins or ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// What it is about.
    pub kind: Kind,
    /// Whether it begins; it ends otherwise.
    pub raised: bool,
    /// The figure now.
    pub value: f64,
    /// What it must not exceed.
    pub threshold: f64,
    /// In words.
    pub message: String,
}

/// The kinds of alerts of `model` that have begun and not ended.
pub(crate) async fn open(engine: &Engine, model: &Key) -> Result<BTreeSet<String>> {
    let sql = format!(
        "select kind from (
            select kind, state, row_number() over (partition by kind order by time desc) as nth
            from {TABLE} where model = {}
        ) as ranked where nth = 1 and state = 'raised'",
        literal(&model.to_string())
    );
    let found = find(engine, &[TABLE], &sql).await?;
    Ok((0..found.len())
        .filter_map(|row| found.text(row, "kind"))
        .collect())
}

/// The newest alerts and ends of alerts, of one model or of all, or only those that have not
/// ended; none where nothing was ever looked at.
///
/// # Errors
/// Those of reading the table.
pub async fn list(
    engine: &Engine,
    model: Option<&Key>,
    open: bool,
    limit: usize,
) -> Result<Option<(SchemaRef, Vec<RecordBatch>)>> {
    let head = engine.lake().catalog().head(MAIN).await?;
    if !head.contains(&TABLE.parse()?)? {
        return Ok(None);
    }
    let of = model.map_or_else(
        || "true".to_owned(),
        |model| format!("model = {}", literal(&model.to_string())),
    );
    let still = if open {
        "nth = 1 and state = 'raised'"
    } else {
        "true"
    };
    let sql = format!(
        "select time, model, kind, state, value, threshold, message from (
            select *, row_number() over (partition by model, kind order by time desc) as nth
            from {TABLE} where {of}
        ) as ranked where {still} order by time desc, model, kind limit {limit}"
    );
    engine
        .collect(&sql, Some(&head.id().to_string()))
        .await
        .map(Some)
}

/// What changes now that these are the figures, `open` being what has begun. A figure that
/// could not be had this time changes nothing.
pub(crate) fn changes(open: &BTreeSet<String>, checks: Vec<Check>) -> Vec<Alert> {
    let changed =
        |check: &Check| (check.value > check.threshold) != open.contains(check.kind.name());
    let known = checks.into_iter().filter(|check| !check.value.is_nan());
    known
        .filter(changed)
        .map(|check| Alert {
            kind: check.kind,
            raised: check.value > check.threshold,
            value: check.value,
            threshold: check.threshold,
            message: check.message,
        })
        .collect()
}

pub(super) fn rows(
    time: DateTime<Utc>,
    model: &Key,
    version: &str,
    alerts: &[Alert],
) -> Result<Rows> {
    let state = |it: &Alert| if it.raised { "raised" } else { "cleared" };
    Columns::all_at(time, alerts.len())
        .same("model", &model.to_string())
        .same("version", version)
        .text("kind", alerts.iter().map(|it| Some(it.kind.name())))
        .text("state", alerts.iter().map(|it| Some(state(it))))
        .doubles("value", alerts.iter().map(|it| Some(it.value)))
        .doubles("threshold", alerts.iter().map(|it| Some(it.threshold)))
        .text("message", alerts.iter().map(|it| Some(&it.message)))
        .rows(TABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, value: f64) -> Check {
        Check {
            kind,
            value,
            threshold: 0.15,
            message: String::new(),
        }
    }

    fn changed(open: &[&str], value: f64) -> Vec<bool> {
        let open = open.iter().map(|kind| (*kind).to_owned()).collect();
        let alerts = changes(&open, vec![check(Kind::Drift, value)]);
        alerts.iter().map(|alert| alert.raised).collect()
    }

    #[test]
    fn an_alert_is_raised_once_and_cleared_once() {
        assert_eq!(changed(&[], 0.3), [true]);
        assert!(changed(&["drift"], 0.3).is_empty());
        assert_eq!(changed(&["drift"], 0.15), [false]);
        assert!(changed(&[], 0.15).is_empty());
        assert_eq!(changed(&["latency"], 0.3), [true]);
    }

    #[test]
    fn a_figure_that_is_not_known_changes_nothing() {
        assert!(changed(&["drift"], f64::NAN).is_empty());
        assert!(changed(&[], f64::NAN).is_empty());
    }
}
