//! Whether a model is to be trained again now, and why, from what the tables remember.
use catalog::{MAIN, Result};
use chrono::{DateTime, TimeDelta, Utc};
use query::Engine;

use super::plan::{Plan, Trigger};
use super::record::Attempts;
use crate::monitor::history::{find, literal};
use crate::monitor::open_alerts;
use crate::registry;

/// Alerts that a new model may answer.
const ALERTS: [&str; 3] = ["drift", "predictions", "performance"];

/// Why the model of `plan` is to be trained now; none when it is not.
pub(super) async fn reason(
    engine: &Engine,
    plan: &Plan,
    attempts: &Attempts,
    now: DateTime<Utc>,
) -> Result<Option<String>> {
    let span = |of: std::time::Duration| TimeDelta::from_std(of).unwrap_or(TimeDelta::MAX);
    if attempts
        .last
        .is_some_and(|last| now - last < span(plan.cool_down))
    {
        return Ok(None);
    }
    let since = match attempts.last {
        Some(last) => last,
        None => trained(engine, plan).await?,
    };
    for trigger in &plan.on {
        let reason = match trigger {
            Trigger::Schedule => (now - since >= span(plan.every))
                .then(|| format!("the last training was at {}", since.format("%F %T"))),
            Trigger::Drift => {
                let open = open_alerts(engine, plan.model()).await?;
                let kinds: Vec<_> = ALERTS.into_iter().filter(|it| open.contains(*it)).collect();
                (!kinds.is_empty()).then(|| format!("alert: {}", kinds.join(", ")))
            }
            Trigger::Labels => {
                let count = labels(engine, plan, since).await?;
                (count >= plan.min_labels.max(1)).then(|| format!("{count} new labels"))
            }
        };
        if reason.is_some() {
            return Ok(reason);
        }
    }
    Ok(None)
}

/// When the data of the champion was committed; long ago where there is none.
async fn trained(engine: &Engine, plan: &Plan) -> Result<DateTime<Utc>> {
    let catalog = engine.lake().catalog();
    let name = plan.model().to_string();
    if !catalog.head(MAIN).await?.contains(plan.model())? {
        return Ok(DateTime::UNIX_EPOCH);
    }
    let model = registry::load(engine.lake(), &name, MAIN).await?;
    let commit = catalog
        .resolve_commit(&model.manifest.lineage.commit.to_string())
        .await;
    // One that was collected is old.
    Ok(commit.map_or(DateTime::UNIX_EPOCH, |commit| commit.time))
}

async fn labels(engine: &Engine, plan: &Plan, since: DateTime<Utc>) -> Result<u64> {
    let sql = format!(
        "select count(distinct id) as labels from ml.labels where model = {} and time > {}",
        literal(&plan.model().to_string()),
        literal(&since.to_rfc3339())
    );
    let found = find(engine, &["ml.labels"], &sql).await?;
    Ok(found.number(0, "labels").unwrap_or_default() as u64)
}
