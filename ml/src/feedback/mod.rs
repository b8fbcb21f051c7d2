//! What people say of predictions: labels that came late, in `ml.labels`, for the next data set.
mod join;

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use catalog::{CommitMeta, Error, Key, MAIN, Result};
use chrono::{DateTime, Utc};
use query::Engine;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use uuid::Uuid;

pub(crate) use join::{merged, sql_of};

use crate::manifest::Manifest;
use crate::monitor::history::{find, literal};
use crate::registry;
use crate::spec::Task;
use crate::tables::{self, Columns};

/// Labels of one request at most.
pub const MOST_LABELS: usize = 5_000;
const TABLE: &str = "ml.labels";
const PREDICTIONS: &str = "ml.predictions";

/// Requests of this process one after the other, so that a repeated one sees the first.
static WRITING: Mutex<()> = Mutex::const_new(());

/// What somebody says is true of one row.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Whoever sends it names it, so that sending it again changes nothing.
    pub id: Option<String>,
    /// The row is that of this prediction in `ml.predictions` ...
    pub prediction_id: Option<String>,
    /// ... or of this series, the values of the group columns joined by `/`, ...
    pub entity: Option<String>,
    /// ... at this time.
    pub event_time: Option<DateTime<Utc>>,
    /// The class, or the number.
    pub label: Value,
    /// In words.
    pub note: Option<String>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Labels written.
    pub written: usize,
    /// Labels left out because their id is there already.
    pub known: usize,
}

/// A label that is about one row of a model's data set.
struct Settled {
    id: String,
    prediction: Option<String>,
    entity: String,
    event_time: DateTime<Utc>,
    label: String,
    note: Option<String>,
}

/// Writes what `who` says of rows of `model`, all or nothing.
///
/// # Errors
/// `NotFound` for an unknown model or prediction, `InvalidInput` for a label that is none of
/// the model's, for one that names no row, and for too many; all say which label it is.
pub async fn record(
    engine: &Engine,
    model: &Key,
    who: &str,
    labels: Vec<Label>,
) -> Result<Recorded> {
    check_count(&labels)?;
    let loaded = registry::load(engine.lake(), &model.to_string(), MAIN).await?;
    let _one_at_a_time = WRITING.lock().await;
    let rows = predicted(engine, model, &labels).await?;
    let known = known(engine, model, &labels).await?;
    let mut settled = Vec::new();
    for (at, label) in labels.iter().enumerate() {
        let place = |e: Error| e.context(format!("label {at}"));
        let one = settle(&loaded.manifest, label, &rows).map_err(place)?;
        if !known.contains(&one.id) {
            settled.push(one);
        }
    }
    let recorded = Recorded {
        written: settled.len(),
        known: labels.len() - settled.len(),
    };
    if !settled.is_empty() {
        let message = format!("{} labels for {model} by {who}", settled.len());
        let rows = vec![rows_of(&settled, model, who)?];
        let meta = CommitMeta::new(who, message).automatic();
        tables::commit(engine.lake(), MAIN, meta, rows, Vec::new()).await?;
    }
    Ok(recorded)
}

/// The newest labels, of one model or of all; at most `limit`.
///
/// # Errors
/// Those of reading the table; one that is not there yet has no rows.
pub async fn recent(
    engine: &Engine,
    model: Option<&Key>,
    limit: usize,
) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let head = engine.lake().catalog().head(MAIN).await?;
    if !head.contains(&TABLE.parse()?)? {
        return Ok((
            SchemaRef::new(arrow::datatypes::Schema::empty()),
            Vec::new(),
        ));
    }
    let of = model.map_or_else(String::new, |model| {
        format!("where model = {}", literal(&model.to_string()))
    });
    let sql = format!("select * from {TABLE} {of} order by time desc, id limit {limit}");
    engine.collect(&sql, Some(&head.id().to_string())).await
}

fn check_count(labels: &[Label]) -> Result<()> {
    if labels.is_empty() || labels.len() > MOST_LABELS {
        return Err(Error::invalid(format!(
            "the request has {} labels; from 1 to {MOST_LABELS} are taken at once",
            labels.len()
        )));
    }
    let mut ids = BTreeSet::new();
    let repeated = labels
        .iter()
        .filter_map(|it| it.id.as_ref())
        .find(|id| !ids.insert(*id));
    match repeated {
        Some(id) => Err(Error::invalid(format!(
            "two labels of the request have the id '{id}'"
        ))),
        None => Ok(()),
    }
}

