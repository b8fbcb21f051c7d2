//! `pumphouse replay`: the rows of CSV files as messages, one row one message.
//!
//! [`table`] reads the files, [`topic`] fills the topic's template, [`json`] writes a row
//! as JSON with every number exactly as the file has it. Files for tables, and files that are
//! no CSV, are the business of `pumphouse load`.

mod json;
mod row;
mod table;
#[cfg(test)]
mod tests;
pub(crate) mod topic;

use std::path::PathBuf;

use catalog::Result;
use clap::Args;
use ingest::load::Delimiter;

use crate::output;
use crate::settings::Settings;
use crate::simulate::publisher::{BrokerAddress, publish_all};
use row::Encoder;
use table::Table;
use topic::Template;

/// Publish the rows of a CSV file as messages.
///
/// One row becomes one message at QoS 1: a JSON object with the header's names. Numbers
/// keep the digits of the file, true and false become booleans, an empty cell null, and
/// everything else, times included, a string. All files are checked before the first row
/// is sent; the rows are sent in the order of the files.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse replay run1.csv --topic rigs/valve1-1/telemetry
  pumphouse replay valve1/*.csv --topic 'rigs/valve1-{file}/telemetry'
  pumphouse replay day.csv --topic 'pumps/{site}/{pump}/telemetry' --rate 500

{column} takes the row's value, and the payload then leaves that column out; {file} is the
file's name without its extension, unless the file has such a column.")]
pub(crate) struct ReplayArgs {
    /// CSV files with a header line
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Topic to publish to; {column} is filled from each row
    #[arg(long, value_name = "TEMPLATE")]
    topic: String,
    /// Broker to publish to [default: the one in the settings, mqtt://127.0.0.1:1883]
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// What separates the cells: ",", ";", tab or auto, which looks at the header line
    #[arg(long, value_name = "CHARACTER", default_value = "auto")]
    delimiter: Delimiter,
    /// Messages per second; 0 is as fast as the broker takes them
    #[arg(long, value_name = "N", default_value_t = 0.0, value_parser = crate::simulate::rate)]
    rate: f64,
    /// Stop after so many rows of all files together
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Column with the time of the row: sent as a string even where it looks like a number
    #[arg(long, value_name = "COLUMN")]
    time_column: Option<String>,
}

/// Checks the files, publishes their rows, and reports.
pub(crate) async fn run(args: ReplayArgs, settings: Settings) -> Result<()> {
    let broker = BrokerAddress::find(args.broker.as_deref(), &settings)?;
    let template = Template::parse(&args.topic)?;
    let limit = args.limit.unwrap_or(usize::MAX);
    let mut files = Vec::with_capacity(args.files.len());
    let mut rows = 0;
    for path in &args.files {
        let table = Table::open(path, args.delimiter)?;
        let encoder = Encoder::new(&table, &template, args.time_column.as_deref())?;
        rows += check(&table, &encoder)?;
        files.push((table, encoder));
    }
    let messages = files
        .iter()
        .flat_map(|(table, encoder)| encoder.messages(table))
        .take(limit);
    let total = rows.min(limit) as u64;
    let report = publish_all(&broker, "replay", messages, args.rate, Some(total)).await?;
    output::print(&report.to_string())?;
    if let Some(remark) = report.remark() {
        output::complain(&remark);
    }
    Ok(())
}

/// Reads a whole file before any of it is sent; the number of its rows.
fn check(table: &Table, encoder: &Encoder) -> Result<usize> {
    let mut rows = 0;
    for message in encoder.messages(table) {
        message?;
        rows += 1;
    }
    Ok(rows)
}
