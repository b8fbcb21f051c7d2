//! `ml.retraining`: a row for each attempt, whatever came of it; and the branches of attempts.
//!
//! The branch of an attempt is `retrain/<model>/<n>`, where n counts the rows before it.
//! Nodes that look at the same time want the same name, and creating a branch succeeds once:
//! so only one of them trains.
use catalog::{CommitMeta, Error, ErrorKind, Key, MAIN, Result};
use chrono::{DateTime, TimeDelta, Utc};
use query::Engine;

use super::Retraining;
use super::plan::Plan;
use crate::monitor::history::{find, literal};
use crate::tables::{self, Columns};

pub(super) const AUTHOR: &str = "ml";
const TABLE: &str = "ml.retraining";
/// The end of the name under which the last challenger that was not merged is found.
const LAST: &str = "last";

/// What was tried before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attempts {
    pub(super) count: u64,
    pub(super) last: Option<DateTime<Utc>>,
}

pub(super) async fn attempts(engine: &Engine, model: &Key) -> Result<Attempts> {
    let sql = format!(
        "select count(distinct branch) as attempts, max(time) as last from {TABLE} where model = {}",
        literal(&model.to_string())
    );
    let found = find(engine, &[TABLE], &sql).await?;
    Ok(Attempts {
        count: found.number(0, "attempts").unwrap_or_default() as u64,
        last: found.time(0, "last"),
    })
}

/// Where branches of attempts for `model` begin.
fn prefix(model: &Key) -> String {
    format!("retrain/{model}/")
}

/// Makes the branch of the next attempt, unless somebody else has made it.
pub(super) async fn begin(engine: &Engine, plan: &Plan, count: u64) -> Result<Begun> {
    let catalog = engine.lake().catalog();
    let branch = format!("{}{}", prefix(plan.model()), count + 1);
    match catalog.create_branch(&branch, MAIN, AUTHOR).await {
        // The branch may be free again because another node is through with this attempt.
        Ok(_) if attempts(engine, plan.model()).await?.count != count => {
            drop_branch(engine, &branch).await;
            Ok(Begun::Others)
        }
        Ok(_) => Ok(Begun::Ours(branch)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let begun = catalog.reference(&branch).await?.updated;
            let patience = TimeDelta::from_std(plan.timeout).unwrap_or(TimeDelta::MAX);
            Ok(match Utc::now() - begun > patience {
                true => Begun::Abandoned(branch),
                false => Begun::Others,
            })
        }
        Err(error) => Err(error),
    }
}

/// Whose an attempt is.
pub(super) enum Begun {
    /// Ours, on this branch.
    Ours(String),
    /// Another node's, or one that a process before us left; it may go on.
    Others,
    /// Nobody's any more.
    Abandoned(String),
}

/// A branch for a trial that leaves nothing behind.
pub(super) async fn begin_trial(engine: &Engine, model: &Key) -> Result<String> {
    let name = uuid::Uuid::new_v4().simple().to_string();
    let branch = format!("{}dry-{}", prefix(model), &name[..8]);
    engine
        .lake()
        .catalog()
        .create_branch(&branch, MAIN, AUTHOR)
        .await?;
    Ok(branch)
}

/// Deletes a branch; one that is gone is fine, and one that cannot be is told in the log.
pub(super) async fn drop_branch(engine: &Engine, branch: &str) {
    match engine.lake().catalog().delete_branch(branch, AUTHOR).await {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(branch, %error, "a branch of retraining could not be deleted");
        }
        _ => {}
    }
}

/// Deletes the branches of finished attempts that are older than the plan keeps them.
pub(super) async fn tidy(engine: &Engine, plan: &Plan, attempts: u64) -> Result<()> {
    let prefix = prefix(plan.model());
    let keep = TimeDelta::from_std(plan.keep).unwrap_or(TimeDelta::MAX);
    for branch in engine.lake().catalog().branches().await? {
        let name = branch.name.strip_prefix(&prefix);
        let finished = name.is_some_and(|name| {
            name == LAST || name.parse::<u64>().is_ok_and(|number| number <= attempts)
        });
        if finished && Utc::now() - branch.updated > keep {
            drop_branch(engine, &branch.name).await;
        }
    }
    Ok(())
}

/// Lets the branch `retrain/<model>/last` show the challenger on `branch`, under a name that
/// stays: so it can be scored in shadow mode.
pub(super) async fn show(engine: &Engine, model: &Key, branch: &str) {
    let catalog = engine.lake().catalog();
    let last = format!("{}{LAST}", prefix(model));
    drop_branch(engine, &last).await;
    if let Err(error) = catalog.create_branch(&last, branch, AUTHOR).await {
        tracing::warn!(branch = last, %error, "a challenger could not be given its name");
    }
}

/// Deletes that branch.
pub(super) async fn hide(engine: &Engine, model: &Key) {
    drop_branch(engine, &format!("{}{LAST}", prefix(model))).await;
}

/// Writes the row of an attempt.
pub(super) async fn record(engine: &Engine, done: &Retraining) -> Result<()> {
    let text = |value: &Option<String>| [value.clone()];
    let rows = Columns::all_at(Utc::now(), 1)
        .same("model", &done.model.to_string())
        .same("reason", &done.reason)
        .same("branch", &done.branch)
        .text("champion", text(&done.champion))
        .text("challenger", text(&done.challenger))
        .text("metric", [done.metric.map(|metric| metric.to_string())])
        .doubles("champion_value", [done.champion_value])
        .doubles("challenger_value", [done.challenger_value])
        .doubles("difference", [done.difference])
        .doubles("lower", [done.lower])
        .doubles("upper", [done.upper])
        .longs(
            "rows",
            [done.rows.and_then(|rows| i64::try_from(rows).ok())],
        )
        .booleans("merged", [Some(done.merged)])
        .text("commit", text(&done.commit))
        .same("message", &done.message)
        .rows(TABLE)?;
    let title = format!("retrain {}: {}", done.model, done.message);
    let meta = CommitMeta::new(AUTHOR, title).automatic();
    tables::commit(engine.lake(), MAIN, meta, vec![rows], Vec::new())
        .await
        .map_err(|e: Error| e.context("a retraining could not be recorded"))?;
    Ok(())
}
