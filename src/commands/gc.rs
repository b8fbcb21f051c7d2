//! `pumphouse gc`: delete what nothing reaches any more.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use catalog::collect::SquashPolicy;
use catalog::{Error, Result};
use chrono::SecondsFormat;
use clap::Args;
use lake::collect::{CollectOptions, CollectProgress, CollectReport, Count, Kind, Tally};
use serde_json::{Value, json};

use super::open_lake;
use crate::output;
use crate::settings::{Settings, format_duration, parse_duration};

/// Grace periods below this need --force: a writer may take that long.
const LEAST_GRACE: Duration = Duration::from_secs(3600);
/// How often progress is reported.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Delete files, models and commits that nothing reaches any more.
///
/// Kept is what any branch or tag reaches, with its whole history, what a branch or tag
/// was at lately, and what the models there need, down to the rows they were trained on.
/// The rest goes in two steps: a run notes what nothing reaches, and a later run, at
/// least the grace period after, looks again and deletes it. So run it regularly, for
/// instance once a day. Ingest and queries need not stop.
#[derive(Debug, Default, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse gc --dry-run
  pumphouse gc
  pumphouse gc --grace 48h --reflog 30d
  pumphouse gc --squash-ingest-after 30d --keep-every 1h

Settings are in [gc] of pumphouse.toml; flags win. No write may take longer than the
grace period: a transaction, a training run, an import by another engine.")]
pub(crate) struct GcArgs {
    /// Only show what would be deleted, and what would be noted
    #[arg(long)]
    dry_run: bool,
    /// How old what nothing reaches must be, and how long it then stays [setting: gc.grace]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    grace: Option<Duration>,
    /// How long what a branch or tag was at stays after it moved on [setting: gc.reflog]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    reflog: Option<Duration>,
    /// Squash ingest's commits older than this: of each interval only the last keeps its
    /// tables; 0s for never [setting: gc.squash_ingest_after]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    squash_ingest_after: Option<Duration>,
    /// The interval that --squash-ingest-after keeps one commit of [setting: gc.keep_every]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    keep_every: Option<Duration>,
    /// Allow a grace period below one hour: only when nothing writes
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Collects in the lake itself; no server is needed.
pub(crate) async fn run(args: GcArgs, settings: Settings) -> Result<()> {
    let options = options(&args, &settings)?;
    let lake = open_lake(&settings).await?;
    let reporter = Reporter(Mutex::new(Instant::now()));
    let report = lake
        .collect(&options, &|progress| reporter.tell(progress))
        .await?;
    match args.json {
        true => output::print_json(&to_json(&report, &options)),
        false => output::print(&to_text(&report, &options)),
    }
}

/// What the settings alone ask for, in the background.
pub(crate) fn background(settings: &Settings) -> Result<CollectOptions> {
    options(&GcArgs::default(), settings)
}

fn options(args: &GcArgs, settings: &Settings) -> Result<CollectOptions> {
    let gc = &settings.gc;
    let grace = args.grace.unwrap_or(gc.grace);
    if grace < LEAST_GRACE && !args.force {
        return Err(Error::invalid(format!(
            "a grace period of {} is too short: it has to outlast every write",
            format_duration(grace)
        ))
        .with_hint("give at least 1h, or stop all writers and add --force"));
    }
    let keep_every = args.keep_every.unwrap_or(gc.keep_every);
    if keep_every.is_zero() {
        return Err(Error::invalid("the interval to keep a commit of is 0")
            .with_hint("give --keep-every or gc.keep_every a value such as 1h"));
    }
    let older_than = args.squash_ingest_after.unwrap_or(gc.squash_ingest_after);
    let older_than = Some(older_than).filter(|age| !age.is_zero());
    Ok(CollectOptions {
        grace,
        reflog: args.reflog.unwrap_or(gc.reflog),
        squash: older_than.map(|older_than| SquashPolicy {
            older_than,
            keep_every,
        }),
        dry_run: args.dry_run,
    })
}

/// Reports progress on stderr from time to time.
struct Reporter(Mutex<Instant>);

impl Reporter {
    fn tell(&self, progress: CollectProgress) {
        let mut last = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.elapsed() < REPORT_EVERY {
            return;
        }
        *last = Instant::now();
        output::complain(&match progress {
            CollectProgress::Reaching(objects) => format!("reading metadata: {objects} objects"),
            CollectProgress::Listing(objects) => format!("listing the store: {objects} objects"),
            CollectProgress::Deleting(objects) => format!("deleting: {objects} objects"),
        });
    }
}

const KINDS: [Kind; 11] = [
    Kind::DataFile,
    Kind::DeleteFile,
    Kind::Manifest,
    Kind::ManifestList,
    Kind::Metadata,
    Kind::Statistics,
    Kind::Model,
    Kind::Commit,
    Kind::Checkpoint,
    Kind::RefEntry,
    Kind::Unfinished,
];

fn to_text(report: &CollectReport, options: &CollectOptions) -> String {
    let tallies = [
        &report.deleted,
        &report.condemned,
        &report.waiting,
        &report.young,
    ];
    let row = |name: &str, counts: [Count; 4]| {
        let [a, b, c, d] = counts.map(cell);
        [name.to_owned(), a, b, c, d]
    };
    let mut rows: Vec<_> = KINDS
        .into_iter()
        .filter(|kind| {
            tallies
                .iter()
                .any(|tally| tally.of(*kind) != Count::default())
        })
        .map(|kind| row(kind.name(), tallies.map(|tally| tally.of(kind))))
        .collect();
    rows.push(row("total", tallies.map(Tally::total)));
    let header = match options.dry_run {
        true => [
            "KIND",
            "WOULD DELETE",
            "WOULD NOTE",
            "NOTED BEFORE",
            "TOO YOUNG",
        ],
        false => ["KIND", "DELETED", "NOTED", "NOTED BEFORE", "TOO YOUNG"],
    };
    let mut lines = vec![output::to_list(header, &rows)];
    lines.extend(notes(report, options));
    lines.join("\n")
}

fn cell(count: Count) -> String {
    match count.objects {
        0 => "-".to_owned(),
        objects => format!("{objects} ({})", bytes(count.bytes)),
    }
}

fn notes(report: &CollectReport, options: &CollectOptions) -> Vec<String> {
    let mut notes = Vec::new();
    if report.squashed > 0 {
        let (squashed, commits) = (report.squashed, report.commits);
        notes.push(format!("{squashed} of {commits} commits are squashed"));
    }
    if report.foreign.objects > 0 {
        let foreign = cell(report.foreign);
        notes.push(format!("left alone, not of Pumphouse: {foreign}"));
    }
    if let Some(due) = report.due {
        let due = due.to_rfc3339_opts(SecondsFormat::Secs, true);
        notes.push(format!(
            "noted is what nothing reaches; a run after {due} deletes what is still unreached then"
        ));
    } else if options.dry_run && !report.condemned.is_empty() {
        notes.push(
            "a run without --dry-run notes this; a second one, after the grace period, deletes it"
                .to_owned(),
        );
    }
    if !report.young.is_empty() {
        notes.push(format!(
            "too young is what was written in the last {}: it may belong to a write that goes on",
            format_duration(options.grace)
        ));
    }
    notes
}

/// A size for people, in the largest unit that it has one of.
pub(crate) fn bytes(size: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, bits)| size >> bits > 0) {
        Some((unit, bits)) => format!("{:.1} {unit}", size as f64 / (1u64 << bits) as f64),
        None => format!("{size} B"),
    }
}

