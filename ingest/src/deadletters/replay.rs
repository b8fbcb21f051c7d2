//! Sending dead letters again: rows and letters change in one commit.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use catalog::{CommitId, CommitMeta, Error, ErrorKind, Key, Result};
use lake::{Lake, Rewrite, RewriteKind, ScanFile, Table};

use super::filter::{Filter, TopicEdit};
use super::letters::{self, Letter};
use super::trial::{Decoders, Trial};
use crate::backoff::Backoff;
use crate::config::IngestConfig;
use crate::decode;

/// Letters that one commit takes, about.
const GROUP_LETTERS: usize = 50_000;
/// The bytes of their payloads, about.
const GROUP_BYTES: usize = 64 << 20;
/// Times a commit is tried, while an ingester commits letters of its own.
const MOST_ATTEMPTS: usize = 10;
/// What to do after a failure.
const AGAIN: &str =
    "run again: letters whose rows are in a table are gone, the others are still there";

/// What came of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Letters decoded again.
    pub letters: u64,
    /// Those that failed again, and stay.
    pub failed: u64,
    /// Rows added to each table.
    pub rows: BTreeMap<Key, u64>,
    /// Why letters failed again, with their number.
    pub reasons: BTreeMap<String, u64>,
    /// The commits that hold it.
    pub commits: Vec<CommitId>,
}

/// Files of a dead-letter table, and the letters in them that are sent again.
#[derive(Default)]
struct Group {
    files: Vec<ScanFile>,
    letters: Vec<Letter>,
    /// Rows of the files that are not.
    others: Vec<RecordBatch>,
    bytes: usize,
}

impl Group {
    fn is_full(&self) -> bool {
        self.letters.len() >= GROUP_LETTERS || self.bytes >= GROUP_BYTES
    }
}

/// Decodes the letters that `filter` takes again, by the streams of `config`, with their topics
/// edited. Many letters take several commits, each of which is whole by itself. A `dry_run`
/// changes nothing.
///
/// # Errors
/// Those of the lake; `Conflict` when others have changed the dead letters meanwhile.
pub async fn replay(
    lake: &Lake,
    config: &IngestConfig,
    filter: &Filter,
    edit: Option<&TopicEdit>,
    author: &str,
    dry_run: bool,
) -> Result<Replayed> {
    config.validate()?;
    let head = lake.catalog().head(&config.branch).await?;
    let mut replay = Replay {
        lake,
        config,
        edit,
        author,
        decoders: Decoders::new(lake, config, dry_run)?,
        dry_run,
        done: Replayed::default(),
    };
    for table in letters::tables(lake, &head, &config.dead_letter_table).await? {
        let mut group = Group::default();
        for file in table.data_files().await?.iter() {
            if letters::is_older(&table, file, filter.since) {
                continue;
            }
            collect(lake, &table, file, filter, &mut group).await?;
            if group.is_full() {
                replay.send(table.key(), std::mem::take(&mut group)).await?;
            }
        }
        replay.send(table.key(), group).await?;
    }
    Ok(replay.done)
}

/// Adds a file to the group, if it holds letters that are meant.
async fn collect(
    lake: &Lake,
    table: &Table,
    file: &ScanFile,
    filter: &Filter,
    group: &mut Group,
) -> Result<()> {
    let (mut meant, mut others) = (Vec::new(), Vec::new());
    for batch in letters::rows(lake, table, file).await? {
        let found = letters::letters(&batch)?;
        let stays: BooleanArray = found.iter().map(|it| Some(!filter.takes(it))).collect();
        let rest = filter_record_batch(&batch, &stays)
            .map_err(|e| Error::internal("could not choose letters").with_source(e))?;
        others.push(rest);
        meant.extend(found.into_iter().filter(|letter| filter.takes(letter)));
    }
    if !meant.is_empty() {
        group.bytes += meant.iter().map(|it| it.payload.len()).sum::<usize>();
        group.files.push(file.clone());
        group.letters.extend(meant);
        group.others.extend(others);
    }
    Ok(())
}

struct Replay<'r> {
    lake: &'r Lake,
    config: &'r IngestConfig,
    edit: Option<&'r TopicEdit>,
    author: &'r str,
    decoders: Decoders,
    dry_run: bool,
    done: Replayed,
}

