//! `pumphouse maintain`: compact tables, keep rows as long as asked, thin out snapshots.

mod status;

use std::time::Duration;

use catalog::{Content, Error, ErrorKind, Key, Result};
use clap::{Args, Subcommand};
use futures::FutureExt;
use lake::Lake;
use lake::maintain::{CompactOptions, CompactReport, ExpireOptions, RetainOptions};
use serde_json::json;

use super::gc::bytes;
use super::open_lake;
use crate::output;
use crate::settings::{Settings, parse_duration};

/// Compact tables, remove rows past their age, drop old snapshots.
///
/// `pumphouse serve` does the same in the background, with the role maintain. Ingest and
/// queries need not stop: what others change meanwhile is left to them.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse maintain status
  pumphouse maintain compact pumps.telemetry
  pumphouse maintain compact --full --dry-run
  pumphouse maintain retain pumps.telemetry --older-than 90d
  pumphouse maintain expire --older-than 1d --keep 3

Settings are in [maintain] of pumphouse.toml. Space is free once nothing reaches a file any
more: `pumphouse gc` says more.")]
pub(crate) struct MaintainArgs {
    #[command(subcommand)]
    job: Job,
}

#[derive(Debug, Subcommand)]
enum Job {
    /// Merge small files, in the order of the table, without deleted and repeated rows
    Compact {
        #[command(flatten)]
        of: Of,
        /// Merge all small files now, as if no more were to come
        #[arg(long)]
        full: bool,
    },
    /// Drop old snapshots from the tables' metadata; commits stay readable
    Expire {
        #[command(flatten)]
        of: Of,
        /// Younger snapshots stay [setting: maintain.expire]
        #[arg(long, value_name = "TIME", value_parser = parse_duration)]
        older_than: Option<Duration>,
        /// So many stay however old they are [setting: maintain.keep_snapshots]
        #[arg(long, value_name = "COUNT")]
        keep: Option<usize>,
    },
    /// Remove rows older than their table keeps them (property pumphouse.retain)
    Retain {
        #[command(flatten)]
        of: Of,
        /// Remove rows older than this, whatever the tables say
        #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "tables")]
        older_than: Option<Duration>,
        /// Rewrite files that hold younger rows too, instead of keeping them
        #[arg(long)]
        exact: bool,
    },
    /// Show what there is, and what the others would do
    Status {
        #[command(flatten)]
        of: Of,
    },
}

