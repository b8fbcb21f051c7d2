//! Hyper-parameter search: random trials on one data set, judged by its validation part; the
//! best one becomes the model.
mod judge;
mod median;
mod rows;
mod run;

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{CommitId, CommitMeta, Error, Key, Result};
use lake::Lake;
use query::Engine;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::calibrate;
use crate::dataset::Dataset;
use crate::registry;
use crate::spec::{SearchSpec, TrainSpec};
use crate::tables;
use crate::train::{TrainOutcome, TrainProgress, train};
use crate::trainers;
use judge::Judge;
use run::run;

/// A spec with a section `[search]`.
#[derive(Clone, Debug)]
pub struct Search {
    /// How many trials of what.
    pub plan: SearchSpec,
    table: toml::Table,
    trainer: String,
    model: Key,
}

/// One set of parameters, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// From 1.
    pub number: u32,
    /// What was drawn, by name.
    pub parameters: BTreeMap<String, toml::Value>,
    /// The trainer's metric, such as `logloss`; empty where training failed.
    pub metric: String,
    /// Its value on the validation part; none where training failed.
    pub value: Option<f64>,
    /// Rounds in the model, or done until it was stopped.
    pub rounds: u32,
    /// Why it is no candidate: stopped as hopeless, or the error.
    pub ruled_out: Option<String>,
}

/// How far a search has come.
#[derive(Clone, Debug)]
pub struct SearchProgress {
    /// The running trial, from 1.
    pub trial: u32,
    /// Trials in all.
    pub trials: u32,
    /// Its last round.
    pub round: TrainProgress,
    /// The best value on the validation part among finished trials.
    pub best: Option<f64>,
}

/// All trials, and the model that the best of them gave.
#[derive(Clone, Debug)]
pub struct SearchOutcome {
    /// Names the search in `ml.trials`.
    pub id: String,
    /// In the order they were tried.
    pub trials: Vec<Trial>,
    /// The number of the best one.
    pub chosen: u32,
    /// Its model.
    pub trained: TrainOutcome,
}

impl Search {
    /// Reads a training spec with a section `[search]`. Errors are `InvalidInput`.
    pub fn from_toml(text: &str) -> Result<Search> {
        let spec = TrainSpec::from_toml(text)?;
        let plan = spec.search.clone().ok_or_else(|| {
            Error::invalid("the spec has no section [search]")
                .with_hint("[search.parameters] says what to try; docs/training.md has an example")
        })?;
        let table: toml::Table = text
            .parse()
            .map_err(|e| Error::invalid(format!("the training spec cannot be read: {e}")))?;
        Ok(Search {
            plan,
            table,
            trainer: spec.trainer.to_string(),
            model: spec.model,
        })
    }

    /// The parameter sets, the same for the same seed.
    fn draw(&self) -> Vec<BTreeMap<String, toml::Value>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.plan.seed);
        let mut set = || {
            let ranges = self.plan.parameters.iter();
            ranges
                .map(|(name, range)| (name.clone(), range.draw(&mut rng)))
                .collect()
        };
        (0..self.plan.trials).map(|_| set()).collect()
    }

    /// The spec with these parameters in its trainer's section.
    fn variant(&self, parameters: &BTreeMap<String, toml::Value>) -> Result<TrainSpec> {
        let mut table = self.table.clone();
        table.remove("search");
        for (name, value) in parameters {
            let wrong = || {
                Error::invalid(format!(
                    "search.parameters.{name} leads into something that is no table"
                ))
            };
            let mut place = &mut table;
            let path = std::iter::once(self.trainer.as_str()).chain(name.split('.'));
            let path: Vec<&str> = path.collect();
            let (last, folders) = path.split_last().ok_or_else(wrong)?;
            for folder in folders {
                let entry = place.entry(*folder);
                let inner = entry.or_insert_with(|| toml::Table::new().into());
                place = inner.as_table_mut().ok_or_else(wrong)?;
            }
            place.insert((*last).to_owned(), value.clone());
        }
        TrainSpec::from_table(table)
    }
}

