//! The rows of a search for `ml.trials`.
use catalog::{Error, Key, Result};
use chrono::Utc;

use super::Trial;
use crate::tables::{Columns, Rows};

/// A row for each of `trials`.
pub(super) fn of(id: &str, model: &Key, chosen: Option<u32>, trials: &[Trial]) -> Result<Rows> {
    let json = |trial: &Trial| {
        serde_json::to_string(&trial.parameters)
            .map_err(|e| Error::internal("parameters cannot be written").with_source(e))
    };
    let parameters = trials.iter().map(json).collect::<Result<Vec<_>>>()?;
    let all = trials.iter();
    Columns::all_at(Utc::now(), trials.len())
        .same("search", id)
        .longs("trial", all.clone().map(|trial| Some(trial.number.into())))
        .same("model", &model.to_string())
        .text("parameters", parameters.iter().map(Some))
        .text("metric", all.clone().map(|trial| Some(&trial.metric)))
        .doubles("value", all.clone().map(|trial| trial.value))
        .longs("rounds", all.clone().map(|trial| Some(trial.rounds.into())))
        .booleans(
            "chosen",
            all.clone().map(|trial| Some(Some(trial.number) == chosen)),
        )
        .text("ruled_out", all.map(|trial| trial.ruled_out.as_ref()))
        .rows("ml.trials")
}