/// Which tables, and how to tell.
#[derive(Debug, Args)]
struct Of {
    /// Tables as namespace.name; all without one
    #[arg(value_name = "TABLE")]
    tables: Vec<Key>,
    /// Branch to work on [setting: ingest.branch]
    #[arg(long)]
    branch: Option<String>,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What [`Of`] means under these settings.
struct Scope {
    tables: Vec<Key>,
    branch: String,
    dry_run: bool,
    json: bool,
}

impl Scope {
    /// What was done of a table; none, and a word on it, for a table that only its own engine
    /// may write, when all tables were meant.
    fn unless_foreign<T>(&self, key: &Key, done: Result<T>) -> Result<Option<T>> {
        match done {
            Ok(done) => Ok(Some(done)),
            Err(e) if e.kind() == ErrorKind::Unsupported && self.tables.is_empty() => {
                output::complain(&format!("{key} is passed over: {e}"));
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}

/// What the jobs would do.
struct Wanted {
    compact: CompactOptions,
    expire: ExpireOptions,
    retain: RetainOptions,
}

/// Works on the lake itself; no server is needed.
pub(crate) async fn run(args: MaintainArgs, settings: Settings) -> Result<()> {
    let lake = open_lake(&settings).await?;
    let author = settings.author();
    let mut wanted = Wanted {
        compact: settings.maintain.compact(),
        expire: settings.maintain.expire(),
        retain: RetainOptions::default(),
    };
    let scope = |of: Of| Scope {
        branch: of.branch.unwrap_or_else(|| settings.ingest.branch.clone()),
        tables: of.tables,
        dry_run: of.dry_run,
        json: of.json,
    };
    match args.job {
        Job::Status { of } => status::show(&lake, &scope(of), &wanted).await,
        Job::Compact { of, full } => {
            let of = scope(of);
            wanted.compact.full = full;
            if of.dry_run {
                return status::show(&lake, &of, &wanted).await;
            }
            compact_all(&lake, &of, &wanted.compact, &author).await
        }
        Job::Expire {
            of,
            older_than,
            keep,
        } => {
            let of = scope(of);
            let expire = &mut wanted.expire;
            expire.older_than = older_than.unwrap_or(expire.older_than);
            expire.keep = keep.unwrap_or(expire.keep);
            if of.dry_run {
                return status::show(&lake, &of, &wanted).await;
            }
            expire_all(&lake, &of, wanted.expire, &author).await
        }
        Job::Retain {
            of,
            older_than,
            exact,
        } => {
            let of = scope(of);
            wanted.retain = RetainOptions { older_than, exact };
            if of.dry_run {
                return status::show(&lake, &of, &wanted).await;
            }
            retain_all(&lake, &of, wanted.retain, &author).await
        }
    }
}

async fn expire_all(lake: &Lake, of: &Scope, options: ExpireOptions, author: &str) -> Result<()> {
    let mut dropped = 0;
    for key in tables(lake, of).await? {
        let done = lake.expire(&of.branch, &key, options, author).await;
        if let Some(done) = of.unless_foreign(&key, done)? {
            dropped += done.snapshots;
        }
    }
    report(of, "snapshots dropped", &json!({"snapshots": dropped}))
}

async fn retain_all(lake: &Lake, of: &Scope, options: RetainOptions, author: &str) -> Result<()> {
    let (mut files, mut rows, mut rewritten) = (0, 0, 0);
    for key in tables(lake, of).await? {
        let RetainOptions { older_than, exact } = options;
        let done = lake
            .retain(&of.branch, &key, older_than, exact, author)
            .await;
        if let Some(done) = of.unless_foreign(&key, done)? {
            files += done.files;
            rows += done.rows;
            rewritten += done.rewritten;
        }
    }
    let done = json!({"files_removed": files, "files_rewritten": rewritten, "rows": rows});
    report(of, "rows removed", &done)
}

async fn compact_all(
    lake: &Lake,
    of: &Scope,
    options: &CompactOptions,
    author: &str,
) -> Result<()> {
    let mut all = CompactReport::default();
    let go_on = || futures::future::ready(true).boxed();
    for key in tables(lake, of).await? {
        let done = lake.compact(&of.branch, &key, options, author, &go_on);
        let Some(done) = of.unless_foreign(&key, done.await)? else {
            continue;
        };
        if !of.json && done != CompactReport::default() {
            output::print(&sentence(&key, &done))?;
        }
        all.add(&done);
    }
    if of.json {
        return output::print_json(&json!({
            "branch": of.branch,
            "commits": all.commits,
            "files_removed": all.files_removed,
            "files_added": all.files_added,
            "bytes_removed": all.bytes_removed,
            "bytes_added": all.bytes_added,
            "repeated_rows": all.repeated_rows,
            "conflicts": all.conflicts,
        }));
    }
    let branch = &of.branch;
    match all == CompactReport::default() {
        true => output::print(&format!(
            "nothing is due on branch {branch}; --full merges all small files"
        )),
        false => output::print(&format!(
            "{} files into {} on branch {branch}",
            all.files_removed, all.files_added
        )),
    }
}

fn sentence(key: &Key, done: &CompactReport) -> String {
    let (from, to) = (done.files_removed, done.files_added);
    let sizes = [done.bytes_removed, done.bytes_added].map(bytes);
    let mut text = format!(
        "{key}: {from} files ({}) into {to} ({})",
        sizes[0], sizes[1]
    );
    if done.repeated_rows > 0 {
        text.push_str(&format!(", {} repeated rows left out", done.repeated_rows));
    }
    if done.conflicts > 0 {
        text.push_str(&format!(
            ", {} groups given up: others changed them",
            done.conflicts
        ));
    }
    text
}

fn report(of: &Scope, what: &str, done: &serde_json::Value) -> Result<()> {
    if of.json {
        let mut done = done.clone();
        done["branch"] = of.branch.as_str().into();
        return output::print_json(&done);
    }
    let counts = done.as_object().into_iter().flatten();
    let counts = counts.map(|(name, count)| format!("{count} {}", name.replace('_', " ")));
    output::print(&format!(
        "{what} on branch {}: {}",
        of.branch,
        counts.collect::<Vec<_>>().join(", ")
    ))
}

/// The tables asked for, or all of the branch.
async fn tables(lake: &Lake, of: &Scope) -> Result<Vec<Key>> {
    if !of.tables.is_empty() {
        return Ok(of.tables.clone());
    }
    let head = lake.catalog().head(&of.branch).await?;
    let entries = head.entries()?.into_iter();
    let tables = entries.filter(|(_, content)| matches!(content, Content::IcebergTable { .. }));
    let tables: Vec<Key> = tables.map(|(key, _)| key).collect();
    match tables.is_empty() {
        true => Err(Error::not_found(format!(
            "branch {} has no tables",
            of.branch
        ))),
        false => Ok(tables),
    }
}