/// Tries parameters as `search` says on one read of the data set, puts a row for each trial in
/// `ml.trials` of `branch`, then trains and commits the best there, as [`train`] does.
/// `progress` hears of every round.
///
/// The same commit, spec and seed choose the same parameters and give the same model.
///
/// # Errors
/// Those of [`train`]; `InvalidInput` where there is no validation part, or no trial came to
/// an end.
pub async fn search(
    lake: &Lake,
    engine: &Engine,
    search: &Search,
    branch: &str,
    author: &str,
    progress: &mut (dyn FnMut(SearchProgress) + Send),
) -> Result<SearchOutcome> {
    let mut sets = search.draw().into_iter().peekable();
    let first = search.variant(sets.peek().unwrap_or(&BTreeMap::new()))?;
    let head = lake.catalog().head(branch).await?;
    registry::check_key(&head, &search.model)?;
    let pinned = match &first.dataset.reference {
        Some(reference) => lake.catalog().resolve_to_build_on(reference).await?,
        None => head,
    };
    let mut data = Dataset::read(lake, engine, &first, &pinned).await?;
    if trainers::learner(&first)?.stops_early() {
        // What the model is calibrated on must not have chosen its parameters either.
        calibrate::set_aside(&mut data, first.task(), true);
    }
    let data = Arc::new(data);
    if data.validation.len() == 0 {
        return Err(
            Error::invalid("trials are judged by the validation part, and there is none")
                .with_hint("give dataset.validation_fraction a value, such as 0.2"),
        );
    }
    let mut judge = Judge::default();
    for (number, parameters) in (1..).zip(sets) {
        let learner = trainers::learner(&search.variant(&parameters)?)?;
        let rule = search.plan.prune.then(|| judge.rule.clone());
        let (trials, best) = (search.plan.trials, judge.best_value());
        let mut tell = |round| {
            progress(SearchProgress {
                trial: number,
                trials,
                round,
                best,
            });
        };
        let ran = run(learner, Arc::clone(&data), rule, &mut tell).await;
        judge.take(number, parameters, ran)?;
    }
    drop(data);
    let place = Place {
        lake,
        engine,
        branch,
        author,
        pinned: pinned.id(),
    };
    place.conclude(search, judge, progress).await
}

/// Where the trials' rows and the model are put.
struct Place<'a> {
    lake: &'a Lake,
    engine: &'a Engine,
    branch: &'a str,
    author: &'a str,
    /// The commit that the trials learned from.
    pinned: CommitId,
}

impl Place<'_> {
    /// Writes the rows of the trials, and trains the best.
    async fn conclude(
        &self,
        search: &Search,
        judge: Judge,
        progress: &mut (dyn FnMut(SearchProgress) + Send),
    ) -> Result<SearchOutcome> {
        let id = uuid::Uuid::new_v4().to_string();
        let (chosen, trials) = (judge.chosen(), judge.trials);
        let rows = rows::of(&id, &search.model, chosen, &trials)?;
        let message = format!("search {}: {} trials", search.model, trials.len());
        let meta = CommitMeta::new(self.author, message);
        tables::commit(self.lake, self.branch, meta, vec![rows], Vec::new()).await?;
        let Some(best) = trials.iter().find(|trial| Some(trial.number) == chosen) else {
            let why = trials.iter().find_map(|trial| trial.ruled_out.clone());
            return Err(Error::invalid(format!(
                "no trial came to an end; the first one: {}",
                why.unwrap_or_default()
            )));
        };
        let mut spec = search.variant(&best.parameters)?;
        // The rows made a newer commit; the model is to learn from what the trials did.
        spec.dataset.reference = Some(self.pinned.to_string());
        let (trials_in_all, value) = (search.plan.trials, best.value);
        let mut last = |round| {
            progress(SearchProgress {
                trial: trials_in_all,
                trials: trials_in_all,
                round,
                best: value,
            });
        };
        let (lake, engine) = (self.lake, self.engine);
        let trained = train(lake, engine, &spec, self.branch, self.author, &mut last).await?;
        Ok(SearchOutcome {
            id,
            chosen: best.number,
            trials,
            trained,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = r#"
        model = "ml.x"
        trainer = "gru"
        [dataset]
        sql = "select 1"
        time = "t"
        label = "y"
        [gru]
        task = "regression"
        [search]
        trials = 3
        [search.parameters]
        hidden = { choice = [8, 16] }
        "schedule.learning_rate" = { log_uniform = [0.0001, 0.1] }
    "#;

    #[test]
    fn a_seed_draws_the_same_sets_and_dots_lead_into_tables() {
        let search = Search::from_toml(SPEC).unwrap();
        assert_eq!(search.draw(), search.draw());
        assert_eq!(search.draw().len(), 3);
        let other = Search::from_toml(&SPEC.replace("trials = 3", "trials = 3\nseed = 1"));
        assert_ne!(search.draw(), other.unwrap().draw());
        let set = &search.draw()[0];
        let gru = search.variant(set).unwrap().gru.unwrap();
        assert_eq!(Some(gru.hidden as i64), set["hidden"].as_integer());
        let rate = set["schedule.learning_rate"].as_float();
        assert_eq!(Some(gru.schedule.learning_rate), rate);
    }

    #[test]
    fn parameters_that_lead_nowhere_are_named() {
        let search = |from: &str, to: &str| {
            let search = Search::from_toml(&SPEC.replace(from, to))?;
            search.variant(&search.draw()[0])
        };
        let error = search("hidden = {", "hiden = {").unwrap_err();
        assert!(error.message().contains("hiden"), "{error}");
        let error = search("\"schedule.learning_rate\"", "\"task.x\"").unwrap_err();
        assert!(
            error.message().contains("search.parameters.task.x"),
            "{error}"
        );
        let error = search("[search]\n", "[find]\n").unwrap_err();
        assert!(error.message().contains("find"), "{error}");
    }
}
