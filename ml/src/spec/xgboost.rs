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

/// The objective that learns quantiles.
const QUANTILE: &str = "reg:quantileerror";

/// Threads of a training run whose spec names none. A fixed number, not the
/// machine's, because the bytes of a model may depend on it.
const DEFAULT_THREADS: &str = "2";

/// XGBoost's parameters: those Pumphouse reads itself, and all of them by name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct XgboostSpec {
    /// What is learned, from the objective.
    pub task: Task,
    /// Boosting rounds; 1 for a random forest.
    pub rounds: u32,
    /// Rounds without a better metric on the validation part after which training ends, and
    /// the model is cut to its best round; 0 never stops early.
    pub early_stopping: u32,
    /// The quantiles that are learned, rising; none for other objectives.
    pub quantiles: Vec<f64>,
    /// Every parameter handed to XGBoost, `objective`, `seed` and `nthread` included.
    pub parameters: BTreeMap<String, String>,
}

impl TryFrom<toml::Table> for XgboostSpec {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let forest = take_count(&mut table, "forest")?;
        let rounds = take_rounds(&mut table, forest)?;
        let early_stopping = take_count(&mut table, "early_stopping")?.unwrap_or(0);
        let quantiles = quantiles(table.get("quantile_alpha"))?;
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
        match (objective == QUANTILE, quantiles.is_empty()) {
            (true, true) => {
                return Err(
                    "xgboost.quantile_alpha is missing: say which quantiles, such as [0.05, 0.5, 0.95]"
                        .into(),
                );
            }
            (false, false) => {
                return Err(format!(
                    "xgboost.quantile_alpha is of the objective {QUANTILE} only"
                ));
            }
            _ => {}
        }
        if let Some(trees) = forest {
            grow_forest(&mut parameters, trees, early_stopping)?;
        }
        parameters.entry("seed".into()).or_insert("0".into());
        parameters
            .entry("nthread".into())
            .or_insert(DEFAULT_THREADS.into());
        Ok(XgboostSpec {
            task,
            rounds,
            early_stopping,
            quantiles,
            parameters,
        })
    }
}

fn take_rounds(table: &mut toml::Table, forest: Option<u32>) -> Result<u32, String> {
    match (take_count(table, "rounds")?, forest) {
        (None | Some(1), Some(_)) => Ok(1),
        (Some(_), Some(_)) => Err(
            "xgboost.rounds and xgboost.forest exclude each other: a forest grows in one round; \
             num_parallel_tree grows several trees each round"
                .into(),
        ),
        (Some(rounds), None) => Ok(rounds),
        (None, None) => {
            Err("xgboost.rounds is missing: say how many trees to grow, such as 100".into())
        }
    }
}

fn take_count(table: &mut toml::Table, name: &str) -> Result<Option<u32>, String> {
    let Some(value) = table.remove(name) else {
        return Ok(None);
    };
    let count = value
        .as_integer()
        .and_then(|count| u32::try_from(count).ok());
    match count.filter(|count| *count > 0) {
        Some(count) => Ok(Some(count)),
        None => Err(format!(
            "xgboost.{name} is {value}; it must be a whole number above 0"
        )),
    }
}

/// The numbers under `quantile_alpha`, which outputs follow in order.
fn quantiles(value: Option<&toml::Value>) -> Result<Vec<f64>, String> {
    let numbers: Option<Vec<f64>> = match value {
        None => return Ok(Vec::new()),
        Some(toml::Value::Array(values)) => values.iter().map(number).collect(),
        Some(value) => Some(number(value).into_iter().collect()),
    };
    let rise = |numbers: &[f64]| numbers.windows(2).all(|pair| pair[0] < pair[1]);
    numbers
        .filter(|numbers| !numbers.is_empty() && rise(numbers))
        .filter(|numbers| numbers.iter().all(|q| *q > 0.0 && *q < 1.0))
        .ok_or_else(|| {
            "xgboost.quantile_alpha must be a number between 0 and 1, or several that rise, \
             such as [0.05, 0.5, 0.95]"
                .into()
        })
}

fn number(value: &toml::Value) -> Option<f64> {
    value
        .as_float()
        .or_else(|| Some(value.as_integer()? as f64))
}

