//! Rows as messages, through a broker instead of straight into a table.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use catalog::{Error, Result};
use ingest::load::{Gathered, LoadOptions, PlannedFile, Progress, Reading};
use serde_json::{Map, Value};

use super::bar::Bar;
use super::{LoadArgs, agreed, shown};
use crate::output;
use crate::replay::topic::{Part, Template, unfit};
use crate::settings::Settings;
use crate::simulate::publisher::{BrokerAddress, Message, publish_all};

/// Groups of messages that are read ahead.
const GROUPS: usize = 2;

type Group = Vec<Result<Message>>;

/// Reads the files, asks, and publishes a message for each row.
pub(super) async fn run(
    args: &LoadArgs,
    settings: &Settings,
    gathered: Gathered,
    options: LoadOptions,
    progress: Progress,
    bar: Bar,
) -> Result<()> {
    let broker = BrokerAddress::find(args.broker.as_deref(), settings)?;
    let template = Template::parse(args.topic.as_deref().unwrap_or_default())?;
    let reading = Reading::of(gathered, options, &progress).await;
    drop(bar);
    let reading = reading?;
    check(&template, &reading)?;
    output::print(&shown::files_and_columns(&reading))?;
    let rows = reading.rows();
    if args.dry_run || rows == 0 {
        return output::print("nothing is published");
    }
    let question = format!("Publish {}?", shown::amount(&reading));
    if !args.yes && !agreed(&question)? {
        return output::print("nothing is published");
    }
    let messages = messages(reading, template).into_iter().flatten();
    let report = publish_all(&broker, "load", messages, 0.0, Some(rows)).await?;
    output::print(&report.to_string())?;
    if let Some(remark) = report.remark() {
        output::complain(&remark);
    }
    Ok(())
}

/// Refuses a topic whose columns no file has.
fn check(template: &Template, reading: &Reading) -> Result<()> {
    for part in &template.parts {
        let Part::Column(name) = part else { continue };
        let mut columns = reading.columns.iter().map(|column| column.name.as_str());
        if name != "file" && !columns.any(|column| column == name) {
            let columns: Vec<_> = reading.columns.iter().map(|c| c.name.as_str()).collect();
            return Err(
                Error::invalid(format!("--topic: no file has a column {name:?}"))
                    .with_hint(format!("the columns are {}", columns.join(", "))),
            );
        }
    }
    Ok(())
}

/// The messages of all rows, read by a thread of their own.
fn messages(reading: Reading, template: Template) -> Receiver<Group> {
    let (sender, receiver) = sync_channel(GROUPS);
    tokio::task::spawn_blocking(move || {
        for file in &reading.files {
            if let Err(error) = send(&reading, file, &template, &sender) {
                // Where nobody takes it, the publisher has failed itself.
                let _ = sender.send(vec![Err(error)]);
                return;
            }
        }
    });
    receiver
}

fn send(
    reading: &Reading,
    file: &PlannedFile,
    template: &Template,
    sender: &SyncSender<Group>,
) -> Result<()> {
    let files = std::slice::from_ref(file);
    let name = file.input.file_name();
    let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str());
    let mut row = 0;
    reading.rows_of(files, &Progress::default(), &mut |batch| {
        let rows = output::to_json_rows(&batch)?.into_iter();
        let group = rows.map(|fields| {
            row += 1;
            message(template, fields, stem.unwrap_or(name))
                .map_err(|error| error.context(format!("{name}, data row {row}")))
        });
        let gone = |_| Error::unavailable("the publisher has stopped");
        sender.send(group.collect()).map_err(gone)
    })
}

/// A row as a message; what is in the topic is not in the payload, nor is what has no value.
fn message(template: &Template, mut fields: Map<String, Value>, file: &str) -> Result<Message> {
    let mut topic = String::new();
    let mut used = Vec::new();
    for part in &template.parts {
        let (name, value) = match part {
            Part::Literal(literal) => {
                topic.push_str(literal);
                continue;
            }
            Part::Column(name) => (name, fields.get(name)),
        };
        let text = match value {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
            None => file.to_owned(),
        };
        if let Some(fault) = unfit(&text) {
            return Err(Error::invalid(format!(
                "{name:?} {fault}, so it cannot be part of the topic"
            )));
        }
        topic.push_str(&text);
        used.push(name);
    }
    used.iter().for_each(|name| drop(fields.remove(*name)));
    fields.retain(|_, value| !value.is_null());
    let payload = serde_json::to_vec(&fields)
        .map_err(|e| Error::internal("a row has no JSON form").with_source(e))?;
    Ok(Message { topic, payload })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_becomes_a_message() {
        let template = Template::parse("rigs/{file}/{pump}/telemetry").unwrap();
        let row = json!({"pump": 7, "temp": 20.5, "note": null, "on": true});
        let row = row.as_object().unwrap().clone();
        let made = message(&template, row, "run1").unwrap();
        assert_eq!(made.topic, "rigs/run1/7/telemetry");
        let payload: Value = serde_json::from_slice(&made.payload).unwrap();
        assert_eq!(payload, json!({"temp": 20.5, "on": true}));
        let bad = json!({"pump": "a/b"}).as_object().unwrap().clone();
        assert!(
            message(&template, bad, "x")
                .unwrap_err()
                .message()
                .contains("pump")
        );
    }
}
