//! `pumphouse deadletters`: messages that became no rows, looked at and sent again.

use std::fmt::Write as _;

use catalog::Result;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use ingest::deadletters::{Filter, Letter, Listing, Replayed, TopicEdit, list, replay};
use serde_json::{Value, json};

use super::open_lake;
use crate::output;
use crate::server::ingest_config;
use crate::settings::{Settings, parse_duration};

/// Characters of a payload that are shown.
const SHOWN: usize = 200;
/// Reasons that are listed one by one.
const REASONS: usize = 20;

/// Look at messages that could not become rows, and send mended ones again.
///
/// A message that no stream takes, or whose payload does not fit, becomes a dead letter: its
/// topic, its bytes and the reason are kept in a table. Both commands work on the lake itself;
/// letters that a running server has not committed yet are not seen.
#[derive(Debug, Args)]
pub(crate) struct DeadlettersArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(ListArgs),
    Replay(ReplayArgs),
}

/// Count dead letters by reason, and show the newest
#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    which: Which,
    /// Letters to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Decode dead letters again, by the streams as they are now
///
/// The rows of those that are mended go into their tables, and the letters go, in one commit;
/// those that fail again stay, with their new reason. So it may be interrupted and run again.
/// Change the stream that refused them first: a column's type, its time, its format.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse deadletters list --since 2h
  pumphouse deadletters replay --dry-run
  pumphouse deadletters replay --stream telemetry --reason \"field 'temp'\"
  pumphouse deadletters replay --edit-topic pump/north/=pumps/north/")]
struct ReplayArgs {
    #[command(flatten)]
    which: Which,
    /// Exchange the beginning of topics; those that begin otherwise stay as they are
    #[arg(long, value_name = "FROM=TO")]
    edit_topic: Option<TopicEdit>,
    /// Only show what would come of it
    #[arg(long)]
    dry_run: bool,
}

