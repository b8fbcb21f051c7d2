//! `pumphouse load`: files into a table, or through a broker.

mod bar;
mod messages;
mod shown;

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use catalog::{Error, Key, Result};
use clap::Args;
use ingest::load::{
    Declared, Delimiter, Destination, Format, LoadOptions, Notation, Outcome, Plan, Progress,
    Sources, Split, gather,
};
use lake::Lake;

use super::open_lake;
use crate::output;
use crate::settings::Settings;
use bar::Bar;

/// Load files into a table: CSV, Excel, JSON lines or Parquet, from disk or S3.
///
/// All files of a call go into the table in one commit, or none does. They are read once to
/// see which types their columns have, and what will be done is shown; on a terminal it is
/// asked for. The table is made if it is not there, and gets the columns it lacks; a value
/// that it does not take is an error that names file, line and column.
///
/// A file whose bytes the table was loaded with before is skipped, whatever its name.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse load day.csv --table lab.runs
  pumphouse load 'runs/*.csv.gz' --table lab.runs --time datetime --device rig
  pumphouse load s3://in/2026/ --table lab.runs --branch trial --yes
  pumphouse load report.xlsx --sheet Data --table lab.report --dry-run
  pumphouse load old.csv --table lab.old --delimiter ';' --decimal , \\
      --type 'day=date:%d.%m.%Y' --null '-'
  pumphouse load day.csv --topic 'pumps/{site}/{pump}/telemetry'

With --topic each row goes as a JSON message to the broker, at QoS 1, and becomes a row by
way of the stream of that topic; files are then not recognised when they come again.")]
pub(crate) struct LoadArgs {
    /// Files, folders, patterns, or the same in S3 as s3://bucket/path
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
    /// Table to load into, as namespace.name
    #[arg(long, value_name = "TABLE", required_unless_present = "topic")]
    table: Option<Key>,
    /// Branch to load into
    #[arg(
        long,
        value_name = "BRANCH",
        default_value = "main",
        conflicts_with = "topic"
    )]
    branch: String,
    /// Format of all files: csv, xlsx, parquet or jsonl [default: what each file is]
    #[arg(long)]
    format: Option<Format>,
    /// Sheet of workbooks [default: the first]
    #[arg(long, value_name = "NAME")]
    sheet: Option<String>,
    /// Column with the time of a row [default: the first with times]
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// Column that names the device: a new table is sorted by it
    #[arg(long, value_name = "COLUMN")]
    device: Option<String>,
    /// Type of a column: boolean, int, long, float, double, string, timestamp or date, the
    /// last two also with a format, as day=date:%d.%m.%Y
    #[arg(long = "type", value_name = "COLUMN=TYPE", value_parser = declared)]
    types: Vec<(String, Declared)>,
    /// How a new table is split by time: day, month, year or none [default: by its size]
    #[arg(long, value_name = "PERIOD", conflicts_with = "topic")]
    partition: Option<Split>,
    /// What separates the cells of CSV files: a character, tab, or auto
    #[arg(long, value_name = "CHARACTER", default_value = "auto")]
    delimiter: Delimiter,
    /// What comes before the fraction of a number: . or ,
    #[arg(long, value_name = "CHARACTER", default_value = ".", value_parser = ["." , ","])]
    decimal: String,
    /// The files have no header: columns are named column1, column2, ...
    #[arg(long)]
    no_header: bool,
    /// Text that stands for no value, beside the empty one
    #[arg(long, value_name = "TEXT")]
    null: Vec<String>,
    /// Load files also where the table has them already
    #[arg(long, conflicts_with = "topic")]
    again: bool,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Message of the commit
    #[arg(short, long, value_name = "TEXT", conflicts_with = "topic")]
    message: Option<String>,
    /// Topic to publish rows to; {column} is filled from each row
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "table")]
    topic: Option<String>,
    /// Broker to publish to [default: the one in the settings, mqtt://127.0.0.1:1883]
    #[arg(long, value_name = "URL", requires = "topic")]
    broker: Option<String>,
}