impl Replay<'_> {
    /// Decodes the letters of a group and commits what came of it.
    async fn send(&mut self, key: &Key, group: Group) -> Result<()> {
        if group.letters.is_empty() {
            return Ok(());
        }
        let dead = &self.config.dead_letter_table;
        let trial = self
            .decoders
            .decode(&group.letters, self.edit, dead)
            .await?;
        let news = trial.failed.iter().any(|(at, failed)| {
            let before = &group.letters[*at];
            (&before.reason, &before.stream) != (&failed.reason, &failed.stream)
        });
        let mended = trial.failed.len() < group.letters.len();
        self.count(&group, &trial);
        if (mended || news) && !self.dry_run {
            let commit = self.commit(key, &group, &trial).await?;
            self.done.commits.push(commit);
        }
        Ok(())
    }

    /// Commits rows and letters on the newest state, in which the letters have to be there
    /// still: whoever commits letters meanwhile, such as an ingester, makes it look again.
    async fn commit(&self, key: &Key, group: &Group, trial: &Trial) -> Result<CommitId> {
        let mut backoff = Backoff::new();
        for attempt in 1.. {
            match self.commit_once(key, group, trial).await {
                Err(error) if error.kind() == ErrorKind::Conflict && attempt < MOST_ATTEMPTS => {
                    backoff.wait().await;
                }
                Ok(None) => {
                    let message = format!("another commit took letters of {key} meanwhile");
                    return Err(Error::conflict(message).with_hint(AGAIN));
                }
                Ok(Some(commit)) => return Ok(commit),
                Err(error) => return Err(error.with_hint(AGAIN)),
            }
        }
        Err(Error::internal("a replay neither ended nor failed"))
    }

    fn count(&mut self, group: &Group, trial: &Trial) {
        self.done.letters += group.letters.len() as u64;
        self.done.failed += trial.failed.len() as u64;
        for (key, batches) in &trial.rows {
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            *self.done.rows.entry(key.clone()).or_default() += rows as u64;
        }
        for (_, letter) in &trial.failed {
            *self.done.reasons.entry(letter.reason.clone()).or_default() += 1;
        }
    }

    /// None where the letters are gone.
    async fn commit_once(
        &self,
        key: &Key,
        group: &Group,
        trial: &Trial,
    ) -> Result<Option<CommitId>> {
        let catalog = self.lake.catalog();
        let branch = &self.config.branch;
        // After decoding, which may have made tables and columns.
        let base = catalog.resolve_to_build_on(branch).await?;
        let letters = self.lake.table(&base, key).await?;
        if !has_all(&letters, &group.files).await? {
            return Ok(None);
        }
        let mut operations = Vec::new();
        let (mut rows, mut tables) = (0, Vec::new());
        for (key, batches) in &trial.rows {
            rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
            let table = self.lake.table(&base, key).await?;
            let files = self.lake.write(&table, batches.clone()).await?;
            let append = self.lake.stage_append(&table, files, BTreeMap::new());
            operations.push(append.await?);
            tables.push(key.to_string());
        }
        let count = group.letters.len() - trial.failed.len();
        let failed = trial.failed.iter().map(|(_, letter)| letter.clone());
        let failed: Vec<Letter> = failed.collect();
        let mut left = group.others.clone();
        left.extend(decode::dead_letters(&failed)?);
        let rewrite = Rewrite {
            removed: group.files.clone(),
            added: self.lake.write(&letters, left).await?,
            kind: RewriteKind::Overwrite,
            summary: BTreeMap::new(),
        };
        operations.push(self.lake.stage_rewrite(&letters, rewrite).await?);
        let message = match tables.is_empty() {
            true => format!("replay dead letters: {count} have no rows"),
            false => format!(
                "replay {count} dead letters: {rows} rows into {}",
                tables.join(", ")
            ),
        };
        // As the rows of a stream, they may go to a protected branch.
        let meta = CommitMeta::new(self.author, message).automatic();
        // Two replays would remove the same letters, which goes together, and add their rows
        // twice, which does not.
        let reads = vec![key.clone()];
        let committed = self
            .lake
            .commit_reading(branch, meta, &base, operations, reads)
            .await?;
        Ok(Some(committed.id()))
    }
}

/// Whether all the files are in the table still.
async fn has_all(table: &Table, files: &[ScanFile]) -> Result<bool> {
    let now = table.data_files().await?;
    let paths: HashSet<_> = now.iter().map(|file| &file.path).collect();
    Ok(files.iter().all(|file| paths.contains(&file.path)))
}