/// Which letters are meant.
#[derive(Debug, Args)]
struct Which {
    /// Only those of a stream
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Only those received since: 2026-11-21T10:00:00Z, or so long ago as 90m, 12h or 7d
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<DateTime<Utc>>,
    /// Only those whose reason holds this text
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

fn since(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let ago = parse_duration(text).map_err(|_| "give a time with its zone, or 90m, 12h, 7d")?;
    let time = Utc::now().checked_sub_signed(chrono::TimeDelta::from_std(ago).unwrap_or_default());
    time.ok_or_else(|| "that is too long ago".to_owned())
}

impl Which {
    fn filter(&self) -> Filter {
        Filter {
            stream: self.stream.clone(),
            since: self.since.map(|time| time.timestamp_micros()),
            reason: self.reason.clone(),
        }
    }
}

/// Works on the lake itself; no server is needed.
pub(crate) async fn run(args: DeadlettersArgs, settings: Settings) -> Result<()> {
    match args.command {
        Command::List(args) => run_list(&args, &settings).await,
        Command::Replay(args) => run_replay(&args, &settings).await,
    }
}

async fn run_list(args: &ListArgs, settings: &Settings) -> Result<()> {
    let lake = open_lake(settings).await?;
    let ingest = &settings.ingest;
    let (branch, table) = (&ingest.branch, &ingest.dead_letter_table);
    let listing = list(&lake, branch, table, &args.which.filter(), args.limit).await?;
    match (args.json, listing.count) {
        (true, _) => output::print_json(&to_json(&listing)),
        (false, 0) => output::print("no dead letters"),
        (false, _) => output::print(&to_text(&listing)),
    }
}

fn to_text(listing: &Listing) -> String {
    let rows: Vec<_> = listing
        .reasons
        .iter()
        .take(REASONS)
        .map(|(reason, count)| [count.to_string(), reason.clone()])
        .collect();
    let mut text = output::to_list(["LETTERS", "REASON"], &rows);
    let more = listing.reasons.len().saturating_sub(REASONS);
    if more > 0 {
        let _ = write!(text, "\n... and {more} more reasons");
    }
    if !listing.newest.is_empty() {
        let _ = write!(text, "\n\nthe newest of {}:", listing.count);
    }
    for letter in &listing.newest {
        let stream = letter.stream.as_deref().unwrap_or("no stream");
        let (time, topic, reason) = (time(letter), &letter.topic, &letter.reason);
        let _ = write!(
            text,
            "\n\n{time}  {topic}  ({stream})\n  {reason}\n  {}",
            payload(letter)
        );
    }
    text
}

fn to_json(listing: &Listing) -> Value {
    let reasons = listing.reasons.iter();
    let reasons: Vec<_> = reasons
        .map(|(reason, count)| json!({"reason": reason, "letters": count}))
        .collect();
    let newest = listing.newest.iter();
    let newest: Vec<_> = newest
        .map(|letter| {
            json!({
                "received_at": time(letter),
                "topic": letter.topic,
                "stream": letter.stream,
                "reason": letter.reason,
                "payload": payload(letter),
                "payload_bytes": letter.payload.len(),
            })
        })
        .collect();
    json!({"letters": listing.count, "reasons": reasons, "newest": newest})
}

fn time(letter: &Letter) -> String {
    let time = DateTime::from_timestamp_micros(letter.received).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The payload as text where it is text, else in hex; its beginning where it is long.
fn payload(letter: &Letter) -> String {
    let bytes = &letter.payload;
    let is_text = |text: &str| !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    let text = std::str::from_utf8(bytes).ok().filter(|text| is_text(text));
    let (shown, all) = match text {
        Some(text) => {
            let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let shown: String = line.chars().take(SHOWN).collect();
            (shown, line.chars().count() <= SHOWN)
        }
        None => {
            let digits = bytes.iter().take(SHOWN / 2);
            let hex: String = digits.map(|byte| format!("{byte:02x}")).collect();
            (format!("0x{hex}"), bytes.len() <= SHOWN / 2)
        }
    };
    match (all, bytes.is_empty()) {
        (_, true) => "(empty)".to_owned(),
        (true, _) => shown,
        (false, _) => format!("{shown}... ({} bytes)", bytes.len()),
    }
}

async fn run_replay(args: &ReplayArgs, settings: &Settings) -> Result<()> {
    let lake = open_lake(settings).await?;
    let (config, author) = (ingest_config(settings)?, settings.author());
    let (filter, edit) = (args.which.filter(), args.edit_topic.as_ref());
    let done = replay(&lake, &config, &filter, edit, &author, args.dry_run).await?;
    output::print(&replayed(&done, args.dry_run))
}

fn replayed(done: &Replayed, dry_run: bool) -> String {
    if done.letters == 0 {
        return "no dead letters".to_owned();
    }
    let mended = done.letters - done.failed;
    let verb = if dry_run { "would be" } else { "are" };
    let mut text = format!("{mended} of {} dead letters {verb} mended", done.letters);
    for (table, rows) in &done.rows {
        let _ = write!(text, "\n  {rows} rows into {table}");
    }
    if done.failed > 0 {
        let _ = write!(text, "\n{} fail again:", done.failed);
        let mut reasons: Vec<_> = done.reasons.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (reason, count) in reasons.iter().take(REASONS) {
            let _ = write!(text, "\n  {count}  {reason}");
        }
    }
    for commit in &done.commits {
        let _ = write!(text, "\ncommit {}", commit.short());
    }
    if dry_run {
        text.push_str("\nnothing is changed: this was a dry run");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_shown_as_text_or_hex_and_clipped() {
        let letter = |payload: &[u8]| Letter {
            received: 0,
            topic: String::new(),
            payload: payload.to_vec().into(),
            reason: String::new(),
            stream: None,
        };
        let shown = |bytes: &[u8]| payload(&letter(bytes));
        assert_eq!(shown(b"{\"a\":\n 1}"), "{\"a\": 1}");
        assert_eq!(shown(b"\xff\x00"), "0xff00");
        assert_eq!(shown(b"a\x1b[31m"), "0x611b5b33316d");
        assert_eq!(shown(b""), "(empty)");
        assert!(shown(&[b'x'; 5000]).ends_with("x... (5000 bytes)"));
    }

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        assert_eq!(
            since("2026-11-21T10:00:00Z").unwrap().timestamp(),
            1_795_255_200
        );
        assert!(since("2h").unwrap() < Utc::now());
        assert!(since("soon").is_err());
    }
}
