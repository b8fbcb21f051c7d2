//! Promotion: a merge that brings a model, and only that.
use catalog::{Content, Error, Key, MergeOptions, MergeReport, Result};
use lake::Lake;

use super::find;

/// The namespace of the tables that training and serving write to.
const OF_RUNS: &str = "ml";

/// Merges the branch `from`, on which `model` was trained, into `to`.
///
/// A merge brings all of a branch. Unless `all` says that this is wanted, one that changes more
/// than the model and tables of the namespace `ml` is refused.
///
/// # Errors
/// `NotFound` when `from` has no such model; `InvalidInput` naming what else the branch would
/// bring; those of [`Lake::merge`].
pub async fn promote(
    lake: &Lake,
    model: &str,
    from: &str,
    to: &str,
    all: bool,
    options: &MergeOptions,
) -> Result<MergeReport> {
    let key: Key = model.parse()?;
    let promoted = find(lake, &key, from).await?;
    let mut options = options.clone();
    options.message.get_or_insert_with(|| {
        let metrics = &promoted.manifest.metrics;
        format!("promote {key} from {from} to {to}: {metrics}")
    });
    let trial = MergeOptions {
        dry_run: true,
        ..options.clone()
    };
    let report = lake.merge(from, to, &trial).await?;
    let source = lake.catalog().snapshot(report.source).await?;
    let keys = report.changes.iter().map(|it| &it.key);
    let keys = keys.chain(report.conflicts.iter().map(|it| &it.key));
    let mut others = Vec::new();
    for other in keys.filter(|it| **it != key) {
        let is_table = matches!(source.get(other)?, Some(Content::IcebergTable { .. }));
        if other.namespace != OF_RUNS || !is_table {
            others.push(other.to_string());
        }
    }
    if !all && !others.is_empty() {
        return Err(Error::invalid(format!(
            "{from} would bring more to {to} than the model {key}: {}",
            others.join(", ")
        ))
        .with_hint(
            "say --all to merge the whole branch, or cherry-pick the commit that trained the model",
        ));
    }
    if options.dry_run || !report.conflicts.is_empty() {
        return Ok(report);
    }
    lake.merge(from, to, &options).await
}