/// Series and time of the predictions that labels name.
async fn predicted(
    engine: &Engine,
    model: &Key,
    labels: &[Label],
) -> Result<BTreeMap<String, (String, DateTime<Utc>)>> {
    let ids: Vec<_> = labels
        .iter()
        .filter_map(|it| it.prediction_id.as_deref())
        .collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "select id, entity, event_time from {PREDICTIONS} where model = {} and id in ({})",
        literal(&model.to_string()),
        list(&ids)
    );
    let found = find(engine, &[PREDICTIONS], &sql).await?;
    let rows = (0..found.len()).filter_map(|row| {
        let entity = found.text(row, "entity").unwrap_or_default();
        Some((
            found.text(row, "id")?,
            (entity, found.time(row, "event_time")?),
        ))
    });
    Ok(rows.collect())
}

/// The ids among those given that were written before.
async fn known(engine: &Engine, model: &Key, labels: &[Label]) -> Result<BTreeSet<String>> {
    let ids: Vec<_> = labels.iter().filter_map(|it| it.id.as_deref()).collect();
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let sql = format!(
        "select distinct id from {TABLE} where model = {} and id in ({})",
        literal(&model.to_string()),
        list(&ids)
    );
    let found = find(engine, &[TABLE], &sql).await?;
    Ok((0..found.len())
        .filter_map(|row| found.text(row, "id"))
        .collect())
}

fn list(ids: &[&str]) -> String {
    let quoted: Vec<_> = ids.iter().map(|id| literal(id)).collect();
    quoted.join(", ")
}

fn settle(
    manifest: &Manifest,
    label: &Label,
    predicted: &BTreeMap<String, (String, DateTime<Utc>)>,
) -> Result<Settled> {
    let (entity, event_time) = match (&label.prediction_id, label.event_time) {
        (Some(id), _) => predicted.get(id).cloned().ok_or_else(|| {
            Error::not_found(format!("{} has made no prediction '{id}'", manifest.model))
                .with_hint("ids are in ml.predictions; or name entity and event_time")
        })?,
        (None, Some(time)) => (label.entity.clone().unwrap_or_default(), time),
        (None, None) => {
            return Err(Error::invalid("it does not say which row it is about")
                .with_hint("give prediction_id, or event_time and where there are series entity"));
        }
    };
    let group = &manifest.signature.group;
    if !group.is_empty() && entity.is_empty() {
        return Err(Error::invalid("it lacks the entity").with_hint(format!(
            "entity is the value of {}, joined by '/'",
            group.join(" and ")
        )));
    }
    Ok(Settled {
        id: label
            .id
            .clone()
            .unwrap_or_else(|| Uuid::new_v4().to_string()),
        prediction: label.prediction_id.clone(),
        entity,
        event_time,
        label: value(manifest, &label.label)?,
        note: label.note.clone(),
    })
}

/// The label as text, once it is one that the model could have given.
fn value(manifest: &Manifest, given: &Value) -> Result<String> {
    let text = match given {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => given.to_string(),
        _ => {
            return Err(Error::invalid(
                "its label is neither a text, a number nor a boolean",
            ));
        }
    };
    let classes: Vec<_> = manifest
        .signature
        .classes
        .iter()
        .map(ToString::to_string)
        .collect();
    match manifest.task {
        Task::Binary | Task::Multiclass if !classes.contains(&text) => Err(Error::invalid(
            format!("'{text}' is no class of {}", manifest.model),
        )
        .with_hint(format!("its classes are {}", classes.join(", ")))),
        Task::Anomaly if !["true", "false"].contains(&text.as_str()) => Err(Error::invalid(
            format!("the label is '{text}', and an anomaly is true or false"),
        )),
        Task::Regression if !text.parse::<f64>().is_ok_and(f64::is_finite) => Err(Error::invalid(
            format!("'{text}' is no number, which {} predicts", manifest.model),
        )),
        Task::Forecast => Err(Error::invalid(format!(
            "{} is a forecast; what comes true arrives as rows",
            manifest.model
        ))),
        _ => Ok(text),
    }
}

fn rows_of(labels: &[Settled], model: &Key, who: &str) -> Result<tables::Rows> {
    Columns::all_at(Utc::now(), labels.len())
        .text("id", labels.iter().map(|it| Some(&it.id)))
        .same("who", who)
        .same("model", &model.to_string())
        .text(
            "prediction_id",
            labels.iter().map(|it| it.prediction.as_ref()),
        )
        .text("entity", labels.iter().map(|it| Some(&it.entity)))
        .times("event_time", labels.iter().map(|it| Some(it.event_time)))
        .text("label", labels.iter().map(|it| Some(&it.label)))
        .text("note", labels.iter().map(|it| it.note.as_ref()))
        .rows(TABLE)
}