fn declared(text: &str) -> Result<(String, Declared), String> {
    let (column, kind) = text
        .split_once('=')
        .ok_or("write it as column=type, for instance id=string")?;
    Ok((column.to_owned(), kind.parse()?))
}

impl LoadArgs {
    fn options(&self) -> Result<LoadOptions> {
        let mut types = BTreeMap::new();
        for (column, kind) in &self.types {
            if types.insert(column.clone(), kind.clone()).is_some() {
                return Err(Error::invalid(format!("--type names {column:?} twice")));
            }
        }
        Ok(LoadOptions {
            format: self.format,
            sheet: self.sheet.clone(),
            time: self.time.clone(),
            device: self.device.clone(),
            types,
            delimiter: self.delimiter,
            header: !self.no_header,
            notation: Notation {
                decimal_comma: self.decimal == ",",
                nulls: self.null.clone(),
            },
            partition: self.partition,
            again: self.again,
        })
    }
}

/// Plans, shows, asks, and loads.
pub(crate) async fn run(args: LoadArgs, settings: Settings) -> Result<()> {
    let options = args.options()?;
    let sources = Sources {
        s3: settings.store_config().s3,
        spool: spool_folder(),
    };
    let progress = Progress::default();
    let bar = Bar::over(&progress);
    let gathered = gather(&args.files, &sources, &progress).await?;
    let Some(key) = &args.table else {
        return messages::run(&args, &settings, gathered, options, progress, bar).await;
    };
    let destination = Destination {
        branch: args.branch.clone(),
        key: key.clone(),
    };
    let lake = open_lake(&settings).await?;
    let plan = Plan::make(&lake, &destination, gathered, options, &progress).await;
    bar.pause();
    let plan = plan?;
    show(&plan)?;
    if plan.reading.files.is_empty() || plan.reading.rows() == 0 {
        return Ok(());
    }
    if args.dry_run {
        return output::print("nothing is loaded: this was a dry run");
    }
    if !args.yes && !agreed(&format!("Load {}?", shown::amount(&plan.reading)))? {
        return output::print("nothing is loaded");
    }
    load(plan, &lake, &args, &settings, &progress, &bar).await
}

fn show(plan: &Plan) -> Result<()> {
    for line in shown::skipped(plan) {
        output::print(&line)?;
    }
    if plan.reading.files.is_empty() {
        return output::print("nothing to load: give --again to load files once more");
    }
    output::print(&shown::plan(plan))?;
    match plan.reading.rows() {
        0 => output::print("nothing to load: no file has a row"),
        _ => Ok(()),
    }
}

async fn load(
    plan: Plan,
    lake: &Lake,
    args: &LoadArgs,
    settings: &Settings,
    progress: &Progress,
    bar: &Bar,
) -> Result<()> {
    let destination = plan.destination.clone();
    bar.resume();
    let started = std::time::Instant::now();
    let bytes = plan.reading.bytes();
    let message = args.message.as_deref();
    let outcome = plan.run(lake, &settings.author(), message, progress).await;
    bar.pause();
    match outcome? {
        Outcome::Loaded(loaded) => {
            let done = shown::loaded(&loaded, &destination, bytes, started.elapsed());
            output::print(&done)
        }
        Outcome::Overtaken(plan) => show(&plan),
    }
}

/// Asks on a terminal; where nobody can answer, the call itself is the answer.
fn agreed(question: &str) -> Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(true);
    }
    let mut error = io::stderr().lock();
    // Where the question cannot be shown, no answer comes.
    let _ = write!(error, "{question} [y/N] ").and_then(|()| error.flush());
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|e| Error::unavailable("cannot read the answer").with_source(e))?;
    let answer = answer.trim().to_lowercase();
    Ok(answer == "y" || answer == "yes")
}

/// Where files from S3 are kept while they are loaded: rather on a disk than in memory.
fn spool_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty()) {
        return folder.into();
    }
    let usual = PathBuf::from("/var/tmp");
    match usual.is_dir() {
        true => usual,
        false => std::env::temp_dir(),
    }
}
