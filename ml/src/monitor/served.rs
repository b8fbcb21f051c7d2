//! What was predicted at the time beside the labels that came later: `ml.predictions` joined
//! to `ml.labels` by series and time.
use catalog::Result;
use query::Engine;

use super::history::{Found, find, literal};
use super::outcome::Outcome;
use super::round::Watch;
use crate::manifest::Manifest;
use crate::spec::Task;

const TABLES: [&str; 2] = ["ml.predictions", "ml.labels"];

/// Recent predictions of the model of `manifest` with their labels; none where there are none.
pub(super) async fn outcome(
    engine: &Engine,
    manifest: &Manifest,
    watch: &Watch,
) -> Result<Option<Outcome>> {
    if manifest.task == Task::Forecast {
        return Ok(None);
    }
    let found = find(engine, &TABLES, &sql(manifest, watch)).await?;
    Ok((found.len() > 0).then(|| match manifest.task {
        Task::Regression => numbers(&found),
        _ => classes(&found, manifest),
    }))
}

/// Of each row the last prediction and the last label.
fn sql(manifest: &Manifest, watch: &Watch) -> String {
    let model = literal(&manifest.model.to_string());
    let newest = |table: &str, columns: &str, also: &str| {
        format!(
            "select * from (
                select coalesce(entity, '') as entity, event_time, {columns}, row_number() over (
                    partition by entity, event_time order by time desc
                ) as nth
                from {table} where model = {model} {also}
            ) as ranked where nth = 1"
        )
    };
    let predictions = newest(
        "ml.predictions",
        "prediction, value",
        "and role = 'champion'",
    );
    let labels = newest("ml.labels", "label", "");
    format!(
        "select p.prediction, p.value, l.label from ({predictions}) as p
         join ({labels}) as l on l.entity = p.entity and l.event_time = p.event_time
         where l.event_time > (select max(event_time) from ml.labels where model = {model})
            - interval '{} seconds'
         order by l.event_time desc, l.entity limit {}",
        watch.window.as_secs(),
        watch.max_rows
    )
}

fn numbers(found: &Found) -> Outcome {
    let rows = (0..found.len()).filter_map(|row| {
        let truth = found.text(row, "label")?.parse::<f64>().ok()?;
        Some((truth, found.number(row, "value")?))
    });
    let (truth, predicted) = rows.unzip();
    Outcome::Numbers {
        truth,
        predicted,
        width: 1,
    }
}

fn classes(found: &Found, manifest: &Manifest) -> Outcome {
    let mut names: Vec<String> = match manifest.task {
        Task::Anomaly => vec!["false".to_owned(), "true".to_owned()],
        _ => manifest
            .signature
            .classes
            .iter()
            .map(ToString::to_string)
            .collect(),
    };
    let mut number = |name: String| {
        names.iter().position(|it| *it == name).unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        })
    };
    let rows = (0..found.len()).filter_map(|row| {
        Some((
            number(found.text(row, "label")?),
            number(found.text(row, "prediction")?),
        ))
    });
    let (truth, predicted) = rows.unzip();
    Outcome::Classes {
        truth,
        predicted,
        names,
        positive: (manifest.task != Task::Multiclass).then_some(1),
    }
}
