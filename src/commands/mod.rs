//! The commands, one file each, and the opening of the lake that they share.

pub(crate) mod branch;
pub(crate) mod cherry_pick;
pub(crate) mod dataset;
pub(crate) mod deadletters;
pub(crate) mod diff;
pub(crate) mod gc;
pub(crate) mod load;
pub(crate) mod log;
pub(crate) mod maintain;
pub(crate) mod merge;
mod merging;
pub(crate) mod models;
pub(crate) mod monitor;
pub(crate) mod predict;
mod refs;
pub(crate) mod reset;
pub(crate) mod retrain;
pub(crate) mod revert;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod sql;
pub(crate) mod tag;
pub(crate) mod train;

use std::sync::Arc;

use catalog::{Catalog, CatalogOptions, Commit, Result, Store};
use chrono::SecondsFormat;
use lake::Lake;
use lake::hot::HotBuffer;
use query::{Engine, EngineConfig};

use crate::settings::Settings;

/// Opens the lake that `settings` names; a local folder is made when missing.
pub(crate) async fn open_lake(settings: &Settings) -> Result<Lake> {
    let store = Store::open(&settings.store_config()).await?;
    let refresh = settings.lake.refresh;
    let catalog = Catalog::open_with(store, CatalogOptions { refresh }).await?;
    Ok(Lake::new(catalog))
}

/// The SQL engine over `lake`; `hot` adds the rows not committed yet.
pub(crate) fn new_engine(
    settings: &Settings,
    lake: Lake,
    hot: Option<Arc<dyn HotBuffer>>,
) -> Engine {
    let query = &settings.query;
    let mut config = EngineConfig {
        memory_limit_bytes: usize::try_from(query.memory_limit).unwrap_or(usize::MAX),
        default_namespace: query.default_namespace.clone(),
        author: settings.author(),
        ..EngineConfig::default()
    };
    if query.target_partitions > 0 {
        config.target_partitions = query.target_partitions;
    }
    let predict = ml::PredictFunction::new(lake.clone());
    Engine::with_functions(lake, hot, config, vec![Arc::new(predict)])
}

/// The first twelve digits of a commit's hash: enough to name it anywhere.
fn short(commit: &Commit) -> String {
    commit.id.to_string().chars().take(12).collect()
}

/// The time of a commit to the second, in UTC.
fn time(commit: &Commit) -> String {
    commit.time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The first line of a commit's message.
fn title(commit: &Commit) -> String {
    commit.message.lines().next().unwrap_or_default().to_owned()
}
