//! `[xgboost]`: the parameters of boosted trees and random forests.
use std::collections::BTreeMap;

use serde::Deserialize;

use super::Task;

/// The parameters the trainer sets itself, and why a spec cannot.
const RESERVED: [(&str, &str); 4] = [
    ("num_class", "it is counted from the labels"),
    ("validate_parameters", "it is always on"),
    (
        "disable_default_eval_metric",
        "every round reports a metric",
    ),
    ("process_type", "every model is trained from nothing"),
];

/// Threads of a training run whose spec names none. A fixed number, not the
/// machine's, because the bytes of a model may depend on it.
const DEFAULT_THREADS: &str = "2";

/// XGBoost's parameters: those Pumphouse reads itself, and all of them by name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct XgboostSpec {
    /// What is learned, from the objective.
    pub task: Task,
    /// Boosting rounds.
    pub rounds: u32,
    /// Every parameter handed to XGBoost, `objective`, `seed` and `nthread` included.
    pub parameters: BTreeMap<String, String>,
}

impl TryFrom<toml::Table> for XgboostSpec {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let rounds = take_rounds(&mut table)?;
        let mut parameters = BTreeMap::new();
        for (name, value) in table {
            if let Some((_, why)) = RESERVED.iter().find(|(reserved, _)| *reserved == name) {
                return Err(format!("xgboost.{name} cannot be set: {why}"));
            }
            parameters.insert(name.clone(), parameter(&name, value)?);
        }
        let objective = parameters.get("objective").ok_or(
            "xgboost.objective is missing: say binary:logistic, multi:softprob or reg:squarederror",
        )?;
        let task = task(objective)?;
        parameters.entry("seed".into()).or_insert("0".into());
        parameters
            .entry("nthread".into())
            .or_insert(DEFAULT_THREADS.into());
        Ok(XgboostSpec {
            task,
            rounds,
            parameters,
        })
    }
}

fn take_rounds(table: &mut toml::Table) -> Result<u32, String> {
    let Some(value) = table.remove("rounds") else {
        return Err("xgboost.rounds is missing: say how many trees to grow, such as 100".into());
    };
    value
        .as_integer()
        .and_then(|rounds| u32::try_from(rounds).ok())
        .filter(|rounds| *rounds > 0)
        .ok_or_else(|| format!("xgboost.rounds is {value}; it must be a whole number above 0"))
}

fn parameter(name: &str, value: toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(flag) => Ok(flag.to_string()),
        other => Err(format!(
            "xgboost.{name} is {} {other}; a parameter is a string, a number or a boolean",
            other.type_str()
        )),
    }
}

fn task(objective: &str) -> Result<Task, String> {
    match objective {
        "binary:logistic" => Ok(Task::Binary),
        "multi:softprob" => Ok(Task::Multiclass),
        "reg:squarederror"
        | "reg:squaredlogerror"
        | "reg:absoluteerror"
        | "reg:pseudohubererror"
        | "reg:gamma"
        | "reg:tweedie"
        | "count:poisson" => Ok(Task::Regression),
        other => Err(format!(
            "xgboost.objective is '{other}', which is not supported: say binary:logistic for two \
             classes, multi:softprob for several, reg:squarederror or another single-valued \
             regression objective for numbers"
        )),
    }
}