/// The parameters of one round of trees side by side, each from its own part of rows and
/// columns, as XGBoost's tutorial "Random Forests" sets them; what the spec names stands.
fn grow_forest(
    parameters: &mut BTreeMap<String, String>,
    trees: u32,
    early_stopping: u32,
) -> Result<(), String> {
    if early_stopping > 0 {
        return Err("xgboost.early_stopping has nothing to stop: a forest has one round".into());
    }
    if parameters.contains_key("num_parallel_tree") {
        return Err("xgboost.forest and xgboost.num_parallel_tree are the same: say one".into());
    }
    parameters.insert("num_parallel_tree".into(), trees.to_string());
    for (names, value) in [
        (["eta", "learning_rate"], "1"),
        (["subsample", "subsample"], "0.63"),
        (["colsample_bynode", "colsample_bynode"], "0.33"),
        (["lambda", "reg_lambda"], "0"),
    ] {
        if !names.iter().any(|name| parameters.contains_key(*name)) {
            parameters.insert(names[0].into(), value.into());
        }
    }
    Ok(())
}

fn parameter(name: &str, value: toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(flag) => Ok(flag.to_string()),
        toml::Value::Array(values) if values.iter().all(|v| number(v).is_some()) => {
            Ok(toml::Value::Array(values).to_string().replace(' ', ""))
        }
        other => Err(format!(
            "xgboost.{name} is {} {other}; a parameter is a string, a number, a boolean or a list of numbers",
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
        | "reg:quantileerror"
        | "count:poisson" => Ok(Task::Regression),
        other => Err(format!(
            "xgboost.objective is '{other}', which is not supported: say binary:logistic for two \
             classes, multi:softprob for several, reg:squarederror, reg:quantileerror or another \
             regression objective for numbers"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Result<XgboostSpec, String> {
        toml::from_str(text).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn a_forest_is_one_round_of_documented_parameters() {
        let spec = spec("objective = 'binary:logistic'\nforest = 300\nsubsample = 0.5").unwrap();
        assert_eq!(spec.rounds, 1);
        let parameter = |name: &str| spec.parameters[name].as_str();
        assert_eq!(parameter("num_parallel_tree"), "300");
        assert_eq!((parameter("eta"), parameter("lambda")), ("1", "0"));
        assert_eq!(
            (parameter("subsample"), parameter("colsample_bynode")),
            ("0.5", "0.33")
        );
    }

    #[test]
    fn quantiles_are_handed_on_as_a_list() {
        let text =
            "objective = 'reg:quantileerror'\nrounds = 5\nquantile_alpha = [0.05, 0.5, 0.95]";
        let list = spec(text).unwrap();
        assert_eq!(list.parameters["quantile_alpha"], "[0.05,0.5,0.95]");
        assert_eq!((list.quantiles.len(), list.task), (3, Task::Regression));
        let one = spec(&text.replace("[0.05, 0.5, 0.95]", "0.9")).unwrap();
        assert_eq!(one.quantiles, [0.9]);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        const TREES: &str = "objective = 'reg:squarederror'\nrounds = 5\n";
        for (text, says) in [
            ("rounds = 5", "objective is missing"),
            ("objective = 'reg:squarederror'", "rounds is missing"),
            (&format!("{TREES}forest = 5"), "exclude each other"),
            (&format!("{TREES}early_stopping = 0"), "early_stopping is 0"),
            (&format!("{TREES}num_class = 3"), "num_class cannot be set"),
            (
                &format!("{TREES}quantile_alpha = 0.5"),
                "is of the objective",
            ),
            (&format!("{TREES}eta = {{ a = 1 }}"), "xgboost.eta is table"),
            (
                &TREES.replace("squarederror", "quantileerror"),
                "quantile_alpha is missing",
            ),
            (
                &TREES.replace("reg:squarederror", "rank:ndcg"),
                "'rank:ndcg'",
            ),
            (
                "objective = 'reg:quantileerror'\nrounds = 1\nquantile_alpha = [0.9, 0.1]",
                "several that rise",
            ),
            (
                "objective = 'reg:quantileerror'\nrounds = 1\nquantile_alpha = [0.0, 1.0]",
                "between 0 and 1",
            ),
            (
                "objective = 'reg:squarederror'\nforest = 9\nearly_stopping = 2",
                "one round",
            ),
        ] {
            let error = spec(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