fn to_json(report: &CollectReport, options: &CollectOptions) -> Value {
    json!({
        "dry_run": options.dry_run,
        "deleted": tally_json(&report.deleted),
        "noted": tally_json(&report.condemned),
        "noted_before": tally_json(&report.waiting),
        "too_young": tally_json(&report.young),
        "due": report.due,
        "foreign": count_json(report.foreign),
        "commits": report.commits,
        "squashed": report.squashed,
        "empty_folders": report.folders,
    })
}

fn tally_json(tally: &Tally) -> Value {
    let kinds = KINDS
        .into_iter()
        .filter(|kind| tally.of(*kind) != Count::default());
    let mut object: serde_json::Map<String, Value> = kinds
        .map(|kind| (kind.name().replace(' ', "_"), count_json(tally.of(kind))))
        .collect();
    object.insert("total".to_owned(), count_json(tally.total()));
    Value::Object(object)
}

fn count_json(count: Count) -> Value {
    json!({"objects": count.objects, "bytes": count.bytes})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_of_zero_means_never() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            args: GcArgs,
        }
        let squash = |flags: &[&str], setting: u64| {
            let command = <Command as clap::Parser>::parse_from(["gc"].iter().chain(flags));
            let mut settings = Settings::default();
            settings.gc.squash_ingest_after = Duration::from_secs(setting);
            let squash = options(&command.args, &settings).unwrap().squash;
            squash.map(|policy| policy.older_than.as_secs())
        };
        assert_eq!(squash(&[], 0), None);
        assert_eq!(squash(&[], 60), Some(60));
        assert_eq!(squash(&["--squash-ingest-after", "2s"], 60), Some(2));
        assert_eq!(squash(&["--squash-ingest-after", "0s"], 60), None);
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 40), "5.0 TiB");
    }
}
