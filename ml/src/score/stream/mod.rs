//! Scoring rows as they arrive: a model looks at the newest rows every moment, and what it
//! makes of those it has not seen goes into `ml.predictions`.
//!
//! A row is known by its entity and its event time; of rows alike in both the first is scored.
//! How far the scoring has come, the newest event time, is a watermark of the branch that
//! moves in the commit that holds the predictions: a scorer that is killed goes on where its
//! last commit ended, and of two scorers that score the same rows one commits. Rows that come
//! late are scored as long as their event time is not older than the mark by more than
//! `lateness`; which of them are scored already, `ml.predictions` itself says.
mod fresh;
mod mark;
mod record;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use catalog::{CommitMeta, Error, ErrorKind, Key, Result};
use lake::Lake;
use query::{Engine, QueryOptions, ScalarValue};

use self::fresh::Fresh;
use self::mark::Mark;
use self::record::Role;
use crate::registry::{self, LoadedModel};
use crate::tables::Rows;

/// Who commits predictions.
const AUTHOR: &str = "score";
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What is scored, by which model.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreOptions {
    /// The model, as it is on the branch.
    pub model: Key,
    /// The query that gives its rows; `None` is the query it was trained on. Where it has a
    /// parameter `$1`, that is the time from which rows are needed.
    pub sql: Option<String>,
    /// The column of the event time; `None` is that of the training.
    pub time: Option<String>,
    /// The columns that tell what a row is about; none are the series of the model, or else
    /// the text columns that it was told to leave out.
    pub entity: Vec<String>,
    /// How much history rows need beside their own time: windows, rolling features.
    pub lookback: Duration,
    /// How late rows may come and still be scored.
    pub lateness: Duration,
    /// Pause between two looks.
    pub every: Duration,
    /// A model that scores the same rows without being served: a key, or `key@ref`.
    pub shadow: Option<String>,
}

/// What a scorer has done, as others may read it at any time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scored {
    /// Rows that the model has scored since the start.
    pub rows: u64,
    /// Looks that failed since the start.
    pub failures: u64,
    /// Why the last look failed, until one succeeds.
    pub error: Option<String>,
}

/// Scores the rows of one model's query.
pub struct Scorer {
    lake: Lake,
    engine: Engine,
    branch: String,
    options: ScoreOptions,
    mark: Option<Mark>,
    scored: Arc<Mutex<Scored>>,
}

impl Scorer {
    /// Of rows on `branch`, those that `engine` sees before they are committed included.
    pub fn new(engine: Engine, branch: &str, options: ScoreOptions) -> Self {
        Scorer {
            lake: engine.lake().clone(),
            engine,
            branch: branch.to_owned(),
            options,
            mark: None,
            scored: Arc::default(),
        }
    }

    /// What it has done, kept up to date.
    pub fn scored(&self) -> Arc<Mutex<Scored>> {
        Arc::clone(&self.scored)
    }

    /// Scores for ever. What fails is logged and tried again.
    pub async fn run(mut self) {
        let mut pause = self.options.every;
        loop {
            tokio::time::sleep(pause).await;
            let looked = self.look().await;
            pause = match &looked {
                Ok(_) => self.options.every,
                Err(_) => (pause * 2).clamp(self.options.every, LONGEST_PAUSE),
            };
            self.note(looked);
        }
    }

    fn note(&mut self, looked: Result<usize>) {
        let mut scored = self.scored.lock().unwrap_or_else(PoisonError::into_inner);
        let error = match looked {
            Ok(rows) => {
                scored.rows += rows as u64;
                scored.error = None;
                return;
            }
            Err(error) => error,
        };
        // Where another node was first, what it committed is read before the next look.
        self.mark = None;
        if error.kind() == ErrorKind::Conflict {
            tracing::debug!(model = %self.options.model, %error, "another scorer was first");
            return;
        }
        scored.failures += 1;
        let text = error.to_string();
        if scored.error.as_ref() != Some(&text) {
            tracing::warn!(model = %self.options.model, %error, "rows cannot be scored");
        }
        scored.error = Some(text);
    }

