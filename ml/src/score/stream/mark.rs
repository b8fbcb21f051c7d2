//! How far the scoring has come: a watermark of the branch, and the rows after it less the
//! lateness that are scored already.
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use catalog::{CommitMeta, ErrorKind, Key, Result};
use lake::Lake;
use query::{Engine, QueryOptions, ScalarValue};

use super::AUTHOR;
use super::fresh::{Fresh, micros};
use super::record::PREDICTIONS;
use crate::tables::{self, Rows};

/// How far the scoring with one model has come.
pub(super) struct Mark {
    /// The watermark's name.
    name: String,
    /// The newest event time scored, in microseconds; it moves with every commit, so that of
    /// two scorers one is told that it is late.
    position: u64,
    /// The entities scored, by event time.
    seen: BTreeMap<i64, HashSet<String>>,
}

impl Mark {
    /// Where the last scorer ended; `None` where there was none.
    pub(super) async fn resume(
        engine: &Engine,
        branch: &str,
        model: &Key,
        lateness: Duration,
    ) -> Result<Option<Mark>> {
        let name = name(model);
        let head = engine.lake().catalog().head(branch).await?;
        let Some(position) = head.watermark(&name) else {
            return Ok(None);
        };
        let mut mark = Mark {
            name,
            position,
            seen: BTreeMap::new(),
        };
        // At the commit of the watermark: what comes after it is another scorer's.
        let at = format!("{branch}@{}", head.id());
        let options = QueryOptions {
            default_ref: Some(at),
            params: vec![
                ScalarValue::Utf8(Some(model.to_string())),
                ScalarValue::TimestampMicrosecond(Some(mark.since(lateness)), Some("UTC".into())),
            ],
        };
        let sql = format!(
            "select entity, event_time from {PREDICTIONS} \
             where model = $1 and role = 'champion' and event_time > $2"
        );
        let result = match engine.query(&sql, &options).await {
            Ok(result) => result,
            // Nothing was scored yet.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(mark)),
            Err(error) => return Err(error),
        };
        let batches: Vec<_> = futures::TryStreamExt::try_collect(result.stream)
            .await
            .map_err(query::stream_error)?;
        for batch in &batches {
            let times = micros(batch.column(1), "event_time")?;
            let times = times.as_primitive::<TimestampMicrosecondType>();
            let entities = batch.column(0).as_string::<i32>();
            for (time, entity) in times.iter().zip(entities) {
                if let (Some(time), Some(entity)) = (time, entity) {
                    mark.add(entity, time);
                }
            }
        }
        Ok(Some(mark))
    }

    /// Begins after `newest`, the event time of the newest row there is; with no rows, before
    /// all that come.
    pub(super) async fn set(
        lake: &Lake,
        branch: &str,
        model: &Key,
        newest: Option<i64>,
    ) -> Result<Mark> {
        let mark = Mark {
            name: name(model),
            position: newest.map_or(0, position),
            seen: BTreeMap::new(),
        };
        let meta = CommitMeta::new(AUTHOR, format!("begin to score with {model}")).automatic();
        let next = (mark.name.as_str(), None, mark.position);
        tables::append_once(lake, branch, meta, Vec::new(), next).await?;
        Ok(mark)
    }

    /// The mark less `reach`, in microseconds.
    pub(super) fn since(&self, reach: Duration) -> i64 {
        let position = i64::try_from(self.position).unwrap_or(i64::MAX);
        let reach = i64::try_from(reach.as_micros()).unwrap_or(i64::MAX);
        position.saturating_sub(reach)
    }

    /// Whether a row is scored already.
    pub(super) fn has(&self, entity: &str, time: i64) -> bool {
        self.seen.get(&time).is_some_and(|all| all.contains(entity))
    }

    /// Commits what was made of `fresh`, and moves the mark with it.
    pub(super) async fn commit(
        &mut self,
        lake: &Lake,
        branch: &str,
        meta: CommitMeta,
        predictions: Vec<Rows>,
        fresh: &Fresh,
    ) -> Result<()> {
        let newest = fresh.rows().iter().map(|row| position(row.time)).max();
        // Rows that came late move it by a microsecond, for others to see.
        let next = newest.unwrap_or(0).max(self.position + 1);
        let mark = (self.name.as_str(), Some(self.position), next);
        tables::append_once(lake, branch, meta, predictions, mark).await?;
        self.position = next;
        for row in fresh.rows() {
            self.add(&row.entity, row.time);
        }
        Ok(())
    }

    /// Forgets rows that are too old to come again.
    pub(super) fn forget_before(&mut self, time: i64) {
        self.seen = self.seen.split_off(&time);
    }

    fn add(&mut self, entity: &str, time: i64) {
        let entities = self.seen.entry(time).or_default();
        entities.insert(entity.to_owned());
    }
}

fn name(model: &Key) -> String {
    format!("score.{model}")
}

/// An event time as a position; times before 1970 are all the first.
fn position(micros: i64) -> u64 {
    u64::try_from(micros).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_knows_what_it_has_seen_until_it_is_too_old() {
        let mut mark = Mark {
            name: name(&"ml.a".parse().unwrap()),
            position: 5_000_000,
            seen: BTreeMap::new(),
        };
        assert_eq!(mark.since(Duration::from_secs(2)), 3_000_000);
        assert_eq!(mark.since(Duration::from_secs(20)), -15_000_000);
        mark.add("p1", 10);
        mark.add("p1", 20);
        assert!(mark.has("p1", 10) && mark.has("p1", 20));
        assert!(!mark.has("p2", 10) && !mark.has("p1", 11));
        mark.forget_before(15);
        assert!(!mark.has("p1", 10) && mark.has("p1", 20));
    }
}
