//! The labels of people over those of a data set's SQL: of each series and time the newest one.
use std::borrow::Cow;

use arrow::datatypes::{DataType, Schema};
use catalog::{CommitId, Error, Key, Result};
use query::Engine;

use super::TABLE;
use crate::manifest::Manifest;
use crate::monitor::history::{identifier, literal};
use crate::spec::TrainSpec;

/// The columns by which labels find their rows.
struct Roles<'a> {
    model: &'a Key,
    time: &'a str,
    label: &'a str,
    group: &'a [String],
    exclude: &'a [String],
}

/// `spec` with the labels of people in its SQL, where it asks for them.
///
/// # Errors
/// `InvalidInput` where rows cannot be told apart by series and time.
pub(crate) async fn merged<'a>(
    engine: &Engine,
    spec: &'a TrainSpec,
    commit: CommitId,
) -> Result<Cow<'a, TrainSpec>> {
    let data = &spec.dataset;
    let (true, Some(time), Some(label)) = (data.feedback, &data.time, &data.label) else {
        return Ok(Cow::Borrowed(spec));
    };
    let roles = Roles {
        model: &spec.model,
        time,
        label,
        group: &data.group,
        exclude: &data.exclude,
    };
    let sql = join(engine, &data.sql, &roles, &commit.to_string()).await?;
    let mut spec = spec.clone();
    spec.dataset.sql = sql;
    Ok(Cow::Owned(spec))
}

/// The SQL of a model's data set, with labels as it was trained with them, at `reference`.
pub(crate) async fn sql_of(
    engine: &Engine,
    manifest: &Manifest,
    reference: &str,
) -> Result<String> {
    let lineage = &manifest.lineage;
    let label = manifest.signature.label.as_ref();
    let (true, Some(time), Some(label)) = (lineage.feedback, &lineage.time, label) else {
        return Ok(plain(&lineage.sql).to_owned());
    };
    let roles = Roles {
        model: &manifest.model,
        time,
        label: &label.name,
        group: &manifest.signature.group,
        exclude: &lineage.exclude,
    };
    join(engine, &lineage.sql, &roles, reference).await
}

async fn join(engine: &Engine, sql: &str, roles: &Roles<'_>, reference: &str) -> Result<String> {
    let sql = plain(sql);
    let snapshot = engine.lake().catalog().resolve(reference).await?;
    if !snapshot.contains(&TABLE.parse()?)? {
        return Ok(sql.to_owned());
    }
    let schema = engine.prepare(sql, Some(reference)).await?.schema();
    let columns: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| {
            let name = identifier(field.name());
            match field.name() == roles.label {
                false => format!("data.{name}"),
                true => format!(
                    "coalesce(arrow_cast(feedback.label, '{}'), data.{name}) as {name}",
                    field.data_type()
                ),
            }
        })
        .collect();
    Ok(format!(
        "select {} from (\n{sql}\n) as data left join (
            select entity, event_time, label from (
                select entity, event_time, label, row_number() over (
                    partition by entity, event_time order by time desc, id desc
                ) as nth
                from {TABLE} where model = {}
            ) as ranked where nth = 1
        ) as feedback
        on feedback.event_time = {} and feedback.entity = {}",
        columns.join(", "),
        literal(&roles.model.to_string()),
        event_time(&schema, roles)?,
        entity(&schema, roles),
    ))
}

/// The time of a row as labels have it.
fn event_time(schema: &Schema, roles: &Roles<'_>) -> Result<String> {
    let kind = schema
        .field_with_name(roles.time)
        .map(|field| field.data_type());
    match kind {
        Ok(DataType::Timestamp(..)) => Ok(format!(
            "arrow_cast(data.{}, 'Timestamp(Microsecond, Some(\"UTC\"))')",
            identifier(roles.time)
        )),
        _ => Err(Error::invalid(format!(
            "dataset.feedback finds rows by their time, and '{}' is no timestamp",
            roles.time
        ))),
    }
}

/// What a row is about as labels have it, which is as `ml.predictions` does: its series, or
/// else the text columns that are no features.
fn entity(schema: &Schema, roles: &Roles<'_>) -> String {
    let is_text = |name: &&String| {
        let field = schema.field_with_name(name);
        field.is_ok_and(|field| field.data_type().is_string())
    };
    let names: Vec<&String> = match roles.group.is_empty() {
        true => roles.exclude.iter().filter(is_text).collect(),
        false => roles.group.iter().collect(),
    };
    let columns: Vec<_> = names
        .into_iter()
        .map(|name| format!("cast(data.{} as varchar)", identifier(name)))
        .collect();
    match columns.is_empty() {
        true => "''".to_owned(),
        false => format!("concat_ws('/', {})", columns.join(", ")),
    }
}

/// A statement as it can stand in brackets.
fn plain(sql: &str) -> &str {
    sql.trim().trim_end_matches(';')
}