    /// Looks once at the newest rows, and commits what the models make of those that are new:
    /// how many.
    ///
    /// # Errors
    /// Those of the query and the model; `Conflict` where another scorer was first.
    pub async fn look(&mut self) -> Result<usize> {
        let name = self.options.model.to_string();
        let model = registry::load(&self.lake, &name, &self.branch).await?;
        // After a failure it is read anew: what was committed, only the lake knows.
        let mut mark = match self.mark.take() {
            Some(mark) => mark,
            None => self.begin(&model).await?,
        };
        let options = &self.options;
        let sql = sql(options, &model)?;
        let reach = options.lateness + options.lookback;
        let rows = read(&self.engine, &self.branch, &sql, mark.since(reach)).await?;
        let oldest = mark.since(options.lateness);
        let is_new = |entity: &str, time: i64| time > oldest && !mark.has(entity, time);
        let fresh = Fresh::of(&rows, &model, options, is_new)?;
        let count = fresh.len();
        if count > 0 {
            let fresh = Arc::new(fresh);
            let of_champion = predict(Role::Champion, &model, &rows, &fresh);
            let mut predictions = vec![of_champion.await?];
            predictions.extend(self.shadowed(&rows, is_new).await);
            let meta = CommitMeta::new(AUTHOR, format!("score {count} rows with {name}"));
            mark.commit(
                &self.lake,
                &self.branch,
                meta.automatic(),
                predictions,
                &fresh,
            )
            .await?;
            mark.forget_before(mark.since(options.lateness));
        }
        self.mark = Some(mark);
        Ok(count)
    }

    /// Where the last scorer ended; the first begins after the rows that are there.
    async fn begin(&self, model: &LoadedModel) -> Result<Mark> {
        let (engine, branch) = (&self.engine, self.branch.as_str());
        let lateness = self.options.lateness;
        if let Some(mark) = Mark::resume(engine, branch, &self.options.model, lateness).await? {
            return Ok(mark);
        }
        let sql = sql(&self.options, model)?;
        let time = time(&self.options, model)?;
        let newest = fresh::newest(engine, branch, &sql, &time).await?;
        Mark::set(&self.lake, branch, &self.options.model, newest).await
    }

    /// What the challenger makes of the same rows; none where it is not there, or not yet, or
    /// where they do not suit it, which must not hold up the champion.
    async fn shadowed(
        &self,
        rows: &RecordBatch,
        is_new: impl Fn(&str, i64) -> bool,
    ) -> Option<Rows> {
        let shadow = self.options.shadow.as_deref()?;
        let (name, reference) = match shadow.split_once('@') {
            Some((name, reference)) => (name, reference),
            None => (shadow, self.branch.as_str()),
        };
        let predictions = async {
            let model = registry::load(&self.lake, name, reference).await?;
            let fresh = Fresh::of(rows, &model, &self.options, is_new)?;
            match fresh.is_empty() {
                true => Ok(None),
                false => {
                    let fresh = Arc::new(fresh);
                    let predictions = predict(Role::Shadow, &model, rows, &fresh);
                    predictions.await.map(Some)
                }
            }
        };
        predictions.await.unwrap_or_else(|error: Error| {
            tracing::debug!(shadow, %error, "the shadow model does not score");
            None
        })
    }
}

/// What a model makes of these rows, on a thread that may block.
async fn predict(
    role: Role,
    model: &Arc<LoadedModel>,
    rows: &RecordBatch,
    fresh: &Arc<Fresh>,
) -> Result<Rows> {
    let (model, rows, fresh) = (Arc::clone(model), rows.clone(), Arc::clone(fresh));
    let predicting = tokio::task::spawn_blocking(move || record::of(role, &model, &rows, &fresh));
    predicting
        .await
        .map_err(|e| Error::internal("scoring broke off").with_source(e))?
}

/// The query of the rows, one parameter being the time from which they are needed.
fn sql(options: &ScoreOptions, model: &LoadedModel) -> Result<String> {
    let given = options.sql.as_deref();
    let sql = given.unwrap_or(&model.manifest.lineage.sql);
    if sql.contains("$1") {
        return Ok(sql.to_owned());
    }
    let sql = sql.trim().trim_end_matches(';');
    let time = time(options, model)?.replace('"', "\"\"");
    // A line of its own for what follows: the query may end with a comment.
    Ok(format!("select * from (\n{sql}\n) where \"{time}\" > $1"))
}

fn time(options: &ScoreOptions, model: &LoadedModel) -> Result<String> {
    let trained_by = &model.manifest.lineage.time;
    let time = options.time.as_ref().or(trained_by.as_ref());
    time.cloned().ok_or_else(|| {
        Error::invalid(format!(
            "no column of the event time is known for scoring with {}",
            options.model
        ))
        .with_hint("name one with `time` under [[ml.score]]")
    })
}

async fn read(engine: &Engine, branch: &str, sql: &str, since: i64) -> Result<RecordBatch> {
    let options = QueryOptions {
        default_ref: Some(branch.to_owned()),
        params: vec![ScalarValue::TimestampMicrosecond(
            Some(since),
            Some("UTC".into()),
        )],
    };
    let started = Instant::now();
    let result = engine.query(sql, &options).await?;
    let batches: Vec<RecordBatch> = futures::TryStreamExt::try_collect(result.stream)
        .await
        .map_err(query::stream_error)?;
    tracing::trace!(took = ?started.elapsed(), "looked for rows to score");
    concat_batches(&result.schema, &batches)
        .map_err(|e| Error::internal("rows do not fit together").with_source(e))
}
